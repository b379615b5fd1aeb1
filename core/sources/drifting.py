"""How a synthetic stream drifts: when, how fast, and what of it."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.errors import InvalidInput

DRIFTS = ("none", "sudden", "gradual", "incremental", "recurring")
TARGETS = ("covariate", "label", "concept")
BLOCK = 1_000  # rows drawn from one seed of their own, so that a stream can be continued anywhere
Floats = NDArray[np.float64]


def degree(rows: Floats, generator: np.random.Generator, *, drift: str, begins: float, width: float) -> Floats:
    """How far each row is on the way from the old world (0) to the new one (1).

    ``sudden`` jumps, ``incremental`` moves steadily over ``width`` rows, ``gradual`` draws ever more rows from the new
    world, ``recurring`` goes to and fro (Gama et al., A survey on concept drift adaptation, ACM CSUR 2014).
    """
    way = np.clip((rows - begins) / max(width, 1.0), 0.0, 1.0)
    chance = generator.random(len(rows))
    ways = {
        "none": np.zeros(len(rows)),
        "sudden": (rows >= begins).astype(float),
        "incremental": way,
        "gradual": (chance < way).astype(float),
        "recurring": ((rows >= begins) & (((rows - begins) // max(width, 1.0)) % 2 == 0)).astype(float),
    }
    if drift not in ways:
        raise InvalidInput(f"There is no drift {drift!r}. Choose one of: {', '.join(DRIFTS)}")
    return ways[drift]


def stream(
    world: Callable[[np.random.Generator, Floats, Floats, Floats], tuple[Floats, Floats]], names: list[str]
) -> Callable[..., pd.DataFrame]:
    """A `draw` function over ``world(generator, covariate, concept, position) -> (features, margin)``.

    ``covariate`` and ``concept`` say, a row, how far the inputs and the rule have moved; the label is 1 where the
    margin is positive. Label drift draws rows anew, so that ever more of them have the label 1; P(x | y) stays.
    """

    def draw(
        rows: int,
        *,
        seed: int = 0,
        drift: str = "none",
        target_of_drift: str = "concept",
        start: float = 0.5,
        width: float | None = None,
        magnitude: float = 1.0,
        noise: float = 0.05,
        offset: int = 0,
    ) -> pd.DataFrame:
        """``rows`` rows from position ``offset`` on; drift begins at the share ``start`` of them."""
        if rows < 1:
            raise InvalidInput(f"{rows} rows to draw; at least 1 is needed")
        if target_of_drift not in TARGETS:
            raise InvalidInput(f"There is no drift of {target_of_drift!r}. Choose one of: {', '.join(TARGETS)}")
        begins, span = offset + start * rows, rows * 0.2 if width is None else width
        first = offset // BLOCK
        parts = []
        for block in range(first, (offset + rows - 1) // BLOCK + 1):
            generator = np.random.default_rng([seed, block])
            position = np.arange(block * BLOCK, (block + 1) * BLOCK, dtype=float)
            moved = degree(position, generator, drift=drift, begins=begins, width=span) * magnitude
            still = np.zeros(BLOCK)
            covariate = moved if target_of_drift == "covariate" else still
            concept = moved if target_of_drift == "concept" else still
            features, margin = world(generator, covariate, concept, position)
            if target_of_drift == "label":
                again, other = world(generator, still, still, position)
                swap = (margin <= 0) & (other > 0) & (moved > 0)
                features[swap], margin[swap] = again[swap], other[swap]
            flipped = generator.random(BLOCK) < noise
            label = (margin > 0) != flipped
            parts.append(pd.DataFrame(features, columns=names).assign(target=label.astype(int)))
        cut = offset - first * BLOCK
        return pd.concat(parts, ignore_index=True).iloc[cut : cut + rows].reset_index(drop=True)

    return draw

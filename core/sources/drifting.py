"""How a synthetic stream drifts: when, how fast, and what of it."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.errors import InvalidInput

DRIFTS = ("none", "sudden", "gradual", "incremental", "recurring")
TARGETS = ("covariate", "label", "concept")
BLOCK = 1_000  # rows drawn from one seed of their own, so that a stream can be continued anywhere
MOST_ROWS = 5_000_000
Floats = NDArray[np.float64]
World = Callable[[np.random.Generator, Floats, Floats], tuple[Floats, Floats]]


def degree(rows: Floats, generator: np.random.Generator, *, drift: str, begins: float, width: float) -> Floats:
    """How far each row, given by its position, is on the way from the old world (0) to the new one (1).

    ``sudden`` jumps at ``begins``, ``incremental`` moves steadily over ``width`` rows, ``gradual`` draws ever more rows
    from the new world over ``width`` rows, ``recurring`` goes to and fro, ``width`` rows each (Gama et al., A survey on
    concept drift adaptation, ACM Computing Surveys 2014).
    """
    way = np.clip((rows - begins) / width, 0.0, 1.0)
    ways: dict[str, Floats] = {
        "none": np.zeros(len(rows)),
        "sudden": (rows >= begins).astype(float),
        "gradual": (generator.random(len(rows)) < way).astype(float),
        "incremental": way,
        "recurring": ((rows >= begins) & ((rows - begins) // width % 2 == 0)).astype(float),
    }
    return ways[drift]


def stream(world: World, names: list[str]) -> Callable[..., pd.DataFrame]:
    """A `draw` function over ``world(generator, covariate, concept) -> (features, margin)``.

    ``covariate`` and ``concept`` say, a row, how far the inputs and the rule have moved, from 0 to the magnitude. The
    label is 1 where the margin is positive, but for the noise. Before drift begins a stream is what it is without.
    """

    def draw(
        rows: int,
        *,
        seed: int = 0,
        drift: str = "none",
        target_of_drift: str = "concept",
        start: float = 0.5,
        start_row: int | None = None,
        width: float | None = None,
        magnitude: float = 1.0,
        noise: float = 0.05,
        offset: int = 0,
    ) -> pd.DataFrame:
        """``rows`` rows from position ``offset`` on: the features and ``target``, 0 or 1.

        Drift begins at position ``start_row``, else at the share ``start`` of these rows, and takes ``width`` rows, else
        a fifth of these. With ``start_row`` and ``width`` given, [0, n) and then [n, m) are the rows of [0, m).
        ``magnitude``: 0 is no drift, 1 a plain one. ``noise``: the share of labels that are flipped. Raises InvalidInput.
        """
        width = max(rows * 0.2, 1.0) if width is None else width
        _check(rows, seed, drift, target_of_drift, start, start_row, width, magnitude, noise, offset)
        begins = float(offset + start * rows) if start_row is None else float(start_row)
        first, last = offset // BLOCK, (offset + rows - 1) // BLOCK
        parts = []
        for block in range(first, last + 1):
            way, here, other, flips = (np.random.default_rng([seed, block, i]) for i in range(4))
            position = np.arange(block * BLOCK, (block + 1) * BLOCK, dtype=float)
            moved = magnitude * degree(position, way, drift=drift, begins=begins, width=width)
            still = np.zeros(BLOCK)
            covariate, concept = (moved if target_of_drift == what else still for what in ("covariate", "concept"))
            features, label = _labelled(world(here, covariate, concept), flips, noise)
            if target_of_drift == "label":
                # A row with the label 0 makes room for one that has the label 1 by itself: P(x | y) stays as it is.
                again, its_label = _labelled(world(other, still, still), flips, noise)
                taken = ~label & its_label & (way.random(BLOCK) < moved)
                features[taken], label[taken] = again[taken], True
            parts.append(pd.DataFrame(features, columns=names).assign(target=label.astype(np.int64)))
        cut = offset - first * BLOCK
        return pd.concat(parts, ignore_index=True).iloc[cut : cut + rows].reset_index(drop=True)

    return draw


def _labelled(
    rows: tuple[Floats, Floats], generator: np.random.Generator, noise: float
) -> tuple[Floats, NDArray[np.bool_]]:
    features, margin = rows
    return features, (margin > 0) != (generator.random(len(margin)) < noise)


def _check(
    rows: int, seed: int, drift: str, target: str, start: float, start_row: int | None, width: float,
    magnitude: float, noise: float, offset: int,
) -> None:  # fmt: skip
    """Raise InvalidInput for the first argument out of its range."""
    ranges: tuple[tuple[str, float, float, float], ...] = (
        ("rows", rows, 1, MOST_ROWS),
        ("seed", seed, 0, 2**63),
        ("start", start, 0, 1),
        ("start_row", start_row or 0, 0, 2**53),
        ("width", width, 1, 2**53),
        ("magnitude", magnitude, 0, 10),
        ("noise", noise, 0, 0.5),
        ("offset", offset, 0, 2**53),
    )
    for name, value, low, high in ranges:
        if not low <= value <= high:
            raise InvalidInput(f"{name} is {value:,}; choose one from {low:,} to {high:,}")
    for name, choice, choices in (("drift", drift, DRIFTS), ("target_of_drift", target, TARGETS)):
        if choice not in choices:
            raise InvalidInput(f"There is no {name} {choice!r}. Choose one of: {', '.join(choices)}")

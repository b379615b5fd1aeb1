"""SEA concepts: Street and Kim, A streaming ensemble algorithm, KDD 2001."""

import numpy as np

from core.records import Column, Kind, Schema, Task
from core.sources.base import Source
from core.sources.drifting import Floats, stream

SCHEMA = Schema(tuple(Column(f"x{i}", Kind.NUMERIC) for i in range(3)), "target", Task.BINARY, ("0", "1"))


def world(generator: np.random.Generator, covariate: Floats, concept: Floats) -> tuple[Floats, Floats]:
    """Three even features, two of them count: x0 + x1 against 8. Concept drift moves the 8; the third is noise."""
    x = generator.uniform(0, 10, size=(len(covariate), 3))
    x[:, 0] += 2 * covariate
    return x, x[:, 0] + x[:, 1] - (8 + 3 * concept)


SEA = Source(
    "sea", "SEA concepts", "Three features, two of which count; concept drift moves the threshold on their sum.",
    "synthetic", SCHEMA, draw=stream(world, SCHEMA.names),
)  # fmt: skip

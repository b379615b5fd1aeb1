"""Two features and a line between the classes: the simplest stream there is."""

import numpy as np

from core.records import Column, Kind, Schema, Task
from core.sources.base import Source
from core.sources.drifting import Floats, stream

SCHEMA = Schema((Column("x0", Kind.NUMERIC), Column("x1", Kind.NUMERIC)), "target", Task.BINARY, ("0", "1"))


def world(generator: np.random.Generator, covariate: Floats, concept: Floats) -> tuple[Floats, Floats]:
    """Normal features; the label asks on which side of a line a row lies. Concept drift turns the line."""
    x = generator.normal(size=(len(covariate), 2)) + covariate[:, None]
    angle = np.pi / 4 + concept * np.pi / 2
    return x, x[:, 0] * np.cos(angle) + x[:, 1] * np.sin(angle)


LINEAR = Source(
    "linear", "Linear, two features", "Two normal features and a line between two classes; concept drift turns the line.",
    "synthetic", SCHEMA, draw=stream(world, SCHEMA.names),
)  # fmt: skip

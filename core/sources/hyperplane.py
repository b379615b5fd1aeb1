"""Rotating hyperplane: Hulten, Spencer and Domingos, Mining time-changing data streams, KDD 2001."""

import numpy as np

from core.records import Column, Kind, Schema, Task
from core.sources.base import Source
from core.sources.drifting import Floats, stream

FEATURES = 5
SCHEMA = Schema(tuple(Column(f"x{i}", Kind.NUMERIC) for i in range(FEATURES)), "target", Task.BINARY, ("0", "1"))
WEIGHTS = np.array([0.9, 0.7, 0.5, 0.3, 0.1])


def world(generator: np.random.Generator, covariate: Floats, concept: Floats) -> tuple[Floats, Floats]:
    """Even features in a cube, cut in half by a plane. Concept drift turns its weights to the reverse order."""
    x = generator.uniform(0, 1, size=(len(covariate), FEATURES))
    x[:, 0] += 0.3 * covariate
    weights = WEIGHTS + concept[:, None] * (WEIGHTS[::-1] - WEIGHTS)
    return x, (x * weights).sum(axis=1) - weights.sum(axis=1) / 2


HYPERPLANE = Source(
    "hyperplane", "Rotating hyperplane", "Five features and a plane between two classes; concept drift turns the plane.",
    "synthetic", SCHEMA, draw=stream(world, SCHEMA.names),
)  # fmt: skip

"""What a source of rows is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from core.records import Schema


@dataclass(frozen=True)
class Source:
    """Where rows come from. A synthetic one is drawn, a bundled one is read; both give features and the target.

    ``draw(rows, *, seed, drift, target_of_drift, start, width, magnitude, offset)``; ``read(first, last)``.
    """

    name: str
    label: str
    description: str
    kind: Literal["synthetic", "bundled"]
    schema: Schema
    draw: Callable[..., pd.DataFrame] = lambda *_, **__: pd.DataFrame()
    read: Callable[[int, int], pd.DataFrame] = lambda *_: pd.DataFrame()
    rows: int = 0

"""What a source of rows is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from core.errors import InvalidInput
from core.records import Schema


def _cannot(*_: Any, **__: Any) -> pd.DataFrame:
    raise InvalidInput("Synthetic streams are drawn and bundled ones are read: choose a stream of the other kind")


@dataclass(frozen=True)
class Source:
    """Where rows come from. A synthetic one is drawn, a bundled one is read; both give the features and the target.

    ``draw`` takes what `core.sources.drifting.stream` says; ``read(first, last)`` gives the rows at those positions, of ``rows``.
    """

    name: str
    label: str
    description: str
    kind: Literal["synthetic", "bundled"]
    schema: Schema
    draw: Callable[..., pd.DataFrame] = _cannot
    read: Callable[[int, int], pd.DataFrame] = _cannot
    rows: int = 0

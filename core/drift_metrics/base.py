"""What a drift metric is, and what it sees."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from core.records import Kind

Floats = NDArray[np.float64]

NUMBERS = frozenset({Kind.NUMERIC, Kind.TIMESTAMP})
CATEGORIES = frozenset({Kind.CATEGORICAL, Kind.BOOLEAN})
ANY = NUMBERS | CATEGORIES


@dataclass(frozen=True, eq=False)
class Pair:
    """Two windows of the same F features, in the same B bins: all a metric sees. Unused bins hold zero.

    ``reference`` and ``current`` are counts (F, B); ``points`` (F, B) the typical value in each bin; ``means`` the
    current mean minus the reference mean, and ``scale`` the reference's standard deviation, both (F,).
    ``missing`` is (2, F), missing counts of reference and current. ``time`` (F,) is the autocorrelation time of what
    the metric looks at: counts are worth that much less (see `core/dependence.py`).
    """

    reference: Floats
    current: Floats
    points: Floats
    means: Floats
    scale: Floats
    missing: Floats
    time: Floats

    @cached_property
    def rows(self) -> Floats:
        """Rows with a value, (2, F)."""
        return np.stack([self.reference.sum(axis=1), self.current.sum(axis=1)])

    @cached_property
    def shares(self) -> tuple[Floats, Floats]:
        """Share of the rows in each bin, reference and current, (F, B) each."""
        rows = np.maximum(self.rows, 1.0)
        return self.reference / rows[0][:, None], self.current / rows[1][:, None]

    @cached_property
    def pooled(self) -> Floats:
        """Share of the rows of both windows in each bin, (F, B)."""
        return np.asarray((self.reference + self.current) / np.maximum(self.rows.sum(axis=0), 1.0)[:, None])

    @cached_property
    def effective(self) -> Floats:
        """``n m / (n + m)`` in independent rows, (F,): what the variance of a difference of means is divided by."""
        n, m = self.rows
        return np.asarray(n * m / np.maximum(n + m, 1.0) / self.time)


@dataclass(frozen=True)
class Metric:
    """One drift metric. Every function is over F features at once; higher values are more drift, 0 is none.

    ``value(pair)``; ``tail(value, pair)``: the probability that rows without drift reach the value;
    ``limit(level, pair)``: the value they exceed with probability ``level``; ``floor(share)``: the value of the
    smallest shift worth caring about, where ``share`` of the rows moved. ``aspect`` says whose autocorrelation time
    counts: that of where the values lie ("location"), of their whole distribution ("shape"), of gaps ("missing").
    """

    name: str
    kinds: frozenset[Kind]
    aspect: str
    value: Callable[[Pair], Floats]
    tail: Callable[[Floats, Pair], Floats]
    limit: Callable[[Floats, Pair], Floats]
    floor: Callable[[float], float]

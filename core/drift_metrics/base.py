"""What a drift metric is, and what it sees."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, chdtrc, chdtri, fdtrc, ndtr, ndtri, stdtr, stdtrit

from core.records import Kind

Floats = NDArray[np.float64]

NUMBERS = frozenset({Kind.NUMERIC, Kind.TIMESTAMP})
CATEGORIES = frozenset({Kind.CATEGORICAL, Kind.BOOLEAN})
ANY = NUMBERS | CATEGORIES


@dataclass(frozen=True, eq=False)
class Links:
    """Each feature with the one other feature it has most surely stopped, or begun, to move together with.

    All (F,): ``change`` of Fisher's z of their correlation, its standard ``error`` by chance, the degrees of
    ``freedom`` of that, with how many ``partners`` the feature was compared, and which ``partner`` it is.
    """

    change: Floats
    error: Floats
    freedom: Floats
    partners: Floats
    partner: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pair:
    """Two windows of the same F features, in the same B bins: all a metric sees. Unused bins hold zero.

    ``reference`` and ``current`` are counts (F, B); ``points`` (F, B) the typical value in each bin; ``means`` the
    current mean minus the reference mean, and ``scale`` the reference's standard deviation, both (F,).
    ``missing`` is (2, F), missing counts of reference and current. ``time`` (F,) is the autocorrelation time of what
    the metric looks at, counts are worth that much less, and ``freedom`` (F,) the degrees of freedom of its estimate,
    infinite when it is known (see `core/dependence.py`). ``links`` says how features move together, where known.
    """

    reference: Floats
    current: Floats
    points: Floats
    means: Floats
    scale: Floats
    missing: Floats
    time: Floats
    freedom: Floats
    links: Links | None = None

    def known(self, freedom: Floats) -> "Pair":
        """The same windows, where the scale of what a metric looks at is known with this many degrees of freedom."""
        return replace(self, freedom=freedom)

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
    ``bins``: features with fewer in use, in both windows together, are not looked at.
    """

    name: str
    kinds: frozenset[Kind]
    aspect: str
    value: Callable[[Pair], Floats]
    tail: Callable[[Floats, Pair], Floats]
    limit: Callable[[Floats, Pair], Floats]
    floor: Callable[[float], float]
    bins: int = 2


# ---- tails whose scale was estimated -------------------------------------------------------------------------------
def normal_tail(z: Floats, pair: Pair) -> Floats:
    """The upper tail of a standardised normal whose variance was estimated: Student's t."""
    known = np.isinf(pair.freedom)
    if known.all():
        return np.asarray(ndtr(-z))
    return np.asarray(np.where(known, ndtr(-z), stdtr(np.where(known, 1.0, pair.freedom), -z)))


def normal_limit(level: Floats, pair: Pair) -> Floats:
    """The inverse of `normal_tail`."""
    known = np.isinf(pair.freedom)
    if known.all():
        return np.asarray(-ndtri(level))
    return np.asarray(np.where(known, -ndtri(level), -stdtrit(np.where(known, 1.0, pair.freedom), level)))


def squares_tail(total: Floats, freedom: Floats, pair: Pair) -> Floats:
    """The upper tail of a chi-square with ``freedom`` degrees of freedom whose scale was estimated: Fisher's F."""
    known = np.isinf(pair.freedom)
    if known.all():
        return np.asarray(np.where(total > 0, chdtrc(freedom, total), 1.0))
    estimated = fdtrc(freedom, np.where(known, 1.0, pair.freedom), total / freedom)
    return np.asarray(np.where(total > 0, np.where(known, chdtrc(freedom, total), estimated), 1.0))


def squares_limit(level: Floats, freedom: Floats, pair: Pair) -> Floats:
    """The inverse of `squares_tail`."""
    if np.isinf(pair.freedom).all():
        return np.asarray(chdtri(freedom, level))
    below = np.where(np.isinf(pair.freedom), 1.0, pair.freedom)
    ratio = np.maximum(betaincinv(below / 2.0, freedom / 2.0, level), 1e-300)
    return np.asarray(np.where(np.isinf(pair.freedom), chdtri(freedom, level), below * (1.0 - ratio) / ratio))


def softer(chance: Floats, pair: Pair) -> Floats:
    """A p-value from a known scale, for an estimated one: through the normal score to Student's t."""
    if np.isinf(pair.freedom).all():
        return chance
    z = -ndtri(np.clip(chance, 1e-300, 1.0) / 2.0)
    return np.asarray(np.where(np.isinf(pair.freedom), chance, np.minimum(2.0 * normal_tail(z, pair), 1.0)))


def stricter(level: Floats, pair: Pair) -> Floats:
    """The inverse of `softer`."""
    if np.isinf(pair.freedom).all():
        return level
    z = normal_limit(level / 2.0, pair)
    return np.asarray(np.where(np.isinf(pair.freedom), level, np.maximum(2.0 * ndtr(-z), 1e-300)))

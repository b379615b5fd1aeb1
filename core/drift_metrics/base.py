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
SMALLEST = 5.0  # expected count below which categories are rare


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

    ``reference`` and ``current`` are counts (F, B), of categories in cells (`in_cells`); ``points`` (F, B) the typical value in each bin; ``means`` the
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


def in_cells(
    reference: Floats, current: Floats, homes: NDArray[np.int64], alphabet: Floats, borders: Floats, time: Floats
) -> tuple[Floats, Floats]:
    """The two windows' counts of categories in cells that neither of them chose, (F, B) each: frequent categories, from
    the most to the least frequent in both windows together (of equals, the first by name), then what is rare.

    Rare is what has an expected count below 5 in the smaller window (Cochran, *Some methods for strengthening the
    common chi-square tests*, Biometrics 1954). That depends on the total of both windows only, which says nothing about
    a difference between them: tests stay valid. Bins do not: a category has one because it was frequent in the
    reference, and is less so in any other window; one that the reference never saw has none. So rare is also what
    that choice, at a share of ``borders`` (F,) of the reference's rows, could by chance have decided: an expected count
    there less than three standard deviations above it. What is rare goes to its bin in ``homes`` (F, B), where the
    categories without a bin are; of these, small ones and the last are one cell, which takes the smallest other along
    where it is itself too small. ``alphabet`` (F, B), 0 to 1, is the order of the names; ``time`` (F,) is how many rows
    are worth an independent one.
    """
    place = np.arange(reference.shape[1])
    n, m = reference.sum(axis=1), current.sum(axis=1)
    total, rows, border = reference + current, np.maximum(n + m, 1.0) * time, borders * n / time
    small, first = (total * (side / rows)[:, None] for side in (np.minimum(n, m), n))
    rare = (small < SMALLEST) | (first < (border + 3.0 * np.sqrt(border))[:, None])
    both = [_moved(side, np.where(rare, homes, place)) for side in (reference, current)]
    # a rest bin that is rare in turn goes to the last one, and the smallest cell with it if that is not enough
    small = (both[0] + both[1]) * (np.minimum(n, m) / rows)[:, None]
    last = homes.max(axis=1, keepdims=True)
    pool = (small < SMALLEST) | (place == last)
    pooled = np.where(pool, small, 0.0).sum(axis=1)
    short = (pooled > 0) & (pooled < SMALLEST)
    if short.any():
        smallest = np.where(pool, np.inf, small).argmin(axis=1)
        pool[short, smallest[short]] = True
    both = [_moved(side, np.where(pool, last, place)) for side in both]
    order = np.argsort(np.where(homes == place, 0.0, alphabet / 2.0 - both[0] - both[1]), axis=1, kind="stable")
    return np.take_along_axis(both[0], order, axis=1), np.take_along_axis(both[1], order, axis=1)


def _moved(counts: Floats, places: NDArray[np.int64]) -> Floats:
    """Counts (F, B) summed up at new places in their row."""
    rows, bins = counts.shape
    index = np.arange(rows)[:, None] * bins + places
    return np.asarray(np.bincount(index.ravel(), counts.ravel(), counts.size).reshape(rows, bins), np.float64)


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

"""Chi-square of two samples: how far the categories' shares lie apart, in units of what chance would do."""

import numpy as np

from core.drift_metrics.base import CATEGORIES, Floats, Metric, Pair, squares_limit, squares_tail

SMALLEST = 5.0  # expected count below which categories are pooled


def cells_of(pair: Pair) -> tuple[Floats, Floats]:
    """The two windows' counts with rare categories pooled into one, (F, B) each.

    Pooled is what has an expected count below 5 in the smaller window (Cochran, *Some methods for strengthening the
    common chi-square tests*, Biometrics 1954). That depends on the total of both windows only, which says nothing
    about a difference between them: the test stays valid.
    """
    n, m = pair.rows
    expected = pair.pooled * np.minimum(n, m)[:, None] / np.maximum(pair.time, 1.0)[:, None]
    rare = expected < SMALLEST
    # as long as the pool itself is too small, it takes the smallest category along
    pool = np.where(rare, expected, 0.0).sum(axis=1)
    short = (pool > 0) & (pool < SMALLEST)
    if short.any():
        smallest = np.where(rare | (expected <= 0), np.inf, expected).argmin(axis=1)
        rare[short, smallest[short]] = True
    reference = np.where(rare, 0.0, pair.reference)
    current = np.where(rare, 0.0, pair.current)
    pooled = np.stack([np.where(rare, side, 0.0).sum(axis=1) for side in (pair.reference, pair.current)])
    return np.c_[reference, pooled[0]], np.c_[current, pooled[1]]


def value(pair: Pair) -> Floats:
    """Squared differences of the shares over the pooled shares, 0 or more: chi-square divided by ``n m / (n + m)``.

    Pearson 1900; without the number of rows it is Cohen's w squared (*Statistical power analysis*, 1988, chapter 7).
    Both windows are samples: the one-sample form, which takes the reference for exact, cries wolf.
    """
    reference, current = cells_of(pair)
    n, m = np.maximum(pair.rows, 1.0)
    p, q = reference / n[:, None], current / m[:, None]
    both = (reference + current) / (n + m)[:, None]
    return np.asarray(((p - q) ** 2 / np.where(both > 0, both, 1.0)).sum(axis=1) * (pair.rows.min(axis=0) > 0))


def freedom(pair: Pair) -> Floats:
    """Degrees of freedom: categories (after pooling) less one, at least 1."""
    reference, current = cells_of(pair)
    return np.maximum((reference + current > 0).sum(axis=1) - 1.0, 1.0)


def tail(found: Floats, pair: Pair) -> Floats:
    return squares_tail(found * pair.effective, freedom(pair), pair)


def limit(level: Floats, pair: Pair) -> Floats:
    highest = pair.rows.sum(axis=0) ** 2 / np.maximum(pair.rows.prod(axis=0), 1.0)  # no two windows lie further apart
    return np.asarray(np.minimum(squares_limit(level, freedom(pair), pair) / np.maximum(pair.effective, 1e-9), highest))


def floor(share: float) -> float:
    """A share of the rows that moved makes w at least twice that share (Cauchy-Schwarz)."""
    return 4.0 * share**2


METRIC = Metric("chi_square", CATEGORIES, "shape", value, tail, limit, floor)

"""Chi-square of two samples: how far the categories' shares lie apart, in units of what chance would do."""

import numpy as np

from core.drift_metrics.base import CATEGORIES, Floats, Metric, Pair, squares_limit, squares_tail


def value(pair: Pair) -> Floats:
    """Squared differences of the shares over the pooled shares, 0 or more: chi-square divided by ``n m / (n + m)``.

    Pearson 1900. Cohen's w squared of the table of both windows (*Statistical power analysis*, 1988, chapter 7) is
    ``n m / (n + m)^2`` times this: a quarter, where they are equally long.
    Both windows are samples: the one-sample form, which takes the reference for exact, cries wolf.
    """
    p, q = pair.shares
    both = np.where(pair.pooled > 0, pair.pooled, 1.0)
    return np.asarray(((p - q) ** 2 / both).sum(axis=1) * (pair.rows.min(axis=0) > 0))


def freedom(pair: Pair) -> Floats:
    """Degrees of freedom: cells in use less one, at least 1."""
    return np.maximum((pair.pooled > 0).sum(axis=1) - 1.0, 1.0)


def tail(found: Floats, pair: Pair) -> Floats:
    return squares_tail(found * pair.effective, freedom(pair), pair)


def limit(level: Floats, pair: Pair) -> Floats:
    highest = pair.rows.sum(axis=0) ** 2 / np.maximum(pair.rows.prod(axis=0), 1.0)  # no two windows lie further apart
    return np.asarray(np.minimum(squares_limit(level, freedom(pair), pair) / np.maximum(pair.effective, 1e-9), highest))


def floor(share: float) -> float:
    """A share of the rows that moved makes the root of the value at least twice that share (Cauchy-Schwarz)."""
    return 4.0 * share**2


METRIC = Metric("chi_square", CATEGORIES, "shape", value, tail, limit, floor)

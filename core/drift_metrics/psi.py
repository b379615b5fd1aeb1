"""Population stability index: the symmetrised Kullback-Leibler divergence of credit scoring."""

import numpy as np

from core.drift_metrics.base import ANY, Floats, Metric, Pair, squares_limit, squares_tail

GROUPS = 10


def grouped(pair: Pair) -> tuple[Floats, Floats, Floats]:
    """Counts of both windows in tenths of the reference, and groups used.

    Bins whose middles lie in the same tenth of its rows count as one: rare categories that trade places are not seen.
    """
    p, _ = pair.shares
    middle = np.cumsum(p, axis=1) - p / 2.0
    group = np.minimum((middle * GROUPS).astype(np.int64), GROUPS - 1)
    features = len(p)
    index = (np.arange(features)[:, None] * GROUPS + group).ravel()
    sides: list[Floats] = [
        np.bincount(index, weights=side.ravel(), minlength=features * GROUPS)
        .astype(np.float64)
        .reshape(features, GROUPS)
        for side in (pair.reference, pair.current)
    ]
    return sides[0], sides[1], (sides[0] + sides[1] > 0).sum(axis=1).astype(np.float64)


def value(pair: Pair) -> Floats:
    """Sum of ``(q - p) ln(q / p)`` over tenths of the reference, 0 or more.

    Half a row is added to every group so that an empty one does not make it infinite. Kullback & Leibler 1951
    (divergence J); Siddiqi, *Credit risk scorecards*, 2006.
    """
    a, b, groups = grouped(pair)
    used = a + b > 0
    p = (a + 0.5) / (a.sum(axis=1) + groups / 2.0)[:, None]
    q = (b + 0.5) / (b.sum(axis=1) + groups / 2.0)[:, None]
    index = np.where(used, (q - p) * np.log(q / p), 0.0).sum(axis=1)
    return np.asarray(index * (pair.rows.min(axis=0) > 0))


def tail(found: Floats, pair: Pair) -> Floats:
    """Times ``n m / (n + m)`` it is chi-square with groups - 1 degrees of freedom without drift (Yurdakul 2018)."""
    return squares_tail(found * pair.effective, np.maximum(grouped(pair)[2] - 1.0, 1.0), pair)


def limit(level: Floats, pair: Pair) -> Floats:
    freedom = np.maximum(grouped(pair)[2] - 1.0, 1.0)
    return np.minimum(squares_limit(level, freedom, pair) / np.maximum(pair.effective, 1e-9), 1e3)


def floor(share: float) -> float:
    return 4.0 * share**2


METRIC = Metric("psi", ANY, "shape", value, tail, limit, floor)

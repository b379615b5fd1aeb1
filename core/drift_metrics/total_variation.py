"""Total variation: the share of the rows that would have to move for the two windows to look alike."""

import numpy as np

from core.drift_metrics.base import CATEGORIES, Floats, Metric, Pair, normal_limit, normal_tail


def value(pair: Pair) -> Floats:
    """Half the sum of the absolute differences of the shares, 0 to 1 (Levin, Peres & Wilmer 2009, prop. 4.2)."""
    p, q = pair.shares
    return np.asarray(np.abs(p - q).sum(axis=1) / 2.0 * (pair.rows.min(axis=0) > 0))


def expected(pair: Pair) -> Floats:
    """What chance alone gives on average: each difference is normal with variance ``s (1 - s) / effective``."""
    variance = pair.pooled * (1.0 - pair.pooled)
    return np.asarray(np.sqrt(variance / (2.0 * np.pi)).sum(axis=1) / np.sqrt(np.maximum(pair.effective, 1e-9)))


def tail(found: Floats, pair: Pair) -> Floats:
    """A bound: Gaussian concentration (Borell, Invent. Math. 1975) around the mean.

    In the limit total variation is a convex function of Gaussians whose best linear part, the difference in the share
    of one set of categories, has a variance of at most ``1 / (4 effective)``; its median is below its mean
    (Kwapien, *Probability in Banach Spaces* 9, 1994).
    """
    beyond = (found - expected(pair)) * 2.0 * np.sqrt(pair.effective)
    return np.asarray(np.where(beyond > 0, normal_tail(beyond, pair), 1.0))


def limit(level: Floats, pair: Pair) -> Floats:
    beyond = np.maximum(normal_limit(level, pair), 0.0) / (2.0 * np.sqrt(np.maximum(pair.effective, 1e-9)))
    return np.asarray(np.minimum(expected(pair) + beyond, 1.0))


def floor(share: float) -> float:
    return share


METRIC = Metric("total_variation", CATEGORIES, "shape", value, tail, limit, floor)

"""Mann-Whitney: how often a current value is above a reference value, against as often as not."""

import numpy as np

from core.drift_metrics.base import NUMBERS, Floats, Metric, Pair, normal_limit, normal_tail


def value(pair: Pair) -> Floats:
    """``|P(current > reference) - P(current < reference)|``, 0 to 1: no shift to complete separation.

    Ties count half. Mann & Whitney, *On a test of whether one of two random variables is stochastically larger than
    the other*, AMS 1947; as an effect size: Cliff's delta, 1993. A normal shift by 0.1 standard deviation gives 0.056.
    """
    p, q = pair.shares
    below = np.cumsum(p, axis=1) - p
    above = 1.0 - below - p
    return np.minimum(np.abs((q * (below - above)).sum(axis=1)), 1.0) * (pair.rows.min(axis=0) > 0)


def deviation(pair: Pair) -> Floats:
    """The standard deviation of the signed value without drift, with the correction for ties (Lehmann 1975, 1.20)."""
    n, m = pair.rows
    share = pair.pooled
    ties = 1.0 - (share * share * share).sum(axis=1)  # a power of 3 takes thirty times as long
    correction = 1.0 + 1.0 / np.maximum(n + m, 1.0)
    return np.asarray(np.sqrt(ties * correction / 3.0 / np.maximum(pair.effective, 1e-9)))


def tail(found: Floats, pair: Pair) -> Floats:
    """Two-sided p-value of the normal approximation."""
    return np.minimum(2.0 * normal_tail(found / np.maximum(deviation(pair), 1e-300), pair), 1.0)


def limit(level: Floats, pair: Pair) -> Floats:
    return np.minimum(normal_limit(level / 2.0, pair) * deviation(pair), 1.0)


def floor(share: float) -> float:
    """The normal shift that moves ``share`` of the rows: sqrt(2) times the share, to first order."""
    return float(np.sqrt(2.0) * share)


METRIC = Metric("mann_whitney", NUMBERS, "location", value, tail, limit, floor)

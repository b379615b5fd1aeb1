"""Mood: whether the values spread further, or less far, than they did."""

import numpy as np

from core.drift_metrics.base import NUMBERS, Floats, Metric, Pair, normal_limit, normal_tail


def scores(pair: Pair) -> Floats:
    """How far each bin lies from the middle of both windows together, (F, B): 0 at the median, 1 at the ends.

    ``(2 u - 1)^2`` of the share ``u`` of the rows below, ties counted half.
    """
    return np.asarray((2.0 * (np.cumsum(pair.pooled, axis=1) - pair.pooled / 2.0) - 1.0) ** 2)


def value(pair: Pair) -> Floats:
    """The difference of the windows' mean squared distance from the common middle, in ranks, 0 to 1.

    Mood, *On the asymptotic efficiency of certain nonparametric two-sample tests*, AMS 1954.
    """
    p, q = pair.shares
    return np.asarray(np.abs(((q - p) * scores(pair)).sum(axis=1)) * (pair.rows.min(axis=0) > 0))


def deviation(pair: Pair) -> Floats:
    """The standard deviation of the signed value without drift."""
    distance = scores(pair)
    mean = (pair.pooled * distance).sum(axis=1)
    variance = np.maximum((pair.pooled * distance**2).sum(axis=1) - mean**2, 0.0)
    return np.asarray(np.sqrt(variance / np.maximum(pair.effective, 1e-9)))


def tail(found: Floats, pair: Pair) -> Floats:
    """Two-sided p-value of the normal approximation."""
    return np.minimum(2.0 * normal_tail(found / np.maximum(deviation(pair), 1e-300), pair), 1.0)


def limit(level: Floats, pair: Pair) -> Floats:
    return np.minimum(normal_limit(level / 2.0, pair) * deviation(pair), 1.0)


def floor(share: float) -> float:
    """The normal change of scale that moves ``share`` of the rows: 0.76 times the share, to first order.

    Of a scale ``1 + d`` the value is ``4 d`` times the integral of the cubed density, ``0.368 d``; ``2 phi(1) d``, ``0.484 d``,
    of the rows move.
    """
    return 0.76 * share


METRIC = Metric("mood", NUMBERS, "shape", value, tail, limit, floor)

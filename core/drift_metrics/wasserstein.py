"""Wasserstein-1: how far the values moved on average, in standard deviations of the reference."""

import numpy as np

from core.drift_metrics.base import NUMBERS, Floats, Metric, Pair, normal_limit, normal_tail


def gaps(pair: Pair) -> Floats:
    """Distance from each bin's typical value to the next, in standard deviations of the reference, (F, B - 1)."""
    return np.maximum(np.diff(pair.points, axis=1), 0.0) / pair.scale[:, None]


def value(pair: Pair) -> Floats:
    """The area between the distribution functions over the reference's standard deviation, 0 or more.

    Vallender, *Calculation of the Wasserstein distance between probability distributions on the line*, 1974. Beyond
    the reference's range bins end; there the difference of the means, which it is never below, takes over.
    """
    p, q = pair.shares
    area = (np.abs(np.cumsum(p - q, axis=1))[:, :-1] * gaps(pair)).sum(axis=1)
    return np.asarray(np.maximum(area, np.abs(pair.means) / pair.scale) * (pair.rows.min(axis=0) > 0))


def expected(pair: Pair) -> Floats:
    """What chance alone gives on average: the distance at each value is normal, ``F (1 - F) / effective``."""
    below = np.clip(np.cumsum(pair.pooled, axis=1)[:, :-1], 0.0, 1.0)
    area = (np.sqrt(2.0 / np.pi * below * (1.0 - below)) * gaps(pair)).sum(axis=1)
    return np.asarray(area / np.sqrt(np.maximum(pair.effective, 1e-9)))


def spread(pair: Pair) -> Floats:
    """The largest standard deviation of a linear part, that of the mean of the binned values, in the unit of value."""
    mean = (pair.pooled * pair.points).sum(axis=1)
    variance = (pair.pooled * (pair.points - mean[:, None]) ** 2).sum(axis=1) / pair.scale**2
    return np.asarray(np.sqrt(np.maximum(variance, 1.0) / np.maximum(pair.effective, 1e-9)))


def tail(found: Floats, pair: Pair) -> Floats:
    """A bound: Gaussian concentration (Borell 1975) around the mean, see `total_variation.tail`."""
    beyond = (found - expected(pair)) / spread(pair)
    return np.asarray(np.where(beyond > 0, normal_tail(beyond, pair), 1.0))


def limit(level: Floats, pair: Pair) -> Floats:
    return np.minimum(expected(pair) + np.maximum(normal_limit(level, pair), 0.0) * spread(pair), 1e6)


def floor(share: float) -> float:
    """The normal shift that moves ``share`` of the rows is sqrt(2 pi) times that many standard deviations."""
    return float(np.sqrt(2.0 * np.pi) * share)


METRIC = Metric("wasserstein", NUMBERS, "shape", value, tail, limit, floor)

"""Kolmogorov-Smirnov: the largest distance between the two distribution functions."""

import numpy as np
from scipy.special import kolmogi, kolmogorov

from core.drift_metrics.base import NUMBERS, Floats, Metric, Pair, softer, stricter


def value(pair: Pair) -> Floats:
    """The Kolmogorov-Smirnov distance, 0 to 1: the largest gap between the distribution functions at a bin's end.

    Exact where values repeat in bins of their own; else at most one bin (1/250 of the rows) below the exact one.
    Kolmogorov 1933; Smirnov, *Table for estimating the goodness of fit of empirical distributions*, AMS 1948.
    """
    p, q = pair.shares
    return np.minimum(np.abs(np.cumsum(p - q, axis=1)).max(axis=1), 1.0)


def tail(found: Floats, pair: Pair) -> Floats:
    """The asymptotic p-value; conservative for few rows and for repeated values."""
    return softer(kolmogorov(found * np.sqrt(pair.effective)), pair)


def limit(level: Floats, pair: Pair) -> Floats:
    most = kolmogi(stricter(level, pair)) / np.sqrt(np.maximum(pair.effective, 1e-9))
    return np.asarray(np.minimum(most, 1.0))


def floor(share: float) -> float:
    """A share of the rows that moved shifts the distribution function by at most itself."""
    return share


METRIC = Metric("ks", NUMBERS, "shape", value, tail, limit, floor)

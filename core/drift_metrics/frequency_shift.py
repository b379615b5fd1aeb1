"""Frequency shift: whether rows move from common categories to rare ones, or back."""

from dataclasses import replace

import numpy as np

from core.drift_metrics import mann_whitney
from core.drift_metrics.base import Floats, Metric, Pair
from core.records import Kind


def ordered(pair: Pair) -> Pair:
    """The same windows, each feature's categories from the most to the least frequent in both windows together.

    Given how often each category occurs in all, which rows are in which window is chance: an order read from both
    windows together favours neither, and a test of ranks in it is valid. (One read from the reference alone would not
    be: categories that chance made frequent there are less so in any other window.)
    """
    order = np.argsort(-pair.pooled, axis=1, kind="stable")
    reference, current = (np.take_along_axis(side, order, axis=1) for side in (pair.reference, pair.current))
    return replace(pair, reference=reference, current=current)


def value(pair: Pair) -> Floats:
    """``|P(current is the rarer category) - P(current is the more common one)|``, 0 to 1: Mann-Whitney of those ranks.

    It has one degree of freedom where chi-square has as many as categories less one, and so sees the commonest change
    of a mix sooner; chi-square sees every other. A trend in an ordered table: Cochran, Biometrics 1954; Armitage,
    Biometrics 1955.
    """
    return mann_whitney.value(ordered(pair))


def tail(found: Floats, pair: Pair) -> Floats:
    return mann_whitney.tail(found, ordered(pair))


def limit(level: Floats, pair: Pair) -> Floats:
    return mann_whitney.limit(level, ordered(pair))


METRIC = Metric(
    "frequency_shift", frozenset({Kind.CATEGORICAL}), "location", value, tail, limit, mann_whitney.floor, bins=3
)

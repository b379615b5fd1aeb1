"""Missing rate: how much more, or less, often a value is missing."""

import numpy as np
from scipy.special import bdtrik, betainc

from core.drift_metrics.base import ANY, Floats, Metric, Pair, softer, stricter


def rarer(pair: Pair) -> tuple[Floats, Floats]:
    """Of missing and present values those that are fewer in both windows together, and all rows; both (2, F).

    The total alone decides, which says nothing about a difference between the windows: the test stays valid.
    """
    rows = pair.rows + pair.missing
    return np.where(2.0 * pair.missing.sum(axis=0) > rows.sum(axis=0), pair.rows, pair.missing), rows


def value(pair: Pair) -> Floats:
    """The absolute difference of the two missing rates, 0 to 1."""
    rows = np.maximum(pair.rows + pair.missing, 1.0)
    return np.asarray(np.abs(pair.missing[1] / rows[1] - pair.missing[0] / rows[0]))


def tail(found: Floats, pair: Pair) -> Floats:
    """Two-sided exact test: given their total, the missing values fall into the current window like coins.

    The binomial form of Fisher's exact test (Przyborowski & Wilenski, Biometrika 1940), through the incomplete beta
    function so that counts may be fractions; of a column that is mostly empty, the values that are there. Two windows
    without a missing value, or with nothing else, have p-value 1. Conservative, most where half of the values are missing.
    """
    few, rows = rarer(pair)
    now, total = few[1] / pair.time, few.sum(axis=0) / pair.time
    share = rows[1] / np.maximum(rows.sum(axis=0), 1.0)
    above = np.where(now > 0, betainc(np.maximum(now, 1e-9), np.maximum(total - now, 0.0) + 1.0, share), 1.0)
    before = total - now
    below = np.where(before > 0, betainc(np.maximum(before, 1e-9), np.maximum(now, 0.0) + 1.0, 1.0 - share), 1.0)
    return softer(np.minimum(2.0 * np.minimum(above, below), 1.0), pair)


def limit(level: Floats, pair: Pair) -> Floats:
    """The difference that would be reached with this total of missing values; 1 where no difference could be."""
    few, rows = rarer(pair)
    total, share = few.sum(axis=0) / pair.time, rows[1] / np.maximum(rows.sum(axis=0), 1.0)
    more = few[1] * rows[0] >= few[0] * rows[1]
    chance = np.where(more, share, 1.0 - share)
    needed = bdtrik(1.0 - np.minimum(stricter(level, pair) / 2.0, 0.5), total, chance) + 1.0
    needed = np.where(np.isfinite(needed), needed, np.inf)
    reachable = needed <= total
    side, other = np.where(more, rows[1], rows[0]), np.where(more, rows[0], rows[1])
    needed = np.where(reachable, needed, 0.0)
    difference = (needed / np.maximum(side, 1.0) - (total - needed) / np.maximum(other, 1.0)) * pair.time
    return np.asarray(np.where(reachable, np.clip(difference, 0.0, 1.0), 1.0))


def floor(share: float) -> float:
    """Values that go missing matter sooner than values that move."""
    return share / 4.0


METRIC = Metric("missing_rate", ANY, "missing", value, tail, limit, floor)

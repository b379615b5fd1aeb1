"""Jensen-Shannon distance: how much one learns, from a value, about which window it came from."""

import numpy as np

from core.drift_metrics.base import ANY, Floats, Metric, Pair, squares_limit, squares_tail
from core.drift_metrics.psi import grouped


def value(pair: Pair) -> Floats:
    """Square root of the Jensen-Shannon divergence in bits over tenths of the reference, 0 to 1.

    Lin, *Divergence measures based on the Shannon entropy*, IEEE Trans. Information Theory 1991; a distance:
    Endres & Schindelin, ibid. 2003.
    """
    a, b, _ = grouped(pair)
    p, q = a / np.maximum(a.sum(axis=1), 1.0)[:, None], b / np.maximum(b.sum(axis=1), 1.0)[:, None]
    middle = (p + q) / 2.0

    def bits(side: Floats) -> Floats:
        ratio = np.where(side > 0, side, 1.0) / np.where(side > 0, middle, 1.0)
        return np.asarray((side * np.log2(ratio)).sum(axis=1))

    divergence = (bits(p) + bits(q)) / 2.0
    return np.asarray(np.sqrt(np.clip(divergence, 0.0, 1.0)) * (pair.rows.min(axis=0) > 0))


def tail(found: Floats, pair: Pair) -> Floats:
    """``8 ln 2`` times the divergence times ``n m / (n + m)`` is chi-square without drift (second-order expansion)."""
    freedom = np.maximum(grouped(pair)[2] - 1.0, 1.0)
    return squares_tail(found**2 * 8.0 * np.log(2.0) * pair.effective, freedom, pair)


def limit(level: Floats, pair: Pair) -> Floats:
    freedom = np.maximum(grouped(pair)[2] - 1.0, 1.0)
    squared = squares_limit(level, freedom, pair) / (8.0 * np.log(2.0)) / np.maximum(pair.effective, 1e-9)
    return np.asarray(np.minimum(np.sqrt(squared), 1.0))


def floor(share: float) -> float:
    return float(share / np.sqrt(2.0 * np.log(2.0)))


METRIC = Metric("jensen_shannon", ANY, "shape", value, tail, limit, floor)

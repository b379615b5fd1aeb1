"""How long HTTP requests took lately, in this process: measured at the outermost door, read by `core.health`."""

import math
import sys
import time
from collections import deque

KEPT = 10_000
# (ended at, on the monotonic clock; milliseconds). Outside the module: hot reload makes a second copy of those.
_took: deque[tuple[float, float]] = sys.__dict__.setdefault("_continual_ml_latency", deque(maxlen=KEPT))


def record(milliseconds: float) -> None:
    _took.append((time.monotonic(), milliseconds))


def p95(seconds: float = 60.0) -> float | None:
    """95 % of the requests of the last seconds took at most this many ms; None when there were none."""
    since = time.monotonic() - seconds
    return nearest_rank([took for ended, took in list(_took) if ended >= since], 0.95)


def nearest_rank(values: list[float], share: float) -> float | None:
    """The smallest value that at least this share of the values do not exceed; None of nothing.

    >>> nearest_rank([3.0, 1.0, 2.0], 0.95), nearest_rank(list(range(1, 101)), 0.95), nearest_rank([], 0.95)
    (3.0, 95, None)
    """
    return sorted(values)[math.ceil(share * len(values)) - 1] if values else None

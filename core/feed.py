"""Is the feed whole? A window of rows against the windows before it, feature by feature, before anything learns from it.

A broken feed stops learning, so a fault is only what the world hardly does by itself: the window must lie further from
the known windows than these have ever lain from each other, and the pattern must be that of a fault:

* ``missing``: far more values are missing than ever
* ``unit``: divided by the factor of a unit, the values are the usual ones again; as they stand they are not
* ``stuck``: one value is repeated for half of the window or more, where values always changed quickly
* ``unseen``: categories that were never seen fill the window, where the known ones always mixed

What cannot be told is no fault: a column that hardly ever changes may stop to, one that is mostly zero may be all zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.records import Column, Kind, Schema
from core.values import as_numbers

Floats = NDArray[np.float64]

KNOWN = 12  # windows that tell what is usual
FEWEST = 4  # below that nothing is usual yet
FEWEST_VALUES, FEWEST_NONZERO = 15, 5  # of a window's values, to judge them
MORE_MISSING = 0.3  # of the rows, above the most that was ever missing
STUCK = 0.5  # of the rows in one run
QUICK = 4.0  # a run so many times the longest known one is no chance
WHOLE, CHANGES = 0.95, 10  # nor is all of the window, where every known one changes so many times
COMMON = 0.65  # a value that once filled so much of a window may fill all of it
VERY_COMMON = 0.9  # the same where it never stayed for long, and now all of the window is one run
UNSEEN = 0.5  # of the rows
FACTORS = (10.0, 100.0, 1_000.0, 1e6, 60.0, 3_600.0)
FEW_TIMES = 3.0  # no unit is mistaken for less
SAME_SIZE = 1.5  # times larger or smaller
FITS, MOST = 0.25, 0.7  # Kolmogorov-Smirnov distance up to which windows are alike, whatever is usual; and at most
GAIN = 0.3  # of that distance, that undoing the factor must bring


@dataclass(frozen=True)
class Fault:
    """What is wrong with a feature: ``seen`` now, ``usual`` before. ``what`` is missing, unit, stuck or unseen.

    Shares of the rows, 0 to 1; for a unit ``seen`` is the factor, such as 10.0 or 0.001, and ``usual`` is 1.
    """

    feature: str
    what: str
    seen: float
    usual: float


def faults(
    known: Mapping[int, pd.DataFrame], now: pd.DataFrame, schema: Schema, *, since: Mapping[str, int] | None = None
) -> tuple[Fault, ...]:
    """The faults of these rows, at most one a feature; none while fewer than `FEWEST` windows are known.

    ``known`` are good windows by number, oldest first. A feature's earlier values count only from window
    ``since[feature]`` on: that is how a person says that its new values are right.
    """
    found = []
    for column in schema.features:
        first = (since or {}).get(column.name, 0)
        before = [frame[column.name] for window, frame in known.items() if window >= first]
        if len(before) >= FEWEST and (fault := _fault(column, before, now[column.name])):
            found.append(fault)
    return tuple(found)


def _fault(column: Column, before: "Sequence[pd.Series[Any]]", now: "pd.Series[Any]") -> Fault | None:
    gone, lost = [float(part.isna().mean()) for part in before], float(now.isna().mean())
    if lost - max(gone) > max(MORE_MISSING, max(gone) - min(gone)):
        return Fault(column.name, "missing", round(lost, 4), round(max(gone), 4))
    *windows, current = _numbered(column, [*before, now])
    windows = [part for part in windows if len(part) >= FEWEST_VALUES]
    if len(windows) < FEWEST or len(current) < FEWEST_VALUES:
        return None
    if column.kind is Kind.NUMERIC and (factor := _factor(windows, current)):
        return Fault(column.name, "unit", factor, 1.0)
    if column.kind is Kind.CATEGORICAL and (share := _unseen(windows, current)):
        return Fault(column.name, "unseen", share, 0.0)
    if run := _stuck(windows, current):
        return Fault(column.name, "stuck", *run)
    return None


def _numbered(column: Column, parts: "Sequence[pd.Series[Any]]") -> list[Floats]:
    """The values that are there, as numbers (categories by their codes), window by window."""
    if column.kind is not Kind.CATEGORICAL:
        numbers = [np.asarray(as_numbers(part, column.kind), np.float64) for part in parts]
    else:
        codes = pd.factorize(pd.concat(list(parts), ignore_index=True))[0].astype(np.float64)
        codes[codes < 0] = np.nan
        numbers = np.split(codes, np.cumsum([len(part) for part in parts])[:-1])
    return [part[np.isfinite(part)] for part in numbers]


# ---- stuck, unseen -------------------------------------------------------------------------------
def _stuck(windows: Sequence[Floats], current: Floats) -> tuple[float, float] | None:
    """The longest run of one value now and before, as shares of a window, where the value cannot be stuck by itself."""
    run, value = _longest_run(current)
    if run < STUCK:
        return None
    longest = max(_longest_run(part)[0] for part in windows)
    quick, whole = run >= QUICK * longest, run >= WHOLE and _mixing(windows)
    common = max(float((part == value).mean()) for part in windows)
    if common > (VERY_COMMON if quick and whole else COMMON) or not (quick or whole):
        return None
    return round(run, 4), round(longest, 4)


def _longest_run(values: Floats) -> tuple[float, float]:
    """The longest run of one value, as a share of all, and that value.

    >>> _longest_run(np.array([1.0, 2.0, 2.0, 3.0]))
    (0.5, 2.0)
    """
    ends = _ends(values)
    lengths = np.diff(ends)
    longest = int(lengths.argmax())
    return float(lengths[longest] / len(values)), float(values[ends[longest + 1]])


def _ends(values: Floats) -> NDArray[np.int64]:
    """Where runs of one value end; -1 before the first."""
    return np.r_[-1, np.flatnonzero(values[1:] != values[:-1]), len(values) - 1]


def _mixing(windows: Sequence[Floats]) -> bool:
    """Does the value change many times in every window? What hardly changes may go where it has never been."""
    return min(len(_ends(part)) - 2 for part in windows) >= CHANGES


def _unseen(windows: Sequence[Floats], current: Floats) -> float | None:
    """The share of values that no known window holds, if it is the flood that none of them ever was to the others."""
    share = _new(current, windows)
    if share < UNSEEN or not _mixing(windows):
        return None
    usual = max(_new(part, [*windows[:at], *windows[at + 1 :]]) for at, part in enumerate(windows))
    return round(share, 4) if share >= QUICK * usual else None


def _new(part: Floats, others: Sequence[Floats]) -> float:
    return float((~np.isin(part, np.unique(np.concatenate(others)))).mean())


# ---- units -------------------------------------------------------------------------------------
def _factor(windows: Sequence[Floats], current: Floats) -> float | None:
    """The factor by which these values are too large (or, below 1, too small); None where they are not.

    Zeros say nothing about a unit. Divided by the factor, the values must have the known windows' size again, and lie
    as near to them, or to the newest of them, as these lie to each other.
    """
    nonzero, now = [part[part != 0] for part in windows], current[current != 0]
    if min(len(part) for part in [*nonzero, now]) < FEWEST_NONZERO:
        return None
    sizes, size = np.array([_size(part) for part in nonzero]), _size(now)
    low, high, width = sizes.min(), sizes.max(), np.ptp(sizes)
    if max(size - high, low - size) <= max(np.log(FEW_TIMES), width):
        return None
    slack = max(np.log(SAME_SIZE), width)
    ordered = [np.sort(part.astype(np.float32)) for part in nonzero]  # so that 0.3 / 0.1 is 3
    pool = np.sort(np.concatenate(ordered))
    fits = {
        factor: min(_distance(undone, pool), _distance(undone, ordered[-1]))
        for factor in (FACTORS if size > high else [1.0 / factor for factor in FACTORS])
        if low - slack <= size - np.log(factor) <= high + slack
        if len(undone := (now / factor).astype(np.float32))
    }
    if not fits or len(np.unique(np.concatenate(windows))) == 1:
        return None
    usual = max(min(_distance(part, pool), _distance(part, last)) for last, part in pairwise(ordered))
    limit = max(FITS, min(MOST, 2.0 * usual)) if _mixing(windows) else FITS
    factor = min(fits, key=lambda one: fits[one])
    return factor if fits[factor] <= limit and _distance(now, pool) - fits[factor] >= GAIN else None


def _size(values: Floats) -> float:
    """The logarithm of the values' median size."""
    return float(np.log(np.median(np.abs(values))))


def _distance(values: NDArray[Any], ordered: NDArray[Any]) -> float:
    """Kolmogorov-Smirnov distance of values from others in ascending order (Smirnov, Annals of Math. Statistics 1948).

    >>> _distance(np.array([1.0, 1.0]), np.array([1.0, 2.0]))
    0.5
    """
    at = np.unique(np.concatenate([values, ordered]))
    ours = np.searchsorted(np.sort(values), at, side="right") / len(values)
    theirs = np.searchsorted(ordered, at, side="right") / len(ordered)
    return float(np.abs(ours - theirs).max())

"""What a window of rows looks like: counts in bins that the reference fixed, per feature, in one vector.

A :class:`Reference` fixes the bins; a :class:`Profile` is what any other rows look like in them. Profiles of one
reference add up (:func:`merge`), so two windows of any length are compared without reading a row again. Nothing here
judges: `core/drift.py` does.

A numeric value falls into one of 65,536 *cells*, the upper 16 bits of ``float32(value - centre)``: sign, exponent and
seven bits of mantissa, so a cell is at most 1/128 of its distance from the centre wide, and counting is one pass of
``bincount`` with no search and no sort. A bin is a run of cells that holds about 1/250 of the reference, or one single
value where values repeat. Two more bins, empty in the reference, lie below its smallest and above its largest value.
Columns whose values crowd into few cells far from the centre are searched in sorted edges instead (slower, as exact).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.errors import InvalidInput, InvalidRows
from core.records import Column, Kind

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WIDTH = 256  # at most so many bins a feature
CATEGORIES = 1_000  # so many categories of a column are known by name; the first WIDTH - 2 have their own bin
CELLS = 1 << 16
LOWEST, HIGHEST = 0x7F, 0xFF80  # cells of -inf and +inf; NaN lies outside
CHUNK = 1 << 17  # rows counted at once: temporaries stay in the cache
FEW = 1 << 14  # below so many rows it is cheaper to search each row's bin than to count all the cells
SAMPLE = 10_000  # rows looked at to place the centre and to see whether cells are fine enough
NO_FLOATS: Floats = np.zeros(0)
NO_INTS: Ints = np.zeros(0, np.int64)


# ---- the bins of one feature -------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Feature:
    """The bins of one feature.

    numeric, boolean, timestamp (in seconds): bin ``i`` is ``(border[i - 1], border[i]]``, in cells (``borders``) or in
    values (``edges``); ``points[i]`` is the reference's typical value in it; ``centre`` and ``scale`` (standard
    deviation, 1 where there is none) are its unit. categorical: bin ``i`` is ``categories[i]``, the last one is the
    rest: rare categories, and those the reference never saw.
    """

    name: str
    kind: Kind
    bins: int
    centre: float = 0.0
    scale: float = 1.0
    borders: Ints = field(default_factory=lambda: NO_INTS)
    edges: Floats = field(default_factory=lambda: NO_FLOATS)
    points: Floats = field(default_factory=lambda: NO_FLOATS)
    categories: tuple[str, ...] = ()
    complete: bool = True  # every category of the reference is in `categories`

    @cached_property
    def codes(self) -> pd.Index:
        return pd.Index(self.categories, dtype=object)


@dataclass(frozen=True, eq=False)
class Profile:
    """Rows as counts. ``counts`` runs over the bins of all features, one after the other; the rest is per feature.

    ``sums`` and ``squares`` are of ``(value - centre) / scale`` over finite values. ``unseen`` counts values whose
    category the reference never saw. ``cross`` is the sum over ``sampled`` rows of the outer product of the numeric
    features' rank scores (see `Reference.score_table`): what it takes to see them stop moving together.
    """

    reference: str
    rows: int
    counts: Ints
    missing: Ints
    unseen: Ints
    sums: Floats
    squares: Floats
    sampled: int
    cross: Floats

    def to_bytes(self) -> bytes:
        """The profile as bytes, each array in the smallest integer type that holds it; read by `Profile.from_bytes`."""
        return _PROFILE.pack(b"CMP1", bytes.fromhex(self.reference), self.rows, self.sampled) + b"".join(
            _packed(array)
            for array in (
                self.counts,
                self.missing,
                self.unseen,
                self.sums,
                self.squares,
                self.cross.astype(np.float32).ravel(),
            )
        )

    @staticmethod
    def from_bytes(data: bytes) -> "Profile":
        """The profile that `to_bytes` wrote. Raises InvalidInput on anything else."""
        if data[:4] != b"CMP1":
            raise InvalidInput(f"{len(data)} bytes are no drift profile of this release. Profile the rows again.")
        _, reference, rows, sampled = _PROFILE.unpack_from(data)
        at, arrays = _PROFILE.size, []
        for _ in range(6):
            array, at = _unpacked(data, at)
            arrays.append(array)
        counts, missing, unseen, sums, squares, cross = arrays
        side = round(len(cross) ** 0.5)
        # counts keep their small integers: a year of profiles adds up faster that way
        return Profile(
            reference.hex(),
            rows,
            counts,
            missing.astype(np.int64),
            unseen.astype(np.int64),
            sums,
            squares,
            sampled,
            cross.reshape(side, side),
        )


_PROFILE = struct.Struct("<4s8sqq")
_TYPES = [np.dtype(t) for t in ("<u1", "<u2", "<u4", "<i8", "<f4", "<f8")]


def _packed(array: NDArray[Any]) -> bytes:
    """A one-dimensional array as type, length and values; integers shrink to what they need."""
    if array.dtype.kind == "i":
        top = int(array.max(initial=0))
        code = 0 if top < 1 << 8 else 1 if top < 1 << 16 else 2 if top < 1 << 32 else 3
    else:
        code = 4 if array.dtype == np.float32 else 5
    return struct.pack("<BI", code, len(array)) + array.astype(_TYPES[code], copy=False).tobytes()


def _unpacked(data: bytes, at: int) -> tuple[NDArray[Any], int]:
    code, length = struct.unpack_from("<BI", data, at)
    array = np.frombuffer(data, _TYPES[code], length, at + 5)
    return array, at + 5 + array.nbytes


def merge(*parts: Profile) -> Profile:
    """One profile of all the rows of several profiles of one reference. Raises InvalidInput when they do not match.

    ``merge(profile(ref, frame[:500]), profile(ref, frame[500:]))`` counts what ``profile(ref, frame)`` counts.
    """
    if not parts:
        raise InvalidInput("0 profiles to merge; at least one is needed.")
    first = parts[0]
    for part in parts:
        if part.reference != first.reference:
            raise InvalidInput(
                f"Profiles of references {first.reference} and {part.reference} have different bins. "
                "Profile the rows again with one reference."
            )
    if len(parts) == 1:
        return first

    def total(name: str, dtype: type) -> NDArray[Any]:
        out: NDArray[Any] = np.array(getattr(first, name), dtype)
        for part in parts[1:]:
            out += getattr(part, name)
        return out

    return Profile(
        first.reference,
        sum(part.rows for part in parts),
        total("counts", np.int64),
        total("missing", np.int64),
        total("unseen", np.int64),
        total("sums", np.float64),
        total("squares", np.float64),
        sum(part.sampled for part in parts),
        total("cross", np.float64),
    )


# ---- cells ---------------------------------------------------------------------------------------------------------
def cells(values: NDArray[Any], centre: float) -> NDArray[np.uint16]:
    """The cell of each value, 0 to 65,535 in the order of the values; NaN lies outside ``[LOWEST, HIGHEST]``."""
    with np.errstate(over="ignore"):
        key = (values - centre).astype("<f4").view("<u2")[1::2]
    return np.asarray(key ^ np.where(key >= 0x8000, np.uint16(0xFFFF), np.uint16(0x8000)))


def cell_values(cell: NDArray[Any], centre: float, part: float) -> Floats:
    """The value at ``part`` (0: the end near the centre, 1: the far end) of each cell. Exact at 0 for repeated values."""
    rank = np.asarray(cell, np.uint32)
    key = np.where(rank >= 0x8000, rank - 0x8000, 0xFFFF - rank).astype(np.uint32) << 16
    near = key.astype("<u4").view("<f4").astype(np.float64)
    far = (key | np.uint32(0xFFFF)).astype("<u4").view("<f4").astype(np.float64)
    return np.asarray(centre + near + part * (far - near))


def count_cells(values: NDArray[Any], centre: float) -> Ints:
    """How many values lie in each of the 65,536 cells."""
    buffer = np.empty(min(CHUNK, len(values)), "<f4")
    total = np.zeros(CELLS, np.int64)
    with np.errstate(over="ignore"):
        for start in range(0, len(values), CHUNK):
            part = values[start : start + CHUNK]
            np.subtract(part, centre, out=buffer[: len(part)], casting="unsafe")
            total += np.bincount(buffer[: len(part)].view("<u2")[1::2], minlength=CELLS)
    return np.concatenate([total[:0x7FFF:-1], total[:0x8000]])


def numbers(column: "pd.Series[Any]", kind: Kind) -> NDArray[Any]:
    """A numeric, boolean or timestamp column as floats (timestamps in seconds), NaN where missing."""
    if kind is Kind.TIMESTAMP:
        stamps = pd.to_datetime(column, utc=True).dt.tz_localize(None).to_numpy("datetime64[us]")
        seconds = stamps.astype(np.int64) / 1e6
        seconds[np.isnat(stamps)] = np.nan
        return np.asarray(seconds, np.float64)
    values = column.to_numpy()
    if values.dtype in (np.float64, np.float32):
        return values
    if values.dtype.kind in "iub":
        return values.astype(np.float64)
    try:
        return column.to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise InvalidRows(
            f"Column '{column.name}' holds values that are no numbers ({error}). Convert it first."
        ) from None


# ---- placing the bins ----------------------------------------------------------------------------------------------
def place_bins(column: Column, values: "pd.Series[Any]") -> tuple[Feature, Ints | None]:
    """The bins of one feature, from the reference's rows, and the counts in them where placing them counted anyway."""
    if column.kind is Kind.CATEGORICAL:
        return _place_categories(column, values), None
    return _place_numbers(column, numbers(values, column.kind))


def _place_categories(column: Column, values: "pd.Series[Any]") -> Feature:
    found, counts, _ = count_categories(values)
    order = np.lexsort((np.array(found, dtype=str), -counts)) if len(found) else NO_INTS
    names = tuple(found[i] for i in order if counts[i] > 0)
    return Feature(
        column.name,
        column.kind,
        bins=min(len(names), WIDTH - 2) + 1,
        categories=names[:CATEGORIES],
        complete=len(names) <= CATEGORIES,
    )


def _place_numbers(column: Column, values: NDArray[Any]) -> tuple[Feature, Ints | None]:
    sample = values[:: max(1, len(values) // SAMPLE)].astype(np.float64)
    sample = np.sort(sample[np.isfinite(sample)])
    if not len(sample):  # too rare to be in the sample, or nothing but missing
        sample = np.sort(values[np.isfinite(values)].astype(np.float64))[:SAMPLE]
    if not len(sample):
        return Feature(column.name, column.kind, bins=1, points=np.zeros(1)), None
    centre = float(sample[len(sample) // 2])
    if len(values) < FEW:
        found, times = np.unique(cells(values, centre), return_counts=True)
        inside = (found > LOWEST) & (found < HIGHEST)
        used, mass = found[inside].astype(np.int64), times[inside]
        infinite = bool(np.isin(found, (LOWEST, HIGHEST)).any())
    else:
        ordered = count_cells(values, centre)
        used = np.flatnonzero(ordered[LOWEST + 1 : HIGHEST]) + LOWEST + 1
        mass = ordered[used]
        infinite = bool(ordered[LOWEST] or ordered[HIGHEST])
    if _too_coarse(sample, centre, used, mass):
        return _place_edges(column, sample, centre), None
    last = _quantile_ends(mass)  # index of the last used cell of each bin
    starts = np.r_[0, last[:-1] + 1]
    borders = np.r_[used[0] - 1, used[last]]
    typical = cell_values(used, centre, 0.0 if len(last) == len(used) else 0.5)
    counts = np.add.reduceat(mass, starts)
    points = np.add.reduceat(typical * mass, starts) / counts
    feature = Feature(
        column.name,
        column.kind,
        len(borders) + 1,
        centre,
        _spread(typical, mass),
        borders=borders,
        points=np.r_[points[0], points, points[-1]],
    )
    return feature, None if infinite else np.r_[0, counts, 0].astype(np.int64)


def _place_edges(column: Column, sample: Floats, centre: float) -> Feature:
    """Bins searched in sorted values: for columns whose values are too close together for cells."""
    found, counts = np.unique(sample, return_counts=True)
    last = _quantile_ends(counts)
    starts = np.r_[0, last[:-1] + 1]
    points = np.add.reduceat(found * counts, starts) / np.add.reduceat(counts, starts)
    edges = np.r_[np.nextafter(found[0], -np.inf), found[last]]
    points = np.r_[points[0], points, points[-1]]
    return Feature(
        column.name, column.kind, len(edges) + 1, centre, _spread(found, counts), edges=edges, points=points
    )


def _quantile_ends(mass: Ints) -> Ints:
    """Where bins of about equal mass end, as indices into ascending values of the given mass. At most WIDTH - 2 bins.

    A value heavier than a bin has one for itself, so that the distribution function is exact on both its sides.
    """
    if len(mass) <= WIDTH - 3:
        return np.arange(len(mass))
    total = np.cumsum(mass)
    for bins in (WIDTH - 6, 180, 120):
        ends = np.searchsorted(total, total[-1] * np.arange(1, bins) / bins)
        alone = np.flatnonzero(mass > total[-1] / bins)
        ends = np.unique(np.r_[ends, alone, np.maximum(alone - 1, 0), len(mass) - 1])
        if len(ends) <= WIDTH - 3:
            break
    return ends


def _too_coarse(sample: Floats, centre: float, used: Ints, mass: Ints) -> bool:
    """Whether a cell that holds more than two bins' worth of the reference holds several different values."""
    heavy = used[mass > 2 * mass.sum() / (WIDTH - 6)]
    if not len(heavy):
        return False
    where = cells(sample, centre)
    inside = np.isin(where, heavy)
    return len(np.unique(sample[inside])) > len(np.unique(where[inside]))


def _spread(values: Floats, mass: Ints) -> float:
    """The standard deviation of values with the given mass; 1 where they are all one."""
    mean = float(np.average(values, weights=mass))
    spread = float(np.sqrt(np.average((values - mean) ** 2, weights=mass)))
    return spread if spread > 1e-12 * max(abs(mean), 1e-300) and np.isfinite(spread) else 1.0


# ---- counting ------------------------------------------------------------------------------------------------------
def count_numbers(feature: Feature, values: NDArray[Any]) -> tuple[Ints, int]:
    """Counts per bin, and how many values are missing."""
    if len(feature.edges):
        counts = np.zeros(feature.bins + 1, np.int64)
        for start in range(0, len(values), CHUNK):
            part = values[start : start + CHUNK]
            found = np.searchsorted(feature.edges, part, side="left")
            found[np.isnan(part)] = feature.bins
            counts += np.bincount(found, minlength=feature.bins + 1)
        return counts[:-1], int(counts[-1])
    if len(values) < FEW:
        where = bins_of(feature, values)
        counts = np.bincount(where, minlength=feature.bins + 1)
        return counts[:-1], int(counts[-1])
    ordered = count_cells(values, feature.centre)
    inside = ordered[: HIGHEST + 1]
    counts = np.add.reduceat(inside, np.r_[LOWEST, feature.borders + 1])
    return counts, len(values) - int(counts.sum())


def bins_of(feature: Feature, values: NDArray[Any]) -> Ints:
    """The bin of each value; ``feature.bins`` where it is missing."""
    if len(feature.edges):
        found = np.searchsorted(feature.edges, values, side="left")
        missing = np.isnan(values)
    else:
        where = cells(values, feature.centre)
        found = np.searchsorted(feature.borders, where.astype(np.int64), side="left")
        missing = (where < LOWEST) | (where > HIGHEST)
    found[missing] = feature.bins
    return found


def moments(feature: Feature, values: NDArray[Any]) -> tuple[float, float]:
    """Sum and sum of squares of ``(value - centre) / scale`` over the finite values."""
    total = squares = 0.0
    buffer = np.empty(min(CHUNK, len(values)))
    for start in range(0, len(values), CHUNK):
        part = values[start : start + CHUNK]
        shifted = np.subtract(part, feature.centre, out=buffer[: len(part)])
        part_sum = float(shifted.sum())
        if not np.isfinite(part_sum):
            shifted = shifted[np.isfinite(shifted)]
            part_sum = float(shifted.sum())
        total += part_sum
        squares += float(np.einsum("i,i->", shifted, shifted))
    return total / feature.scale, squares / feature.scale**2


def count_categories(values: "pd.Series[Any]") -> tuple[list[str], Ints, int]:
    """The categories found (as text, in no order), how often each occurs, and how many values are missing."""
    codes, names = category_codes(values)
    counts = np.bincount(codes + 1, minlength=len(names) + 1)
    return names, counts[1:], int(counts[0])


def category_codes(values: "pd.Series[Any]") -> tuple[Ints, list[str]]:
    """Each value's code (-1 where missing) and the categories the codes stand for, as text."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.cat.codes.to_numpy().astype(np.int64), [str(name) for name in values.cat.categories]
    if isinstance(values.dtype, pd.StringDtype) and values.dtype.storage == "pyarrow":
        values = pd.Series(values.array._pa_array.dictionary_encode().to_pandas())  # type: ignore[attr-defined]
        return category_codes(values.astype("category"))
    codes, found = pd.factorize(values, use_na_sentinel=True)
    names = [str(name) for name in found]
    if len(set(names)) < len(names):  # 1 and "1" are one category
        merged = pd.Index(dict.fromkeys(names))
        codes = np.where(codes < 0, -1, merged.get_indexer(names)[codes])
        names = list(merged)
    return codes.astype(np.int64), names


def category_bins(feature: Feature, names: Sequence[str]) -> Ints:
    """The bin of each category; the last bin takes the rare ones and those the reference never saw."""
    found = feature.codes.get_indexer(pd.Index(names, dtype=object))
    return np.where((found < 0) | (found >= feature.bins - 1), feature.bins - 1, found).astype(np.int64)


def column_of(frame: pd.DataFrame, name: str) -> "pd.Series[Any]":
    if name not in frame.columns:
        raise InvalidRows(f"Column '{name}' is missing from the rows. Offer rows with every feature of the reference.")
    return frame[name]

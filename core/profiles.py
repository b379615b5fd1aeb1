"""What a window of rows looks like: counts in bins that the reference fixed, per feature, in one vector.

A :class:`Reference` fixes the bins; a :class:`Profile` is what any other rows look like in them. Profiles of one
reference add up (:func:`merge`), so two windows of any length are compared without reading a row again. Nothing here
judges: `core/drift.py` does.

Numbers are counted in cells (`core/cells.py`). A bin is a run of cells that holds about 1/250 of the reference, or one single
value where values repeat. Two more bins, empty in the reference, lie below its smallest and above its largest value.
Columns whose values crowd into few cells far from the centre, or that a float32 does not hold, are searched in sorted
edges instead (slower, as exact).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.cells import BLOCKS, CELLS, CHUNK, HIGHEST, LOWEST, Sweep, add_counts, cell_values, cells, sweep, used_cells
from core.errors import InvalidInput
from core.records import Column, Kind
from core.values import Codes, Values, hashed

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WIDTH = 256  # at most so many bins a number
CATEGORIES = 1_000  # so many categories of a column are known by name
NAMED = 512  # the most frequent of them, at most so many, have a bin of their own
RESTS = 32  # the rest of a column with more categories than this is spread over as many bins
FEW = 1 << 14  # below so many rows it is cheaper to search each row's bin than to count all the cells
TABLE = 1 << 10  # from so many rows on their bins are read from a table of all cells
LARGEST = 1e38  # distances from the centre beyond are searched in sorted edges: float32 ends at 3.4e38
PLAIN = 1e15  # scales beyond, or below its inverse, have squares that a float32 does not hold
SAMPLE = 4_000  # rows looked at to place the centre and to see whether cells are fine enough
NO_FLOATS: Floats = np.zeros(0)
NO_INTS: Ints = np.zeros(0, np.int64)


# ---- the bins of one feature -------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Feature:
    """The bins of one feature.

    numeric, boolean, timestamp (in seconds; a ``clock`` in seconds from row to row): bin ``i`` is ``(border[i - 1], border[i]]``, in cells (``borders``) or in
    values (``edges``); ``points[i]`` is the reference's typical value in it; ``centre`` and ``scale`` (standard
    deviation, 1 where there is none) are its unit. categorical: bin ``i`` is ``categories[i]``, the last ``rests`` are
    the rest: rare categories, and those the reference never saw, each in the bin that its name's hash says.
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
    answer: bool = False  # the label or the prediction: judged only when asked for by name
    clock: bool = False  # a timestamp that moves on with the rows: what is compared is the seconds from row to row
    rests: int = 1

    @property
    def named(self) -> int:
        """How many categories have a bin of their own."""
        return self.bins - self.rests

    @property
    def all_named(self) -> bool:
        """Whether every category of the reference has a bin of its own."""
        return self.complete and len(self.categories) <= self.named

    @cached_property
    def homes(self) -> Ints:
        """The bin that takes each bin's rows where its category is too rare to stand alone, (bins,)."""
        rests = np.arange(self.named, self.bins)
        if self.rests == 1:
            return np.repeat(rests, self.bins)
        return np.concatenate([self.named + hashed(self.categories[: self.named], self.rests), rests])

    @cached_property
    def positions(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.categories)}


@dataclass(frozen=True, eq=False)
class Profile:
    """Rows as counts. ``counts`` runs over the bins of all features, one after the other; the rest is per feature.

    ``sums`` and ``squares`` are of ``(value - centre) / scale`` over finite values. ``unseen`` counts values whose
    category the reference never saw. ``cross`` is the sketch of how the features of ``sampled`` of the rows move
    together (`core.comovement`); empty where they were not looked at together.
    """

    reference: str
    rows: int
    counts: Ints
    missing: Ints
    unseen: Ints
    sums: Floats
    squares: Floats
    sampled: int
    cross: NDArray[np.floating]

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
                self.cross.astype(np.float32),
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
            cross,
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

    ``merge(profile(ref, frame[:500]), profile(ref, frame[500:]))`` counts what ``profile(ref, frame)`` counts. How
    features move together is known of the whole only when it is of each part.
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
        return _sum([getattr(part, name) for part in parts], dtype)

    return Profile(
        first.reference,
        sum(part.rows for part in parts),
        total("counts", np.int64),
        total("missing", np.int64),
        total("unseen", np.int64),
        total("sums", np.float64),
        total("squares", np.float64),
        sum(part.sampled for part in parts),
        total("cross", np.float64) if all(len(part.cross) == len(first.cross) for part in parts) else NO_FLOATS,
    )


def _sum(arrays: Sequence[NDArray[Any]], dtype: type) -> NDArray[Any]:
    """The sum of arrays of one length. Bytes add up in two bytes as long as they fit: three times faster."""
    small = [array for array in arrays if array.dtype == np.uint8]
    out: NDArray[Any] = np.zeros(len(arrays[0]), dtype)
    for start in range(0, len(small), 256):
        part = small[start].astype(np.uint16)
        for array in small[start + 1 : start + 256]:
            part += array
        out += part
    for array in arrays:
        if array.dtype != np.uint8:
            out += array
    return out


class Counted(NamedTuple):
    """Counts per bin, the sum and the sum of squares of ``(value - centre) / scale``, and how many are unseen.

    ``blocks`` (BLOCKS,) are the means in stretches of a large column of what varies with ``variance`` from row to row:
    of ``(value - centre) / scale`` where no value is missing, of the reference's most frequent category; else empty.
    """

    counts: Ints
    total: float = 0.0
    squares: float = 0.0
    unseen: int = 0
    blocks: Floats = NO_FLOATS
    variance: float = 1.0


# ---- placing the bins ----------------------------------------------------------------------------------------------
def place_bins(column: Column, values: Values) -> tuple[Feature, Counted]:
    """The bins of one feature, from the reference's rows, and these rows counted."""
    if isinstance(values, Codes):
        return _place_categories(column, values)
    return _place_numbers(column, values)


def _place_categories(column: Column, values: Codes) -> tuple[Feature, Counted]:
    found, counts = values.names, count_codes(values)
    order = sorted((i for i in range(len(found)) if counts[i] > 0), key=lambda i: (-counts[i], found[i]))
    rests, named = RESTS if len(order) > RESTS else 1, min(len(order), NAMED)
    if named < len(order):  # of equally frequent categories all have a name, or none
        named = int((counts[order[:named]] > counts[order[named]]).sum())
    feature = Feature(
        column.name,
        column.kind,
        bins=named + rests,
        categories=tuple(found[i] for i in order[:CATEGORIES]),
        complete=len(order) <= CATEGORIES,
        rests=rests,
    )
    counted = Counted(_in_bins(feature, found, counts)[0])
    if not order or len(values.codes) < FEW:
        return feature, counted
    blocks = block_counts(values.codes, order[0]) / (len(values.codes) // BLOCKS)
    share = float(blocks.mean())
    return feature, counted._replace(blocks=blocks, variance=share * (1.0 - share))


def _place_numbers(column: Column, values: NDArray[Any]) -> tuple[Feature, Counted]:
    sample = values[:: max(1, len(values) // SAMPLE)].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if not len(sample):  # too rare to be in the sample, or nothing but missing
        sample = values[np.isfinite(values)][:SAMPLE].astype(np.float64)
    if not len(sample):
        feature = Feature(column.name, column.kind, bins=1, points=np.zeros(1))
        return feature, count(feature, values)
    middle = len(sample) // 2
    centre = float(np.partition(sample, middle)[middle])
    swept = sweep(values, centre) if len(values) >= FEW else None
    if swept is None:
        found, times = np.unique(cells(values, centre), return_counts=True)
        inside = (found > LOWEST) & (found < HIGHEST)
        used, mass = found[inside].astype(np.int64), times[inside]
    else:
        used, mass = used_cells(swept)
    if _too_coarse(sample, centre, used, mass) or np.ptp(sample / 2.0) > LARGEST:
        feature = _place_edges(column, sample, centre)
        counted = count(feature, values)
        return feature, counted if swept is None else counted._replace(blocks=_block_means(feature, swept, len(values)))
    last = _quantile_ends(mass)  # index of the last used cell of each bin
    starts = np.concatenate(([0], last[:-1] + 1))
    borders = np.concatenate((used[:1] - 1, used[last]))
    typical = cell_values(used, centre, 0.0 if len(last) == len(used) else 0.5)
    points = np.add.reduceat(typical * mass, starts) / np.add.reduceat(mass, starts)
    feature = Feature(
        column.name,
        column.kind,
        len(borders) + 1,
        centre,
        _spread(typical, mass),
        borders=borders,
        points=np.concatenate((points[:1], points, points[-1:])),
    )
    if swept is None:
        return feature, count(feature, values)
    return feature, _with_sums(feature, values, swept, bin_counts(feature, swept))


def _place_edges(column: Column, sample: Floats, centre: float) -> Feature:
    """Bins searched in sorted values: for columns whose values are too close together for cells."""
    found, counts = np.unique(sample, return_counts=True)
    last = _quantile_ends(counts)
    starts = np.concatenate(([0], last[:-1] + 1))
    points = np.add.reduceat(found * counts, starts) / np.add.reduceat(counts, starts)
    edges = np.r_[np.nextafter(found[0], -np.inf), found[last]]
    points = np.r_[points[0], points, points[-1]]
    return Feature(column.name, column.kind, len(edges) + 1, centre, _spread(found, counts), edges=edges, points=points)


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
        ends = np.sort(np.concatenate((ends, alone, np.maximum(alone - 1, 0), [len(mass) - 1])))
        ends = ends[np.append(True, ends[1:] != ends[:-1])]
        if len(ends) <= WIDTH - 3:
            break
    return ends


def _too_coarse(sample: Floats, centre: float, used: Ints, mass: Ints) -> bool:
    """Whether a cell that holds more than two bins' worth of the reference holds several different values."""
    heavy = used[mass > 2 * mass.sum() / (WIDTH - 6)]
    if not len(heavy):
        return False
    sample = np.sort(sample)
    where = cells(sample, centre)  # ascending, as the sample is
    shared = np.zeros(CELLS, bool)
    shared[where[1:][(where[1:] == where[:-1]) & (sample[1:] != sample[:-1])]] = True
    return bool(shared[heavy].any())


def _spread(values: Floats, mass: Ints) -> float:
    """The standard deviation of values with the given mass; 1 where they are all one."""
    rows = float(mass.sum())
    unit = max(float(np.abs(values).max()), 1e-300)  # squares of large values would be infinite
    shares = mass / rows
    mean = float(values @ shares)
    spread = unit * float(np.sqrt(((values - mean) / unit) ** 2 @ shares))
    return spread if spread > 1e-12 * max(abs(mean), 1e-300) and np.isfinite(spread) else 1.0


# ---- counting ------------------------------------------------------------------------------------------------------
def count(feature: Feature, values: Values) -> Counted:
    """The values of one column, counted in the feature's bins; missing ones in none."""
    if isinstance(values, Codes):
        counts, unseen = _in_bins(feature, values.names, count_codes(values))
        return Counted(counts, unseen=unseen)
    if len(values) >= FEW and not len(feature.edges):
        swept = sweep(values, feature.centre)
        return _with_sums(feature, values, swept, bin_counts(feature, swept))
    counts = np.zeros(feature.bins + 1, np.int64)
    for start in range(0, len(values), CHUNK):
        counts += np.bincount(bins_of(feature, values[start : start + CHUNK]), minlength=feature.bins + 1)
    return Counted(counts[:-1], *moments(feature, values))


def _in_bins(feature: Feature, names: Sequence[str], times: Ints) -> tuple[Ints, int]:
    """How often each of these categories occurs, summed up to bins, and how many rows hold one never seen before."""
    bins, unseen = category_bins(feature, names)
    return np.bincount(bins, weights=times, minlength=feature.bins).astype(np.int64), int(times[unseen].sum())


def _with_sums(feature: Feature, values: NDArray[Any], swept: Sweep, counts: Ints) -> Counted:
    """The counts of a column with its sums, as they were swept up where a float32 holds them."""
    plain = np.isfinite(swept.total) and np.isfinite(swept.squares) and 1.0 / PLAIN < feature.scale < PLAIN
    if not plain:
        return Counted(counts, *moments(feature, values))
    total, squares = swept.total / feature.scale, swept.squares / feature.scale**2
    return Counted(counts, total, squares, blocks=_block_means(feature, swept, len(values)))


def _block_means(feature: Feature, swept: Sweep, rows: int) -> Floats:
    """The means of ``(value - centre) / scale`` in BLOCKS stretches; empty when a value is missing."""
    return swept.blocks / (rows // BLOCKS) / feature.scale if np.isfinite(swept.total) else NO_FLOATS


def bin_counts(feature: Feature, swept: Sweep) -> Ints:
    """The cells summed up to bins."""
    last = np.concatenate(([LOWEST - 1], feature.borders, [HIGHEST]))  # cell before the first bin, last cell of each
    middle = int(np.searchsorted(last, 0x8000))  # the cells before it are those of negative numbers
    above = len(last) - middle
    # both halves from the centre outwards; the last sum of each is of no numbers
    starts = np.concatenate(([0], last[middle:] - 0x7FFF, [0x8000], 0xFFFF - last[:middle][::-1]))
    sums = np.add.reduceat(swept.halves, starts, dtype=np.int32)
    counts = np.concatenate((sums[above + 1 : -1][::-1], sums[1:above])).astype(np.int64)
    if last[middle - 1] == 0x7FFF:  # no cell of this bin is negative: of none, `reduceat` gives the next
        counts[middle - 1] = 0
    counts[middle - 1] += sums[0]
    return counts


def bins_of(feature: Feature, values: NDArray[Any]) -> Ints:
    """The bin of each value; ``feature.bins`` where it is missing."""
    if len(feature.edges):
        found = np.searchsorted(feature.edges, values, side="left")
        missing = np.isnan(values)
        found[missing] = feature.bins
        return found
    where = cells(values, feature.centre)
    if len(values) < TABLE:
        found = np.searchsorted(feature.borders, where.astype(np.int64), side="left")
        found[(where < LOWEST) | (where > HIGHEST)] = feature.bins
        return found
    ends = np.concatenate(([0, LOWEST], feature.borders + 1, [HIGHEST + 1, CELLS]))
    bins = np.append(feature.bins, np.arange(feature.bins + 1)).astype(np.uint16)  # NaN is at both ends
    return np.asarray(np.repeat(bins, ends[1:] - ends[:-1])[where], np.int64)


def moments(feature: Feature, values: NDArray[Any]) -> tuple[float, float]:
    """Sum and sum of squares of ``(value - centre) / scale`` over the finite values."""
    total, count = float(values.sum()), len(values)
    if not np.isfinite(total):
        values = values[np.isfinite(values)]
        total, count = float(values.sum()), len(values)
    if abs(feature.centre) > 1e3 * feature.scale or feature.scale > PLAIN or values.dtype != np.float64:
        values = (values.astype(np.float64) - feature.centre) / feature.scale  # too far off zero for plain sums
        return float(values.sum()), float(np.einsum("i,i->", values, values))
    squares = float(np.einsum("i,i->", values, values))
    shifted = squares - 2.0 * feature.centre * total + count * feature.centre**2
    return (total - count * feature.centre) / feature.scale, max(shifted, 0.0) / feature.scale**2


def count_codes(values: Codes) -> Ints:
    """How often each category occurs."""
    codes, size = values.codes, len(values.names)
    if codes.itemsize == 1 and size <= 9:  # comparing bytes is faster than counting them
        return np.array([np.count_nonzero(codes == code) for code in range(size)], np.int64)
    counts = np.zeros(size + 1, np.int32)
    for start in range(0, len(codes), CHUNK):
        part = np.add(codes[start : start + CHUNK], 1, dtype=np.int32, casting="unsafe")  # -1 becomes 0
        add_counts(counts, part)
    return counts[1:].astype(np.int64)


def block_counts(codes: NDArray[np.integer], code: int) -> Ints:
    """How often one category occurs in each of BLOCKS stretches of ``len // BLOCKS`` rows."""
    length = len(codes) // BLOCKS
    bits = np.packbits((codes[: BLOCKS * length] == code).reshape(BLOCKS, length), axis=1)
    return np.asarray(np.bitwise_count(bits).sum(axis=1, dtype=np.int64))


def category_bins(feature: Feature, names: Sequence[str]) -> tuple[Ints, NDArray[np.bool_]]:
    """The bin of each category, and whether the reference never saw it; the last bins take these and the rare ones."""
    known = feature.positions
    found = np.array([known.get(name, -1) for name in names], np.int64)
    bins, rest = found.copy(), (found < 0) | (found >= feature.named)
    bins[rest] = feature.named + hashed([name for name, one in zip(names, rest, strict=True) if one], feature.rests)
    return bins, (found < 0) & feature.complete

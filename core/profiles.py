"""What a window of rows looks like: counts in bins that the reference fixed, per feature, in one vector.

A :class:`Reference` fixes the bins; a :class:`Profile` is what any other rows look like in them. Profiles of one
reference add up (:func:`merge`), so two windows of any length are compared without reading a row again. Nothing here
judges: `core/drift.py` does.

A numeric value falls into one of 65,536 *cells*, the upper 16 bits of ``float32(value - centre)``: sign, exponent and
seven bits of mantissa, so a cell is at most 1/128 of its distance from the centre wide, and counting is one pass
without search or sort. A bin is a run of cells that holds about 1/250 of the reference, or one single
value where values repeat. Two more bins, empty in the reference, lie below its smallest and above its largest value.
Columns whose values crowd into few cells far from the centre, or that a float32 does not hold, are searched in sorted
edges instead (slower, as exact).
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse._sparsetools import csr_column_index1  # not public; `add_counts` says why, a test holds it to that

from core.errors import InvalidInput, InvalidRows
from core.records import Column, Kind

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WIDTH = 256  # at most so many bins a number
CATEGORIES = 1_000  # so many categories of a column are known by name
NAMED = 512  # the most frequent of them, at most so many, have a bin of their own
RESTS = 32  # the rest of a column with more categories than this is spread over as many bins
CELLS = 1 << 16
LOWEST, HIGHEST = 0x7F, 0xFF80  # cells of -inf and +inf; NaN lies outside
CHUNK = 1 << 17  # rows counted at once: temporaries stay in the cache
PIECE = 1 << 12
BLOCKS = 128  # stretches of equal length a large column is summed up in
FEW = 1 << 14  # below so many rows it is cheaper to search each row's bin than to count all the cells
TABLE = 1 << 10  # from so many rows on their bins are read from a table of all cells
LARGEST = 1e38  # distances from the centre beyond are searched in sorted edges: float32 ends at 3.4e38
PLAIN = 1e15  # scales beyond, or below its inverse, have squares that a float32 does not hold
CLOCK = 20  # rows it takes to see that a timestamp moves on with them
FEW_KEYS, PLACE_BITS = 250, 14  # so many objects of a column at most are told apart by a table of 2**14 places
SAMPLE = 4_000  # rows looked at to place the centre and to see whether cells are fine enough
NO_FLOATS: Floats = np.zeros(0)
NO_INTS: Ints = np.zeros(0, np.int64)
_MULTIPLIERS = np.random.default_rng(0).integers(0, 1 << 63, 50, np.uint64) * np.uint64(2) + np.uint64(1)


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


# ---- cells ---------------------------------------------------------------------------------------------------------
def cells(values: NDArray[Any], centre: float) -> NDArray[np.uint16]:
    """The cell of each value, 0 to 65,535 in the order of the values; NaN lies outside ``[LOWEST, HIGHEST]``."""
    with np.errstate(over="ignore"):
        key = (values - centre).astype("<f4").view("<i2")[1::2]
    # negative numbers the other way round, all of them below the others
    return np.asarray((key ^ ((key >> 15) | np.int16(-0x8000))).view(np.uint16))


@cache
def cell_distances(part: float) -> Floats:
    """How far from the centre ``part`` (0: the near end, 1: the far end) of each of the 65,536 cells lies."""
    rank = np.arange(CELLS, dtype=np.uint32)
    key = np.where(rank >= 0x8000, rank - 0x8000, 0xFFFF - rank).astype(np.uint32) << 16
    with np.errstate(invalid="ignore"):  # cells of no number
        near = key.astype("<u4").view("<f4").astype(np.float64)
        far = (key | np.uint32(0xFFFF)).astype("<u4").view("<f4").astype(np.float64)
        return np.asarray(near + part * (far - near) if part else near)


def cell_values(cell: NDArray[Any], centre: float, part: float) -> Floats:
    """The value at ``part`` (0: the end near the centre, 1: the far end) of each cell. Exact at 0 for repeated values."""
    return np.asarray(centre + cell_distances(part)[cell])


class Sweep(NamedTuple):
    """A large column read once: how many values have each of the 65,536 upper halves of a float32 (``halves``: cells of
    positive numbers, ascending, then of negative ones, descending), the sum of ``value - centre`` in each of BLOCKS
    stretches of ``len // BLOCKS`` rows (``blocks``) and in all (``total``), and the sum of its squares.

    Sums are of float32 values: good to about 1e-6 of their scale. Not finite where a value is missing or infinite.
    """

    halves: NDArray[np.int32]
    blocks: Floats
    total: float
    squares: float


def sweep(values: NDArray[Any], centre: float) -> Sweep:
    """The column in cells and sums, at least BLOCKS rows of it. One pass, in chunks of whole blocks."""
    length = len(values) // BLOCKS
    most = BLOCKS * length
    chunk = max(1, CHUNK // length) * length
    ends = [*range(0, most, chunk), len(values)]  # what is left beside the blocks goes with the last of them
    buffer = np.empty(chunk + BLOCKS, "<f4")
    halves = np.zeros(CELLS, np.int32)
    blocks: list[NDArray[np.float32]] = []
    squares, rest = 0.0, 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for start, end in pairwise(ends):
            part = buffer[: end - start]
            np.subtract(values[start:end], centre, out=part, casting="unsafe")
            squares += _squares(part)
            whole = min(end, most) - start
            blocks.append(np.einsum("ij->i", part[:whole].reshape(-1, length)))
            rest += float(part[whole:].sum())
            bits = part.view("<u4")
            np.right_shift(bits, np.uint32(16), out=bits)
            add_counts(halves, bits.view(np.int32))
        sums = np.concatenate(blocks).astype(np.float64)
        total = float(sums.sum()) + rest
    return Sweep(halves, sums, total, squares)


def add_counts(counts: NDArray[np.int32], numbers: NDArray[np.int32]) -> None:
    """Add to ``counts`` how often each number occurs; each is 0 or more and below ``len(counts)``.

    The loop is the one with which scipy selects columns of a sparse matrix, here of one without rows and with one column,
    so that nothing but the counting is left of it: five times faster than `np.bincount`, which casts to 64 bits, looks for
    the largest first and makes a new array each time.
    """
    none = np.zeros(1, np.int32)
    csr_column_index1(len(numbers), numbers, 0, 1, none, none[:0], counts, none)


def used_cells(swept: Sweep) -> tuple[Ints, Ints]:
    """The cells that hold finite values, ascending, and how many each holds."""
    used = np.flatnonzero(swept.halves != 0)
    mass = swept.halves[used]
    positive = int(np.searchsorted(used, 0x8000))
    found = np.concatenate([0xFFFF - used[positive:][::-1], used[:positive] + 0x8000])
    inside = slice(*np.searchsorted(found, [LOWEST + 1, HIGHEST]))
    return found[inside], np.concatenate([mass[positive:][::-1], mass[:positive]])[inside].astype(np.int64)


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


def _squares(part: NDArray[np.float32]) -> float:
    """The sum of squares; in pieces too short for a BLAS to start threads over."""
    even = len(part) // PIECE * PIECE
    pieces = part[:even].reshape(-1, PIECE)
    return float(np.vecdot(pieces, pieces).sum(dtype=np.float64)) + float(np.einsum("i,i->", part[even:], part[even:]))


class Codes(NamedTuple):
    """A categorical column as a number per row, -1 where missing, and the categories the numbers stand for."""

    codes: NDArray[np.integer]
    names: list[str]


Values = NDArray[Any] | Codes


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


def columns_of(frame: pd.DataFrame, names: Iterable[str]) -> "list[pd.Series[Any]]":
    """These columns, none of them copied. Raises InvalidRows when one is missing.

    All at once, before any is counted: counting drives what pandas needs for it out of the cache, a tenth of a report.
    """
    known = frame.columns
    for name in names:
        if name not in known:
            raise InvalidRows(
                f"Column '{name}' is missing from the rows. Offer rows with every feature of the reference."
            )
    return [frame[name] for name in names]


def values_of(column: "pd.Series[Any]", kind: Kind) -> Values:
    """A column ready to be counted: floats (NaN where missing) or Codes."""
    return category_codes(column) if kind is Kind.CATEGORICAL else numbers(column, kind)


def is_clock(seconds: Floats) -> bool:
    """Whether a timestamp only moves on with the rows, save for one in twenty that comes late.

    That it is later now than it was is no drift. What can change are its steps: how long from one row to the next.
    """
    known = seconds[np.isfinite(seconds)]
    return len(known) >= CLOCK and bool(known[-1] > known[0]) and float((np.diff(known) >= 0).mean()) >= 0.95


def steps(seconds: Floats) -> Floats:
    """The seconds from the row before to each row, to the microsecond; NaN where its own time is missing.

    The first row, which has none before it, takes the step of the second: windows need not know each other.
    """
    known = np.flatnonzero(np.isfinite(seconds))
    found = np.full(len(seconds), np.nan)
    between = np.diff(seconds[known]).round(6)
    found[known] = np.r_[between[:1] if len(between) else np.zeros(len(known)), between]
    return found


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


def category_codes(column: "pd.Series[Any]") -> Codes:
    """The column as Codes. Categories are compared as text: 1 and "1" are one."""
    held = column.array
    if isinstance(held, pd.Categorical):
        return _by_name(held.codes, held.categories)
    if column.dtype == object and len(column) >= FEW:
        quick = _by_address(np.ascontiguousarray(column.to_numpy()))
        if quick is not None:
            return quick
    try:
        codes, found = pd.factorize(column, use_na_sentinel=True)
    except TypeError as error:
        raise InvalidRows(
            f"Column '{column.name}' holds values that are no categories ({error}). Convert it to text, or ignore it."
        ) from None
    return _by_name(codes, found)


def _by_name(codes: NDArray[Any], found: Iterable[Any]) -> Codes:
    """Codes whose categories are text and differ; those that are missing become -1."""
    objects = found.to_numpy(object) if isinstance(found, pd.Index) else np.array([*found, None], object)[:-1]
    names = list(map(str, objects))
    missing = pd.isna(objects)
    if len(set(names)) == len(names) and not missing.any():
        return Codes(codes, names)
    merged = {
        name: i for i, name in enumerate(dict.fromkeys(n for n, gone in zip(names, missing, strict=True) if not gone))
    }
    table = np.array([-1 if gone else merged[name] for name, gone in zip(names, missing, strict=True)] + [-1], np.int64)
    return Codes(table[codes], list(merged))


def _by_address(column: NDArray[Any]) -> Codes | None:
    """Codes of an array of objects in which few objects occur again and again, found by where they lie in memory.

    Ten times faster than comparing texts; None when most rows hold an object of their own.
    """
    found = few(np.frombuffer(column, dtype=np.uint64))
    return found and _by_name(found[0], column[found[1]])


def few(keys: NDArray[np.uint64]) -> tuple[NDArray[np.integer], Ints] | None:
    """A code for each key, and for each code a row that holds its key; None where more than FEW_KEYS differ.

    Multiplicative hashing (Knuth, *The art of computer programming*, vol. 3, 6.4) into a table without collisions, which
    for few keys a handful of multipliers finds. Exact: each key is compared with the one that its place in the table holds.
    """
    _, rows = np.unique(keys[: 4 * FEW_KEYS], return_index=True)
    while len(rows) <= FEW_KEYS:
        for multiplier in _MULTIPLIERS:
            places = _places(keys[rows], multiplier)
            if len(np.unique(places)) == len(rows):
                break
        else:
            return None
        table = np.full(1 << PLACE_BITS, keys[rows[0]])  # no other key is at home in a place that is empty
        codes = np.zeros(1 << PLACE_BITS, np.min_scalar_type(-len(rows)))
        table[places], codes[places] = keys[rows], np.arange(len(rows))
        places = _places(keys, multiplier)
        new = np.flatnonzero(table.take(places) != keys)
        if not len(new):
            return codes.take(places), rows
        _, first = np.unique(keys[new[: 4 * FEW_KEYS]], return_index=True)
        rows = np.concatenate([rows, new[first]])
    return None


def _places(keys: NDArray[np.uint64], multiplier: np.uint64) -> Ints:
    return ((keys * multiplier) >> np.uint64(64 - PLACE_BITS)).view(np.int64)


def category_bins(feature: Feature, names: Sequence[str]) -> tuple[Ints, NDArray[np.bool_]]:
    """The bin of each category, and whether the reference never saw it; the last bins take these and the rare ones."""
    known = feature.positions
    found = np.array([known.get(name, -1) for name in names], np.int64)
    bins, rest = found.copy(), (found < 0) | (found >= feature.named)
    bins[rest] = feature.named + hashed([name for name, one in zip(names, rest, strict=True) if one], feature.rests)
    return bins, (found < 0) & feature.complete


def hashed(names: Sequence[str], size: int) -> Ints:
    """A number below ``size`` for each name, by its text alone: which window it was seen in has no say.

    A checksum, mixed by a multiplication (Knuth, *The art of computer programming*, vol. 3, 6.4), as names that count
    up have checksums that do.
    """
    if size == 1:
        return np.zeros(len(names), np.int64)
    sums = np.array([zlib.crc32(name.encode(errors="surrogatepass")) for name in names], np.uint64)
    return np.asarray(((sums * np.uint64(2654435761)) % (1 << 32) >> 16) % size, np.int64)

"""The columns of a frame, ready to be counted: numbers as floats, categories as codes."""

import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from core.errors import InvalidRows
from core.records import Kind

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LARGE = 1 << 14  # from so many rows on it pays to look for objects that occur again and again
FEW_KEYS, PLACE_BITS = 250, 14  # so many objects of a column at most are told apart by a table of 2**14 places
SHORT = 16  # bytes of a text that is told by its bytes
NO_TEXT = np.uint64(2**64 - 1)  # no UTF-8 has a byte 255
_BYTES = np.array([256**n - 1 for n in range(9)], np.uint64)  # keeps the first n bytes
CLOCK = 20  # rows it takes to see that a timestamp moves on with them
_MULTIPLIERS = np.random.default_rng(0).integers(0, 1 << 63, 50, np.uint64) * np.uint64(2) + np.uint64(1)


class Codes(NamedTuple):
    """A categorical column as a number per row, -1 where missing, and the categories the numbers stand for."""

    codes: NDArray[np.integer]
    names: list[str]


Values = NDArray[Any] | Codes


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
    return category_codes(column) if kind is Kind.CATEGORICAL else as_numbers(column, kind)


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


def as_numbers(column: "pd.Series[Any]", kind: Kind) -> NDArray[Any]:
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


def category_codes(column: "pd.Series[Any]") -> Codes:
    """The column as Codes. Categories are compared as text: 1 and "1" are one."""
    held = column.array
    if isinstance(held, pd.Categorical):
        return _by_name(held.codes, held.categories)
    if len(column) >= LARGE:
        quick = _by_address(column) if column.dtype == object else _by_bytes(column)
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


def _by_address(column: "pd.Series[Any]") -> Codes | None:
    """Codes of objects of which few occur again and again, found by where they lie in memory.

    Ten times faster than comparing texts; None when most rows hold an object of their own.
    """
    objects = np.ascontiguousarray(column.to_numpy())
    found = few(np.frombuffer(objects, dtype=np.uint64))
    return found and _by_name(found[0], objects[found[1]])


def _by_bytes(column: "pd.Series[Any]") -> Codes | None:
    """Codes of texts that Arrow holds, few of which differ, and none of which is longer than SHORT bytes.

    Eight bytes of a text are a number: three times faster than hashing texts. None where it is no such column.
    """
    if not isinstance(column.dtype, pd.StringDtype) or column.dtype.storage != "pyarrow":
        return None
    held = pa.array(column.array)
    held = held.combine_chunks() if isinstance(held, pa.ChunkedArray) else held
    _, offsets, buffer = held.buffers()
    if held.type != pa.large_string() or buffer is None:
        return None
    ends = np.frombuffer(offsets, np.int64)[held.offset : held.offset + len(held) + 1]
    lengths, starts = np.diff(ends), ends[:-1] - ends[0]
    longest = int(lengths.max())
    data = np.concatenate([np.frombuffer(buffer, np.uint8)[ends[0] : ends[-1]], np.zeros(SHORT + 8, np.uint8)])
    if longest > SHORT or not data[: -SHORT - 8].all():  # a text with a zero byte in it looks like a shorter one
        return None
    at = np.ndarray(len(data) - 7, "<u8", data, strides=(1,))  # the eight bytes from each byte on
    words = [at[starts + begin] & _BYTES.take(np.clip(lengths - begin, 0, 8)) for begin in range(0, longest, 8)]
    if not words:
        return None
    if held.null_count:
        words[0][column.isna().to_numpy()] = NO_TEXT
    keys = words[0] if len(words) == 1 else words[0] * _MULTIPLIERS[0] ^ words[1]
    found = few(keys)
    if found is None or len(words) > 1 and any((word != word[found[1]].take(found[0])).any() for word in words):
        return None  # two texts share a key
    return _by_name(found[0], column.iloc[found[1]].to_numpy(object))


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


def hashed(names: Sequence[str], size: int) -> Ints:
    """A number below ``size`` for each name, by its text alone: which window it was seen in has no say.

    A checksum, mixed by a multiplication (Knuth, *The art of computer programming*, vol. 3, 6.4), as names that count
    up have checksums that do.
    """
    if size == 1:
        return np.zeros(len(names), np.int64)
    sums = np.array([zlib.crc32(name.encode(errors="surrogatepass")) for name in names], np.uint64)
    return np.asarray(((sums * np.uint64(2654435761)) % (1 << 32) >> 16) % size, np.int64)

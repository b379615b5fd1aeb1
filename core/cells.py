"""Numbers in 65,536 cells, counted in one pass without search or sort.

A cell is the upper 16 bits of ``float32(value - centre)``: sign, exponent and seven bits of mantissa, so it is at most 1/128
of its distance from the centre wide.
"""

from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse._sparsetools import csr_column_index1  # not public; `add_counts` says why, a test holds it to that

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CELLS = 1 << 16
LOWEST, HIGHEST = 0x7F, 0xFF80  # cells of -inf and +inf; NaN lies outside
CHUNK = 1 << 17  # rows counted at once: temporaries stay in the cache
PIECE = 1 << 12
BLOCKS = 128  # stretches of equal length a large column is summed up in


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


def _squares(part: NDArray[np.float32]) -> float:
    """The sum of squares; in pieces too short for a BLAS to start threads over."""
    even = len(part) // PIECE * PIECE
    pieces = part[:even].reshape(-1, PIECE)
    return float(np.vecdot(pieces, pieces).sum(dtype=np.float64)) + float(np.einsum("i,i->", part[even:], part[even:]))

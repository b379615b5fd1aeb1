"""Who is better on the same labelled rows: the comparison before a promotion, and the watch after it.

Everything rests on *block means*: the rows of a window are cut into blocks of neighbours, and the paired difference
of the two models' losses is averaged in each. Neighbouring rows may depend on each other; blocks of 20 rows and more
depend little (Künsch, Annals of Statistics 1989), so that their spread tells the true uncertainty where the spread of
rows would not. Assumed: block means are about normal and about independent.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from core.records import Comparison, Reason

BLOCK_ROWS = 20  # at least so many rows make a block
MOST_BLOCKS = 20  # in a window
FEWEST_BLOCKS = 4  # below that nothing is compared

Floats = NDArray[np.float64]


def blocks(losses: ArrayLike) -> Floats:
    """Mean loss of each block of neighbouring rows: 1 to 20 blocks of at least 20 rows, in row order.

    >>> blocks([0.0] * 20 + [1.0] * 20).tolist()
    [0.0, 1.0]
    """
    rows = np.asarray(losses, dtype=np.float64)
    count = min(MOST_BLOCKS, max(1, len(rows) // BLOCK_ROWS))
    return np.array([part.mean() for part in np.array_split(rows, count)]) if len(rows) else np.empty(0)


@dataclass(frozen=True)
class Tally:
    """What is kept of block means: how many, their sum, the sum of their squares, from how many windows (looks)."""

    blocks: int = 0
    total: float = 0.0
    squares: float = 0.0
    looks: int = 0

    def plus(self, values: ArrayLike) -> Self:
        """The tally after one more window."""
        more = np.asarray(values, dtype=np.float64)
        return type(self)(
            self.blocks + len(more),
            self.total + float(more.sum()),
            self.squares + float((more**2).sum()),
            self.looks + 1,
        )

    @property
    def mean(self) -> float:
        return self.total / self.blocks if self.blocks else 0.0

    @property
    def error(self) -> float:
        """Standard error of the mean; infinite below two blocks."""
        if self.blocks < 2:
            return math.inf
        spread = max(0.0, self.squares - self.blocks * self.mean**2) / (self.blocks - 1)
        return math.sqrt(spread / self.blocks)

    def low(self, level: float) -> float:
        """The one-sided lower bound of the mean at this error level (Student's t on block means)."""
        if self.blocks < FEWEST_BLOCKS:
            return -math.inf
        return self.mean - float(stats.t.ppf(1 - level, self.blocks - 1)) * self.error


def spent(level: float, look: int) -> float:
    """The share of an error level that look 1, 2, 3, ... may use: level / (look (look + 1)), which sums to ``level``.

    So a test repeated at every labelled window, for ever, errs at most ``level`` in all (Bonferroni over looks;
    Lan & DeMets, Biometrika 1983, call it a spending function). It is generous early, when a bad promotion hurts most.

    >>> spent(0.05, 1), round(sum(spent(0.05, look) for look in range(1, 10_000)), 4)
    (0.025, 0.05)
    """
    return level / (look * (look + 1))


def proven(advantage: Tally, level: float) -> bool:
    """Is the mean of what was tallied above zero, by a test that may be repeated at every look?"""
    return advantage.looks > 0 and advantage.low(spent(level, advantage.looks)) > 0


def compare(
    champion: ArrayLike,
    challenger: ArrayLike,
    *,
    metric: str,
    rows: int,
    gate: str = "veto",
    level: float = 0.05,
    minimum_gain: float = 0.0,
    looks: int = 1,
) -> Comparison:
    """Champion and challenger by their block mean losses on the same rows, which neither was trained on.

    * ``veto`` promotes unless the challenger is significantly worse (one-sided, ``level``)
    * ``superiority`` promotes only if it is significantly better, by a gain of at least ``minimum_gain``. Where that
      is open it says how many rows would settle a gain of the size seen (power 90 %)
    * ``none`` promotes always

    ``looks`` is how often these two have been compared: the level is spent over looks. The interval is 95 %, two-sided.
    """
    ours, theirs = np.asarray(champion, dtype=np.float64), np.asarray(challenger, dtype=np.float64)
    tally = Tally(looks=looks - 1).plus(ours - theirs)
    verdict, reason, rows_needed = GATES[gate](tally, rows, level, minimum_gain)
    low = tally.low(0.025)
    return Comparison(
        champion=float(ours.mean()),
        challenger=float(theirs.mean()),
        gain=tally.mean,
        low=low if math.isfinite(low) else -1e300,
        high=2 * tally.mean - low if math.isfinite(low) else 1e300,
        rows=rows,
        metric=metric,
        verdict=verdict,
        reasons=(reason,),
        rows_needed=rows_needed,
    )


Ruling = tuple[str, Reason, int | None]


def _veto(gain: Tally, rows: int, level: float, minimum_gain: float) -> Ruling:
    worse = Tally(gain.blocks, -gain.total, gain.squares, gain.looks)
    if worse.low(level) > 0:
        return "hold", Reason("challenger_worse", {"gain": gain.mean, "rows": rows, "level": level}), None
    return "promote", Reason("challenger_not_worse", {"gain": gain.mean, "rows": rows, "level": level}), None


def _superiority(gain: Tally, rows: int, level: float, minimum_gain: float) -> Ruling:
    params = {"gain": gain.mean, "rows": rows, "level": level, "minimum_gain": minimum_gain}
    if proven(gain, level) and gain.mean >= minimum_gain:
        return "promote", Reason("challenger_better", params), None
    if gain.mean <= 0 or gain.mean < minimum_gain:
        return "hold", Reason("challenger_no_better", params), None
    needed = rows_needed(gain, rows, level)
    return "need_more_rows", Reason("challenger_unproven", {**params, "rows_needed": needed}), needed


def _none(gain: Tally, rows: int, level: float, minimum_gain: float) -> Ruling:
    return "promote", Reason("gate_off", {"gain": gain.mean, "rows": rows}), None


GATES = {"veto": _veto, "superiority": _superiority, "none": _none}


def rows_needed(gain: Tally, rows: int, level: float, power: float = 0.9) -> int:
    """Rows in all that would prove a gain of the size seen at the next look, with this power (normal approximation)."""
    quantiles = stats.norm.ppf(1 - spent(level, gain.looks + 1)) + stats.norm.ppf(power)
    return max(rows + 1, math.ceil(rows * float(quantiles * gain.error / gain.mean) ** 2))

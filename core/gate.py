"""Who is better on the same labelled rows: the comparison before a promotion, and the watch after it.

Everything rests on *block means*: the rows of a window are cut into blocks of neighbours, and the paired difference
of the two models' losses is averaged in each. Neighbouring rows may depend on each other; blocks of 20 rows and more
depend little (Künsch, Annals of Statistics 1989), so that their spread tells the true uncertainty where the spread of
rows would not. What is left of it between neighbouring blocks widens the error, and so does what windows differ by beyond
that. Assumed: block means are about normal.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from core.records import Comparison, Reason

BLOCK_ROWS = 20  # at least so many rows make a block
MOST_BLOCKS = 20  # in a window
FEWEST_BLOCKS = 4  # below that nothing is compared
STEADY = 12  # degrees of freedom for that models' true difference stands still, before a window is seen
MOST_FREEDOM = 60.0  # degrees that earlier reigns may weigh
WIDEST = 1e300  # in place of infinity, which JSON does not know
MOST_TIMES = 20  # as many rows as were seen: a gain that would need more is not worth waiting for

Floats = NDArray[np.float64]

# The positive part of a standard normal variable: 0 half of the time, else one of four values that are as likely.
HALF_NORMAL: Floats = np.array([0.0, *stats.norm.ppf(np.array([9, 11, 13, 15]) / 16)])
HALF_WEIGHTS: Floats = np.array([0.5, *[0.125] * 4])


def blocks(losses: ArrayLike) -> Floats:
    """Mean loss of each block of neighbouring rows: 1 to 20 blocks of at least 20 rows, in row order.

    >>> blocks([0.0] * 20 + [1.0] * 20).tolist()
    [0.0, 1.0]
    """
    rows = np.asarray(losses, dtype=np.float64)
    count = min(MOST_BLOCKS, max(1, len(rows) // BLOCK_ROWS))
    return np.array([part.mean() for part in np.array_split(rows, count)]) if len(rows) else np.empty(0)


@dataclass(frozen=True)
class Spread:
    """How much windows' mean differences vary, in units of what their blocks explain: the sum of their squared deviations
    and its degrees of freedom. Where the true difference stands still it is 1 a degree.
    """

    squares: float = 0.0
    freedom: float = 0.0

    def plus(self, other: Self) -> Self:
        return type(self)(self.squares + other.squares, self.freedom + other.freedom)

    @property
    def faded(self) -> Self:
        """As if at most `MOST_FREEDOM` degrees had shown it: a project may change its ways."""
        share = min(1.0, MOST_FREEDOM / max(self.freedom, 1.0))
        return type(self)(self.squares * share, self.freedom * share)

    @property
    def factor(self) -> float:
        """By how much the variance of a mean over windows exceeds what blocks explain: at least 1.

        The overdispersion of quasi-likelihood (McCullagh & Nelder, Generalized Linear Models 1989), shrunk towards 1 as
        if `STEADY` degrees of freedom had shown that: two windows cannot tell how much windows differ.
        """
        return max(1.0, (STEADY + self.squares) / (STEADY + self.freedom))


UNSEEN = Spread()


@dataclass(frozen=True)
class Tally:
    """What is kept of block means: how many, their sum and sum of squares; of windows (looks): how many, and the sum of
    the squares of their means; and ``lagged``, the sum of the products of neighbours in a window, as deviations from its
    mean (0 expected where they are independent).
    """

    blocks: int = 0
    total: float = 0.0
    squares: float = 0.0
    looks: int = 0
    of_looks: float = 0.0
    lagged: float = 0.0

    def plus(self, values: ArrayLike) -> Self:
        """The tally after one more window."""
        more = np.asarray(values, dtype=np.float64)
        if not len(more):
            return self
        mean = float(more.mean())
        off = more - mean
        # deviations from a window's own mean go against each other: the last term makes up for it
        lagged = float(off[1:] @ off[:-1]) + float(off @ off) / len(more)
        return type(self)(
            self.blocks + len(more),
            self.total + float(more.sum()),
            self.squares + float((more**2).sum()),
            self.looks + 1,
            self.of_looks + mean**2,
            self.lagged + lagged,
        )

    def shifted(self, by: float, values: ArrayLike) -> Self:
        """The tally if each of ``values``, a window that is in it, had been larger by ``by``."""
        window = np.asarray(values, dtype=np.float64)
        return replace(
            self,
            total=self.total + by * len(window),
            squares=self.squares + by * float((2 * window + by).sum()),
            of_looks=self.of_looks + by * (2 * float(window.mean()) + by),
        )

    def turned(self) -> Self:
        """The tally of the same values with their signs turned."""
        return replace(self, total=-self.total)

    def independent(self) -> Self:
        """The tally as if no block went with its neighbours."""
        return replace(self, lagged=0.0)

    @property
    def mean(self) -> float:
        return self.total / self.blocks if self.blocks else 0.0

    @property
    def variance(self) -> float:
        """Of block means; below two blocks there is none."""
        return max(0.0, self.squares - self.blocks * self.mean**2) / (self.blocks - 1)

    @property
    def covariance(self) -> float:
        """Of neighbouring block means; 0 where no window has two."""
        return self.lagged / (self.blocks - self.looks) if self.blocks > self.looks else 0.0

    @property
    def error(self) -> float:
        """Standard error of the mean where blocks are independent; infinite below two blocks."""
        return math.sqrt(self.variance / self.blocks) if self.blocks > 1 else math.inf

    @property
    def spread(self) -> Spread:
        """How much its windows differ, in units of what the blocks in them explain; nothing, where windows have one."""
        if self.looks < 2 or self.blocks == self.looks:
            return UNSEEN
        between = max(0.0, self.of_looks - self.looks * self.mean**2)
        size = self.blocks / self.looks
        within = ((self.blocks - 1) * self.variance - size * between) / (self.blocks - self.looks)
        explained = (within + 2 * max(0.0, self.covariance)) / size
        if explained <= 1e-12 * self.squares / self.blocks:  # all alike, but for rounding
            return UNSEEN
        return Spread(between / explained, self.looks - 1)

    def low(self, level: float, known: Spread = UNSEEN) -> float:
        """The one-sided lower bound of the mean at this error level (Student's t on block means).

        Blocks that go with their neighbours widen it: with what is further apart taken as independent, the variance of
        the sum is larger by twice their covariance; where that is negative, it is taken for chance. Two models'
        difference also varies from window to window, beyond what their blocks explain: ``known`` is what other pairs of
        models have shown of it, which counts together with what these windows show.
        """
        if self.blocks < FEWEST_BLOCKS:
            return -math.inf
        variance = (self.variance + 2 * max(0.0, self.covariance)) / self.blocks * known.plus(self.spread).factor
        return self.mean - _t(level, self.blocks - 1) * math.sqrt(variance)


@cache
def _t(level: float, freedom: int) -> float:
    return float(stats.t.ppf(1 - level, freedom))


def spent(level: float, look: int) -> float:
    """The share of an error level that look 1, 2, 3, ... may use: level / (look (look + 1)), which sums to ``level``.

    So a test repeated at every labelled window, for ever, errs at most ``level`` in all (Bonferroni over looks;
    Lan & DeMets, Biometrika 1983, call it a spending function). It is generous early, when a bad promotion hurts most.

    >>> spent(0.05, 1), round(sum(spent(0.05, look) for look in range(1, 10_000)), 4)
    (0.025, 0.05)
    """
    return level / (look * (look + 1))


def proven(advantage: Tally, level: float, above: float = 0.0, known: Spread = UNSEEN) -> bool:
    """Is the mean of what was tallied larger than ``above``, by a test that may be repeated at every look?"""
    return advantage.looks > 0 and advantage.low(spent(level, advantage.looks), known) > above


def compare(
    champion: ArrayLike,
    challenger: ArrayLike,
    *,
    metric: str,
    rows: int,
    gate: str = "veto",
    level: float = 0.05,
    minimum_gain: float = 0.0,
) -> Comparison:
    """Champion and challenger by their block mean losses on the same rows, which neither was trained on.

    * ``veto`` promotes unless the challenger is significantly worse (one-sided, ``level``)
    * ``superiority`` promotes only if its gain is significantly larger than ``minimum_gain``. Where that is open it says
      how many rows would settle a gain of the size seen (power 90 %)
    * ``none`` promotes always

    Fewer than four blocks (80 rows) tell neither: more rows are asked for. The interval of the gain is 95 %, two-sided.
    """
    ours, theirs = np.asarray(champion, dtype=np.float64), np.asarray(challenger, dtype=np.float64)
    tally = Tally().plus(ours - theirs)
    verdict, reason, needed = GATES[gate](tally, rows, level, minimum_gain)
    judged = tally.independent() if gate == "superiority" else tally  # the interval goes with the verdict
    low, high = judged.low(0.025), -judged.turned().low(0.025)
    return Comparison(
        champion=float(ours.mean()),
        challenger=float(theirs.mean()),
        gain=tally.mean,
        low=max(low, -WIDEST),
        high=min(high, WIDEST),
        rows=rows,
        metric=metric,
        verdict=verdict,
        reasons=(reason,),
        rows_needed=needed,
        losses=(tuple(ours.tolist()), tuple(theirs.tolist())),
    )


Ruling = tuple[str, Reason, int | None]


def _veto(gain: Tally, rows: int, level: float, minimum_gain: float) -> Ruling:
    if gain.blocks < FEWEST_BLOCKS:
        return _too_few(rows)
    params = {"gain": round(gain.mean, 9), "rows": rows, "level": level}
    if gain.turned().low(level) > 0:
        return "hold", Reason("challenger_worse", params), None
    return "promote", Reason("challenger_not_worse", params), None


def _superiority(gain: Tally, rows: int, level: float, minimum_gain: float) -> Ruling:
    """Blocks are taken as independent: where they are not, its level is exceeded in windows of 500 rows (docs/gate.md)."""
    if gain.blocks < FEWEST_BLOCKS:
        return _too_few(rows)
    gain = gain.independent()
    params = {"gain": round(gain.mean, 9), "rows": rows, "level": level, "minimum_gain": minimum_gain}
    if proven(gain, level, minimum_gain):
        return "promote", Reason("challenger_better", params), None
    if gain.mean <= minimum_gain or (needed := rows_needed(gain, rows, level, minimum_gain)) > MOST_TIMES * rows:
        return "hold", Reason("challenger_no_better", params), None
    return "need_more_rows", Reason("challenger_unproven", {**params, "rows_needed": needed}), needed


def _none(gain: Tally, rows: int, level: float, minimum_gain: float) -> Ruling:
    return "promote", Reason("gate_off", {"gain": round(gain.mean, 9), "rows": rows}), None


def _too_few(rows: int) -> Ruling:
    needed = max(FEWEST_BLOCKS * BLOCK_ROWS, rows + 1)
    return "need_more_rows", Reason("too_few_to_compare", {"rows": rows, "rows_needed": needed}), needed


GATES = {"veto": _veto, "superiority": _superiority, "none": _none}


def rows_needed(gain: Tally, rows: int, level: float, minimum_gain: float = 0.0, power: float = 0.9) -> int:
    """Rows in all that would prove a gain of the size seen at the next look, with this power (normal approximation).

    The gain seen is an estimate, and so is this number: a lucky first look asks for too few rows.
    """
    quantiles = stats.norm.ppf(1 - spent(level, gain.looks + 1)) + stats.norm.ppf(power)
    return max(rows + 1, math.ceil(rows * float(quantiles * gain.error / (gain.mean - minimum_gain)) ** 2))


# ---- what a gate costs -------------------------------------------------------------------------
@dataclass(frozen=True)
class Price:
    """What a gate lets through and what it stops, at its first look at so many rows: chances from 0 to 1.

    ``equal``, ``worse`` and ``better`` are the chances that a challenger is promoted which loses as much as the
    champion, or ``difference`` more, or less. ``harm`` is the smallest excess loss that is stopped, ``gain`` the
    smallest gain that is let through, each with the given power; None where no difference is large enough.
    ``rows_needed`` would let a gain of ``difference`` through with that power, ``undo_looks`` is after how many labelled
    windows of so many rows the rollback would have undone a champion that loses ``difference`` more (None: over 1000).
    """

    difference: float
    equal: float
    worse: float
    better: float
    harm: float | None
    gain: float | None
    rows_needed: int | None
    undo_looks: int | None


def price(
    gate: str,
    *,
    rows: int,
    level: float,
    disagreement: float,
    minimum_gain: float = 0.0,
    difference: float = 0.04,
    rollback_level: float = 0.05,
    power: float = 0.8,
    bounded: bool = True,
) -> Price:
    """What this gate costs where two models' losses differ by ``disagreement``.

    That is the mean square of the rows' loss differences: for answers that are right or wrong, the share of rows on
    which exactly one of the two is right. Losses that are no shares (absolute errors) are not ``bounded`` by 1. Rows are
    taken as independent; where they are not, `disagreement` measured on blocks makes up for it.

    >>> found = price("veto", rows=500, level=0.07, disagreement=0.1)
    >>> round(found.equal, 2), round(found.worse, 2), found.undo_looks
    (0.94, 0.12, 2)
    """
    # a share that one of the two is right on bounds their difference; of numbers, the root of the mean square does
    largest = (disagreement if bounded else math.sqrt(disagreement)) * (1 - 1e-9)

    def promoted(gain: float, rows: int = rows) -> float:
        return chance(gate, gain, rows=rows, level=level, disagreement=disagreement, minimum_gain=minimum_gain)

    def undone(look: int) -> bool:
        passed = _chance_above(difference, 0.0, rows, spent(rollback_level, look), disagreement, looks=look)
        return passed >= power

    return Price(
        difference=difference,
        equal=promoted(0.0),
        worse=promoted(-difference),
        better=promoted(difference),
        harm=_smallest(lambda harm: promoted(-harm) <= 1 - power, largest),
        gain=_smallest(lambda gain: promoted(gain) >= power, largest),
        rows_needed=_fewest(lambda rows: promoted(difference, rows) >= power),
        undo_looks=next((look for look in range(1, 1001) if undone(look)), None) if rollback_level else None,
    )


def chance(gate: str, gain: float, *, rows: int, level: float, disagreement: float, minimum_gain: float = 0.0) -> float:
    """The chance that a challenger with this true gain is promoted at the first look at so many rows.

    Student's t of the block means then has a non-central distribution (Johnson & Welch, Biometrika 1940).
    """
    if gate == "none":
        return 1.0
    if rows < FEWEST_BLOCKS * BLOCK_ROWS:
        return 0.0
    if gate == "veto":
        return 1.0 - _chance_above(-gain, 0.0, rows, level, disagreement)
    return _chance_above(gain, minimum_gain, rows, spent(level, 1), disagreement, independent=True)


def _chance_above(
    mean: float, above: float, rows: int, level: float, disagreement: float, looks: int = 1, independent: bool = False
) -> float:
    """The chance that the lower bound of a difference with this true mean exceeds ``above`` after so many looks.

    Neighbouring blocks' correlation is estimated as 0 +- 1 / sqrt(pairs) where there is none (Bartlett 1946), and its
    positive half widens the error: averaged over that, unless blocks are taken as ``independent``.
    """
    count = looks * min(MOST_BLOCKS, rows // BLOCK_ROWS)
    error = math.sqrt(max(disagreement - mean**2, 1e-12) / (rows * looks))
    seen = np.zeros(1) if independent else HALF_NORMAL / math.sqrt(count - looks)
    passed = stats.nct.sf(_t(level, count - 1) * np.sqrt(1 + 2 * seen), count - 1, (mean - above) / error)
    return float(passed[0] if independent else HALF_WEIGHTS @ passed)


def _smallest(enough: Callable[[float], bool], largest: float) -> float | None:
    """The smallest value in [0, largest] that is enough, where larger ones are too."""
    if enough(0.0):
        return 0.0
    if not enough(largest):
        return None
    low, high = 0.0, largest
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _fewest(enough: Callable[[int], bool], most: int = 10_000_000) -> int | None:
    """The fewest rows that are enough; None where ``most`` are not."""
    if not enough(most):
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def disagreement(champion: ArrayLike, challenger: ArrayLike, rows: int) -> float:
    """The mean square of the rows' loss differences that would explain how the block means of ``rows`` rows vary.

    For independent rows that are right or wrong it estimates the share on which exactly one of the two models is right;
    where neighbours depend on each other it is larger, and a `price` made with it is right for them too.
    """
    tally = Tally().plus(np.asarray(champion, dtype=np.float64) - np.asarray(challenger, dtype=np.float64))
    if tally.blocks < 2:
        return math.inf
    return rows * max(0.0, tally.variance + 2 * tally.covariance) / tally.blocks + tally.mean**2


# ---- do answers go with labels at all ----------------------------------------------------------
def skill(labels: NDArray[Any], answers: NDArray[Any]) -> float | None:
    """How surely the answers go with the labels, in standard errors from no association; None where it cannot be told.

    Classes: Cohen's kappa over its standard error under independence (Fleiss, Cohen & Everitt, Psychological Bulletin
    1969). Numbers: Spearman's rank correlation times sqrt(n - 1). Either sign counts: a world turned upside down is a
    change, labels in a random order are a fault.
    """
    if len(labels) < BLOCK_ROWS:
        return None
    if np.issubdtype(answers.dtype, np.floating):
        ranks = [stats.rankdata(values) for values in (labels.astype(np.float64), answers)]
        if min(rank.std() for rank in ranks) == 0:
            return None
        return abs(float(np.corrcoef(*ranks)[0, 1])) * math.sqrt(len(labels) - 1)
    names = np.unique(np.concatenate([labels, answers]).astype(str))
    true = np.array([(labels == name).mean() for name in names])
    said = np.array([(answers == name).mean() for name in names])
    by_chance = float(true @ said)
    spread = by_chance + by_chance**2 - float((true * said * (true + said)).sum())
    if spread <= 1e-12:  # one class, or one answer: rounding may leave a trace of what is 0
        return None
    return abs(float((labels == answers).mean()) - by_chance) * math.sqrt(len(labels) / spread)

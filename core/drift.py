"""Has the world changed? A reference profile and a current profile in, a DriftCheck out.

The user sets a *false-alarm budget*, how often at most a check may cry wolf, and the *smallest shift* worth caring
about. Limits follow from these, from the reference itself, from the number of rows and features, and from how much
neighbouring rows depend on each other:

* every decisive metric of every feature is a test, so is the sum of all features (`_together`), and so is whether a
  feature still moves together with the others (`_links`);
* a test's p-value counts rows as many times less as the reference's autocorrelation time says, and pays for that time
  being an estimate with Student's t in place of the normal distribution (`core/dependence.py`);
* a weighted Benjamini-Hochberg step over the features, each by the least likely of its tests (Benjamini & Hochberg, JRSS B
  1995; weights: Genovese, Roeder & Wasserman, Biometrika 2006; Bonferroni within a feature), makes the level of all:
  without drift *some* alarm then comes with at most the budget's probability (Simes, Biometrika 1986), and with drift at
  most that share of the features named is expected to be named wrongly (`benchmarks.drift_named`);
* tests that cannot reject, given what both windows hold together, take no share of the budget (Tarone, Biometrics 1990),
  nor do the features together take more than the smallest shift lets them use;
* whatever is below the smallest shift is no drift, however many rows make it certain.

What is assumed: the reference's rows are in order, and the current window's rows depend on each other as the
reference's do; features are independent or positively dependent, as far as the Simes inequality needs it. docs/drift.md has the numbers.

Pure: frames and profiles in, records out. As a command, for scripts and CI (exit 0 stable, 1 drifting, 2 unknown)::

    python -m core.drift REFERENCE.parquet CURRENT.parquet --ignore order,target --budget 0.01 --json
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.special import chdtrc, chdtri, chndtrinc, ndtr, ndtri, stdtr

from core import commands, comovement, profiles
from core.drift_metrics import METRICS, Pair
from core.drift_metrics import chi_square as chi_square_metric
from core.drift_metrics import mann_whitney as mann_whitney_metric
from core.drift_metrics.base import CATEGORIES, SMALLEST, Links, in_cells, squares_limit
from core.drift_reference import ANSWERS, ASPECTS, Reference, against, facts, kind_of, profile, reference, with_answers
from core.errors import InvalidInput, InvalidRows
from core.one_thread import one_thread
from core.profiles import Profile, merge
from core.records import Column, DriftCheck, Schema, Score, Task, Verdict

__all__ = [
    "ANSWERS",
    "DECISIVE",
    "JOINT",
    "Profile",
    "Reference",
    "against",
    "check",
    "facts",
    "merge",
    "profile",
    "reference",
    "with_answers",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

JOINT = "all features"  # the name under which the joint score is reported
DECISIVE: Mapping[str, float] = {  # what decides by default, and its share of a feature's part of the budget
    "mann_whitney": 0.7,
    "ks": 0.15,
    "mood": 0.15,
    "chi_square": 0.8,
    "frequency_shift": 0.2,
    "missing_rate": 0.1,
    "correlation": 0.05,
    "joint_shift": 1.0,
}
JOINT_PART = 0.25  # of the budget goes to the features together, or what the smallest shift lets them use of it
SMALLEST_SHIFT = 0.04  # of the rows: what a mean shift by a tenth of a standard deviation moves
POWER = 0.8
BLIND = 0.5  # a check that would miss a shift of half of the rows judges nothing
FEWEST = 10  # independent rows the current window must be worth
LONG = 30  # autocorrelation times the reference must last, to know them
TAILS = 10.0  # a mean of products of scores is normal from so many times the product of their kurtoses in rows


# ---- judging -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class _Tests:
    """The tests of one metric: which features, what was found, what chance would give, what share of the budget."""

    metric: str
    features: Ints
    pair: Pair
    value: Floats
    chance: Floats  # p-value
    weight: Floats


@one_thread
def check(
    reference: Reference,
    current: Profile,
    *,
    budget: float = 0.01,
    smallest_shift: float = SMALLEST_SHIFT,
    metrics: Sequence[str] | Mapping[str, float] = DECISIVE,
    features: Sequence[str] | None = None,
) -> DriftCheck:
    """The verdict on a window: drifting, stable, or unknown when it would have missed a shift of half of the rows.

    ``budget``: the probability of an alarm, over the whole check, when nothing changed. ``smallest_shift``: the share
    of the rows whose move is worth an alarm. ``metrics``: names of METRICS, or `joint_shift`; they share the budget
    (by weight, when given as a mapping). ``features``: judge only these; without it all but ANSWERS.
    `detectable` is the share of the rows whose shift half of the features would have shown with 80 % power;
    `unjudged` are the features about which these windows say nothing.

    >>> from core.records import Kind
    >>> draw = np.random.default_rng(0)
    >>> schema = Schema((Column("x", Kind.NUMERIC),), "y", Task.REGRESSION)
    >>> before = reference(pd.DataFrame({"x": draw.normal(size=1000)}), schema)
    >>> str(check(before, profile(before, pd.DataFrame({"x": draw.normal(1, 1, 500)})), budget=0.01).verdict)
    'drifting'
    """
    _valid(budget, smallest_shift, metrics)
    chosen = _chosen(reference, features)
    rows = (reference.rows, current.rows)
    before, now = _compared(reference, current)
    varied = _varied(reference, current, before, now)
    empty = DriftCheck(Verdict.UNKNOWN, (), *rows, budget)
    if not len(chosen):
        return replace(empty, note="There is no feature to judge.")
    if min(rows) < FEWEST:
        return replace(empty, note=f"{min(rows)} rows; at least {FEWEST} are needed on both sides to judge anything.")
    alike = np.isin(np.arange(len(reference.features)), chosen) & ~_long_enough(reference, current, "location")
    apart = alike | (np.isin(np.arange(len(reference.features)), chosen) & varied)
    weights = dict(metrics) if isinstance(metrics, Mapping) else dict.fromkeys(metrics, 1.0)
    tests = [
        test
        for name, weight in weights.items()
        if name in METRICS
        and name != "correlation"
        and len((test := _test(reference, current, before, now, name, weight, chosen)).features)
    ]
    together = _together(tests, reference, smallest_shift) if "joint_shift" in weights else None
    joint_part = min(JOINT_PART, max(together.most / budget, 1e-9)) if together else 0.0
    if "correlation" in weights:
        still = np.setdiff1d(chosen, _moved(tests, apart, budget, smallest_shift))
        tests += _links_test(reference, current, before, now, weights["correlation"], still)
    tests = _weigh(tests, apart, joint_part)
    level = budget * _steps(tests, _ratios(tests, smallest_shift), budget)
    scores: list[Score] = []
    for test in tests:
        metric = METRICS[test.metric]
        limit = np.maximum(metric.limit(level * test.weight, test.pair), metric.floor(smallest_shift))
        scores += [
            Score(reference.names[i], test.metric, float(value), float(most), bool(value > most))
            for i, value, most in zip(test.features, test.value, limit, strict=True)
        ]
    scores += _constant(reference, tests, chosen[~apart[chosen]], smallest_shift)
    position = {name: i for i, name in enumerate(reference.names)}
    scores.sort(key=lambda score: position[score.feature])
    if together is not None:
        scores.append(together.score(level * joint_part))
    unjudged = tuple(reference.names[i] for i in np.flatnonzero(apart))
    detectable = _detectable(reference, tests, chosen, apart, rows, budget, smallest_shift)
    verdict, note = _verdict(scores, together, detectable, rows, _partners(tests, scores, reference))
    return DriftCheck(
        verdict, tuple(scores), *rows, budget, detectable, note + _unsaid(reference, chosen, alike, apart), unjudged
    )


def _valid(budget: float, smallest_shift: float, metrics: Sequence[str] | Mapping[str, float]) -> None:
    if not 0.0 < budget < 1.0:
        raise InvalidInput(
            f"The false-alarm budget is {budget}; it must lie between 0 and 1, 0.01 for 1 in 100 checks."
        )
    if not 0.0 <= smallest_shift < 1.0:
        raise InvalidInput(f"The smallest shift is {smallest_shift}; it is a share of the rows, 0 to 1.")
    for name in metrics:
        if name not in METRICS and name != "joint_shift":
            raise InvalidInput(
                f"There is no drift metric '{name}'. Choose from {', '.join([*METRICS, 'joint_shift'])}."
            )


def _chosen(reference: Reference, features: Sequence[str] | None) -> Ints:
    names = reference.names
    if features is None:
        return np.array([i for i, feature in enumerate(reference.features) if not feature.answer], np.int64)
    unknown = [name for name in features if name not in names]
    if unknown:
        raise InvalidInput(f"The reference has no feature '{unknown[0]}'. It has {', '.join(names)}.")
    return np.array(sorted(names.index(name) for name in features), np.int64)


def _compared(reference: Reference, current: Profile) -> tuple[Floats, Floats]:
    """The counts of both windows, (F, B) each: of numbers in bins, of categories in cells."""
    before, now = reference.counts, reference.table(current)
    which = np.flatnonzero([feature.kind in CATEGORIES for feature in reference.features])
    if not len(which):
        return before, now
    rows, time = np.ix_(which, np.arange(reference.used[which].sum(axis=1).max())), reference.times[1, which]
    cells = in_cells(
        before[rows], now[rows], reference.homes[rows], reference.alphabet[rows], reference.borders[which], time
    )
    before = before.copy()
    before[rows], now[rows] = cells
    return before, now


def _varied(reference: Reference, current: Profile, before: Floats, now: Floats) -> NDArray[np.bool_]:
    """Which features are categories of which each is too rare to stand alone, (F,): any mix of them would look alike."""
    one_cell = (before + now > 0).sum(axis=1) == 1
    counts = reference.counts + reference.table(current)
    return np.asarray(one_cell & (counts.max(axis=1) < counts.sum(axis=1) / 2.0))


def _pair(reference: Reference, current: Profile, before: Floats, now: Floats, which: Ints, aspect: str) -> Pair:
    """What a metric sees of these features."""
    scale = np.array([reference.features[i].scale for i in which])
    means = _means(current)[which] - _means(reference.profile)[which]
    a, width = ASPECTS.index(aspect), slice(reference.used[which].sum(axis=1).max(initial=1))
    missing = np.stack([reference.profile.missing[which], current.missing[which]]).astype(np.float64)
    time, freedom = reference.times[a, which], reference.freedoms[a, which]
    counts = before[which, width], now[which, width]
    return Pair(*counts, reference.points[which, width], means * scale, scale, missing, time, freedom)


def _means(window: Profile) -> Floats:
    """The mean of each feature in units of its scale from its centre; 0 for categories."""
    return np.asarray(window.sums / np.maximum(window.rows - window.missing, 1))


def _test(
    reference: Reference, current: Profile, before: Floats, now: Floats, name: str, weight: float, chosen: Ints
) -> _Tests:
    metric = METRICS[name]
    total = before + now
    able = _long_enough(reference, current, metric.aspect)
    if name == "missing_rate":
        able &= reference.profile.missing + current.missing > 0
    else:
        able &= (total > 0).sum(axis=1) >= metric.bins
    kinds = np.array([feature.kind in metric.kinds for feature in reference.features])
    which = chosen[(able & kinds)[chosen]]
    pair = _pair(reference, current, before, now, which, metric.aspect)
    value = metric.value(pair)
    return _Tests(name, which, pair, value, metric.tail(value, pair), np.full(len(which), weight))


def _constant(reference: Reference, tests: Sequence[_Tests], judged: Ints, smallest_shift: float) -> list[Score]:
    """The scores of features that hold the same one value in both windows: there is nothing to test, and no drift."""
    tested = np.concatenate([profiles.NO_INTS, *(test.features for test in tests)])
    kinds = {i: reference.features[i].kind for i in np.setdiff1d(judged, tested)}
    leading = {i: "chi_square" if kind in CATEGORIES else "mann_whitney" for i, kind in kinds.items()}
    return [
        Score(reference.names[i], metric, 0.0, METRICS[metric].floor(smallest_shift), False)
        for i, metric in leading.items()
    ]


def _moved(tests: Sequence[_Tests], apart: NDArray[np.bool_], budget: float, smallest_shift: float) -> Ints:
    """The features that have drifted by themselves: their correlations change with them, and say nothing more."""
    tests = _weigh(tests, apart, 0.0)
    ratios = _ratios(tests, smallest_shift)
    level = budget * _steps(tests, ratios, budget)
    found = [test.features[ratio <= level] for test, ratio in zip(tests, ratios, strict=True)]
    return np.unique(np.concatenate([profiles.NO_INTS, *found]))


def _links_test(
    reference: Reference, current: Profile, before: Floats, now: Floats, weight: float, chosen: Ints
) -> list[_Tests]:
    """The test of correlations, of features that did not move by themselves; none where they cannot be compared."""
    chosen = chosen[_long_enough(reference, current, "location")[chosen]]
    links = _links(reference, current, chosen)
    if links is None or not (compared := links.partners > 0).any():
        return []
    links = Links(*(getattr(links, name)[compared] for name in ("change", "error", "freedom", "partners", "partner")))
    which = chosen[compared]
    pair = replace(_pair(reference, current, before, now, which, "location"), links=links)
    metric = METRICS["correlation"]
    value = metric.value(pair)
    return [_Tests("correlation", which, pair, value, metric.tail(value, pair), np.full(len(which), weight))]


def _links(reference: Reference, current: Profile, which: Ints) -> Links | None:
    """Each of these features with the other one it has most surely stopped, or begun, to move together with.

    Fisher's z of a correlation varies by ``variances`` over the independent rows. Of two autoregressive features of
    coefficients a and b, products of neighbouring rows correlate by ``a b`` (Bartlett, *Some aspects of the
    time-correlation problem*, JRSS 1935), those of every s-th row by its s-th power. Compared are pairs whose products
    have so light tails that the mean of so few rows is normal.
    """
    sketches = reference.profile.cross, current.cross
    side = len(reference.features)
    if len(which) < 2 or reference.variances.shape != (side, side) or min(map(len, sketches)) == 0:
        return None
    pick = np.ix_(which, which)
    time = reference.times[0, which]
    coefficient = (time - 1.0) / (time + 1.0)
    worth: list[Floats] = []
    found: list[Floats] = []
    for window in (reference.profile, current):
        tied = np.outer(coefficient, coefficient) ** (window.rows / max(window.sampled, 1))
        worth.append(window.sampled * (1.0 - tied) / (1.0 + tied))
        found.append(comovement.correlations(window.cross)[pick])
    fewest = np.minimum(*worth)
    alive = np.all([np.diag(comovement.moments(cross)[2])[which] > 1e-4 for cross in sketches], axis=0)
    kurtosis = reference.kurtosis[which]
    able = np.outer(alive, alive) & (np.outer(kurtosis, kurtosis) <= fewest / TAILS) & (fewest > 4.0)
    np.fill_diagonal(able, False)
    free = reference.freedoms[0, which]
    freedom = np.minimum(reference.loose[pick], np.minimum(free[:, None], free[None, :]))
    error = np.sqrt(reference.variances[pick] * sum(1.0 / np.maximum(rows - 3.0, 1.0) for rows in worth))
    change = np.abs(np.arctanh(found[1]) - np.arctanh(found[0]))
    chance = ndtr(-change / error)
    loose = np.isfinite(freedom)
    chance[loose] = stdtr(freedom[loose], -change[loose] / error[loose])
    best = np.where(able, chance, 2.0).argmin(axis=1)
    row = np.arange(len(which))
    partners = able.sum(axis=1).astype(np.float64)
    return Links(change[row, best], error[row, best], freedom[row, best], partners, which[best])


def _partners(tests: Sequence[_Tests], scores: Sequence[Score], reference: Reference) -> list[tuple[str, str]]:
    """The pairs of features that no longer move together as they did."""
    drifting = {score.feature for score in scores if score.drifting and score.metric == "correlation"}
    if not drifting:
        return []
    pairs = {
        (min(names), max(names))
        for test in tests
        if test.pair.links is not None
        for i, other in zip(test.features, test.pair.links.partner, strict=True)
        if (names := (reference.names[i], reference.names[other]))[0] in drifting
    }
    return sorted(pairs)


def _long_enough(reference: Reference, current: Profile, aspect: str) -> NDArray[np.bool_]:
    """Which features can be judged at all: those whose dependence the reference is long enough to know, where both
    windows are worth FEWEST independent rows."""
    time = reference.times[ASPECTS.index(aspect)]
    known = (reference.known_from >= LONG * time) | (time == 1.0)
    return np.asarray(known & (min(reference.rows, current.rows) >= FEWEST * time))


def _weigh(tests: Sequence[_Tests], unjudged: NDArray[np.bool_], joint_part: float) -> list[_Tests]:
    """The tests with shares of the budget that add up to 1 less the joint part: each feature gets the same.

    Features that are ``unjudged`` (F,), because their rows depend too much on each other, keep theirs: among many such, the few that
    can be judged are those whose dependence looks shorter than it is, and they must not have the whole budget.
    """
    owed = np.zeros(len(unjudged))
    for test in tests:
        np.add.at(owed, test.features, test.weight)
    each = (1.0 - joint_part) / max(int(((owed > 0) | unjudged).sum()), 1)
    return [replace(test, weight=each * test.weight / owed[test.features]) for test in tests]


def _ratios(tests: Sequence[_Tests], smallest_shift: float) -> list[Floats]:
    """Each test's p-values over its features' shares of the budget; infinite below the smallest shift."""
    return [
        np.where(t.value >= METRICS[t.metric].floor(smallest_shift), t.chance / np.maximum(t.weight, 1e-300), np.inf)
        for t in tests
    ]


def _steps(tests: Sequence[_Tests], ratios: Sequence[Floats], budget: float) -> int:
    """How many features the weighted Benjamini-Hochberg step names, at least 1: limits are stated for that many.

    A feature counts once, by the least of its tests' ratios (Bonferroni within it): one that moves in place, spread and
    shape at once must not make it easier for the others.
    """
    least = np.full(1 + max((int(test.features.max()) for test in tests), default=0), np.inf)
    for test, ratio in zip(tests, ratios, strict=True):
        np.minimum.at(least, test.features, ratio)
    passed = np.flatnonzero(np.sort(least) <= budget * np.arange(1, len(least) + 1))
    return int(passed[-1]) + 1 if len(passed) else 1


@dataclass(frozen=True, eq=False)
class _Together:
    """All features in one number: the mean of their squared standardised shifts; 1 is what chance alone gives."""

    value: float
    chance: float
    floor: float
    most: float  # how likely chance alone reaches the floor: alarms can be no more frequent, whatever the budget
    spread: float  # standard deviation of the sum without drift
    freedom: float  # of the chi-square with the same skewness
    count: int
    carriers: tuple[str, ...]

    def score(self, level: float) -> Score:
        z = (chdtri(self.freedom, level) - self.freedom) / np.sqrt(2.0 * self.freedom)
        limit = max(float(1.0 + z * self.spread / self.count), self.floor)
        return Score(JOINT, "joint_shift", self.value, limit, self.value > limit)


def _together(tests: Sequence[_Tests], reference: Reference, smallest_shift: float) -> _Together | None:
    """Many small shifts add up: the mean over features of the squared normal score of their p-values.

    Without drift the sum of F squared standard normals with squared correlations ``overlap`` has mean F, variance
    ``2 tr(R^2)`` and third cumulant ``8 tr(R^3)``: a shifted chi-square with these three moments (Pearson, Biometrika
    1959; Imhof, Biometrika 1961) gives its tail. The floor is half the smallest shift, in every feature.
    """
    z = np.zeros(len(reference.features))
    effective = np.zeros(len(reference.features))
    for test in tests:
        if test.metric in ("mann_whitney", "chi_square"):
            z[test.features] = ndtri(np.clip(test.chance, 1e-300, 1.0) / 2.0) ** 2
            effective[test.features] = test.pair.effective
    which = np.flatnonzero(effective > 0)
    if len(which) < 3:
        return None
    squared = reference.overlap[np.ix_(which, which)]
    root = np.sqrt(squared)
    second = float(squared.sum())
    third = float(np.einsum("ij,ji->", root @ root, root))
    freedom = second**3 / third**2
    count = len(which)
    spread = float(np.sqrt(2.0 * second))
    total = float(z[which].sum())

    def tail(value: float) -> float:
        standard = (value - 1.0) * count / spread
        return float(chdtrc(freedom, max(freedom + standard * np.sqrt(2.0 * freedom), 0.0)))

    floor = 1.0 + 6.0 * float(effective[which].mean()) * (smallest_shift / 2.0) ** 2
    order = which[np.argsort(-z[which])]
    carriers = tuple(reference.names[i] for i in order[:3] if z[i] > 1.0)
    value = total / count
    chance = tail(value) if value >= floor else 1.0
    return _Together(value, chance, floor, tail(floor), spread, freedom, count, carriers)


def _detectable(
    reference: Reference,
    tests: Sequence[_Tests],
    chosen: Ints,
    apart: NDArray[np.bool_],
    rows: tuple[int, int],
    budget: float,
    smallest_shift: float,
) -> float:
    """The share of the rows whose shift half of the features would have shown with 80 % power: what a test must exceed
    by that, its limit or the smallest shift. A feature that cannot be judged (``apart``) shows nothing less than 1.
    """
    shifts = np.ones(len(reference.features))
    constant = np.setdiff1d(chosen, np.concatenate([profiles.NO_INTS, *(test.features for test in tests)]))
    shifts[constant] = _shift_of_constants(reference, constant, rows, budget / max(len(chosen), 1), smallest_shift)
    for test in tests:
        level, pair = budget * test.weight, test.pair
        if test.metric == "mann_whitney":
            most = np.maximum(mann_whitney_metric.limit(level, pair), mann_whitney_metric.floor(smallest_shift))
            shifts[test.features] = (most + ndtri(POWER) * mann_whitney_metric.deviation(pair)) / np.sqrt(2.0)
        elif test.metric == "chi_square":
            freedom = chi_square_metric.freedom(pair)
            least = chi_square_metric.floor(smallest_shift) * pair.effective
            most = np.maximum(squares_limit(level, freedom, pair), least)
            needed = np.nan_to_num(chndtrinc(most, freedom, 1.0 - POWER), nan=1e9)
            shifts[test.features] = np.sqrt(needed / np.maximum(pair.effective, 1e-9)) / 2.0
    shifts[apart] = 1.0
    return float(np.median(np.clip(shifts[chosen], smallest_shift, 1.0)))


def _shift_of_constants(
    reference: Reference, which: Ints, rows: tuple[int, int], level: float, smallest_shift: float
) -> Floats:
    """The same share, of features that hold one value in both windows, if rows of the second took another: (features,).

    Of ``s m`` rows of ``m`` against none of ``n``, chi-square is ``s^2 n m / (n + m) / (r (1 - r))``, where
    ``r = s m / (n + m)``; a category needs an expected 5 rows to have a cell, a number is to pass its smallest shift.
    How many rows it is, is chance (Poisson).
    """
    n, m = rows
    part = m / (n + m)
    square = float(ndtri(1.0 - level / 2.0)) ** 2
    least = square / (n + square * part)
    category = np.array([reference.features[i].kind in CATEGORIES for i in which], bool)
    for_cells, for_numbers = SMALLEST / (min(n, m) * part), mann_whitney_metric.floor(smallest_shift)
    most = np.maximum(least, np.where(category, for_cells, for_numbers))
    return np.asarray(most + ndtri(POWER) * np.sqrt(most / m))


def _verdict(
    scores: Sequence[Score],
    together: _Together | None,
    detectable: float,
    rows: tuple[int, int],
    partners: Sequence[tuple[str, str]] = (),
) -> tuple[Verdict, str]:
    """The verdict and what there is to say about it in plain words."""
    drifting = list(dict.fromkeys(s.feature for s in scores if s.drifting and s.feature != JOINT))
    if drifting:
        parted = "; ".join(f"{one} and {other}" for one, other in partners[:3])
        parted = f" No longer moving together as they did: {parted}." if parted else ""
        return Verdict.DRIFTING, f"{len(drifting)} drifting: {_listed(drifting)}.{parted}"
    if together is not None and any(s.drifting for s in scores if s.feature == JOINT):
        most = f", most of all {_listed(together.carriers)}" if together.carriers else ""
        return Verdict.DRIFTING, f"No feature alone, but all together moved further than chance explains{most}."
    if detectable > BLIND:
        return Verdict.UNKNOWN, (
            f"Too little to judge: with {rows[1]} rows against {rows[0]} a shift of {detectable:.0%} of the rows "
            "could have gone unseen in half of the features. Use longer windows."
        )
    return Verdict.STABLE, (
        f"A shift of {detectable:.0%} of the rows would have been seen 4 times out of 5 in half of the features."
    )


def _unsaid(reference: Reference, chosen: Ints, alike: NDArray[np.bool_], apart: NDArray[np.bool_]) -> str:
    """Which features the verdict says nothing about, and why."""
    if not apart.any():
        return ""
    reasons = (
        ("rows that follow each other look too alike for windows this short", alike),
        ("no value is frequent enough for windows this short", apart & ~alike),
    )
    told = "; ".join(
        f"{_listed([reference.names[i] for i in np.flatnonzero(them)])} ({why})" for why, them in reasons if them.any()
    )
    return f" {len(chosen) - int(apart.sum())} of {len(chosen)} features judged; not {told}."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


# ---- the command ---------------------------------------------------------------------------------------------------
def infer(frame: pd.DataFrame, ignore: Sequence[str] = ()) -> Schema:
    """The schema of a frame as its column types suggest it: every column but the ignored ones is a feature."""
    columns = tuple(Column(str(name), kind_of(frame[name])) for name in frame.columns if name not in ignore)
    return Schema(columns, target="", task=Task.REGRESSION, ignored=tuple(ignore))


def report(
    before: pd.DataFrame, now: pd.DataFrame, ignore: Sequence[str], budget: float, smallest: float
) -> DriftCheck:
    """The check of two frames, columns as their types suggest. Raises InvalidInput when an ignored column is in neither."""
    unknown = [name for name in ignore if name not in before.columns and name not in now.columns]
    if unknown:
        raise InvalidInput(
            f"There is no column '{unknown[0]}' to ignore. The rows have {', '.join(map(str, before.columns))}."
        )
    known = reference(before, infer(before, ignore))
    return check(known, profile(known, now), budget=budget, smallest_shift=smallest, features=known.names or None)


def as_json(found: DriftCheck, seconds: float) -> dict[str, Any]:
    """What the command prints: per feature the score furthest above its limit, or closest below.

    A feature that could not be judged is there with null in place of verdict and numbers.
    """
    features: dict[str, Score] = {}
    for score in found.scores:
        best = features.get(score.feature)
        if best is None or score.value / max(score.limit, 1e-300) > best.value / max(best.limit, 1e-300):
            features[score.feature] = score
    rows = [
        {"name": s.feature, "drifting": s.drifting, "score": s.value, "limit": s.limit, "metric": s.metric}
        for s in features.values()
    ]
    rows += [
        {"name": name, "drifting": None, "score": None, "limit": None, "metric": None}
        for name in found.unjudged
        if name not in features
    ]
    return {
        "verdict": found.verdict.value,
        "note": found.note,
        "features": [row for row in rows if row["name"] != JOINT],
        "joint": next((row for row in rows if row["name"] == JOINT), None),
        "judged": len({score.feature for score in found.scores} - {JOINT, *found.unjudged}),
        "unjudged": list(found.unjudged),
        "detectable": found.detectable,
        "budget": found.budget,
        "reference_rows": found.reference_rows,
        "current_rows": found.current_rows,
        "seconds": seconds,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 stable, 1 drifting, 2 unknown or error (``--strict``: or stable, but not of every feature known)."""
    parser = argparse.ArgumentParser(
        "python -m core.drift", description="Has the data changed? 0 no, 1 yes, 2 unknown."
    )
    parser.add_argument("reference", help="Parquet file with the rows to compare with, in their order")
    parser.add_argument("current", help="Parquet file with the rows under judgement")
    parser.add_argument("--ignore", default="", help="columns that are no features, separated by commas")
    parser.add_argument("--budget", type=float, default=0.01, help="false alarms per check, at most (default 0.01)")
    parser.add_argument(
        "--smallest-shift", type=float, default=SMALLEST_SHIFT, help="share of the rows worth caring about (0.04)"
    )
    parser.add_argument("--strict", action="store_true", help="2, too, when a feature could not be judged")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    started = time.perf_counter()

    def work() -> tuple[str, int]:
        before, now = read(given.reference), read(given.current)
        ignore = [name.strip() for name in given.ignore.split(",") if name.strip()]
        found = report(before, now, ignore, given.budget, given.smallest_shift)
        printed = as_json(found, time.perf_counter() - started)
        partly = given.strict and found.unjudged and found.verdict is Verdict.STABLE
        code = {Verdict.STABLE: 0, Verdict.DRIFTING: 1, Verdict.UNKNOWN: commands.CANNOT}[found.verdict]
        return commands.to_json(printed) if given.json else in_words(printed), commands.CANNOT if partly else code

    return commands.end(work, as_json=given.json, otherwise={"verdict": "unknown", "features": []})


def in_words(printed: dict[str, Any]) -> str:
    """What `as_json` says, for people."""
    lines = [f"{printed['verdict']}: {printed['note']}"]
    for row in printed["features"]:
        mark = {True: "drifting", False: "stable", None: "unknown"}[row["drifting"]]
        number = "" if row["score"] is None else f"{row['metric']:<14} {row['score']:.4f} (limit {row['limit']:.4f})"
        lines.append(f"  {row['name']:<24} {mark:<9} {number}".rstrip())
    return "\n".join(lines)


def read(path: str) -> pd.DataFrame:
    """The file, its texts as categories: Parquet holds them as such, and writing each row's out and counting them again
    would take longer than the check."""
    try:
        texts = [part.name for part in pq.ParquetDataset(path).schema if str(part.type) in ("string", "large_string")]
        return pd.read_parquet(path, read_dictionary=texts)
    except (OSError, ValueError) as error:
        raise InvalidRows(f"'{path}' is no Parquet file that can be read ({error}).") from None


if __name__ == "__main__":
    sys.exit(main())

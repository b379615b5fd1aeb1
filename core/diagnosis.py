"""What kind of change is it? A window against the good windows before it: covariate, label, concept, noise, or none.

Each window is summed up in moments, and a window's moments are compared with those of the known ones: squared
deviations over the variance between known windows, which is never taken for less than sampling alone would give. Every
known window is compared in the same way with the others, and their median is the unit: what the world always does is
no change. Assumed: the known windows are about alike, and rows within a window about independent. The moments are

* shares of each feature's values in bins of the known windows: has P(x) moved
* shares of the labels: has P(y) moved
* shares of each feature's values, less what the labels' shares explain: has P(x | y) moved
* the mean of what the answers miss, and its slope on the answers: has the line of P(y | answer) moved. Both also with
  the answers corrected for the labels' new shares (Saerens, Latinne & Decaestecker, Neural Computation 2002)
* the same line within each bin of each feature, less the common one: does it bend (as in Chow, Econometrica 1960)
* the share of the labels' variance that lines fitted to the window itself explain: a concept moves it, noise takes it

A cause explains some of these and must leave others where they were (Moreno-Torres et al., A unifying view on dataset
shift in classification, Pattern Recognition 2012). What each sign says for and against each cause is the fit of a
multinomial logistic regression to injected changes (`benchmarks/diagnosis_fit.py`; docs/diagnosis.md).

Features are ranked by drift times importance. Importance is the share of the variance of the answers that the feature
alone explains: the first-order sensitivity index from given data (Sobol 1993; Plischke, Borgonovo & Smith, EJOR 2013).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from core.records import Column, Kind, Reason, Schema
from core.slices import slices
from core.values import as_numbers

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

KNOWN = 12  # windows that tell what is usual
FEWEST = 4  # below that nothing is usual yet
CAUSES = ("covariate", "label", "concept", "noise")
NONE, UNKNOWN = "none", "unknown"
BINS = 5  # a feature; one more for missing values
GROUPS = 8  # of a number's labels
CHANGES = 10  # a feature that changes less often in a window wanders by nature
PRIOR = 4  # windows' worth of belief that windows differ by sampling alone
FEWEST_IN_BIN = 10
TOLD = 5  # features
FEWEST_SLICE_ROWS = 30
LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class Seen:
    """A window: its rows, and for each row the truth and what was answered, (rows, columns) both, or None without labels.

    Columns are the classes (truth 0 or 1, answers probabilities), or the one number.
    """

    rows: pd.DataFrame
    truth: Floats | None = None
    said: Floats | None = None


@dataclass(frozen=True)
class Mover:
    """``drift`` is in units of what is usual (1), ``importance`` a share of the answers' variance, 0 to 1."""

    feature: str
    drift: float
    importance: float


@dataclass(frozen=True)
class Hit:
    """A slice of the rows whose mean loss is above that of the rest; ``low`` to ``high`` is the 95 % interval of how much,
    over all slices that were looked at (Bonferroni).
    """

    slice: str
    rows: int
    loss: float
    rest: float
    low: float
    high: float


@dataclass(frozen=True)
class Diagnosis:
    """Of window ``window``: ``cause`` is one of CAUSES, none, or unknown (too little to compare with).

    Before the labels are there (``labelled`` False) only a covariate change can be told.
    """

    window: int
    cause: str
    labelled: bool
    movers: tuple[Mover, ...] = ()
    worst: Hit | None = None


def diagnose(window: int, known: Sequence[Seen], now: Seen, schema: Schema) -> Diagnosis:
    """The kind of change of these rows; with labels, only known windows with labels are compared."""
    labelled, worst = now.truth is not None, None
    if now.truth is not None and now.said is not None:
        known = [one for one in known if one.truth is not None]
        worst = hit_hardest(now.rows, _losses(now.truth, now.said), schema)
    if len(known) < FEWEST:
        return Diagnosis(window, UNKNOWN, labelled, worst=worst)
    parts = _binned([one.rows for one in known], now.rows, schema)
    moved = _moved(parts, schema)
    unit, drift = _strengths(_covariate(parts), moved)
    movers = _movers(parts[:-1], known, drift, schema)
    if not labelled:
        return Diagnosis(window, "covariate" if _log(unit) > UNLABELLED else NONE, False, movers)
    scores = _scores(_signs(parts, [*known, now], moved, schema))
    return Diagnosis(window, max(scores, key=lambda cause: scores[cause]), True, movers, worst)


def _losses(truth: Floats, said: Floats) -> Floats:
    """The loss of each row: 0 or 1, or the absolute error."""
    if truth.shape[1] == 1:
        return np.abs(truth[:, 0] - said[:, 0])
    return np.asarray(1.0 - truth[np.arange(len(truth)), said.argmax(axis=1)])


def told(found: Diagnosis) -> Reason:
    """The diagnosis as a reason: its code is change_ and the cause."""
    names = ", ".join(mover.feature for mover in found.movers[:3]) or "-"
    return Reason(f"change_{found.cause}", {"window": found.window, "features": names})


# ---- which cause -------------------------------------------------------------------------------
UNLABELLED = 1.5  # e to the power of this: how many times the usual drift is a change
Signs = dict[str, float]  # logarithms: of strengths in units of what is usual, and of what was lost
OUTCOMES = (NONE, *CAUSES)
WEIGHTS: dict[str, tuple[float, ...]] = {  # for and against each outcome, in their order
    "always": (5.48, 1.36, -0.04, -4.25, -2.54),
    "x": (-1.10, 1.06, 1.09, -0.87, -0.18),
    "y": (-0.88, 0.27, 0.97, 0.55, -0.90),
    "x_by_y": (0.73, 0.69, -1.06, -0.20, -0.16),
    "level": (-0.02, -0.20, 0.50, -0.14, -0.13),
    "slope": (0.16, -0.25, -0.02, 0.52, -0.40),
    "corrected_slope": (-0.53, -0.41, -0.43, 0.63, 0.75),
    "mean_bend": (-0.35, -0.20, 1.04, 0.56, -1.05),
    "corrected_bend": (-0.18, -0.33, -0.46, 1.13, -0.16),
    "corrected_mean_bend": (-0.08, 1.46, -0.74, -0.39, -0.25),
    "lost_by_line": (-0.57, -1.35, -0.24, 3.12, -0.96),
    "fallen_by_line": (-0.87, -0.54, 0.49, 0.16, 0.75),
    "lost_by_lines": (-1.48, -1.28, -0.69, -0.87, 4.32),
    "fallen_by_lines": (-0.14, -0.07, -0.64, -0.55, 1.40),
}


def _scores(signs: Signs) -> dict[str, float]:
    """How well each cause explains the signs: logarithms of its odds, up to a constant that all share."""
    return {
        cause: WEIGHTS["always"][at] + sum(WEIGHTS[name][at] * value for name, value in signs.items())
        for at, cause in enumerate(OUTCOMES)
    }


def _log(strength: float) -> float:
    return math.log(max(strength, 1.0))


# ---- moments -----------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class _Moments:
    """Values of a statistic, one line a window, the window in question last, and their sampling variance."""

    values: Floats
    variance: Floats


def _deviations(moments: _Moments, at: int, others: Sequence[int]) -> Floats:
    """Squared deviations of window ``at`` from the others, over the variance between those; 1 is what chance gives."""
    known, count = moments.values[list(others)], len(others)
    spread = (known.var(axis=0) * count + moments.variance[at] * PRIOR) / (count - 1 + PRIOR)
    spread = np.maximum(spread, moments.variance[at])
    return np.asarray((moments.values[at] - known.mean(axis=0)) ** 2 / (spread * (1 + 1 / count) + 1e-12))


def _compared(moments: _Moments) -> list[Floats]:
    """The deviations of each known window from the other known ones, and last those of the window in question."""
    count = len(moments.values) - 1
    found = [_deviations(moments, at, [one for one in range(count) if one != at]) for at in range(count)]
    return [*found, _deviations(moments, count, range(count))]


def _unit(numbers: Sequence[float]) -> float:
    """The last number in units of the median of the others (at least 1)."""
    return numbers[-1] / max(1.0, median(numbers[:-1]))


def _binned(known: Sequence[pd.DataFrame], now: pd.DataFrame, schema: Schema) -> list[NDArray[np.bool_]]:
    """Which bin each value lies in, per window (rows, features, bins): fifths of the known values, or the four commonest
    categories and the rest; the last bin holds missing values.
    """
    sizes = [len(part) for part in [*known, now]]
    rows = pd.concat([*known, now], ignore_index=True)
    codes = np.stack([_codes(column, rows[column.name], sum(sizes[:-1])) for column in schema.features], axis=1)
    return np.split(codes[:, :, None] == np.arange(BINS + 1), np.cumsum(sizes)[:-1])


def _codes(column: Column, values: "pd.Series[Any]", known: int) -> Ints:
    if column.kind is Kind.CATEGORICAL:
        codes = pd.factorize(values)[0]
        common = pd.Series(codes[:known]).loc[lambda one: one >= 0].value_counts().index[: BINS - 1]
        place = {code: at for at, code in enumerate(common)}
        return np.array([BINS if code < 0 else place.get(code, BINS - 1) for code in codes], np.int64)
    numbers = np.asarray(as_numbers(values, column.kind), np.float64)
    there = np.isfinite(numbers)
    before = numbers[:known][there[:known]]
    edges = np.unique(np.quantile(before, np.arange(1, BINS) / BINS)) if len(before) else np.empty(0)
    return np.where(there, np.searchsorted(edges, numbers, side="left"), BINS)


def _moved(parts: Sequence[NDArray[np.bool_]], schema: Schema) -> NDArray[np.bool_]:
    """The features whose move means something: no times, which always move, and none that hardly changes in a window."""
    changes = np.min([(part[1:] != part[:-1]).any(axis=2).sum(axis=0) for part in parts[:-1]], axis=0)
    lively = changes >= CHANGES
    still = np.array([column.kind is not Kind.TIMESTAMP for column in schema.features])
    return np.asarray(lively & still if (lively & still).any() else still)


def _covariate(parts: Sequence[NDArray[np.bool_]]) -> _Moments:
    shares = np.stack([part.mean(axis=0) for part in parts])
    usual = shares[:-1].mean(axis=0)
    sizes = np.array([len(part) for part in parts])[:, None, None]
    return _Moments(shares, usual * (1 - usual) / sizes + ROUNDING)


ROUNDING = 1e-4  # of a share: less is not worth comparing


def _strengths(moments: _Moments, moved: NDArray[np.bool_]) -> tuple[float, Floats]:
    """The strength of the feature that moved most, and that of each feature, in units of what is usual."""
    each = [found.mean(axis=-1) for found in _compared(moments)]
    if not moved.any():
        return 0.0, np.zeros(len(moved))
    usual = np.maximum(np.median(each[:-1], axis=0), 1.0)
    return _unit([float(one[moved].max()) for one in each]), np.where(moved, each[-1] / usual, 0.0)


def _signs(parts: Sequence[NDArray[np.bool_]], seen: Sequence[Seen], moved: NDArray[np.bool_], schema: Schema) -> Signs:
    """How strong each sign is that a cause may leave (`WEIGHTS`)."""
    truths = [one.truth for one in seen if one.truth is not None]
    answers = [one.said for one in seen if one.said is not None]
    groups, shares = _groups(truths, schema)
    usual, sizes = shares[:-1].mean(axis=0), np.array([len(part) for part in parts])
    labels = _Moments(shares, usual * (1 - usual) / sizes[:, None] + ROUNDING)
    scale = 1.0 if schema.task.is_classification else max(float(np.concatenate(truths[:-1]).std()), 1e-12)
    plain = [_line(*one, scale) for one in zip(parts, truths, answers, _centres(answers), strict=True)]
    corrected = [
        _line(part, truth, _corrected(said, truth, truths[:-1], schema), centre, scale)
        for part, truth, said, centre in zip(parts, truths, answers, _centres(answers), strict=True)
    ]
    bends, told = (
        _bends(corrected, moved),
        np.array([_explained(*one, moved) for one in zip(parts, truths, answers, strict=True)]),
    )
    strengths = {
        "x": _strengths(_covariate(parts), moved)[0],
        "y": _unit([float(found.mean()) for found in _compared(labels)]),
        "x_by_y": _strengths(_given_labels(parts, groups, shares), moved)[0],
        "level": _unit([float(found.mean()) for found in _compared(_lines(plain, "level"))]),
        "slope": _unit([float(found.mean()) for found in _compared(_lines(plain, "slope"))]),
        "corrected_slope": _unit([float(found.mean()) for found in _compared(_lines(corrected, "slope"))]),
        "mean_bend": _bends(plain, moved)[1],
        "corrected_bend": bends[0],
        "corrected_mean_bend": bends[1],
    }
    return {
        **{name: _log(strength) for name, strength in strengths.items()},
        **_lost("by_line", told[:, 0]),
        **_lost("by_lines", told[:, 1]),
    }


def _explained(part: NDArray[np.bool_], truth: Floats, said: Floats, moved: NDArray[np.bool_]) -> tuple[float, float]:
    """The share of the labels' variance that lines on the answers explain, fitted to this very window: one line for all
    rows, and one in each bin of the feature that does best (adjusted for how many are fitted; Theil 1961).

    A world that has changed is told by other lines; labels mixed up at random are told by none.
    """
    inside = np.concatenate([np.ones((len(part), 1, part.shape[2])) / part.shape[2], part[:, moved]], axis=1)
    inside[:, 0, 1:], inside[:, 0, 0] = 0.0, 1.0
    y, x = truth - truth.mean(axis=0), said - said.mean(axis=0)
    rows = np.maximum(inside.sum(axis=0), 1e-12)
    sums = {
        name: np.einsum("nfb,nc->fbc", inside, values)
        for name, values in {"y": y, "x": x, "yy": y * y, "xy": x * y, "xx": x * x}.items()
    }
    each = rows[:, :, None]
    spread = sums["xx"] - sums["x"] ** 2 / each
    along = (sums["xy"] - sums["x"] * sums["y"] / each) ** 2 / np.maximum(spread, 1e-9)
    left = (sums["yy"] - sums["y"] ** 2 / each - along).sum(axis=(1, 2))
    fitted = np.minimum(np.round(rows), 2.0).sum(axis=1)
    all_of_it = float((y**2).sum())
    if all_of_it < 1e-9:
        return 0.0, 0.0
    shares = 1.0 - left / np.maximum(len(y) - fitted, 1.0) * (len(y) - 1) / all_of_it
    return float(shares[0]), float(shares.max())


def _lost(name: str, shares: Floats) -> Signs:
    """How much less is explained than usual: the logarithm of the ratio, and of the fall in standard deviations plus 1."""
    known, count = shares[:-1], len(shares) - 1
    ratio = math.log((max(float(known.mean()), 0.0) + LITTLE) / (max(float(shares[-1]), 0.0) + LITTLE))
    spread = (float(known.var()) * count + UNSURE**2 * PRIOR) / (count - 1 + PRIOR)
    fall = (float(known.mean()) - float(shares[-1])) / math.sqrt(spread)
    return {f"lost_{name}": min(max(ratio, -0.5), 2.0), f"fallen_{name}": math.log1p(max(fall, 0.0))}


LITTLE, UNSURE = 0.02, 0.03  # shares of the labels' variance: next to nothing; what windows differ by beforehand


def _groups(truths: Sequence[Floats], schema: Schema) -> tuple[list[Ints], Floats]:
    """The label's group of each row (its class, or its eighth of the known numbers), and the groups' shares by window."""
    if schema.task.is_classification:
        groups, count = [truth.argmax(axis=1) for truth in truths], truths[0].shape[1]
    else:
        edges = np.quantile(np.concatenate(truths[:-1]), np.arange(1, GROUPS) / GROUPS)
        groups, count = [np.searchsorted(edges, truth[:, 0]) for truth in truths], GROUPS
    return groups, np.stack([np.bincount(group, minlength=count) / len(group) for group in groups])


def _given_labels(parts: Sequence[NDArray[np.bool_]], groups: Sequence[Ints], shares: Floats) -> _Moments:
    """The bins' shares less what they would be, had only the labels' shares moved."""
    count = shares.shape[1]
    known = np.concatenate(list(parts[:-1])).astype(np.float64)
    group = np.concatenate(list(groups[:-1]))
    by_group = np.stack(
        [
            known[group == one].mean(axis=0) if (group == one).any() else np.zeros(known.shape[1:])
            for one in range(count)
        ]
    )
    plain = _covariate(parts)
    return _Moments(plain.values - np.tensordot(shares, by_group, 1), plain.variance)


@dataclass(frozen=True, eq=False)
class _Line:
    """What the answers miss, on the answers: ``level`` (columns), one ``slope``; ``bend`` (features, bins, columns, 2) is
    how far level and slope within a bin are off, ``noise`` the variance of that, ``rows`` how many a bin holds.
    """

    level: Floats
    slope: float
    bend: Floats
    noise: Floats
    rows: Floats
    error: float  # variance of the level
    slope_error: float


def _line(part: NDArray[np.bool_], truth: Floats, said: Floats, centre: Floats, scale: float) -> _Line:
    missed, bold = (truth - said) / scale, (said - centre) / scale
    level = missed.mean(axis=0)
    power = max(float((bold**2).mean()), 1e-12)
    slope = float((missed * bold).mean() / power)
    off = missed - level - slope * bold
    pair = np.stack([off, off * bold], axis=-1)
    inside = part.astype(np.float64)
    rows = inside.sum(axis=0)
    each = np.maximum(rows, 1.0)[:, :, None, None]
    count, spread = len(truth), float(missed.var())
    return _Line(
        level,
        slope,
        np.einsum("nfb,ncu->fbcu", inside, pair) / each,
        np.einsum("nfb,ncu->fbcu", inside, pair**2) / each,
        rows,
        spread / count,
        4.0 * spread / count / max(float(bold.var()), 1e-6),
    )


def _centres(answers: Sequence[Floats]) -> list[Floats]:
    """The mean of the known answers, once for each window."""
    return [np.concatenate(list(answers[:-1])).mean(axis=0)] * len(answers)


def _corrected(said: Floats, truth: Floats, known: Sequence[Floats], schema: Schema) -> Floats:
    """The answers as they would be, had the model known the labels' shares of this window (numbers: their level)."""
    if not schema.task.is_classification:
        return np.asarray(said + (truth - said).mean())
    usual = np.concatenate(list(known)).mean(axis=0)
    weighted = np.clip(said, 1e-3, 1.0) * (truth.mean(axis=0) + 1e-3) / (usual + 1e-3)
    return np.asarray(weighted / weighted.sum(axis=1, keepdims=True))


def _lines(lines: Sequence[_Line], what: str) -> _Moments:
    values = np.stack([np.atleast_1d(getattr(line, what)) for line in lines])
    errors = [line.error if what == "level" else line.slope_error for line in lines]
    return _Moments(values, np.ones_like(values) * np.array(errors)[:, None])


def _bends(lines: Sequence[_Line], moved: NDArray[np.bool_]) -> tuple[float, float]:
    """How much the line bends along the feature where it does most, and on average, in units of what is usual."""
    rows = np.stack([line.rows for line in lines])
    judged = (rows.min(axis=0) >= FEWEST_IN_BIN)[:, :, None, None]
    usual = np.mean([line.noise for line in lines[:-1]], axis=0)
    own = np.stack([_pooled(line) for line in lines])  # noisier labels bend a line by chance
    noise = np.maximum(usual[None], own) / np.maximum(rows, 1.0)[:, :, :, None, None]
    moments = _Moments(np.stack([line.bend for line in lines]), noise)
    counted = np.maximum(judged.sum(axis=1)[:, 0, 0] * moments.values.shape[3] * 2, 1)
    each = [(found * judged).sum(axis=(1, 2, 3)) / counted for found in _compared(moments)]
    if not moved.any():
        return 0.0, 0.0
    return _unit([float(one[moved].max()) for one in each]), _unit([float(one[moved].mean()) for one in each])


def _pooled(line: _Line) -> Floats:
    """The noise within the bins of each feature, the same for all of its bins (features, 1, columns, 2)."""
    weight = line.rows[:, :, None, None]
    return np.asarray((line.noise * weight).sum(axis=1, keepdims=True) / weight.sum(axis=1, keepdims=True))


# ---- which features, which slice -----------------------------------------------------------------
def _movers(
    parts: Sequence[NDArray[np.bool_]], known: Sequence[Seen], drift: Floats, schema: Schema
) -> tuple[Mover, ...]:
    """The features that drifted beyond what is usual, those first on which the answers hang."""
    pairs = [(part, one.said) for part, one in zip(parts, known, strict=True) if one.said is not None]
    weight = np.zeros(len(drift))
    if pairs:
        weight = importance(np.concatenate([part for part, _ in pairs]), np.concatenate([said for _, said in pairs]))
    order = sorted(range(len(drift)), key=lambda at: (-drift[at] * weight[at], -drift[at]))
    return tuple(
        Mover(schema.features[at].name, round(float(drift[at]), 2), round(float(weight[at]), 4))
        for at in order[:TOLD]
        if drift[at] > 1.0
    )


def importance(parts: NDArray[np.bool_], said: Floats) -> Floats:
    """The share of the answers' variance that each feature explains by itself, 0 to 1.

    ``parts`` says in which bin of each feature a row lies, (rows, features, bins); ``said`` is (rows, columns).
    """
    inside = parts.astype(np.float64)
    rows = inside.sum(axis=0)
    means = np.einsum("nfb,nc->fbc", inside, said) / np.maximum(rows, 1.0)[:, :, None]
    between = (rows[:, :, None] * (means - said.mean(axis=0)) ** 2).sum(axis=(1, 2)) / len(said)
    return np.asarray(np.clip(between / max(float(said.var(axis=0).sum()), 1e-12), 0.0, 1.0))


def hit_hardest(rows: pd.DataFrame, losses: Floats, schema: Schema) -> Hit | None:
    """The slice whose mean loss is most surely above that of the other rows; None where chance explains every one."""
    masks = {
        name: mask
        for name, mask in slices(rows, schema).items()
        if FEWEST_SLICE_ROWS <= int(mask.sum()) <= len(mask) - FEWEST_SLICE_ROWS
    }
    found: list[Hit] = []
    for name, mask in masks.items():
        inside, rest = losses[mask], losses[~mask]
        gap = float(inside.mean() - rest.mean())
        error = math.hypot(float(inside.std()) / math.sqrt(len(inside)), float(rest.std()) / math.sqrt(len(rest)))
        reach = float(stats.norm.ppf(1 - LEVEL / 2 / len(masks))) * error
        numbers = (round(number, 6) for number in (inside.mean(), rest.mean(), gap - reach, gap + reach))
        found.append(Hit(name, len(inside), *(float(number) for number in numbers)))
    worst = max(found, key=lambda hit: hit.low, default=None)
    return worst if worst and worst.low > 0 else None

"""How good the answers probably are while their labels are missing, and whether that guess deserves trust.

**Classes.** Confidence-based performance estimation (CBPE: NannyML; Guillory et al., *Predicting with confidence on
unseen distributions*, ICCV 2021): the mean probability of being right. A model's own confidence is not that
probability, so it is calibrated on the newest labelled rows, which the model had not seen: logistic regression of *was
it right* on the logit of the confidence, with an offset for each answered class (Platt, 1999).

**Numbers** (experimental). An error model: the absolute error is averaged within tenths of the answers, each pulled
towards the overall mean. It sees a change of the mix of answers and nothing else.

**Assumed**: given the answer and its confidence, a row is as likely to be right as before. Covariate drift mostly keeps
that; concept drift breaks it, and no label-free method can notice (Garg et al., ICLR 2022, Proposition 1). So each
guess is reconciled once its labels arrive: `trust` takes it out of view when the realised score parts from it, and
shows it as trusted only where it has proved nearer than the plain answer "as in the last labelled window", by a bet
that is won once in 100 at most, ever, by guesses of which none is expected to be nearer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special, stats

from core import performance
from core.dependence import autocorrelation_time
from core.errors import NotEnoughRows
from core.records import Guess, Kind, Schema
from core.values import as_numbers

Floats = NDArray[np.float64]
Labels: TypeAlias = "pd.Series[Any] | NDArray[Any]"

COVERS = 0.9  # of realised scores, the interval of a guess
FEWEST_ROWS = 50  # labelled rows to calibrate on
PENALTY = 1.0  # of the squared weights, but for the intercept, in the calibration
TENTHS = 10  # groups of answers in the error model
PULL = 20.0  # rows of the overall mean in each group
SLICES = 10  # of each feature, where the calibration is looked at for misfit
FEWEST_IN_SLICE = 20  # rows, for its misfit to count
CERTAIN = 1e-6  # a confidence nearer to 0 or 1 counts as this


@dataclass(frozen=True)
class Misfit:
    """How the calibration is off over the slices of one feature.

    A number or time (in seconds) falls between ``borders``, a category is one of ``names``; ``shares`` are those of the
    calibrated rows, first of missing and unheard-of values. ``variance`` is that of the slices' true mean rest.
    """

    column: str
    kind: Kind
    borders: tuple[float, ...]
    names: tuple[str, ...]
    shares: tuple[float, ...]
    variance: float


@dataclass(frozen=True)
class Calibration:
    """What the newest labelled rows say about being right, given the answer. Plain numbers: it can be stored as JSON.

    ``weights`` and ``covariance`` (row by row) are of the error model's columns: for classes intercept, logit of the
    confidence and one offset a class but the first; for numbers one mean a group, between ``edges``. ``time`` is the
    autocorrelation time of what the model leaves unexplained, ``noise`` its variance in each group (numbers only),
    ``misfits`` what it leaves in slices of the features beyond chance. ``last`` is the realised score of the newest
    labelled window: what to beat.
    """

    metric: str
    weights: tuple[float, ...]
    covariance: tuple[float, ...]
    edges: tuple[float, ...]
    noise: tuple[float, ...]
    time: float
    misfits: tuple[Misfit, ...]
    last: float
    rows: int


@dataclass(frozen=True)
class Reconciled:
    """A guess whose labels have come: what it said and what it was."""

    guess: Guess
    realised: float

    @property
    def surprise(self) -> float:
        """How many standard deviations the realised score lies above the guess."""
        return (self.realised - self.guess.value) / self.guess.deviation

    @property
    def error(self) -> float:
        return abs(self.realised - self.guess.value)

    @property
    def rival_error(self) -> float:
        """The error of saying "as in the last labelled window" instead."""
        return abs(self.realised - self.guess.last)


@dataclass(frozen=True)
class Trust:
    """``score``: the share by which the guesses' mean error undercuts that of the last labelled value; 0 and below: none.

    ``valid`` is None before anything was reconciled, False while realised scores part from the guesses. ``trusted``
    needs a valid guess and a proven lead; without it show the last labelled value and its age instead. ``error`` and
    ``rival_error`` are the mean errors of both over the newest 12 of all ``windows``.
    """

    valid: bool | None
    trusted: bool
    score: float | None
    error: float | None
    rival_error: float | None
    windows: int


# ---- calibrating -------------------------------------------------------------------------------------------------
def calibrate(
    labels: Labels,
    predictions: Labels,
    probabilities: Floats | None,
    schema: Schema,
    *,
    window_rows: int,
    rows: pd.DataFrame | None = None,
) -> Calibration:
    """The calibration on these rows, which the model must not have been trained on: the last four labelled windows, say.

    ``rows`` are their features; with them the interval of a guess allows for what the calibration misses when the
    features move. Raises NotEnoughRows below 50 rows with label and answer (and, for classes, probabilities).
    """
    known = performance.known(labels, predictions)
    if known.sum() < FEWEST_ROWS or (schema.task.is_classification and probabilities is None):
        raise NotEnoughRows(f"{int(known.sum())} labelled rows with an answer; {FEWEST_ROWS} are needed to calibrate.")
    loss = performance.losses(labels, predictions, None, schema)[known]
    answers = np.asarray(predictions)[known]
    features = rows[known] if rows is not None else None
    if schema.task.is_classification:
        assert probabilities is not None
        right = 1.0 - loss
        design = _design(answers, probabilities[known], schema)
        weights, covariance = _logistic(design, right)
        fitted = special.expit(design @ weights)
        edges, noise = np.empty(0), np.empty(0)
        rest = right - fitted
    else:
        right = loss
        edges = np.unique(np.quantile(answers.astype(np.float64), np.linspace(0, 1, TENTHS + 1)[1:-1]))
        design = _groups(answers, edges)
        counts = design.sum(axis=0)
        weights = (design.T @ loss + PULL * loss.mean()) / (counts + PULL)
        fitted = design @ weights
        rest = loss - fitted
        noise = (design.T @ rest**2 + PULL * rest.var()) / (counts + PULL)
        covariance = np.diag(noise * counts / (counts + PULL) ** 2)
    time = float(autocorrelation_time((rest - rest.mean())[None, None, :])[0][0])
    return Calibration(
        metric=performance.headline(schema),
        weights=tuple(weights.tolist()),
        covariance=tuple((covariance * time).ravel().tolist()),
        edges=tuple(edges.tolist()),
        noise=tuple(noise.tolist()),
        time=time,
        misfits=_misfits(rest, features, schema, time),
        last=float(right[-window_rows:].mean()),
        rows=int(known.sum()),
    )


def _design(answers: NDArray[Any], probabilities: Floats, schema: Schema) -> Floats:
    """Columns of the calibration: one, the logit of the confidence, and which class was answered (but the first)."""
    confidence = np.clip(probabilities.max(axis=1), CERTAIN, 1 - CERTAIN)
    codes = pd.Index(schema.classes, dtype=object).get_indexer(pd.Index(answers, dtype=object))
    offsets = codes[:, None] == np.arange(1, len(schema.classes))[None, :]
    return np.c_[np.ones(len(answers)), special.logit(confidence), offsets]


def _groups(answers: NDArray[Any], edges: Floats) -> Floats:
    """(rows, groups): which group between the edges each answer falls in."""
    codes = np.searchsorted(edges, answers.astype(np.float64), side="right")
    return np.asarray(codes[:, None] == np.arange(len(edges) + 1)[None, :], dtype=np.float64)


def _logistic(design: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Weights of a penalised logistic regression and their covariance, by Newton's method (the loss is convex)."""
    penalty = np.full(design.shape[1], PENALTY)
    penalty[0] = 1e-3  # all right, or all wrong, still has an answer
    weights = np.zeros(design.shape[1])
    share = float(np.clip(right.mean(), 0.01, 0.99))
    weights[0] = math.log(share / (1 - share))
    hessian = np.diag(penalty)
    for _ in range(50):
        fitted = special.expit(design @ weights)
        hessian = (design * (fitted * (1 - fitted))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(hessian, design.T @ (right - fitted) - penalty * weights)
        weights = weights + np.clip(step, -4.0, 4.0)
        if float(np.abs(step).max()) < 1e-8:
            break
    return weights, np.linalg.inv(hessian)


def _misfits(rest: Floats, rows: pd.DataFrame | None, schema: Schema, time: float) -> tuple[Misfit, ...]:
    """The features over whose slices the calibration is off beyond chance; none without rows.

    Slices are tenths of a number or a time, and the values of a category. One-way random effects, by moments
    (DerSimonian & Laird, Controlled Clinical Trials 1986).
    """
    if rows is None:
        return ()
    chance = float(rest.var()) * time
    found = []
    for column in schema.features:
        borders, names = _slices(rows[column.name], column.kind)
        codes, count = _codes(rows[column.name], column.kind, borders, names)
        counts = np.bincount(codes, minlength=count).astype(np.float64)
        totals = np.bincount(codes, weights=rest, minlength=count)
        enough = counts >= FEWEST_IN_SLICE
        if enough.sum() < 2:
            continue
        sizes, means = counts[enough], totals[enough] / counts[enough]
        spread = float(sizes @ (means - rest.mean()) ** 2) - (len(means) - 1) * chance
        variance = spread / (sizes.sum() - float((sizes**2).sum()) / sizes.sum())
        if variance > 0:
            shares = tuple((counts / len(rest)).tolist())
            found.append(Misfit(column.name, column.kind, borders, names, shares, variance))
    return tuple(found)


def _slices(values: "pd.Series[Any]", kind: Kind) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """The borders between tenths of a number or a time, or the names of a category's values."""
    if kind is Kind.CATEGORICAL:
        return (), tuple(sorted(values.dropna().astype(str).unique()))
    present = as_numbers(values, kind)
    present = present[np.isfinite(present)]
    if not len(present):
        return (), ()
    return tuple(np.unique(np.quantile(present, np.linspace(0, 1, SLICES + 1)[1:-1])).tolist()), ()


def _codes(
    values: "pd.Series[Any]", kind: Kind, borders: tuple[float, ...], names: tuple[str, ...]
) -> tuple[NDArray[np.intp], int]:
    """The slice each value falls in, of how many; the first is that of missing and of unheard-of values."""
    if kind is Kind.CATEGORICAL:
        return pd.Index(names, dtype=object).get_indexer(pd.Index(values, dtype=object)) + 1, len(names) + 1
    seen = as_numbers(values, kind)
    return np.where(np.isnan(seen), 0, np.searchsorted(borders, seen, side="right") + 1), len(borders) + 2


def _moved(calibration: Calibration, rows: pd.DataFrame) -> float:
    """The variance of the mean rest of rows whose mix is not that of the calibrated ones: of the worst feature.

    Slices are off independently of each other, so that the mean is off by a variance of ``sum (p - q)^2`` of theirs for
    shares ``p`` now and ``q`` before: nothing while the mix stands still, all of it where the rows are of one rare slice.
    What that sum is by chance is taken off: it is part of the rows' own variance.
    """
    worst = 0.0
    for one in calibration.misfits:
        codes, count = _codes(rows[one.column], one.kind, one.borders, one.names)
        before = np.array(one.shares)
        moved = np.bincount(codes, minlength=count) / len(rows) - before
        chance = (1 - before @ before) * (1 / len(rows) + 1 / calibration.rows)
        worst = max(worst, one.variance * float(moved @ moved - chance))
    return worst


# ---- guessing ----------------------------------------------------------------------------------------------------
def guess(
    calibration: Calibration,
    predictions: Labels,
    probabilities: Floats | None,
    schema: Schema,
    *,
    rows: pd.DataFrame | None = None,
    past: Sequence[Reconciled] = (),
    age: int = 1,
) -> Guess | None:
    """The score that these answers probably have: accuracy 0 to 1, or mean absolute error. None without an answer.

    ``past`` are earlier guesses of this project whose labels have come: where they missed by more than they should,
    the interval widens. It allows for the luck of the window's own labels, for the calibration resting on few rows, and,
    given the features of these ``rows``, for its misfit where their mix is not that of the calibrated ones. ``age`` is by
    how many windows this one is later than the newest labelled one.
    """
    known = pd.notna(np.asarray(predictions))
    size = int(known.sum())
    if not size:
        return None
    answers = np.asarray(predictions)[known]
    weights = np.array(calibration.weights)
    covariance = np.array(calibration.covariance).reshape(len(weights), len(weights))
    if schema.task.is_classification:
        if probabilities is None:
            return None
        design = _design(answers, probabilities[known], schema)
        each = special.expit(design @ weights)
        luck = each * (1 - each)
        slope = (design * luck[:, None]).mean(axis=0)
    else:
        design = _groups(answers, np.array(calibration.edges))
        each = design @ weights
        luck = design @ np.array(calibration.noise)
        slope = design.mean(axis=0)
    value = float(each.mean())
    variance = float(luck.mean()) * calibration.time / size + float(slope @ covariance @ slope)
    if rows is not None:
        variance += _moved(calibration, rows[known])
    widened = _widening(past)
    deviation = max(math.sqrt(variance) * widened, 1e-9)
    reach = float(stats.norm.ppf((1 + COVERS) / 2)) * deviation
    top = 1.0 if schema.task.is_classification else math.inf
    low, high = max(value - reach, 0.0), min(value + reach, top)
    return Guess(calibration.metric, value, low, high, size, deviation, calibration.last, age, widened)


WIDENING_PRIOR = 6  # windows without surprise that are supposed beforehand
MEMORY = 12  # reconciled windows that count


def _widening(past: Sequence[Reconciled]) -> float:
    """How much wider than computed the errors of the past say the interval must be; 1 and up.

    The spread of the newest surprises, in deviations as computed, each cut at four of them so that one break does not
    blind for long.
    """
    newest = [min(abs(one.surprise) * one.guess.widened, 4.0) ** 2 for one in past[-MEMORY:]]
    return max(1.0, math.sqrt((sum(newest) + WIDENING_PRIOR) / (len(newest) + WIDENING_PRIOR)))


# ---- reconciling -------------------------------------------------------------------------------------------------
SLACK = 1.0  # deviations that a surprise may have before it adds up
PARTED = 4.0  # sum of what is beyond: standard normal surprises reach it once in 7,600 windows (Siegmund, 1985)
CALM = 1.64  # within this a realised score agrees with its guess
CALM_WINDOWS = 2  # agreeing in a row, to be valid again
LEVEL = 0.01  # chance that guesses are ever trusted of which none is expected to be nearer
STAKES = np.array([0.3, 0.6, 0.9])  # of what is at hand: a third of the capital bets with each


def trust(past: Sequence[Reconciled]) -> Trust:
    """Whether guesses are to be believed, from all that were reconciled so far, oldest first.

    Trusted: valid; a lead over the last labelled value was proven (`_proven`); and over the last 12 windows, which are
    what ``error``, ``rival_error`` and ``score`` are of, the guesses are ahead.
    """
    if not past:
        return Trust(None, False, None, None, None, 0)
    newest = past[-MEMORY:]
    error = float(np.mean([one.error for one in newest]))
    rival = float(np.mean([one.rival_error for one in newest]))
    valid = validity(past)
    return Trust(valid[-1], _proven(past, valid), 1 - error / rival if rival > 0 else 0.0, error, rival, len(past))


def validity(past: Sequence[Reconciled]) -> list[bool]:
    """Whether guesses agree with what was realised, after each of these, oldest first.

    A two-sided cumulative sum of the surprises (Page, Biometrika 1954), and any that reaches the limit alone. Guesses
    that were made before the last one counted was labelled may be off together: they do not add up. Valid again after
    two in a row that agree.
    """
    found: list[bool] = []
    valid, calm, above, below, counted = True, 0, 0.0, 0.0, -math.inf
    for number, one in enumerate(past):
        if number - counted >= one.guess.age:
            above = max(0.0, above + one.surprise - SLACK)
            below = max(0.0, below - one.surprise - SLACK)
            counted = number
        if max(above, below, abs(one.surprise) - SLACK) > PARTED:
            valid, calm, above, below = False, 0, 0.0, 0.0
        else:
            calm = calm + 1 if abs(one.surprise) <= CALM else 0
            valid = valid or calm >= CALM_WINDOWS
        found.append(valid)
    return found


def _proven(past: Sequence[Reconciled], valid: Sequence[bool]) -> bool:
    """Whether guesses have proved nearer than the last labelled value, and have not fallen behind or parted since.

    A bet on each lead (Choe & Ramdas, *Comparing sequential forecasters*, Operations Research 2024). A lead cannot leave
    plus or minus the distance of the two values, known beforehand, so that part of a capital can be staked without
    ruin; guesses of which none is, given what came before, expected to be nearer multiply it by 100 with a chance of 1 % at
    most, however often one looks (Ville). Nothing else is assumed of the leads' distribution. It is no test of the mean lead:
    guesses that lead for a stretch, or where the two values lie close, and trail elsewhere can win it (strong and weak null
    hypothesis, ibid.). A bet is placed only on a guess made after
    the last bet was settled, so that labels five windows late make a proof take five times as long.

    The proof is void once guesses part from what was realised, or fall behind over the last 12 windows: what was won is
    lost, what was lost stays so.
    """
    capital, settled, trusted = np.ones(len(STAKES)), -math.inf, False
    leads = [one.rival_error - one.error for one in past]
    for number, one in enumerate(past):
        if not trusted and number - settled >= one.guess.age:
            distance = abs(one.guess.value - one.guess.last)
            capital = capital * (1 + STAKES * leads[number] / max(distance, one.guess.deviation))
            settled = number
        ahead = sum(leads[max(number + 1 - MEMORY, 0) : number + 1]) > 0
        if not valid[number] or (trusted and not ahead):
            capital, settled, trusted = np.minimum(capital, 1.0), number, False
        else:
            trusted = trusted or bool(ahead and capital.mean() >= 1 / LEVEL)
    return trusted

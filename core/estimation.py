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
shows it as trusted only where it has beaten the plain answer "as in the last labelled window".
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

Floats = NDArray[np.float64]
Labels: TypeAlias = "pd.Series[Any] | NDArray[Any]"

COVERS = 0.9  # of realised scores, the interval of a guess
FEWEST_ROWS = 50  # labelled rows to calibrate on
PENALTY = 1.0  # of the squared weights, but for the intercept, in the calibration
TENTHS = 10  # groups of answers in the error model
PULL = 20.0  # rows of the overall mean in each group
SLICES = 10  # of each feature, where the calibration is looked at for misfit
CERTAIN = 1e-6  # a confidence nearer to 0 or 1 counts as this


@dataclass(frozen=True)
class Calibration:
    """What the newest labelled rows say about being right, given the answer. Plain numbers: it can be stored as JSON.

    ``weights`` and ``covariance`` (row by row) are of the error model's columns: for classes intercept, logit of the
    confidence and one offset a class but the first; for numbers one mean a group, between ``edges``. ``time`` is the
    autocorrelation time of what the model leaves unexplained, ``noise`` its variance in each group (numbers only),
    ``misfit`` the standard deviation of its mean over slices of the features beyond chance. ``last`` is the realised
    score of the newest labelled window: what to beat.
    """

    metric: str
    weights: tuple[float, ...]
    covariance: tuple[float, ...]
    edges: tuple[float, ...]
    noise: tuple[float, ...]
    time: float
    misfit: float
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
    needs a valid guess and a proven lead; without it show the last labelled value and its age instead.
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
        misfit=_misfit(rest, features, schema, time),
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


def _misfit(rest: Floats, rows: pd.DataFrame | None, schema: Schema, time: float) -> float:
    """How far off the calibration is over slices of a feature, beyond chance: a standard deviation, 0 without features.

    Slices are tenths of a number or a time, and the values of a category; the feature with the largest misfit counts,
    for that may be the one that moves. One-way random effects, by moments (DerSimonian & Laird, Controlled Clinical
    Trials 1986).
    """
    if rows is None:
        return 0.0
    variance = float(rest.var()) * time
    worst = 0.0
    for column in schema.features:
        codes = _slices(rows[column.name], column.kind)
        counts = np.bincount(codes).astype(np.float64)
        means = np.bincount(codes, weights=rest)[counts >= 20] / counts[counts >= 20]
        counts = counts[counts >= 20]
        if len(means) < 2:
            continue
        spread = float(counts @ (means - rest.mean()) ** 2) - (len(means) - 1) * variance
        weight = counts.sum() - float((counts**2).sum()) / counts.sum()
        worst = max(worst, spread / weight)
    return math.sqrt(worst)


def _slices(values: "pd.Series[Any]", kind: Kind) -> NDArray[np.int64]:
    """A slice number for each row; missing values are a slice of their own."""
    if kind in (Kind.CATEGORICAL, Kind.BOOLEAN):
        codes = pd.factorize(values)[0]
    else:
        codes = pd.qcut(values.rank(method="min"), SLICES, labels=False, duplicates="drop").fillna(-1).to_numpy()
    return np.asarray(codes, dtype=np.int64) + 1


# ---- guessing ----------------------------------------------------------------------------------------------------
def guess(
    calibration: Calibration,
    predictions: Labels,
    probabilities: Floats | None,
    schema: Schema,
    *,
    past: Sequence[Reconciled] = (),
) -> Guess | None:
    """The score that these answers probably have: accuracy 0 to 1, or mean absolute error. None without an answer.

    ``past`` are earlier guesses of this project whose labels have come: where they missed by more than they should,
    the interval widens. It allows for the luck of the window's own labels, for the calibration resting on few rows, and
    for its misfit.
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
    variance = float(luck.mean()) * calibration.time / size + float(slope @ covariance @ slope) + calibration.misfit**2
    deviation = max(math.sqrt(variance) * _widening(past), 1e-9)
    reach = float(stats.norm.ppf((1 + COVERS) / 2)) * deviation
    top = 1.0 if schema.task.is_classification else math.inf
    low, high = max(value - reach, 0.0), min(value + reach, top)
    return Guess(calibration.metric, value, low, high, size, deviation, calibration.last)


WIDENING_PRIOR = 6  # windows without surprise that are supposed beforehand
MEMORY = 12  # reconciled windows that count


def _widening(past: Sequence[Reconciled]) -> float:
    """How much wider than computed the errors of the past say the interval must be; 1 and up.

    The spread of the newest surprises, each cut at four deviations so that one break does not blind for long.
    """
    newest = [min(abs(one.surprise), 4.0) ** 2 for one in past[-MEMORY:]]
    return max(1.0, math.sqrt((sum(newest) + WIDENING_PRIOR) / (len(newest) + WIDENING_PRIOR)))


# ---- reconciling -------------------------------------------------------------------------------------------------
PARTED = 2.58  # deviations by which one realised score parts from its guess: 1 % of the time by chance
PARTED_TWICE = 2.0  # and by which two in a row do, on average and to the same side: about 0.5 %
CALM = 1.64  # within this a realised score agrees with its guess
CALM_WINDOWS = 2  # agreeing in a row, to be valid again
FEWEST_WINDOWS = 6  # reconciled, to be trusted
TRUST_LEVEL = 0.05


def trust(past: Sequence[Reconciled]) -> Trust:
    """Whether guesses are to be believed, from all that were reconciled so far, oldest first.

    Not valid from the window whose realised score lies 2.6 deviations off the guess, or the second in a row 2 off to
    the same side, until two in a row agree. Trusted: valid, and over the last 12 windows the error was smaller than
    that of the last labelled value by more than chance explains (one-sided paired t, 5 % a look).
    """
    if not past:
        return Trust(None, False, None, None, None, 0)
    newest = past[-MEMORY:]
    lead = np.array([one.rival_error - one.error for one in newest])
    error = float(np.mean([one.error for one in newest]))
    rival = float(np.mean([one.rival_error for one in newest]))
    valid = is_valid([one.surprise for one in past])
    enough = len(newest) >= FEWEST_WINDOWS
    ahead = enough and lead.mean() > stats.t.ppf(1 - TRUST_LEVEL, len(lead) - 1) * lead.std(ddof=1) / math.sqrt(
        len(lead)
    )
    score = 1 - error / rival if rival > 0 else 0.0
    return Trust(valid, bool(valid and ahead), score, error, rival, len(past))


def is_valid(surprises: Sequence[float]) -> bool:
    """Whether guesses agree with what was realised, after these surprises (in deviations), oldest first.

    >>> is_valid([0.3, -0.8]), is_valid([0.3, -3.1]), is_valid([-3.1, 0.2]), is_valid([-3.1, 0.2, 0.4])
    (True, False, False, True)
    """
    valid, calm, before = True, 0, 0.0
    for surprise in surprises:
        together = (surprise + before) / 2
        if abs(surprise) > PARTED or (before * surprise > 0 and abs(together) > PARTED_TWICE):
            valid, calm = False, 0
        else:
            calm = calm + 1 if abs(surprise) <= CALM else 0
            valid = valid or calm >= CALM_WINDOWS
        before = surprise
    return valid

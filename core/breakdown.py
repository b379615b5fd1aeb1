"""Where the answers of a stretch of rows go wrong: in which slice, at which confidence, between which classes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from core import performance
from core.records import Estimate, Schema
from core.slices import slices

FEWEST_ROWS = 30  # of a slice, with label and answer
TENTHS = 10


@dataclass(frozen=True, eq=False)
class Answered:
    """A stretch of rows in order: features, labels (missing where not arrived) and what was answered."""

    rows: pd.DataFrame
    labels: NDArray[np.object_] | NDArray[np.float64]
    answers: NDArray[np.object_] | NDArray[np.float64]
    probabilities: NDArray[np.float64] | None

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which rows have both a label and an answer."""
        return performance.known(self.labels, self.answers)


@dataclass(frozen=True)
class SliceScore:
    """The headline score within a slice and outside it; ``worse`` when the two intervals lie apart, to its loss."""

    name: str
    inside: Estimate
    outside: Estimate
    worse: bool


def by_slice(told: Answered, schema: Schema) -> list[SliceScore]:
    """Every slice of at least 30 labelled rows that has a score, the worst first. Empty while there are too few rows.

    Intervals are those of `performance.score`: 95 % each. Two that do not overlap differ at less than 1 % (Schenker &
    Gentleman, The American Statistician 2001); with up to 60 slices one may still do so by chance.
    """
    known = told.known
    found = []
    for name, mask in slices(told.rows[known].reset_index(drop=True), schema).items():
        if FEWEST_ROWS <= mask.sum() <= len(mask) - FEWEST_ROWS:
            inside, outside = (_headline(told, known, part, schema) for part in (mask, ~mask))
            if inside is None or outside is None:
                continue
            worse = inside.high < outside.low if _more_is_better(schema) else inside.low > outside.high
            found.append(SliceScore(name, inside, outside, worse))
    sign = 1 if _more_is_better(schema) else -1
    return sorted(found, key=lambda one: sign * (one.inside.value - one.outside.value))


def _more_is_better(schema: Schema) -> bool:
    return performance.higher_is_better(performance.headline(schema))


def _headline(told: Answered, known: NDArray[np.bool_], mask: NDArray[np.bool_], schema: Schema) -> Estimate | None:
    at = np.flatnonzero(known)[mask]
    scores = performance.score(told.labels[at], told.answers[at], None, schema)
    return next((one for one in scores if one.metric == performance.headline(schema)), None)


def reliability(told: Answered, schema: Schema) -> pd.DataFrame:
    """Is the model as sure as it should be? One line for each tenth of the rows: said, happened, low, high, rows.

    Classes: ``said`` is the mean confidence in the answer, ``happened`` the share that was right, with Wilson's
    interval. Numbers: the mean answer against the mean label, with Student's. Murphy & Winkler, Applied Statistics 1977.
    """
    at = np.flatnonzero(told.known)
    if schema.task.is_classification:
        if told.probabilities is None:
            return pd.DataFrame(columns=["said", "happened", "low", "high", "rows"])
        at = at[np.isfinite(told.probabilities[at]).all(axis=1)]
        said = told.probabilities[at].max(axis=1) if len(at) else np.empty(0)
        happened = (told.labels[at] == told.answers[at]).astype(np.float64)
    else:
        said, happened = told.answers[at].astype(np.float64), told.labels[at].astype(np.float64)
    order = np.argsort(said, kind="stable")
    lines = []
    for part in np.array_split(order, min(TENTHS, max(len(order) // FEWEST_ROWS, 1))):
        if len(part):
            mean = float(happened[part].mean())
            low, high = _interval(happened[part], schema)
            lines.append((float(said[part].mean()), mean, low, high, len(part)))
    return pd.DataFrame(lines, columns=["said", "happened", "low", "high", "rows"])


def _interval(values: NDArray[np.float64], schema: Schema) -> tuple[float, float]:
    mean = float(values.mean())
    if schema.task.is_classification:
        return performance.wilson(mean, len(values))
    reach = (
        float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else 0
    )
    return mean - reach, mean + reach


def confusion(told: Answered, schema: Schema) -> pd.DataFrame:
    """Rows by true class (index) and answered class (columns), in the order of the schema's classes."""
    at = np.flatnonzero(told.known)
    found = pd.crosstab(pd.Series(told.labels[at], name="true"), pd.Series(told.answers[at], name="answered"))
    return found.reindex(index=schema.classes, columns=schema.classes, fill_value=0)

"""What a turn of the loop works on, the same for the live app and for a replay.

A turn comes after each window of rows. `core.observe` looks at the `World` and gives small evidence; `core.decide` judges
it; `core.challenge` trains what was decided on and compares. Each gives values and changes nothing but the world's list of
model versions: whoever calls writes the ledger and moves the champion, step by step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core import drift, gate
from core.policy import Policy, Scope
from core.records import Reason, Schema, Task

Span = tuple[int, int]


@dataclass(frozen=True)
class Answers:
    """What a model said of a span of rows, in row order.

    ``labels`` is an object array of text (None where nothing was answered) or a float array (NaN); ``probabilities``
    has shape (rows, classes) in the order of ``schema.classes``, or is None.
    """

    labels: NDArray[Any]
    probabilities: NDArray[np.float64] | None = None


class World(Protocol):
    """What a turn may see and do. Rows have positions 0, 1, 2, ... in the order they arrived; spans are [first, last).

    ``labels`` are missing (None, NaN) where they have not arrived yet: nothing here can look at a label too early.
    """

    @property
    def schema(self) -> Schema: ...

    def rows_count(self) -> int: ...

    def rows(self, first: int, last: int) -> pd.DataFrame: ...

    def labels(self, first: int, last: int) -> "pd.Series[Any]": ...

    def answers(self, first: int, last: int) -> Answers: ...

    def predict(self, version: int, first: int, last: int) -> Answers: ...

    def fit(self, spans: Sequence[Span], *, estimator: str, seed: int) -> int:
        """The number of a new version, trained on the labelled rows of these spans."""

    def yardstick(self, spans: Sequence[Span], first: int, last: int, *, estimator: str, seed: int) -> Answers:
        """What a light model of this kind, trained on the labelled rows of these spans, says of the rows of another."""

    def reference(self, version: int) -> drift.Reference: ...

    def profile(self, version: int, first: int, last: int) -> drift.Profile:
        """The profile of these rows in the bins of that version's reference."""


# ---- windows and losses -------------------------------------------------------------------------
def span(policy: Policy, window: int) -> Span:
    """The rows of a window."""
    return window * policy.window_rows, (window + 1) * policy.window_rows


def row_losses(answers: Answers, labels: "pd.Series[Any]", schema: Schema) -> NDArray[np.float64]:
    """Loss of each labelled row: 0 or 1, or the absolute error."""
    known = labels.notna().to_numpy()
    truth, said = labels[known].to_numpy(), answers.labels[known]
    if schema.task is Task.REGRESSION:
        return np.abs(truth.astype(np.float64) - said.astype(np.float64))
    return (truth != said).astype(np.float64)


def blocks(losses: NDArray[np.float64]) -> tuple[float, ...]:
    """Block means of row losses, short enough to be kept."""
    return tuple(round(float(value), 9) for value in gate.blocks(losses))


def metric(schema: Schema) -> str:
    """What a loss is called: the share of wrong answers, or the mean absolute error."""
    return "absolute error" if schema.task is Task.REGRESSION else "error"


# ---- what is trained on -------------------------------------------------------------------------
FEWEST_ROWS = 200  # since the change
FEWEST_LABELS = 50  # to train on
FEWEST_OF_A_CLASS = 10  # two answers need so many rows each
SHOWN_CLASSES = 5


def training_spans(policy: Policy, windows: list[int], scope: str, changed: int = 0) -> list[Span]:
    """The row spans to train on: the newest labelled windows, as many as the scope says and ``most_rows`` allows.

    ``changed`` is the window in which the world last changed, for the scope since_change, which spans at least
    `FEWEST_ROWS`.

    >>> training_spans(Policy(window_rows=100, warm_up_windows=2), [0, 1, 3], "all")
    [(0, 200), (300, 400)]
    """
    most = {
        Scope.SLIDING: policy.sliding,
        Scope.SINCE_CHANGE: max(sum(window >= changed for window in windows), -(-FEWEST_ROWS // policy.window_rows)),
    }.get(Scope(scope), len(windows))
    spans: list[Span] = []
    for window in sorted(windows)[-min(most, max(1, policy.most_rows // policy.window_rows)) :]:
        first, last = span(policy, window)
        if spans and spans[-1][1] == first:
            spans[-1] = (spans[-1][0], last)
        else:
            spans.append((first, last))
    return spans


def first_scope(policy: Policy) -> str:
    """What a challenger is trained on, at first."""
    return str(Scope.ALL if policy.scope is Scope.BEST else policy.scope)


def compares(policy: Policy, windows: Sequence[int]) -> bool:
    """Is the newest of these labelled windows held out, to compare on?"""
    return policy.gate != "none" and len(windows) >= 2


def lacking_for(world: World, policy: Policy, windows: list[int], scope: str, changed: int) -> Reason | None:
    """Why not everything that a challenge fits on these labelled windows can be fitted; None where it can."""
    fitted_on = [windows, windows[:-1]] if compares(policy, windows) else [windows]
    found = (lacking_in(world, training_spans(policy, one, scope, changed)) for one in fitted_on)
    return next((reason for reason in found if reason), None)


def lacking_in(world: World, spans: list[Span]) -> Reason | None:
    """Why the labels of these rows do not make a model; None where they do."""
    return lacking(pd.concat([world.labels(*found) for found in spans]), world.schema)


def lacking(labels: "pd.Series[Any]", schema: Schema) -> Reason | None:
    """Why these labels, some of them missing, do not make a model: they are too few, or they do not hold two answers,
    each a few times. None where they do.

    >>> lacking(pd.Series(["no"] * 60 + ["yes"] * 3), Schema((), "y", Task.BINARY, ("no", "yes"))).params["seen"]
    "60 x 'no', 3 x 'yes'"
    """
    known = labels.dropna()
    if len(known) < FEWEST_LABELS:
        return Reason("too_few_labels", {"rows": len(known), "needed": FEWEST_LABELS})
    counts = known.value_counts()
    if schema.task is Task.REGRESSION or int((counts >= FEWEST_OF_A_CLASS).sum()) >= 2:
        return None
    seen = ", ".join(f"{count:,} x {name!r}" for name, count in counts.head(SHOWN_CLASSES).items())
    return Reason("one_answer", {"seen": seen, "needed": FEWEST_OF_A_CLASS})

"""What a report freezes: the figures and reasons of one project over one period. Values only; words come when shown.

A snapshot is kept as JSON beside the files made of it, so that it can be shown again in another language, and nothing
that happens later changes it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import pandas as pd

from core.records import Action, Comparison, Reason

MOST_FEATURES = 12  # rows of the heatmap: those that moved most
MOST_COLUMNS = 48  # of the heatmap; more windows share a column, which shows the largest
MOST_DECISIONS = 200
MOST_POINTS = 240  # windows of the line, the newest; more would be a smear


@dataclass(frozen=True)
class Point:
    """A window's score with its 95 % interval. ``maturity`` is the share of its labels that have arrived, 0 to 1."""

    window: int
    value: float
    low: float
    high: float
    rows: int
    maturity: float
    measured_at: datetime


@dataclass(frozen=True)
class Heat:
    """Drift of the features that moved most: ``ratios[i][j]`` is the largest score of feature ``i`` in the windows from
    ``windows[j]`` to before the next column's, divided by its limit; None where nothing was judged.

    ``counts`` maps each judged window to (features past their limit, features judged): neighbouring rows may be too
    alike to judge some.
    """

    features: tuple[str, ...] = ()
    windows: tuple[int, ...] = ()
    ratios: tuple[tuple[float | None, ...], ...] = ()
    counts: dict[int, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Moment:
    """One row of the ledger, without what only a replay needs. ``cause`` is the decision it follows from."""

    id: int
    at: datetime
    action: Action
    actor: str
    reasons: tuple[Reason, ...]
    version: int | None = None
    window: int | None = None
    nearest_flip: Reason | None = None
    comparison: Comparison | None = None
    cause: int | None = None


@dataclass(frozen=True)
class Coming:
    """What is known about what happens next. ``filling`` rows of window ``window`` are in; checks may be paused."""

    window: int
    filling: int
    window_rows: int
    mature_share: float
    check_seconds: float
    paused: bool
    retrains: bool
    by_hand: bool


@dataclass(frozen=True)
class Snapshot:
    """A project over ``[since, until)``. ``state`` is the newest check that judged something; None when none did.

    ``acts`` counts the ledger rows of the period by action; ``decisions`` are the newest of those that did something.
    ``scores`` are of the newest `MOST_POINTS` of the period's ``windows``. ``features`` is how many the project has. Counts are of the period.
    """

    project: str
    name: str
    since: datetime
    until: datetime
    made_at: datetime
    made_by: str
    metric: str
    features: int
    state: Moment | None
    champion: int | None
    champion_since: datetime | None
    scores: tuple[Point, ...]
    windows: int
    heat: Heat
    predictions: int
    rows: int
    labels: int
    acts: dict[str, int]
    decisions: tuple[Moment, ...]
    coming: Coming
    url: str = ""

    def count(self, *actions: Action) -> int:
        return sum(self.acts.get(action, 0) for action in actions)

    @property
    def newest(self) -> Point | None:
        """The newest window whose labels are all in, or nearly; None when there is none."""
        return next((point for point in reversed(self.scores) if point.maturity >= 0.999), None)

    @property
    def drifting(self) -> tuple[int, int] | None:
        """Features past their limit and features judged in the newest window that was judged; None when none was."""
        return self.heat.counts[max(self.heat.counts)] if self.heat.counts else None


def points(scores: pd.DataFrame, metric: str) -> tuple[Point, ...]:
    """The points of one metric, in order. ``scores``: window_number, metric, value, low, high, rows, maturity, measured_at."""
    kept = scores[scores["metric"] == metric].sort_values("window_number")
    return tuple(
        Point(int(line["window_number"]), float(line["value"]), float(line["low"]), float(line["high"]),
              int(line["rows"]), float(line["maturity"]), line["measured_at"].to_pydatetime())
        for line in kept.to_dict("records")
    )  # fmt: skip


def heat(scores: pd.DataFrame, features: Iterable[str]) -> Heat:
    """The heatmap of these features. ``scores``: window_number, feature, value, threshold, drifting.

    >>> frame = pd.DataFrame({"window_number": [4, 4, 5], "feature": ["x", "y", "x"], "value": [0.1, 0.3, 0.4],
    ...                       "threshold": [0.2, 0.2, 0.2], "drifting": [False, True, True]})
    >>> made = heat(frame, ["x", "y"])
    >>> made.features, made.ratios, made.counts
    (('x', 'y'), ((0.5, 2.0), (1.5, None)), {4: (1, 2), 5: (1, 1)})
    """
    scores = scores[scores["feature"].isin(list(features))]
    if scores.empty:
        return Heat()
    moved = scores.groupby(["window_number", "feature"])["drifting"].any().groupby("window_number")
    first, last = int(scores["window_number"].min()), int(scores["window_number"].max())
    width = -(-(last - first + 1) // MOST_COLUMNS)  # windows a column
    ratio = (scores["value"] / scores["threshold"]).where(scores["threshold"] > 0)
    column = first + (scores["window_number"] - first) // width * width
    table = scores.assign(ratio=ratio, column=column).pivot_table(
        index="feature", columns="column", values="ratio", aggfunc="max"
    )
    table = table.reindex(columns=range(first, last + 1, width))
    order = table.max(axis=1).sort_values(ascending=False, kind="stable").index[:MOST_FEATURES]
    return Heat(
        tuple(str(name) for name in order),
        tuple(int(window) for window in table.columns),
        tuple(tuple(None if pd.isna(value) else round(float(value), 4) for value in table.loc[name]) for name in order),
        {int(window): (int(past.sum()), len(past)) for window, past in moved},  # type: ignore[arg-type]
    )

"""The nouns: what the functions of this package hand to each other.

Frozen, and plain enough to be stored as JSON (`dataclasses.asdict`). Times are aware and UTC.
Rows of a project are numbered 0, 1, 2, ... in the order they arrived: that number is the row's
*position*, and a span of rows is ``[first, last)``.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


# ---- what a project predicts -------------------------------------------------------------------
class Kind(StrEnum):
    NUMERIC = "numeric"  # float64, NaN where missing
    CATEGORICAL = "categorical"  # object of str, None where missing
    BOOLEAN = "boolean"  # float64 0.0 or 1.0, NaN where missing
    TIMESTAMP = "timestamp"  # datetime64[us, UTC], NaT where missing


class Task(StrEnum):
    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"

    @property
    def is_classification(self) -> bool:
        return self is not Task.REGRESSION


@dataclass(frozen=True)
class Column:
    name: str
    kind: Kind


@dataclass(frozen=True)
class Schema:
    """What a row looks like. ``classes`` are the known labels as text, sorted; empty for regression.

    ``row_id`` and ``event_time`` name the columns that hold the row's own id and time; they are no features.
    """

    features: tuple[Column, ...]
    target: str
    task: Task
    classes: tuple[str, ...] = ()
    row_id: str | None = None
    event_time: str | None = None
    ignored: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.features]


@dataclass(frozen=True)
class Project:
    """``id`` is a slug that never changes; ``source`` names the bundled stream that plays in it, if any."""

    id: str
    name: str
    schema: Schema
    created_at: datetime
    archived_at: datetime | None = None
    source: str | None = None


# ---- what the app judged -----------------------------------------------------------------------
class Verdict(StrEnum):
    STABLE = "stable"
    DRIFTING = "drifting"
    UNKNOWN = "unknown"  # could not be judged; never to be read as stable


@dataclass(frozen=True)
class Score:
    """One drift metric on one feature. Higher is more drift; ``value > limit`` means drift."""

    feature: str
    metric: str
    value: float
    limit: float
    drifting: bool


@dataclass(frozen=True)
class DriftCheck:
    """``detectable`` is the smallest shift, as a share of the rows moved, that half of the features would have shown with
    80 % power.

    ``unjudged`` are the features that this many rows say nothing about: neighbouring rows are too alike, or every
    category is rare.
    """

    verdict: Verdict
    scores: tuple[Score, ...] = ()
    reference_rows: int = 0
    current_rows: int = 0
    budget: float = 0.01
    detectable: float | None = None
    note: str = ""
    unjudged: tuple[str, ...] = ()


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; ``rows`` is how many rows it rests on."""

    metric: str
    value: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True)
class Performance:
    """Realised scores of a span of rows. ``maturity`` is the share of its labels that have arrived, 0 to 1."""

    first: int
    last: int
    maturity: float
    scores: tuple[Estimate, ...] = ()


@dataclass(frozen=True)
class Guess:
    """The score these rows probably have. ``low`` to ``high`` should hold the realised score in 90 % of windows.

    ``deviation`` is the standard deviation of realised minus guessed, of which past errors account for a factor of
    ``widened``; ``last`` the last realised score known then, of the window ``age`` windows before.
    """

    metric: str
    value: float
    low: float
    high: float
    rows: int
    deviation: float
    last: float
    age: int = 1  # this and the next: what is supposed of guesses kept before they were
    widened: float = 1.0


class Action(StrEnum):
    WAIT = "wait"  # too little to judge yet
    NOTHING = "nothing"  # judged, and all is well
    ALERT = "alert"  # something is wrong that a retrain would not mend
    RETRAIN = "retrain"
    PROMOTE = "promote"
    HOLD = "hold"  # a challenger was tried and did not earn it
    ROLL_BACK = "roll_back"
    ACCEPT = "accept"  # a person said that the feed is right and the world has changed
    FAIL = "fail"  # what was decided could not be carried out


@dataclass(frozen=True)
class Reason:
    """A code with its parameters: rendered as a sentence when shown, so it can be translated and replayed."""

    code: str
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SliceGain:
    """The gain on some of the compared rows: those where ``name`` holds ("age <= 31", "region = EU")."""

    name: str
    rows: int
    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Champion and challenger on the same labelled rows, which neither was trained on.

    ``gain`` is champion loss minus challenger loss (positive: the challenger is better) with its interval. ``losses``
    are the block mean losses of champion and challenger that all of it follows from (empty in old ledgers), ``logic``
    is that of the release that judged them (`core.decide.LOGIC`; 0: it did not say). ``slices`` says the same for parts
    of the rows (`core.sanity.by_slice`). ``versions`` are the champion's and the challenger's.
    """

    champion: float
    challenger: float
    gain: float
    low: float
    high: float
    rows: int
    metric: str
    verdict: str  # promote, hold, need_more_rows
    reasons: tuple[Reason, ...] = ()
    rows_needed: int | None = None
    losses: tuple[tuple[float, ...], ...] = ()
    logic: int = 0
    slices: tuple[SliceGain, ...] = ()
    versions: tuple[int, int] | None = None


# ---- what happened -----------------------------------------------------------------------------
@dataclass(frozen=True)
class ModelVersion:
    """One trained pipeline. ``scores`` were made on rows it had not seen; ``first``/``last`` span its training rows."""

    project: str
    version: int
    estimator: str
    created_at: datetime
    path: str
    sha256: str
    rows: int
    first: int
    last: int
    data_hash: str
    seconds: float
    seed: int
    scores: tuple[Estimate, ...] = ()


class Severity(StrEnum):
    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True)
class Alert:
    raised_at: datetime
    severity: Severity
    reason: Reason
    project: str | None = None
    decision: int | None = None
    id: int | None = None


class Outcome(StrEnum):
    QUEUED = "queued"  # asked for, or waiting for its next attempt
    RUNNING = "running"
    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    INTERRUPTED = "interrupted"  # the process ended while it ran


class Role(StrEnum):
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


@dataclass(frozen=True)
class User:
    """Whoever acts: a person, a token (``name`` is then ``token:<id>``), a guest, or the app itself.

    ``session`` is what a signed-in person's session is bound to; "" when it is bound to nothing.
    """

    name: str
    role: Role
    display: str = ""
    session: str = ""


SYSTEM = User("continual-ml", Role.ADMIN, "Continual ML")
GUEST = User("guest:", Role.VIEWER, "Guest")  # no account can have that name

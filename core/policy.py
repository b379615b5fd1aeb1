"""A readable, versioned policy: when a project retrains, on what, and who serves. Settings, their ranges and presets.

What follows from them is decided in `core.decide`.
"""

import json
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from functools import cache
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from core import estimators
from core.errors import InvalidInput
from core.gate import GATES
from core.sanity import SANITY


class Scope(StrEnum):
    """Which labelled rows a model is trained on."""

    ALL = "all"
    SLIDING = "sliding"  # the newest `sliding_windows`
    SINCE_CHANGE = "since_change"  # since the champion's loss last jumped
    BEST = "best"  # of these, whichever does best on the newest labelled window


class Approval(StrEnum):
    AUTOMATIC = "automatic"
    MANUAL = "manual"  # a person promotes and rolls back; the policy proposes


class Stored:
    """To and from JSON text."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), allow_nan=False)  # type: ignore[call-overload]

    @classmethod
    def from_json(cls, text: str) -> Self:
        return _adapter(cls).validate_json(text)  # type: ignore[arg-type]  # a class can be hashed


@cache
def _adapter(kind: type[Stored]) -> TypeAdapter[Any]:
    """Built once: that takes milliseconds."""
    return TypeAdapter(kind)


@dataclass(frozen=True)
class Policy(Stored):
    """How a project judges. A *window* is ``window_rows`` rows; ages, periods and cool-downs are counted in windows.

    A window is judged once ``mature_share`` of its labels have arrived. ``price`` is what a retrain costs, in units of
    (relative loss x windows): 0.2 means that one is worth it once staleness has cost a fifth of a window's loss, and
    surely so (by `STALE_ERRORS`).
    ``on_performance`` retrains as soon as the
    champion's loss has risen, rather than when a fresh model would do better; either way the rise is told.
    ``growth`` retrains once there are so many times the labelled rows that the champion learned from, ``period`` after
    so many windows, ``after_labels`` after so many new labels. ``quorum`` is how many triggers must agree (see `checked`).
    ``most_retrains`` is the share of windows that may end in a retrain in the long run. Levels are error rates:
    ``performance_level`` a window, ``gate_level`` a challenge,
    ``rollback_level`` a reign; ``stand_in`` is the relative loss by which the predecessor must be ahead of late to answer
    in the champion's place, ``drift_budget`` a check. ``blocks`` names the sanity checks (`core.sanity.SANITY`) that
    hold a challenger back; the others are only told.
    """

    name: str = "balanced"
    estimator: str = "auto"
    approval: Approval = Approval.AUTOMATIC
    window_rows: int = 500
    warm_up_windows: int = 8
    mature_share: float = 0.8
    # what is trained
    scope: Scope = Scope.ALL
    sliding_windows: int | None = None  # None: as many as the warm-up
    most_rows: int = 30_000
    # when
    retrains: bool = True
    on_performance: bool = False
    performance_level: float = 0.001
    performance_margin: float = 0.05
    performance_checks: int = 1
    on_staleness: bool = True
    price: float = 0.2
    growth: float | None = 1.5
    period: int | None = None
    on_drift: bool = False
    drift_budget: float = 0.01
    drift_checks: int = 3
    after_labels: int | None = None
    quorum: int = 1
    cool_down: int = 1
    most_retrains: float = 0.18
    # who serves
    gate: str = "veto"
    gate_level: float = 0.07
    minimum_gain: float = 0.0
    rollback_level: float = 0.05
    stand_in: float | None = 0.05
    blocks: tuple[str, ...] = ("schema_differs", "answers_missing", "worse_than_trivial", "slice_worse")

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise InvalidInput(f"Policy: {name} is {value}; it must be {low} to {high}")
        if self.gate not in GATES:
            raise InvalidInput(f"Policy: there is no gate {self.gate!r}. Choose one of: {', '.join(GATES)}")
        if unknown := sorted(set(self.blocks) - set(SANITY)):
            raise InvalidInput(f"Policy: there is no sanity check {unknown[0]!r}. There are: {', '.join(SANITY)}")
        estimators.resolve(self.estimator)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The policy written in ``text``; what it leaves out keeps its default. Raises InvalidInput."""
        try:
            given = json.loads(text)
            if not isinstance(given, dict):
                raise InvalidInput("Policy: it is no JSON object")
            given = {name: value for name, value in given.items() if name not in RETIRED}
            if unknown := sorted(set(given) - {part.name for part in fields(cls)}):
                raise ValueError(f"there is no setting {unknown[0]!r}")
            return TypeAdapter(cls).validate_python(given)
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidInput(f"Policy: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        except ValueError as error:
            raise InvalidInput(f"Policy: {error}") from None

    def checked(self) -> Self:
        """The same policy, if it can ever come to a retrain, or says that it shall not. Raises InvalidInput.

        For where a policy is taken on. One that an older database holds is read and judged as it was.
        """
        on = [name for name in TRIGGER_SETTINGS if getattr(self, name)]
        if self.retrains and len(on) < self.quorum:
            raise InvalidInput(
                f"Policy: quorum is {self.quorum}, but {len(on)} triggers are on ({', '.join(on) or 'none'}), so that they "
                f"could never agree. Lower quorum, turn on more of {', '.join(TRIGGER_SETTINGS)}, or turn retrains off"
            )
        return self

    @property
    def lets_stand_in(self) -> bool:
        """Whether the predecessor may answer in the champion's place; where a person approves, nobody changes by itself."""
        return self.stand_in is not None and self.approval is Approval.AUTOMATIC

    @property
    def sliding(self) -> int:
        """Windows a sliding training window spans."""
        return self.sliding_windows or self.warm_up_windows


TRIGGER_SETTINGS = ("on_performance", "on_staleness", "growth", "period", "on_drift", "after_labels")
OPTIONAL = ("sliding_windows", "growth", "period", "after_labels", "stand_in")  # None turns them off
RETIRED = {
    "on_age",
    "longest_period",
}  # settings of earlier policies, which older databases still hold; they mean nothing now
RANGES: dict[str, tuple[float, float]] = {
    "window_rows": (20, 1_000_000),
    "warm_up_windows": (1, 1000),
    "mature_share": (0.05, 1.0),
    "sliding_windows": (1, 10_000),
    "most_rows": (100, 10_000_000),
    "performance_level": (1e-9, 0.5),
    "performance_margin": (0.0, 10.0),
    "performance_checks": (1, 100),
    "price": (0.001, 1000.0),
    "growth": (1.01, 1000.0),
    "period": (1, 10_000),
    "drift_budget": (1e-6, 0.5),
    "drift_checks": (1, 100),
    "after_labels": (1, 100_000_000),
    "quorum": (1, 6),
    "cool_down": (0, 10_000),
    "most_retrains": (0.001, 1.0),
    "gate_level": (1e-9, 0.5),
    "minimum_gain": (0.0, 1e9),
    "rollback_level": (0.0, 0.5),
    "stand_in": (0.0, 2.0),
}
PRESETS: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy(),
        Policy(
            name="careful",
            price=0.5,
            growth=2.0,
            performance_checks=2,
            most_retrains=0.1,
            cool_down=2,
            gate="superiority",
            gate_level=0.05,
            blocks=("schema_differs", "answers_missing", "worse_than_trivial", "slice_worse", "calibration_worse", "forgets"),
        ),
        Policy(name="eager", price=0.1, growth=1.25, on_performance=True, performance_level=0.01, most_retrains=0.5),
        Policy(name="never", retrains=False, rollback_level=0.0, stand_in=None),
        Policy(
            name="always", on_staleness=False, growth=None, period=1, most_retrains=1.0,
            cool_down=0, gate="none", rollback_level=0.0, stand_in=None,
        ),
    )
}  # fmt: skip

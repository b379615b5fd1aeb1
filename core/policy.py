"""How a project is judged: a policy, what was seen, what is remembered in; what to do and why out.

`decide(policy, evidence, memory)` is a pure function of three small values that are all stored with the decision, so
that any decision can be replayed to the identical verdict. It never fits or loads a model: `core.turn` gathers the
evidence and carries out what was decided.

In order: without a champion, wait for the warm-up and train a first model. Else note what the new labels say of the
champion and of the versions in its shadow; a broken feed blocks everything and alerts; a predecessor that proves
better comes back; then the triggers vote (performance, age, drift, labels) and a quorum of them starts a retrain.
"""

import json
import math
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Self

from pydantic import TypeAdapter, ValidationError
from scipy import stats

from core import estimators
from core.errors import InvalidInput
from core.gate import GATES, Tally, proven, spent
from core.records import Action, Reason, Verdict


class Scope(StrEnum):
    """Which labelled rows a model is trained on."""

    ALL = "all"
    SLIDING = "sliding"  # the newest `sliding_windows`
    SINCE_CHANGE = "since_change"  # since the champion's loss last jumped
    BEST = "best"  # all and sliding side by side, served by measured loss


class Approval(StrEnum):
    AUTOMATIC = "automatic"
    MANUAL = "manual"  # a person promotes and rolls back; the policy proposes


# ---- values that are stored --------------------------------------------------------------------
class _Stored:
    """To and from JSON text."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), allow_nan=False)  # type: ignore[call-overload]

    @classmethod
    def from_json(cls, text: str) -> Self:
        return TypeAdapter(cls).validate_json(text)


@dataclass(frozen=True)
class Policy(_Stored):
    """How a project judges. A *window* is ``window_rows`` rows; ages, periods and cool-downs are counted in windows.

    A window is judged once ``mature_share`` of its labels have arrived. ``price`` is what a retrain may cost in units
    of (relative loss x windows): 0.25 means that a retrain is worth it once staleness has cost a quarter of a window's
    loss; ``period`` sets a fixed timetable instead (None: by price). ``after_labels`` retrains after so many new
    labels. ``quorum`` is how many triggers must agree. Levels are error rates: ``performance_level`` a window,
    ``gate_level`` a challenge, ``rollback_level`` a reign, ``drift_budget`` a check.
    """

    name: str = "balanced"
    estimator: str = "auto"
    approval: Approval = Approval.AUTOMATIC
    window_rows: int = 500
    warm_up_windows: int = 8
    mature_share: float = 0.8
    # what is trained
    scope: Scope = Scope.BEST
    sliding_windows: int | None = None  # None: as many as the warm-up
    most_rows: int = 30_000
    # when
    retrains: bool = True
    on_performance: bool = True
    performance_level: float = 0.001
    performance_margin: float = 0.05
    performance_checks: int = 1
    on_age: bool = True
    price: float = 0.25
    period: int | None = None
    longest_period: int = 12
    on_drift: bool = False
    drift_budget: float = 0.01
    drift_checks: int = 3
    after_labels: int | None = None
    quorum: int = 1
    cool_down: int = 1
    # who serves
    gate: str = "veto"
    gate_level: float = 0.05
    minimum_gain: float = 0.0
    rollback_level: float = 0.05

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise InvalidInput(f"Policy: {name} is {value}; it must be {low} to {high}")
        if self.gate not in GATES:
            raise InvalidInput(f"Policy: there is no gate {self.gate!r}. Choose one of: {', '.join(GATES)}")
        estimators.resolve(self.estimator)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The policy written in ``text``; what it leaves out keeps its default. Raises InvalidInput."""
        try:
            given = json.loads(text)
            if not isinstance(given, dict):
                raise InvalidInput("Policy: it is no JSON object")
            if unknown := sorted(set(given) - {part.name for part in fields(cls)}):
                raise ValueError(f"there is no setting {unknown[0]!r}")
            return TypeAdapter(cls).validate_python(given)
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidInput(f"Policy: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        except ValueError as error:
            raise InvalidInput(f"Policy: {error}") from None

    @property
    def sliding(self) -> int:
        """Windows a sliding training window spans."""
        return self.sliding_windows or self.warm_up_windows


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
    "period": (1, 10_000),
    "longest_period": (1, 10_000),
    "drift_budget": (1e-6, 0.5),
    "drift_checks": (1, 100),
    "after_labels": (1, 100_000_000),
    "quorum": (1, 4),
    "cool_down": (0, 10_000),
    "gate_level": (1e-9, 0.5),
    "minimum_gain": (0.0, 1e300),
    "rollback_level": (0.0, 0.5),
}

PRESETS: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy(),
        Policy(name="careful", price=1.0, longest_period=24, gate="superiority", performance_checks=2, cool_down=2),
        Policy(name="eager", price=0.1, longest_period=8, performance_level=0.01),
        Policy(name="never", retrains=False, rollback_level=0.0),
        Policy(name="always", on_performance=False, period=1, gate="none", rollback_level=0.0, cool_down=0),
    )
}


@dataclass(frozen=True)
class VersionLoss:
    """Block mean losses of one model version on a window it was not trained on."""

    version: int
    blocks: tuple[float, ...]

    @property
    def mean(self) -> float:
        return sum(self.blocks) / len(self.blocks)


@dataclass(frozen=True)
class Judged:
    """A window whose labels have become mature: ``rows`` of them, and what each version in view lost on them."""

    window: int
    rows: int
    losses: tuple[VersionLoss, ...] = ()

    def of(self, version: int | None) -> VersionLoss | None:
        return next((loss for loss in self.losses if loss.version == version), None)


@dataclass(frozen=True)
class Evidence(_Stored):
    """What was seen at turn ``turn``, which comes after window ``turn`` was served.

    ``judged`` are the windows that have become mature since the last turn, oldest first; ``pending`` those seen that
    are not yet. ``cause`` and ``blocked`` are the diagnosis; None and False when there is none.
    """

    turn: int
    rows: int
    judged: tuple[Judged, ...] = ()
    pending: tuple[int, ...] = ()
    metric: str = "error"
    drift: Verdict = Verdict.UNKNOWN
    drifting: tuple[str, ...] = ()
    drift_note: str = ""
    cause: str | None = None
    blocked: bool = False
    blocked_by: str = ""


@dataclass(frozen=True)
class Contender:
    """A model version in view: trained at turn ``born`` on labelled rows before ``trained_to``, by ``scope``."""

    version: int
    scope: str
    trained_to: int
    born: int


@dataclass(frozen=True)
class Memory(_Stored):
    """What judgement carries from turn to turn. ``Memory()`` is a project's beginning.

    ``baseline`` are the champion's own losses on its first judged windows, ``ahead`` what its predecessor was better
    by on windows that neither was trained on, ``trend`` the weighted sum and weight of the staleness measured so far
    (relative loss a window of age), ``twin_lead`` the newest relative loss advantages of sliding over all.
    """

    champion: Contender | None = None
    previous: Contender | None = None
    twin: Contender | None = None
    challenger: Contender | None = None
    crowned: int = 0
    challenged: int | None = None
    next_window: int = 0
    pending: tuple[int, ...] = ()
    labelled: tuple[int, ...] = ()
    labels: int = 0
    labels_then: int = 0
    baseline: Tally = field(default_factory=Tally)
    ahead: Tally = field(default_factory=Tally)
    reign: tuple[tuple[float, float], ...] = ()
    trend: tuple[float, float] = (0.0, 0.0)
    twin_lead: tuple[float, ...] = ()
    drifts: int = 0
    breaches: int = 0
    hurry: bool = False
    owed: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Decision:
    """What to do, why, and the smallest change in what was seen that would have decided otherwise.

    ``version`` is whom a promotion or a rollback puts on the throne.
    """

    action: Action
    reasons: tuple[Reason, ...]
    nearest_flip: Reason | None = None
    version: int | None = None


# ---- deciding ----------------------------------------------------------------------------------
BASELINE_WINDOWS = 2
FOLLOW_UP = 2  # windows to the next retrain after an emergency
FORGETTING = 0.5  # of the staleness measured in earlier reigns, a reign
TWIN_MEMORY = 40  # windows


@dataclass(frozen=True)
class Signal:
    """One trigger's vote. ``distance`` (0 and up) tells how far it was from voting otherwise, in relative terms."""

    fired: bool
    reason: Reason
    flip: Reason
    distance: float


def decide(policy: Policy, evidence: Evidence, memory: Memory) -> tuple[Decision, Memory]:
    """The decision, and what to remember after it (supposing that it is carried out)."""
    noted = _note(policy, evidence, memory)
    if noted.champion is None:
        return _before_the_first(policy, evidence, noted)
    if evidence.blocked:
        reason = Reason("broken_feed", {"what": evidence.blocked_by or evidence.cause or "unknown"})
        return Decision(Action.ALERT, (reason,), Reason("flip_feed_whole")), noted
    if undone := _roll_back(policy, evidence, noted):
        return undone
    return _vote(policy, evidence, noted)


def _before_the_first(policy: Policy, evidence: Evidence, memory: Memory) -> tuple[Decision, Memory]:
    seen, needed = len(memory.labelled), policy.warm_up_windows
    flip = Reason("flip_labels", {"seen": seen, "needed": needed if seen < needed else needed - 1})
    if seen < needed:
        reason = Reason("warming_up", {"seen": seen, "needed": needed})
        return Decision(Action.WAIT, (reason,), flip), memory
    if evidence.blocked:
        reason = Reason("broken_feed", {"what": evidence.blocked_by or evidence.cause or "unknown"})
        return Decision(Action.ALERT, (reason,), Reason("flip_feed_whole")), memory
    reasons = (Reason("first_model", {"windows": seen}),)
    return Decision(Action.RETRAIN, reasons, flip), replace(memory, owed=reasons)


def _note(policy: Policy, evidence: Evidence, memory: Memory) -> Memory:
    """The memory with this turn's evidence in it."""
    drifting = evidence.drift is Verdict.DRIFTING
    noted = replace(
        memory,
        next_window=max(memory.next_window, evidence.turn + 1),
        pending=evidence.pending,
        drifts=memory.drifts + 1 if drifting else 0 if evidence.drift is Verdict.STABLE else memory.drifts,
    )
    for judged in evidence.judged:
        noted = _note_window(policy, judged, noted)
    return noted


def _note_window(policy: Policy, judged: Judged, memory: Memory) -> Memory:
    champion = memory.champion and judged.of(memory.champion.version)
    noted = replace(
        memory, labelled=tuple(sorted({*memory.labelled, judged.window})), labels=memory.labels + judged.rows
    )
    if not champion:
        return noted
    limit = performance_limit(policy, noted, champion.blocks)
    breached = limit is not None and champion.mean > limit
    noted = replace(noted, breaches=noted.breaches + 1 if breached else 0)
    if noted.baseline.looks < BASELINE_WINDOWS:
        noted = replace(noted, baseline=noted.baseline.plus(champion.blocks))
    if memory.previous and (before := judged.of(memory.previous.version)):
        differences = [ours - theirs for ours, theirs in zip(champion.blocks, before.blocks, strict=True)]
        reign = (*noted.reign, (before.mean - champion.mean, champion.mean))
        noted = replace(noted, ahead=noted.ahead.plus(differences), reign=reign)
    if memory.twin and (twin := judged.of(memory.twin.version)):
        whole, sliding = (champion, twin) if memory.twin.scope == Scope.SLIDING else (twin, champion)
        lead = 2 * (whole.mean - sliding.mean) / max(whole.mean + sliding.mean, 1e-12)
        noted = replace(noted, twin_lead=(*noted.twin_lead, lead)[-TWIN_MEMORY:])
    return noted


def performance_limit(policy: Policy, memory: Memory, blocks: tuple[float, ...]) -> float | None:
    """The mean loss of a window above which chance no longer explains it; None while the baseline is being measured.

    One-sided two-sample comparison with the champion's first windows, on block means, at ``performance_level``;
    the first ``performance_margin`` of relative loss is not worth a retrain.
    """
    if memory.baseline.looks < BASELINE_WINDOWS:
        return None
    error = math.hypot(memory.baseline.error, Tally().plus(blocks).error)
    if not math.isfinite(error):
        return None
    return memory.baseline.mean * (1 + policy.performance_margin) + error * _quantile(policy.performance_level)


def _quantile(level: float) -> float:
    return float(stats.norm.ppf(1 - level))


def _roll_back(policy: Policy, evidence: Evidence, memory: Memory) -> tuple[Decision, Memory] | None:
    """Back to the predecessor when it proves better on windows that neither was trained on."""
    if not (policy.rollback_level and memory.previous and evidence.judged and memory.champion):
        return None
    if not proven(memory.ahead, policy.rollback_level):
        return None
    version = memory.previous.version
    params = {
        "version": version,
        "advantage": memory.ahead.mean,
        "windows": memory.ahead.looks,
        "level": policy.rollback_level,
    }
    flip = _rollback_flip(policy, evidence, memory)
    if policy.approval is Approval.MANUAL:
        return Decision(Action.ALERT, (Reason("rollback_advised", params),), flip, version), memory
    decision = Decision(Action.ROLL_BACK, (Reason("predecessor_better", params),), flip, version)
    return decision, took_over(replace(memory, previous=None, hurry=True), memory.previous, evidence.turn)


def _rollback_flip(policy: Policy, evidence: Evidence, memory: Memory) -> Reason | None:
    """The newest window's advantage of the predecessor (all its blocks shifted alike) that would not have proved it."""
    assert memory.champion and memory.previous
    newest = next((window for window in reversed(evidence.judged) if window.of(memory.previous.version)), None)
    ours = newest and newest.of(memory.champion.version)
    theirs = newest and newest.of(memory.previous.version)
    if not (newest and ours and theirs):
        return None
    differences = [a - b for a, b in zip(ours.blocks, theirs.blocks, strict=True)]

    def still(shift: float) -> bool:
        moved = Tally(
            memory.ahead.blocks,
            memory.ahead.total + shift * len(differences),
            memory.ahead.squares + 2 * shift * sum(differences) + shift**2 * len(differences),
            memory.ahead.looks,
        )
        return proven(moved, policy.rollback_level)

    seen = ours.mean - theirs.mean
    step = max(abs(memory.ahead.mean), 1e-9)
    far = next((-step * 2**power for power in range(20) if not still(-step * 2**power)), None)
    if far is None:
        return None
    near = 0.0
    for _ in range(60):
        middle = (far + near) / 2
        far, near = (far, middle) if still(middle) else (middle, near)
    return Reason("flip_advantage", {"window": newest.window, "seen": seen, "needed": seen + far})


def _vote(policy: Policy, evidence: Evidence, memory: Memory) -> tuple[Decision, Memory]:
    assert memory.champion
    if not policy.retrains:
        return Decision(Action.NOTHING, (Reason("never_retrain"),)), memory
    fresh = sum(window * policy.window_rows >= memory.champion.trained_to for window in memory.labelled)
    if not fresh:
        flip = Reason("flip_labels", {"seen": 0, "needed": 1})
        return Decision(Action.NOTHING, (Reason("no_new_labels"), *_about_drift(evidence)), flip), memory
    if memory.owed:
        return Decision(Action.RETRAIN, (Reason("owed"), *memory.owed)), memory
    age = evidence.turn - memory.challenged if memory.challenged is not None else policy.cool_down
    signals = [signal for trigger in TRIGGERS if (signal := trigger(policy, evidence, memory))]
    fired = [signal for signal in signals if signal.fired]
    if age < policy.cool_down:
        reasons = (Reason("cooling_down", {"age": age, "needed": policy.cool_down}), *(s.reason for s in fired))
        return Decision(Action.NOTHING, reasons, _flip_of(signals, 1, fired=False)), memory
    if len(fired) >= policy.quorum:
        reasons = tuple(signal.reason for signal in fired)
        flip = _flip_of(signals, len(fired) - policy.quorum + 1, fired=True)
        return Decision(Action.RETRAIN, reasons, flip), replace(memory, owed=reasons)
    reasons = (*(signal.reason for signal in signals), *_about_drift(evidence))
    return Decision(Action.NOTHING, reasons, _flip_of(signals, policy.quorum - len(fired), fired=False)), memory


def _flip_of(signals: list[Signal], needed: int, *, fired: bool) -> Reason | None:
    """What ``needed`` of the signals that did (or did not) fire would have had to be: the nearest ones."""
    nearest = sorted((signal for signal in signals if signal.fired is fired), key=lambda signal: signal.distance)
    if len(nearest) < needed:
        return None
    if needed == 1:
        return nearest[0].flip
    return Reason("flip_several", {"count": needed, "flips": [asdict(signal.flip) for signal in nearest[:needed]]})


def _about_drift(evidence: Evidence) -> tuple[Reason, ...]:
    return {
        Verdict.STABLE: (Reason("drift_stable"),),
        Verdict.DRIFTING: (Reason("drift_seen", {"features": ", ".join(evidence.drifting)}),),
        Verdict.UNKNOWN: (Reason("drift_unknown", {"note": evidence.drift_note}),) if evidence.drift_note else (),
    }[evidence.drift]


# ---- triggers ----------------------------------------------------------------------------------
def _performance(policy: Policy, evidence: Evidence, memory: Memory) -> Signal | None:
    if not policy.on_performance or memory.champion is None:
        return None
    newest = next((judged for judged in reversed(evidence.judged) if judged.of(memory.champion.version)), None)
    loss = newest and newest.of(memory.champion.version)
    if not (newest and loss):
        return None
    limit = performance_limit(policy, memory, loss.blocks)
    if limit is None or newest.window in _baseline_windows(policy, memory):
        reason = Reason("measuring", {"seen": memory.baseline.looks, "needed": BASELINE_WINDOWS})
        return Signal(False, reason, Reason("flip_several", {"count": 2, "flips": []}), math.inf)
    params = {
        "metric": evidence.metric,
        "window": newest.window,
        "seen": loss.mean,
        "limit": limit,
        "baseline": memory.baseline.mean,
    }
    fired = memory.breaches >= policy.performance_checks
    flip = {"metric": evidence.metric, "window": newest.window, "seen": loss.mean, "needed": limit}
    return Signal(
        fired,
        Reason("performance_fell" if fired else "healthy", params),
        Reason("flip_loss_below" if fired else "flip_loss_above", flip),
        abs(loss.mean - limit) / max(limit, 1e-12),
    )


def _baseline_windows(policy: Policy, memory: Memory) -> list[int]:
    """The windows that measure what is normal for the champion: they cannot be judged by themselves."""
    assert memory.champion
    after = [window for window in memory.labelled if window * policy.window_rows >= memory.champion.trained_to]
    return after[:BASELINE_WINDOWS]


def _age(policy: Policy, evidence: Evidence, memory: Memory) -> Signal | None:
    if not policy.on_age or memory.challenged is None:
        return None
    due, age = period(policy, memory), evidence.turn - memory.challenged
    fired = age >= due
    code = ("follow_up" if memory.hurry and due == FOLLOW_UP else "old_enough") if fired else "age_fine"
    flip = (
        Reason("flip_younger", {"seen": age, "needed": due - 1})
        if fired
        else Reason("flip_age_reached", {"windows": due - age, "seen": age, "needed": due})
    )
    distance = (age - due + 1) / due if fired else (due - age) / due
    return Signal(fired, Reason(code, {"age": age, "period": due}), flip, distance)


def period(policy: Policy, memory: Memory) -> int:
    """Windows from one retrain to the next: the square-root law of stock-keeping.

    A model that grows stale by a share ``s`` of its loss each window costs ``s p^2 / 2`` over ``p`` windows; with the
    price of a retrain the cost a window is least at ``p = sqrt(2 price / s)`` (Harris, Factory 1913).
    """
    if policy.period is not None:
        return policy.period
    weighted, weight = staleness(memory)
    slowest = 2 * policy.price / policy.longest_period**2
    due = FOLLOW_UP if weight == 0 else round(math.sqrt(2 * policy.price / max(weighted / weight, slowest)))
    due = min(max(due, 1), policy.longest_period)
    return min(due, FOLLOW_UP) if memory.hurry else due


def staleness(memory: Memory) -> tuple[float, float]:
    """(weighted sum, weight) of the relative loss that one window of age costs, over this reign and earlier ones."""
    total, weight = memory.trend
    if not (memory.reign and memory.champion and memory.previous):
        return total, weight
    gain = sum(gain for gain, _ in memory.reign) / max(sum(loss for _, loss in memory.reign), 1e-12)
    gap = max(1, memory.champion.born - memory.previous.born)
    windows = len(memory.reign)
    return FORGETTING * total + gain / gap * windows, FORGETTING * weight + windows


def _drift(policy: Policy, evidence: Evidence, memory: Memory) -> Signal | None:
    if not policy.on_drift:
        return None
    fired = memory.drifts >= policy.drift_checks
    names = ", ".join(evidence.drifting)
    if fired:
        reason = Reason("drift_lasted", {"checks": memory.drifts, "features": names})
        return Signal(True, reason, Reason("flip_drift_ends"), 1.0)
    flip = Reason("flip_drift_lasts", {"seen": memory.drifts, "needed": policy.drift_checks})
    return Signal(False, _about_drift(evidence)[0], flip, 1 - memory.drifts / policy.drift_checks)


def _labels(policy: Policy, evidence: Evidence, memory: Memory) -> Signal | None:
    if policy.after_labels is None:
        return None
    new = memory.labels - memory.labels_then
    fired = new >= policy.after_labels
    needed = policy.after_labels - 1 if fired else policy.after_labels
    reason = Reason("labels_came", {"labels": new, "needed": policy.after_labels})
    flip = Reason("flip_label_count", {"seen": new, "needed": needed})
    return Signal(fired, reason, flip, abs(new - needed) / policy.after_labels)


TRIGGERS = (_performance, _age, _drift, _labels)


# ---- successions -------------------------------------------------------------------------------
def took_over(
    memory: Memory, contender: Contender, turn: int, *, twin: Contender | None = None, emergency: bool | None = None
) -> Memory:
    """The memory after ``contender`` became champion at ``turn``: its predecessor goes into the shadow.

    Also for what a person does: promote a version by hand, or go back to an older one.
    """
    going = memory.champion if memory.previous is None or contender != memory.previous else None
    return replace(
        memory,
        champion=contender,
        previous=going if going and going.version != contender.version else None,
        twin=twin,
        challenger=None,
        crowned=turn,
        baseline=Tally(),
        ahead=Tally(),
        reign=(),
        trend=staleness(memory),
        breaches=0,
        drifts=0,
        hurry=memory.hurry if emergency is None else emergency,
        owed=(),
    )


def by_hand(user: str, why: str) -> Decision:
    """The decision of a person to retrain now."""
    return Decision(Action.RETRAIN, (Reason("asked_by_hand", {"user": user, "why": why}),))


def gate_share(policy: Policy, look: int) -> float:
    """The error level that this look of a repeated gate may use."""
    return spent(policy.gate_level, look)

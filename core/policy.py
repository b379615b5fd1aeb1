"""How a project is judged: a policy, what was seen, what is remembered in; what to do and why out.

`decide(policy, evidence, memory)` is a pure function of three small values that are all stored with the decision, so
that any decision can be replayed to the identical verdict. It never fits or loads a model: `core.turn` gathers the
evidence and carries out what was decided.

In order (`STEPS`):

1. a broken feed blocks everything and alerts; the window is set aside
2. without a champion: wait for the warm-up, then train a first model
3. labels that no longer go with the answers alert too; a second such window is believed
4. a predecessor that proves better comes back; a challenger on trial is promoted or dropped
5. the triggers vote (performance, staleness, growth, period, drift, labels); a quorum of them starts a retrain, if the budget allows one
6. a champion whose loss has risen, and that is not retrained, is told: a rise is no proof that a fresh model would do better

Models and losses: everything is judged on windows that the model in question was not trained on, by block means of
row losses (`core.gate`), so that levels hold for rows that depend on their neighbours.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from functools import cache
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError
from scipy import stats

from core import estimators
from core.diagnosis import CAUSES, Diagnosis, told
from core.errors import InvalidInput
from core.feed import Fault
from core.gate import FEWEST_BLOCKS, GATES, SANITY, Spread, Tally, proven
from core.records import Action, Reason, Verdict

LOGIC = 5  # raise it whenever the same policy, evidence and memory are judged otherwise: the ledger names it


class Scope(StrEnum):
    """Which labelled rows a model is trained on."""

    ALL = "all"
    SLIDING = "sliding"  # the newest `sliding_windows`
    SINCE_CHANGE = "since_change"  # since the champion's loss last jumped
    BEST = "best"  # of these, whichever does best on the newest labelled window


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
        return _adapter(cls).validate_json(text)  # type: ignore[arg-type]  # a class can be hashed


@cache
def _adapter(kind: type[_Stored]) -> TypeAdapter[Any]:
    """Built once: that takes milliseconds."""
    return TypeAdapter(kind)


@dataclass(frozen=True)
class Policy(_Stored):
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
    ``rollback_level`` a reign, ``drift_budget`` a check. ``blocks`` names the sanity checks (`core.gate.SANITY`) that
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
    def sliding(self) -> int:
        """Windows a sliding training window spans."""
        return self.sliding_windows or self.warm_up_windows


TRIGGER_SETTINGS = ("on_performance", "on_staleness", "growth", "period", "on_drift", "after_labels")
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
    "minimum_gain": (0.0, 1e300),
    "rollback_level": (0.0, 0.5),
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
        Policy(name="never", retrains=False, rollback_level=0.0),
        Policy(
            name="always", on_staleness=False, growth=None, period=1, most_retrains=1.0,
            cool_down=0, gate="none", rollback_level=0.0,
        ),
    )
}  # fmt: skip


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
    """A window whose labels have become mature: ``rows`` of them, and what each version in view lost on them.

    ``yardstick`` are the block mean losses of a light model that was trained on the newest labelled windows before this
    one, and of nothing else: what the newest rows alone could have taught. ``skill`` is how surely the champion's answers
    go with the labels at all, in standard errors (`core.gate.skill`).
    """

    window: int
    rows: int
    losses: tuple[VersionLoss, ...] = ()
    yardstick: tuple[float, ...] = ()
    skill: float | None = None

    def of(self, version: int | None) -> VersionLoss | None:
        return next((loss for loss in self.losses if loss.version == version), None)


@dataclass(frozen=True)
class Evidence(_Stored):
    """What was seen at turn ``turn``, which comes after window ``turn`` was served.

    ``judged`` are the windows that have become mature since the last turn, oldest first; ``pending`` those seen that
    are not yet. ``faults`` are what is wrong with the feed of the newest; it is ``blocked`` then.
    ``diagnoses`` are what kind of change there is in windows whose labels have come, and in the newest. ``lacking``
    is why the labels of the warm-up make no first model yet, where they do not. ``logic``
    is the `LOGIC` of the release that saw and judged it; 0 where it did not say.
    """

    turn: int
    rows: int
    judged: tuple[Judged, ...] = ()
    pending: tuple[int, ...] = ()
    metric: str = "error"
    drift: Verdict = Verdict.UNKNOWN
    drifting: tuple[str, ...] = ()
    drift_note: str = ""
    faults: tuple[Fault, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    lacking: Reason | None = None
    blocked: bool = False
    logic: int = 0


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

    ``labelled`` are the windows to train on, ``pending`` those whose labels are not mature, ``quarantined`` those set
    aside; ``faulty`` are the features that block now, and since which window, ``accepted`` those whose values a person
    has said are right, and from which window on. ``baseline`` are the champion's losses on its first windows (the one
    it was compared on, and those without a breach), ``limit`` what its newest window was held to; ``ahead`` what its predecessor was better by,
    ``trial`` what the challenger is, on windows that neither was trained on; ``spread`` what earlier reigns have shown of
    how much such windows differ. ``learned`` are the windows that the newest
    challenger could learn from. ``stale`` is what the champion's staleness
    has cost so far, in relative loss x windows, and ``handicaps`` what fresh models lost more than their yardsticks did
    on the same rows (see `staleness`). ``credit`` is how many retrains the budget allows now, ``owed`` why one was
    decided but not carried out.
    """

    champion: Contender | None = None
    previous: Contender | None = None
    challenger: Contender | None = None
    awaiting: bool = False  # the challenger waits for a person
    trial: Tally = field(default_factory=Tally)
    trial_rows: int = 0
    crowned: int = 0
    challenged: int | None = None
    next_window: int = 0
    pending: tuple[int, ...] = ()
    labelled: tuple[int, ...] = ()
    quarantined: tuple[int, ...] = ()
    faulty: tuple[tuple[str, int], ...] = ()
    accepted: tuple[tuple[str, int], ...] = ()
    suspect: int | None = None
    skill: float | None = None
    changed: int = 0
    labels: int = 0
    labels_then: int = 0
    learned: int = 0
    baseline: Tally = field(default_factory=Tally)
    limit: float | None = None
    ahead: Tally = field(default_factory=Tally)
    spread: Spread = field(default_factory=Spread)
    stale: float = 0.0
    stale_variance: float = 0.0
    stale_windows: int = 0
    fresh: bool = False  # the champion is new and has not served a window that was judged
    handicaps: tuple[float, ...] = ()
    credit: float = 0.6
    drifts: int = 0
    breaches: int = 0
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
BASELINE_WINDOWS = 3  # at most so many tell what is normal for a champion
STALE_ERRORS = 1.5  # standard errors that the sum must be above 0, whatever the price
HANDICAPS = 8  # so many fresh models are remembered
URGENT_CREDIT = -0.3  # an emergency may run ahead of the budget, down to here
CREDIT_PER_PRICE = 0.1  # and staleness by so much for each time that its price has been paid in vain
MOST_CREDIT = 3.0  # retrains that may be saved up
LONGEST_TRIAL = 8  # windows
FAULTS_TOLD = 5
NO_SKILL, CLEAR_SKILL = 3.0, 8.0  # standard errors
SKILL_MEMORY = 0.8

Outcome = tuple["Decision", Memory]


@dataclass(frozen=True)
class Signal:
    """One trigger's vote. ``flip`` is what would have made it vote otherwise (None: no one change would), ``distance``
    (0 and up) how far off that was, in relative terms; ``credit`` is the least that must be left of the budget for a
    retrain on its account.
    """

    fired: bool
    reason: Reason
    flip: Reason | None
    distance: float
    credit: float = 1.0


def decide(policy: Policy, evidence: Evidence, memory: Memory) -> Outcome:
    """The decision, and what to remember after it (supposing that it is carried out)."""
    noted = _note(policy, evidence, memory)
    decision, after = next(outcome for step in STEPS if (outcome := step(policy, evidence, noted)))
    changes = (told(found) for found in evidence.diagnoses if found.cause in CAUSES)
    return replace(decision, reasons=(*decision.reasons, *changes)), after


def votes(policy: Policy, evidence: Evidence, memory: Memory) -> tuple[Memory, tuple[Signal, ...]]:
    """How the champion stands, every trigger's vote, fired or not, and the memory they were cast on: for the pages.

    Takes what `decide` takes. The champion's health comes first, also where it is told and not voted on; there are no
    votes without a champion.
    """
    noted = _note(policy, evidence, memory)
    if noted.champion is None:
        return noted, ()
    looks = (_health, *(trigger for trigger in TRIGGERS if trigger is not _performance))
    return noted, tuple(signal for look in looks if (signal := look(policy, evidence, noted)))


def _first_model(policy: Policy, evidence: Evidence, memory: Memory) -> Outcome | None:
    """Without a champion: wait for the warm-up, and for labels that make a model; then train."""
    if memory.champion:
        return None
    seen, needed = len(memory.labelled), policy.warm_up_windows
    flip = Reason("flip_labels", {"seen": seen, "needed": needed if seen < needed else needed - 1})
    if seen < needed:
        return Decision(Action.WAIT, (Reason("warming_up", {"seen": seen, "needed": needed}),), flip), memory
    if evidence.lacking:
        return Decision(Action.WAIT, (evidence.lacking,)), memory
    reasons = (Reason("first_model", {"windows": seen}),)
    return Decision(Action.RETRAIN, reasons, flip), replace(memory, owed=reasons)


def _blocked(policy: Policy, evidence: Evidence, memory: Memory) -> Outcome | None:
    """A broken feed: the window is set aside, now and when its labels come."""
    if not evidence.blocked:
        return None
    features = ", ".join(fault.feature for fault in evidence.faults)
    reasons = (Reason("broken_feed", {"what": features}), *map(_about_fault, evidence.faults[:FAULTS_TOLD]))
    return Decision(Action.ALERT, reasons, Reason("flip_feed_whole")), memory


def _about_fault(fault: Fault) -> Reason:
    return Reason(f"feed_{fault.what}", {"feature": fault.feature, "seen": fault.seen, "usual": fault.usual})


def _suspicious(policy: Policy, evidence: Evidence, memory: Memory) -> Outcome | None:
    """Labels that do not go with the answers at all, where they always did: mixed up, more likely than the world."""
    newest = evidence.judged[-1] if evidence.judged else None
    if newest is None or newest.window != memory.suspect or newest.skill is None or memory.skill is None:
        return None
    params = {"window": newest.window, "seen": newest.skill, "usual": memory.skill}
    flip = Reason("flip_skill", {"window": newest.window, "seen": newest.skill, "needed": NO_SKILL})
    return Decision(Action.ALERT, (Reason("labels_suspicious", params),), flip), memory


def _note(policy: Policy, evidence: Evidence, memory: Memory) -> Memory:
    """The memory with this turn's evidence in it."""
    turns = max(0, evidence.turn + 1 - memory.next_window)
    drift = Verdict.UNKNOWN if evidence.blocked else evidence.drift  # of the feed, not of the world
    drifts = {Verdict.DRIFTING: memory.drifts + 1, Verdict.STABLE: 0, Verdict.UNKNOWN: memory.drifts}[drift]
    noted = replace(
        memory,
        next_window=memory.next_window + turns,
        pending=evidence.pending,
        drifts=drifts,
        credit=min(MOST_CREDIT, memory.credit + turns * policy.most_retrains) if memory.champion else memory.credit,
        quarantined=_joined(memory.quarantined, evidence.turn) if evidence.blocked else memory.quarantined,
        faulty=tuple(
            (fault.feature, dict(memory.faulty).get(fault.feature, evidence.turn)) for fault in evidence.faults
        ),
    )
    for judged in evidence.judged:
        noted = _note_window(policy, judged, noted)
    return noted


def _joined(windows: tuple[int, ...], window: int) -> tuple[int, ...]:
    return tuple(sorted({*windows, window}))


def _note_window(policy: Policy, judged: Judged, memory: Memory) -> Memory:
    if judged.window in memory.quarantined:
        return replace(memory, labels=memory.labels + judged.rows)
    if _is_suspect(judged, memory):
        if memory.suspect is None:
            return replace(
                memory,
                suspect=judged.window,
                quarantined=_joined(memory.quarantined, judged.window),
                labels=memory.labels + judged.rows,
            )
        memory = _rehabilitated(memory)  # two in a row: it is the world that changed
    elif judged.skill is not None:
        usual = judged.skill if memory.skill is None else memory.skill
        memory = replace(memory, suspect=None, skill=SKILL_MEMORY * usual + (1 - SKILL_MEMORY) * judged.skill)
    noted = replace(memory, labelled=_joined(memory.labelled, judged.window), labels=memory.labels + judged.rows)
    return _note_losses(policy, judged, noted)


def _is_suspect(judged: Judged, memory: Memory) -> bool:
    if judged.skill is None or memory.skill is None:
        return False
    return judged.skill < NO_SKILL and memory.skill > CLEAR_SKILL


def _rehabilitated(memory: Memory) -> Memory:
    assert memory.suspect is not None
    return replace(
        memory,
        suspect=None,
        skill=None,
        labelled=_joined(memory.labelled, memory.suspect),
        quarantined=tuple(window for window in memory.quarantined if window != memory.suspect),
    )


def _note_losses(policy: Policy, judged: Judged, memory: Memory) -> Memory:
    champion = memory.champion and judged.of(memory.champion.version)
    if not champion:
        return memory
    limit = performance_limit(policy, memory, champion.blocks)
    breached = limit is not None and champion.mean > limit
    noted = replace(
        memory,
        limit=limit,
        breaches=memory.breaches + 1 if breached else 0,
        changed=judged.window if breached and not memory.breaches else memory.changed,
        baseline=memory.baseline
        if breached or memory.baseline.looks >= BASELINE_WINDOWS
        else memory.baseline.plus(champion.blocks),
    )
    if judged.yardstick:
        noted = _note_staleness(judged, champion, noted)
    if memory.previous and (before := judged.of(memory.previous.version)):
        noted = replace(noted, ahead=noted.ahead.plus(_gains(champion, before)))
    if memory.challenger and (challenger := judged.of(memory.challenger.version)):
        trial = noted.trial.plus(_gains(champion, challenger))
        noted = replace(noted, trial=trial, trial_rows=noted.trial_rows + judged.rows)
    return noted


def _note_staleness(judged: Judged, champion: VersionLoss, memory: Memory) -> Memory:
    """What staleness has cost the champion after one more window that it served, in relative loss x windows; 0 and up.

    The first window that a fresh champion serves tells its handicap: what it loses more than the yardstick although no
    model of its kind could be newer, labels coming when they do. What it loses more than the mean handicap is summed up
    window by window and starts anew at 0, as in Page's cumulative sum (Biometrika 1954). ``stale_variance`` is that of
    the sum, as the blocks tell it.
    """
    found, error = excess(champion.blocks, judged.yardstick)
    if memory.fresh and judged.window > memory.crowned:
        return replace(memory, fresh=False, handicaps=(*memory.handicaps, found)[-HANDICAPS:])
    handicap = sum(memory.handicaps) / (len(memory.handicaps) + 1)  # as if one more fresh champion had had none
    stale = memory.stale + found - handicap
    if stale <= 0:
        return replace(memory, stale=0.0, stale_variance=0.0, stale_windows=0)
    return replace(
        memory, stale=stale, stale_variance=memory.stale_variance + error**2, stale_windows=memory.stale_windows + 1
    )


def stale_error(memory: Memory) -> float:
    """The standard error of the staleness: of its windows, and of the handicap that was taken off each of them.

    A handicap that is a mean of n is known to about the variance of a window by n + 1, and errs alike in every window.
    """
    alike = memory.stale_windows / (len(memory.handicaps) + 1)
    return math.sqrt(memory.stale_variance * (1 + alike))


def excess(losses: tuple[float, ...], others: tuple[float, ...]) -> tuple[float, float]:
    """How much larger the first block means are than the second, relative to the mean of both, and its standard error.

    The mean of both is taken at least as large as the error of the difference: one wrong row more than none is not
    infinitely worse.

    >>> excess((0.3, 0.3), (0.2, 0.2))
    (0.4, 0.0)
    """
    gap = Tally().plus([loss - other for loss, other in zip(losses, others, strict=True)])
    error = gap.error if math.isfinite(gap.error) else 0.0
    unit = max((_mean(losses) + _mean(others)) / 2 + error, 1e-12)
    return round(gap.mean / unit, 9), round(error / unit, 9)


def _mean(values: tuple[float, ...]) -> float:
    return sum(values) / len(values)


def _gains(champion: VersionLoss, rival: VersionLoss) -> list[float]:
    """What the rival is better by, block by block."""
    return [ours - theirs for ours, theirs in zip(champion.blocks, rival.blocks, strict=True)]


def performance_limit(policy: Policy, memory: Memory, blocks: tuple[float, ...]) -> float | None:
    """The mean loss of a window above which chance no longer explains it; None while there are too few blocks to tell.

    One-sided comparison with the champion's first windows, on block means, by the t test for unequal variances (Welch,
    Biometrika 1947; degrees of freedom as in Satterthwaite, Biometrics Bulletin 1946) at ``performance_level``:
    approximate, of 1 % it makes 1.5 where the window has no more than four blocks. The first ``performance_margin`` of
    relative loss is not worth a retrain.
    """
    now = Tally().plus(blocks)
    if min(memory.baseline.blocks, now.blocks) < FEWEST_BLOCKS:
        return None
    parts = [(tally.error**2, tally.blocks - 1) for tally in (memory.baseline, now)]
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / count for part, count in parts) if variance else math.inf
    quantile = float(stats.t.ppf(1 - policy.performance_level, freedom))
    return memory.baseline.mean * (1 + policy.performance_margin) + math.sqrt(variance) * quantile


def _roll_back(policy: Policy, evidence: Evidence, memory: Memory) -> Outcome | None:
    """Back to the predecessor when it proves better on windows that neither was trained on."""
    if not (policy.rollback_level and memory.previous and memory.champion and evidence.judged):
        return None
    if not proven(memory.ahead, policy.rollback_level, known=memory.spread):
        return None
    version = memory.previous.version
    params = {
        "version": version,
        "advantage": memory.ahead.mean,
        "windows": memory.ahead.looks,
        "level": policy.rollback_level,
    }
    flip = _gain_flip(
        "flip_advantage", evidence, memory.champion, memory.previous, memory.ahead,
        lambda tally: proven(tally, policy.rollback_level, known=memory.spread),
    )  # fmt: skip
    if policy.approval is Approval.MANUAL:
        return Decision(Action.ALERT, (Reason("rollback_advised", params),), flip, version), memory
    decision = Decision(Action.ROLL_BACK, (Reason("predecessor_better", params),), flip, version)
    return decision, took_over(memory, memory.previous, evidence.turn, forget=True)


def _settle_trial(policy: Policy, evidence: Evidence, memory: Memory) -> Outcome | None:
    """Promote or drop the challenger that needed more rows."""
    if not (memory.challenger and memory.champion and not memory.awaiting and evidence.judged and memory.trial.looks):
        return None

    def ruling(tally: Tally) -> str:
        return GATES[policy.gate](tally, memory.trial_rows, policy.gate_level, policy.minimum_gain)[0]

    verdict, reason, _ = GATES[policy.gate](
        memory.trial, memory.trial_rows, policy.gate_level, policy.minimum_gain
    )  # fmt: skip
    if verdict == "need_more_rows" and memory.trial.looks < LONGEST_TRIAL:
        return None
    version = memory.challenger.version
    if verdict != "promote":
        ended = replace(memory, challenger=None, trial=Tally(), trial_rows=0)
        return Decision(Action.HOLD, (reason,), version=version), ended
    flip = _gain_flip(
        "flip_gain", evidence, memory.champion, memory.challenger, memory.trial,
        lambda tally: ruling(tally) == "promote",
    )  # fmt: skip
    if policy.approval is Approval.MANUAL:
        waiting = Reason("awaiting_approval", {"version": version})
        return Decision(Action.HOLD, (reason, waiting), flip, version), replace(memory, awaiting=True)
    decision = Decision(Action.PROMOTE, (reason,), flip, version)
    return decision, took_over(memory, memory.challenger, evidence.turn)


def _gain_flip(
    code: str, evidence: Evidence, champion: Contender, rival: Contender, tally: Tally, holds: Callable[[Tally], bool]
) -> Reason | None:
    """The rival's gain in the newest window, all its blocks shifted alike, at which the verdict would not have held."""
    newest = next((judged for judged in reversed(evidence.judged) if judged.of(rival.version)), None)
    ours, theirs = newest and newest.of(champion.version), newest and newest.of(rival.version)
    if not (newest and ours and theirs):
        return None
    gains = _gains(ours, theirs)
    seen = sum(gains) / len(gains)

    step = max(abs(tally.mean), 1e-6)
    far = next((-step * 2**power for power in range(24) if not holds(tally.shifted(-step * 2**power, gains))), None)
    if far is None:
        return None
    near = 0.0
    for _ in range(60):
        middle = (far + near) / 2
        far, near = (far, middle) if holds(tally.shifted(middle, gains)) else (middle, near)
    return Reason(code, {"window": newest.window, "seen": seen, "needed": seen + far})


def _vote(policy: Policy, evidence: Evidence, memory: Memory) -> Outcome:
    """What the triggers say; and when they do nothing about a loss that has risen, an alert for as long as it lasts."""
    decision, after, distance = _count(policy, evidence, memory)
    health = _health(policy, evidence, memory)
    if decision.action is not Action.NOTHING or health is None:
        return decision, after
    others = tuple(reason for reason in decision.reasons if reason != health.reason)
    action = Action.ALERT if health.fired else Action.NOTHING
    flip = decision.nearest_flip
    if health.flip and health.distance < distance:
        flip = replace(health.flip, code=ALERT_FLIPS.get(health.flip.code, health.flip.code))
    return replace(decision, action=action, reasons=(health.reason, *others), nearest_flip=flip), after


ALERT_FLIPS = {"flip_loss_above": "flip_alert_above", "flip_loss_below": "flip_alert_below"}


def _count(policy: Policy, evidence: Evidence, memory: Memory) -> tuple[Decision, Memory, float]:
    """The triggers' decision, the memory after it, and the distance of its nearest flip (infinite without one)."""
    assert memory.champion
    if not policy.retrains:
        return Decision(Action.NOTHING, (Reason("never_retrain"),)), memory, math.inf
    if not any(window * policy.window_rows >= memory.champion.trained_to for window in memory.labelled):
        reasons = (Reason("no_new_labels"), *_about_drift(evidence))
        return Decision(Action.NOTHING, reasons), memory, math.inf
    if memory.owed:
        return Decision(Action.RETRAIN, (Reason("owed"), *memory.owed)), memory, math.inf
    signals = [signal for trigger in TRIGGERS if (signal := trigger(policy, evidence, memory))]
    fired = [signal for signal in signals if signal.fired]
    why = tuple(signal.reason for signal in fired)
    if len(fired) < policy.quorum:
        told = () if policy.on_drift else _about_drift(evidence)  # else a signal says it
        reasons = (*(signal.reason for signal in signals), *told)
        flip, distance = _flip_to_retrain(policy, evidence, memory, signals)
        return Decision(Action.NOTHING, reasons, flip), memory, distance
    if held := _held(policy, evidence, memory, min(signal.credit for signal in fired)):
        obstacle, windows = held
        return Decision(Action.NOTHING, (obstacle, *why), _later(windows)), memory, 0.0
    flip, distance = _told(_nearest(fired, len(fired) - policy.quorum + 1, lambda signal: signal.distance))
    return Decision(Action.RETRAIN, why, flip), replace(memory, owed=why), distance


def _held(policy: Policy, evidence: Evidence, memory: Memory, needed: float) -> tuple[Reason, int] | None:
    """Why a retrain that the triggers ask for must wait, and for how many windows; ``needed`` is the least credit."""
    since = evidence.turn - memory.challenged if memory.challenged is not None else policy.cool_down
    if since < policy.cool_down:
        return Reason("cooling_down", {"age": since, "needed": policy.cool_down}), policy.cool_down - since
    if memory.challenger and not memory.awaiting and needed >= 1.0:
        return Reason("on_trial", {"version": memory.challenger.version, "windows": memory.trial.looks}), max(
            1, LONGEST_TRIAL - memory.trial.looks
        )
    if memory.credit < needed - 1e-9:
        windows = math.ceil((needed - memory.credit) / policy.most_retrains - 1e-9)
        return Reason("budget_spent", {"share": policy.most_retrains, "windows": windows}), windows
    return None


def _later(windows: int) -> Reason:
    return Reason("flip_age_reached", {"windows": windows})


def _flip_to_retrain(
    policy: Policy, evidence: Evidence, memory: Memory, signals: list[Signal]
) -> tuple[Reason | None, float]:
    """What further signals would have had to be: the nearest of those that need not wait, or how long they must."""
    fired = [signal for signal in signals if signal.fired]

    def held(*votes: Signal) -> tuple[Reason, int] | None:
        return _held(policy, evidence, memory, min(signal.credit for signal in (*fired, *votes)))

    quiet = [signal for signal in signals if not signal.fired]
    nearest = _nearest(quiet, policy.quorum - len(fired), lambda signal: (held(signal) is not None, signal.distance))
    flip, distance = _told(nearest)
    obstacle = held(*nearest) if nearest else None
    return (_together([flip, _later(obstacle[1])]) if flip and obstacle else flip), distance


def _nearest(signals: list[Signal], needed: int, order: Callable[[Signal], Any]) -> list[Signal]:
    """The ``needed`` first of these signals that could have voted otherwise; none, where they are fewer."""
    found = sorted((signal for signal in signals if signal.flip), key=order)[:needed]
    return found if len(found) == needed else []


def _told(signals: list[Signal]) -> tuple[Reason | None, float]:
    """What would have made all of these vote otherwise, and the largest distance."""
    flips = [signal.flip for signal in signals if signal.flip]
    if not flips:
        return None, math.inf
    return (flips[0] if len(flips) == 1 else _together(flips)), max(signal.distance for signal in signals)


def _together(flips: list[Reason]) -> Reason:
    return Reason("flip_several", {"count": len(flips), "flips": [asdict(flip) for flip in flips]})


def _about_drift(evidence: Evidence) -> tuple[Reason, ...]:
    return {
        Verdict.STABLE: (Reason("drift_stable"),),
        Verdict.DRIFTING: (Reason("drift_seen", {"features": ", ".join(evidence.drifting)}),),
        Verdict.UNKNOWN: (Reason("drift_unknown", {"note": evidence.drift_note}),) if evidence.drift_note else (),
    }[evidence.drift]


STEPS: tuple[Callable[[Policy, Evidence, Memory], Outcome | None], ...] = (
    _blocked,
    _first_model,
    _suspicious,
    _roll_back,
    _settle_trial,
    _vote,
)


# ---- triggers ----------------------------------------------------------------------------------
def _performance(policy: Policy, evidence: Evidence, memory: Memory) -> Signal | None:
    return _health(policy, evidence, memory) if policy.on_performance else None


def _health(policy: Policy, evidence: Evidence, memory: Memory) -> Signal | None:
    """How the champion's newest window compares with its first ones; None without one."""
    if memory.champion is None:
        return None
    version = memory.champion.version
    good = [judged for judged in evidence.judged if judged.of(version) and judged.window not in memory.quarantined]
    loss = good[-1].of(version) if good else None
    if loss is None:
        return None
    limit = memory.limit
    if limit is None:
        return Signal(False, Reason("measuring", {"window": good[-1].window}), Reason("flip_measured"), math.inf)
    fired = memory.breaches >= policy.performance_checks
    seen = {"metric": evidence.metric, "window": good[-1].window, "seen": loss.mean}
    reason = {**seen, "limit": limit, "baseline": memory.baseline.mean}
    above = loss.mean > limit
    settled = fired if above else memory.breaches + 1 >= policy.performance_checks  # by this window alone
    flip = Reason("flip_loss_below" if above else "flip_loss_above", {**seen, "needed": limit})
    return Signal(
        fired,
        Reason("performance_fell" if fired else "performance_low" if above else "healthy", reason),
        flip if settled else None,
        abs(loss.mean - limit) / max(limit, 1e-12),
        credit=URGENT_CREDIT,
    )


def _staleness(policy: Policy, evidence: Evidence, memory: Memory) -> Signal | None:
    if not policy.on_staleness:
        return None
    needed = max(policy.price, STALE_ERRORS * stale_error(memory))
    fired = memory.stale >= needed
    params = {"seen": memory.stale, "needed": needed}
    return Signal(
        fired,
        Reason("stale" if fired else "fresh", params),
        Reason("flip_fresh" if fired else "flip_stale", params),
        abs(memory.stale - needed) / needed,
        max(URGENT_CREDIT, 1.0 - CREDIT_PER_PRICE * max(0.0, memory.stale / needed - 1.0)),
    )


def _growth(policy: Policy, evidence: Evidence, memory: Memory) -> Signal | None:
    """More rows make a better model even of a world that stands still; by how much goes with their logarithm."""
    if policy.growth is None or not memory.learned:
        return None
    most = max(1, policy.most_rows // policy.window_rows)
    now, needed = min(len(memory.labelled), most), math.ceil(policy.growth * memory.learned - 1e-9)
    if needed > most:
        return None  # it learns from as many as it may
    fired = now >= needed
    params = {"seen": now, "before": memory.learned, "needed": needed}
    flip = Reason("flip_labels", {"seen": now, "needed": needed - 1 if fired else needed})
    return Signal(fired, Reason("grown" if fired else "not_grown", params), flip, abs(now - needed + fired) / needed)


def _period(policy: Policy, evidence: Evidence, memory: Memory) -> Signal | None:
    if policy.period is None or memory.challenged is None:
        return None
    due, age = policy.period, evidence.turn - memory.challenged
    fired = age >= due
    flip = (
        Reason("flip_younger", {"seen": age, "needed": due - 1})
        if fired
        else Reason("flip_age_reached", {"windows": due - age, "seen": age, "needed": due})
    )
    distance = (age - due + 1) / due if fired else (due - age) / due
    return Signal(fired, Reason("old_enough" if fired else "age_fine", {"age": age, "period": due}), flip, distance)


def _drift(policy: Policy, evidence: Evidence, memory: Memory) -> Signal | None:
    if not policy.on_drift:
        return None
    fired = memory.drifts >= policy.drift_checks
    names = ", ".join(evidence.drifting)
    if fired:
        reason = Reason("drift_lasted", {"checks": memory.drifts, "features": names})
        return Signal(True, reason, Reason("flip_drift_ends"), 1.0)
    flip = Reason("flip_drift_lasts", {"seen": memory.drifts, "needed": policy.drift_checks})
    told = next(iter(_about_drift(evidence)), Reason("drift_unknown", {"note": evidence.drift_note}))
    return Signal(False, told, flip, 1 - memory.drifts / policy.drift_checks)


def _labels(policy: Policy, evidence: Evidence, memory: Memory) -> Signal | None:
    if policy.after_labels is None:
        return None
    new = memory.labels - memory.labels_then
    fired = new >= policy.after_labels
    needed = policy.after_labels - 1 if fired else policy.after_labels
    reason = Reason("labels_came", {"labels": new, "needed": policy.after_labels})
    flip = Reason("flip_label_count", {"seen": new, "needed": needed})
    return Signal(fired, reason, flip, abs(new - needed) / policy.after_labels)


TRIGGERS = (_performance, _staleness, _growth, _period, _drift, _labels)


# ---- successions -------------------------------------------------------------------------------
def took_over(
    memory: Memory, contender: Contender, turn: int, *, forget: bool = False, baseline: Tally | None = None
) -> Memory:
    """The memory after ``contender`` became champion at ``turn``: its predecessor goes into the shadow.

    Also for what a person does: promote a version by hand, or go back to an older one. ``forget``: whoever goes has
    been found worse and is not watched any longer. ``baseline`` is what its loss was where it was compared.
    """
    going = None if forget or memory.champion == contender else memory.champion
    return replace(
        memory,
        champion=contender,
        previous=going,
        challenger=None,
        awaiting=False,
        trial=Tally(),
        trial_rows=0,
        crowned=turn,
        baseline=baseline or Tally(),
        ahead=Tally(),
        spread=memory.spread.plus(memory.ahead.spread).faded,
        stale=0.0,
        stale_variance=0.0,
        stale_windows=0,
        fresh=contender.born == turn,
        breaches=0,
        drifts=0,
        owed=(),
    )


def accepted_feed(memory: Memory) -> Memory:
    """The memory after a person said that the features which block are right as they are.

    What they were before counts no longer; the windows that were set aside since then are judged anew.
    """
    since = dict(memory.faulty)
    first = min(since.values())
    released = {window for window in memory.quarantined if window >= first and window != memory.suspect}
    return replace(
        memory,
        faulty=(),
        accepted=tuple(sorted({**dict(memory.accepted), **since}.items())),
        quarantined=tuple(window for window in memory.quarantined if window not in released),
        pending=tuple(sorted({*memory.pending, *released})),
    )


def by_hand(user: str, why: str) -> Decision:
    """The decision of a person to retrain now."""
    return Decision(Action.RETRAIN, (Reason("asked_by_hand", {"user": user, "why": why}),))

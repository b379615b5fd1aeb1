"""What was seen against what the policy asks for: a decision's evidence as bars with a limit.

Read from the evidence, the memory and the policy that a decision stores, so that an old decision is shown by its own
numbers. Nothing is decided here.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from core.decide import votes
from core.evidence import Evidence, Memory
from core.gate import FEWEST_BLOCKS, UNSEEN, Spread, Tally, spent
from core.policy import Policy
from core.words import mark


class Part(StrEnum):
    """What reaching the limit means."""

    TRIGGER = "trigger"  # a vote to act
    CONDITION = "condition"  # acting is allowed


@dataclass(frozen=True)
class Limit:
    """``seen`` against ``needed``, in the same unit; ``form`` writes both. ``label`` is a sentence with ``params``.

    ``reached`` is what the policy found, which at equality only it can tell.
    """

    label: str
    seen: float
    needed: float
    form: str
    reached: bool
    part: Part = Part.TRIGGER
    params: dict[str, Any] = field(default_factory=dict)


# The codes of a trigger's reasons: its label, its parameters seen and needed, how to write them.
_LOSS = (mark("Loss in window {window}"), "seen", "limit", ".3g")
_STALE = (mark("Cost of staleness"), "seen", "needed", ".0%")
_GROWN = (mark("Labelled windows"), "seen", "needed", ".0f")
_AGE = (mark("Windows since the last challenge"), "age", "period", ".0f")
TRIGGERS: dict[str, tuple[str, str, str, str]] = {
    "performance_fell": _LOSS, "performance_low": _LOSS, "healthy": _LOSS,
    "stale": _STALE, "fresh": _STALE,
    "grown": _GROWN, "not_grown": _GROWN,
    "old_enough": _AGE, "age_fine": _AGE,
    "labels_came": (mark("New labels"), "labels", "needed", ".0f"),
}  # fmt: skip
DRIFT = {"drift_lasted", "drift_seen", "drift_stable", "drift_unknown"}


def against(policy: Policy, evidence: Evidence, memory: Memory) -> tuple[Limit, ...]:
    """Each trigger and condition of the policy as this decision saw it; takes what `decide` took."""
    noted, signals = votes(policy, evidence, memory)
    if noted.champion is None:
        windows, warm_up = len(noted.labelled), policy.warm_up_windows
        return (Limit(mark("Labelled windows"), windows, warm_up, ".0f", windows >= warm_up),)
    found = []
    for signal in signals:
        code, params = signal.reason.code, signal.reason.params
        if code in TRIGGERS:
            label, seen_name, needed_name, form = TRIGGERS[code]
            seen, needed = float(params[seen_name]), float(params[needed_name])
            found.append(Limit(label, seen, needed, form, signal.fired, params=params))
        elif code in DRIFT:
            label = mark("Checks in a row with drift")
            found.append(Limit(label, noted.drifts, policy.drift_checks, ".0f", signal.fired))
    if policy.quorum > 1:
        fired = sum(
            signal.fired for signal in signals if policy.on_performance or signal.reason.code != "performance_fell"
        )
        label = mark("Triggers that agree")
        found.append(Limit(label, fired, policy.quorum, ".0f", fired >= policy.quorum, Part.CONDITION))
    return (*found, *successors(policy, noted), *_allowed(policy, evidence, noted))


def successors(policy: Policy, memory: Memory) -> list[Limit]:
    """What speaks for another version: the mean gain over the champion against what chance explains of it."""
    found = []
    if memory.previous and policy.rollback_level:
        found += _lead(
            mark("Lead of v{version}, the predecessor"),
            memory.previous.version,
            memory.ahead,
            policy.rollback_level,
            known=memory.spread,
        )
    if memory.challenger and not memory.awaiting and policy.gate in TRIALS:
        found += TRIALS[policy.gate](policy, memory.challenger.version, memory.trial)
    return found


def _lead(
    label: str, version: int, ahead: Tally, level: float, least: float = 0.0, known: Spread = UNSEEN
) -> list[Limit]:
    """The mean gain, which must lie so far above ``least`` that chance does not explain it at this look (`spent`)."""
    if ahead.blocks < FEWEST_BLOCKS or not ahead.looks:
        return []
    low = ahead.low(spent(level, ahead.looks), known)
    return [Limit(label, ahead.mean, least + ahead.mean - low, ".3g", low > least, params={"version": version})]


def _superior(policy: Policy, version: int, trial: Tally) -> list[Limit]:
    return _lead(
        mark("Lead of v{version}, on trial"), version, trial.independent(), policy.gate_level, policy.minimum_gain
    )


def _not_worse(policy: Policy, version: int, trial: Tally) -> list[Limit]:
    """Under a veto it is dropped when it lags by more than chance explains, and else promoted."""
    if trial.blocks < FEWEST_BLOCKS:
        return []
    lag = trial.turned()
    low = lag.low(policy.gate_level)
    return [
        Limit(
            mark("Lag of v{version}, on trial"), lag.mean, lag.mean - low, ".3g", low > 0, params={"version": version}
        )
    ]


TRIALS = {"superiority": _superior, "veto": _not_worse}


def _allowed(policy: Policy, evidence: Evidence, memory: Memory) -> list[Limit]:
    """What a retrain has to wait for, once the triggers ask for it."""
    found = []
    if memory.challenged is not None and policy.cool_down > 1:
        age, label = evidence.turn - memory.challenged, mark("Cool-down, in windows")
        found.append(Limit(label, age, policy.cool_down, ".0f", age >= policy.cool_down, Part.CONDITION))
    label = mark("Retrains the budget allows")
    found.append(Limit(label, memory.credit, 1.0, ".1f", memory.credit >= 1.0 - 1e-9, Part.CONDITION))
    return found

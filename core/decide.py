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

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from core.diagnosis import CAUSES, told
from core.evidence import NO_SKILL, Contender, Evidence, Memory, gains, note, stale_error, took_over
from core.feed import Fault
from core.gate import GATES, Tally, proven
from core.policy import Approval, Policy
from core.records import Action, Reason, Verdict

LOGIC = 7  # raise it whenever the same policy, evidence and memory are judged otherwise: the ledger names it
STALE_ERRORS = 1.5  # standard errors that the sum must be above 0, whatever the price
URGENT_CREDIT = -0.3  # an emergency may run ahead of the budget, down to here
CREDIT_PER_PRICE = 0.1  # and staleness by so much for each time that its price has been paid in vain
LONGEST_TRIAL = 8  # windows
FAULTS_TOLD = 5


@dataclass(frozen=True)
class Decision:
    """What to do, why, and the smallest change in what was seen that would have decided otherwise.

    ``version`` is whom a promotion or a rollback puts on the throne.
    """

    action: Action
    reasons: tuple[Reason, ...]
    nearest_flip: Reason | None = None
    version: int | None = None


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
    noted = note(policy, evidence, memory)
    decision, after = next(outcome for step in STEPS if (outcome := step(policy, evidence, noted)))
    changes = (told(found) for found in evidence.diagnoses if found.cause in CAUSES)
    return replace(decision, reasons=(*decision.reasons, *_who_answers(policy, memory, noted), *changes)), after


def _who_answers(policy: Policy, before: Memory, noted: Memory) -> tuple[Reason, ...]:
    """That the predecessor begins or ends to stand in for the champion, where it does."""
    if noted.stands_in == before.stands_in or not (noted.champion and noted.previous):
        return ()
    if not policy.lets_stand_in:
        return (Reason("answers_again", {"champion": noted.champion.version}),)
    ahead = noted.lead / noted.lead_windows
    params = {"version": noted.previous.version, "champion": noted.champion.version, "lead": abs(ahead)}
    return (Reason("stands_in" if noted.stands_in else "steps_back", params),)


def votes(policy: Policy, evidence: Evidence, memory: Memory) -> tuple[Memory, tuple[Signal, ...]]:
    """How the champion stands, every trigger's vote, fired or not, and the memory they were cast on: for the pages.

    Takes what `decide` takes. The champion's health comes first, also where it is told and not voted on; there are no
    votes without a champion.
    """
    noted = note(policy, evidence, memory)
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
    won = gains(ours, theirs)
    seen = sum(won) / len(won)

    step = max(abs(tally.mean), 1e-6)
    far = next((-step * 2**power for power in range(24) if not holds(tally.shifted(-step * 2**power, won))), None)
    if far is None:
        return None
    near = 0.0
    for _ in range(60):
        middle = (far + near) / 2
        far, near = (far, middle) if holds(tally.shifted(middle, won)) else (middle, near)
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


def by_hand(user: str, why: str) -> Decision:
    """The decision of a person to retrain now."""
    return Decision(Action.RETRAIN, (Reason("asked_by_hand", {"user": user, "why": why}),))

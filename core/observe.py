"""What is to be seen after a window of rows: small evidence, for `core.decide` to judge."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core import diagnosis, drift, estimators, feed, gate
from core.decide import LOGIC
from core.evidence import Contender, Evidence, Judged, Memory, VersionLoss
from core.policy import Policy, Scope
from core.records import DriftCheck, Reason, Task, Verdict
from core.turn import World, blocks, first_scope, lacking_for, lacking_in, metric, row_losses, span, training_spans

ENOUGH_ROWS = 2_000  # of a window, to know what is usual
DIAGNOSED = 2  # windows a turn whose labels have come


@dataclass(frozen=True)
class Observation:
    """Evidence, and the drift check it rests on, for the pages to show."""

    evidence: Evidence
    check: DriftCheck | None


def observe(world: World, policy: Policy, memory: Memory, turn: int, *, seed: int = 0) -> Observation:
    """What is to be seen after window ``turn``: newly labelled windows, drift of the newest, the diagnosis."""
    unseen = [*memory.pending, *range(memory.next_window, turn + 1)]
    judged = {window: found for window in unseen if (found := _judge(world, policy, memory, window, seed))}
    check = _check(world, policy, memory, turn)
    faults = _faults(world, policy, memory, turn)
    return Observation(
        Evidence(
            turn=turn,
            rows=min(world.rows_count(), (turn + 1) * policy.window_rows),
            judged=tuple(judged.values()),
            pending=tuple(window for window in unseen if window not in judged),
            metric=metric(world.schema),
            drift=check.verdict if check else Verdict.UNKNOWN,
            drifting=tuple(dict.fromkeys(score.feature for score in check.scores if score.drifting)) if check else (),
            drift_note=check.note if check else "",
            faults=faults,
            diagnoses=_diagnoses(world, policy, memory, turn, tuple(judged)) if not faults else (),
            lacking=_lacking_at_first(world, policy, memory, tuple(judged)),
            blocked=bool(faults),
            logic=LOGIC,
        ),
        check,
    )


def _lacking_at_first(world: World, policy: Policy, memory: Memory, judged: Sequence[int]) -> Reason | None:
    """Why no first model can be trained, once the warm-up has its labels; None where one can, or is there."""
    windows = sorted({*memory.labelled, *judged} - set(memory.quarantined))
    if memory.champion or len(windows) < policy.warm_up_windows:
        return None
    return lacking_for(world, policy, windows, first_scope(policy), memory.changed)


def _judge(world: World, policy: Policy, memory: Memory, window: int, seed: int) -> Judged | None:
    """The window with the losses of every version in view that has not seen it; None while its labels are immature."""
    first, last = span(policy, window)
    labels = world.labels(first, last)
    known = labels.notna().to_numpy()
    if not known.any() or known.mean() < policy.mature_share:
        return None
    answers = {
        contender.version: world.predict(contender.version, first, last)
        for contender in in_view(memory)
        if contender.trained_to <= first
    }
    losses = tuple(
        VersionLoss(version, blocks(row_losses(said, labels, world.schema))) for version, said in answers.items()
    )
    champion = answers.get(memory.champion.version) if memory.champion else None
    if champion is None:
        return Judged(window, int(known.sum()), losses)
    skill = gate.skill(labels[known].to_numpy(), champion.labels[known])
    yardstick = _yardstick(world, policy, memory.labelled, window, seed) if policy.on_staleness else None
    return Judged(
        window,
        int(known.sum()),
        losses,
        () if yardstick is None else blocks(yardstick),
        None if skill is None else round(skill, 6),
    )


def _yardstick(
    world: World, policy: Policy, labelled: Sequence[int], window: int, seed: int
) -> NDArray[np.float64] | None:
    """Row losses, on a window, of a light model trained on the newest labelled windows before it; None without any."""
    before = [known for known in labelled if known < window][-max(1, policy.sliding // 2) :]
    spans = training_spans(policy, before, Scope.SLIDING)
    if not spans or lacking_in(world, spans):
        return None
    estimator = estimators.resolve(policy.estimator)
    said = world.yardstick(spans, *span(policy, window), estimator=estimator, seed=seed)
    return row_losses(said, world.labels(*span(policy, window)), world.schema)


def in_view(memory: Memory) -> list[Contender]:
    """The versions whose losses are measured: the champion and those in its shadow."""
    found = [memory.champion, memory.previous, memory.challenger]
    return list({contender.version: contender for contender in found if contender}.values())


def _check(world: World, policy: Policy, memory: Memory, turn: int) -> DriftCheck | None:
    if memory.champion is None:
        return None
    version = memory.champion.version
    reference = world.reference(version)
    return drift.check(reference, world.profile(version, *span(policy, turn)), budget=policy.drift_budget)


def _faults(world: World, policy: Policy, memory: Memory, turn: int) -> tuple[feed.Fault, ...]:
    """What is wrong with the feed of a window, as the newest good windows before it tell."""
    before = [window for window in range(turn) if window not in memory.quarantined][-feed.KNOWN :]
    known = {window: _first_rows(world, policy, window) for window in before}
    return feed.faults(known, world.rows(*span(policy, turn)), world.schema, since=dict(memory.accepted))


def _diagnoses(
    world: World, policy: Policy, memory: Memory, turn: int, judged: Sequence[int]
) -> tuple[diagnosis.Diagnosis, ...]:
    """What kind of change there is in the windows whose labels have come, and in the newest if its have not."""
    good = [window for window in range(turn) if window not in memory.quarantined]
    labelled = sorted({*memory.labelled, *judged} - set(memory.quarantined))
    found = []
    for window in (*judged[-DIAGNOSED:], *(() if turn in judged else (turn,))):
        known = labelled if window in judged else good
        before = [_seen(world, policy, one) for one in known if one < window][-diagnosis.KNOWN :]
        now = _seen(world, policy, window, labelled=window in judged)
        if window in judged and (window in memory.quarantined or now.truth is None):
            continue
        found.append(diagnosis.diagnose(window, before, now, world.schema))
    return tuple(found)


def _seen(world: World, policy: Policy, window: int, *, labelled: bool = True) -> diagnosis.Seen:
    """The first rows of a window with what was answered and, where labels have come, the truth: those that have both."""
    first, last = span(policy, window)
    last = min(last, first + ENOUGH_ROWS)
    rows, labels, answers = world.rows(first, last), world.labels(first, last), world.answers(first, last)
    answered = ~pd.isna(answers.labels)
    if answered.mean() < policy.mature_share:
        return diagnosis.Seen(rows)
    both = answered & labels.notna().to_numpy()
    with_labels = labelled and both.mean() >= policy.mature_share
    kept = both if with_labels else answered
    truth, said = labels[kept].to_numpy(), answers.labels[kept]
    if world.schema.task is Task.REGRESSION:
        told, true = said.astype(np.float64)[:, None], truth.astype(np.float64)[:, None]
    else:
        assert answers.probabilities is not None
        told = answers.probabilities[kept]
        true = (truth[:, None] == np.asarray(world.schema.classes, dtype=object)).astype(np.float64)
    return diagnosis.Seen(rows[kept], true if with_labels else None, told)


def _first_rows(world: World, policy: Policy, window: int) -> pd.DataFrame:
    first, last = span(policy, window)
    return world.rows(first, min(last, first + ENOUGH_ROWS))

"""A challenger is trained, compared with the champion on rows neither has seen, and takes over or does not."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from core import drift, estimators, gate, sanity
from core.decide import LOGIC
from core.evidence import Contender, Memory, took_over
from core.gate import Tally
from core.policy import Approval, Policy, Scope
from core.records import Action, Comparison, Reason, Schema, Task
from core.slices import slices
from core.turn import (
    Answers,
    Span,
    World,
    blocks,
    compares,
    first_scope,
    lacking_for,
    metric,
    row_losses,
    span,
    training_spans,
)

SCOPE_LEVEL = 0.05
OLD_WINDOWS = 4
CHOSEN = "window_chosen"
BY_LOSS = {"stale", "performance_fell"}  # triggers that fire on what the champion lost in the held-out window


@dataclass(frozen=True)
class Challenge:
    """What came of a challenge: PROMOTE or HOLD with reasons, or WAIT where the labels do not make a model yet. ``memory``
    supposes that a promotion is carried out.

    ``version`` is the version to promote (or that awaits approval), ``versions`` all that were trained.
    """

    action: Action
    version: int | None
    versions: tuple[int, ...]
    comparison: Comparison | None
    reasons: tuple[Reason, ...]
    memory: Memory


@dataclass(frozen=True)
class _Bench:
    """What a challenge works with: ``held`` is the newest labelled window, ``versions`` collects what was trained."""

    world: World
    policy: Policy
    memory: Memory
    turn: int = 0
    seed: int = 0
    versions: list[int] = field(default_factory=list)

    @property
    def windows(self) -> list[int]:
        return list(self.memory.labelled)

    @property
    def held(self) -> int:
        return self.memory.labelled[-1]

    @property
    def scope(self) -> str:
        return first_scope(self.policy)

    def spans(self, windows: list[int], scope: str) -> list[Span]:
        return training_spans(self.policy, windows, scope, self.memory.changed)

    def lacking(self, scope: str | None = None) -> Reason | None:
        return lacking_for(self.world, self.policy, self.windows, scope or self.scope, self.memory.changed)

    def fit(self, windows: list[int], scope: str) -> int:
        estimator = estimators.resolve(self.policy.estimator)
        self.versions.append(self.world.fit(self.spans(windows, scope), estimator=estimator, seed=self.seed))
        return self.versions[-1]

    def labels(self, window: int) -> "pd.Series[Any]":
        return self.world.labels(*span(self.policy, window))

    def answers(self, version: int, window: int) -> Answers:
        return self.world.predict(version, *span(self.policy, window))

    def losses(self, version: int, window: int) -> NDArray[np.float64]:
        """Row losses of a version on the labelled rows of a window."""
        return row_losses(self.answers(version, window), self.labels(window), self.world.schema)

    def blocks(self, version: int, window: int) -> NDArray[np.float64]:
        return np.asarray(blocks(self.losses(version, window)))


def challenge(world: World, policy: Policy, memory: Memory, turn: int, *, seed: int = 0) -> Challenge:
    """Train a challenger, compare it with the champion on the newest labelled window, and say who is to serve.

    The challenger that is compared has not seen that window; the version that takes over is then trained on it too.
    A challenger that needs more rows stays as it is, on trial (`decide` settles it). Costs one retrain of the
    budget, however many fits it takes. Nothing is fitted on too few labels, or on one answer alone: it waits.
    """
    bench = _Bench(world, policy, memory, turn, seed)
    if lacking := bench.lacking():
        return Challenge(Action.WAIT, None, (), None, (lacking,), _tried(bench))
    if not compares(policy, bench.windows):
        return _succeed(bench, bench.scope, None, None, ())
    scope, candidate = _candidate(bench, bench.scope)
    comparison, reasons, passed = _examine(bench, candidate, scope)
    if passed:
        return _succeed(bench, scope, candidate, comparison, reasons)
    after = _tried(bench)
    if comparison and comparison.verdict == "need_more_rows":
        challenger = Contender(candidate, scope, span(policy, bench.held)[0], turn)
        after = replace(after, challenger=challenger) if _chosen(bench) else _on_trial(bench, after, challenger)
    return Challenge(Action.HOLD, candidate, tuple(bench.versions), comparison, reasons, after)


def _chosen(bench: _Bench) -> tuple[Reason, ...]:
    """Why the held-out window may not prove a challenger better: the champion did badly there, or it were not challenged.

    That favours any challenger, an equal one too. A veto lets equal ones pass anyway; superiority promises not to.
    """
    selected = bench.policy.gate == "superiority" and any(reason.code in BY_LOSS for reason in bench.memory.owed)
    return (Reason(CHOSEN, {"window": bench.held}),) if selected else ()


def _tried(bench: _Bench) -> Memory:
    """The memory after a challenge, whatever came of it."""
    memory = bench.memory
    return replace(
        memory,
        challenged=bench.turn,
        owed=(),
        breaches=0,
        learned=len(memory.labelled),
        labels_then=memory.labels,
        credit=memory.credit - (memory.champion is not None),
        stale=0.0,
        stale_variance=0.0,
        stale_windows=0,
        challenger=None,
        awaiting=False,
        trial=Tally(),
        trial_rows=0,
    )


def _candidate(bench: _Bench, scope: str) -> tuple[str, int]:
    """The scope and version to compare: trained without the held-out window; another scope's only if clearly better."""
    version = bench.fit(bench.windows[:-1], scope)
    for rival in _rivals(bench, scope):
        other = bench.fit(bench.windows[:-1], rival)
        lead = bench.blocks(version, bench.held) - bench.blocks(other, bench.held)
        if Tally().plus(lead).low(SCOPE_LEVEL) > 0:
            version, scope = other, rival
    return scope, version


def _rivals(bench: _Bench, scope: str) -> list[str]:
    """The other scopes worth a candidate each, when the best is asked for: those that mean other rows."""
    if bench.policy.scope is not Scope.BEST:
        return []
    before = bench.windows[:-1]
    spans = {scope: bench.spans(before, scope)}
    for rival in (Scope.ALL, Scope.SLIDING, Scope.SINCE_CHANGE):
        found = bench.spans(before, rival)
        if found not in spans.values() and not bench.lacking(rival):
            spans[rival] = found
    return [rival for rival in spans if rival != scope]


def _succeed(
    bench: _Bench, scope: str, candidate: int | None, comparison: Comparison | None, reasons: tuple[Reason, ...]
) -> Challenge:
    """Train the version that takes over on everything, the held-out window too; or leave it to a person."""
    policy, memory = bench.policy, bench.memory
    chosen = Contender(bench.fit(bench.windows, scope), scope, span(policy, bench.held)[1], bench.turn)
    rows = sum(last - first for first, last in bench.spans(bench.windows, scope))
    reasons = (*reasons, Reason("trained_on", {"rows": rows, "scope": scope}))
    tried = _tried(bench)
    if policy.approval is Approval.MANUAL and memory.champion:
        after = replace(tried, challenger=chosen, awaiting=True)
        reasons = (*reasons, Reason("awaiting_approval", {"version": chosen.version}))
        return Challenge(Action.HOLD, chosen.version, tuple(bench.versions), comparison, reasons, after)
    baseline = None if candidate is None else Tally().plus(bench.blocks(candidate, bench.held))
    after = took_over(tried, chosen, bench.turn, baseline=baseline)
    return Challenge(Action.PROMOTE, chosen.version, tuple(bench.versions), comparison, reasons, after)


def _on_trial(bench: _Bench, after: Memory, challenger: Contender) -> Memory:
    """The memory with the challenger on trial, and its first look at the held-out window in it."""
    assert after.champion
    gain = bench.blocks(after.champion.version, bench.held) - bench.blocks(challenger.version, bench.held)
    rows = int(bench.labels(bench.held).notna().sum())
    return replace(after, challenger=challenger, trial=Tally().plus(gain), trial_rows=rows)


def _examine(bench: _Bench, candidate: int, scope: str) -> tuple[Comparison | None, tuple[Reason, ...], bool]:
    """The comparison on the held-out window, everything to be said of it, and whether the challenger passed."""
    policy, champion = bench.policy, bench.memory.champion
    if champion and champion.trained_to > span(policy, bench.held)[0]:
        champion = None
    trial = _trial(bench, champion, candidate, scope)
    found = (*sanity.findings(trial), *_chosen(bench))
    if champion is None:
        none = (Reason("no_comparison"),) if bench.memory.champion else ()
        return None, (*none, *found), _sane(policy, found)
    comparison = ruling(
        policy,
        bench.blocks(champion.version, bench.held),
        bench.blocks(candidate, bench.held),
        metric=metric(bench.world.schema),
        rows=int(bench.labels(bench.held).notna().sum()),
        found=found,
    )
    comparison = replace(comparison, slices=sanity.by_slice(trial), versions=(champion.version, candidate))
    told = found if _sane(policy, found) else ()
    return comparison, (*comparison.reasons, *told), comparison.verdict == "promote"


def ruling(
    policy: Policy, champion: ArrayLike, challenger: ArrayLike, *, metric: str, rows: int, found: tuple[Reason, ...]
) -> Comparison:
    """The policy's verdict on block mean losses and on what else was ``found``.

    A sanity check that the policy blocks on holds; a window that was chosen for the champion's bad luck proves no
    promotion, and more rows are asked for.
    """
    comparison = gate.compare(
        champion,
        challenger,
        metric=metric,
        rows=rows,
        gate=policy.gate,
        level=policy.gate_level,
        minimum_gain=policy.minimum_gain,
    )
    comparison = replace(comparison, logic=LOGIC)
    if not _sane(policy, found):
        return replace(comparison, verdict="hold", reasons=(*comparison.reasons, *found))
    if comparison.verdict == "promote" and any(reason.code == CHOSEN for reason in found):
        return replace(comparison, verdict="need_more_rows")
    return comparison


def _sane(policy: Policy, found: tuple[Reason, ...]) -> bool:
    return not any(reason.code in policy.blocks for reason in found)


def _trial(bench: _Bench, champion: Contender | None, candidate: int, scope: str) -> sanity.Trial:
    """What the sanity checks look at, on the labelled rows of the held-out window."""
    schema, labels, before = bench.world.schema, bench.labels(bench.held), bench.windows[:-1]
    known = labels.notna().to_numpy()
    theirs = bench.answers(candidate, bench.held)
    trivial = _trivial(pd.concat([bench.labels(window) for window in before]), int(known.sum()), schema)
    trial = sanity.Trial(
        challenger=row_losses(theirs, labels, schema),
        trivial=row_losses(trivial, labels[known], schema),
        missing=int(pd.isna(theirs.labels).sum()),
        strange=_strange(bench.world.reference(candidate), theirs, schema),
    )
    if champion is None:
        return trial
    return replace(
        trial,
        champion=bench.losses(champion.version, bench.held),
        scores=_brier_scores(bench.answers(champion.version, bench.held), theirs, labels, schema),
        past=_past(bench, candidate, bench.spans(before, scope)),
        slices=slices(bench.world.rows(*span(bench.policy, bench.held))[known], schema),
    )


def _strange(reference: drift.Reference, said: Answers, schema: Schema) -> tuple[str, ...]:
    """What a version expects or answers that the schema does not know, by name."""
    expected = {(feature.name, feature.kind) for feature in reference.features if feature.name not in drift.ANSWERS}
    known = {(column.name, column.kind) for column in schema.features}
    features = {name for name, _ in expected ^ known}
    answers = set() if schema.task is Task.REGRESSION else set(said.labels[pd.notna(said.labels)]) - {*schema.classes}
    return (*sorted(features), *sorted(map(str, answers)))


def _past(bench: _Bench, candidate: int, trained: list[Span]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Block losses of what was answered then, and of the candidate, on windows of long ago that it was not trained on;
    None where there are none.
    """
    old = [window for window in bench.windows[: len(bench.windows) // 2] if _unseen(bench, window, trained)]
    if not old:
        return None
    chosen = old[:: -(-len(old) // OLD_WINDOWS)]
    then = [
        gate.blocks(row_losses(bench.world.answers(*span(bench.policy, at)), bench.labels(at), bench.world.schema))
        for at in chosen
    ]
    return np.concatenate(then), np.concatenate([bench.blocks(candidate, at) for at in chosen])


def _unseen(bench: _Bench, window: int, trained: list[Span]) -> bool:
    """Is the window outside of these spans, and were all its labelled rows answered when they came?"""
    at = span(bench.policy, window)
    if any(first < at[1] and at[0] < last for first, last in trained):
        return False
    return not pd.isna(bench.world.answers(*at).labels[bench.labels(window).notna().to_numpy()]).any()


def _trivial(labels: "pd.Series[Any]", rows: int, schema: Schema) -> Answers:
    """The best constant answer: the most common label, or the median."""
    answer = labels.median() if schema.task is Task.REGRESSION else labels.dropna().mode().iloc[0]
    return Answers(np.full(rows, answer, dtype=np.float64 if schema.task is Task.REGRESSION else object))


def _brier_scores(
    ours: Answers, theirs: Answers, labels: "pd.Series[Any]", schema: Schema
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    if ours.probabilities is None or theirs.probabilities is None:
        return None
    known = labels.notna().to_numpy()
    truth = labels[known].to_numpy()[:, None] == np.asarray(schema.classes, dtype=object)[None, :]
    first, second = (((said.probabilities[known] - truth) ** 2).sum(1) for said in (ours, theirs))  # type: ignore[index]
    return first, second

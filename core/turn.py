"""One turn of the loop, the same for the live app and for a replay: observe, decide, challenge.

A turn comes after each window of rows. `observe` looks at the `World` and gives small evidence; `policy.decide` judges
it; `challenge` trains what was decided on and compares. Each gives values and changes nothing but the world's list of
model versions: whoever calls writes the ledger and moves the champion, step by step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core import drift, estimators, gate
from core.policy import (
    Approval,
    Contender,
    Evidence,
    Judged,
    Memory,
    Policy,
    Scope,
    VersionLoss,
    took_over,
)
from core.records import Action, Comparison, DriftCheck, Reason, Schema, Task, Verdict

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

    def reference(self, version: int) -> drift.Reference: ...

    def profile(self, version: int, first: int, last: int) -> drift.Profile:
        """The profile of these rows in the bins of that version's reference."""


@dataclass(frozen=True)
class Observation:
    """Evidence, and the drift check it rests on, for the pages to show."""

    evidence: Evidence
    check: DriftCheck | None


@dataclass(frozen=True)
class Challenge:
    """What came of a challenge: PROMOTE or HOLD with reasons. ``memory`` supposes that a promotion is carried out.

    ``version`` is the version to promote (or that awaits approval), ``versions`` all that were trained.
    """

    action: Action
    version: int | None
    versions: tuple[int, ...]
    comparison: Comparison | None
    reasons: tuple[Reason, ...]
    memory: Memory


# ---- observing ---------------------------------------------------------------------------------
def observe(world: World, policy: Policy, memory: Memory, turn: int) -> Observation:
    """What is to be seen after window ``turn``: newly labelled windows, drift of the newest, the diagnosis."""
    unseen = [*memory.pending, *range(memory.next_window, turn + 1)]
    judged = {window: found for window in unseen if (found := _judge(world, policy, memory, window))}
    check = _check(world, policy, memory, turn)
    return Observation(
        Evidence(
            turn=turn,
            rows=min(world.rows_count(), (turn + 1) * policy.window_rows),
            judged=tuple(judged.values()),
            pending=tuple(window for window in unseen if window not in judged),
            metric="absolute error" if world.schema.task is Task.REGRESSION else "error",
            drift=check.verdict if check else Verdict.UNKNOWN,
            drifting=tuple(dict.fromkeys(score.feature for score in check.scores if score.drifting)) if check else (),
            drift_note=check.note if check else "",
        ),
        check,
    )


def _judge(world: World, policy: Policy, memory: Memory, window: int) -> Judged | None:
    """The window with the losses of every version in view that has not seen it; None while its labels are immature."""
    first, last = span(policy, window)
    labels = world.labels(first, last)
    known = labels.notna().to_numpy()
    if not known.any() or known.mean() < policy.mature_share:
        return None
    losses = tuple(
        VersionLoss(contender.version, tuple(_blocks(world, contender.version, first, last, labels)))
        for contender in in_view(memory)
        if contender.trained_to <= first
    )
    return Judged(window, int(known.sum()), losses)


def in_view(memory: Memory) -> list[Contender]:
    """The versions whose losses are measured: the champion and those in its shadow."""
    found = [memory.champion, memory.previous, memory.twin, memory.challenger]
    return list({contender.version: contender for contender in found if contender}.values())


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


def _blocks(world: World, version: int, first: int, last: int, labels: "pd.Series[Any]") -> list[float]:
    losses = row_losses(world.predict(version, first, last), labels, world.schema)
    return [round(float(mean), 9) for mean in gate.blocks(losses)]


def _check(world: World, policy: Policy, memory: Memory, turn: int) -> DriftCheck | None:
    if memory.champion is None:
        return None
    version = memory.champion.version
    reference = world.reference(version)
    return drift.check(reference, world.profile(version, *span(policy, turn)), budget=policy.drift_budget)


# ---- challenging -------------------------------------------------------------------------------
def challenge(world: World, policy: Policy, memory: Memory, turn: int, *, seed: int = 0) -> Challenge:
    """Train a challenger, compare it with the champion on the newest labelled window, and say who is to serve.

    The challenger that is compared has not seen that window; the version that takes over is then trained on it too.
    """
    held = max(memory.labelled)
    before = [window for window in memory.labelled if window != held]
    first, last = span(policy, held)
    labels = world.labels(first, last)
    estimator = estimators.resolve(policy.estimator)
    scope = _scope(policy, memory)
    versions: list[int] = []

    def fit(kind: str, windows: list[int]) -> int:
        versions.append(world.fit(training_spans(policy, windows, kind), estimator=estimator, seed=seed))
        return versions[-1]

    comparison, reasons = None, ()
    passed = True
    if before and policy.gate != "none":
        candidate = fit(scope, before)
        comparison, reasons = _compare(world, policy, memory, candidate, first, last, labels)
        passed = comparison is None or comparison.verdict == "promote"
        reasons = (*(comparison.reasons if comparison else ()), *reasons)
    tried = replace(memory, challenged=turn, owed=(), breaches=0, labels_then=memory.labels)
    if not passed:
        return Challenge(Action.HOLD, versions[-1], tuple(versions), comparison, reasons, tried)
    edge = last
    chosen = Contender(fit(scope, memory_windows(memory)), scope, edge, turn)
    twin = None
    if policy.scope is Scope.BEST:
        other = Scope.ALL if scope == Scope.SLIDING else Scope.SLIDING
        twin = Contender(fit(other, memory_windows(memory)), other, edge, turn)
    emergency = any(reason.code == "performance_fell" for reason in memory.owed)
    reasons = (*reasons, Reason("trained_on", {"rows": rows_in(policy, memory_windows(memory), scope), "scope": scope}))
    if policy.approval is Approval.MANUAL and memory.champion:
        waiting = Reason("awaiting_approval", {"version": chosen.version})
        held_back = replace(tried, challenger=chosen)
        return Challenge(Action.HOLD, chosen.version, tuple(versions), comparison, (*reasons, waiting), held_back)
    after = took_over(tried, chosen, turn, twin=twin, emergency=emergency)
    return Challenge(Action.PROMOTE, chosen.version, tuple(versions), comparison, reasons, after)


def memory_windows(memory: Memory) -> list[int]:
    return list(memory.labelled)


def rows_in(policy: Policy, windows: list[int], scope: str) -> int:
    """Rows that training on these windows by this scope spans."""
    return sum(last - first for first, last in training_spans(policy, windows, scope))


def training_spans(policy: Policy, windows: list[int], scope: str) -> list[Span]:
    """The row spans to train on: the newest ``most_rows`` of the labelled windows, or the newest few windows.

    >>> training_spans(Policy(window_rows=100, warm_up_windows=2), [0, 1, 3], "all")
    [(0, 200), (300, 400)]
    """
    most = policy.sliding if scope == Scope.SLIDING else max(1, policy.most_rows // policy.window_rows)
    spans: list[Span] = []
    for window in sorted(windows)[-most:]:
        first, last = span(policy, window)
        if spans and spans[-1][1] == first:
            spans[-1] = (spans[-1][0], last)
        else:
            spans.append((first, last))
    return spans


def _scope(policy: Policy, memory: Memory) -> str:
    """Which scope is to serve. Of the two side by side: sliding only if its lead is large and certain enough."""
    if policy.scope is not Scope.BEST:
        return policy.scope
    lead = np.asarray(memory.twin_lead)
    if len(lead) < 2:
        return Scope.ALL
    weights = 0.5 ** (np.arange(len(lead))[::-1] / 12)
    weights /= weights.sum()
    mean = float(weights @ lead)
    effective = float((weights**2).sum())
    error = float(np.sqrt(weights @ (lead - mean) ** 2 * effective / (1 - effective + 1e-9)))
    return Scope.SLIDING if mean > max(0.01, error) else Scope.ALL


def _compare(
    world: World,
    policy: Policy,
    memory: Memory,
    candidate: int,
    first: int,
    last: int,
    labels: "pd.Series[Any]",
) -> tuple[Comparison | None, tuple[Reason, ...]]:
    theirs = _blocks(world, candidate, first, last, labels)
    champion = memory.champion
    if champion is None or champion.trained_to > first:
        return None, (Reason("no_comparison"),) if champion else ()
    ours = _blocks(world, champion.version, first, last, labels)
    comparison = gate.compare(
        ours,
        theirs,
        metric="absolute error" if world.schema.task is Task.REGRESSION else "error",
        rows=int(labels.notna().sum()),
        gate=policy.gate,
        level=policy.gate_level,
        minimum_gain=policy.minimum_gain,
    )
    return comparison, ()

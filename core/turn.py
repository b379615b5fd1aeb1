"""One turn of the loop, the same for the live app and for a replay: observe, decide, challenge.

A turn comes after each window of rows. `observe` looks at the `World` and gives small evidence; `decide` judges
it; `challenge` trains what was decided on and compares. Each gives values and changes nothing but the world's list of
model versions: whoever calls writes the ledger and moves the champion, step by step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from core import diagnosis, drift, estimators, feed, gate, sanity
from core.decide import LOGIC
from core.evidence import Contender, Evidence, Judged, Memory, VersionLoss, took_over
from core.gate import Tally
from core.policy import Approval, Policy, Scope
from core.records import Action, Comparison, DriftCheck, Reason, Schema, Task, Verdict
from core.slices import slices

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

    def yardstick(self, spans: Sequence[Span], first: int, last: int, *, estimator: str, seed: int) -> Answers:
        """What a light model of this kind, trained on the labelled rows of these spans, says of the rows of another."""

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


# ---- observing ---------------------------------------------------------------------------------
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
    return _Bench(world, policy, replace(memory, labelled=tuple(windows))).lacking()


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
        VersionLoss(version, _rounded(gate.blocks(row_losses(said, labels, world.schema))))
        for version, said in answers.items()
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
        () if yardstick is None else _rounded(gate.blocks(yardstick)),
        None if skill is None else round(skill, 6),
    )


def _yardstick(
    world: World, policy: Policy, labelled: Sequence[int], window: int, seed: int
) -> NDArray[np.float64] | None:
    """Row losses, on a window, of a light model trained on the newest labelled windows before it; None without any."""
    before = [known for known in labelled if known < window][-max(1, policy.sliding // 2) :]
    spans = training_spans(policy, before, Scope.SLIDING)
    if not spans or _lacking(world, spans):
        return None
    estimator = estimators.resolve(policy.estimator)
    said = world.yardstick(spans, *span(policy, window), estimator=estimator, seed=seed)
    return row_losses(said, world.labels(*span(policy, window)), world.schema)


def in_view(memory: Memory) -> list[Contender]:
    """The versions whose losses are measured: the champion and those in its shadow."""
    found = [memory.champion, memory.previous, memory.challenger]
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


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(float(value), 9) for value in values)


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


DIAGNOSED = 2  # windows a turn whose labels have come


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


# ---- challenging -------------------------------------------------------------------------------
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
        """What a challenger is trained on, at first."""
        return str(Scope.ALL if self.policy.scope is Scope.BEST else self.policy.scope)

    @property
    def compares(self) -> bool:
        """Is the newest labelled window held out, to compare on?"""
        return self.policy.gate != "none" and len(self.windows) >= 2

    def spans(self, windows: list[int], scope: str) -> list[Span]:
        return training_spans(self.policy, windows, scope, self.memory.changed)

    def lacking(self, scope: str | None = None) -> Reason | None:
        """Why not everything that a challenge fits on the rows of this scope can be fitted; None where it can."""
        fitted_on = [self.windows, self.windows[:-1]] if self.compares else [self.windows]
        found = (_lacking(self.world, self.spans(windows, scope or self.scope)) for windows in fitted_on)
        return next((reason for reason in found if reason), None)

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
        return np.asarray(_rounded(gate.blocks(self.losses(version, window))))


def challenge(world: World, policy: Policy, memory: Memory, turn: int, *, seed: int = 0) -> Challenge:
    """Train a challenger, compare it with the champion on the newest labelled window, and say who is to serve.

    The challenger that is compared has not seen that window; the version that takes over is then trained on it too.
    A challenger that needs more rows stays as it is, on trial (`decide` settles it). Costs one retrain of the
    budget, however many fits it takes. Nothing is fitted on too few labels, or on one answer alone: it waits.
    """
    bench = _Bench(world, policy, memory, turn, seed)
    if lacking := bench.lacking():
        return Challenge(Action.WAIT, None, (), None, (lacking,), _tried(bench))
    if not bench.compares:
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


CHOSEN = "window_chosen"
BY_LOSS = {"stale", "performance_fell"}  # triggers that fire on what the champion lost in the held-out window


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


def _lacking(world: World, spans: list[Span]) -> Reason | None:
    """Why the labels of these rows do not make a model; None where they do."""
    return lacking(pd.concat([world.labels(*found) for found in spans]), world.schema)


def lacking(labels: "pd.Series[Any]", schema: Schema) -> Reason | None:
    """Why these labels, some of them missing, do not make a model: they are too few, or they do not hold two answers,
    each a few times. None where they do.

    >>> lacking(pd.Series(["no"] * 60 + ["yes"] * 3), Schema((), "y", Task.BINARY, ("no", "yes"))).params["seen"]
    "60 x 'no', 3 x 'yes'"
    """
    known = labels.dropna()
    if len(known) < FEWEST_LABELS:
        return Reason("too_few_labels", {"rows": len(known), "needed": FEWEST_LABELS})
    counts = known.value_counts()
    if schema.task is Task.REGRESSION or int((counts >= FEWEST_OF_A_CLASS).sum()) >= 2:
        return None
    seen = ", ".join(f"{count:,} x {name!r}" for name, count in counts.head(SHOWN_CLASSES).items())
    return Reason("one_answer", {"seen": seen, "needed": FEWEST_OF_A_CLASS})


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


ENOUGH_ROWS = 2_000  # of a window, to know what is usual
FEWEST_ROWS = 200
FEWEST_LABELS = 50  # to train on
FEWEST_OF_A_CLASS = 10  # two answers need so many rows each
SHOWN_CLASSES = 5
SCOPE_LEVEL = 0.05


def training_spans(policy: Policy, windows: list[int], scope: str, changed: int = 0) -> list[Span]:
    """The row spans to train on: the newest labelled windows, as many as the scope says and ``most_rows`` allows.

    ``changed`` is the window in which the world last changed, for the scope since_change, which spans at least
    `FEWEST_ROWS`.

    >>> training_spans(Policy(window_rows=100, warm_up_windows=2), [0, 1, 3], "all")
    [(0, 200), (300, 400)]
    """
    most = {
        Scope.SLIDING: policy.sliding,
        Scope.SINCE_CHANGE: max(sum(window >= changed for window in windows), -(-FEWEST_ROWS // policy.window_rows)),
    }.get(Scope(scope), len(windows))
    spans: list[Span] = []
    for window in sorted(windows)[-min(most, max(1, policy.most_rows // policy.window_rows)) :]:
        first, last = span(policy, window)
        if spans and spans[-1][1] == first:
            spans[-1] = (spans[-1][0], last)
        else:
            spans.append((first, last))
    return spans


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


def metric(schema: Schema) -> str:
    """What a loss is called: the share of wrong answers, or the mean absolute error."""
    return "absolute error" if schema.task is Task.REGRESSION else "error"


OLD_WINDOWS = 4


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

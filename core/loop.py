"""The loop over the live store: observe, decide, and act, window by window. The one file to show a visitor.

What is judged is pure and the same in a replay (`core.observe`, `core.decide`, `core.challenge`); here is what a live app adds:
a ledger row for everything, written in one transaction with the alert and the champion it moves; a crash in between
leaves a decision that is owed, and the next cycle carries it out.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

import pandas as pd
from duckdb import DuckDBPyConnection
from loguru import logger

from core import alerting, auth, drift, incidents, monitoring, performance, prediction, projects, reasons, turn
from core.challenge import challenge
from core.context import Context
from core.decide import Decision, by_hand, decide
from core.errors import Conflict, ContinualError, InvalidInput, NotEnoughRows, NotFound
from core.evidence import Contender, Evidence, Memory, accepted_feed, took_over
from core.observe import observe
from core.policy import Policy, Scope
from core.records import (
    SYSTEM,
    Action,
    Alert,
    Column,
    Kind,
    ModelVersion,
    Project,
    Reason,
    Role,
    Schema,
    Score,
    Severity,
    Task,
    User,
)
from core.store import decisions, labels, models, performances, profiles
from core.store.decisions import Entry
from core.store.incidents import Incident
from core.training import Worker, worker_process
from core.world import StoreWorld

MOST_TURNS = 20  # in one cycle; a backlog is worked off in the next ones
MEASURED_WINDOWS = 400  # the newest ones, whose scores follow their labels
LOCK_SECONDS = 2.0
PREDICTION_WINDOWS = 8  # whose answers a window's answers are compared with

SEVERITIES = {
    Action.NOTHING: Severity.OK,
    Action.ALERT: Severity.CRITICAL,
    Action.RETRAIN: Severity.WARNING,
    Action.PROMOTE: Severity.INFO,
    Action.HOLD: Severity.INFO,
    Action.ROLL_BACK: Severity.WARNING,
    Action.ACCEPT: Severity.INFO,
    Action.FAIL: Severity.CRITICAL,
}

Progress = Callable[[str], None]


def ignore(_text: str) -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class Bench:
    """What one piece of the loop's work needs: the project, how it judges, what it remembers, its world."""

    ctx: Context
    project: Project
    policy_version: int
    policy: Policy
    memory: Memory
    world: StoreWorld
    now: datetime
    run: int | None = None  # of the job it is part of


# ---- the cycle -----------------------------------------------------------------------------------
def run_cycle(
    ctx: Context, project: Project, now: datetime, progress: Progress = ignore, *, run: int | None = None
) -> str:
    """One cycle of the project: every window that has filled up is judged, in order. Returns what happened."""
    with _alone(ctx, project, wait_seconds=0.0), worker_process() as hand:
        ctx.log.flush()
        bench = _bench(ctx, project, now, hand, progress, run)
        told = [_carry_out(bench, owed, progress)] if (owed := _owed(bench)) else []
        told += _judge(bench, progress)
        bench = _bench(ctx, project, now, hand, progress, run)
        _measure(bench)
        monitoring.guess(bench.world, bench.policy, now)
        return " ".join(told) or _wait(bench)


def _judge(bench: Bench, progress: Progress) -> list[str]:
    """Judge the windows that are full and have not been judged, in order; what happened, window by window."""
    told: list[str] = []
    full = bench.world.rows_count() // bench.policy.window_rows
    while bench.memory.next_window < full and len(told) < MOST_TURNS:
        progress(f"judging window {bench.memory.next_window} of {full - 1}")
        told.append(_turn(bench, progress))
        bench = _bench(bench.ctx, bench.project, bench.now, bench.world.hand, progress, bench.run)
    return told


def _turn(bench: Bench, progress: Progress) -> str:
    """Judge the next window, write the verdict down, and act on it."""
    number = bench.memory.next_window
    seen = observe(bench.world, bench.policy, bench.memory, number)
    decision, after = decide(bench.policy, seen.evidence, bench.memory)
    with bench.ctx.database.write() as con:
        entry = _entry(bench, decision, window=number, evidence=seen.evidence, after=after)
        made = decisions.insert(con, entry)
        if seen.check is not None:
            scores = (*seen.check.scores, *_prediction_drift(bench, number))
            decisions.insert_scores(con, made, bench.project.id, bench.now, number, scores)
        if bench.memory.champion:
            _keep_profile(con, bench, bench.memory.champion.version, number)
        if after.serving and after.serving != bench.memory.serving:
            _enthrone(con, bench, after.serving.version, made)
        _tell(con, bench, entry, made)
        if after.drifts > bench.memory.drifts:
            drifted = Reason("drift_seen", {"features": ", ".join(seen.evidence.drifting)})
            if not incidents.seen_again(con, drifted, bench.project.id, bench.now):
                _alert(con, bench, Severity.WARNING, drifted, made)
    if decision.action is Action.RETRAIN:
        return _carry_out(replace(bench, memory=after), replace(entry, id=made), progress)
    return _sentence(entry)


def _keep_profile(con: DuckDBPyConnection, bench: Bench, version: int, number: int) -> None:
    """Keep what the window looks like in the bins of this version's reference: `core.drift_history` reads it."""
    kept = bench.world.profile(version, *turn.span(bench.policy, number))
    profiles.insert(con, bench.project.id, version, number, kept.rows, kept.to_bytes(), bench.now)


def _prediction_drift(bench: Bench, number: int) -> tuple[Score, ...]:
    """Whether this window's answers are spread as those of the windows before it; nothing while too few were answered.

    Shown beside the features. No decision hangs on it: a new champion may well answer otherwise, and rightly.
    """
    first, last = turn.span(bench.policy, number)
    regression = bench.project.schema.task is Task.REGRESSION
    column = Column("prediction", Kind.NUMERIC if regression else Kind.CATEGORICAL)
    said = pd.Series(bench.world.answers(max(first - PREDICTION_WINDOWS * (last - first), 0), last).labels).dropna()
    before, now = said.iloc[: first - last], said.iloc[first - last :]
    if len(before) < 2 * (last - first):
        return ()
    reference = drift.reference(before.to_frame("prediction"), Schema((column,), "y", bench.project.schema.task))
    current = drift.profile(reference, now.to_frame("prediction"))
    check = drift.check(reference, current, budget=bench.policy.drift_budget, features=("prediction",))
    return tuple(score for score in check.scores if score.feature == "prediction")


def _carry_out(bench: Bench, asked: Entry, progress: Progress) -> str:
    """Train what ``asked`` decided, compare, and promote or hold; a failure is written down and raised."""
    number = max(bench.memory.next_window - 1, 0)
    progress("training a challenger")
    try:
        tried = challenge(bench.world, bench.policy, bench.memory, number)
    except ContinualError as error:
        failed = Entry(
            bench.project.id, bench.now, Action.FAIL, asked.actor, (Reason("training_failed", {"why": str(error)}),),
            bench.policy_version, number, run=bench.run, cause=asked.id,
        )  # fmt: skip
        with bench.ctx.database.write() as con:
            _tell(con, bench, failed, decisions.insert(con, failed))
        raise
    entry = Entry(
        bench.project.id, bench.now, tried.action, asked.actor, tried.reasons, bench.policy_version, number,
        memory_before=bench.memory.to_json(), memory_after=tried.memory.to_json(), comparison=tried.comparison,
        version=tried.version, run=bench.run, cause=asked.id,
    )  # fmt: skip
    with bench.ctx.database.write() as con:
        made = decisions.insert(con, entry)
        if tried.action is Action.PROMOTE and tried.version is not None:
            _enthrone(con, bench, tried.version, made)
        _tell(con, bench, entry, made)
    return f"{_sentence(asked)} {_sentence(entry)}"


def _wait(bench: Bench) -> str:
    """Write down that this check found no full window to judge."""
    seen = bench.world.rows_count() - bench.memory.next_window * bench.policy.window_rows
    reason = Reason("window_filling", {"seen": seen, "needed": bench.policy.window_rows})
    entry = Entry(bench.project.id, bench.now, Action.WAIT, SYSTEM.name, (reason,), bench.policy_version, run=bench.run)
    with bench.ctx.database.write() as con:
        decisions.insert(con, entry)
    return _sentence(entry)


def _owed(bench: Bench) -> Entry | None:
    """The newest retrain that was decided and neither carried out nor given up: a crash or a failure came between.

    One that waited for labels (`Action.WAIT`) is not owed: it is decided anew.
    """
    with bench.ctx.database.read() as con:
        acts = (Action.RETRAIN, Action.PROMOTE, Action.HOLD, Action.ROLL_BACK, Action.ALERT, Action.NOTHING)
        newest = decisions.latest(con, bench.project.id, actions=acts, limit=1)
        if not newest or newest[0].action is not Action.RETRAIN or newest[0].id is None:
            return None
        came = [entry.action for entry in decisions.following(con, newest[0].id)]
    return newest[0] if Action.WAIT not in came and len(came) <= bench.ctx.settings.task_retries else None


def _measure(bench: Bench) -> None:
    """Score the windows whose labels have grown since they were last scored."""
    size = bench.policy.window_rows
    with bench.ctx.database.read() as con:
        known = performances.measured(con, bench.project.id, windows=MEASURED_WINDOWS)
        arrived = labels.by_window(con, bench.project.id, size, newest=MEASURED_WINDOWS)
    for window, count in arrived.items():
        if (window + 1) * size > bench.world.rows_count() or round(known.get(window, 0.0) * size) == count:
            continue
        first, last = turn.span(bench.policy, window)
        answers = bench.world.answers(first, last)
        measured = performance.window(
            first, last, bench.world.labels(first, last), answers.labels, answers.probabilities, bench.project.schema
        )
        if measured.scores:
            with bench.ctx.database.write() as con:
                reign = models.reign(con, bench.project.id)
                performances.insert(
                    con, bench.project.id, window, measured, reign.version if reign else None, bench.now
                )
                for version in profiles.versions(con, bench.project.id, window):
                    _keep_profile(con, bench, version, window)  # with the labels that have come since


# ---- by hand -------------------------------------------------------------------------------------
def retrain(
    ctx: Context,
    user: User,
    project: Project,
    *,
    reason: str,
    now: datetime,
    progress: Progress = ignore,
    estimator: str | None = None,
    run: int | None = None,
) -> str:
    """Train a challenger because a person asked; it is compared and promoted or held like any other.

    Raises NotEnoughRows while no window has its labels, TrainingFailed when the worker brought nothing back.
    """
    auth.require(ctx, user, Role.OPERATOR)
    with _alone(ctx, project, wait_seconds=ctx.settings.fit_seconds), worker_process() as hand:
        ctx.log.flush()
        _judge(_bench(ctx, project, now, hand, progress, run), progress)
        bench = _bench(ctx, project, now, hand, progress, run)
        if estimator is not None:
            bench = replace(bench, policy=replace(bench.policy, estimator=estimator))
        if not bench.memory.labelled:
            raise NotEnoughRows(
                f"No window of {bench.policy.window_rows} rows has its labels yet. Bring rows and labels on Data, "
                "or make the window smaller on Automation"
            )
        decision = by_hand(user.display or user.name, reason or "no reason given")
        after = replace(bench.memory, owed=decision.reasons)
        entry = replace(
            _entry(bench, decision, window=max(bench.memory.next_window - 1, 0), evidence=None, after=after),
            actor=user.name,
        )
        with ctx.database.write() as con:
            made = decisions.insert(con, entry)
            _tell(con, bench, entry, made)
        return _carry_out(replace(bench, memory=after), replace(entry, id=made), progress)


def promote(ctx: Context, user: User, project: Project, version: int, *, reason: str, now: datetime) -> None:
    """Make this version the champion at once. Raises NotFound, Conflict (it is already), InvalidInput (no reason)."""
    _change(ctx, user, project, version, Action.PROMOTE, "promoted_by_hand", reason, now)


def roll_back(ctx: Context, user: User, project: Project, *, reason: str, now: datetime) -> None:
    """Bring the previous champion back. Raises Conflict when there is none, InvalidInput (no reason)."""
    auth.require(ctx, user, Role.OPERATOR)
    with ctx.database.read() as con:
        reigns = models.reigns(con, project.id)
    if len(reigns) < 2:
        raise Conflict(f"Project {project.name!r} has had {len(reigns)} champions: there is none to go back to")
    _change(ctx, user, project, reigns[1].version, Action.ROLL_BACK, "rolled_back_by_hand", reason, now)


def decline(ctx: Context, user: User, project: Project, *, reason: str, now: datetime) -> None:
    """Drop the challenger that waits for a person. Raises Conflict when none waits, InvalidInput (no reason)."""
    auth.require(ctx, user, Role.OPERATOR)
    if not reason.strip():
        raise InvalidInput("A reason is missing: say in a few words why, it is kept in the ledger")
    with _alone(ctx, project, wait_seconds=LOCK_SECONDS):
        bench = _bench(ctx, project, now, Worker())  # nothing is fitted, so none is started
        challenger = bench.memory.challenger
        if challenger is None or not bench.memory.awaiting:
            raise Conflict(f"No challenger of project {project.name!r} waits for approval")
        after = replace(bench.memory, challenger=None, awaiting=False)
        params = {"user": user.display or user.name, "why": reason.strip(), "version": challenger.version}
        entry = Entry(
            project.id, now, Action.HOLD, user.name, (Reason("declined_by_hand", params),), bench.policy_version,
            memory_before=bench.memory.to_json(), memory_after=after.to_json(), version=challenger.version,
        )  # fmt: skip
        with ctx.database.write() as con:
            _tell(con, bench, entry, decisions.insert(con, entry))


def blocking(ctx: Context, project: Project) -> tuple[str, ...]:
    """The features whose values block learning now; none while the feed is whole."""
    with ctx.database.read() as con:
        kept = decisions.memory(con, project.id)
    return tuple(feature for feature, _since in Memory.from_json(kept).faulty) if kept else ()


def accept_feed(ctx: Context, user: User, project: Project, *, reason: str, now: datetime) -> None:
    """Say that the feed that blocks is right and the world has changed: its values are the usual ones from then on.

    The windows that were set aside are judged anew. Raises Conflict when no feed blocks, InvalidInput (no reason).
    """
    auth.require(ctx, user, Role.OPERATOR)
    if not reason.strip():
        raise InvalidInput("A reason is missing: say in a few words why, it is kept in the ledger")
    with _alone(ctx, project, wait_seconds=LOCK_SECONDS):
        bench = _bench(ctx, project, now, Worker())
        if not bench.memory.faulty:
            raise Conflict(f"No broken feed blocks {project.name!r}: there is nothing to accept")
        features = ", ".join(feature for feature, _ in bench.memory.faulty)
        params = {"user": user.display or user.name, "why": reason.strip(), "features": features}
        entry = Entry(
            project.id, now, Action.ACCEPT, user.name, (Reason("feed_accepted", params),), bench.policy_version,
            memory_before=bench.memory.to_json(), memory_after=accepted_feed(bench.memory).to_json(),
        )  # fmt: skip
        with ctx.database.write() as con:
            _tell(con, bench, entry, decisions.insert(con, entry))


def _change(
    ctx: Context, user: User, project: Project, version: int, action: Action, code: str, why: str, now: datetime
) -> None:
    auth.require(ctx, user, Role.OPERATOR)
    if not why.strip():
        raise InvalidInput("A reason is missing: say in a few words why, it is kept in the ledger")
    model = prediction.version(ctx, project, version)
    with _alone(ctx, project, wait_seconds=LOCK_SECONDS):
        bench = _bench(ctx, project, now, Worker())  # nothing is fitted, so none is started
        with ctx.database.read() as con:
            reign = models.reign(con, project.id)
        if reign and reign.version == version and not bench.memory.stands_in:
            raise Conflict(f"Version {version} is the champion already")
        after = took_over(bench.memory, _contender(bench, model), bench.memory.next_window)
        params = {"user": user.display or user.name, "why": why.strip(), "version": version}
        entry = Entry(
            project.id, now, action, user.name, (Reason(code, params),), bench.policy_version,
            memory_before=bench.memory.to_json(), memory_after=after.to_json(), version=version,
        )  # fmt: skip
        with ctx.database.write() as con:
            made = decisions.insert(con, entry)
            _enthrone(con, bench, version, made)
            _tell(con, bench, entry, made)


def _contender(bench: Bench, model: ModelVersion) -> Contender:
    known = (bench.memory.champion, bench.memory.previous, bench.memory.challenger)
    found = next((contender for contender in known if contender and contender.version == model.version), None)
    return found or Contender(model.version, Scope.ALL, model.last, bench.memory.next_window)


# ---- the parts -----------------------------------------------------------------------------------
def _bench(
    ctx: Context, project: Project, now: datetime, hand: Worker, progress: Progress = ignore, run: int | None = None
) -> Bench:
    version, policy = projects.policy(ctx, project.id)
    with ctx.database.read() as con:
        kept = decisions.memory(con, project.id)
    memory = Memory.from_json(kept) if kept else Memory()
    return Bench(ctx, project, version, policy, memory, StoreWorld(ctx, project, now, progress, hand), now, run)


@contextmanager
def _alone(ctx: Context, project: Project, *, wait_seconds: float) -> Iterator[None]:
    """One at a time thinks for a project: a check, a retrain, or a person's change."""
    lock = ctx.thinking(project.id)
    if not lock.acquire(timeout=wait_seconds):
        raise Conflict(f"A check or a retrain of {project.name!r} is under way. Try again when it has ended")
    try:
        yield
    finally:
        lock.release()


def _entry(bench: Bench, decision: Decision, *, window: int, evidence: Evidence | None, after: Memory) -> Entry:
    return Entry(
        bench.project.id, bench.now, decision.action, SYSTEM.name, decision.reasons, bench.policy_version, window,
        decision.nearest_flip, evidence.to_json() if evidence else None, bench.memory.to_json(), after.to_json(),
        None, decision.version, bench.run,
    )  # fmt: skip


def _enthrone(con: DuckDBPyConnection, bench: Bench, version: int, decision: int) -> None:
    model = models.get(con, bench.project.id, version)
    if model is None:
        raise NotFound(f"Project {bench.project.name!r} has no model version {version}")
    models.enthrone(con, bench.project.id, version, model.sha256, bench.now, decision)


def _tell(con: DuckDBPyConnection, bench: Bench, entry: Entry, decision: int) -> None:
    """Close the incidents this entry shows to be over, and raise the alert it is worth; lasting trouble is told once."""
    for over in incidents.recover(con, bench.project.id, bench.now, lambda one: _shows_over(entry, one)):
        if over.severity is Severity.CRITICAL:
            _alert(con, bench, Severity.INFO, Reason("trouble_over", {"alert": over.alert}), decision)
    severity = SEVERITIES.get(entry.action)
    if severity is None or (severity is Severity.OK and not bench.ctx.settings.notify_ok):
        return
    lasts = severity is Severity.CRITICAL
    if not (lasts and incidents.seen_again(con, entry.reasons[0], bench.project.id, bench.now, words_count=True)):
        _alert(con, bench, severity, entry.reasons[0], decision)


def _shows_over(entry: Entry, incident: Incident) -> bool:
    """Whether the trouble of this incident, which a decision was about, is over now that this entry is written."""
    if incident.decision is None or entry.action in (Action.ALERT, Action.FAIL):
        return False
    if incident.cause == "training_failed":
        return entry.comparison is not None
    if incident.cause == "drift_seen":
        return entry.memory_after is not None and Memory.from_json(entry.memory_after).drifts == 0
    return entry.evidence is not None  # a check that found nothing of it


def _alert(con: DuckDBPyConnection, bench: Bench, severity: Severity, reason: Reason, decision: int) -> None:
    alerting.raise_alert(con, Alert(bench.now, severity, reason, bench.project.id, decision))
    logger.info("{}: {}", bench.project.id, reasons.sentence(reason))


def _sentence(entry: Entry) -> str:
    version = f" v{entry.version}" if entry.version else ""
    return (
        f"{entry.action.replace('_', ' ')}{version}: {' '.join(reasons.sentence(reason) for reason in entry.reasons)}"
    )

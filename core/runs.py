"""Runs of jobs: asked for, watched, cancelled, paused. What a job is, the scheduler knows (`jobs/`).

A run that was asked for is a row in the database before anything else, so it survives leaving the page and a restart;
the scheduler starts it within a second.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from core import alerting, auth
from core.context import Context
from core.errors import Conflict, NotFound
from core.records import Alert, Outcome, Reason, Role, Severity, User
from core.store import job_states as store
from core.store import runs
from core.store.runs import RunRow

MOST_WAITING = 20  # runs of one job for one project; more would be a page that was clicked in anger, or a loop
FINE_KEPT, KEPT = timedelta(days=7), timedelta(days=90)
SCHEDULER = "scheduler"
CANCELLABLE = frozenset({"backtest"})  # jobs that change nothing before their end


@dataclass(frozen=True)
class JobState:
    """What the database knows of a job. ``changed_at`` is None while nobody has paused or resumed it."""

    paused: bool = False
    changed_at: datetime | None = None
    changed_by: str = ""
    last_at: datetime | None = None
    last_outcome: Outcome | None = None


def request(
    ctx: Context, user: User, job: str, project: str | None = None, arguments: dict[str, Any] | None = None, *,
    now: datetime,
) -> int:  # fmt: skip
    """Ask for a run of the job; returns its id, with which `get` tells how it stands.

    The same run that is waiting already is not queued twice. Raises Conflict when very many wait.
    """
    auth.require(ctx, user, Role.OPERATOR)
    arguments = arguments or {}
    with ctx.database.write() as con:
        waiting = [
            run for run in runs.open_runs(con)
            if (run.job, run.project, run.outcome) == (job, project, Outcome.QUEUED)
        ]  # fmt: skip
        same = [run.id for run in waiting if (run.arguments, run.requested_by) == (arguments, user.name)]
        if same:
            return same[0]
        if len(waiting) >= MOST_WAITING:
            raise Conflict(f"{len(waiting)} runs of {job} are waiting already. Let them end, or cancel some")
        return runs.insert(con, job, project, arguments, by=user.name, at=now)


def get(ctx: Context, run: int) -> RunRow:
    """The newest attempt of the run: how it stands. Raises NotFound."""
    with ctx.database.read() as con:
        found = runs.get(con, run)
    if found is None:
        raise NotFound(f"There is no run {run}. Runs that went well are kept for {FINE_KEPT.days} days")
    return found


def active(ctx: Context, project: str | None = None) -> list[RunRow]:
    """What is running or waiting, running ones first; of one project if given."""
    with ctx.database.read() as con:
        return sorted(runs.open_runs(con, project), key=lambda run: run.outcome is Outcome.QUEUED)


def history(ctx: Context, *, job: str | None = None, project: str | None = None, limit: int = 200) -> pd.DataFrame:
    """The newest attempts first: id, attempt, job, project, requested_by, requested_at, started_at, finished_at,
    outcome, message, progress."""
    with ctx.database.read() as con:
        return runs.history(con, job=job, project=project, limit=limit)


def cancel(ctx: Context, user: User, run: int, now: datetime) -> None:
    """Take back a run that waits; of the jobs in `CANCELLABLE` also one that runs, which then ends at its next word.

    Raises NotFound, Conflict (it runs and cannot be cancelled, or it is over).
    """
    auth.require(ctx, user, Role.OPERATOR)
    with ctx.database.write() as con:
        found = runs.get(con, run)
        if found is None:
            raise NotFound(f"There is no run {run}")
        if not (found.outcome is Outcome.QUEUED or (found.outcome is Outcome.RUNNING and found.job in CANCELLABLE)):
            raise Conflict(f"Run {run} is {found.outcome}; only a run that waits can be cancelled")
        runs.finish(con, run, found.attempt, Outcome.SKIPPED, f"cancelled by {user.name}", found.progress, now)


def set_paused(ctx: Context, user: User, job: str, *, paused: bool, now: datetime) -> None:
    """Pause the job's timetable, or resume it. Runs that are asked for start all the same."""
    auth.require(ctx, user, Role.OPERATOR)
    with ctx.database.write() as con:
        store.put(con, job, paused=paused, at=now, by=user.name)


def job_states(ctx: Context, names: Iterable[str]) -> dict[str, JobState]:
    """What is known of these jobs: whether somebody paused them, when each last started and how that went."""
    with ctx.database.read() as con:
        pauses, lasts = store.every(con), runs.last_of_each_job(con)
    states = {}
    for name in names:
        pause, (at, outcome) = pauses.get(name), lasts.get(name, (None, None))
        state = JobState(last_at=at, last_outcome=outcome)
        states[name] = replace(state, **vars(pause)) if pause else state
    return states


def turns(ctx: Context) -> dict[tuple[str, str | None], datetime]:
    """When each (job, project) last fell due by its timetable; the next turn comes one pace later."""
    with ctx.database.read() as con:
        return store.turns(con)


def heartbeat(ctx: Context) -> datetime | None:
    """When the scheduler last gave a sign of life; None when it never did."""
    with ctx.database.read() as con:
        return store.last_beat(con, SCHEDULER)


def recover(ctx: Context, now: datetime) -> int:
    """Mark what a dead process left running as interrupted, and raise one alert; returns how many runs.

    To be called at start, before the scheduler. Queued runs stay queued.
    """
    with ctx.database.write() as con:
        cut = [run for run in runs.open_runs(con) if run.outcome is Outcome.RUNNING]
        for run in cut:
            runs.finish(con, run.id, run.attempt, Outcome.INTERRUPTED, "the app ended while it ran", run.progress, now)
        if cut:
            jobs = ", ".join(f"{job} ({count})" for job, count in sorted(Counter(run.job for run in cut).items()))
            reason = Reason("interrupted", {"runs": len(cut), "jobs": jobs})
            alerting.raise_alert(con, Alert(now, Severity.WARNING, reason))
    return len(cut)


def prune(ctx: Context, now: datetime) -> int:
    """Forget runs that are long over; returns how many attempts. Failures are kept longer than what went well."""
    with ctx.database.write() as con:
        return runs.prune(con, fine_before=now - FINE_KEPT, before=now - KEPT)

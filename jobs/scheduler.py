"""The thread that starts what is due: once a second it looks, and each run gets a thread of its own.

`schedule` is the clockwork; what may go wrong around it is handled here. A job that raises is recorded and retried,
and stops nothing. A job that hangs blocks only itself. A clock that jumps, either way, costs one turn. However long
the process slept, each job catches up with one run. What is due and what waits is in the database, so a restart
forgets nothing and starts nothing early.
"""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import schedule
from duckdb import DuckDBPyConnection
from loguru import logger

from core import alerting, incidents
from core.context import Context
from core.errors import (
    Conflict,
    ContinualError,
    Forbidden,
    InvalidInput,
    NoChampion,
    NotEnoughRows,
    NotFound,
    StorageFailed,
)
from core.records import SYSTEM, Alert, Outcome, Project, Reason, Role, Severity, User
from core.runs import SCHEDULER
from core.store import job_states, projects, runs
from core.store.incidents import cause
from core.store.runs import RunRow
from jobs import JOBS
from jobs.job import Cancelled, Job, Run, Stopping

POLL_SECONDS = 1
BEAT = timedelta(seconds=5)
PROGRESS_SECONDS = 0.5  # the least time between two sentences of progress that are kept
CLOCK_SLACK = timedelta(minutes=1)  # a clock set back by more than this starts the timetable anew
LONGEST_DELAY = timedelta(hours=1)  # of a retry; what lies further ahead was queued before the clock was set back
STOP_SECONDS = 20.0
HOPELESS = (InvalidInput, NotFound, NotEnoughRows, NoChampion, Forbidden)  # would fail again just the same

Key = tuple[str, str | None]  # a job, or its lane, and its project if it has one
_process: dict = sys.__dict__.setdefault("_continual_ml", {})  # type: ignore[type-arg]
_starting: threading.Lock = _process.setdefault("scheduler_lock", threading.Lock())


def tick(ctx: Context, now: datetime, jobs: Iterable[Job] = JOBS) -> list[int]:
    """Do what is due at ``now``, here and now, one run after the other; return the ids of the runs."""
    return Scheduler(ctx, jobs, clock=lambda: now, spawn=lambda _, work: work()).tick(now)


def start(ctx: Context) -> "Scheduler":
    """A running scheduler over all jobs; end it with `stop`."""
    scheduler = Scheduler(ctx, JOBS)
    scheduler.start()
    return scheduler


def ensure_started(ctx: Context) -> "Scheduler":
    """The scheduler of this process: started when there is none, or when its thread has died."""
    with _starting:
        scheduler: Scheduler | None = _process.get("scheduler")
        if scheduler is None or not scheduler.alive:
            scheduler = _process["scheduler"] = start(ctx)
        return scheduler


def stop() -> None:
    """End the scheduler of this process, if it has one."""
    with _starting:
        if (scheduler := _process.pop("scheduler", None)) is not None:
            scheduler.stop()


def due_turn(every: timedelta, last: datetime | None, now: datetime) -> datetime | None:
    """The turn of the timetable to take now, or None. However many were missed, it is one, and the beat is kept.

    >>> hour, noon = timedelta(hours=1), datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> due_turn(hour, noon, noon + hour / 2), str(due_turn(hour, noon, noon + 3.4 * hour))
    (None, '2026-01-01 15:00:00+00:00')
    """
    if last is None or now < last - CLOCK_SLACK:
        return now
    missed = (now - last) // every
    return last + missed * every if missed >= 1 else None


def _in_a_thread(name: str, work: Callable[[], None]) -> None:
    # Not a daemon: a thread inside DuckDB at interpreter exit aborts the process.
    threading.Thread(target=work, name=name).start()


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Scheduler:
    """Holds what only this process knows: which runs are under way here, and which turns were not worth a run."""

    def __init__(
        self,
        ctx: Context,
        jobs: Iterable[Job],
        *,
        clock: Callable[[], datetime] = _utc_now,
        spawn: Callable[[str, Callable[[], None]], None] = _in_a_thread,
    ) -> None:
        self.ctx = ctx
        self.jobs = {job.name: job for job in jobs}
        self._clock = clock
        self._spawn = spawn
        self._running: dict[Key, RunRow] = {}
        self._told: set[tuple[str, int]] = set()  # what was said about a run and need not be said again
        self._turns: dict[Key, datetime] | None = None
        self._last_beat: datetime | None = None
        self._in_trouble = False
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    # ---- the thread ----------------------------------------------------------------------------
    def start(self) -> None:
        # Not a daemon, for the same reason as a run's; it watches the main thread so that the process can end.
        self._thread = threading.Thread(target=self._go_on, name="scheduler")
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def stop(self, seconds: float = STOP_SECONDS) -> bool:
        """Start nothing more, let what runs come to an end, and say whether it did in time."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        with self._changed:
            ended = self._changed.wait_for(lambda: not self._running, timeout=seconds)
        if not ended:
            logger.warning("still running on stop: {}", ", ".join(sorted({run.job for run in self._running.values()})))
        return ended

    def _go_on(self) -> None:
        clockwork = _wound(self._turn)
        main = threading.main_thread()
        while not self._stopping.wait(POLL_SECONDS / 2) and main.is_alive():
            clockwork.run_pending()
            if (clockwork.idle_seconds or 0) > 2 * POLL_SECONDS:  # the clock was set back: it would sleep until then
                clockwork = _wound(self._turn)
        self._stopping.set()

    def _turn(self) -> None:
        """One tick that nothing gets out of: the thread must outlive every one of them."""
        try:
            self.tick(self._clock())
            self._in_trouble = False
        except Exception as error:  # noqa: BLE001
            if not self._in_trouble:  # once, not once a second
                self._in_trouble = True
                logger.exception("the scheduler missed a turn")
                if isinstance(error, StorageFailed):
                    reason = Reason("storage_failed", {"message": str(error)})
                    alerting.tell_directly(self.ctx, Alert(self._clock(), Severity.CRITICAL, reason))

    # ---- one tick ------------------------------------------------------------------------------
    def tick(self, now: datetime) -> list[int]:
        """Queue what the timetable says, start what is ready, leave a sign of life; return the runs begun."""
        with self.ctx.database.read() as con:
            waiting = runs.open_runs(con)
            pauses = job_states.every(con)
            known = {project.id: project for project in projects.every(con)}
            if self._turns is None:
                self._turns = job_states.turns(con)
        turns = self._turns
        due = {
            key: turn
            for job in self.jobs.values()
            if not (pauses[job.name].paused if job.name in pauses else not job.enabled_by_default)
            for key, turn in self._due(job, known, turns, now)
        }
        beat_due = self._last_beat is None or not timedelta(0) <= now - self._last_beat < BEAT
        ready = any(run.outcome is Outcome.QUEUED for run in waiting) or bool(self._lost(waiting))
        if not (due or beat_due or ready):
            return []
        with self.ctx.database.write() as con:
            begun = self._start_due(con, due, known, now) if due or ready else []
            self._report_overdue(con, now)
            if beat_due:
                job_states.beat(con, SCHEDULER, now, f"{len(self._running)} running")
        with self._changed:
            self._running |= {self._lane(run.job, run.project): run for _, run, _ in begun}
        turns |= due
        self._last_beat = now if beat_due else self._last_beat
        for job, run, project in begun:
            self._spawn_run(job, run, project)
        return [run.id for _, run, _ in begun]

    def _start_due(
        self, con: DuckDBPyConnection, due: dict[Key, datetime], known: dict[str, Project], now: datetime
    ) -> list[tuple[Job, RunRow, Project | None]]:
        """Queue the turns, and mark as running what may start."""
        taken = {self._lane(run.job, run.project) for run in runs.open_runs(con)}
        for key, turn in due.items():
            job_states.put_turn(con, *key, turn)
            if self._lane(*key) not in taken:
                runs.insert(con, *key, {}, by=SYSTEM.name, at=now)
            elif (under_way := self._running.get(self._lane(*key))) and self._first_time("skipped", under_way):
                message = f"run {under_way.id} was still under way; so are the next turns until it ends"
                runs.insert_skipped(con, *key, by=SYSTEM.name, at=now, message=message)
        return self._begin_ready(con, known, now)

    def _due(
        self, job: Job, known: dict[str, Project], turns: dict[Key, datetime], now: datetime
    ) -> Iterator[tuple[Key, datetime]]:
        """The turns of the job's timetable that are due and worth a run."""
        if job.every is None:
            return
        every = job.every(self.ctx.settings)
        for project in known if job.per_project else (None,):
            key = (job.name, project)
            if (turn := due_turn(every, turns.get(key), now)) is None:
                continue
            if self._has_work(job, project, now):
                yield key, turn
            else:
                turns[key] = turn

    def _has_work(self, job: Job, project: str | None, now: datetime) -> bool:
        try:
            return job.has_work is None or job.has_work(self.ctx, project, now)
        except Exception:  # noqa: BLE001  (the run will meet the same trouble, and it is recorded)
            return True

    def _lost(self, waiting: list[RunRow]) -> list[RunRow]:
        """Runs the database takes for running and this process does not: their end could not be written."""
        here = {run.id for run in list(self._running.values())}
        return [run for run in waiting if run.outcome is Outcome.RUNNING and run.id not in here]

    def _begin_ready(
        self, con: DuckDBPyConnection, known: dict[str, Project], now: datetime
    ) -> list[tuple[Job, RunRow, Project | None]]:
        """Mark what may start now as running, and settle what never can."""
        opened = runs.open_runs(con)
        for run in self._lost(opened):
            message = "its end could not be recorded"
            runs.finish(con, run.id, run.attempt, Outcome.INTERRUPTED, message, run.progress, now)
        busy, begun = set(self._running), []
        at_once = Counter(run.job for run in list(self._running.values()))
        for run in opened:
            if run.outcome is not Outcome.QUEUED or timedelta(0) < run.due_at - now <= LONGEST_DELAY:
                continue
            job = self.jobs.get(run.job)
            if job is None or job.per_project != (run.project is not None) or run.project not in (None, *known):
                outcome, message = _never(job, run)
                runs.finish(con, run.id, run.attempt, outcome, message, run.progress, now)
            elif (lane := self._lane(run.job, run.project)) not in busy and at_once[run.job] < job.at_once:
                runs.begin(con, run, now)
                busy.add(lane)
                at_once[run.job] += 1
                begun.append((job, replace(run, started_at=now), known[run.project] if run.project else None))
        return begun

    def _report_overdue(self, con: DuckDBPyConnection, now: datetime) -> None:
        for run in list(self._running.values()):
            job = self.jobs[run.job]
            took = now - (run.started_at or now)
            if took >= job.patience and self._first_time("overdue", run):
                params = {"job": job.name, "label": job.label, "minutes": took // timedelta(minutes=1), "run": run.id}
                alerting.raise_alert(con, Alert(now, Severity.WARNING, Reason("job_overdue", params), run.project))

    def _lane(self, job: str, project: str | None) -> Key:
        known = self.jobs.get(job)
        return (known.lane or job if known else job), project

    def _first_time(self, what: str, run: RunRow) -> bool:
        new = (what, run.id) not in self._told
        self._told.add((what, run.id))
        return new

    # ---- one run -------------------------------------------------------------------------------
    def _spawn_run(self, job: Job, run: RunRow, project: Project | None) -> None:
        try:
            self._spawn(f"run-{run.id}", lambda: self._carry_out(job, run, project))
        except RuntimeError:  # no more threads to be had: the next tick records the run as lost
            logger.exception("run {} of {} could not be started", run.id, job.name)
            self._end(run)

    def _carry_out(self, job: Job, run: RunRow, project: Project | None) -> None:
        said = Progress(self.ctx, run, self._stopping)
        user = SYSTEM if run.requested_by == SYSTEM.name else User(run.requested_by, Role.OPERATOR)
        failure: Exception | None = None
        try:
            try:
                outcome, message = Outcome.OK, job.run(
                    self.ctx, Run(run.id, run.attempt, project, run.arguments, user, self._clock, said)
                )  # fmt: skip
            except Cancelled:
                return
            except Stopping:
                outcome, message = Outcome.INTERRUPTED, "the app was stopped"
            except ContinualError as error:
                outcome, message, failure = Outcome.FAILED, str(error), error
                if isinstance(error, Conflict) and user == SYSTEM:  # something else is at it; the next turn will do
                    outcome, failure = Outcome.SKIPPED, None
            except Exception as error:  # noqa: BLE001
                logger.exception("run {} of {} failed", run.id, job.name)
                message = f"unexpected {type(error).__name__}; the log has it under run {run.id}"
                outcome, failure = Outcome.FAILED, error
            self._record(job, run, outcome, message, said.text, failure)
        except Exception:  # noqa: BLE001
            logger.exception("the end of run {} of {} could not be recorded", run.id, job.name)
        finally:
            self._end(run)

    def _end(self, run: RunRow) -> None:
        with self._changed:
            del self._running[self._lane(run.job, run.project)]
            self._told -= {("skipped", run.id), ("overdue", run.id)}
            self._changed.notify_all()

    def _record(
        self, job: Job, run: RunRow, outcome: Outcome, message: str, progress: str, failure: Exception | None
    ) -> None:
        """Write how the attempt ended, and with it its retry or its alert, in one transaction."""
        now, settings = self._clock(), self.ctx.settings
        job_and_project = run.job, run.project
        retries = settings.task_retries if job.retries is None else job.retries
        with self.ctx.database.write() as con:
            runs.finish(con, run.id, run.attempt, outcome, message, progress, now)
            if failure is not None and run.attempt <= retries and not isinstance(failure, HOPELESS):
                runs.insert_retry(con, run, now + timedelta(seconds=settings.retry_delay_seconds))
            elif failure is not None:
                _tell_of_failure(con, job, run, message, failure, now)
            elif outcome is Outcome.OK:
                reason = Reason("job_recovered", {"job": job.name, "label": job.label})
                if runs.last_outcome(con, *job_and_project, before=run.id) is Outcome.FAILED:
                    alerting.raise_alert(con, Alert(now, Severity.INFO, reason, run.project))
                incidents.recover(con, run.project, now, lambda one: one.cause == cause(reason))


class Progress:
    """Takes the sentences of a run: the newest is kept, not more often than every half second."""

    def __init__(self, ctx: Context, run: RunRow, stopping: threading.Event) -> None:
        self.text = ""
        self._ctx, self._run, self._stopping = ctx, run, stopping
        self._kept_at = float("-inf")

    def __call__(self, text: str) -> None:
        if self._stopping.is_set():
            raise Stopping
        self.text = text
        if time.monotonic() - self._kept_at >= PROGRESS_SECONDS:
            self._kept_at = time.monotonic()
            with self._ctx.database.write() as con:
                running = runs.put_progress(con, self._run.id, self._run.attempt, text)
            if not running:
                raise Cancelled


def _tell_of_failure(
    con: DuckDBPyConnection, job: Job, run: RunRow, message: str, failure: Exception, now: datetime
) -> None:
    """Raise an alert; not again for a job that goes on failing by its timetable, until a day has passed."""
    tries = "1 attempt" if run.attempt == 1 else f"{run.attempt} attempts"
    params = {"job": job.name, "label": job.label, "tries": tries, "message": message, "run": run.id}
    severity = Severity.WARNING if isinstance(failure, HOPELESS) else Severity.CRITICAL
    reason = Reason("job_failed", params)
    if incidents.told_since(con, "training_failed", run.project, run.started_at or run.requested_at):
        return  # the loop has told it, with what went wrong
    again = runs.last_outcome(con, run.job, run.project, before=run.id) is Outcome.FAILED
    if run.requested_by == SYSTEM.name and again and incidents.seen_again(con, reason, run.project, now):
        return
    alerting.raise_alert(con, Alert(now, severity, reason, run.project))


def _never(job: Job | None, run: RunRow) -> tuple[Outcome, str]:
    """Why a queued run can never start."""
    if job is None:
        return Outcome.FAILED, f"There is no job {run.job!r}"
    if job.per_project and run.project is None:
        return Outcome.FAILED, f"{job.label} needs a project; none was named"
    if not job.per_project:
        return Outcome.FAILED, f"{job.label} is about no project; {run.project!r} was named"
    return Outcome.SKIPPED, f"Project {run.project!r} is archived, or there is none"


def _wound(turn: Callable[[], None]) -> schedule.Scheduler:
    clockwork = schedule.Scheduler()
    clockwork.every(POLL_SECONDS).seconds.do(turn)
    return clockwork

"""The scheduler keeps going, whatever jobs, clocks and crashes do."""

import random
import subprocess
import sys
import textwrap
import threading
import time
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import alerting, runs
from core.errors import Conflict, NotEnoughRows, StorageFailed, TrainingFailed
from core.records import SYSTEM, Alert, Column, Kind, Outcome, Project, Reason, Role, Schema, Severity, Task, User
from core.store import job_states, projects
from core.store import runs as run_store
from jobs import scheduler
from jobs.job import Job
from jobs.scheduler import Scheduler, due_turn, tick

ROOT = Path(__file__).parent.parent
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
SCHEMA = Schema((Column("x", Kind.NUMERIC),), "y", Task.BINARY, ("0", "1"))


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


def hourly(name: str, run=lambda ctx, run: "done", **more) -> Job:
    return Job(name, name.title(), run, every=lambda settings: HOUR, **({"retries": 0} | more))


def fail(ctx, run):
    raise TrainingFailed("the disk is full")


def inline(ctx, clock, *jobs) -> Scheduler:
    """A scheduler whose runs are over when its tick is."""
    return Scheduler(ctx, jobs, clock=clock, spawn=lambda name, work: work())


def rows(ctx, **only) -> list[tuple]:
    found = runs.history(ctx, **only).sort_values(["id", "attempt"])
    return list(found[["job", "attempt", "outcome"]].itertuples(index=False, name=None))


def add_project(ctx, name, now, archived_at=None):
    with ctx.database.write() as con:
        projects.insert(con, Project(name, name, SCHEMA, now))
        projects.archive(con, name, archived_at)


def request(ctx, job, project=None, now=None, user=SYSTEM, **arguments) -> int:
    return runs.request(ctx, user, job, project, arguments, now=now)


def wait_until(holds, seconds=10.0):
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.02)


# ---- the timetable -----------------------------------------------------------------------------
@given(st.integers(1, 10_000), st.integers(-100_000, 100_000))
def test_a_turn_is_never_in_the_future_nor_more_than_one_period_old(every, since):
    now = datetime.fromisoformat("2026-01-01T12:00:00+00:00")
    period, last = timedelta(seconds=every), now - timedelta(seconds=since)
    turn = due_turn(period, last, now)
    if turn is None:
        assert now - last < period
    else:
        assert now - period < turn <= now
        assert turn == now or (turn - last) % period == timedelta(0), "the beat was lost"


def test_a_job_runs_at_its_first_tick_and_then_once_a_period(ctx, now):
    assert len(tick(ctx, now, [hourly("a")])) == 1
    assert tick(ctx, now + HOUR - SECOND, [hourly("a")]) == []
    assert len(tick(ctx, now + HOUR, [hourly("a")])) == 1
    assert rows(ctx) == [("a", 1, "ok"), ("a", 1, "ok")]


def test_ticks_that_come_late_do_not_make_the_timetable_drift(ctx, now):
    clock = Clock(now)
    s = inline(ctx, clock, hourly("a"))
    for hour in range(10):
        clock.at = now + hour * HOUR + 7 * MINUTE * (hour % 2)
        assert len(s.tick(clock.at)) == 1, hour


def test_a_restart_neither_forgets_a_job_nor_starts_it_early(ctx, now):
    tick(ctx, now, [hourly("a")])
    assert tick(ctx, now + 30 * MINUTE, [hourly("a")]) == []  # each call is a scheduler that knows nothing
    assert len(tick(ctx, now + 61 * MINUTE, [hourly("a")])) == 1


def test_after_72_hours_asleep_each_job_catches_up_with_one_run(ctx, now):
    clock = Clock(now)
    s = inline(ctx, clock, hourly("a"), hourly("b"))
    s.tick(now)
    assert len(s.tick(now + 72 * HOUR)) == 2
    assert s.tick(now + 72 * HOUR + MINUTE) == []
    assert len(s.tick(now + 73 * HOUR)) == 2


@pytest.mark.parametrize("jump", [timedelta(hours=-24), timedelta(hours=24), timedelta(days=-400)])
def test_a_clock_that_jumps_costs_at_most_one_turn(ctx, now, jump):
    clock = Clock(now)
    s = inline(ctx, clock, hourly("a"))
    for _ in range(5 * 6):
        s.tick(clock.at)
        clock.at += 10 * MINUTE
    clock.at += jump
    before = len(rows(ctx))
    for _ in range(10 * 6):
        s.tick(clock.at)
        clock.at += 10 * MINUTE
    assert 10 <= len(rows(ctx)) - before <= 11


def test_a_job_that_is_off_by_default_runs_only_once_resumed(ctx, now):
    job = hourly("a", enabled_by_default=False)
    assert tick(ctx, now, [job]) == []
    runs.set_paused(ctx, SYSTEM, "a", paused=False, now=now)
    assert len(tick(ctx, now, [job])) == 1


def test_a_paused_job_runs_only_when_asked(ctx, now):
    runs.set_paused(ctx, SYSTEM, "a", paused=True, now=now)
    assert tick(ctx, now, [hourly("a")]) == []
    run = request(ctx, "a", now=now)
    assert tick(ctx, now, [hourly("a")]) == [run]


def test_a_turn_without_work_leaves_no_run(ctx, now):
    work = []
    job = hourly("a", has_work=lambda ctx, project, at: bool(work))
    s = inline(ctx, Clock(now), job)
    assert s.tick(now) == []
    work.append(1)
    assert s.tick(now + MINUTE) == [], "the next turn is an hour later"
    assert len(s.tick(now + HOUR)) == 1


def test_a_job_per_project_runs_for_each_project_in_use(ctx, now):
    seen = []
    add_project(ctx, "power", now)
    add_project(ctx, "old", now, archived_at=now)
    add_project(ctx, "rain", now)
    tick(ctx, now, [hourly("a", lambda ctx, run: seen.append(run.of.id) or "ok", per_project=True)])
    assert seen == ["power", "rain"]


# ---- what was asked for ------------------------------------------------------------------------
def test_a_run_is_given_what_was_asked_and_by_whom(ctx, now, operator):
    seen = []
    add_project(ctx, "power", now)
    job = Job("a", "A", lambda ctx, run: seen.append(run) or "it is done", per_project=True)
    run = runs.request(ctx, operator, "a", "power", {"why": "a hunch"}, now=now)
    tick(ctx, now + SECOND, [job])
    (given_,) = seen
    assert (given_.id, given_.attempt, given_.of.id, given_.arguments) == (run, 1, "power", {"why": "a hunch"})
    assert given_.user.name == operator.name
    assert given_.now() == now + SECOND
    stored = runs.get(ctx, run)
    assert (stored.outcome, stored.message) == (Outcome.OK, "it is done")
    assert (stored.requested_at, stored.started_at, stored.finished_at) == (now, now + SECOND, now + SECOND)


@pytest.mark.parametrize(
    ("job", "project", "outcome", "said"),
    [
        ("nonsense", None, Outcome.FAILED, "no job 'nonsense'"),
        ("per", None, Outcome.FAILED, "needs a project"),
        ("one", "power", Outcome.FAILED, "about no project"),
        ("per", "old", Outcome.SKIPPED, "archived"),
        ("per", "nowhere", Outcome.SKIPPED, "archived, or there is none"),
    ],
)
def test_what_can_never_start_is_settled_with_a_sentence(ctx, now, job, project, outcome, said):
    add_project(ctx, "power", now)
    add_project(ctx, "old", now, archived_at=now)
    ran = []
    jobs = [
        Job("one", "One", lambda c, r: ran.append(1)),
        Job("per", "Per", lambda c, r: ran.append(1), per_project=True),
    ]
    run = request(ctx, job, project, now=now)
    tick(ctx, now, jobs)
    assert (runs.get(ctx, run).outcome, ran) == (outcome, [])
    assert said in runs.get(ctx, run).message


def test_a_queued_run_survives_a_restart(ctx, now):
    run = request(ctx, "a", now=now)
    runs.recover(ctx, now)
    assert tick(ctx, now + HOUR, [Job("a", "A", lambda c, r: "ok")]) == [run]


# ---- failing -----------------------------------------------------------------------------------
def test_a_failing_job_is_retried_as_configured_and_then_told_of_once(ctx, now):
    """TASK_RETRIES is 2: three attempts, one run, one alert."""
    clock = Clock(now)
    s = inline(ctx, clock, hourly("a", fail, retries=None))
    for _ in range(10):
        s.tick(clock.at)
        clock.at += SECOND
    assert rows(ctx) == [("a", 1, "failed"), ("a", 2, "failed"), ("a", 3, "failed")]
    (told,) = alerting.latest(ctx)
    assert (told.reason.code, told.severity) == ("job_failed", Severity.CRITICAL)
    assert told.reason.params["message"] == "the disk is full"
    assert told.reason.params["tries"] == "3 attempts"


def test_a_failed_training_that_the_loop_has_told_is_not_told_again_as_a_failed_job(ctx, now):
    clock = Clock(now)

    def train(c, r):
        with c.database.write() as con:
            alerting.raise_alert(
                con, Alert(r.now(), Severity.CRITICAL, Reason("training_failed", {"why": "no memory"}))
            )
        raise TrainingFailed("no memory")

    inline(ctx, clock, hourly("a", train, retries=0)).tick(clock.at)
    assert [row[2] for row in rows(ctx)] == ["failed"]
    assert [alert.reason.code for alert in alerting.latest(ctx)] == ["training_failed"]


def test_a_retry_waits_for_its_delay_and_ends_the_run_well(ctx, now):
    settings = ctx.settings.model_copy(update={"retry_delay_seconds": 10})
    object.__setattr__(ctx, "settings", settings)
    job = Job("a", "A", lambda c, run: "ok" if run.attempt == 2 else fail(c, run))
    run = request(ctx, "a", now=now)
    tick(ctx, now, [job])
    assert runs.get(ctx, run).outcome is Outcome.QUEUED
    assert tick(ctx, now + 9 * SECOND, [job]) == []
    tick(ctx, now + 10 * SECOND, [job])
    assert (runs.get(ctx, run).attempt, runs.get(ctx, run).outcome) == (2, Outcome.OK)
    assert alerting.latest(ctx) == []


def test_what_would_fail_again_just_the_same_is_not_retried(ctx, now):
    def too_few(ctx, run):
        raise NotEnoughRows("12 labelled rows; 100 needed")

    run = request(ctx, "a", now=now)
    for seconds in range(5):
        tick(ctx, now + seconds * SECOND, [Job("a", "A", too_few)])
    assert rows(ctx) == [("a", 1, "failed")]
    assert runs.get(ctx, run).message == "12 labelled rows; 100 needed"
    assert alerting.latest(ctx)[0].severity is Severity.WARNING


def test_an_unexpected_error_is_recorded_by_its_type_only(ctx, now):
    def leak(ctx, run):
        raise ValueError("password=hunter2")

    run = request(ctx, "a", now=now)
    tick(ctx, now, [Job("a", "A", leak, retries=0)])
    assert runs.get(ctx, run).message == f"unexpected ValueError; the log has it under run {run}"


def test_a_job_that_goes_on_failing_is_told_of_again_after_a_day_and_when_it_works_again(ctx, now):
    clock, broken = Clock(now), [True]
    s = inline(ctx, clock, hourly("a", lambda c, run: fail(c, run) if broken[0] else "ok"))
    for _ in range(49):
        s.tick(clock.at)
        clock.at += HOUR
    assert [a.reason.code for a in alerting.latest(ctx)] == ["job_failed"] * 2, "at hours 0 and 25"
    broken[0] = False
    for _ in range(3):
        s.tick(clock.at)
        clock.at += HOUR
    assert [a.reason.code for a in alerting.latest(ctx)] == ["job_recovered"] + ["job_failed"] * 2


def test_a_person_who_asked_is_told_of_every_failure(ctx, now, operator):
    job = Job("a", "A", fail, retries=0)
    for minute in range(3):
        request(ctx, "a", now=now + minute * MINUTE, user=operator)
        tick(ctx, now + minute * MINUTE, [job])
    assert len(alerting.latest(ctx)) == 3


def test_a_turn_that_clashes_with_a_person_at_work_is_skipped_without_alarm(ctx, now, operator):
    def clash(ctx, run):
        raise Conflict("under way")

    tick(ctx, now, [hourly("a", clash, retries=None)])
    assert rows(ctx) == [("a", 1, "skipped")]
    assert alerting.latest(ctx) == []


def test_failing_jobs_stop_no_other_job(ctx, now):
    clock = Clock(now)
    s = inline(ctx, clock, hourly("bad", fail), hourly("good"))
    for _ in range(24 * 2):
        s.tick(clock.at)
        clock.at += 30 * MINUTE
    outcomes = rows(ctx)
    assert outcomes.count(("good", 1, "ok")) == 24
    assert outcomes.count(("bad", 1, "failed")) == 24


def test_has_work_that_raises_becomes_a_run_that_is_recorded(ctx, now):
    broken = hourly("a", fail, has_work=lambda ctx, project, at: 1 / 0)
    tick(ctx, now, [broken, hourly("b")])
    assert rows(ctx) == [("a", 1, "failed"), ("b", 1, "ok")]


# ---- at the same time --------------------------------------------------------------------------
@pytest.fixture
def threaded(ctx, now):
    """A scheduler with real threads and a clock of its own; ``gate`` lets blocked runs go."""
    gate, clock = threading.Event(), Clock(now)

    def block(ctx, run):
        assert gate.wait(20)
        return "let go"

    made = []

    def make(*jobs):
        made.append(Scheduler(ctx, jobs, clock=clock))
        return made[-1]

    yield make, clock, gate, block
    gate.set()
    for s in made:
        assert s.stop(20)


def test_a_job_never_overlaps_itself_and_hanging_blocks_no_other(ctx, threaded):
    make, clock, gate, block = threaded
    s = make(hourly("slow", block), hourly("quick"))
    for _ in range(4):
        s.tick(clock.at)
        clock.at += HOUR
        wait_until(lambda: all(job != "quick" for job, _ in s._running))
    assert rows(ctx, job="slow") == [("slow", 1, "running"), ("slow", 1, "skipped")], "skipped turns are told once"
    assert rows(ctx, job="quick") == [("quick", 1, "ok")] * 4
    gate.set()
    wait_until(lambda: not s._running)
    s.tick(clock.at)
    wait_until(lambda: not s._running)
    assert rows(ctx, job="slow") == [("slow", 1, "ok"), ("slow", 1, "skipped"), ("slow", 1, "ok")]


def test_jobs_of_one_lane_wait_for_each_other_on_one_project_only(ctx, threaded, now):
    make, _, gate, block = threaded
    for name in ("power", "rain"):
        add_project(ctx, name, now)
    check = Job("check", "Check", block, per_project=True, lane="judgement")
    train = Job("train", "Train", block, per_project=True, lane="judgement")
    s = make(check, train)
    request(ctx, "check", "power", now)
    s.tick(now)
    waits, runs_on = request(ctx, "train", "power", now), request(ctx, "train", "rain", now)
    assert s.tick(now) == [runs_on]
    gate.set()
    wait_until(lambda: not s._running)
    assert s.tick(now) == [waits]


def test_one_job_takes_two_projects_at_a_time_and_leaves_room_for_others(ctx, threaded, now):
    make, _, gate, block = threaded
    for name in "abcde":
        add_project(ctx, name, now)
    s = make(hourly("slow", block, per_project=True), hourly("quick"))
    s.tick(now)
    wait_until(lambda: len(s._running) == 2)
    assert [outcome for _, _, outcome in rows(ctx, job="slow")].count("queued") == 3
    assert rows(ctx, job="quick")[0][2] in ("ok", "running")
    gate.set()
    for _ in range(3):
        wait_until(lambda: not s._running)
        s.tick(now)
    wait_until(lambda: not s._running)
    assert rows(ctx, job="slow") == [("slow", 1, "ok")] * 5


def test_a_run_that_takes_very_long_is_told_of_once(ctx, threaded):
    make, clock, _, block = threaded
    s = make(hourly("slow", block, patience=timedelta(minutes=30)))
    for _ in range(8):
        s.tick(clock.at)
        clock.at += 10 * MINUTE
    (told,) = alerting.latest(ctx)
    assert (told.reason.code, told.reason.params["minutes"]) == ("job_overdue", 30)


def test_progress_is_kept_while_a_run_is_under_way(ctx, threaded, now):
    make, _, _, block = threaded

    def report(ctx, run):
        run.progress("half way")
        return block(ctx, run)

    s = make(Job("a", "A", report))
    run = request(ctx, "a", now=now)
    s.tick(now)
    wait_until(lambda: runs.get(ctx, run).progress == "half way")
    assert runs.get(ctx, run).outcome is Outcome.RUNNING
    assert [active.id for active in runs.active(ctx)] == [run]


def test_progress_is_written_at_most_every_half_second_and_the_last_word_is_kept(ctx, now, monkeypatch):
    written = []
    put = run_store.put_progress
    monkeypatch.setattr(run_store, "put_progress", lambda *args: (written.append(args[-1]), put(*args)))

    def chat(ctx, run):
        for number in range(1000):
            run.progress(f"row {number}")
        return "ok"

    run = request(ctx, "a", now=now)
    tick(ctx, now, [Job("a", "A", chat)])
    assert written[0] == "row 0"
    assert len(written) < 10
    assert runs.get(ctx, run).progress == "row 999"


# ---- crashes and stops -------------------------------------------------------------------------
def test_a_run_whose_end_could_not_be_written_is_set_right_by_the_next_tick(ctx, now, monkeypatch):
    s = inline(ctx, Clock(now), Job("a", "A", lambda c, r: "ok"))
    run = request(ctx, "a", now=now)
    finish = run_store.finish

    def full(*args):
        raise StorageFailed("disk full")

    monkeypatch.setattr(run_store, "finish", full)
    s.tick(now)
    assert runs.get(ctx, run).outcome is Outcome.RUNNING
    monkeypatch.setattr(run_store, "finish", finish)
    s.tick(now + SECOND)
    assert runs.get(ctx, run).outcome is Outcome.INTERRUPTED


def test_stopping_ends_a_run_at_its_next_word_of_progress(ctx, now):
    began = threading.Event()

    def long(ctx, run):
        began.set()
        while True:
            run.progress("still at it")
            time.sleep(0.01)

    s = Scheduler(ctx, [Job("a", "A", long)])
    s.start()
    run = request(ctx, "a", now=now)
    assert began.wait(10)
    assert s.stop(10)
    assert not s.alive
    assert (runs.get(ctx, run).outcome, runs.get(ctx, run).message) == (Outcome.INTERRUPTED, "the app was stopped")


def test_a_run_that_was_asked_for_starts_within_two_seconds(ctx, now):
    s = Scheduler(ctx, [Job("a", "A", lambda c, r: "ok")])
    s.start()
    try:
        wait_until(lambda: runs.heartbeat(ctx) is not None)
        asked = time.monotonic()
        run = request(ctx, "a", now=now)
        wait_until(lambda: runs.get(ctx, run).outcome is Outcome.OK)
        assert time.monotonic() - asked < 3, "1 s by the clockwork, the rest is a busy machine"
    finally:
        assert s.stop()


def test_the_thread_outlives_ticks_that_fail_and_a_clock_set_back(ctx, now, monkeypatch):
    s = Scheduler(ctx, [])
    ticks, told = [], []

    def bad(at):
        ticks.append(at)
        if len(ticks) < 3:
            raise StorageFailed("disk full")

    monkeypatch.setattr(s, "tick", bad)
    monkeypatch.setattr(alerting, "tell_directly", lambda ctx, alert: told.append(alert.reason.code))
    monkeypatch.setattr(scheduler, "POLL_SECONDS", 1)
    real = scheduler.schedule.datetime.datetime

    class Back(real):
        """The clock the `schedule` package reads; set back by a day from the second tick on."""

        @classmethod
        def now(cls, tz=None):
            return real.now(tz) - (timedelta(days=1) if len(ticks) >= 2 else timedelta(0))

    monkeypatch.setattr(scheduler.schedule.datetime, "datetime", Back)
    s.start()
    try:
        wait_until(lambda: len(ticks) >= 4)
    finally:
        assert s.stop()
    assert told == ["storage_failed"], "once, not once a second"


def test_ensure_started_starts_one_scheduler_a_process(ctx, monkeypatch):
    monkeypatch.setattr(scheduler, "JOBS", ())
    try:
        first = scheduler.ensure_started(ctx)
        assert scheduler.ensure_started(ctx) is first
        assert [t.name for t in threading.enumerate()].count("scheduler") == 1
    finally:
        scheduler.stop()
    assert "scheduler" not in [t.name for t in threading.enumerate()]


def test_a_process_ends_by_itself_though_its_scheduler_was_never_stopped(tmp_path):
    """Its threads are no daemons, because a daemon inside DuckDB at exit aborts the process."""
    script = f"""
        import time
        from pathlib import Path
        from core import context
        from core.settings import Settings
        from jobs.job import Job
        from jobs.scheduler import Scheduler
        from datetime import timedelta
        ctx = context.opened(Settings(_env_file=None, CONTINUAL_DATA_DIR=Path({str(tmp_path)!r})))
        Scheduler(ctx, [Job("a", "A", lambda c, r: "ok", every=lambda s: timedelta(seconds=1))]).start()
        time.sleep(1.5)
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT,
        timeout=60,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_each_tick_leaves_a_sign_of_life(ctx, now):
    assert runs.heartbeat(ctx) is None
    clock = Clock(now)
    s = inline(ctx, clock)
    for seconds in (0, 3, 6):
        s.tick(now + timedelta(seconds=seconds))
    assert runs.heartbeat(ctx) == now + timedelta(seconds=6)


def test_a_scheduler_with_nothing_to_do_writes_only_its_heartbeat(ctx, now, monkeypatch):
    s = inline(ctx, Clock(now), hourly("a"))
    s.tick(now)
    written = []
    monkeypatch.setattr(job_states, "put_turn", lambda *args: written.append(args))
    write = ctx.database.write
    monkeypatch.setattr(ctx.database, "write", lambda: (written.append("write"), write())[1])
    for seconds in range(1, 5):
        s.tick(now + timedelta(seconds=seconds))
    assert written == []


# ---- for a long time ---------------------------------------------------------------------------
def simulate(ctx, now, days, seed=11):
    """Run ``days`` of two hourly jobs, one of them failing now and then, with sleeps and jumps of the clock.

    Returns (turns that were due, runs that started of the good job, runs of it that overlapped).
    """
    draw, clock = random.Random(seed), Clock(now)
    s = inline(ctx, clock, hourly("good"), hourly("flaky", lambda c, r: fail(c, r) if draw.random() < 0.3 else "ok"))
    due = 0
    started: list[datetime] = []
    for hour in range(days * 24):
        clock.at += HOUR + draw.choice([-1, 0, 1, 5]) * SECOND
        if hour % 37 == 20:
            clock.at += draw.choice([-24, 24, 72]) * HOUR
        for _ in range(3):
            if any(runs.get(ctx, run).job == "good" for run in s.tick(clock.at)):
                started.append(clock.at)
            clock.at += 10 * SECOND
        clock.at -= 30 * SECOND
        due += 1
    return due, len(started), sum(a == b for a, b in pairwise(started))


def test_simulated_days_of_failures_sleeps_and_clock_jumps_lose_no_turn(ctx, now):
    due, started, overlaps = simulate(ctx, now, days=5)
    assert started >= 0.99 * due
    assert overlaps == 0


@pytest.mark.soak
def test_a_simulated_year_of_failures_sleeps_and_clock_jumps_loses_no_turn(ctx, now):
    due, started, overlaps = simulate(ctx, now, days=365)
    assert started >= 0.995 * due
    assert overlaps == 0


def test_roles_are_checked_by_the_verb_with_the_name_of_who_asked(ctx, now):
    """What a run may do is not what the role was when it was asked for: the name travels, the role is read anew."""
    seen = []
    with ctx.database.write() as con:
        run_store.insert(con, "a", None, {}, by="ann", at=now)
    tick(ctx, now, [Job("a", "A", lambda c, run: seen.append(run.user) or "ok")])
    assert seen == [User("ann", Role.OPERATOR)]

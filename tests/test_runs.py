"""Runs are asked for, watched, cancelled, paused, recovered and forgotten."""

from datetime import timedelta

import pytest

from core import alerting, runs
from core.errors import Conflict, Forbidden, NotFound
from core.records import SYSTEM, Outcome, Role
from core.store import runs as store
from jobs.job import Job
from jobs.scheduler import tick

OK = Job("a", "A", lambda ctx, run: "done")


def begin(ctx, run, now):
    with ctx.database.write() as con:
        store.begin(con, store.get(con, run), now)


def test_a_requested_run_waits_in_the_queue(ctx, operator, now):
    run = runs.request(ctx, operator, "a", "power", {"why": "a hunch"}, now=now)
    stored = runs.get(ctx, run)
    assert (stored.job, stored.project, stored.arguments) == ("a", "power", {"why": "a hunch"})
    assert (stored.outcome, stored.attempt, stored.requested_by) == (Outcome.QUEUED, 1, operator.name)
    assert (stored.started_at, stored.finished_at, stored.message) == (None, None, "")


def test_clicking_twice_asks_once(ctx, operator, people, now):
    run = runs.request(ctx, operator, "a", "power", now=now)
    assert runs.request(ctx, operator, "a", "power", now=now) == run
    assert runs.request(ctx, operator, "a", "rain", now=now) != run
    assert runs.request(ctx, operator, "a", "power", {"why": "x"}, now=now) != run
    assert runs.request(ctx, people[Role.ADMIN], "a", "power", now=now) != run
    begin(ctx, run, now)
    assert runs.request(ctx, operator, "a", "power", now=now) != run, "the one that runs has seen older rows"


def test_a_queue_that_only_grows_is_refused(ctx, operator, now):
    for number in range(runs.MOST_WAITING):
        runs.request(ctx, operator, "a", arguments={"number": number}, now=now)
    with pytest.raises(Conflict, match="20 runs of a are waiting"):
        runs.request(ctx, operator, "a", arguments={"number": -1}, now=now)
    runs.request(ctx, operator, "b", now=now)


def test_a_viewer_may_neither_ask_nor_cancel_nor_pause(ctx, people, now):
    viewer = people[Role.VIEWER]
    run = runs.request(ctx, SYSTEM, "a", now=now)
    for act in (
        lambda: runs.request(ctx, viewer, "a", now=now),
        lambda: runs.cancel(ctx, viewer, run, now),
        lambda: runs.set_paused(ctx, viewer, "a", paused=True, now=now),
    ):
        with pytest.raises(Forbidden):
            act()
    assert [active.id for active in runs.active(ctx)] == [run]
    assert runs.job_states(ctx, ["a"])["a"] == runs.JobState()


def test_a_waiting_run_can_be_cancelled_and_never_starts(ctx, operator, now):
    run = runs.request(ctx, operator, "a", now=now)
    runs.cancel(ctx, operator, run, now)
    assert tick(ctx, now, [OK]) == []
    assert (runs.get(ctx, run).outcome, runs.get(ctx, run).message) == (Outcome.SKIPPED, "cancelled by operator")


def test_a_run_that_started_or_is_not_there_cannot_be_cancelled(ctx, operator, now):
    run = runs.request(ctx, operator, "a", now=now)
    tick(ctx, now, [OK])
    with pytest.raises(Conflict, match="is ok"):
        runs.cancel(ctx, operator, run, now)
    with pytest.raises(NotFound):
        runs.cancel(ctx, operator, 999, now)
    with pytest.raises(NotFound):
        runs.get(ctx, 999)


def test_job_states_tell_who_paused_and_how_the_last_run_went(ctx, operator, now):
    runs.request(ctx, operator, "a", now=now)
    tick(ctx, now, [OK])
    runs.set_paused(ctx, operator, "a", paused=True, now=now)
    states = runs.job_states(ctx, ["a", "b"])
    assert states["a"] == runs.JobState(True, now, operator.name, now, Outcome.OK)
    assert states["b"] == runs.JobState()
    runs.set_paused(ctx, operator, "a", paused=False, now=now)
    assert not runs.job_states(ctx, ["a"])["a"].paused


def test_history_is_newest_first_and_can_be_narrowed(ctx, operator, now):
    for minute, (job, project) in enumerate([("a", "power"), ("b", "power"), ("a", "rain")]):
        runs.request(ctx, operator, job, project, now=now + timedelta(minutes=minute))
    assert list(runs.history(ctx)["project"]) == ["rain", "power", "power"]
    assert len(runs.history(ctx, job="a")) == 2
    assert len(runs.history(ctx, job="a", project="power")) == 1
    assert len(runs.history(ctx, limit=1)) == 1
    assert {
        "id",
        "attempt",
        "job",
        "project",
        "requested_by",
        "started_at",
        "finished_at",
        "outcome",
        "message",
    } <= set(runs.history(ctx))


def test_active_lists_running_ones_first_and_can_be_narrowed(ctx, operator, now):
    first, second, third = (
        runs.request(ctx, operator, "a", project, now=now) for project in ("x", "y", "x"[:0] or "z")
    )
    begin(ctx, second, now)
    assert [run.id for run in runs.active(ctx)] == [second, first, third]
    assert [run.id for run in runs.active(ctx, "x")] == [first]


def test_what_a_dead_process_left_running_is_interrupted_and_told_of_once(ctx, operator, now):
    cut = [runs.request(ctx, operator, job, now=now) for job in ("a", "b")]
    waiting = runs.request(ctx, operator, "c", now=now)
    for run in cut:
        begin(ctx, run, now)
    assert runs.recover(ctx, now) == 2
    assert runs.recover(ctx, now) == 0
    assert {runs.get(ctx, run).outcome for run in cut} == {Outcome.INTERRUPTED}
    assert runs.get(ctx, waiting).outcome is Outcome.QUEUED
    (told,) = alerting.latest(ctx)
    assert told.reason.params == {"runs": 2, "jobs": "a (1), b (1)"}


def test_a_clean_start_tells_nothing(ctx, now):
    assert runs.recover(ctx, now) == 0
    assert alerting.latest(ctx) == []


def test_what_went_well_is_forgotten_before_what_failed(ctx, operator, now):
    def fail(ctx, run):
        raise ValueError

    bad = Job("bad", "Bad", fail, retries=0)
    _failed, fine, newest_bad, newest_fine = (
        runs.request(ctx, operator, job, arguments={"n": n}, now=now) for n, job in enumerate(["bad", "a", "bad", "a"])
    )
    for _ in range(2):
        tick(ctx, now, [OK, bad])
    waiting = runs.request(ctx, operator, "a", now=now)
    assert runs.prune(ctx, now + timedelta(days=6)) == 0
    assert runs.prune(ctx, now + timedelta(days=8)) == 1
    with pytest.raises(NotFound, match="kept for 7 days"):
        runs.get(ctx, fine)
    assert runs.prune(ctx, now + timedelta(days=91)) == 1
    assert set(runs.history(ctx)["id"]) == {newest_bad, newest_fine, waiting}, (
        "the newest of each job says what is news"
    )

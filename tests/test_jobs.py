"""Every job that is declared, through the scheduler, on a real database."""

import random
from datetime import timedelta

import pytest

from core import alerting, loop, mirroring, playing, runs, uploads
from core.records import SYSTEM, Column, Kind, Outcome, Project, Schema, Severity, Task
from core.store import alerts, models, plays, projects
from core.store.plays import Play
from jobs import JOBS
from jobs.scheduler import tick

SECOND = timedelta(seconds=1)
NAMES = {job.name: job for job in JOBS}


@pytest.fixture
def power(ctx, now):
    project = Project("power", "Power", Schema((Column("x", Kind.NUMERIC),), "y", Task.BINARY, ("0", "1")), now)
    with ctx.database.write() as con:
        projects.insert(con, project)
    return project


def run_now(ctx, job, now, project=None, user=SYSTEM, **arguments):
    run = runs.request(ctx, user, job, project, arguments, now=now)
    tick(ctx, now, [NAMES[job]])
    return runs.get(ctx, run)


def drill_until(wanted, start=1):
    """The first run id from ``start`` on whose three draws end as wanted."""

    def ends(run):
        draws = [random.Random(f"{run}/{attempt}").random() for attempt in (1, 2, 3)]
        return [draw < 0.5 for draw in draws]

    return next(run for run in range(start, 1000) if wanted(ends(run)))


def at_run(ctx, run):
    """Make ``run`` the next run id."""
    with ctx.database.write() as con:
        for _ in range(run - 1):
            con.execute("SELECT nextval('run_ids')").fetchall()


def test_each_job_has_a_name_a_label_and_a_file_of_its_own():
    assert len(NAMES) == len(JOBS)
    for job in JOBS:
        assert job.run.__module__ == f"jobs.{job.name}"
        assert job.label[0].isupper()


def test_only_the_weekly_report_the_backup_and_the_fire_drill_are_off_by_default():
    assert [job.name for job in JOBS if not job.enabled_by_default] == ["weekly_report", "backup", "fire_drill"]


def test_the_check_and_the_drill_keep_the_interval_of_the_settings(settings):
    settings = settings.model_copy(update={"check_interval_seconds": 45})
    assert {NAMES[name].every(settings) for name in ("cycle", "fire_drill")} == {timedelta(seconds=45)}


def test_a_new_app_starts_without_a_failure(ctx, now):
    for seconds in range(3):
        tick(ctx, now + seconds * SECOND)
    assert set(runs.history(ctx)["outcome"]) <= {"ok"}
    assert alerting.latest(ctx) == []


def test_a_fire_drill_fails_is_retried_and_raises_one_alert(ctx, now):
    at_run(ctx, drill_until(lambda fails: fails == [True, True, True]))
    run = runs.request(ctx, SYSTEM, "fire_drill", now=now)
    for seconds in range(4):
        tick(ctx, now + seconds * SECOND, [NAMES["fire_drill"]])
    history = runs.history(ctx, job="fire_drill")
    assert sorted(history["attempt"]) == [1, 2, 3]
    assert set(history["outcome"]) == {"failed"}
    assert "a failing retrain is simulated" in runs.get(ctx, run).message
    (told,) = alerting.latest(ctx)
    assert (told.reason.code, told.reason.params["job"]) == ("job_failed", "fire_drill")


def test_a_fire_drill_that_fails_once_ends_well(ctx, now):
    at_run(ctx, drill_until(lambda fails: fails[:2] == [True, False]))
    run = runs.request(ctx, SYSTEM, "fire_drill", now=now)
    for seconds in range(3):
        tick(ctx, now + seconds * SECOND, [NAMES["fire_drill"]])
    assert (runs.get(ctx, run).attempt, runs.get(ctx, run).outcome) == (2, Outcome.OK)
    (told,) = alerting.latest(ctx)
    assert (told.reason.code, told.severity) == ("fire_drill", Severity.OK)


def test_alerts_that_wait_are_delivered_by_the_job_and_without_any_it_does_not_run(ctx, now):
    deliver = NAMES["deliver_alerts"]
    assert tick(ctx, now, [deliver]) == []
    with ctx.database.write() as con:
        alerting.raise_alert(con, _alert(now))
    assert len(tick(ctx, now + 2 * SECOND, [deliver])) == 1
    with ctx.database.read() as con:
        assert alerts.count_pending(con, "discord") == 0


def _alert(now):
    return alerting.Alert(now, Severity.INFO, alerting.Reason("test", {"user": "ann"}))


def test_the_check_runs_the_loop_for_each_project(ctx, power, now, monkeypatch):
    called = []
    monkeypatch.setattr(loop, "run_cycle", lambda *args, run: called.append(args) or "nothing to do")
    tick(ctx, now, [NAMES["cycle"]])
    (context, project, at, _) = called[0]
    assert (context, project, at) == (ctx, power, now)
    assert runs.history(ctx)["message"][0] == "nothing to do"


@pytest.mark.parametrize("estimator", [None, "logistic"])
def test_retraining_passes_on_who_asked_and_why(ctx, power, operator, now, monkeypatch, estimator):
    called = {}
    monkeypatch.setattr(loop, "retrain", lambda ctx, user, project, **more: called.update(more, user=user) or "held")
    run = run_now(ctx, "retrain", now, "power", operator, reason="a hunch", estimator=estimator)
    assert (run.outcome, run.message) == (Outcome.OK, "held")
    assert (called["user"].name, called["reason"], called["now"]) == (operator.name, "a hunch", now)
    assert called.get("estimator") == estimator


def test_a_stream_is_fed_only_while_it_plays(ctx, power, now, monkeypatch):
    fed = []
    monkeypatch.setattr(playing, "advance", lambda ctx, project, now: fed.append(project.id) or "100 rows")
    play = NAMES["play"]
    assert tick(ctx, now, [play]) == []
    for second, on in ((2, True), (4, False)):
        with ctx.database.write() as con:
            plays.put(con, Play("power", "elec2", 100, 0, on, now))
        tick(ctx, now + second * SECOND, [play])
    assert fed == ["power"]


def test_an_upload_is_imported_once_and_not_retried(ctx, power, operator, now, monkeypatch):
    called = []

    def refuse(*args, **more):
        called.append((args, more))
        raise RuntimeError

    monkeypatch.setattr(uploads, "import_file", refuse)
    run = run_now(ctx, "import_file", now, "power", operator, upload="abc.csv", name="rows.csv", labels_only=False)
    assert tick(ctx, now + SECOND, [NAMES["import_file"]]) == []
    assert (run.outcome, len(called)) == (Outcome.FAILED, 1)
    ((_, user, project, upload), more) = called[0]
    assert (user.name, project, upload, more["name"]) == (operator.name, power, "abc.csv", "rows.csv")


def test_the_mirror_runs_only_when_mlflow_is_behind(ctx, power, now, monkeypatch):
    told = []
    monkeypatch.setattr(mirroring, "mirror", lambda ctx, now, progress: told.append(now) or "told")
    mirror = NAMES["mirror_registry"]
    assert tick(ctx, now, [mirror]) == []
    with ctx.database.write() as con:
        models.enthrone(con, "power", 3, "0" * 64, now, 1)
    tick(ctx, now + timedelta(minutes=1), [mirror])
    assert len(told) == 1
    assert runs.history(ctx)["message"][0] == "told"


def test_pruning_says_what_it_forgot(ctx, now):
    assert run_now(ctx, "prune", now).message == (
        "0 old runs, 0 failed deliveries, 0 deleted reports and 0 samples of health forgotten"
    )

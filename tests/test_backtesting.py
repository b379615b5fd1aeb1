"""A backtest of a project's own history: asked for, played in the worker, kept, cancelled, adopted."""

import threading
import time
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from core import backtest, backtesting, ingest, projects, runs
from core.errors import Conflict, Forbidden, InvalidInput, NotEnoughRows, NotFound
from core.policy import PRESETS, Approval, Policy
from core.records import SYSTEM, Column, Kind, Outcome, Role, Schema, Task
from jobs import JOBS
from jobs.scheduler import Scheduler, tick
from tests.test_backtest import turning

SCHEMA = Schema((Column("a", Kind.NUMERIC), Column("b", Kind.NUMERIC)), "y", Task.BINARY, ("no", "yes"), row_id="id")
POLICY = Policy(window_rows=60, warm_up_windows=4, estimator="logistic", approval=Approval.MANUAL)
JOB = next(job for job in JOBS if job.name == "backtest")
DAY = timedelta(days=1)


def fed(ctx, now, windows=12, late=0, labels=True):
    """A project whose windows came a day each, their labels ``late`` days later."""
    project = projects.create(ctx, SYSTEM, name="Turning", schema=SCHEMA, policy=POLICY, now=now)
    features, answers = turning(windows=windows)
    frame = features.assign(id=np.arange(len(features)).astype(str))
    for day in range(windows + late):
        rows = slice(day * 60, (day + 1) * 60)
        if day < windows:
            ingest.ingest(ctx, SYSTEM, project, frame.iloc[rows], source="test", now=now + day * DAY)
        if labels and (before := day - late) >= 0:
            rows = slice(before * 60, (before + 1) * 60)
            offered = pd.DataFrame({"row_id": frame["id"].iloc[rows], "value": answers.iloc[rows]})
            ingest.record_labels(ctx, SYSTEM, project, offered, source="test", now=now + day * DAY)
    return project


def test_a_backtest_is_played_in_the_worker_kept_and_adopted(ctx, people, now):
    project = fed(ctx, now)
    run = backtesting.request(ctx, people[Role.OPERATOR], project, now=now)
    assert backtesting.request(ctx, people[Role.ADMIN], project, now=now) == run, "one at a time"
    assert backtesting.under_way(ctx, project).id == run
    tick(ctx, now, [JOB])
    state = runs.get(ctx, run)
    assert (state.outcome, backtesting.under_way(ctx, project)) == (Outcome.OK, None), state.message
    kept = backtesting.latest(ctx, project)
    assert (kept.run, kept.made_by, kept.test.windows) == (run, "operator", 8)
    assert kept.test.current == "balanced"
    assert kept.test.as_recorded and not kept.test.in_bulk
    features, labels = turning(windows=12)
    # promotions that wait for a person are taken to be approved at once
    alone = backtest.compare(
        features, labels, SCHEMA, POLICY, policies={"balanced": replace(POLICY, approval="automatic")}
    )
    assert kept.test.trial("balanced").losses == pytest.approx(alone.trials[0].losses)

    with pytest.raises(Forbidden):
        backtesting.adopt(ctx, people[Role.OPERATOR], project, kept, "eager", now)
    with pytest.raises(NotFound, match="did not play"):
        backtesting.adopt(ctx, people[Role.ADMIN], project, kept, "brave", now)
    assert backtesting.adopt(ctx, people[Role.ADMIN], project, kept, "eager", now) == 2
    newest, first = projects.policy_versions(ctx, project.id)
    expected = replace(PRESETS["eager"], window_rows=60, warm_up_windows=4, estimator="logistic", approval="manual")
    assert newest.policy == expected
    assert (newest.made_by, newest.why) == ("admin", f"backtest of run {run}: Eager")
    assert (first.version, first.why) == (1, "")
    assert projects.restore_policy(ctx, people[Role.ADMIN], project.id, 1, now) == 3
    assert projects.policy(ctx, project.id) == (3, POLICY)


def test_a_draft_is_played_beside_the_others_and_can_be_put_to_use(ctx, people, now):
    project = fed(ctx, now)
    draft = replace(POLICY, name="own", price=0.05, growth=1.1, estimator="hist_gradient_boosting")
    with pytest.raises(InvalidInput, match="Rows a window: 30, not 60"):
        backtesting.request(ctx, people[Role.ADMIN], project, draft=replace(draft, window_rows=30), now=now)
    run = backtesting.request(ctx, people[Role.ADMIN], project, draft=draft, now=now)
    with pytest.raises(Conflict, match="Another backtest"):
        backtesting.request(ctx, people[Role.ADMIN], project, draft=draft, now=now)
    tick(ctx, now, [JOB])
    kept = backtesting.latest(ctx, project)
    assert [trial.name for trial in kept.test.trials][0] == "draft"
    assert kept.test.trial("draft").policy == replace(draft, approval="automatic")
    assert kept.test.trial("draft").retrained != kept.test.trial("balanced").retrained
    assert backtesting.adopt(ctx, people[Role.ADMIN], project, kept, "draft", now) == 2
    assert projects.policy(ctx, project.id) == (2, draft)
    assert projects.policy_versions(ctx, project.id)[0].why == f"backtest of run {run}: Your draft"


def test_a_draft_that_is_a_preset_goes_by_its_name():
    assert "draft" not in backtest.contestants(
        POLICY, replace(PRESETS["eager"], window_rows=60, warm_up_windows=4, estimator="logistic")
    )


def test_labels_are_taken_as_late_as_they_came(ctx, now):
    history = backtesting.history(ctx, fed(ctx, now, windows=10, late=2), POLICY)
    own = np.arange(len(history.labels)) // 60
    assert (history.usable[own < 8] == own[own < 8] + 2).all()
    assert (history.usable[own >= 8] == backtest.NEVER_USABLE).all()
    assert history.labels.notna().all()


def test_rows_that_came_in_one_file_tell_nothing_of_how_late_labels_are(ctx, now):
    project = projects.create(ctx, SYSTEM, name="File", schema=SCHEMA, policy=POLICY, now=now)
    features, answers = turning(windows=8)
    frame = features.assign(id=np.arange(len(features)).astype(str), y=answers)
    ingest.ingest(ctx, SYSTEM, project, frame, source="test", now=now)
    history = backtesting.history(ctx, project, POLICY)
    assert history.in_bulk
    assert (history.usable == np.arange(480) // 60).all()


def test_windows_whose_labels_are_not_there_yet_are_left_out(ctx, now):
    project = fed(ctx, now, windows=9)
    features, _ = turning(windows=3, seed=1)
    ingest.ingest(ctx, SYSTEM, project, features.assign(id=[f"n{i}" for i in range(180)]), source="test", now=now)
    assert backtesting.span(ctx, project, POLICY) == (0, 9)


def test_a_history_that_is_too_short_is_told_before_anything_runs(ctx, operator, now):
    project = fed(ctx, now, windows=4)
    with pytest.raises(NotEnoughRows, match="4 windows of 60 rows; at least 5 are needed"):
        backtesting.request(ctx, operator, project, now=now)
    with pytest.raises(InvalidInput, match="delay is -1"):
        backtesting.request(ctx, operator, project, label_delay=-1, now=now)
    assert runs.active(ctx) == []


def test_labels_of_one_answer_alone_are_told_before_anything_runs(ctx, operator, now):
    project = projects.create(ctx, SYSTEM, name="One", schema=SCHEMA, policy=POLICY, now=now)
    features, _ = turning(windows=6)
    frame = features.assign(id=[str(i) for i in range(360)], y="no")
    ingest.ingest(ctx, SYSTEM, project, frame, source="test", now=now)
    with pytest.raises(NotEnoughRows, match=r"360 x 'no': a model needs two answers .* Record labels on Data"):
        backtesting.request(ctx, operator, project, now=now)
    assert runs.active(ctx) == []


def test_a_backtest_that_runs_can_be_cancelled_and_leaves_nothing(ctx, operator, people, now):
    project = fed(ctx, now, windows=40)
    run = backtesting.request(ctx, operator, project, now=now)
    scheduler = Scheduler(ctx, [JOB])
    scheduler.tick(now)
    until = time.monotonic() + 120
    while (where := backtesting.position(runs.get(ctx, run))) is None or where.done < 3:
        assert time.monotonic() < until, runs.get(ctx, run)
        time.sleep(0.1)
    assert (where.policy, where.windows) == ("never", 6 * 40)
    with pytest.raises(Forbidden):
        runs.cancel(ctx, people[Role.VIEWER], run, now)
    runs.cancel(ctx, operator, run, now)
    while any(thread.name == f"run-{run}" for thread in threading.enumerate()):
        assert time.monotonic() < until
        time.sleep(0.1)
    state = runs.get(ctx, run)
    assert (state.outcome, state.message) == (Outcome.SKIPPED, "cancelled by operator")
    assert backtesting.latest(ctx, project) is None
    assert not list((ctx.settings.data_dir / "work").glob("*"))
    with pytest.raises(Conflict, match="is skipped"):
        runs.cancel(ctx, operator, run, now)


def test_only_the_newest_backtests_of_a_project_are_kept(ctx, now):
    from core.store import backtests

    with ctx.database.write() as con:
        for run in range(15):
            backtests.insert(con, run, "a", "{}", "ann", now)
        backtests.insert(con, 99, "b", "{}", "ann", now)
        kept = con.execute("SELECT project, count(*), min(run) FROM backtests GROUP BY project ORDER BY 1").fetchall()
    assert kept == [("a", 10, 5), ("b", 1, 99)]

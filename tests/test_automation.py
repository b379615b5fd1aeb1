"""The Automation page: the policy and its versions, trying policies, the schedule, by role."""

import json
from dataclasses import replace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core import backtesting, context, ingest, projects, runs
from core.backtest import Backtest, Trial, contestants
from core.policy import PRESETS, Policy
from core.records import SYSTEM, Outcome, Role
from core.sources import SOURCES
from core.store import backtests, policies
from core.store.codec import dump
from tests.conftest import NOW
from tests.server import ROOT

SEA = SOURCES["sea"]
POLICY = Policy(window_rows=50, warm_up_windows=2, estimator="logistic")


@pytest.fixture
def project(ctx, people, monkeypatch):
    """Five labelled windows, and a backtest by which every 8 windows is the one to take."""
    context._process["context"] = ctx
    monkeypatch.setattr("pages.ui.link", lambda *_: None)
    made = projects.create(ctx, SYSTEM, name="Sea", schema=SEA.schema, policy=POLICY, now=NOW)
    ingest.ingest(ctx, SYSTEM, made, SEA.draw(250, seed=1), source="test", now=NOW)
    base = np.random.default_rng(0).normal(0.3, 0.01, 40)
    trials = tuple(
        Trial(name, policy, tuple(base - (0.1 if name == "every_8" else 0.0)), (8, 16), 2, 0, 1.5)
        for name, policy in contestants(POLICY).items()
    )
    test = Backtest("error", False, 2100, 50, 2, "balanced", trials, in_bulk=True, as_recorded=True)
    with ctx.database.write() as con:
        backtests.insert(con, 7, made.id, dump(test), "ann", NOW)
    yield made
    context._process.pop("context", None)


def opened(role: Role) -> AppTest:
    test = AppTest.from_file(str(ROOT / "pages" / "automation.py"), default_timeout=180)
    test.session_state["signed_in"] = role.value
    return test.run()


def button(test: AppTest, label: str):
    return next((found for found in test.button if found.label == label), None)


def said(test: AppTest) -> str:
    return " ".join(part.value for part in (*test.markdown, *test.caption, *test.success, *test.info, *test.error))


def test_each_role_sees_what_it_may_press(project):
    may = {
        Role.VIEWER: set(),
        Role.OPERATOR: {"Try these policies on my history", "Run now"},
        Role.ADMIN: {"Try these policies on my history", "Run now", "Judge by this from now on", "Use this policy"},
    }
    for role, expected in may.items():
        test = opened(role)
        assert not test.exception
        labels = {found.label for found in test.button}
        assert labels & may[Role.ADMIN] == expected, role
        assert "Every 50 rows are judged together" in said(test)
        assert "Every 8 windows is significantly better than your policy" in said(test)
        assert "nobody knows how late the labels were" in said(test)


def test_the_recommended_policy_is_put_to_use_with_a_button(ctx, project):
    test = opened(Role.ADMIN)
    button(test, "Use this policy").click().run()
    assert not test.exception
    version, policy = projects.policy(ctx, project.id)
    assert (version, policy.name, policy.period, policy.window_rows) == (2, "every_8", 8, 50)
    assert "Version 2 of the policy is in force" in said(test)


def test_a_preset_is_taken_changed_saved_with_a_reason_and_undone(ctx, project):
    test = opened(Role.ADMIN)
    test.radio(key="policy_start-1").set_value("careful").run()
    assert "takes over only when it is proved better" in said(test)
    next(field for field in test.text_input if field.label == "Why").set_value("  audits   are near ")
    button(test, "Judge by this from now on").click().run()
    made = projects.policy_versions(ctx, project.id)[0]
    here = {"window_rows": 50, "warm_up_windows": 2, "estimator": "logistic"}
    assert made.policy == replace(PRESETS["careful"], **here)
    assert (made.version, made.made_by, made.why) == (2, "admin", "audits are near")

    test.number_input(key="2-current-price").set_value(35.0)
    button(test, "Judge by this from now on").click().run()
    assert projects.policy(ctx, project.id) == (3, replace(PRESETS["careful"], name="own", price=0.35, **here))

    button(test, "Go back to it").click().run()
    assert not test.exception
    newest = projects.policy_versions(ctx, project.id)[0]
    assert (newest.version, newest.policy, newest.why) == (4, made.policy, "back to version 2")


def test_triggers_that_could_never_agree_are_refused_and_a_project_that_has_such_a_policy_goes_on(ctx, project):
    test = opened(Role.ADMIN)
    test.number_input(key="1-current-quorum").set_value(6)
    button(test, "Judge by this from now on").click().run()
    assert test.error[0].value.startswith(
        "6 triggers must agree, but 2 are on (“When it has become stale”, “When there are"
    )
    assert projects.policy(ctx, project.id)[0] == 1
    with ctx.database.write() as con:  # as an earlier release took it
        policies.insert(con, project.id, Policy(quorum=6).to_json(), "admin", NOW)
    assert projects.policy(ctx, project.id)[1].quorum == 6
    assert not opened(Role.ADMIN).exception


def test_a_setting_beyond_its_range_is_named_and_nothing_is_saved(ctx, project):
    test = opened(Role.ADMIN)
    test.number_input(key="1-current-mature_share").set_value(2.0)
    test.number_input(key="1-current-window_rows").set_value(5)
    button(test, "Judge by this from now on").click().run()
    assert [error.value for error in test.error] == [
        "Rows a window: 5 is not within 20 to 1,000,000.",
        "Labels needed, %: 2 is not within 5 to 100.",
    ]
    assert projects.policy(ctx, project.id)[0] == 1


def test_a_draft_is_tried_before_it_is_in_force(ctx, project):
    test = opened(Role.ADMIN)
    test.number_input(key="1-current-price").set_value(45.0)
    button(test, "Try it on my history first").click().run()
    assert not test.exception and not test.error
    assert "It is being played" in said(test)
    run = backtesting.under_way(ctx, project)
    assert Policy.from_json(run.arguments["draft"]) == replace(POLICY, name="own", price=0.45)
    assert projects.policy(ctx, project.id) == (1, POLICY), "not in force"
    button(test, "Try it on my history first").click().run()
    assert "Another backtest of this project is under way" in test.error[0].value


def test_a_backtest_is_asked_for_watched_and_cancelled(ctx, project):
    test = opened(Role.OPERATOR)
    button(test, "Try these policies on my history").click().run()
    run = backtesting.under_way(ctx, project)
    assert run.requested_by == "operator"
    assert button(test, "Try these policies on my history") is None
    test.button(key="cancel-backtest").click().run()
    assert runs.get(ctx, run.id).outcome is Outcome.SKIPPED
    assert "It was cancelled" in said(test)
    assert button(test, "Try these policies on my history") is not None


def test_jobs_are_run_paused_and_resumed(ctx, project):
    test = opened(Role.OPERATOR)
    test.button(key="run-cycle").click().run()
    assert [(run.job, run.project) for run in runs.active(ctx)] == [("cycle", project.id)]
    test.button(key="pause-cycle").click().run()
    assert runs.job_states(ctx, ["cycle"])["cycle"].paused
    assert "paused by operator" in said(test)
    assert test.button(key="pause-cycle").label == "Resume"


def test_a_backtest_of_so_few_windows_that_no_interval_is_known_leaves_them_empty(ctx, project):
    kept = backtesting.latest(ctx, project).test
    short = replace(kept, trials=tuple(replace(trial, losses=trial.losses[:4], retrained=()) for trial in kept.trials))
    with ctx.database.write() as con:
        backtests.insert(con, 8, project.id, dump(short), "ann", NOW)
    test = opened(Role.VIEWER)
    assert not test.exception
    assert "Only 4 windows could be scored" in said(test)
    lines = next(frame.value for frame in test.dataframe if "gain_low" in frame.value)
    assert lines[["gain_low", "gain_high"]].isna().to_numpy().all()


def test_the_price_of_a_retrain_can_be_tried_on_the_page(project):
    test = opened(Role.VIEWER)
    assert "with retrains at 0.2 of a window's loss" in said(test)
    test.select_slider(key="price-7").set_value(1.0).run()
    assert "with retrains at 1 of a window's loss" in said(test)
    assert json.loads(test.get("plotly_chart")[0].proto.spec)["data"]

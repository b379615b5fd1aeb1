"""Decisions and Models, as each role uses them: found again, read in two languages, undone, declined, asked as of a moment."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from streamlit.testing.v1 import AppTest

from core import context, ingest, loop, projects, runs
from core.errors import Conflict, Forbidden, InvalidInput
from core.evidence import Memory
from core.policy import Approval, Policy
from core.records import SYSTEM, Action, Role
from core.sources import SOURCES
from core.store import decisions, models
from tests.conftest import PASSWORD
from tests.server import ROOT
from tests.test_live_is_replay import history, live, small

NOW = datetime.now(UTC).replace(microsecond=0)
POLICY = Policy(
    window_rows=100, warm_up_windows=2, scope="all", estimator="logistic", period=2, gate="none", cool_down=0,
    most_retrains=1.0,
)  # fmt: skip


def lived(ctx, policy: Policy, name: str = "Sea"):
    """A project that has had two champions, the second an hour after the first."""
    sea = SOURCES["sea"]
    project = projects.create(ctx, SYSTEM, name=name, schema=sea.schema, policy=policy, now=NOW - timedelta(hours=9))
    for number, rows in enumerate((200, 100, 100, 100)):
        at = NOW - timedelta(hours=8 - number)
        ingest.ingest(ctx, SYSTEM, project, sea.draw(rows, seed=number), source="test", now=at)
        loop.run_cycle(ctx, project, at)
    return project


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """One app that lived a little, for all the tests here; what they change, they change on purpose and in order."""
    from core import accounts
    from core.settings import Settings

    folder = tmp_path_factory.mktemp("decisions")
    ctx = context.opened(Settings(_env_file=None, CONTINUAL_DATA_DIR=folder, RETRY_DELAY_SECONDS=0))
    for role in Role:
        accounts.create_user(ctx, SYSTEM, name=role.value, password=PASSWORD, role=role, now=NOW)
    project = lived(ctx, POLICY)
    context._process["context"] = ctx
    yield ctx, project
    context._process.pop("context", None)
    ctx.close()


@pytest.fixture
def ctx(world, monkeypatch):
    monkeypatch.setattr("pages.ui.link", lambda *_: None)  # links need the frame's navigation
    return world[0]


@pytest.fixture
def project(world):
    return world[1]


def opened(name: str, /, role: Role = Role.VIEWER, language: str = "en", **query) -> AppTest:
    test = AppTest.from_file(str(ROOT / "pages" / f"{name}.py"), default_timeout=180)
    test.session_state["signed_in"], test.session_state["language"] = role.value, language
    for key, value in query.items():
        test.query_params[key] = value
    test.run()
    assert not test.exception, test.exception
    return test


def said(test: AppTest) -> str:
    return " ".join(str(element.value) for element in (*test.markdown, *test.caption, *test.info, *test.error))


def ledger(ctx, project, *actions):
    with ctx.database.read() as con:
        return decisions.latest(con, project.id, actions=actions, limit=1000)


def reigns(ctx, project):
    with ctx.database.read() as con:
        return models.reigns(con, project.id)


def test_the_ledger_is_filtered_by_its_address_and_a_filter_that_finds_nothing_says_so(ctx, project):
    every = said(opened("decisions"))
    assert "2 labelled windows are there" in every
    retrains = said(opened("decisions", action="retrain"))
    assert f"{len(ledger(ctx, project, Action.RETRAIN))} decisions, the newest first" in retrains
    assert "No decision fits these filters" in said(opened("decisions", q="nothing-has-this-word"))
    assert "1 decisions" in said(opened("decisions", q="#1"))
    assert not opened("decisions", action="no-such-action", period="never", page="999").error


def test_a_choice_of_actions_is_written_into_the_address_whatever_the_language(ctx, project, monkeypatch):
    for language in ("en", "fr"):
        monkeypatch.setattr(
            "pages.ui.language", lambda said=language: said
        )  # the test names options out of the session
        test = opened("decisions", language=language)
        test.pills[0].set_value(["retrain"]).run()
        assert test.query_params["action"] in ("retrain", ["retrain"])
        test.pills[0].set_value([]).run()
        assert "action" not in test.query_params


def test_every_decision_opens_for_every_role_in_both_languages(ctx, project):
    for entry in ledger(ctx, project):
        for role, language in ((Role.VIEWER, "en"), (Role.ADMIN, "fr")):
            test = opened("decisions", role, language, id=str(entry.id))
            assert any(str(entry.id) in title.value for title in test.title)
    assert "There is no decision 9999" in said(opened("decisions", id="9999"))


def test_a_retrain_shows_its_limits_its_consequence_and_replays_to_the_same(ctx, project):
    entry = ledger(ctx, project, Action.RETRAIN)[0]
    test = opened("decisions", id=str(entry.id))
    assert {"What triggered it?", "Would it decide the same again?"} <= {header.value for header in test.header}
    assert "Why did it retrain?" in said(test)
    assert "Why was it promoted?" in said(test)
    assert len(test.get("plotly_chart")) >= 1
    next(button for button in test.button if button.label == "Replay this decision").click().run()
    assert any(success.value.startswith(f"#{entry.id}: identical") for success in test.success)


def test_as_of_a_moment_it_names_who_answered_and_the_decision_that_crowned_it(ctx, project):
    newest, first = reigns(ctx, project)[0], reigns(ctx, project)[-1]
    moment = (first.began_at + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M")
    then = said(opened("decisions", view="as-of", at=moment))
    assert f"v{first.version} answered" in then
    assert f"#{first.decision}" in then
    assert f"v{newest.version} answered" in said(opened("decisions", view="as-of"))
    early = (first.began_at - timedelta(minutes=30)).strftime("%Y-%m-%dT%H:%M")
    assert "Nobody answered then" in said(opened("decisions", view="as-of", at=early))


def test_a_viewer_sees_every_act_refused_by_its_verb(ctx, project):
    test = opened("models")
    next(button for button in test.button if button.label == "Retrain now").click().run()
    assert any("needs the role operator" in error.value for error in test.error)
    assert runs.active(ctx, project.id) == []
    viewer = _user(ctx, Role.VIEWER)
    for act in (
        lambda: loop.decline(ctx, viewer, project, reason="no", now=NOW),
        lambda: loop.roll_back(ctx, viewer, project, reason="no", now=NOW),
    ):
        with pytest.raises(Forbidden):
            act()


def _user(ctx, role):
    from core.store import users

    with ctx.database.read() as con:
        return users.get(con, role.value)


def test_a_rollback_says_what_serves_and_what_would_and_is_undone_at_one_click(ctx, project):
    before = reigns(ctx, project)
    test = opened("models", Role.OPERATOR)
    next(button for button in test.button if button.label == "Roll back").click().run()
    assert {"Serves now", "Would serve"} <= {header.value for header in test.header}
    assert f"From the next request on, v{before[1].version} answers" in said(test)
    next(button for button in test.button if button.key == "succession_go").click().run()  # without a reason
    assert len(reigns(ctx, project)) == len(before)
    assert any("A reason is missing" in error.value for error in test.error)

    loop.roll_back(ctx, _user(ctx, Role.OPERATOR), project, reason="too many complaints", now=datetime.now(UTC))
    test = opened("models", Role.OPERATOR)
    assert f"v{before[1].version} answers since" in said(test)
    next(button for button in test.button if button.key == "undo").click().run()
    assert reigns(ctx, project)[0].version == before[0].version
    undone = ledger(ctx, project)[0]
    assert (undone.action, undone.actor) == (Action.PROMOTE, "operator")
    assert "undo of decision" in undone.reasons[0].params["why"]


def test_checks_are_paused_and_resumed_and_the_page_says_what_that_means(ctx, project):
    test = opened("models", Role.OPERATOR)
    next(button for button in test.button if button.key == "pause").click().run()
    assert runs.job_states(ctx, ["cycle"])["cycle"].paused
    assert any("nothing is judged in any project" in warning.value for warning in test.warning)
    next(button for button in test.button if button.key == "pause").click().run()
    assert not runs.job_states(ctx, ["cycle"])["cycle"].paused


def test_a_run_that_waits_is_shown_to_whoever_comes_and_can_be_cancelled(ctx, project):
    asked = opened("models", Role.OPERATOR)
    next(button for button in asked.button if button.key == "check").click().run()
    other = opened("models", Role.ADMIN)  # another session
    assert "waits for its turn" in said(other)
    next(button for button in other.button if button.label == "Cancel").click().run()
    assert runs.active(ctx, project.id) == []


def test_a_challenger_that_waits_is_declined_with_a_reason_or_approved(ctx):
    project = lived(ctx, replace(POLICY, approval=Approval.MANUAL), "Sea, by hand")
    operator = _user(ctx, Role.OPERATOR)
    with ctx.database.read() as con:
        memory = Memory.from_json(decisions.memory(con, project.id))
    assert memory.awaiting
    waiting = memory.challenger.version
    test = opened("models", Role.OPERATOR, project=project.id)
    assert "It passed the comparison" in said(test)
    assert any(button.key == "approve" for button in test.button)
    with pytest.raises(InvalidInput):
        loop.decline(ctx, operator, project, reason=" ", now=NOW)
    loop.decline(ctx, operator, project, reason="not before Monday", now=NOW)
    declined = ledger(ctx, project)[0]
    assert (declined.action, declined.version, declined.actor) == (Action.HOLD, waiting, "operator")
    with pytest.raises(Conflict):
        loop.decline(ctx, operator, project, reason="again", now=NOW)
    with ctx.database.read() as con:
        after = Memory.from_json(decisions.memory(con, project.id))
    assert (after.challenger, after.awaiting, after.champion) == (None, False, memory.champion)
    loop.promote(ctx, operator, project, waiting, reason="Monday came", now=NOW)
    assert reigns(ctx, project)[0].version == waiting
    with ctx.database.read() as con:
        story = decisions.about(con, project.id, waiting)
    assert [entry.action for entry in story] == [Action.HOLD, Action.HOLD, Action.PROMOTE]


def test_who_stands_in_for_whom_is_told_and_a_person_may_settle_it(ctx):
    policy = small("balanced", price=0.02, stand_in=0.0, rollback_level=1e-9, most_retrains=0.5)
    live(ctx, history(7, 5, "none"), policy, 0, NOW)
    project = next(one for one in projects.every(ctx) if one.name == "History")
    with ctx.database.read() as con:
        memory = Memory.from_json(decisions.memory(con, project.id))
    assert (memory.champion.version, memory.serving.version, reigns(ctx, project)[0].version) == (4, 2, 2)
    models_page = said(opened("models", project=project.id))
    assert "Stands in for v4, the champion, since" in models_page and "has stepped aside" in models_page
    assert "stands in for v4" in next(
        tile.delta for tile in opened("overview", project=project.id).metric if tile.label == "Champion"
    )
    operator = _user(ctx, Role.OPERATOR)
    loop.promote(ctx, operator, project, 2, reason="it shall stay", now=NOW)
    with ctx.database.read() as con:
        memory = Memory.from_json(decisions.memory(con, project.id))
    assert (memory.champion.version, memory.previous.version, memory.stands_in) == (2, 4, False)
    with pytest.raises(Conflict, match="champion already"):
        loop.promote(ctx, operator, project, 2, reason="again", now=NOW)


def test_a_version_knows_the_comparisons_it_was_part_of(ctx, project):
    from core.records import Comparison

    compared = Comparison(0.2, 0.1, 0.1, 0.0, 0.2, 100, "error", "hold", versions=(901, 902))
    with ctx.database.write() as con:
        entry = decisions.Entry("nobody", NOW, Action.HOLD, "continual-ml", (), comparison=compared, version=902)
        made = decisions.insert(con, entry)
        assert [found.id for found in decisions.about(con, "nobody", 901)] == [made]
        assert [found.id for found in decisions.about(con, "nobody", 902)] == [made]
        assert decisions.about(con, "nobody", 90) == []

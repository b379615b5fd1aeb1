"""Every page opens, on an empty and on a full database, for each role, and for nobody without sign-in."""

import os
import subprocess
import sys

import pytest
from streamlit.testing.v1 import AppTest

from core import accounts, auth, context, ingest, loop, projects
from core.policy import Policy
from core.records import SYSTEM, Role
from core.settings import Settings
from core.sources import SOURCES
from core.words import catalogue
from tests.conftest import NOW, PASSWORD
from tests.server import ROOT

PAGES = ("overview", "data", "models", "predict", "monitoring", "decisions", "automation", "account", "reports", "alerts",
         "health")  # fmt: skip


@pytest.fixture
def process(ctx, people):
    """The context as the process's own, as the pages find it."""
    context._process["context"] = ctx
    yield ctx
    context._process.pop("context", None)


@pytest.fixture
def full(process):
    """A project with rows, labels, a champion, answers and decisions."""
    sea = SOURCES["sea"]
    policy = Policy(window_rows=50, warm_up_windows=2, scope="all", estimator="logistic", period=2)
    project = projects.create(process, SYSTEM, name="Sea *[x](http://evil)*", schema=sea.schema, policy=policy, now=NOW)
    for first in (0, 100, 150, 200):
        rows = sea.draw(100 if first == 0 else 50, seed=1, offset=first)
        ingest.ingest(process, SYSTEM, project, rows, source="test", now=NOW)
        loop.run_cycle(process, project, NOW)
    return project


def opened(page: str, role: Role | None, language: str = "en") -> AppTest:
    """The page's own script, as the frame runs it for someone who is signed in, or for nobody."""
    test = AppTest.from_file(str(ROOT / "pages" / f"{page}.py"), default_timeout=180)
    if role is not None:
        test.session_state["signed_in"] = role.value
    test.session_state["language"] = language
    return test.run()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_run_by_itself_shows_nothing_to_nobody(process, page):
    test = opened(page, None)
    assert [error.value for error in test.error] == ["Please sign in first."]
    assert not test.title
    assert not test.button


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_on_an_empty_database(process, page, monkeypatch):
    monkeypatch.setattr("pages.ui.link", lambda *_: None)  # links need the frame's navigation
    for role in Role:
        test = opened(page, role)
        assert not test.exception
        assert test.title


def test_every_page_opens_on_a_full_database_for_each_role(full, monkeypatch):
    monkeypatch.setattr("pages.ui.link", lambda *_: None)
    for page in PAGES:
        for role in Role:
            test = opened(page, role)
            assert not test.exception, page
            assert test.title
            shown = " ".join(element.value for element in (*test.markdown, *test.caption))
            assert "](http://evil)" not in shown, page


def test_every_page_opens_in_french_and_says_nothing_of_its_own_in_english(full, monkeypatch):
    monkeypatch.setattr("pages.ui.link", lambda *_: None)
    english = {text for text, told in catalogue("fr").items() if told != text} - set(Role)  # accounts have those names
    for page in (*PAGES, "admin"):
        test = opened(page, Role.ADMIN, "fr")
        assert not test.exception, page
        said = {element.value for element in (*test.title, *test.header, *test.caption, *test.markdown, *test.info)}
        asked = [
            *test.button,
            *test.selectbox,
            *test.radio,
            *test.text_input,
            *test.number_input,
            *test.metric,
            *test.tabs,
        ]
        said |= {element.label for element in asked}
        said |= {option for element in (*test.selectbox, *test.radio) for option in element.options}
        assert said & english == set(), page
        if page == "overview":
            assert "100\u202f%" in {metric.value for metric in test.metric}


def test_the_admin_page_opens_for_administrators_alone_and_shows_no_secret(process, monkeypatch):
    monkeypatch.setattr("pages.ui.link", lambda *_: None)
    token = accounts.create_token(process, SYSTEM, name="billing", now=NOW)
    for role in (None, Role.VIEWER, Role.OPERATOR):
        test = opened("admin", role)
        assert [error.value for error in test.error] and not test.title and not test.dataframe
    test = opened("admin", Role.ADMIN)
    assert not test.exception
    frames = " ".join([*(frame.value.to_string() for frame in test.dataframe), *(text.value for text in test.markdown)])
    assert all(word in frames for word in ("viewer", "billing", "CONTINUAL_PORT", "made the token billing"))
    assert not any(secret in frames for secret in (token, token.split("_")[2], PASSWORD, "$2b$"))


def test_a_new_account_gets_a_password_that_is_shown_once_and_works(process, monkeypatch):
    test = opened("admin", Role.ADMIN)
    next(field for field in test.text_input if field.label == "Name to sign in with").set_value("ana")
    next(button for button in test.button if button.label == "Make the account").click().run()
    assert not test.exception
    (code,) = test.code
    assert auth.check_password(process, "ana", code.value, "home", NOW).role is Role.VIEWER
    assert code.value not in test.run().main.__repr__()


def test_one_s_own_password_is_changed_on_the_account_page(process, monkeypatch):
    test = opened("account", Role.VIEWER)
    for field, text in zip(test.text_input, (PASSWORD, "brand new password", "brand new passwort"), strict=True):
        field.set_value(text)
    change = next(button for button in test.button if button.label == "Change my password")
    assert "differ" in change.click().run().error[0].value
    test.text_input[2].set_value("brand new password")
    assert not next(button for button in test.button if button.label == "Change my password").click().run().error
    assert auth.check_password(process, "viewer", "brand new password", "home", NOW)


def test_a_viewer_who_presses_is_told_what_it_needs(full, process, monkeypatch):
    monkeypatch.setattr("pages.ui.link", lambda *_: None)
    test = opened("overview", Role.VIEWER)
    next(button for button in test.button if button.label == "Check now").click().run()
    assert any("needs the role operator" in error.value for error in test.error)


def test_a_decision_shows_its_reasons_and_replays(full, process, monkeypatch):
    monkeypatch.setattr("pages.ui.link", lambda *_: None)
    test = AppTest.from_file(str(ROOT / "pages" / "decisions.py"), default_timeout=180)
    test.session_state["signed_in"] = "viewer"
    test.query_params["id"] = "2"
    test.run()
    assert not test.exception
    next(button for button in test.button if button.label == "Replay this decision").click().run()
    assert [success.value for success in test.success] == ["#2: identical, the same verdict, reasons and numbers."]


def test_the_frame_shows_the_form_first_and_no_page(process):
    test = AppTest.from_file(str(ROOT / "pages" / "main.py"), default_timeout=180).run()
    assert not test.exception
    assert [field.label for field in test.text_input] == ["Name", "Password"]
    assert [title.value for title in test.title] == ["Sign in"]
    test.text_input[0].set_value("operator")
    test.text_input[1].set_value("wrong password")
    test.button[0].click().run()
    assert [error.value for error in test.error] == ["Wrong name or password"]


def test_a_host_that_runs_app_py_as_a_plain_script_gets_the_pages_and_one_scheduler(tmp_path):
    """In a process of its own, as such a host would: two sessions, one scheduler."""
    code = (
        "from streamlit.testing.v1 import AppTest\n"
        "import sys, threading\n"
        "for _ in range(2):\n"
        "    test = AppTest.from_file('app.py', default_timeout=180).run()\n"
        "    assert not test.exception, test.exception\n"
        "    print([title.value for title in test.title])\n"
        "print(sum(thread.name == 'scheduler' for thread in threading.enumerate()))\n"
        "from jobs import scheduler\n"
        "from core import context\n"
        "scheduler.stop(); context.close_current()\n"
    )
    env = os.environ | {"CONTINUAL_DATA_DIR": str(tmp_path / "data"), "CONTINUAL_ADMIN_PASSWORD": PASSWORD}
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert told.returncode == 0, told.stderr[-2000:]
    said = [line for line in told.stdout.splitlines() if not line.startswith("Invalid token")]  # AppTest's mock cookie
    assert said == ["['Sign in']", "['Sign in']", "1"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("TASK_RETRIES", "many"), ("CONTINUAL_PORT", "0"), ("DISCORD_WEBHOOK_URL", "https://evil/hook-canary")],
)
def test_a_bad_setting_stops_the_start_with_one_sentence_that_names_it(tmp_path, name, value):
    env = os.environ | {"CONTINUAL_DATA_DIR": str(tmp_path / "data"), name: value}
    told = subprocess.run([sys.executable, "app.py"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert told.returncode == 1
    (line,) = told.stderr.strip().splitlines()
    assert name in line
    assert "canary" not in line


def test_env_example_names_every_setting():
    text = (ROOT / "env.example").read_text()
    for field in Settings.model_fields.values():
        assert f"\n{field.alias}=" in text, field.alias


@pytest.mark.parametrize(("tab", "titles"), [
    ("Performance", {"Is the model still good?", "Is it as sure as it should be?", "What is taken for what?"}),
    ("Data quality", {"Is the feed whole?", "Do the labels agree with their rows?"}),
])  # fmt: skip
def test_monitoring_answers_the_questions_of_each_tab(full, monkeypatch, tab, titles):
    monkeypatch.setattr("pages.ui.link", lambda *_: None)
    test = AppTest.from_file(str(ROOT / "pages" / "monitoring.py"), default_timeout=180)
    test.session_state["signed_in"] = "viewer"
    test.session_state["watch"] = tab
    test.run()
    assert not test.exception
    assert titles <= {header.value for header in test.header}


def test_a_broken_feed_stands_on_the_overview_until_a_person_says_it_is_right(process, monkeypatch):
    monkeypatch.setattr("pages.ui.link", lambda *_: None)
    frame = SOURCES["sea"].draw(1100, seed=3, noise=0.1)
    frame.loc[900:, "x0"] *= 10
    policy = Policy(window_rows=100, warm_up_windows=4, estimator="logistic", retrains=False)
    project = projects.create(process, SYSTEM, name="Sea", schema=SOURCES["sea"].schema, policy=policy, now=NOW)
    ingest.ingest(process, SYSTEM, project, frame, source="upload", now=NOW)
    loop.run_cycle(process, project, NOW)
    test = opened("overview", Role.OPERATOR)
    assert any("The feed looks broken in: x0" in shown.value for shown in test.markdown)
    test.text_input(key="feed_why").set_value("new sensor")
    test.button(key="feed_accept").click().run()
    assert not test.exception
    assert not any("The feed looks broken in" in shown.value for shown in test.markdown)

"""Alerts and Health, as each role sees and uses them."""

from datetime import UTC, datetime, timedelta

import pytest
from streamlit.testing.v1 import AppTest

from core import alerting, context, health, incidents
from core.incidents import State
from core.records import Alert, Reason, Role, Severity
from core.store import alerts
from core.store import health as store
from core.store.alerts import Delivery
from core.store.health import Resources
from tests.server import ROOT

FAILED = Reason("job_failed", {"job": "cycle", "label": "Check *the* model", "tries": "1 attempt", "message": "no"})


@pytest.fixture
def process(ctx, people, monkeypatch):
    """The context as the process's own, as the pages find it; links need the frame's navigation."""
    monkeypatch.setattr("pages.ui.link", lambda *_: None)
    context._process["context"] = ctx
    yield ctx
    context._process.pop("context", None)


@pytest.fixture
def at():
    return datetime.now(UTC)


def opened(page: str, role: Role = Role.OPERATOR, **query: str) -> AppTest:
    test = AppTest.from_file(str(ROOT / "pages" / f"{page}.py"), default_timeout=180)
    test.session_state["signed_in"] = role.value
    for name, value in query.items():
        test.query_params[name] = value
    test.run()
    assert not test.exception
    return test


def raised(ctx, at, reason=FAILED, severity=Severity.CRITICAL) -> int:
    with ctx.database.write() as con:
        return alerting.raise_alert(con, Alert(at, severity, reason, "power", None))


def press(test: AppTest, label: str) -> AppTest:
    next(button for button in test.button if button.label == label).click().run()
    assert not test.exception
    return test


def text(test: AppTest) -> str:
    kinds = (test.title, test.header, test.markdown, test.caption, test.info, test.error, test.success)
    return " ".join(element.value for kind in kinds for element in kind)


def stands(ctx, incident: int) -> State:
    found = next(one for one in incidents.latest(ctx) if one.id == incident)
    return incidents.state(found, datetime.now(UTC))


# ---- alerts --------------------------------------------------------------------------------------
@pytest.mark.parametrize("role", Role)
def test_with_nothing_wrong_alerts_says_what_would_be_told_and_where(process, role):
    shown = text(opened("alerts", role))
    assert "Nothing is wrong. This is what would be told, and where" in shown
    assert "DISCORD\\_WEBHOOK\\_URL" in shown


def test_an_operator_acknowledges_and_takes_it_back(process, at):
    incident = raised(process, at)
    test = opened("alerts")
    assert "Check \\*the\\* model failed after 1 attempt" in text(test), "a name is no Markdown"
    press(test, "Acknowledge")
    assert stands(process, incident) is State.ACKNOWLEDGED
    assert "Acknowledged by operator" in text(test)
    press(test, "Undo")
    assert stands(process, incident) is State.OPEN


def test_an_operator_resolves_and_reopens(process, at):
    incident = raised(process, at)
    test = press(opened("alerts"), "Resolve")
    assert stands(process, incident) is State.OVER
    assert "Nothing is wrong" in text(test)
    press(opened("alerts", state="over"), "Reopen")
    assert stands(process, incident) is State.OPEN


def test_a_snooze_is_shown_and_ended(process, at):
    incident = raised(process, at)
    incidents.snooze(process, incidents.SYSTEM, incident, timedelta(hours=1), at)
    test = opened("alerts")
    assert "Snoozed until" in text(test)
    press(test, "End snooze")
    assert stands(process, incident) is State.OPEN


@pytest.mark.parametrize("label", ["Acknowledge", "Resolve"])
def test_a_viewer_who_presses_is_told_what_it_needs(process, at, label):
    incident = raised(process, at)
    test = press(opened("alerts", Role.VIEWER), label)
    assert any("needs the role operator" in error.value for error in test.error)
    assert stands(process, incident) is State.OPEN


def test_the_filters_are_in_the_address(process, at):
    raised(process, at)
    raised(process, at, Reason("drift_seen", {"features": "x"}), Severity.WARNING)
    assert "Inputs that have drifted" in text(opened("alerts"))
    only = text(opened("alerts", severity="critical"))
    assert "Inputs that have drifted" not in only
    assert "failed after" in only


def test_deliveries_tell_what_was_sent_and_why_not_and_no_secret(process, at):
    alert = raised(process, at)
    with process.database.write() as con:
        alerts.insert_delivery(con, alert, "discord", Delivery.FAILED, attempt=1, at=at, detail="Discord answered 503")
    (shown,) = [frame.value for frame in opened("alerts", Role.VIEWER, view="deliveries").dataframe]
    row = shown.iloc[0]
    assert row["Error"] == "Discord answered 503"
    assert "failed after 1 attempt" in row["What"]
    assert not opened("alerts", view="deliveries", outcome="delivered").dataframe


@pytest.mark.parametrize("view", ["told", "channels"])
def test_the_other_views_open_empty_and_full(process, at, view):
    opened("alerts", view=view)
    raised(process, at)
    assert text(opened("alerts", Role.VIEWER, view=view))


# ---- health --------------------------------------------------------------------------------------
def bars(test: AppTest) -> str:
    return " ".join(element.proto.body for element in test.get("html"))


@pytest.mark.parametrize("role", Role)
def test_without_samples_health_shows_no_data_and_no_uptime(process, role):
    test = opened("health", role)
    assert "Cannot be told: MLflow mirror" in text(test)
    assert "24 h: unknown" in text(test)
    assert "· works" not in bars(test)
    assert bars(test).count('role="img"') == len(health.survey(process, datetime.now(UTC)))
    assert [metric.value for metric in test.metric] == ["unknown"] * 4


def test_with_samples_health_shows_uptime_and_what_is_unknown(process, at):
    with process.database.write() as con:
        for minute in range(60):
            state = "down" if minute < 6 else "up"
            moment = at - timedelta(minutes=minute)
            store.insert(con, moment, [("discord", state, "{}")], Resources(0.25, 5 * 10**8, 10**10, 42.0))
    test = opened("health", Role.VIEWER, period="7d")
    assert "**90.0%** :small[of 4% known]" in text(test)
    assert "· down" in bars(test)
    assert [metric.value for metric in test.metric] == ["25%", "500 MB", "10.0 GB", "42 ms"]


def test_a_stale_sample_is_not_shown_as_now(process, at):
    with process.database.write() as con:
        store.insert(con, at - timedelta(hours=1), [("app", "up", "{}")], Resources(0.25, 5 * 10**8, 10**10, 42.0))
    assert [metric.value for metric in opened("health").metric] == ["unknown"] * 4

"""What is unknown is never shown as well: sampling, uptime, bars, and what is forgotten."""

import json
import re
import sys
from datetime import timedelta

import pytest

from core import alerting, context, health, latency, metrics, runs
from core.health import State
from core.records import Alert, Reason, Severity
from core.settings import Settings
from core.store import health as store
from core.store import job_states
from core.store.health import Resources
from jobs import JOBS
from jobs.scheduler import tick
from tests.fake_discord import FakeDiscord
from tests.server import ROOT

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
DAY = timedelta(days=1)
NOTHING = Resources(None, None, None, None)


def keep(ctx, at, state, component="app", resources=NOTHING):
    with ctx.database.write() as con:
        store.insert(con, at, [(component, state, "{}")], resources)


def look(ctx, now) -> dict:
    return {component.name: component for component in health.survey(ctx, now)}


def bars(ctx, now, component="app"):
    found = health.history(ctx, now, span=4 * HOUR, bars=4)
    return {row.bar: (row.state, row.known) for row in found[found["component"] == component].itertuples()}


def test_an_empty_app_claims_nothing_it_cannot_know(ctx, now):
    seen = look(ctx, now)
    assert {name: component.state for name, component in seen.items()} | {"pictures": None} == {
        "app": State.UP, "database": State.UP, "disk": State.UP,
        "scheduler": State.DOWN,  # it never gave a sign of life
        "mirror": State.UNKNOWN, "discord": State.OFF, "pictures": None,
    }  # fmt: skip
    assert not seen["mirror"].healthy
    assert not seen["discord"].healthy


@pytest.mark.parametrize(("age", "state"), [(5, State.UP), (60, State.UP), (61, State.DOWN), (3600, State.DOWN)])
def test_a_scheduler_without_a_sign_of_life_for_a_minute_is_down(ctx, now, age, state):
    with ctx.database.write() as con:
        job_states.beat(con, runs.SCHEDULER, now - timedelta(seconds=age))
    assert look(ctx, now)["scheduler"].state is state


@pytest.mark.parametrize(("browser", "state"), [(sys.executable, State.UP), ("/nowhere/chromium", State.OFF)])
def test_pictures_are_off_where_there_is_no_browser(ctx, now, monkeypatch, browser, state):
    monkeypatch.setenv("BROWSER_PATH", browser)
    assert look(ctx, now)["pictures"].state is state


def test_a_full_disk_is_down(ctx, now, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": health.LEAST_FREE - 1})())
    assert look(ctx, now)["disk"].state is State.DOWN


def test_discord_is_unknown_until_it_took_an_alert_and_again_a_day_later(tmp_path, now):
    fake = FakeDiscord()
    ctx = context.opened(
        Settings(_env_file=None, CONTINUAL_DATA_DIR=tmp_path / "data", DISCORD_WEBHOOK_URL=fake.url)
    )  # fmt: skip

    def send(at):
        with ctx.database.write() as con:
            alerting.raise_alert(con, Alert(at, Severity.WARNING, Reason("test", {"user": "ann"})))
        alerting.deliver_due(ctx, at)

    assert look(ctx, now)["discord"].state is State.UNKNOWN
    send(now)
    assert look(ctx, now + DAY)["discord"].state is State.UP
    assert look(ctx, now + DAY + MINUTE)["discord"].state is State.UNKNOWN
    fake.behave = lambda _number: "404"
    send(now + 2 * DAY)
    assert look(ctx, now + 2 * DAY)["discord"].state is State.DOWN
    ctx.close()
    fake.close()


def test_the_job_samples_every_component_and_the_machine_each_minute(ctx, now):
    job = next(job for job in JOBS if job.name == "sample_health")
    for minutes in (0, 1, 1.5, 2):
        tick(ctx, now + minutes * MINUTE, [job])
    found = health.uptime(ctx, now + 2 * MINUTE, span=HOUR)
    assert found["app"].known == 3 * MINUTE
    assert {"app", "database", "disk", "scheduler"} <= found.keys()
    at, newest = health.newest(ctx)
    assert at == now + 2 * MINUTE
    assert newest.memory_bytes > 1e7
    assert newest.disk_free_bytes > 0
    assert newest.cpu is None or 0 <= newest.cpu <= 1


def test_uptime_is_of_the_known_time_and_says_how_much_that_is(ctx, now):
    for minute in range(30):
        keep(ctx, now - minute * MINUTE, State.DOWN if minute < 3 else State.UP)
    found = health.uptime(ctx, now, span=HOUR)["app"]
    assert (found.share, found.known, found.of) == (0.9, 30 * MINUTE, HOUR)


def test_where_all_samples_are_unknown_or_off_there_is_no_uptime(ctx, now):
    for minute in range(30):
        keep(ctx, now - minute * MINUTE, State.OFF, "discord")
        keep(ctx, now - minute * MINUTE, State.UNKNOWN, "mirror")
    found = health.uptime(ctx, now, span=HOUR)
    assert [(one.share, one.known) for one in found.values()] == [(None, timedelta(0))] * 2


def test_a_gap_is_no_data_neither_down_nor_well(ctx, now):
    for minute in range(60):
        keep(ctx, now - minute * MINUTE - timedelta(seconds=1), State.UP)  # the last hour
    for minute in range(130, 150):
        keep(ctx, now - minute * MINUTE, State.UP)  # 20 minutes of the one but last before
    assert bars(ctx, now) == {3: (State.UP, 1.0), 1: (State.UNKNOWN, pytest.approx(1 / 3))}, "bars 0 and 2 have no row"


def test_a_bar_shows_the_worst_that_was_seen_in_it(ctx, now):
    for minute in range(60):
        state = {10: State.SLOW, 20: State.DOWN}.get(minute, State.UP)
        keep(ctx, now - minute * MINUTE - timedelta(seconds=1), state)
    assert bars(ctx, now) == {3: (State.DOWN, 1.0)}


def test_what_was_measured_breaks_where_nothing_was(ctx, now):
    keep(ctx, now - 3.5 * HOUR, State.UP, resources=Resources(0.5, 100, 900, None))
    keep(ctx, now - 0.5 * HOUR, State.UP, resources=Resources(0.1, 200, 800, 40.0))
    keep(ctx, now - 0.4 * HOUR, State.UP, resources=Resources(0.3, 150, 700, 20.0))
    found = health.measured(ctx, now, span=4 * HOUR, bars=4)
    assert found["at"].is_monotonic_increasing
    assert found["cpu"].round(6).tolist()[0::3] == [0.5, 0.2]
    assert found.loc[3, ["memory_bytes", "disk_free_bytes", "p95_ms"]].tolist() == [200, 700, 40]
    assert found.loc[[1, 2], "memory_bytes"].isna().all()
    assert found.loc[0, ["p95_ms"]].isna().all()


def test_samples_older_than_30_days_are_forgotten(ctx, now):
    for age in (29, 31):
        keep(ctx, now - age * DAY, State.UP)
    assert health.prune(ctx, now) == 2, "one of the component, one of the machine"
    assert health.uptime(ctx, now, span=60 * DAY)["app"].known == MINUTE


def test_the_p95_is_of_the_requests_of_the_last_minute(monkeypatch):
    latency._took.clear()
    assert latency.p95() is None
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    for milliseconds in range(1, 101):
        latency.record(float(milliseconds))
    assert latency.p95() == 95.0
    clock[0] = 61.0
    assert latency.p95() is None


def test_the_dashboard_asks_only_for_what_is_measured(ctx, now):
    keep(ctx, now, State.UP, resources=Resources(0.5, 100, 900, 12.0))
    asked = set(re.findall(r"continual_\w+", (ROOT / "docs" / "grafana.json").read_text()))
    told = set(re.findall(r"# TYPE (continual_\w+)", metrics.text(ctx, now)))
    assert asked <= told
    json.loads((ROOT / "docs" / "grafana.json").read_text())


def test_metrics_leave_out_what_is_not_known_now(ctx, now):
    keep(ctx, now, State.UP, resources=Resources(None, 100, 900, None))
    told = metrics.text(ctx, now)
    assert "continual_memory_bytes 100" in told
    assert "continual_incidents_open 0" in told
    assert "continual_cpu_ratio" not in told
    assert "continual_memory_bytes" not in metrics.text(ctx, now + HOUR)

"""Alerts are raised with their cause and delivered until they arrive."""

import random
import subprocess
import sys
import textwrap
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from loguru import logger

from core import accounts, alerting, context
from core.errors import Forbidden, InvalidInput
from core.records import SYSTEM, Alert, Reason, Role, Severity
from core.settings import Settings
from core.store import alerts
from core.store.alerts import Delivery
from tests.fake_discord import CANARY, FakeDiscord, faulty

ROOT = Path(__file__).parent.parent


@pytest.fixture
def server():
    fake = FakeDiscord()
    yield fake
    fake.close()


@pytest.fixture
def opened(tmp_path, server):
    """Opens contexts over one data directory with the fake Discord as webhook, one after the other like restarts."""
    made = []

    def open_(webhook: str = server.url, **more):
        if made:
            made.pop().close()
        settings = Settings(_env_file=None, CONTINUAL_DATA_DIR=tmp_path / "data", DISCORD_WEBHOOK_URL=webhook, **more)
        made.append(context.opened(settings))
        return made[-1]

    yield open_
    for ctx in made:
        ctx.close()


def alert(now, severity=Severity.WARNING, code="test", **params) -> Alert:
    return Alert(now, severity, Reason(code, {"user": "ann"} | params))


def raise_alerts(ctx, now, count=1, **kwargs) -> list[int]:
    with ctx.database.write() as con:
        return [alerting.raise_alert(con, alert(now, **kwargs)) for _ in range(count)]


def attempts(ctx) -> list[tuple[int, str]]:
    found = alerting.deliveries(ctx)
    return sorted(zip(found["alert"], found["outcome"], strict=True))


def test_an_alert_whose_cause_is_rolled_back_was_never_raised(opened, now):
    ctx = opened()

    def decide_and_fail():
        with ctx.database.write() as con:
            alerting.raise_alert(con, alert(now))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        decide_and_fail()
    assert alerting.latest(ctx) == []
    assert not alerting.anything_due(ctx, now)


def test_an_alert_is_delivered_once_and_recorded(opened, server, now):
    ctx = opened()
    (raised,) = raise_alerts(ctx, now)
    assert alerting.anything_due(ctx, now)
    assert alerting.deliver_due(ctx, now) == "discord: 1 delivered, 0 given up, 0 left"
    alerting.deliver_due(ctx, now)
    assert server.alerts == [raised]
    assert attempts(ctx) == [(raised, "delivered")]
    assert not alerting.anything_due(ctx, now)
    (state,) = alerting.channel_states(ctx)
    assert (state.configured, state.healthy, state.waiting, state.sentence) == (
        True,
        True,
        0,
        "Works: the last alert was delivered; 0 wait.",
    )


def test_alerts_are_delivered_in_the_order_they_were_raised(opened, server, now):
    ctx = opened()
    raised = raise_alerts(ctx, now, 25)
    for _ in range(2):
        alerting.deliver_due(ctx, now)
    assert server.alerts == raised


def test_after_a_failure_the_channel_is_left_alone_and_then_gets_everything(opened, server, now):
    ctx = opened()
    raised = raise_alerts(ctx, now, 3)
    server.behave = lambda _: "500"
    alerting.deliver_due(ctx, now)
    assert server.requests == 1, "the others would have failed too"
    assert not alerting.anything_due(ctx, now + timedelta(seconds=4))
    alerting.deliver_due(ctx, now + timedelta(seconds=4))
    assert server.requests == 1
    server.behave = lambda _: "ok"
    alerting.deliver_due(ctx, now + timedelta(seconds=6))
    assert server.alerts == raised


def test_pauses_after_failures_grow_to_an_hour(opened, server, now):
    ctx = opened()
    raise_alerts(ctx, now)
    server.behave = lambda _: "500"
    at, pauses = now, []
    for _ in range(12):
        alerting.deliver_due(ctx, at)
        with ctx.database.read() as con:
            pauses.append((alerts.paused_until(con, "discord") - at).total_seconds())
        at += timedelta(seconds=pauses[-1] + 0.001)
    assert [round(p) for p in pauses] == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]


def test_the_pause_discord_asks_for_is_kept_across_a_restart(opened, server, now):
    ctx = opened()
    (raised,) = raise_alerts(ctx, now)
    server.behave = lambda _: "429 90"
    alerting.deliver_due(ctx, now)
    ctx = opened()
    server.behave = lambda _: "ok"
    alerting.deliver_due(ctx, now + timedelta(seconds=89))
    assert server.requests == 1
    alerting.deliver_due(ctx, now + timedelta(seconds=91))
    assert server.alerts == [raised]


def test_a_clock_set_back_does_not_silence_the_channel_for_a_day(opened, server, now):
    ctx = opened()
    (raised,) = raise_alerts(ctx, now)
    server.behave = lambda _: "500"
    alerting.deliver_due(ctx, now)
    server.behave = lambda _: "ok"
    alerting.deliver_due(ctx, now - timedelta(hours=24))
    assert server.alerts == [raised]


def test_a_deleted_webhook_gives_the_alert_up_at_once_and_shows_it(opened, server, now):
    ctx = opened()
    (raised,) = raise_alerts(ctx, now)
    server.behave = lambda _: "404"
    alerting.deliver_due(ctx, now)
    alerting.deliver_due(ctx, now + timedelta(hours=2))
    assert server.requests == 1
    assert attempts(ctx) == [(raised, "given_up")]
    (state,) = alerting.channel_states(ctx)
    assert state.healthy is False
    assert "404" in state.sentence
    assert "DISCORD_WEBHOOK_URL" in state.sentence


def test_one_alert_discord_refuses_does_not_hold_up_the_next(opened, server, now):
    ctx = opened()
    refused, fine = raise_alerts(ctx, now, 2)
    server.behave = lambda number: "400" if number == 1 else "ok"
    alerting.deliver_due(ctx, now)
    assert attempts(ctx) == [(refused, "given_up"), (fine, "delivered")]


def test_an_alert_is_given_up_after_a_day_of_trying(opened, server, now):
    ctx = opened()
    raise_alerts(ctx, now)
    server.behave = lambda _: "500"
    at = now
    while alerting.channel_states(ctx)[0].waiting:
        alerting.deliver_due(ctx, at)
        at += timedelta(minutes=10)
        assert at < now + timedelta(days=3)
    assert timedelta(hours=24) < at - now < timedelta(hours=26)
    assert "for a day now" in alerting.channel_states(ctx)[0].sentence


def test_an_app_that_slept_for_days_between_two_attempts_gives_nothing_up(opened, server, now):
    ctx = opened()
    (raised,) = raise_alerts(ctx, now)
    server.behave = lambda number: "500" if number <= 2 else "ok"
    for days in (0, 3, 6):
        alerting.deliver_due(ctx, now + timedelta(days=days))
    assert server.alerts == [raised]


@pytest.mark.parametrize(("wanted", "outcome"), [(False, "not_wanted"), (True, "delivered")])
def test_ok_notices_are_sent_only_when_wanted(opened, server, now, wanted, outcome):
    ctx = opened(CONTINUAL_NOTIFY_OK=wanted)
    (raised,) = raise_alerts(ctx, now, severity=Severity.OK)
    alerting.deliver_due(ctx, now)
    assert attempts(ctx) == [(raised, outcome)]
    assert server.alerts == [raised] * wanted


def test_no_webhook_is_a_normal_state_and_setting_one_up_later_sends_no_flood(opened, server, now):
    ctx = opened(webhook="")
    raise_alerts(ctx, now, 3)
    assert alerting.deliver_due(ctx, now) == "no channel is set up: alerts are shown in the app only"
    assert not alerting.anything_due(ctx, now)
    (state,) = alerting.channel_states(ctx)
    assert (state.configured, state.healthy) == (False, None)
    assert "DISCORD_WEBHOOK_URL" in state.sentence
    ctx = opened()
    (new,) = raise_alerts(ctx, now)
    alerting.deliver_due(ctx, now)
    assert server.alerts == [new]


def test_two_deliveries_at_a_time_send_each_alert_once(opened, server, now):
    ctx = opened()
    raised = raise_alerts(ctx, now, 4)
    server.behave = lambda _: "slow"
    threads = [threading.Thread(target=alerting.deliver_due, args=(ctx, now)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.alerts == raised


def test_under_faults_nothing_is_lost_and_no_pause_is_broken(opened, server, now):
    """60 alerts, a Discord that fails every third time, a restart before every tenth delivery."""
    server.behave = faulty(seed=7)
    ctx, at, raised = opened(), now, []
    for step in range(400):
        if step < 60:
            raised += raise_alerts(ctx, at)
        if step % 10 == 9:
            ctx = opened()
        before = server.requests
        with ctx.database.read() as con:
            until = alerts.paused_until(con, "discord")
        alerting.deliver_due(ctx, at)
        assert not (until and at < until) or server.requests == before
        at += timedelta(seconds=3)
        if step >= 60 and not alerting.channel_states(ctx)[0].waiting:
            break
    assert set(server.alerts) == set(raised), "an alert was lost"
    with ctx.database.read() as con:
        uncertain = [d for d in alerts.deliveries(con, limit=1000)["detail"] if "could not be reached" in d]
    assert len(server.alerts) - len(raised) <= len(uncertain), "more repeats than answers that were lost"


def test_the_webhook_address_is_in_no_row_log_or_file(opened, server, now, tmp_path):
    log = tmp_path / "log.txt"
    sink = logger.add(log, level=0, diagnose=True, backtrace=True)
    ctx = opened()
    kinds = ["429 1", "500", "reset", "404", "302", "400", "ok"]
    server.behave = lambda number: kinds[(number - 1) % len(kinds)]
    raise_alerts(ctx, now, 7)
    for hours in range(8):
        alerting.deliver_due(ctx, now + timedelta(hours=2 * hours))
    shown = f"{alerting.channel_states(ctx)} {alerting.deliveries(ctx).to_string()} {ctx!r}"
    ctx.close()
    logger.remove(sink)
    assert server.requests >= 7
    assert CANARY not in shown
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or CANARY.encode() not in file.read_bytes(), file


def test_a_test_alert_goes_out_with_the_next_delivery(opened, server, now):
    ctx = opened()
    ann = accounts.create_user(ctx, SYSTEM, name="ann", password="correct horse battery", role=Role.OPERATOR, now=now)
    raised = alerting.send_test(ctx, ann, now)
    alerting.deliver_due(ctx, now)
    assert server.alerts == [raised]
    assert server.payloads[0]["embeds"][0]["description"] == "ann tests this channel. It works."


def test_a_test_without_a_channel_says_what_to_set(ctx, operator, now):
    with pytest.raises(InvalidInput, match="DISCORD_WEBHOOK_URL"):
        alerting.send_test(ctx, operator, now)


def test_a_viewer_may_not_send_a_test(ctx, people, now):
    with pytest.raises(Forbidden):
        alerting.send_test(ctx, people[Role.VIEWER], now)


def test_a_message_says_what_about_and_links_back(settings, now):
    reason = Reason(
        "job_failed", {"job": "cycle", "label": "Check the model", "tries": "3 attempts", "message": "full"}
    )
    linked = settings.model_copy(update={"public_url": "https://ml.test"})
    message = alerting.message(Alert(now, Severity.CRITICAL, reason, "power", 9, 4), linked)
    assert message.title == "Action needed: power"
    assert message.text == "Check the model failed after 3 attempts: full"
    assert message.url == "https://ml.test/decisions?project=power&id=9"
    assert ("project", "power") in message.facts
    assert alerting.message(Alert(now, Severity.OK, reason), settings).url == ""


def test_trouble_with_the_database_is_told_past_it(opened, server, now):
    ctx = opened()
    ctx.database.close()
    reason = Reason("storage_failed", {"message": "disk full"})
    alerting.tell_directly(ctx, Alert(now, Severity.CRITICAL, reason))
    assert "disk full" in server.payloads[0]["embeds"][0]["description"]
    server.behave = lambda _: "500"
    alerting.tell_directly(ctx, Alert(now, Severity.CRITICAL, reason))  # and never makes it worse


def test_pruning_forgets_old_failures_and_keeps_how_it_ended(opened, server, now):
    ctx = opened()
    settled, waiting = raise_alerts(ctx, now, 2)
    with ctx.database.write() as con:
        for attempt, outcome in ((1, Delivery.FAILED), (2, Delivery.DELIVERED)):
            alerts.insert_delivery(con, settled, "discord", outcome, attempt=attempt, at=now, detail="")
        alerts.insert_delivery(con, waiting, "discord", Delivery.FAILED, attempt=1, at=now, detail="")
    assert alerting.prune(ctx, now + timedelta(days=29)) == 0
    assert alerting.prune(ctx, now + timedelta(days=31)) == 1
    assert attempts(ctx) == [(settled, "delivered"), (waiting, "failed")]


@pytest.mark.soak
def test_killed_again_and_again_the_app_loses_no_alert(server, tmp_path, now):
    """kill -9 in the middle of raising and delivering, eight times, while Discord fails every third time."""
    script = f"""
        import sys
        from datetime import UTC, datetime, timedelta
        from pathlib import Path
        from core import alerting, context
        from core.records import Alert, Reason, Severity
        from core.settings import Settings
        folder, webhook = Path({str(tmp_path)!r}), {server.url!r}
        ctx = context.opened(Settings(_env_file=None, CONTINUAL_DATA_DIR=folder, DISCORD_WEBHOOK_URL=webhook))
        at = datetime.now(UTC)
        while True:
            with ctx.database.write() as con:
                raised = alerting.raise_alert(con, Alert(at, Severity.INFO, Reason("test", {{"user": "ann"}})))
            print(raised, flush=True)
            alerting.deliver_due(ctx, at)
            at += timedelta(seconds=3)
    """
    server.behave = faulty(seed=3)
    draw, acknowledged, kills = random.Random(5), [], 8
    for _ in range(kills):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        acknowledged.append(int(child.stdout.readline()))
        time.sleep(draw.uniform(0.2, 1.5))
        child.kill()
        acknowledged += [int(line) for line in child.communicate()[0].splitlines()]
    server.behave = lambda _: "ok"
    ctx = context.opened(Settings(_env_file=None, CONTINUAL_DATA_DIR=tmp_path, DISCORD_WEBHOOK_URL=server.url))
    at = now + timedelta(days=3650)
    while alerting.channel_states(ctx)[0].waiting:
        alerting.deliver_due(ctx, at)
    with ctx.database.read() as con:
        uncertain = sum("could not be reached" in d for d in alerts.deliveries(con, limit=100_000)["detail"])
    ctx.close()
    lost = set(acknowledged) - set(server.alerts)
    repeats = len(server.alerts) - len(set(server.alerts))
    told = f"{len(acknowledged)} alerts, {len(lost)} lost, {repeats} repeats, {uncertain} uncertain answers"
    assert not lost, told
    assert repeats <= kills + uncertain, told
    assert len(acknowledged) > 2 * kills, told

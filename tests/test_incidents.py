"""Alerts of one lasting cause are one incident: taken on, snoozed, resolved by people, closed by recovery."""

from datetime import timedelta

import pytest

from core import alerting, context, incidents, loop
from core.errors import Conflict, Forbidden, InvalidInput, NotFound
from core.evidence import Memory
from core.incidents import State
from core.records import Action, Alert, Comparison, Reason, Role, Severity
from core.settings import Settings
from core.store import incidents as store
from core.store.decisions import Entry
from tests.fake_discord import FakeDiscord

HOUR = timedelta(hours=1)
FAILED = Reason(
    "job_failed", {"job": "cycle", "label": "Check the model", "tries": "1 attempt", "message": "no", "run": 1}
)
DRIFT = Reason("drift_seen", {"features": "x"})


def tell(ctx, now, reason=FAILED, severity=Severity.WARNING, project="power", decision=None) -> int:
    with ctx.database.write() as con:
        return alerting.raise_alert(con, Alert(now, severity, reason, project, decision))


def see(ctx, now, reason=FAILED, project="power") -> bool:
    with ctx.database.write() as con:
        return incidents.seen_again(con, reason, project, now)


def mend(ctx, now, project="power"):
    with ctx.database.write() as con:
        return incidents.recover(con, project, now, lambda one: one.cause == "job cycle")


def only(ctx):
    (found,) = incidents.latest(ctx)
    return found


def stands(ctx, now) -> State:
    return incidents.state(only(ctx), now)


def test_alerts_of_one_cause_are_one_incident_with_since_last_and_count(ctx, now):
    first = tell(ctx, now)
    newest = tell(
        ctx, now + HOUR, Reason("job_overdue", {"job": "cycle", "label": "x", "minutes": 30}), Severity.CRITICAL
    )
    assert see(ctx, now + 2 * HOUR)
    found = only(ctx)
    assert (found.id, found.alert, found.alerts) == (first, newest, (first, newest))
    assert (found.began_at, found.told_at, found.seen_at) == (now, now + HOUR, now + 2 * HOUR)
    assert (found.count, found.severity, found.reason.code) == (3, Severity.CRITICAL, "job_overdue")
    assert incidents.count_open(ctx) == 1


def test_another_project_or_job_is_another_incident_and_the_last_seen_comes_first(ctx, now):
    tell(ctx, now, project="power")
    tell(ctx, now + HOUR, project="water")
    tell(ctx, now, Reason("job_failed", {"job": "play", "label": "Play", "tries": "1", "message": "m"}))
    assert [(one.project, one.cause) for one in incidents.latest(ctx)] == [
        ("water", "job cycle"), ("power", "job play"), ("power", "job cycle"),
    ]  # fmt: skip
    assert incidents.count_open(ctx) == 3


@pytest.mark.parametrize(
    ("reason", "severity", "decision", "lasts"),
    [
        (Reason("broken_feed", {"what": "x is constant"}), Severity.CRITICAL, 7, True),
        (DRIFT, Severity.WARNING, 7, True),
        (Reason("old_enough", {"age": 9, "period": 8}), Severity.WARNING, 7, False),  # a retrain: what the app did
        (Reason("interrupted", {"runs": 1, "jobs": "cycle"}), Severity.WARNING, None, False),
        (Reason("test", {"user": "ann"}), Severity.INFO, None, False),
        (Reason("a_code_of_a_newer_release"), Severity.WARNING, None, True),  # unknown is not shown as healthy
    ],
)  # fmt: skip
def test_only_trouble_that_lasts_is_an_incident(ctx, now, reason, severity, decision, lasts):
    tell(ctx, now, reason, severity, decision=decision)
    assert (len(incidents.latest(ctx)), incidents.count_open(ctx)) == (lasts, lasts)


def test_recovery_closes_it_and_the_next_alert_opens_a_new_one(ctx, now):
    first = tell(ctx, now)
    assert [one.id for one in mend(ctx, now + HOUR)] == [first]
    assert only(ctx).over.by == "continual-ml"
    assert stands(ctx, now + HOUR) is State.OVER
    assert not see(ctx, now + 2 * HOUR), "a closed incident is not seen again: it is told anew"
    second = tell(ctx, now + 2 * HOUR)
    assert [(one.id, bool(one.over)) for one in incidents.latest(ctx)] == [(second, False), (first, True)]


def test_recovery_of_one_project_leaves_the_others_open(ctx, now):
    tell(ctx, now, project="power")
    tell(ctx, now, project="water")
    mend(ctx, now, "power")
    assert [one.project for one in incidents.latest(ctx) if not one.over] == ["water"]


def test_an_acknowledged_incident_is_not_told_again_and_that_can_be_undone(ctx, operator, now):
    incident = tell(ctx, now)
    later = now + 3 * incidents.REMIND_AFTER
    assert not see(ctx, later), "a reminder a day later"
    incidents.acknowledge(ctx, operator, incident, now)
    assert stands(ctx, now) is State.ACKNOWLEDGED
    assert only(ctx).acknowledged.by == operator.name
    assert see(ctx, later)
    incidents.acknowledge(ctx, operator, incident, later, undo=True)
    assert stands(ctx, later) is State.OPEN
    assert not see(ctx, later)


def test_a_snooze_ends_by_itself_and_then_the_trouble_is_told_anew(ctx, operator, now):
    incident = tell(ctx, now)
    incidents.snooze(ctx, operator, incident, HOUR, now)
    assert [stands(ctx, now + n * HOUR) for n in (0, 0.99, 1)] == [State.SNOOZED, State.SNOOZED, State.OPEN]
    assert see(ctx, now + 0.99 * HOUR)
    assert not see(ctx, now + HOUR)
    tell(ctx, now + HOUR)
    assert see(ctx, now + 2 * HOUR), "once"


def test_a_snooze_can_be_taken_back(ctx, operator, now):
    incident = tell(ctx, now)
    incidents.snooze(ctx, operator, incident, 24 * HOUR, now)
    incidents.snooze(ctx, operator, incident, timedelta(0), now + HOUR)
    assert stands(ctx, now + HOUR) is State.OPEN
    assert see(ctx, now + 2 * HOUR), "it was told an hour ago, and nothing was missed"


def test_a_resolved_incident_is_over_until_that_is_undone(ctx, operator, now):
    incident = tell(ctx, now)
    incidents.resolve(ctx, operator, incident, now)
    assert stands(ctx, now) is State.OVER
    assert incidents.count_open(ctx) == 0
    incidents.resolve(ctx, operator, incident, now, undo=True)
    assert stands(ctx, now) is State.OPEN
    assert incidents.count_open(ctx) == 1


def test_undoing_a_resolve_after_it_came_back_makes_them_one_again(ctx, operator, now):
    first = tell(ctx, now)
    incidents.resolve(ctx, operator, first, now)
    tell(ctx, now + HOUR)
    assert len(incidents.latest(ctx)) == 2
    incidents.resolve(ctx, operator, first, now + HOUR, undo=True)
    assert (only(ctx).id, only(ctx).count) == (first, 2)


def test_the_verbs_refuse_what_makes_no_sense_and_who_may_not(ctx, people, now):
    operator, viewer = people[Role.OPERATOR], people[Role.VIEWER]
    incident = tell(ctx, now)
    for verb in (incidents.acknowledge, incidents.resolve):
        with pytest.raises(Forbidden):
            verb(ctx, viewer, incident, now)
        with pytest.raises(NotFound):
            verb(ctx, operator, 999, now)
    with pytest.raises(Forbidden):
        incidents.snooze(ctx, viewer, incident, HOUR, now)
    for span in (timedelta(seconds=-1), timedelta(days=31)):
        with pytest.raises(InvalidInput, match="30 days at most"):
            incidents.snooze(ctx, operator, incident, span, now)
    with pytest.raises(Conflict, match="nothing to take back"):
        incidents.resolve(ctx, operator, incident, now, undo=True)
    mend(ctx, now)
    for verb in (incidents.acknowledge, incidents.resolve):
        with pytest.raises(Conflict, match="is over since"):
            verb(ctx, operator, incident, now)
    with pytest.raises(Conflict, match="nothing to take back"):
        incidents.resolve(ctx, operator, incident, now, undo=True)


def test_a_snoozed_incident_delivers_nothing_and_others_still_do(tmp_path, now):
    fake = FakeDiscord()
    settings = Settings(_env_file=None, CONTINUAL_DATA_DIR=tmp_path / "data", DISCORD_WEBHOOK_URL=fake.url)
    ctx = context.opened(settings)
    user = incidents.SYSTEM
    incident = tell(ctx, now)
    incidents.snooze(ctx, user, incident, HOUR, now)
    other = tell(ctx, now, project="water")
    alerting.deliver_due(ctx, now)
    again = tell(ctx, now + HOUR)
    alerting.deliver_due(ctx, now + HOUR)
    kept = alerting.deliveries(ctx).set_index("alert")["outcome"].to_dict()
    ctx.close()
    fake.close()
    assert fake.alerts == [other, again]
    assert kept == {incident: "snoozed", other: "delivered", again: "delivered"}


def test_where_words_count_other_words_are_told_and_other_numbers_are_not(ctx, now):
    tell(ctx, now, Reason("broken_feed", {"what": "x is constant", "window": 3}), Severity.CRITICAL, decision=1)
    for what, window, seen in (("x is constant", 4, True), ("x and y are constant", 5, False)):
        with ctx.database.write() as con:
            reason = Reason("broken_feed", {"what": what, "window": window})
            assert incidents.seen_again(con, reason, "power", now, words_count=True) is seen


# ---- what the loop sees --------------------------------------------------------------------------
def entry(now, action, *, checked=False, compared=False, drifts=None):
    comparison = Comparison(0.2, 0.1, 0.1, 0.0, 0.2, 100, "log_loss", "promote")
    memory = None if drifts is None else Memory(drifts=drifts).to_json()
    return Entry(
        "power", now, action, "continual-ml", (), evidence="{}" if checked else None, memory_after=memory,
        comparison=comparison if compared else None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("code", "over", "not_over"),
    [
        ("broken_feed", {"action": Action.NOTHING, "checked": True}, {"action": Action.ALERT, "checked": True}),
        ("broken_feed", {"action": Action.RETRAIN, "checked": True}, {"action": Action.RETRAIN}),  # asked for by hand
        ("training_failed", {"action": Action.HOLD, "compared": True}, {"action": Action.NOTHING, "checked": True}),
        ("drift_seen", {"action": Action.NOTHING, "drifts": 0}, {"action": Action.NOTHING, "drifts": 2}),
    ],
)
def test_what_shows_that_the_trouble_of_a_decision_is_over(ctx, now, code, over, not_over):
    tell(ctx, now, Reason(code), Severity.CRITICAL, decision=1)
    found = only(ctx)
    assert loop._shows_over(entry(now, **over), found)
    assert not loop._shows_over(entry(now, **not_over), found)


def test_a_note_is_about_its_alert_and_survives_a_restart(settings, now):
    ctx = context.opened(settings)
    incident = tell(ctx, now)
    incidents.acknowledge(ctx, incidents.SYSTEM, incident, now)
    ctx.close()
    ctx = context.opened(settings)
    with ctx.database.read() as con:
        assert store.open_causes(con) == [("job cycle", "power")]
    assert stands(ctx, now) is State.ACKNOWLEDGED
    ctx.close()

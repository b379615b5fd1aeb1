"""What is wrong, who is on it, where it is told, and what was delivered."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import streamlit as st

from core import alerting, incidents
from core.incidents import State
from core.records import Role, Severity, User
from core.store.incidents import Incident, Note
from core.words import mark
from pages import ui

MOST = 50  # on the page at once
VIEWS = {
    "incidents": mark("Incidents"), "told": mark("Everything told"), "channels": mark("Channels"),
    "deliveries": mark("Deliveries"),
}  # fmt: skip
SHOWN = {"open": mark("Not over"), "over": mark("Over"), "all": mark("All")}
LOOK = {
    Severity.CRITICAL: ("red", "error", mark("Critical")),
    Severity.WARNING: ("orange", "warning", mark("Warning")),
    Severity.INFO: ("blue", "info", mark("Notice")),
    Severity.OK: ("green", "check_circle", mark("All is well")),
}
STATES = {
    State.ACKNOWLEDGED: ("blue", "person_check", mark("Acknowledged by {who}")),
    State.SNOOZED: ("gray", "snooze", mark("Snoozed until {until} by {who}")),
    State.OVER: ("green", "check_circle", mark("Over since {until}, {who}")),
}
SNOOZES = {
    mark("for 1 hour"): timedelta(hours=1), mark("for 1 day"): timedelta(days=1), mark("for 1 week"): timedelta(weeks=1),
}  # fmt: skip
OUTCOMES = {
    "delivered": mark("delivered"), "failed": mark("failed, tried again"), "given_up": mark("given up"),
    "not_wanted": mark("not wanted: OK notices are off"), "snoozed": mark("not sent: its incident was snoozed"),
    "not_set_up": mark("shown in the app only"),
}  # fmt: skip
CHANNELS = {
    None: ("gray", "notifications_off", mark("Off")), True: ("green", "check_circle", mark("Works")),
    False: ("red", "link_off", mark("Not delivering")),
}  # fmt: skip
TOLD = (
    mark("The feed looks broken, or labels do not go with the answers."),
    mark("The champion's performance fell, or inputs drifted."),
    mark("A model was retrained, promoted, held back or rolled back."),
    mark("Training or a job failed, hangs, or works again."),
    mark("The database cannot be written, or the app was cut off in the middle of its work."),
)


def do(user: User, what: str, incident: int, *, undo: bool = False, span: timedelta = timedelta(0)) -> None:
    """Act on the incident, say so at the top of the next run, and offer to take it back."""
    now = datetime.now(UTC)
    with ui.told():
        if what == "acknowledge":
            incidents.acknowledge(ui.ctx(), user, incident, now, undo=undo)
        elif what == "snooze":
            incidents.snooze(ui.ctx(), user, incident, span, now)
        else:
            incidents.resolve(ui.ctx(), user, incident, now, undo=undo)
        st.session_state["alerts_done"] = None if undo else (what, incident)
        st.rerun()


def done(user: User) -> None:
    """What was done last, and the way back."""
    what, incident = st.session_state.get("alerts_done") or (None, None)
    words = {"acknowledge": mark("Incident {id} is yours: it is not told again while it lasts."),
             "snooze": mark("Incident {id} is snoozed: nothing of it is sent until then. It ends by itself."),
             "resolve": mark("Incident {id} is over. Seen again, it is told as a new one.")}  # fmt: skip
    if what is None or incident is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":green[:material/check:] {ui._(words[what], id=incident)}", width="content")
        if st.button(ui._("Undo"), icon=":material/undo:", key="undo", type="tertiary"):
            do(user, what, incident, undo=True)


def buttons(user: User, one: Incident, state: State) -> None:
    """What can be done about the incident now."""
    if state is State.OVER:
        if one.over and one.over.kind is Note.RESOLVED and st.button(
            ui._("Reopen"), key=f"reopen-{one.id}", icon=":material/undo:", help=ui._("It is not over after all.")
        ):  # fmt: skip
            do(user, "resolve", one.id, undo=True)
        return
    if one.acknowledged:
        if st.button(ui._("Hand back"), key=f"ack-{one.id}", help=ui._("Nobody is on it: remind us again.")):
            do(user, "acknowledge", one.id, undo=True)
    elif st.button(ui._("Acknowledge"), key=f"ack-{one.id}", help=ui._("You are on it: it is not told again.")):
        do(user, "acknowledge", one.id)
    if state is State.SNOOZED:
        if st.button(ui._("End snooze"), key=f"snooze-{one.id}"):
            do(user, "snooze", one.id, undo=True)
    else:
        picked = st.menu_button(
            ui._("Snooze"), list(SNOOZES), format_func=ui._, key=f"snooze-{one.id}",
            help=ui._("Send nothing of it for a while; it goes on being counted."),
        )  # fmt: skip
        if picked:
            do(user, "snooze", one.id, span=SNOOZES[picked])
    if st.button(ui._("Resolve"), key=f"resolve-{one.id}", help=ui._("It is over. Seen again, it is told anew.")):
        do(user, "resolve", one.id)


def incident(user: User, one: Incident, now: datetime) -> None:
    """One incident: what, since when, how often, who is on it, and what can be done."""
    color, icon, word = LOOK[one.severity]
    state = incidents.state(one, now)
    badges = f":{color}-badge[:material/{icon}: {ui._(word)}]"
    note = {State.ACKNOWLEDGED: one.acknowledged, State.SNOOZED: one.snoozed, State.OVER: one.over}.get(state)
    if note:
        color, icon, words = STATES[state]
        until = ui.when(note.until or note.at)
        badges += f" :{color}-badge[:material/{icon}: {ui._(words, who=ui.md(note.by), until=ui.md(until))}]"
    link = f" · [{ui._('decision {id}', id=one.decision)}](/decisions?id={one.decision})" if one.decision else ""
    about = ui.md(one.project) if one.project else ui._("the app")
    since = ui._("since {since}, last seen {ago} ({count}×)", since=ui.when(one.began_at), ago=ui.ago(one.seen_at),
                 count=one.count)  # fmt: skip
    with st.container(border=True, gap="xsmall"):
        st.markdown(f"{badges} &nbsp;{ui.md(ui.sentence(one.reason))}")
        st.markdown(f":small[{ui._('Incident {id}', id=one.id)} · {about} · {since}{link}]")
        with st.container(horizontal=True):
            buttons(user, one, state)


def nothing_wrong() -> None:
    """The empty state: what would be told, and where."""
    with st.container(border=True, gap="small"):
        st.header(ui._("Nothing is wrong. This is what would be told, and where"), anchor=False)
        st.markdown("\n".join(f"- {ui._(text)}" for text in TOLD))
        for state in alerting.channel_states(ui.ctx()):
            st.markdown(f"**{state.label}**: {ui.md(ui.sentence(state.reason))}")
        st.caption(
            ui._("Trouble that lasts is one incident: told once, counted, and closed by itself when it is over.")
        )


def all_incidents(user: User) -> None:
    now = datetime.now(UTC)
    found = incidents.latest(ui.ctx())
    opened = [one for one in found if not one.over]
    with st.container(horizontal=True):
        shown = ui.choice("state", ui._("Which incidents"), SHOWN)
        severity = ui.choice("severity", ui._("How bad"), {"any": mark("Any"), "critical": mark("Critical")})
    done(user)
    kept = [
        one for one in found
        if shown == "all" or bool(one.over) == (shown == "over")
        if severity == "any" or one.severity is Severity.CRITICAL
    ]  # fmt: skip
    for one in kept[:MOST]:
        incident(user, one, now)
    if len(kept) > MOST:
        st.caption(ui._("{count} more are not shown; choose fewer above.", count=len(kept) - MOST))
    if not opened:
        nothing_wrong()
    elif not kept:
        st.info(ui._("No incident of this kind. Choose others above."))


def told() -> None:
    """Every alert, with what is no incident."""
    alerts = alerting.latest(ui.ctx(), limit=MOST)
    if not alerts:
        st.info(ui._("Nothing was told yet. The first model, drift, a retrain or a failure will be."))
    for alert in alerts:
        color, icon, word = LOOK[alert.severity]
        link = (
            f" · [{ui._('decision {id}', id=alert.decision)}](/decisions?id={alert.decision})" if alert.decision else ""
        )
        about = f"{ui.md(alert.project)} · " if alert.project else ""
        st.markdown(
            f":{color}-badge[:material/{icon}: {ui._(word)}] {ui.md(ui.sentence(alert.reason))}  \n"
            f":small[{about}{ui.ago(alert.raised_at)}{link}]"
        )


def channels(user: User) -> None:
    """Where alerts go, and how each channel stands."""
    for state in alerting.channel_states(ui.ctx()):
        color, icon, word = CHANNELS[None if not state.configured else state.healthy]
        if state.configured and state.healthy is None:
            color, icon, word = "gray", "help", mark("Not tried yet")
        with st.container(border=True, gap="small"):
            st.header(state.label, anchor=False)
            st.markdown(f":{color}-badge[:material/{icon}: {ui._(word)}] &nbsp;{ui.md(ui.sentence(state.reason))}")
            if state.last_tried_at:
                st.caption(ui._("Last tried {ago}", ago=ui.ago(state.last_tried_at)))
            if state.configured:
                if st.button(ui._("Send a test"), key=f"test-{state.name}", icon=":material/send:"):
                    send_test(user)
                st.caption(ui._("The address is a secret: it is never shown. To change it or to switch the channel off, "
                                "set {setting} anew or empty, and restart.", setting="DISCORD_WEBHOOK_URL"))  # fmt: skip
            else:
                st.markdown(ui._("In Discord: channel settings, Integrations, Webhooks, New webhook, Copy URL. Put it in"
                                 " `.env` beside `app.py` and restart:"))  # fmt: skip
                st.code("DISCORD_WEBHOOK_URL=https://discord.com/api/webhooks/...", language="bash")


def send_test(user: User) -> None:
    with ui.told():
        alerting.send_test(ui.ctx(), user, datetime.now(UTC))
        st.success(ui._("A test is on its way. Deliveries tells within seconds how it went."))


def deliveries() -> None:
    """Every attempt: what was sent where, when, how often, and how that ended."""
    outcome = ui.choice("outcome", ui._("How it ended"), {"any": mark("Any"), **OUTCOMES})
    frame = alerting.deliveries(ui.ctx(), limit=500)
    if outcome != "any":
        frame = frame[frame["outcome"] == outcome]
    if frame.empty:
        st.info(ui._("No delivery of this kind yet. Each attempt to send an alert is listed here."))
        return
    shown = pd.DataFrame(
        {
            ui._("When"): [ui.when(at) for at in frame["attempted_at"]],
            ui._("Channel"): frame["channel"],
            ui._("Outcome"): [ui._(OUTCOMES.get(outcome, outcome)) for outcome in frame["outcome"]],
            ui._("Attempt"): frame["attempt"],
            ui._("What"): [ui.sentence(reason) for reason in frame["reason"]],
            ui._("Error"): frame["detail"],
            ui._("Alert"): frame["alert"],
        }
    )
    st.dataframe(shown, hide_index=True, height=min(38 * (len(shown) + 1), 560))


user = ui.require(Role.VIEWER)
actions = ui.page_head(ui._("Alerts"))
opened = incidents.count_open(ui.ctx())
if opened:
    word = ui._("{count} open", count=opened)
    ui.verdict(
        "orange", "notifications_active", word, ui._("Trouble that lasts, told once. Acknowledge what you are on.")
    )
else:
    ui.verdict("green", "notifications", ui._("None open"), ui._("No trouble is known that lasts."))
view = ui.choice("view", ui._("What to show"), VIEWS)
if view == "incidents":
    all_incidents(user)
elif view == "told":
    told()
elif view == "channels":
    channels(user)
else:
    deliveries()

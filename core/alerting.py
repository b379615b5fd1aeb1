"""Alerts: raised with their cause in one transaction, delivered later and until they arrive.

A channel may get an alert twice (it took it, and the answer was lost), never not at all: the id in its footer tells.
What a channel refuses for good, or has not taken in a day, is given up and shown as such.
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

import pandas as pd
from duckdb import DuckDBPyConnection
from loguru import logger

from core import auth, incidents
from core.channels import CHANNELS
from core.channels.base import Channel, Message
from core.context import Context
from core.errors import ChannelError, InvalidInput
from core.reasons import sentence
from core.records import Alert, Reason, Role, Severity, User
from core.settings import Settings
from core.store import alerts
from core.store.alerts import Delivery, Pending

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(hours=1)
GIVE_UP_AFTER = timedelta(hours=24)  # counted from the first attempt ...
FEWEST_ATTEMPTS = 10  # ... and never after a few: the app may have slept in between
ATTEMPTS_KEPT = timedelta(days=30)

TITLES = {
    Severity.OK: "All is well",
    Severity.INFO: "Notice",
    Severity.WARNING: "Attention",
    Severity.CRITICAL: "Action needed",
}


@dataclass(frozen=True)
class ChannelState:
    """How a channel stands, and why it is said to; ``waiting`` alerts are still to be sent."""

    name: str
    label: str
    configured: bool
    healthy: bool | None  # None when it was not tried yet
    waiting: int
    last_tried_at: datetime | None
    reason: Reason

    @property
    def sentence(self) -> str:
        return sentence(self.reason)


def raise_alert(con: DuckDBPyConnection, alert: Alert) -> int:
    """Write the alert in the caller's transaction, so that it exists exactly when its cause does; return its id."""
    return alerts.insert(con, alert)


def anything_due(ctx: Context, now: datetime) -> bool:
    """Whether `deliver_due` would find something to do."""
    open_names = {channel.name for channel in ctx.channels}
    with ctx.database.read() as con:
        return any(
            alerts.count_pending(con, name) and not (name in open_names and _pause(con, name, now)) for name in CHANNELS
        )


def deliver_due(ctx: Context, now: datetime) -> str:
    """Send what each channel still has to get; returns what was done, in a sentence.

    A channel that fails or asks for a pause is left alone until its pause is over, across restarts too.
    """
    opened = {channel.name: channel for channel in ctx.channels}
    told = [_deliver(ctx, opened[name], now) for name in CHANNELS if name in opened]
    for name in CHANNELS.keys() - opened.keys():
        _settle_unheard(ctx, name, now)
    return "; ".join(told) or "no channel is set up: alerts are shown in the app only"


def send_test(ctx: Context, user: User, now: datetime) -> int:
    """Raise an alert that tests the channels; return its id. It is sent with the next delivery, a second from now.

    Raises InvalidInput when no channel is set up.
    """
    auth.require(ctx, user, Role.OPERATOR)
    if not ctx.channels:
        settings = " or ".join(kind.setting for kind in CHANNELS.values())
        raise InvalidInput(f"No channel is set up. Put {settings} in the environment or .env, and restart")
    with ctx.database.write() as con:
        return raise_alert(con, Alert(now, Severity.INFO, Reason("test", {"user": user.name})))


def channel_states(ctx: Context) -> list[ChannelState]:
    """Every channel one can have, and how it stands. None set up is a normal state."""
    configured = {channel.name for channel in ctx.channels}
    with ctx.database.read() as con:
        return [_state(con, name, name in configured) for name in CHANNELS]


def deliveries(ctx: Context, *, limit: int = 50) -> pd.DataFrame:
    """The newest delivery attempts first: alert, channel, attempt, attempted_at, outcome, detail, next_at, reason."""
    with ctx.database.read() as con:
        return alerts.deliveries(con, limit=limit)


def latest(ctx: Context, *, project: str | None = None, limit: int = 50) -> list[Alert]:
    """The newest alerts first; of one project if given."""
    with ctx.database.read() as con:
        return alerts.latest(con, project=project, limit=limit)


def prune(ctx: Context, now: datetime) -> int:
    """Forget failed attempts of deliveries settled long ago; returns how many."""
    with ctx.database.write() as con:
        return alerts.prune_deliveries(con, before=now - ATTEMPTS_KEPT)


def tell_directly(ctx: Context, alert: Alert) -> None:
    """Send this alert past the database, because that is what is in trouble. Once, and as well as may be."""
    for channel in ctx.channels:
        try:
            channel.send(message(alert, ctx.settings))
        except ChannelError as error:
            logger.error("{} could not be told of trouble with the database: {}", channel.name, error)


def message(alert: Alert, settings: Settings) -> Message:
    """The alert in words, with what its reason knows as facts and a link back to the app."""
    about = [("project", alert.project)] if alert.project else []
    facts = tuple(
        (str(name).replace("_", " "), _value(value)) for name, value in [*about, *alert.reason.params.items()]
    )
    title = TITLES[alert.severity] + (f": {alert.project}" if alert.project else "")
    text = sentence(alert.reason)
    link, picture = _link(alert, settings), _picture(alert, settings)
    return Message(alert.id or 0, alert.severity, title, text, alert.raised_at, facts, link, picture)


def _deliver(ctx: Context, channel: Channel, now: datetime) -> str:
    sent = refused = 0
    with channel.turn:
        with ctx.database.read() as con:
            waiting = alerts.pending(con, channel.name)
            if pause := _pause(con, channel.name, now):
                return f"{channel.name} is left alone for {pause.total_seconds():.0f} s, {len(waiting)} alerts wait"
        for pending in waiting:
            outcome = _attempt(ctx, channel, pending, now)
            sent += outcome is Delivery.DELIVERED
            refused += outcome is Delivery.GIVEN_UP
            if outcome is Delivery.FAILED:
                break
    return f"{channel.name}: {sent} delivered, {refused} given up, {len(waiting) - sent - refused} left"


def _attempt(ctx: Context, channel: Channel, pending: Pending, now: datetime) -> Delivery:
    """Send one alert, and record how that went."""
    if pending.alert.severity is Severity.OK and not ctx.settings.notify_ok:
        return _record(ctx, channel.name, pending, Delivery.NOT_WANTED, now, "OK notices are off")
    with ctx.database.read() as con:
        if incidents.is_silenced(con, pending.alert, now):
            return _record(ctx, channel.name, pending, Delivery.SNOOZED, now, "its incident is snoozed")
    began = time.monotonic()
    try:
        channel.send(message(pending.alert, ctx.settings))
    except ChannelError as error:
        logger.warning("alert {} was not delivered: {}", pending.alert.id, error)
        over = now + timedelta(seconds=time.monotonic() - began)
        if error.permanent:
            return _record(ctx, channel.name, pending, Delivery.GIVEN_UP, over, str(error))
        long_tried = pending.first_tried_at is not None and over - pending.first_tried_at > GIVE_UP_AFTER
        if long_tried and pending.attempts >= FEWEST_ATTEMPTS:
            return _record(ctx, channel.name, pending, Delivery.GIVEN_UP, over, f"{error}, for a day now")
        pause = min(FIRST_PAUSE * 2 ** min(pending.attempts, 16), LONGEST_PAUSE)
        if error.retry_after is not None:
            pause = min(timedelta(seconds=error.retry_after), LONGEST_PAUSE)
        return _record(ctx, channel.name, pending, Delivery.FAILED, over, str(error), over + pause)
    return _record(ctx, channel.name, pending, Delivery.DELIVERED, now, "")


def _record(
    ctx: Context, channel: str, pending: Pending, outcome: Delivery, at: datetime, detail: str,
    next_at: datetime | None = None,
) -> Delivery:  # fmt: skip
    with ctx.database.write() as con:
        alerts.insert_delivery(
            con, pending.alert.id or 0, channel, outcome, attempt=pending.attempts + 1, at=at, detail=detail,
            next_at=next_at,
        )  # fmt: skip
    return outcome


def _settle_unheard(ctx: Context, channel: str, now: datetime) -> None:
    """Nobody listened: the app has shown these alerts, and setting the channel up later sends no flood of old ones."""
    with ctx.database.read() as con:
        waiting = alerts.pending(con, channel, limit=1_000)
    if waiting:
        with ctx.database.write() as con:
            for pending in waiting:
                alert, attempt = pending.alert.id or 0, pending.attempts + 1
                alerts.insert_delivery(con, alert, channel, Delivery.NOT_SET_UP, attempt=attempt, at=now, detail="")


def _pause(con: DuckDBPyConnection, channel: str, now: datetime) -> timedelta | None:
    """How long the channel is still to be left alone. A pause longer than any we make comes from a clock set back."""
    until = alerts.paused_until(con, channel)
    return until - now if until and timedelta(0) < until - now <= LONGEST_PAUSE else None


def _state(con: DuckDBPyConnection, name: str, configured: bool) -> ChannelState:
    kind = CHANNELS[name]
    if not configured:
        reason = Reason("channel_off", {"setting": kind.setting})
        return ChannelState(name, kind.label, False, None, 0, None, reason)
    waiting, last = alerts.count_pending(con, name), alerts.last_delivery(con, name)
    if last is None:
        return ChannelState(name, kind.label, True, None, waiting, None, Reason("channel_untried"))
    at, outcome, detail = last
    params = {"detail": detail, "setting": kind.setting, "waiting": waiting}
    healthy = outcome is Delivery.DELIVERED
    return ChannelState(name, kind.label, True, healthy, waiting, at, Reason(f"channel_{outcome}", params))


def _link(alert: Alert, settings: Settings) -> str:
    """
    >>> from datetime import UTC
    >>> at, settings = datetime(2026, 1, 1, tzinfo=UTC), Settings(_env_file=None, CONTINUAL_PUBLIC_URL="https://ml.test/")
    >>> _link(Alert(at, Severity.OK, Reason("test"), "power", 7), settings)
    'https://ml.test/decisions?project=power&id=7'
    """
    if not settings.public_url:
        return ""
    query = {"project": alert.project, "id": alert.decision}
    parts = "&".join(f"{name}={value}" for name, value in query.items() if value is not None)
    about = "reports" if alert.reason.code == "report_made" else "alerts"
    page = about if alert.decision is None else "decisions"
    return f"{settings.public_url.rstrip('/')}/{page}" + (f"?{parts}" if parts else "")


def _picture(alert: Alert, settings: Settings) -> bytes:
    """The picture of the report that the alert is about; empty when it is about none, or was made without."""
    if alert.reason.code != "report_made":
        return b""
    try:
        return (settings.reports_dir / str(int(alert.reason.params["report"])) / "report.png").read_bytes()
    except FileNotFoundError:
        return b""


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

"""Incidents: trouble that lasts, told once, until it is over; what people say of it; when it is told again.

Which alerts make one incident stands in `core.store.incidents`.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum

from duckdb import DuckDBPyConnection

from core import auth
from core.context import Context
from core.errors import Conflict, InvalidInput, NotFound
from core.records import SYSTEM, Alert, Reason, Role, User
from core.store import incidents as store
from core.store.incidents import Incident, Note

REMIND_AFTER = timedelta(hours=24)  # trouble that goes on is told of again
LONGEST_SNOOZE = timedelta(days=30)


class State(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"  # somebody is on it: it is not told again
    SNOOZED = "snoozed"  # nothing of it is delivered until the snooze runs out
    OVER = "over"


def state(incident: Incident, now: datetime) -> State:
    """How the incident stands now."""
    if incident.over:
        return State.OVER
    if is_snoozed(incident, now):
        return State.SNOOZED
    return State.ACKNOWLEDGED if incident.acknowledged else State.OPEN


def is_snoozed(incident: Incident, now: datetime) -> bool:
    return bool(incident.snoozed and incident.snoozed.until and now < incident.snoozed.until)


def latest(ctx: Context, *, limit: int = 500) -> list[Incident]:
    """The incidents, the last seen first."""
    with ctx.database.read() as con:
        return store.every(con)[:limit]


def count_open(ctx: Context) -> int:
    """How many incidents are not over, whatever people said of them."""
    with ctx.database.read() as con:
        return len(store.open_causes(con))


# ---- what people say -----------------------------------------------------------------------------
def acknowledge(ctx: Context, user: User, incident: int, now: datetime, *, undo: bool = False) -> None:
    """Somebody is on it: the incident is not told again for as long as it lasts. Raises NotFound, Conflict (over)."""
    _say(ctx, user, incident, Note.ACKNOWLEDGED, now, until=now if undo else None)


def snooze(ctx: Context, user: User, incident: int, span: timedelta, now: datetime) -> None:
    """Deliver nothing of it for this long; no time at all ends a snooze. Raises InvalidInput, NotFound, Conflict."""
    if not timedelta(0) <= span <= LONGEST_SNOOZE:
        raise InvalidInput(f"A snooze of {span} cannot be had: it lasts {LONGEST_SNOOZE.days} days at most")
    _say(ctx, user, incident, Note.SNOOZED, now, until=now + span)


def resolve(ctx: Context, user: User, incident: int, now: datetime, *, undo: bool = False) -> None:
    """It is over, a person says; seen again, it is told as a new incident. Raises NotFound, Conflict (over already)."""
    _say(ctx, user, incident, Note.RESOLVED, now, until=now if undo else None)


def _say(
    ctx: Context, user: User, incident: int, kind: Note, now: datetime, *, until: datetime | None
) -> None:  # fmt: skip
    auth.require(ctx, user, Role.OPERATOR)
    reopens = kind is Note.RESOLVED and until is not None
    with ctx.database.write() as con:
        found = next((one for one in store.every(con) if one.id == incident), None)
        if found is None:
            raise NotFound(f"There is no incident {incident}")
        if reopens and not (found.over and found.over.kind is Note.RESOLVED):
            raise Conflict(f"Nobody has resolved incident {incident}: there is nothing to take back")
        if found.over and not reopens:
            raise Conflict(f"Incident {incident} is over since {found.over.at:%d %b %H:%M} UTC")
        store.note(con, found.alert, kind, at=now, by=user.name, until=until)


# ---- what the app sees ---------------------------------------------------------------------------
def seen_again(
    con: DuckDBPyConnection, reason: Reason, project: str | None, now: datetime, *, words_count: bool = False
) -> bool:
    """Note that the trouble of this reason was seen once more; False when it is to be told, by an alert, instead.

    That is when no such incident is open, or it was last told a day ago and nobody is on it, or a snooze has run out;
    and, if ``words_count``, when the words in its parameters are others: its numbers may move from check to check.
    """
    found = store.open_one(con, store.cause(reason), project)
    if found is None or _to_be_told(found, now) or (words_count and _words(found.reason) != _words(reason)):
        return False
    store.note(con, found.alert, Note.SEEN, at=now, by=SYSTEM.name)
    return True


def told_since(con: DuckDBPyConnection, cause: str, project: str | None, since: datetime) -> bool:
    """Whether an open incident of this cause was seen since then: what follows from it need not be told too."""
    found = store.open_one(con, cause, project)
    return found is not None and found.seen_at >= since


def _words(reason: Reason) -> dict[str, str]:
    return {name: value for name, value in reason.params.items() if isinstance(value, str)}


def recover(
    con: DuckDBPyConnection, project: str | None, now: datetime, over: Callable[[Incident], bool]
) -> list[Incident]:
    """Close the open incidents of this project for which ``over`` says so; return them."""
    opened = [store.open_one(con, cause, of) for cause, of in store.open_causes(con) if of == project]
    closed = [one for one in opened if one and over(one)]
    for one in closed:
        store.note(con, one.alert, Note.RECOVERED, at=now, by=SYSTEM.name)
    return closed


def is_silenced(con: DuckDBPyConnection, alert: Alert, now: datetime) -> bool:
    """Whether a snooze keeps this alert from being delivered."""
    same = store.every(con, store.cause(alert.reason))
    return any(alert.id in one.alerts and is_snoozed(one, now) for one in same)


def _to_be_told(incident: Incident, now: datetime) -> bool:
    if incident.acknowledged or is_snoozed(incident, now):
        return False
    snoozed = incident.snoozed
    slept = snoozed and snoozed.until and max(snoozed.at, incident.told_at) < snoozed.until
    return bool(slept) or not timedelta(0) <= now - incident.told_at <= REMIND_AFTER

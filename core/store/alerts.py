"""Alerts are written with what raised them; what a channel has not taken or refused for good is still to be sent."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import pandas as pd
from duckdb import DuckDBPyConnection

from core.records import Alert, Reason, Severity
from core.store.codec import dump, load


class Delivery(StrEnum):
    """How one attempt ended; all but ``failed`` are final for that alert and channel."""

    DELIVERED = "delivered"
    FAILED = "failed"  # tried again at next_at
    GIVEN_UP = "given_up"
    NOT_WANTED = "not_wanted"  # OK notices are off
    SNOOZED = "snoozed"  # somebody wants to hear nothing of this incident for a while
    NOT_SET_UP = "not_set_up"  # the channel was not configured when the alert was raised


@dataclass(frozen=True)
class Pending:
    """An alert a channel still has to get, with what was tried so far."""

    alert: Alert
    attempts: int
    first_tried_at: datetime | None


_COLUMNS = "a.id, a.raised_at, a.severity, a.reason, a.project, a.decision"
_OPEN = "NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.alert = a.id AND d.channel = ? AND d.outcome <> 'failed')"


def insert(con: DuckDBPyConnection, alert: Alert) -> int:
    """Write the alert in the caller's transaction; return its id."""
    return con.execute(
        """INSERT INTO alerts (id, raised_at, severity, reason, project, decision)
        VALUES (nextval('alert_ids'), ?, ?, ?, ?, ?) RETURNING id""",
        [alert.raised_at, alert.severity, dump(alert.reason), alert.project, alert.decision],
    ).fetchall()[0][0]


def get(con: DuckDBPyConnection, alert: int) -> Alert | None:
    found = con.execute(f"SELECT {_COLUMNS} FROM alerts a WHERE a.id = ?", [alert]).fetchall()
    return _alert(found[0]) if found else None


def latest(con: DuckDBPyConnection, *, project: str | None = None, limit: int = 50) -> list[Alert]:
    """The newest alerts first; of one project if given."""
    query = f"SELECT {_COLUMNS} FROM alerts a WHERE (?::VARCHAR IS NULL OR a.project = ?) ORDER BY a.id DESC LIMIT ?"
    return [_alert(row) for row in con.execute(query, [project, project, limit]).fetchall()]


def pending(con: DuckDBPyConnection, channel: str, *, limit: int = 20) -> list[Pending]:
    """What the channel still has to get, the oldest first."""
    query = f"""SELECT {_COLUMNS}, count(t.attempt), min(t.attempted_at)
        FROM alerts a LEFT JOIN deliveries t ON t.alert = a.id AND t.channel = ?
        WHERE {_OPEN} GROUP BY ALL ORDER BY a.id LIMIT ?"""
    found = con.execute(query, [channel, channel, limit]).fetchall()
    return [Pending(_alert(row[:6]), row[6], row[7]) for row in found]


def count_pending(con: DuckDBPyConnection, channel: str) -> int:
    return con.execute(f"SELECT count(*) FROM alerts a WHERE {_OPEN}", [channel]).fetchall()[0][0]


def paused_until(con: DuckDBPyConnection, channel: str) -> datetime | None:
    """Until when the channel asked for a pause, or is left alone after a failure; None when it was never in trouble."""
    query = "SELECT max(next_at) FROM deliveries WHERE channel = ? AND outcome = 'failed'"
    return con.execute(query, [channel]).fetchall()[0][0]


def insert_delivery(
    con: DuckDBPyConnection, alert: int, channel: str, outcome: Delivery, *, attempt: int, at: datetime, detail: str,
    next_at: datetime | None = None,
) -> None:  # fmt: skip
    con.execute(
        "INSERT INTO deliveries VALUES (?, ?, ?, ?, ?, ?, ?)", [alert, channel, attempt, at, outcome, detail, next_at]
    )


def last_delivery(con: DuckDBPyConnection, channel: str) -> tuple[datetime, Delivery, str] | None:
    """When the channel was last tried, how that ended, and what it said."""
    query = """SELECT attempted_at, outcome, detail FROM deliveries
        WHERE channel = ? AND outcome IN ('delivered', 'failed', 'given_up')
        ORDER BY attempted_at DESC, alert DESC, attempt DESC LIMIT 1"""
    found = con.execute(query, [channel]).fetchall()
    return (found[0][0], Delivery(found[0][1]), found[0][2]) if found else None


def deliveries(con: DuckDBPyConnection, *, limit: int = 50) -> pd.DataFrame:
    """The newest attempts first: alert, channel, attempt, attempted_at, outcome, detail, next_at, reason (a Reason)."""
    query = """SELECT alert, channel, attempt, attempted_at, outcome, detail, next_at, reason
        FROM deliveries JOIN alerts ON alerts.id = alert ORDER BY attempted_at DESC, alert DESC, attempt DESC LIMIT ?"""
    found = con.execute(query, [limit]).df()
    return found.assign(reason=[load(Reason, text) for text in found["reason"]])


def deliveries_of(con: DuckDBPyConnection, decision: int) -> list[tuple[str, int, datetime, datetime, Delivery]]:
    """What was tried with the alerts of a decision: channel, attempt, raised at, attempted at, outcome; oldest first."""
    query = """SELECT channel, attempt, raised_at, attempted_at, outcome FROM deliveries
        JOIN alerts ON alerts.id = deliveries.alert WHERE decision = ? ORDER BY attempted_at, alert, attempt"""
    return [(*row[:4], Delivery(row[4])) for row in con.execute(query, [decision]).fetchall()]


def prune_deliveries(con: DuckDBPyConnection, *, before: datetime) -> int:
    """Forget the failed attempts of deliveries that were settled long ago; what settled them stays."""
    query = """DELETE FROM deliveries WHERE outcome = 'failed' AND attempted_at < ?
        AND EXISTS (SELECT 1 FROM deliveries d WHERE d.alert = deliveries.alert AND d.channel = deliveries.channel
            AND d.outcome <> 'failed')"""
    return con.execute(query, [before]).fetchall()[0][0]


def _alert(row: tuple) -> Alert:  # type: ignore[type-arg]
    id_, raised_at, severity, reason, project, decision = row
    return Alert(raised_at, Severity(severity), load(Reason, reason), project, decision, id_)

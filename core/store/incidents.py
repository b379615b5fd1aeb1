"""Incidents: alerts of one lasting cause, from the first until it is over. Nothing is stored but alerts and notes.

A note is of a kind (`Note`), and the newest of each kind counts; it holds until its ``until``, or for good. So each is
taken back by noting it anew with ``until`` at once, and a snooze ends by itself.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from duckdb import DuckDBPyConnection

from core.records import Reason, Severity
from core.store.codec import load


class Note(StrEnum):
    SEEN = "seen"  # the same trouble once more, not worth another alert
    ACKNOWLEDGED = "acknowledged"
    SNOOZED = "snoozed"
    RESOLVED = "resolved"  # a person says it is over
    RECOVERED = "recovered"  # the app has seen that it is over


@dataclass(frozen=True)
class Said:
    """A note: who said it when, and until when it holds (None: for good)."""

    alert: int
    kind: Note
    at: datetime
    by: str
    until: datetime | None


@dataclass(frozen=True)
class Incident:
    """``id`` is its first alert, ``alert`` its newest, whose reason and decision it carries; the severity is the worst.

    ``count`` is how often the trouble was seen, ``seen_at`` when last; ``told_at`` is when the newest alert was raised.
    ``acknowledged`` and ``over`` are the notes that hold; ``snoozed`` is the newest, which may have run out.
    """

    id: int
    alert: int
    cause: str
    project: str | None
    severity: Severity
    reason: Reason
    decision: int | None
    began_at: datetime
    seen_at: datetime
    told_at: datetime
    count: int
    acknowledged: Said | None = None
    snoozed: Said | None = None
    over: Said | None = None
    alerts: tuple[int, ...] = ()


# What lasts: trouble that is critical, or about no decision. The warnings of decisions tell what the app did ...
ALSO_LASTING = ("drift_seen",)  # ... but for this one
EVENTS = ("interrupted",)  # over when they are told
_CAUSE = "coalesce('job ' || (reason->>'$.params.job'), reason->>'$.code')"
_LASTING = f"""FROM alerts WHERE severity IN ('warning', 'critical') AND NOT list_contains(?, reason->>'$.code')
    AND (decision IS NULL OR severity = 'critical' OR list_contains(?, reason->>'$.code'))
    AND (?::VARCHAR IS NULL OR {_CAUSE} = ?)"""  # noqa: S608


def cause(reason: Reason) -> str:
    """What alerts of one incident have in common, beside their project: the job they are about, else their code.

    >>> cause(Reason("job_failed", {"job": "cycle"})), cause(Reason("broken_feed", {"what": "x"}))
    ('job cycle', 'broken_feed')
    """
    return f"job {reason.params['job']}" if reason.params.get("job") else reason.code


def every(con: DuckDBPyConnection, cause: str | None = None) -> list[Incident]:
    """All incidents, the last seen first; those of one cause if given."""
    query = f"SELECT id, raised_at, severity, reason, project, decision, {_CAUSE} {_LASTING} ORDER BY id"
    lines: dict[tuple[str, str | None], list[list[Any]]] = defaultdict(list)  # the alerts of each cause, by incident
    said = _said(con)
    for row in con.execute(query, _lasting(cause)).fetchall():
        line = lines[row[6], row[4]]
        if not line or _over(said[line[-1][-1][0]]):
            line.append([])
        line[-1].append(row)
    found = [
        _incident(rows, [note for row in rows for note in said[row[0]]]) for line in lines.values() for rows in line
    ]
    return sorted(found, key=lambda incident: (incident.seen_at, incident.id), reverse=True)


def open_causes(con: DuckDBPyConnection, cause: str | None = None) -> list[tuple[str, str | None]]:
    """The (cause, project) of the incidents that are not over; cheaper than `every`."""
    query = f"SELECT {_CAUSE} AS about, project, max(id) {_LASTING} GROUP BY about, project"
    newest = con.execute(query, _lasting(cause)).fetchall()
    said = _said(con) if newest else {}
    return [(about, project) for about, project, alert in newest if not _over(said.get(alert, []))]


def open_one(con: DuckDBPyConnection, cause: str, project: str | None) -> Incident | None:
    """The incident of this cause that is not over."""
    if (cause, project) not in open_causes(con, cause):
        return None
    return next(one for one in every(con, cause) if one.project == project and not one.over)


def note(
    con: DuckDBPyConnection, alert: int, kind: Note, *, at: datetime, by: str, until: datetime | None = None
) -> None:
    con.execute("INSERT INTO alert_notes VALUES (?, ?, ?, ?, ?)", [alert, kind, at, by, until])


def _said(con: DuckDBPyConnection) -> dict[int, list[Said]]:
    notes: dict[int, list[Said]] = defaultdict(list)
    query = "SELECT alert, kind, noted_at, noted_by, until FROM alert_notes ORDER BY rowid"
    for alert, kind, *rest in con.execute(query).fetchall():
        notes[alert].append(Said(alert, Note(kind), *rest))
    return notes


def _lasting(cause: str | None) -> list[Any]:
    return [list(EVENTS), list(ALSO_LASTING), cause, cause]


def _newest(said: Iterable[Said], kind: Note) -> Said | None:
    return next((note for note in reversed(list(said)) if note.kind is kind), None)


def _holds(said: Iterable[Said], kind: Note) -> Said | None:
    found = _newest(said, kind)
    return found if found and found.until is None else None


def _over(said: Iterable[Said]) -> Said | None:
    return _holds(said, Note.RECOVERED) or _holds(said, Note.RESOLVED)


def _incident(rows: list[Any], said: list[Said]) -> Incident:
    (id_, began_at, *_), (alert, told_at, _, reason, project, decision, cause) = rows[0], rows[-1]
    seen = [note.at for note in said if note.kind is Note.SEEN]
    severity = Severity.CRITICAL if any(row[2] == Severity.CRITICAL for row in rows) else Severity.WARNING
    return Incident(
        id_, alert, cause, project, severity, load(Reason, reason), decision, began_at, max([told_at, *seen]), told_at,
        len(rows) + len(seen), _holds(said, Note.ACKNOWLEDGED), _newest(said, Note.SNOOZED), _over(said),
        tuple(row[0] for row in rows),
    )  # fmt: skip

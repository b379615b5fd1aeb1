"""The audit trail: who did what to whom. Written with the deed, in its transaction; never changed."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from duckdb import DuckDBPyConnection

from core.records import Reason
from core.store.codec import dump, load


@dataclass(frozen=True)
class Deed:
    """One line of the trail; ``reason`` puts it into words (`reasons.sentence`)."""

    id: int
    done_at: datetime
    actor: str
    action: str
    subject: str
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def reason(self) -> Reason:
        return Reason(self.action, {"actor": self.actor, "subject": self.subject, **self.detail})


def insert(con: DuckDBPyConnection, actor: str, action: str, subject: str, at: datetime, **detail: str) -> None:
    """Write the line in the caller's transaction. ``detail`` must hold no secret: it is shown."""
    con.execute(
        "INSERT INTO audit VALUES (nextval('audit_ids'), ?, ?, ?, ?, ?)",
        [at, actor, action, subject, dump(detail, dict[str, Any])],
    )


def latest(con: DuckDBPyConnection, *, about: str | None = None, limit: int = 200) -> list[Deed]:
    """The newest deeds first; those by or to ``about`` if given."""
    query = """SELECT id, done_at, actor, action, subject, detail FROM audit
        WHERE $about IS NULL OR actor = $about OR subject = $about ORDER BY id DESC LIMIT $limit"""
    found = con.execute(query, {"about": about, "limit": limit}).fetchall()
    return [Deed(row[0], row[1], row[2], row[3], row[4], load(dict[str, Any], row[5])) for row in found]

"""Frozen reports, and the links under which some of them may be read by anyone who has the address."""

from dataclasses import dataclass
from datetime import datetime

from duckdb import DuckDBPyConnection

from core.store.codec import dump, load


@dataclass(frozen=True)
class Report:
    """``files`` maps what a file is (html, png, thumbnail, pdf, snapshot) to its name in the report's own folder."""

    id: int
    project: str
    made_at: datetime
    made_by: str
    since: datetime
    until: datetime
    language: str
    title: str
    files: dict[str, str]
    deleted_at: datetime | None = None


@dataclass(frozen=True)
class Link:
    """``sha256`` is of the secret in the address; the secret itself is kept nowhere."""

    sha256: str
    report: int
    made_at: datetime
    made_by: str
    expires_at: datetime
    revoked_at: datetime | None = None


_REPORT = "SELECT id, project, made_at, made_by, since, until, language, title, files, deleted_at FROM reports"
_LINK = "SELECT sha256, report, made_at, made_by, expires_at, revoked_at FROM report_links"


def next_id(con: DuckDBPyConnection) -> int:
    return con.execute("SELECT nextval('report_ids')").fetchall()[0][0]


def insert(con: DuckDBPyConnection, report: Report) -> None:
    con.execute(
        "INSERT INTO reports VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [report.id, report.project, report.made_at, report.made_by, report.since, report.until, report.language,
         report.title, dump(report.files, dict[str, str]), report.deleted_at],
    )  # fmt: skip


def get(con: DuckDBPyConnection, report: int) -> Report | None:
    """The report, a deleted one too."""
    found = con.execute(f"{_REPORT} WHERE id = ?", [report]).fetchall()
    return _report(found[0]) if found else None


def latest(con: DuckDBPyConnection, project: str, *, limit: int) -> list[Report]:
    """The newest reports of the project first, without those that were deleted."""
    query = f"{_REPORT} WHERE project = ? AND deleted_at IS NULL ORDER BY id DESC LIMIT ?"
    return [_report(row) for row in con.execute(query, [project, limit]).fetchall()]


def set_deleted(con: DuckDBPyConnection, report: int, at: datetime | None) -> None:
    """Delete the report, or, with None, take that back."""
    con.execute("UPDATE reports SET deleted_at = ? WHERE id = ?", [at, report])


def deleted_before(con: DuckDBPyConnection, before: datetime) -> list[int]:
    query = "SELECT id FROM reports WHERE deleted_at < ? ORDER BY id"
    return [row[0] for row in con.execute(query, [before]).fetchall()]


def forget(con: DuckDBPyConnection, report: int) -> None:
    """Remove the report and its links for good."""
    con.execute("DELETE FROM report_links WHERE report = ?", [report])
    con.execute("DELETE FROM reports WHERE id = ?", [report])


def insert_link(con: DuckDBPyConnection, link: Link) -> None:
    con.execute(
        "INSERT INTO report_links VALUES (?, ?, ?, ?, ?, ?)",
        [link.sha256, link.report, link.made_at, link.made_by, link.expires_at, link.revoked_at],
    )


def link(con: DuckDBPyConnection, sha256: str) -> Link | None:
    found = con.execute(f"{_LINK} WHERE sha256 = ?", [sha256]).fetchall()
    return Link(*found[0]) if found else None


def links(con: DuckDBPyConnection, report: int) -> list[Link]:
    """The links of the report, the newest first, those that ended too."""
    query = f"{_LINK} WHERE report = ? ORDER BY made_at DESC, sha256"
    return [Link(*row) for row in con.execute(query, [report]).fetchall()]


def revoke(con: DuckDBPyConnection, sha256: str, at: datetime) -> None:
    """End the link now; one that ended before stays as it ended."""
    con.execute("UPDATE report_links SET revoked_at = ? WHERE sha256 = ? AND revoked_at IS NULL", [at, sha256])


def _report(row: tuple) -> Report:  # type: ignore[type-arg]
    id_, project, made_at, made_by, since, until, language, title, files, deleted_at = row
    return Report(
        id_, project, made_at, made_by, since, until, language, title, load(dict[str, str], files), deleted_at
    )

"""What windows of rows looked like, in the bins of one version's reference. Counting a window anew replaces it."""

from datetime import datetime

from duckdb import DuckDBPyConnection


def insert(
    con: DuckDBPyConnection, project: str, version: int, window_number: int, rows: int, profile: bytes, at: datetime
) -> None:
    con.execute(
        "INSERT OR REPLACE INTO profiles VALUES (?, ?, ?, ?, ?, ?)",
        [project, version, window_number, rows, profile, at],
    )


def span(con: DuckDBPyConnection, project: str, version: int, first: int, last: int, *, rows: int) -> dict[int, bytes]:
    """The profiles of windows ``[first, last)`` of ``rows`` rows each, in this version's bins, by window number."""
    query = """SELECT window_number, profile FROM profiles WHERE project = ? AND version = ? AND rows = ?
        AND window_number >= ? AND window_number < ? ORDER BY window_number"""
    return dict(con.execute(query, [project, version, rows, first, last]).fetchall())


def versions(con: DuckDBPyConnection, project: str, window_number: int) -> list[int]:
    """The versions in whose bins this window has been counted."""
    query = "SELECT version FROM profiles WHERE project = ? AND window_number = ? ORDER BY version"
    return [row[0] for row in con.execute(query, [project, window_number]).fetchall()]


def coverage(con: DuckDBPyConnection, project: str, spans: tuple[tuple[int, int], ...], *, rows: int) -> dict[int, int]:
    """How many windows of these spans have been counted in each version's bins, for windows of ``rows`` rows each."""
    inside = " OR ".join("window_number >= ? AND window_number < ?" for _ in spans) or "false"
    query = f"SELECT version, count(*) FROM profiles WHERE project = ? AND rows = ? AND ({inside}) GROUP BY version"
    return dict(con.execute(query, [project, rows, *(bound for span in spans for bound in span)]).fetchall())

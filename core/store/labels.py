"""The true answers, as text, by the position of their row. Append-only: the first label of a row stands."""

from dataclasses import dataclass
from datetime import datetime

import pandas as pd
from duckdb import DuckDBPyConnection

from core.store import projects


@dataclass(frozen=True)
class Recorded:
    """What became of the labels offered: every one is counted once.

    ``repeated`` were known with the same value; ``conflicting`` differ from the one that stands, which stays;
    ``waiting`` belong to no row yet and are kept until it comes.
    """

    recorded: int = 0
    repeated: int = 0
    conflicting: int = 0
    waiting: int = 0


def append(con: DuckDBPyConnection, project: str, frame: pd.DataFrame, *, arrived_at: datetime, source: str) -> int:
    """Store labels that came with their new rows: ``frame`` has position and value (text); return how many."""
    con.register("offered_labels", frame)
    con.execute(
        "INSERT INTO labels SELECT ?, position, value, ?, ? FROM offered_labels WHERE value IS NOT NULL",
        [project, arrived_at, source],
    )
    con.unregister("offered_labels")
    return int(frame["value"].notna().sum())


def record(
    con: DuckDBPyConnection, project: str, offered: pd.DataFrame, *, arrived_at: datetime, source: str
) -> Recorded:
    """Match labels (row_id, value as text) to rows, whatever order they come in; twice the same changes nothing."""
    con.register("offered_values", offered[["row_id", "value"]].astype("object").reset_index(drop=True))
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE matched AS
        WITH one AS (SELECT row_id, value, row_number() OVER (PARTITION BY row_id) AS n FROM offered_values)
        SELECT one.row_id, one.value, one.n, r.position,
               coalesce(l.value, e.value, first(one.value) OVER (PARTITION BY one.row_id ORDER BY one.n)) AS standing,
               l.value IS NOT NULL OR e.value IS NOT NULL AS known
        FROM one
        LEFT JOIN {projects.table(con, project)} r ON r.row_id = one.row_id
        LEFT JOIN (SELECT position, value FROM labels WHERE project = $project) l ON l.position = r.position
        LEFT JOIN (SELECT row_id, value FROM early_labels WHERE project = $project) e ON e.row_id = one.row_id""",
        {"project": project},
    )
    con.unregister("offered_values")
    new = "value = standing AND NOT known AND n = 1"
    con.execute(
        f"INSERT INTO labels SELECT ?, position, value, ?, ? FROM matched WHERE {new} AND position IS NOT NULL",
        [project, arrived_at, source],
    )
    con.execute(
        f"INSERT INTO early_labels SELECT ?, row_id, value, ?, ? FROM matched WHERE {new} AND position IS NULL",
        [project, arrived_at, source],
    )
    con.execute(
        "INSERT INTO label_conflicts SELECT ?, row_id, standing, value, ?, ? FROM matched WHERE value <> standing",
        [project, arrived_at, source],
    )
    counts = con.execute(
        f"""SELECT count(*) FILTER ({new} AND position IS NOT NULL),
                   count(*) FILTER (value = standing AND (known OR n > 1)),
                   count(*) FILTER (value <> standing),
                   count(*) FILTER ({new} AND position IS NULL) FROM matched"""
    ).fetchall()[0]
    con.execute("DROP TABLE matched")
    return Recorded(*counts)


def settle_early(con: DuckDBPyConnection, project: str, first: int, last: int) -> int:
    """Give the rows ``[first, last)`` the labels that came before them; return how many."""
    if not con.execute("SELECT count(*) FROM early_labels WHERE project = ?", [project]).fetchall()[0][0]:
        return 0
    rows = projects.table(con, project)
    settled = con.execute(
        f"""INSERT INTO labels SELECT e.project, r.position, e.value, e.arrived_at, e.source
        FROM early_labels e JOIN {rows} r USING (row_id)
        WHERE e.project = $project AND r.position >= $first AND r.position < $last
          AND r.position NOT IN (SELECT position FROM labels WHERE project = $project AND position >= $first)""",
        {"project": project, "first": first, "last": last},
    ).fetchall()[0][0]
    con.execute(
        f"DELETE FROM early_labels WHERE project = ? AND row_id IN (SELECT row_id FROM {rows} WHERE position >= ?)",
        [project, first],
    )
    return settled


def span(con: DuckDBPyConnection, project: str, first: int, last: int) -> pd.Series:
    """The labels of rows ``[first, last)`` as text, indexed by position; None where not arrived."""
    query = "SELECT position, value FROM labels WHERE project = ? AND position >= ? AND position < ? ORDER BY position"
    found = con.execute(query, [project, first, last]).df().set_index("position")["value"].astype(object)
    return found.reindex(range(first, last)).where(lambda value: value.notna(), None)


def arrived(con: DuckDBPyConnection, project: str, first: int, last: int) -> pd.DataFrame:
    """A line a row of ``[first, last)``, by position: value (text) and arrived_at, both missing where it has not."""
    query = """SELECT position, value, arrived_at FROM labels
        WHERE project = ? AND position >= ? AND position < ? ORDER BY position"""
    found = con.execute(query, [project, first, last]).df().set_index("position").reindex(range(first, last))
    return found.assign(value=found["value"].astype(object).where(found["value"].notna(), None))


def count(con: DuckDBPyConnection, project: str, first: int = 0, last: int | None = None) -> int:
    query = "SELECT count(*) FROM labels WHERE project = ? AND position >= ? AND position < coalesce(?, 9223372036854775807)"
    return con.execute(query, [project, first, last]).fetchall()[0][0]


def count_during(con: DuckDBPyConnection, project: str, since: datetime, until: datetime) -> int:
    """How many labels arrived in ``[since, until)``."""
    query = "SELECT count(*) FROM labels WHERE project = ? AND arrived_at >= ? AND arrived_at < ?"
    return con.execute(query, [project, since, until]).fetchall()[0][0]


def by_window(con: DuckDBPyConnection, project: str, window_rows: int, *, newest: int) -> dict[int, int]:
    """How many labels each of the newest labelled windows has."""
    query = """SELECT position // $size AS number, count(*) FROM labels WHERE project = $project
        GROUP BY number ORDER BY number DESC LIMIT $newest"""
    return dict(con.execute(query, {"size": window_rows, "project": project, "newest": newest}).fetchall())


def arrivals(
    con: DuckDBPyConnection, project: str, window_rows: int, *, newest: int
) -> dict[int, tuple[int, datetime]]:
    """How many labels each of the newest labelled windows has, and when the last of them came."""
    query = """SELECT position // $size AS number, count(*), max(arrived_at) FROM labels WHERE project = $project
        GROUP BY number ORDER BY number DESC LIMIT $newest"""
    found = con.execute(query, {"size": window_rows, "project": project, "newest": newest}).fetchall()
    return {number: (count, at) for number, count, at in found}


def conflicts(con: DuckDBPyConnection, project: str, *, limit: int = 50) -> pd.DataFrame:
    """Labels that were offered and not taken, newest first: row_id, kept, offered, arrived_at, source."""
    query = """SELECT row_id, kept, offered, arrived_at, source FROM label_conflicts WHERE project = ?
        ORDER BY arrived_at DESC LIMIT ?"""
    return con.execute(query, [project, limit]).df()


def waiting(con: DuckDBPyConnection, project: str) -> int:
    """How many labels wait for their row."""
    return con.execute("SELECT count(*) FROM early_labels WHERE project = ?", [project]).fetchall()[0][0]

"""Bundled streams that are being played as live traffic, one a project."""

from dataclasses import dataclass
from datetime import datetime

from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class Play:
    """How far it has come is not kept here: the rows and labels that are stored tell (`progress`)."""

    project: str
    source: str
    rows_per_tick: int
    label_delay_rows: int
    playing: bool
    changed_at: datetime


def put(con: DuckDBPyConnection, play: Play) -> None:
    """Keep the state of the play in place of what was there."""
    con.execute("INSERT OR REPLACE INTO plays VALUES (?, ?, ?, ?, ?, ?)", list(vars(play).values()))


def get(con: DuckDBPyConnection, project: str) -> Play | None:
    found = con.execute("SELECT * FROM plays WHERE project = ?", [project]).fetchall()
    return Play(*found[0]) if found else None


def playing(con: DuckDBPyConnection) -> list[Play]:
    return [Play(*row) for row in con.execute("SELECT * FROM plays WHERE playing ORDER BY project").fetchall()]


def progress(con: DuckDBPyConnection, play: Play) -> tuple[int, int]:
    """How many rows of the stream have been fed, and how many of their labels."""
    fed = "SELECT coalesce(sum(last - first), 0) FROM batches WHERE project = ? AND source = ?"
    labelled = "SELECT count(*) FROM labels WHERE project = ? AND source = ?"
    rows, labels = (con.execute(query, [play.project, play.source]).fetchall()[0][0] for query in (fed, labelled))
    return int(rows), int(labels)

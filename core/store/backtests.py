"""What backtests came to, by the run that made them."""

from datetime import datetime

from duckdb import DuckDBPyConnection

KEPT = 10  # of a project


def insert(con: DuckDBPyConnection, run: int, project: str, result: str, by: str, at: datetime) -> None:
    """Keep the result (JSON text) of this run, in place of an earlier attempt's; the oldest of the project go."""
    con.execute("INSERT OR REPLACE INTO backtests VALUES (?, ?, ?, ?, ?)", [run, project, result, at, by])
    con.execute(
        """DELETE FROM backtests WHERE project = $project AND run NOT IN
        (SELECT run FROM backtests WHERE project = $project ORDER BY run DESC LIMIT $kept)""",
        {"project": project, "kept": KEPT},
    )


def latest(con: DuckDBPyConnection, project: str) -> tuple[int, str, datetime, str] | None:
    """Run, JSON text, when and by whom, of the project's newest; None when there is none."""
    query = "SELECT run, result, made_at, made_by FROM backtests WHERE project = ? ORDER BY run DESC LIMIT 1"
    found = con.execute(query, [project]).fetchall()
    return found[0] if found else None

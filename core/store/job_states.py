"""What a job is told to do (pause), when it last fell due, and the scheduler's sign of life."""

from dataclasses import dataclass
from datetime import datetime

from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class Pause:
    paused: bool
    changed_at: datetime
    changed_by: str


def put(con: DuckDBPyConnection, job: str, *, paused: bool, at: datetime, by: str) -> None:
    con.execute("INSERT OR REPLACE INTO job_states VALUES (?, ?, ?, ?)", [job, paused, at, by])


def every(con: DuckDBPyConnection) -> dict[str, Pause]:
    """The jobs somebody paused or resumed; the others do what they do by default."""
    query = "SELECT job, paused, changed_at, changed_by FROM job_states"
    return {job: Pause(*rest) for job, *rest in con.execute(query).fetchall()}


def turns(con: DuckDBPyConnection) -> dict[tuple[str, str | None], datetime]:
    """When each (job, project) last fell due by its timetable."""
    found = con.execute("SELECT job, project, turn_at FROM job_turns").fetchall()
    return {(job, project or None): at for job, project, at in found}


def put_turn(con: DuckDBPyConnection, job: str, project: str | None, at: datetime) -> None:
    con.execute("INSERT OR REPLACE INTO job_turns VALUES (?, ?, ?)", [job, project or "", at])


def beat(con: DuckDBPyConnection, component: str, at: datetime, detail: str = "") -> None:
    """Leave a sign of life."""
    con.execute("INSERT OR REPLACE INTO heartbeats VALUES (?, ?, ?)", [component, at, detail])


def last_beat(con: DuckDBPyConnection, component: str) -> datetime | None:
    found = con.execute("SELECT beat_at FROM heartbeats WHERE component = ?", [component]).fetchall()
    return found[0][0] if found else None

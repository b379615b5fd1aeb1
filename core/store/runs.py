"""What the scheduler did and has to do: a row an attempt, under the id of its run."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
from duckdb import DuckDBPyConnection

from core.records import Outcome
from core.store.codec import dump, load


@dataclass(frozen=True)
class RunRow:
    """One attempt of a run. ``due_at`` is when it may start; ``progress`` is what it said last while it ran."""

    id: int
    attempt: int
    job: str
    project: str | None
    arguments: dict[str, Any]
    requested_by: str
    requested_at: datetime
    due_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    outcome: Outcome
    message: str
    progress: str


_COLUMNS = """id, attempt, job, project, arguments, requested_by, requested_at, due_at, started_at, finished_at,
    outcome, message, progress"""


def insert(
    con: DuckDBPyConnection, job: str, project: str | None, arguments: dict[str, Any], *, by: str, at: datetime
) -> int:
    """Queue the first attempt of a new run; return the run's id."""
    return con.execute(
        f"""INSERT INTO runs ({_COLUMNS})
        VALUES (nextval('run_ids'), 1, ?, ?, ?, ?, ?, ?, NULL, NULL, 'queued', '', '') RETURNING id""",
        [job, project, dump(arguments, dict[str, Any]), by, at, at],
    ).fetchall()[0][0]


def insert_skipped(
    con: DuckDBPyConnection, job: str, project: str | None, *, by: str, at: datetime, message: str
) -> None:
    """Record a turn that was left out."""
    con.execute(
        f"""INSERT INTO runs ({_COLUMNS})
        VALUES (nextval('run_ids'), 1, ?, ?, '{{}}', ?, ?, ?, NULL, ?, 'skipped', ?, '')""",
        [job, project, by, at, at, at, message],
    )


def insert_retry(con: DuckDBPyConnection, run: RunRow, due_at: datetime) -> None:
    """Queue the next attempt of a run."""
    con.execute(
        f"""INSERT INTO runs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, 'queued', '', '')""",
        [run.id, run.attempt + 1, run.job, run.project, dump(run.arguments, dict[str, Any]), run.requested_by,
         run.requested_at, due_at],
    )  # fmt: skip


def begin(con: DuckDBPyConnection, run: RunRow, at: datetime) -> None:
    query = "UPDATE runs SET outcome = 'running', started_at = ? WHERE id = ? AND attempt = ?"
    con.execute(query, [at, run.id, run.attempt])


def put_progress(con: DuckDBPyConnection, run: int, attempt: int, progress: str) -> bool:
    """Keep what the attempt says; False when it is over already: somebody cancelled it."""
    query = "UPDATE runs SET progress = ? WHERE id = ? AND attempt = ? AND outcome = 'running' RETURNING id"
    return bool(con.execute(query, [progress, run, attempt]).fetchall())


def finish(
    con: DuckDBPyConnection, run: int, attempt: int, outcome: Outcome, message: str, progress: str, at: datetime
) -> None:
    """Write how the attempt ended; what it ended with first stands."""
    con.execute(
        """UPDATE runs SET outcome = ?, message = ?, progress = ?, finished_at = ?
        WHERE id = ? AND attempt = ? AND outcome IN ('queued', 'running')""",
        [outcome, message, progress, at, run, attempt],
    )


def get(con: DuckDBPyConnection, run: int) -> RunRow | None:
    """The newest attempt of the run: it tells how the run stands."""
    query = f"SELECT {_COLUMNS} FROM runs WHERE id = ? ORDER BY attempt DESC LIMIT 1"
    found = con.execute(query, [run]).fetchall()
    return _row(found[0]) if found else None


def attempts(con: DuckDBPyConnection, run: int) -> list[RunRow]:
    """All attempts of the run, in order; none when it was pruned."""
    query = f"SELECT {_COLUMNS} FROM runs WHERE id = ? ORDER BY attempt"
    return [_row(row) for row in con.execute(query, [run]).fetchall()]


def open_runs(con: DuckDBPyConnection, project: str | None = None) -> list[RunRow]:
    """Queued and running attempts, the longest waiting first; of one project if given."""
    query = f"""SELECT {_COLUMNS} FROM runs WHERE outcome IN ('queued', 'running')
        AND (?::VARCHAR IS NULL OR project = ?) ORDER BY due_at, id"""
    return [_row(row) for row in con.execute(query, [project, project]).fetchall()]


def last_outcome(con: DuckDBPyConnection, job: str, project: str | None, *, before: int) -> Outcome | None:
    """How the last run of the job before this one ended, after its retries; skipped and cut-off runs do not count."""
    query = """SELECT outcome FROM runs WHERE job = ? AND project IS NOT DISTINCT FROM ? AND id < ?
        AND outcome IN ('ok', 'failed') ORDER BY id DESC, attempt DESC LIMIT 1"""
    found = con.execute(query, [job, project, before]).fetchall()
    return Outcome(found[0][0]) if found else None


def last_of_each_job(con: DuckDBPyConnection) -> dict[str, tuple[datetime, Outcome]]:
    """When an attempt of each job started last, and how it went or goes."""
    query = """SELECT job, max(started_at), arg_max(outcome, started_at) FROM runs
        WHERE started_at IS NOT NULL GROUP BY job"""
    return {job: (at, Outcome(outcome)) for job, at, outcome in con.execute(query).fetchall()}


def history(
    con: DuckDBPyConnection, *, job: str | None = None, project: str | None = None, limit: int = 200
) -> pd.DataFrame:
    """The newest attempts first: id, attempt, job, project, requested_by, requested_at, started_at, finished_at,
    outcome, message, progress."""
    query = """SELECT id, attempt, job, project, requested_by, requested_at, started_at, finished_at, outcome, message,
        progress FROM runs WHERE (?::VARCHAR IS NULL OR job = ?) AND (?::VARCHAR IS NULL OR project = ?)
        ORDER BY coalesce(started_at, requested_at) DESC, id DESC, attempt DESC LIMIT ?"""
    return con.execute(query, [job, job, project, project, limit]).df()


def counts(con: DuckDBPyConnection) -> list[tuple[str, str, int]]:
    """(job, outcome, how many attempts), of those still kept."""
    return con.execute("SELECT job, outcome, count(*) FROM runs GROUP BY ALL ORDER BY ALL").fetchall()


def prune(con: DuckDBPyConnection, *, fine_before: datetime, before: datetime) -> int:
    """Forget what went well before ``fine_before``, and everything over before ``before``; return how many attempts.

    The newest finished attempt of a job in a project stays: it says whether the next failure is news.
    """
    query = """DELETE FROM runs WHERE finished_at IS NOT NULL
        AND (finished_at < ? OR (finished_at < ? AND outcome IN ('ok', 'skipped')))
        AND id NOT IN (SELECT max(id) FROM runs WHERE outcome IN ('ok', 'failed') GROUP BY job, project)"""
    return con.execute(query, [before, fine_before]).fetchall()[0][0]


def _row(row: tuple[Any, ...]) -> RunRow:
    values = dict(zip((column.strip() for column in _COLUMNS.split(",")), row, strict=True))
    return RunRow(**values | {"arguments": load(dict[str, Any], row[4]), "outcome": Outcome(values["outcome"])})

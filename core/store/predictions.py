"""What the champion answered, by the position of the row."""

from datetime import datetime

import pandas as pd
from duckdb import DuckDBPyConnection


def append(
    con: DuckDBPyConnection,
    project: str,
    frame: pd.DataFrame,
    *,
    version: int,
    predicted_at: datetime,
    latency_ms: float,
) -> None:
    """Store answers: ``frame`` has position, answer (text) and probabilities (list of float, or None)."""
    con.register("offered_answers", frame)
    con.execute(
        "INSERT INTO predictions SELECT ?, position, ?, answer, probabilities, ?, ? FROM offered_answers",
        [project, version, predicted_at, latency_ms],
    )
    con.unregister("offered_answers")


def span(con: DuckDBPyConnection, project: str, first: int, last: int) -> pd.DataFrame:
    """position, version, answer (text), probabilities, predicted_at of the answered rows in ``[first, last)``."""
    query = """SELECT position, version, answer, probabilities, predicted_at FROM predictions
        WHERE project = ? AND position >= ? AND position < ? ORDER BY position"""
    return con.execute(query, [project, first, last]).df()


def count(con: DuckDBPyConnection, project: str, *, since: datetime | None = None) -> int:
    query = (
        "SELECT count(*) FROM predictions WHERE project = ? AND predicted_at >= coalesce(?, '-infinity'::TIMESTAMPTZ)"
    )
    return con.execute(query, [project, since]).fetchall()[0][0]


def count_during(con: DuckDBPyConnection, project: str, since: datetime, until: datetime) -> int:
    query = "SELECT count(*) FROM predictions WHERE project = ? AND predicted_at >= ? AND predicted_at < ?"
    return con.execute(query, [project, since, until]).fetchall()[0][0]


def newest(con: DuckDBPyConnection, project: str, *, limit: int = 20) -> pd.DataFrame:
    """The newest answers, newest first, each with its label if it has come: position, version, answer, predicted_at, label."""
    query = """SELECT p.position, p.version, p.answer, p.probabilities, p.predicted_at, p.latency_ms, l.value AS label
        FROM (SELECT * FROM predictions WHERE project = $project ORDER BY position DESC LIMIT $limit) p
        LEFT JOIN (SELECT position, value FROM labels WHERE project = $project) l USING (position)
        ORDER BY p.position DESC"""
    return con.execute(query, {"project": project, "limit": limit}).df()


def judged(con: DuckDBPyConnection, project: str, version: int, *, most: int) -> pd.DataFrame:
    """answer and label (text) of the first ``most`` rows that this version answered and whose labels are there, in row
    order."""
    query = """SELECT p.answer, l.value AS label
        FROM (SELECT position, answer FROM predictions WHERE project = $project AND version = $version) p
        JOIN (SELECT position, value FROM labels WHERE project = $project) l USING (position)
        WHERE p.answer IS NOT NULL ORDER BY position LIMIT $most"""
    return con.execute(query, {"project": project, "version": version, "most": most}).df()

"""How the champion did, window by window. A newer measurement of a window supersedes an older one."""

from datetime import datetime

import pandas as pd
from duckdb import DuckDBPyConnection

from core.records import Estimate, Performance
from core.store.codec import dump, load

Scores = tuple[Estimate, ...]


def insert(
    con: DuckDBPyConnection,
    project: str,
    window_number: int,
    performance: Performance,
    version: int | None,
    at: datetime,
) -> None:
    con.execute(
        "INSERT INTO performances VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [project, window_number, performance.first, performance.last, performance.maturity,
         dump(performance.scores, Scores), version, at],
    )  # fmt: skip


def measured(con: DuckDBPyConnection, project: str, *, windows: int = 400) -> dict[int, float]:
    """The newest windows that were measured, each with the label maturity it was last measured at."""
    query = """SELECT window_number, max(maturity) FROM performances WHERE project = ? GROUP BY window_number
        ORDER BY window_number DESC LIMIT ?"""
    return dict(con.execute(query, [project, windows]).fetchall())


def latest(con: DuckDBPyConnection, project: str, *, windows: int = 120, as_of: datetime | None = None) -> pd.DataFrame:
    """One line a window and metric, as known now or as of a moment: window_number, first, last, maturity, version, measured_at, metric, value, low, high, rows."""
    query = """SELECT window_number, first, last, maturity, version, measured_at, scores FROM performances
        WHERE project = ? AND measured_at <= coalesce(?, 'infinity'::TIMESTAMPTZ) QUALIFY row_number() OVER (PARTITION BY window_number ORDER BY measured_at DESC) = 1
        ORDER BY window_number DESC LIMIT ?"""
    lines = []
    for window, first, last, maturity, version, at, scores in con.execute(query, [project, as_of, windows]).fetchall():
        lines += [
            {"window_number": window, "first": first, "last": last, "maturity": maturity, "version": version,
             "measured_at": at, **vars(score)}
            for score in load(Scores, scores)
        ]  # fmt: skip
    columns = [
        "window_number",
        "first",
        "last",
        "maturity",
        "version",
        "measured_at",
        "metric",
        "value",
        "low",
        "high",
        "rows",
    ]
    return pd.DataFrame(lines, columns=columns).sort_values("window_number", kind="stable", ignore_index=True)


def during(con: DuckDBPyConnection, project: str, since: datetime, until: datetime, *, windows: int) -> pd.DataFrame:
    """As `latest`, of those of the newest windows that were measured from ``since`` to ``until``, as known then."""
    found = latest(con, project, windows=windows, as_of=until)
    return found[found["measured_at"] >= since]


def count_during(con: DuckDBPyConnection, project: str, since: datetime, until: datetime) -> int:
    """How many windows were measured from ``since`` to ``until``."""
    query = """SELECT count(DISTINCT window_number) FROM performances
        WHERE project = ? AND measured_at >= ? AND measured_at <= ?"""
    return con.execute(query, [project, since, until]).fetchall()[0][0]


def last_mature(con: DuckDBPyConnection, project: str, version: int) -> tuple[int, Scores] | None:
    """The newest window that this version answered and whose labels are all in: its number and its scores."""
    query = """SELECT window_number, scores FROM performances WHERE project = ? AND version = ? AND maturity >= 0.999
        ORDER BY window_number DESC, measured_at DESC LIMIT 1"""
    found = con.execute(query, [project, version]).fetchall()
    return (found[0][0], load(Scores, found[0][1])) if found else None

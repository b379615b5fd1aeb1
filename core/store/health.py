"""Samples of the app's health and of the machine, a minute apart. Where there is none, nothing is known."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import pandas as pd
from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class Resources:
    """``cpu`` is the busy share of the machine, 0 to 1; None is unknown. ``p95_ms`` is None when nothing was asked."""

    cpu: float | None
    memory_bytes: int | None
    disk_free_bytes: int | None
    p95_ms: float | None


def insert(con: DuckDBPyConnection, at: datetime, states: Iterable[tuple[str, str, str]], resources: Resources) -> None:
    """Keep one sample: (component, state, detail) of each component, and the resources."""
    for component, state, detail in states:
        con.execute("INSERT INTO health_samples VALUES (?, ?, ?, ?)", [at, component, state, detail])
    con.execute(
        "INSERT OR REPLACE INTO resource_samples VALUES (?, ?, ?, ?, ?)",
        [at, resources.cpu, resources.memory_bytes, resources.disk_free_bytes, resources.p95_ms],
    )


def states(con: DuckDBPyConnection, *, since: datetime, width: timedelta) -> pd.DataFrame:
    """How often each component was in each state, by spans of this width: component, span (0 is the oldest), state,
    samples."""
    query = """SELECT component, CAST(floor(epoch(sampled_at - ?) / ?) AS INTEGER) AS span, state, count(*) AS samples
        FROM health_samples WHERE sampled_at >= ? GROUP BY ALL ORDER BY ALL"""
    return con.execute(query, [since, width.total_seconds(), since]).df()


def resources(con: DuckDBPyConnection, *, since: datetime, width: timedelta) -> pd.DataFrame:
    """The resources by spans of this width: span (0 is the oldest), cpu (mean), memory_bytes (largest),
    disk_free_bytes (least), p95_ms (largest)."""
    query = """SELECT CAST(floor(epoch(sampled_at - ?) / ?) AS INTEGER) AS span, avg(cpu) AS cpu,
        max(memory_bytes) AS memory_bytes, min(disk_free_bytes) AS disk_free_bytes, max(p95_ms) AS p95_ms
        FROM resource_samples WHERE sampled_at >= ? GROUP BY ALL ORDER BY ALL"""
    return con.execute(query, [since, width.total_seconds(), since]).df()


def newest(con: DuckDBPyConnection) -> tuple[datetime, Resources] | None:
    """The newest sample of the resources, and when it was taken."""
    query = """SELECT sampled_at, cpu, memory_bytes, disk_free_bytes, p95_ms FROM resource_samples
        ORDER BY sampled_at DESC LIMIT 1"""
    found = con.execute(query).fetchall()
    return (found[0][0], Resources(*found[0][1:])) if found else None


def prune(con: DuckDBPyConnection, *, before: datetime) -> int:
    """Forget the samples taken before; returns how many."""
    gone = [
        con.execute(f"DELETE FROM {table} WHERE sampled_at < ?", [before]).fetchall()[0][0]
        for table in ("health_samples", "resource_samples")
    ]
    return sum(gone)

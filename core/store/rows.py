"""The rows of a project: features by position, and the batches they came in."""

from datetime import datetime

import pandas as pd
from duckdb import DuckDBPyConnection

from core.records import Kind, Schema
from core.store import projects

BATCH_COLUMNS = ("id", "source", "arrived_at", "first", "last", "labels", "added_by")


def count(con: DuckDBPyConnection, project: str) -> int:
    """How many rows the project has; also the position the next one gets."""
    return con.execute("SELECT coalesce(max(last), 0) FROM batches WHERE project = ?", [project]).fetchall()[0][0]


def count_during(con: DuckDBPyConnection, project: str, since: datetime, until: datetime) -> int:
    """How many rows came in in ``[since, until)``."""
    query = """SELECT coalesce(sum(last - first), 0) FROM batches
        WHERE project = ? AND arrived_at >= ? AND arrived_at < ?"""
    return int(con.execute(query, [project, since, until]).fetchall()[0][0])


def append(
    con: DuckDBPyConnection,
    project: str,
    features: pd.DataFrame,
    row_ids: pd.Series,
    event_times: pd.Series | None,
    *,
    first: int,
    batch: int,
) -> None:
    """Store conformed features (columns in schema order) at positions ``first``, ``first + 1``, ..."""
    frame = features.set_axis([f"f{i}" for i in range(features.shape[1])], axis=1).reset_index(drop=True)
    frame.insert(0, "position", range(first, first + len(frame)))
    frame.insert(1, "row_id", row_ids.to_numpy())
    times = pd.Series(pd.NaT, index=frame.index) if event_times is None else event_times.reset_index(drop=True)
    frame.insert(2, "event_at", pd.to_datetime(times, utc=True))
    frame.insert(3, "batch", batch)
    con.register("offered_rows", frame)
    con.execute(f"INSERT INTO {projects.table(con, project)} SELECT * FROM offered_rows")
    con.unregister("offered_rows")


def known_ids(con: DuckDBPyConnection, project: str, row_ids: pd.Series, *, limit: int = 5) -> list[str]:
    """Some of the ids that are stored already."""
    con.register("offered_ids", pd.DataFrame({"row_id": row_ids.astype("object")}))
    query = f"SELECT DISTINCT row_id FROM offered_ids SEMI JOIN {projects.table(con, project)} USING (row_id) LIMIT ?"
    found = [row[0] for row in con.execute(query, [limit]).fetchall()]
    con.unregister("offered_ids")
    return found


def span(con: DuckDBPyConnection, project: str, schema: Schema, first: int, last: int) -> pd.DataFrame:
    """The features of rows ``[first, last)`` in canonical types, indexed by position."""
    columns = "".join(f", f{i}" for i in range(len(schema.features)))
    query = f"SELECT position{columns} FROM {projects.table(con, project)} WHERE position >= ? AND position < ? ORDER BY position"
    frame = con.execute(query, [first, last]).df().set_index("position").set_axis(schema.names, axis=1)
    texts = [column.name for column in schema.features if column.kind is Kind.CATEGORICAL]
    if texts:
        frame[texts] = frame[texts].astype(object).where(frame[texts].notna(), None)
    return frame


def ids(con: DuckDBPyConnection, project: str, first: int, last: int) -> pd.DataFrame:
    """position, row_id and event_at of rows ``[first, last)``."""
    query = f"SELECT position, row_id, event_at FROM {projects.table(con, project)} WHERE position >= ? AND position < ? ORDER BY position"
    return con.execute(query, [first, last]).df()


def next_batch(con: DuckDBPyConnection) -> int:
    return con.execute("SELECT nextval('batch_ids')").fetchall()[0][0]


def insert_batch(
    con: DuckDBPyConnection,
    batch: int,
    project: str,
    *,
    source: str,
    arrived_at: datetime,
    first: int,
    last: int,
    labels: int,
    added_by: str,
) -> None:
    con.execute(
        "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [batch, project, source, arrived_at, first, last, labels, added_by],
    )


def batches(con: DuckDBPyConnection, project: str, *, limit: int = 50) -> pd.DataFrame:
    """What came in, newest first: id, source, arrived_at, first, last, labels, added_by."""
    query = f"SELECT {', '.join(BATCH_COLUMNS)} FROM batches WHERE project = ? ORDER BY id DESC LIMIT ?"
    return con.execute(query, [project, limit]).df()

"""Model versions, and the reigns that say which of them answered when."""

from dataclasses import dataclass
from datetime import datetime

import pandas as pd
from duckdb import DuckDBPyConnection

from core.records import ModelVersion
from core.store.codec import dump, load


@dataclass(frozen=True)
class Reign:
    """``version`` is the champion from ``began_at`` on, until the project's next reign."""

    id: int
    project: str
    version: int
    sha256: str
    began_at: datetime
    decision: int


_REIGN = "SELECT id, project, version, sha256, began_at, decision FROM reigns"


def insert(con: DuckDBPyConnection, model: ModelVersion, reference: bytes | None) -> None:
    """Keep a trained version with the drift reference of its training rows."""
    con.execute(
        "INSERT INTO models VALUES (?, ?, ?, ?, ?)",
        [model.project, model.version, dump(model), reference, model.created_at],
    )


def get(con: DuckDBPyConnection, project: str, version: int) -> ModelVersion | None:
    found = con.execute("SELECT record FROM models WHERE project = ? AND version = ?", [project, version]).fetchall()
    return load(ModelVersion, found[0][0]) if found else None


def reference(con: DuckDBPyConnection, project: str, version: int) -> bytes | None:
    found = con.execute("SELECT reference FROM models WHERE project = ? AND version = ?", [project, version]).fetchall()
    return found[0][0] if found else None


def every(con: DuckDBPyConnection, project: str) -> list[ModelVersion]:
    """All versions of the project, newest first."""
    query = "SELECT record FROM models WHERE project = ? ORDER BY version DESC"
    return [load(ModelVersion, row[0]) for row in con.execute(query, [project]).fetchall()]


def newest_version(con: DuckDBPyConnection, project: str) -> int:
    """The highest version number so far; 0 when nothing has been trained."""
    return con.execute("SELECT coalesce(max(version), 0) FROM models WHERE project = ?", [project]).fetchall()[0][0]


def paths(con: DuckDBPyConnection) -> set[str]:
    """Where the files of all registered versions lie, relative to the data directory."""
    return {row[0] for row in con.execute("SELECT record->>'path' FROM models").fetchall()}


def enthrone(
    con: DuckDBPyConnection, project: str, version: int, sha256: str, began_at: datetime, decision: int
) -> None:
    """Make the version the project's champion."""
    con.execute(
        "INSERT INTO reigns VALUES (nextval('reign_ids'), ?, ?, ?, ?, ?)",
        [project, version, sha256, began_at, decision],
    )


def reign(con: DuckDBPyConnection, project: str, *, as_of: datetime | None = None) -> Reign | None:
    """Who is champion, now or as of a moment."""
    query = f"{_REIGN} WHERE project = ? AND began_at <= coalesce(?, 'infinity'::TIMESTAMPTZ) ORDER BY id DESC LIMIT 1"
    found = con.execute(query, [project, as_of]).fetchall()
    return Reign(*found[0]) if found else None


def champion_number(con: DuckDBPyConnection, project: str) -> int:
    """The version of the champion; 0 before the first one."""
    now = reign(con, project)
    return now.version if now else 0


def reigns(con: DuckDBPyConnection, project: str) -> list[Reign]:
    """All reigns of the project, newest first."""
    return [Reign(*row) for row in con.execute(f"{_REIGN} WHERE project = ? ORDER BY id DESC", [project]).fetchall()]


def unmirrored(con: DuckDBPyConnection) -> list[Reign]:
    """The newest reign of each project whose alias MLflow has not been told yet."""
    query = f"""{_REIGN} WHERE id IN (SELECT max(id) FROM reigns GROUP BY project)
        AND id NOT IN (SELECT reign FROM mirrored_reigns)"""
    return [Reign(*row) for row in con.execute(query).fetchall()]


def mark_mirrored(con: DuckDBPyConnection, reign: int, at: datetime) -> None:
    con.execute("INSERT INTO mirrored_reigns VALUES (?, ?)", [reign, at])


def unlogged(con: DuckDBPyConnection, *, limit: int) -> list[ModelVersion]:
    """Versions MLflow has not been told of, oldest first."""
    query = """SELECT record FROM models m ANTI JOIN logged_models l USING (project, version)
        ORDER BY created_at, version LIMIT ?"""
    return [load(ModelVersion, row[0]) for row in con.execute(query, [limit]).fetchall()]


def mark_logged(con: DuckDBPyConnection, model: ModelVersion, mlflow_run: str, at: datetime) -> None:
    con.execute("INSERT INTO logged_models VALUES (?, ?, ?, ?)", [model.project, model.version, mlflow_run, at])


def logged_run(con: DuckDBPyConnection, project: str, version: int) -> str | None:
    """The MLflow run of the version; None while MLflow has not been told."""
    query = "SELECT mlflow_run FROM logged_models WHERE project = ? AND version = ?"
    found = con.execute(query, [project, version]).fetchall()
    return found[0][0] if found else None


def answered(con: DuckDBPyConnection, project: str) -> pd.DataFrame:
    """How many rows each version answered: version, rows, first_at, last_at."""
    query = """SELECT version, count(*) AS rows, min(predicted_at) AS first_at, max(predicted_at) AS last_at
        FROM predictions WHERE project = ? GROUP BY version ORDER BY version"""
    return con.execute(query, [project]).df()

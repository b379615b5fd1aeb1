"""How a project judges, version by version."""

from datetime import datetime

from duckdb import DuckDBPyConnection


def insert(con: DuckDBPyConnection, project: str, policy: str, made_by: str, made_at: datetime) -> int:
    """Keep the policy (JSON text) as the project's newest; return its version."""
    version = (
        1 + con.execute("SELECT coalesce(max(version), 0) FROM policies WHERE project = ?", [project]).fetchall()[0][0]
    )
    con.execute("INSERT INTO policies VALUES (?, ?, ?, ?, ?)", [project, version, policy, made_at, made_by])
    return version


def latest(con: DuckDBPyConnection, project: str) -> tuple[int, str]:
    """The version and JSON text of the policy in force."""
    query = "SELECT version, policy FROM policies WHERE project = ? ORDER BY version DESC LIMIT 1"
    return con.execute(query, [project]).fetchall()[0]


def every(con: DuckDBPyConnection, project: str) -> list[tuple[int, str, datetime, str]]:
    """Version, JSON text, when and by whom, the newest first."""
    query = "SELECT version, policy, made_at, made_by FROM policies WHERE project = ? ORDER BY version DESC"
    return con.execute(query, [project]).fetchall()


def get(con: DuckDBPyConnection, project: str, version: int) -> str:
    query = "SELECT policy FROM policies WHERE project = ? AND version = ?"
    return con.execute(query, [project, version]).fetchall()[0][0]

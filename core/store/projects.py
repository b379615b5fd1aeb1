"""Projects, each with a table of its own for its rows."""

from datetime import datetime

from duckdb import DuckDBPyConnection

from core.records import Kind, Project, Schema
from core.store.codec import dump, load

TYPES = {Kind.NUMERIC: "DOUBLE", Kind.BOOLEAN: "DOUBLE", Kind.CATEGORICAL: "VARCHAR", Kind.TIMESTAMP: "TIMESTAMPTZ"}
_SELECT = "SELECT id, name, schema, created_at, archived_at, source FROM projects"


def insert(con: DuckDBPyConnection, project: Project) -> None:
    """Write the project and make the table of its rows; columns are numbered, so no user's name reaches SQL."""
    number = con.execute("SELECT nextval('project_numbers')").fetchall()[0][0]
    con.execute(
        "INSERT INTO projects (id, number, name, schema, source, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        [project.id, number, project.name, dump(project.schema), project.source, project.created_at],
    )
    features = "".join(f", f{i} {TYPES[column.kind]}" for i, column in enumerate(project.schema.features))
    con.execute(
        f"CREATE TABLE rows_{number} (position BIGINT NOT NULL, row_id VARCHAR NOT NULL, event_at TIMESTAMPTZ, "
        f"batch BIGINT NOT NULL{features})"
    )


def table(con: DuckDBPyConnection, project: str) -> str:
    """The name of the table that holds the project's rows."""
    return f"rows_{con.execute('SELECT number FROM projects WHERE id = ?', [project]).fetchall()[0][0]}"


def get(con: DuckDBPyConnection, project: str) -> Project | None:
    found = con.execute(f"{_SELECT} WHERE id = ?", [project]).fetchall()
    return _project(found[0]) if found else None


def every(con: DuckDBPyConnection, *, archived: bool = False) -> list[Project]:
    """The projects in use, oldest first; with ``archived`` the others too."""
    where = "" if archived else "WHERE archived_at IS NULL"
    return [_project(row) for row in con.execute(f"{_SELECT} {where} ORDER BY number").fetchall()]


def archive(con: DuckDBPyConnection, project: str, at: datetime | None) -> None:
    """Archive the project, or bring it back with ``at=None``."""
    con.execute("UPDATE projects SET archived_at = ? WHERE id = ?", [at, project])


def _project(row: tuple) -> Project:  # type: ignore[type-arg]
    id_, name, schema, created_at, archived_at, source = row
    return Project(id_, name, load(Schema, schema), created_at, archived_at, source)

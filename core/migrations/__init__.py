"""How the database schema grows: hand-written Alembic revisions, forward at start, each start in one transaction.

A revision that was applied must never change: its SHA-256 is kept with it, and a start refuses an edited one.
To add one: `versions/000N_what_it_does.py` with `upgrade` and `downgrade`, and a copy of the schema before it in
`tests/schemas/`.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
from alembic.config import Config
from alembic.ddl.impl import DefaultImpl
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, create_engine
from sqlalchemy.pool import StaticPool

from core import db
from core.errors import StorageFailed

HERE = Path(__file__).parent


class DuckDBImpl(DefaultImpl):
    """Tells Alembic that DuckDB exists and that its DDL is transactional."""

    __dialect__ = "duckdb"
    transactional_ddl = True


def migrate(path: Path, target: str = "head", *, folder: Path = HERE) -> list[str]:
    """Bring the database file up to ``target`` and return the revisions applied, oldest first.

    Raises StorageBusy (another process), StorageFailed (an edited, unknown or out-of-order revision).
    """
    return _run(
        path, target, folder, ScriptDirectory._upgrade_revs, "INSERT INTO schema_revisions VALUES (?, ?, now())"
    )


def downgrade(path: Path, target: str = "base", *, folder: Path = HERE) -> list[str]:
    """Take the database file back to ``target`` and return the revisions undone, newest first. Their data is lost."""
    undo = "DELETE FROM schema_revisions WHERE revision = ? AND ? IS NOT NULL"
    return _run(path, target, folder, ScriptDirectory._downgrade_revs, undo)


def _run(path: Path, target: str, folder: Path, plan: Callable[..., Any], record: str) -> list[str]:
    """Carry out the plan's steps and record each, all in one transaction."""
    db.connect(path).close()  # a busy or unwritable file is told in plain words before SQLAlchemy wraps it
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    address = URL.create("duckdb", database=str(path))
    engine = create_engine(address, poolclass=StaticPool, connect_args={"config": dict(db.CONFIG)})
    done: list[str] = []

    def steps(revision: Any, _context: Any) -> Any:
        planned = list(plan(script, target, revision))
        done.extend(step.revision.revision for step in planned)
        return planned

    try:
        with engine.begin() as connection:
            raw: Any = connection.connection.driver_connection
            _refuse_edited(raw, script)
            with EnvironmentContext(config, script, fn=steps, destination_rev=target) as environment:
                environment.configure(connection=connection, version_table="schema_version")
                environment.run_migrations()
            for name in done:
                connection.exec_driver_sql(record, (name, _sha256(script, name)))
        with engine.connect() as connection:  # DDL in a write-ahead log is where databases get hurt: fold it in now
            connection.exec_driver_sql("CHECKPOINT")
    finally:
        engine.dispose()
    return done


def _refuse_edited(raw: duckdb.DuckDBPyConnection, script: ScriptDirectory) -> None:
    raw.execute(
        "CREATE TABLE IF NOT EXISTS schema_revisions "
        "(revision VARCHAR PRIMARY KEY, sha256 VARCHAR NOT NULL, applied_at TIMESTAMPTZ DEFAULT now())"
    )
    known = {step.revision for step in script.walk_revisions()}
    kept = raw.execute("SELECT revision, sha256 FROM schema_revisions ORDER BY revision").fetchall()
    for revision, sha256 in kept:
        if revision not in known:
            raise StorageFailed(
                f"The database was written by a newer Continual ML (schema {revision}). Install that version or newer"
            )
        if _sha256(script, revision) != sha256:
            raise StorageFailed(
                f"Schema revision {revision} was edited after it had been applied. Restore the file, and put the "
                "change in a new revision"
            )
    if kept and (missed := sorted(known - {row[0] for row in kept})) and missed[0] < kept[-1][0]:
        raise StorageFailed(f"Schema revision {missed[0]} comes before {kept[-1][0]}, which is applied. Renumber it")


def _sha256(script: ScriptDirectory, revision: str) -> str:
    return hashlib.sha256(Path(script.get_revision(revision).path).read_bytes()).hexdigest()

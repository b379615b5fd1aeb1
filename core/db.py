"""The one DuckDB file: how to open it, how work is done in it, how its schema grows.

One connection stays open for as long as the process lives; each piece of work gets a cursor of its own (0.04 ms),
because a connection shared by threads gives wrong answers. Writes are serialised by a lock: DuckDB would
refuse concurrent updates of one row, and one process is all that may write.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from core.errors import StorageBusy, StorageFailed

CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "1GB",
    "threads": 2,
    "max_temp_directory_size": "4GB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "python_enable_replacements": False,
}
BACKUPS = "backups"  # the one folder, beside the database, in which it may make other files
# After migration: no file but its own and those, no network, and no way to turn that back on.
LOCKDOWN = """SET GLOBAL TimeZone = 'UTC'; SET allowed_directories = ['{backups}/'];
SET enable_external_access = false; SET lock_configuration = true"""


class Database:
    """The open database. ``read`` and ``write`` lend a cursor for one piece of work."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writing = threading.RLock()
        self._opening = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        with self._opening:
            if self._connection is None:
                self._connection = connect(self.path)
                backups = str(self.path.parent.resolve() / BACKUPS).replace("'", "''")
                self._connection.execute(LOCKDOWN.format(backups=backups))
            return self._connection.cursor()

    @contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor that sees what is committed."""
        con = self._cursor()
        try:
            yield con
        except duckdb.FatalException as error:
            self.close()  # the instance is dead for readers too; the next piece of work opens it anew
            raise StorageFailed(_failed(self.path)) from error
        finally:
            con.close()

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A transaction: committed on leaving, rolled back on an exception. One at a time."""
        with self._writing, self.read() as con:
            con.begin()
            try:
                yield con
                con.commit()
            except duckdb.FatalException:
                raise
            except BaseException as error:
                _roll_back(con)
                if isinstance(error, (duckdb.IOException, duckdb.TransactionException)):
                    raise StorageFailed(_failed(self.path)) from error
                raise

    def close(self) -> None:
        with self._opening:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def connect(path: Path) -> duckdb.DuckDBPyConnection:
    """A connection to the file, made if need be; StorageBusy when another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return duckdb.connect(str(path), config=CONFIG)
    except duckdb.IOException as error:
        if "lock" in str(error):
            raise StorageBusy(
                f"The database {path} is in use by another process. Stop the other Continual ML, "
                "or give this one a folder of its own in CONTINUAL_DATA_DIR"
            ) from None
        raise StorageFailed(_failed(path)) from error


def _roll_back(con: duckdb.DuckDBPyConnection) -> None:
    try:
        con.rollback()
    except duckdb.Error:  # the failed commit has rolled back already
        pass


def _failed(path: Path) -> str:
    return f"The database {path} could not be written; what was acknowledged before is safe. Check the free disk space"

"""A copy of the whole database, made by DuckDB itself: to read the file while it is open would break its lock."""

from pathlib import Path

from duckdb import DuckDBPyConnection


def copy_to(con: DuckDBPyConnection, path: Path) -> None:
    """Copy all that is committed now into a new file, which must lie in a folder the database may write to.

    Others go on reading and writing meanwhile; what they commit after the beginning is not in the copy.
    """
    name = con.execute("SELECT current_database()").fetchall()[0][0]
    quoted = str(path.resolve()).replace("'", "''")
    con.execute(f"ATTACH '{quoted}' AS backup_copy")
    try:
        con.execute(f'COPY FROM DATABASE "{name}" TO backup_copy')
    finally:
        con.execute("DETACH backup_copy")

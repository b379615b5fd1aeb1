"""Keep a copy of the database schema as it is after the newest revision, in tests/schemas: `make schema`."""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))


def dump(path: Path) -> str:
    """The tables and sequences of a database as SQL, one statement a line, in order of their names."""
    import duckdb

    with duckdb.connect(str(path), read_only=True) as con:
        found = con.execute(
            "SELECT sql FROM duckdb_sequences() UNION ALL SELECT sql FROM duckdb_tables() WHERE NOT internal ORDER BY 1"
        ).fetchall()
    return "\n".join(row[0] for row in found) + "\n"


def main() -> None:
    from core.migrations import migrate

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "schema.duckdb"
        newest = migrate(path)[-1]
        target = ROOT / "tests" / "schemas" / f"{newest}.sql"
        target.parent.mkdir(exist_ok=True)
        target.write_text(dump(path))
    print(f"wrote {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

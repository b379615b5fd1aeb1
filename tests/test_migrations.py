"""The schema grows forward at start: in one transaction, never from an edited or unknown revision."""

import shutil
from pathlib import Path

import duckdb
import pytest

from core import migrations
from core.errors import StorageFailed
from core.migrations import migrate
from scripts.schema import dump

SCHEMAS = Path(__file__).parent / "schemas"
VERSIONS = sorted(path.stem[:4] for path in (migrations.HERE / "versions").glob("0*.py"))


@pytest.fixture
def folder(tmp_path):
    """A copy of the revisions, to break."""
    shutil.copytree(migrations.HERE, tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "migrations"


def add(folder, revision, after, up, down="pass"):
    text = f'"""x"""\nfrom alembic import op\nrevision = "{revision}"\ndown_revision = "{after}"\n'
    text += f"def upgrade():\n    {up}\ndef downgrade():\n    {down}\n"
    (folder / "versions" / f"{revision}_x.py").write_text(text)


def tables(path):
    with duckdb.connect(str(path)) as con:
        return {row[0] for row in con.execute("SHOW TABLES").fetchall()}


@pytest.mark.parametrize("revision", VERSIONS)
def test_each_revision_gives_the_schema_that_was_kept(tmp_path, revision):
    path = tmp_path / "x.duckdb"
    migrate(path, revision)
    assert dump(path) == (SCHEMAS / f"{revision}.sql").read_text()


@pytest.mark.parametrize("revision", VERSIONS[:-1])
def test_a_database_of_each_older_release_grows_up(tmp_path, revision):
    path = tmp_path / "x.duckdb"
    migrate(path, revision)
    assert migrate(path) == VERSIONS[VERSIONS.index(revision) + 1 :]
    assert dump(path) == (SCHEMAS / f"{VERSIONS[-1]}.sql").read_text()


def test_a_second_start_changes_nothing(tmp_path):
    assert migrate(tmp_path / "x.duckdb") == VERSIONS
    assert migrate(tmp_path / "x.duckdb") == []


def test_a_new_revision_is_applied_to_what_is_there_and_keeps_the_rows(tmp_path, folder):
    path = tmp_path / "x.duckdb"
    migrate(path)
    with duckdb.connect(str(path)) as con:
        con.execute("INSERT INTO heartbeats VALUES ('scheduler', now(), 'kept')")
    add(folder, "9001", VERSIONS[-1], 'op.execute("ALTER TABLE heartbeats ADD COLUMN more VARCHAR")')
    assert migrate(path, folder=folder) == ["9001"]
    with duckdb.connect(str(path)) as con:
        assert con.execute("SELECT detail, more FROM heartbeats").fetchall() == [("kept", None)]


def test_a_revision_that_fails_leaves_no_trace(tmp_path, folder):
    path = tmp_path / "x.duckdb"
    migrate(path)
    before = dump(path)
    add(folder, "9001", VERSIONS[-1], 'op.execute("CREATE TABLE first (x INTEGER)"); op.execute("nonsense")')
    with pytest.raises(Exception, match="nonsense"):
        migrate(path, folder=folder)
    assert dump(path) == before
    assert migrate(path) == []


def test_an_edited_revision_is_refused(tmp_path, folder):
    path = tmp_path / "x.duckdb"
    migrate(path, folder=folder)
    edited = next((folder / "versions").glob("0001*.py"))
    edited.write_text(edited.read_text() + "\n# a small change\n")
    with pytest.raises(StorageFailed, match="0001 was edited"):
        migrate(path, folder=folder)


def test_a_database_of_a_newer_release_is_refused(tmp_path, folder):
    path = tmp_path / "x.duckdb"
    add(folder, "9001", VERSIONS[-1], 'op.execute("CREATE TABLE tomorrow (x INTEGER)")')
    migrate(path, folder=folder)
    with pytest.raises(StorageFailed, match="newer Continual ML"):
        migrate(path)


def test_a_revision_that_slips_in_before_an_applied_one_is_refused(tmp_path, folder):
    path = tmp_path / "x.duckdb"
    add(folder, "9002", VERSIONS[-1], "pass")
    migrate(path, folder=folder)
    add(folder, "9001", VERSIONS[-1], "pass")
    with pytest.raises(StorageFailed, match="9001 comes before 9002"):
        migrate(path, folder=folder)


def test_down_takes_back_what_up_made(tmp_path):
    path = tmp_path / "x.duckdb"
    migrate(path)
    migrations.downgrade(path)
    assert tables(path) <= {"schema_version", "schema_revisions"}
    assert migrate(path) == VERSIONS

"""A backup is made while the app goes on, and one can start from it: the drill is the test."""

import threading
import zipfile

import duckdb
import pytest

from core import accounts, auth, backups, context, ingest, loop, prediction, projects, reasons
from core.errors import Conflict, NotFound
from core.policy import Policy
from core.records import SYSTEM, Role
from core.sources import SOURCES
from core.store import rows
from tests.conftest import NOW, PASSWORD

SEA = SOURCES["sea"]


@pytest.fixture
def project(ctx):
    policy = Policy(window_rows=50, warm_up_windows=2, scope="all", estimator="logistic", period=2)
    made = projects.create(ctx, SYSTEM, name="Sea", schema=SEA.schema, policy=policy, now=NOW)
    ingest.ingest(ctx, SYSTEM, made, SEA.draw(100, seed=1), source="test", now=NOW)
    loop.run_cycle(ctx, made, NOW)
    return made


def restored(ctx, name, folder):
    """The app's context over what the backup holds, as a start would open it."""
    with zipfile.ZipFile(ctx.settings.backups_dir / name) as archive:
        archive.extractall(folder)
    return context.opened(ctx.settings.model_copy(update={"data_dir": folder}))


def test_one_can_start_from_a_backup_and_the_champion_answers_the_same(ctx, people, project, tmp_path):
    name = backups.make(ctx, people[Role.ADMIN], NOW)
    asked = SEA.draw(20, seed=5).drop(columns=SEA.schema.target)
    expected = prediction.predict(ctx, SYSTEM, project, asked, source="x", now=NOW)
    again = restored(ctx, name, tmp_path / "again")
    try:
        answered = prediction.predict(again, SYSTEM, project, asked, source="x", now=NOW)
        assert answered.drop(columns=["row_id", "latency_ms"]).equals(expected.drop(columns=["row_id", "latency_ms"]))
        assert auth.check_password(again, "viewer", PASSWORD, "home", NOW)
        again.log.flush()
        with again.database.read() as con:
            assert rows.count(con, project.id) == 120
        loop.run_cycle(again, project, NOW)  # its ids go on, its keys hold
    finally:
        again.close()


def test_a_backup_under_writes_is_one_moment_of_the_database(ctx, people, project, tmp_path):
    stop, written = threading.Event(), []

    def write():
        while not stop.is_set():
            frame = SEA.draw(20, seed=1, offset=100 + 20 * len(written))
            written.append(ingest.ingest(ctx, SYSTEM, project, frame, source="test", now=NOW))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        names = [backups.make(ctx, SYSTEM, NOW.replace(minute=minute)) for minute in range(3)]
    finally:
        stop.set()
        writer.join()
    assert len(written) > 3
    for number, name in enumerate(names):
        again = restored(ctx, name, tmp_path / str(number))
        with again.database.read() as con:
            count = rows.count(con, project.id)
            batches = rows.batches(con, project.id)
        again.close()
        assert count % 20 == 0  # whole batches, and each with its line
        assert count == batches["last"].max()


def test_only_the_newest_are_kept_and_what_is_no_backup_is_not_handed_out(ctx, people):
    admin = people[Role.ADMIN]
    (ctx.settings.backups_dir).mkdir(parents=True, exist_ok=True)
    (ctx.settings.backups_dir / "mine.zip").write_text("not one of ours")
    names = [backups.make(ctx, admin, NOW.replace(minute=minute)) for minute in range(backups.KEPT + 2)]
    assert [kept.name for kept in backups.every(ctx, admin)] == names[::-1][: backups.KEPT]
    assert (ctx.settings.backups_dir / names[-1]).stat().st_mode & 0o077 == 0
    assert backups.read(ctx, admin, names[-1], NOW)[:2] == b"PK"
    for name in ("mine.zip", "../cookie.key", names[0], ""):
        with pytest.raises(NotFound):
            backups.read(ctx, admin, name, NOW)
    told = [reasons.sentence(deed.reason) for deed in accounts.trail(ctx, admin, limit=2)]
    assert told == [f"admin took the backup {names[-1]} away.", f"admin made the backup {names[-1]}."]


def test_what_a_cut_off_backup_left_is_swept_and_a_full_disk_is_told(ctx, people, monkeypatch):
    left = ctx.settings.backups_dir / "unfinished"
    left.mkdir(parents=True)
    (left / "continual.duckdb").write_text("half of it")
    backups.make(ctx, SYSTEM, NOW)
    assert not left.exists()
    monkeypatch.setattr(backups, "SPARE_BYTES", 10**18)
    with pytest.raises(Conflict, match="Make room"):
        backups.make(ctx, SYSTEM, NOW)
    assert not left.exists()


def test_the_database_writes_nowhere_but_to_the_folder_of_backups(ctx, tmp_path):
    inside = ctx.settings.backups_dir
    with ctx.database.read() as con:
        for path in (tmp_path / "x.duckdb", inside / ".." / "x.duckdb"):
            with pytest.raises(duckdb.PermissionException):
                con.execute(f"ATTACH '{path}' AS x")
        with pytest.raises(duckdb.PermissionException):
            con.execute(f"COPY users TO '{tmp_path}/users.csv'")
        with pytest.raises(duckdb.Error):
            con.execute("SET enable_external_access = true")

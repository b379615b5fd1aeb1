"""Backups: one file that holds the database and every registered model, and how to start from it again."""

import os
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core import auth
from core.context import Context
from core.errors import Conflict, NotFound
from core.records import Role, User
from core.store import audit, backup, models

KEPT = 5  # the newest ones
NAME = re.compile(r"continual-ml-\d{8}-\d{6}\.zip")
SPARE_BYTES = 200_000_000  # left free on the disk
RESTORE = """This is a backup of Continual ML, made {made_at:%Y-%m-%d %H:%M} UTC.

To start from it: unpack it into an empty folder, set CONTINUAL_DATA_DIR to that folder, and start the app.
It holds the database (rows, labels, decisions, accounts with hashed passwords, hashed tokens) and the models.
It does not hold the key of the sign-in cookies (a new one is made: everyone signs in again), logs, nor MLflow's own
database, which mirrors what is here.
"""


@dataclass(frozen=True)
class Backup:
    name: str
    made_at: datetime
    size: int  # bytes


def make(ctx: Context, actor: User, now: datetime, progress: Callable[[str], None] = lambda _: None) -> str:
    """Make a backup while the app goes on, keep the newest few, and return the name of the file.

    Raises Conflict when the disk has too little room for it.
    """
    auth.require(ctx, actor, Role.OPERATOR)
    folder, work = ctx.settings.backups_dir, ctx.settings.backups_dir / "unfinished"
    shutil.rmtree(work, ignore_errors=True)  # of a backup that was cut off
    folder.mkdir(exist_ok=True)
    work.mkdir(mode=0o700)
    try:
        _room_for(ctx, folder)
        progress("Copying the database")
        ctx.log.flush()
        with ctx.database.read() as con:
            backup.copy_to(con, work / ctx.settings.database_path.name)
            kept = models.paths(con)
        progress("Packing")
        name = f"continual-ml-{now.astimezone(UTC):%Y%m%d-%H%M%S}.zip"
        _pack(ctx, work, kept, work / name, now)
        (work / name).replace(folder / name)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    for old in _found(folder)[KEPT:]:
        (folder / old.name).unlink()
    with ctx.database.write() as con:
        audit.insert(con, actor.name, "backup_made", name, now)
    return name


def every(ctx: Context, actor: User) -> list[Backup]:
    """The backups that are kept, the newest first."""
    auth.require(ctx, actor, Role.ADMIN)
    return _found(ctx.settings.backups_dir)


def read(ctx: Context, actor: User, name: str, now: datetime) -> bytes:
    """The backup's content, to be taken away. Raises NotFound."""
    if name not in {kept.name for kept in every(ctx, actor)}:
        raise NotFound(f"There is no backup {name!r}; the newest {KEPT} are kept")
    with ctx.database.write() as con:
        audit.insert(con, actor.name, "backup_taken", name, now)
    return (ctx.settings.backups_dir / name).read_bytes()


def _found(folder: Path) -> list[Backup]:
    files = sorted((path for path in folder.glob("*.zip") if NAME.fullmatch(path.name)), reverse=True)
    return [
        Backup(path.name, datetime.strptime(path.name[13:28], "%Y%m%d-%H%M%S").replace(tzinfo=UTC), path.stat().st_size)
        for path in files
    ]


def _room_for(ctx: Context, folder: Path) -> None:
    """Copy and pack exist side by side for a while, so twice the size is needed."""
    files = [ctx.settings.database_path, *ctx.settings.models_dir.rglob("*")]
    needed = 2 * sum(path.stat().st_size for path in files if path.is_file()) + SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Conflict(
            f"A backup needs {needed / 1e6:,.0f} MB for a while, and {free / 1e6:,.0f} MB are free. Make room on the disk"
        )


def _pack(ctx: Context, work: Path, kept: set[str], target: Path, now: datetime) -> None:
    """One archive of the copied database and the models it names; readable by the app's user only."""
    target.touch(mode=0o600)
    with target.open("wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("RESTORE.txt", RESTORE.format(made_at=now.astimezone(UTC)))
            archive.write(work / ctx.settings.database_path.name, ctx.settings.database_path.name)
            for path in sorted({file for name in kept for file in _files(ctx.settings.data_dir / name)}):
                archive.write(path, path.relative_to(ctx.settings.data_dir), zipfile.ZIP_STORED)  # packed already
        file.flush()
        os.fsync(file.fileno())


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]

"""Is the app itself well? What cannot be told counts as not well."""

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta

from core import runs
from core.context import Context
from core.errors import ContinualError

LATE = timedelta(seconds=60)
LEAST_FREE = 200_000_000  # bytes


@dataclass(frozen=True)
class Component:
    name: str
    healthy: bool
    detail: str


def check(ctx: Context, now: datetime) -> tuple[Component, ...]:
    """Database, scheduler and disk, each with what was seen."""
    return (_database(ctx), _scheduler(ctx, now), _disk(ctx))


def _database(ctx: Context) -> Component:
    try:
        with ctx.database.read() as con:
            con.execute("SELECT 1").fetchall()
    except ContinualError as error:
        return Component("database", False, str(error))
    return Component("database", True, "answers")


def _scheduler(ctx: Context, now: datetime) -> Component:
    try:
        beat = runs.heartbeat(ctx)
    except ContinualError:
        return Component("scheduler", False, "its sign of life cannot be read")
    if beat is None:
        return Component("scheduler", False, "has not given a sign of life yet")
    seconds = (now - beat).total_seconds()
    return Component("scheduler", seconds <= LATE.total_seconds(), f"last sign of life {seconds:.0f} s ago")


def _disk(ctx: Context) -> Component:
    free = shutil.disk_usage(ctx.settings.data_dir).free
    return Component("disk", free >= LEAST_FREE, f"{free / 1e9:.1f} GB free")

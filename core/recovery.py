"""What a start mends after the process was killed: nothing acknowledged is lost, nothing half-done stays."""

import shutil
from datetime import datetime

from loguru import logger

from core import mirroring, runs
from core.context import Context
from core.records import SYSTEM
from core.store import models


def recover(ctx: Context, now: datetime) -> str:
    """Mark cut-off runs as interrupted, sweep what no run owns any more, mirror the champions to MLflow anew.

    Safe to repeat. Returns what was done, in a sentence.
    """
    interrupted = runs.recover(ctx, now)
    swept = _sweep(ctx)
    if interrupted or mirroring.behind(ctx):
        runs.request(ctx, SYSTEM, "mirror_registry", now=now)
    told = f"{interrupted} runs were interrupted, {swept} unfinished files swept"
    if interrupted or swept:
        logger.warning("start after an unclean stop: {}", told)
    return told


def _sweep(ctx: Context) -> int:
    """Remove model folders no version is registered for, and the scratch folders of dead workers."""
    with ctx.database.read() as con:
        registered = {ctx.settings.data_dir / path for path in models.paths(con)}
    # A registered path names the version's folder or a file in it.
    kept = {folder for path in registered for folder in (path, path.parent)}
    orphans = [f for f in ctx.settings.models_dir.glob("*/*") if f not in kept]
    scratch = list((ctx.settings.data_dir / "work").glob("*"))
    for folder in orphans + scratch:
        shutil.rmtree(folder, ignore_errors=True)
    return len(orphans) + len(scratch)

"""MLflow is told, in the background, what was trained and who is champion. The truth is in DuckDB.

Nothing waits for it: a version serves whether MLflow knows of it or not, and an MLflow that is away is told later.
"""

from collections.abc import Callable
from contextlib import closing
from datetime import datetime

from core import projects, worker
from core.context import Context
from core.records import ModelVersion
from core.store import models, rows
from core.store.codec import dump
from core.training import Worker

AT_ONCE = 20  # versions in one run
SECONDS = 180.0  # for one version; the first use of an MLflow store takes a while


def behind(ctx: Context) -> bool:
    """Whether there is something MLflow has not been told."""
    with ctx.database.read() as con:
        return bool(models.unlogged(con, limit=1) or models.unmirrored(con))


def mirror(ctx: Context, now: datetime, progress: Callable[[str], None] = lambda text: None) -> str:
    """Log the versions MLflow does not know, and point its champion aliases; returns what was done, in a sentence.

    Raises TrainingFailed when MLflow cannot be reached; what was told before that stays told.
    """
    with ctx.database.read() as con:
        versions, crowned = models.unlogged(con, limit=AT_ONCE), models.unmirrored(con)
        reigns = [reign for project in projects.every(ctx) if (reign := models.reign(con, project.id))]
    with closing(Worker()) as hand:
        logged = sum(_log(ctx, hand, model, now, progress) for model in versions)
        task = {"task": "mirror", "tracking_uri": ctx.settings.tracking_uri,
                "champions": {reign.project: reign.version for reign in reigns}}  # fmt: skip
        missing = hand.ask(task, seconds=SECONDS, progress=progress)["missing"]
    with ctx.database.write() as con:
        for reign in crowned:
            if f"{reign.project} v{reign.version}" not in missing:
                models.mark_mirrored(con, reign.id, now)
    unknown = f"; not known to MLflow: {', '.join(missing)}" if missing else ""
    return f"{logged} versions logged, {len(reigns)} champions mirrored{unknown}"


def _log(ctx: Context, hand: Worker, model: ModelVersion, now: datetime, progress: Callable[[str], None]) -> bool:
    """Tell MLflow of this version; False when its training rows are gone, so that it can only be skipped."""
    folder = ctx.settings.data_dir / model.path
    file = folder / worker.ROWS
    run = ""
    if file.exists():
        project = projects.get(ctx, model.project)
        with ctx.database.read() as con:
            times = [rows.ids(con, project.id, at, at + 1)["event_at"] for at in (model.first, model.last - 1)]
        task = {
            "task": "log", "tracking_uri": ctx.settings.tracking_uri, "folder": str(folder.resolve()),
            "artifacts": str(ctx.settings.data_dir / "mlartifacts"), "data_dir": str(ctx.settings.data_dir.resolve()),
            "model": dump(model), "schema": dump(project.schema),
            "span": [str(at.iloc[0]) if len(at) and at.notna().all() else "" for at in times],
        }  # fmt: skip
        run = hand.ask(task, seconds=SECONDS, progress=progress)["run"]
    with ctx.database.write() as con:
        models.mark_logged(con, model, run, now)
    file.unlink(missing_ok=True)
    return bool(run)

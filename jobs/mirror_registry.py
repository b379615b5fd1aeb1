"""Tell MLflow which versions are champions: the database knows, MLflow's alias mirrors it."""

from datetime import datetime, timedelta

from core import projects, training
from core.context import Context
from core.store import models
from jobs.job import Job, Run


def run(ctx: Context, run: Run) -> str:
    with ctx.database.read() as con:
        behind = models.unmirrored(con)
        reigns = [reign for project in projects.active(ctx) if (reign := models.reign(con, project.id))]
    missing = training.mirror(ctx, {reign.project: reign.version for reign in reigns})
    with ctx.database.write() as con:
        for reign in behind:
            models.mark_mirrored(con, reign.id, run.now())
    unknown = f"; MLflow does not know {', '.join(missing)}" if missing else ""
    return f"{len(reigns)} champions mirrored, {len(behind)} of them new{unknown}"


def has_work(ctx: Context, project: str | None, now: datetime) -> bool:
    with ctx.database.read() as con:
        return bool(models.unmirrored(con))


JOB = Job("mirror_registry", "Mirror to MLflow", run, every=lambda s: timedelta(minutes=1), has_work=has_work)

"""Tell MLflow what was trained and who is champion: the database knows, MLflow mirrors it."""

from datetime import datetime, timedelta

from core import mirroring
from core.context import Context
from core.words import mark
from jobs.job import Job, Run


def run(ctx: Context, run: Run) -> str:
    return mirroring.mirror(ctx, run.now(), run.progress)


def has_work(ctx: Context, project: str | None, now: datetime) -> bool:
    return mirroring.behind(ctx)


JOB = Job("mirror_registry", mark("Mirror to MLflow"), run, every=lambda s: timedelta(minutes=1), has_work=has_work)

"""A report of each project's week, sent to the alert channels with its picture. Off until somebody resumes it."""

from datetime import datetime

from core import reports
from core.context import Context
from jobs.job import Job, Run


def run(ctx: Context, run: Run) -> str:
    now = run.now()
    return reports.make(
        ctx, run.user, run.of, since=now - reports.WEEK, until=now, language=reports.house_language(ctx), tell=True,
        now=now, progress=run.progress,
    )  # fmt: skip


def has_work(ctx: Context, project: str | None, now: datetime) -> bool:
    return project is not None and reports.anything_judged(ctx, project, now - reports.WEEK, now)


JOB = Job(
    "weekly_report",
    "Weekly report",
    run,
    every=lambda s: reports.WEEK,
    per_project=True,
    has_work=has_work,
    enabled_by_default=False,
    lane="report",
    at_once=1,
)

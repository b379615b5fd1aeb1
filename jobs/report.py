"""Make a report that a person asked for."""

from datetime import datetime

from core import reports
from core.context import Context
from jobs.job import Job, Run


def run(ctx: Context, run: Run) -> str:
    asked = run.arguments
    return reports.make(
        ctx, run.user, run.of, since=datetime.fromisoformat(asked["since"]),
        until=datetime.fromisoformat(asked["until"]), language=asked["language"], tell=asked.get("tell", False),
        now=run.now(), progress=run.progress,
    )  # fmt: skip


JOB = Job("report", "Make a report", run, per_project=True, lane="report", at_once=1)

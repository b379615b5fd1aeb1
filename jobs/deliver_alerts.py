"""Send the alerts that wait."""

from datetime import datetime, timedelta

from core import alerting
from core.context import Context
from core.words import mark
from jobs.job import Job, Run


def run(ctx: Context, run: Run) -> str:
    return alerting.deliver_due(ctx, run.now())


def has_work(ctx: Context, project: str | None, now: datetime) -> bool:
    return alerting.anything_due(ctx, now)


# No retry: what was not delivered is due again by itself, when the channel's pause is over.
JOB = Job(
    "deliver_alerts", mark("Deliver alerts"), run, every=lambda s: timedelta(seconds=1), has_work=has_work, retries=0
)

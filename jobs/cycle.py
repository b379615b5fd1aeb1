"""One turn of the loop: observe, decide, and act on it."""

from datetime import timedelta

from core import loop
from core.context import Context
from core.words import mark
from jobs.job import Job, Run


def run(ctx: Context, run: Run) -> str:
    return loop.run_cycle(ctx, run.of, run.now(), run.progress, run=run.id)


JOB = Job(
    "cycle",
    mark("Check the model"),
    run,
    every=lambda s: timedelta(seconds=s.check_interval_seconds),
    per_project=True,
    lane="judgement",
)

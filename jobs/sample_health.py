"""Note how the app and the machine are, for the Health page."""

from core import health
from core.context import Context
from jobs.job import Job, Run


def run(ctx: Context, run: Run) -> str:
    return health.sample(ctx, run.now())


# No retry: a minute that was not sampled is a gap, and the next one comes soon.
JOB = Job("sample_health", "Look at the app's health", run, every=lambda s: health.SAMPLED_EVERY, retries=0)

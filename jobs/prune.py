"""Forget what nobody will look up any more, so that the database stays small."""

from datetime import timedelta

from core import alerting, auth, health, reports, runs
from core.context import Context
from core.words import mark
from jobs.job import Job, Run


def run(ctx: Context, run: Run) -> str:
    attempts, deliveries = runs.prune(ctx, run.now()), alerting.prune(ctx, run.now())
    auth.prune(ctx, run.now())
    deleted, samples = reports.prune(ctx, run.now()), health.prune(ctx, run.now())
    return (
        f"{attempts} old runs, {deliveries} failed deliveries, {deleted} deleted reports and {samples} samples of health"
        " forgotten"
    )


JOB = Job("prune", mark("Forget old runs"), run, every=lambda s: timedelta(days=1))

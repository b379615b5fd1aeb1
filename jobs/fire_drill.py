"""Rehearse a failure: retries, the record of each attempt, and the alert, without touching a model."""

import random
from datetime import timedelta

from core import alerting
from core.context import Context
from core.errors import TrainingFailed
from core.records import Alert, Reason, Severity
from core.words import mark
from jobs.job import Job, Run

FAILS_BELOW = 0.5


def run(ctx: Context, run: Run) -> str:
    """Draw a number, anew in each attempt; below 0.5 simulate a retrain that fails."""
    number = random.Random(f"{run.id}/{run.attempt}").random()
    run.progress(f"drew {number:.2f}")
    if number < FAILS_BELOW:
        raise TrainingFailed(f"Fire drill: drew {number:.2f}, below {FAILS_BELOW}, so a failing retrain is simulated")
    with ctx.database.write() as con:
        alerting.raise_alert(con, Alert(run.now(), Severity.OK, Reason("fire_drill", {"number": number})))
    return f"drew {number:.2f}: all is well"


JOB = Job(
    "fire_drill",
    mark("Fire drill"),
    run,
    every=lambda s: timedelta(seconds=s.check_interval_seconds),
    enabled_by_default=False,
)

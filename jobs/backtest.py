"""Try policies on the project's own history, because a person asked for it."""

from core import backtesting
from core.context import Context
from core.policy import Policy
from core.words import mark
from jobs.job import Job, Run


def run(ctx: Context, run: Run) -> str:
    draft = run.arguments.get("draft")
    return backtesting.run(
        ctx, run.user, run.of, run=run.id, label_delay=run.arguments.get("label_delay"),
        draft=Policy.from_json(draft) if draft else None, now=run.now(), progress=run.progress,
    )  # fmt: skip


# No retry: it would fail again just the same, and somebody waits for it.
JOB = Job(backtesting.JOB, mark("Try policies"), run, per_project=True, at_once=1, retries=0)

"""Train a challenger because a person asked for it."""

from core import loop
from core.context import Context
from core.words import mark
from jobs.job import Job, Run


def run(ctx: Context, run: Run) -> str:
    chosen = {name: run.arguments[name] for name in ("estimator",) if run.arguments.get(name)}
    return loop.retrain(
        ctx, run.user, run.of, reason=run.arguments.get("reason", ""), now=run.now(), progress=run.progress,
        run=run.id, **chosen,
    )  # fmt: skip


JOB = Job("retrain", mark("Retrain now"), run, per_project=True, lane="judgement", at_once=1)

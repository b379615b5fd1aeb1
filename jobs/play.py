"""Feed the next rows of the bundled streams that are being played."""

from datetime import datetime, timedelta

from core import playing
from core.context import Context
from core.store import plays
from core.words import mark
from jobs.job import Job, Run

TICK = timedelta(seconds=2)


def run(ctx: Context, run: Run) -> str:
    return playing.advance(ctx, run.of, run.now())


def has_work(ctx: Context, project: str | None, now: datetime) -> bool:
    with ctx.database.read() as con:
        return any(play.project == project for play in plays.playing(con))


# No retry: the next turn comes sooner than a retry would help, and takes up where the stored rows end.
JOB = Job(
    "play", mark("Play bundled streams"), run, every=lambda s: TICK, per_project=True, has_work=has_work, retries=0
)

"""Reports: what a project did over a period, frozen into files one can download, print, send and share."""

from datetime import datetime

from core import performance, projects, runs
from core.context import Context
from core.errors import InvalidInput
from core.policy import Approval, Memory
from core.records import Action, Project
from core.snapshot import MOST_DECISIONS, MOST_POINTS, Coming, Moment, Snapshot, heat, points
from core.store import decisions, labels, models, performances, predictions, rows
from core.store.decisions import Entry

JUDGED = tuple(action for action in Action if action is not Action.WAIT)
DID = tuple(action for action in Action if action not in (Action.WAIT, Action.NOTHING))


def freeze(
    ctx: Context, project: Project, since: datetime, until: datetime, *, made_by: str, now: datetime
) -> Snapshot:
    """The project's figures and reasons over ``[since, until)``, as they were known at its end.

    What happens next is told as of ``now``. Raises InvalidInput for a period that ends before it begins.
    """
    if not since < until:
        raise InvalidInput(f"The period begins at {since:%Y-%m-%d %H:%M} and ends at {until:%Y-%m-%d %H:%M}: let it begin before it ends")  # fmt: skip
    period = project.id, since, until
    metric = performance.headline(project.schema)
    with ctx.database.read() as con:
        scores = performances.during(con, *period, windows=MOST_POINTS)
        drift = decisions.scores_during(con, *period)
        state = decisions.during(con, *period, actions=JUDGED, limit=1)
        did = decisions.during(con, *period, actions=DID, limit=MOST_DECISIONS)
        reign = models.reign(con, project.id, as_of=until)
        return Snapshot(
            project.id, project.name, since, until, now, made_by, metric, len(project.schema.names),
            _moment(state[0]) if state else None,
            reign.version if reign else None, reign.began_at if reign else None,
            points(scores, metric), performances.count_during(con, *period), heat(drift, project.schema.names),
            predictions.count_during(con, *period), rows.count_during(con, *period), labels.count_during(con, *period),
            decisions.counts_during(con, *period), tuple(_moment(entry) for entry in did), _coming(ctx, project),
            ctx.settings.public_url,
        )  # fmt: skip


def _moment(entry: Entry) -> Moment:
    return Moment(entry.id or 0, entry.decided_at, entry.action, entry.actor, entry.reasons, entry.version,
                  entry.window_number, entry.nearest_flip, entry.comparison, entry.cause)  # fmt: skip


def _coming(ctx: Context, project: Project) -> Coming:
    policy = projects.policy(ctx, project.id)[1]
    with ctx.database.read() as con:
        kept, count = decisions.memory(con, project.id), rows.count(con, project.id)
    window = Memory.from_json(kept).next_window if kept else 0
    filling = min(max(count - window * policy.window_rows, 0), policy.window_rows)
    return Coming(
        window, filling, policy.window_rows, policy.mature_share, ctx.settings.check_interval_seconds,
        runs.job_states(ctx, ["cycle"])["cycle"].paused, policy.retrains, policy.approval is Approval.MANUAL,
    )  # fmt: skip

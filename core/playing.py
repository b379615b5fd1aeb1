"""Bundled streams played as live traffic: rows come first, their labels a chosen number of rows later."""

from dataclasses import replace
from datetime import datetime

import pandas as pd

from core import auth, ingest, projects, runs
from core.context import Context
from core.errors import Conflict, InvalidInput, NotFound
from core.evidence import Memory
from core.policy import Policy
from core.records import SYSTEM, Project, Role, User
from core.sources import SOURCES
from core.store import decisions, models, plays
from core.store import projects as project_store
from core.store.plays import Play

MOST_ROWS_PER_TICK = 5_000
ROW_ID = "order"  # the running number every bundled stream has


def begin(
    ctx: Context,
    user: User,
    source: str,
    *,
    policy: Policy | None = None,
    rows_per_tick: int = 500,
    label_delay_rows: int = 0,
    now: datetime,
) -> Project:
    """A project that plays this bundled stream: its first rows are there with their labels, and the rest follows.

    The one that plays it already is resumed. Raises NotFound (no such stream), InvalidInput.
    """
    auth.require(ctx, user, Role.OPERATOR)
    stream = SOURCES.get(source)
    if stream is None or stream.kind != "bundled":
        raise NotFound(f"There is no bundled stream {source!r}")
    if not 1 <= rows_per_tick <= MOST_ROWS_PER_TICK or label_delay_rows < 0:
        raise InvalidInput(
            f"{rows_per_tick} rows a tick and {label_delay_rows} rows of label delay: take 1 to {MOST_ROWS_PER_TICK} "
            "rows, and a delay of 0 or more"
        )
    if (project := _playing(ctx, source)) is not None:
        set_pace(
            ctx, user, project, playing=True, rows_per_tick=rows_per_tick, label_delay_rows=label_delay_rows, now=now
        )
        return project
    policy = policy or Policy()
    project = projects.create(
        ctx,
        user,
        name=stream.label,
        schema=replace(stream.schema, row_id=ROW_ID),
        source=source,
        policy=policy,
        now=now,
    )
    ingest.ingest(
        ctx, user, project, stream.read(0, policy.warm_up_windows * policy.window_rows), source=source, now=now
    )
    with ctx.database.write() as con:
        plays.put(con, Play(project.id, source, rows_per_tick, label_delay_rows, True, now))
    return project


def set_pace(
    ctx: Context,
    user: User,
    project: Project,
    *,
    playing: bool,
    rows_per_tick: int | None = None,
    label_delay_rows: int | None = None,
    now: datetime,
) -> None:
    """Go on playing, or pause; faster or slower. Raises Conflict when the project plays nothing."""
    auth.require(ctx, user, Role.OPERATOR)
    with ctx.database.write() as con:
        play = plays.get(con, project.id)
        if play is None:
            raise Conflict(f"Project {project.name!r} plays no bundled stream")
        plays.put(
            con,
            replace(
                play, playing=playing, rows_per_tick=rows_per_tick or play.rows_per_tick,
                label_delay_rows=play.label_delay_rows if label_delay_rows is None else label_delay_rows, changed_at=now,
            ),
        )  # fmt: skip


def advance(ctx: Context, project: Project, now: datetime) -> str:
    """Feed the next rows of the stream, and the labels that are due by now; returns what was fed, in a sentence.

    It keeps step with judgement: no row comes before there is a champion to answer it, or while a full window still
    waits to be judged. After a crash it goes on where the stored rows end.
    """
    with ctx.database.read() as con:
        play = plays.get(con, project.id)
        fed, labelled = plays.progress(con, play) if play else (0, 0)
        kept = decisions.memory(con, project.id)
        reign = models.reign(con, project.id)
    if play is None or not play.playing:
        return "nothing is playing"
    judged = Memory.from_json(kept).next_window if kept else 0
    if reign is None or fed // projects.policy(ctx, project.id)[1].window_rows > judged:
        runs.request(ctx, SYSTEM, "cycle", project.id, now=now)
        return "waits for the first champion" if reign is None else "waits for the check of the last window"
    stream = SOURCES[play.source]
    cursor = min(fed + play.rows_per_tick, stream.rows)
    if cursor > fed:
        frame = stream.read(fed, cursor).drop(columns=project.schema.target)
        ingest.ingest(ctx, SYSTEM, project, frame, source=play.source, now=now)
    due = cursor if cursor == stream.rows else max(labelled, cursor - play.label_delay_rows)
    if due > labelled:
        frame = stream.read(labelled, due)
        offered = pd.DataFrame({"row_id": frame[ROW_ID], "value": frame[project.schema.target]})
        ingest.record_labels(ctx, SYSTEM, project, offered, source=play.source, now=now)
    runs.request(ctx, SYSTEM, "cycle", project.id, now=now)
    if cursor == stream.rows:
        set_pace(ctx, SYSTEM, project, playing=False, now=now)
    end = "; the stream has ended" if cursor == stream.rows else ""
    return f"{cursor - fed} rows and {due - labelled} labels of {play.source}{end}"


def _playing(ctx: Context, source: str) -> Project | None:
    with ctx.database.read() as con:
        found = [project for project in project_store.every(con) if project.source == source]
    return found[0] if found else None

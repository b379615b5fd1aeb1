"""Is the app itself well? What cannot be told is unknown, and unknown is never shown as well.

`check` is what `/health` answers by. `survey` looks at more, is sampled each minute and kept for 30 days: a minute
without a sample (the app was down, asleep, or could not write) is a gap, of which nothing is claimed.
"""

import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import pandas as pd

from core import alerting, latency, mirroring, runs
from core.context import Context
from core.errors import ContinualError
from core.pictures import pictures_available
from core.reasons import sentence
from core.records import Outcome, Reason
from core.store import health as store
from core.store import models
from core.store.codec import dump
from core.store.health import Resources

LATE = timedelta(seconds=60)
LEAST_FREE = 200_000_000  # bytes
SLOW_SECONDS = 1.0  # for the database's answer
PROOF_HOLDS = timedelta(days=1)  # an alert that was delivered longer ago says nothing about now
SAMPLED_EVERY = timedelta(minutes=1)
KEPT = timedelta(days=30)
STALE = timedelta(minutes=3)  # after that, the newest sample does not tell how things are now

_process: dict = sys.__dict__.setdefault("_continual_ml", {})  # type: ignore[type-arg]


class State(StrEnum):
    UP = "up"
    SLOW = "slow"  # works, and not as it should
    DOWN = "down"
    UNKNOWN = "unknown"
    OFF = "off"  # not set up: nothing is expected of it


@dataclass(frozen=True)
class Component:
    name: str
    state: State
    reason: Reason

    @property
    def healthy(self) -> bool:
        return self.state in (State.UP, State.SLOW)

    @property
    def detail(self) -> str:
        return sentence(self.reason)


@dataclass(frozen=True)
class Uptime:
    """``share`` of the time that is known in which the component worked; None when nothing is known.

    ``known`` is the time there are samples for, of ``of``.
    """

    share: float | None
    known: timedelta
    of: timedelta


# ---- now -----------------------------------------------------------------------------------------
def check(ctx: Context, now: datetime) -> tuple[Component, ...]:
    """Database, scheduler and disk, each with what was seen: without these nothing works."""
    return (_database(ctx, now), _scheduler(ctx, now), _disk(ctx, now))


def survey(ctx: Context, now: datetime) -> tuple[Component, ...]:
    """The app, what `check` looks at, and what it can do without for a while: MLflow's mirror, channels, pictures."""
    return (_app(ctx, now), *check(ctx, now), *(_guarded(look, ctx, now) for look in (_mirror, _discord, _pictures)))


def _guarded(look: Callable[[Context, datetime], Component], ctx: Context, now: datetime) -> Component:
    try:
        return look(ctx, now)
    except ContinualError as error:
        return Component(look.__name__.strip("_"), State.UNKNOWN, Reason("health_unreadable", {"message": str(error)}))


def _app(_ctx: Context, now: datetime) -> Component:
    import psutil

    minutes = (now.timestamp() - psutil.Process().create_time()) / 60
    return Component("app", State.UP, Reason("app_running", {"hours": max(minutes, 0.0) / 60}))


def _database(ctx: Context, _now: datetime) -> Component:
    began = time.monotonic()
    try:
        with ctx.database.read() as con:
            con.execute("SELECT 1").fetchall()
    except ContinualError as error:
        return Component("database", State.DOWN, Reason("health_unreadable", {"message": str(error)}))
    took = time.monotonic() - began
    state = State.UP if took < SLOW_SECONDS else State.SLOW
    return Component("database", state, Reason("database_answers", {"milliseconds": took * 1e3}))


def _scheduler(ctx: Context, now: datetime) -> Component:
    try:
        beat = runs.heartbeat(ctx)
    except ContinualError as error:
        return Component("scheduler", State.DOWN, Reason("health_unreadable", {"message": str(error)}))
    if beat is None:
        return Component("scheduler", State.DOWN, Reason("scheduler_silent"))
    late = now - beat > LATE
    params = {"seconds": (now - beat).total_seconds()}
    return Component("scheduler", State.DOWN if late else State.UP, Reason("scheduler_beats", params))


def _disk(ctx: Context, _now: datetime) -> Component:
    free = shutil.disk_usage(ctx.settings.data_dir).free
    state = State.UP if free >= LEAST_FREE else State.DOWN
    return Component("disk", state, Reason("disk_free", {"gigabytes": free / 1e9}))


def _mirror(ctx: Context, _now: datetime) -> Component:
    with ctx.database.read() as con:
        versions = bool(models.paths(con))
    job = runs.job_states(ctx, ["mirror_registry"])["mirror_registry"]
    behind = mirroring.behind(ctx)
    if behind and job.last_outcome is Outcome.FAILED:
        return Component("mirror", State.DOWN, Reason("mirror_failing"))
    if behind or not versions:
        return Component("mirror", State.UNKNOWN, Reason("mirror_waiting" if behind else "mirror_empty"))
    return Component("mirror", State.UP, Reason("mirror_whole"))


def _discord(ctx: Context, now: datetime) -> Component:
    channel = next(state for state in alerting.channel_states(ctx) if state.name == "discord")
    if not channel.configured:
        return Component("discord", State.OFF, channel.reason)
    if channel.healthy is None or channel.last_tried_at is None:
        return Component("discord", State.UNKNOWN, channel.reason)
    age = now - channel.last_tried_at
    if channel.healthy and age > PROOF_HOLDS:
        return Component("discord", State.UNKNOWN, Reason("channel_proof_old", {"days": age / timedelta(days=1)}))
    return Component("discord", State.UP if channel.healthy else State.DOWN, channel.reason)


def _pictures(_ctx: Context, _now: datetime) -> Component:
    if pictures_available().available:
        return Component("pictures", State.UP, Reason("pictures_on"))
    return Component("pictures", State.OFF, Reason("pictures_off"))


# ---- over time -----------------------------------------------------------------------------------
def sample(ctx: Context, now: datetime) -> str:
    """Take one sample and keep it; returns what was seen, in a sentence."""
    seen = survey(ctx, now)
    measured = resources(ctx)
    with ctx.database.write() as con:
        store.insert(con, now, [(c.name, c.state, dump(c.reason)) for c in seen], measured)
    trouble = [f"{c.name} {c.state}: {c.detail}" for c in seen if not c.healthy and c.state is not State.OFF]
    return "; ".join(trouble) or "all that can be told is well"


def resources(ctx: Context) -> Resources:
    """How busy the machine is since the last call, the app's memory with its workers', what is free, the p95."""
    import psutil

    me = psutil.Process()
    memory = 0
    for process in (me, *me.children(recursive=True)):
        try:
            memory += process.memory_info().rss
        except psutil.Error:  # it has ended meanwhile
            continue
    times = psutil.cpu_times()
    counted = (sum(times) - getattr(times, "guest", 0.0), times.idle + getattr(times, "iowait", 0.0))
    before, _process["cpu_times"] = _process.get("cpu_times"), counted
    free = shutil.disk_usage(ctx.settings.data_dir).free
    return Resources(busy_share(before, counted), memory, free, latency.p95())


def busy_share(before: tuple[float, float] | None, after: tuple[float, float]) -> float | None:
    """The share of (all, idle) processor seconds that was not idle, 0 to 1; None when no time has passed.

    >>> busy_share((100.0, 50.0), (110.0, 57.5)), busy_share(None, (110.0, 57.5))
    (0.25, None)
    """
    if before is None or after[0] <= before[0]:
        return None
    return min(max(1 - (after[1] - before[1]) / (after[0] - before[0]), 0.0), 1.0)


def history(ctx: Context, now: datetime, *, span: timedelta, bars: int) -> pd.DataFrame:
    """Each component over the last ``span`` in so many bars: component, bar (0 is the oldest), state, known (the share
    of the bar there are samples for).

    A bar shows the worst that was seen in it; with samples for less than half of it, no more than trouble is claimed.
    """
    width = span / bars
    with ctx.database.read() as con:
        counted = store.states(con, since=now - span, width=width)
    counted["span"] = counted["span"].clip(upper=bars - 1)  # a sample of this very moment
    table = counted.pivot_table(
        index=["component", "span"], columns="state", values="samples", aggfunc="sum", fill_value=0
    )
    rows = []
    for (component, bar), samples in zip(table.index, table.to_dict("records"), strict=True):
        seen = Counter({State(str(state)): int(count) for state, count in samples.items()})
        known = min(sum(seen[state] for state in (State.UP, State.SLOW, State.DOWN)) * SAMPLED_EVERY / width, 1.0)
        rows.append((component, int(bar), _worst(seen, known), known))
    return pd.DataFrame(rows, columns=["component", "bar", "state", "known"])


def uptime(ctx: Context, now: datetime, *, span: timedelta) -> dict[str, Uptime]:
    """By component: the share of the known time it worked in, over the last ``span``."""
    with ctx.database.read() as con:
        counted = store.states(con, since=now - span, width=span)
    found = {}
    for component, states in counted.groupby("component"):
        seen = states.groupby("state")["samples"].sum().to_dict()
        worked, down = seen.get("up", 0) + seen.get("slow", 0), seen.get("down", 0)
        known = min((worked + down) * SAMPLED_EVERY, span)
        found[str(component)] = Uptime(worked / (worked + down) if worked + down else None, known, span)
    return found


def measured(ctx: Context, now: datetime, *, span: timedelta, bars: int) -> pd.DataFrame:
    """The resources over the last ``span`` in so many steps, one row each, empty where nothing was measured: at, cpu
    (0 to 1), memory_bytes, disk_free_bytes, p95_ms."""
    width = span / bars
    with ctx.database.read() as con:
        found = store.resources(con, since=now - span, width=width)
    steps = found.set_index("span").reindex(range(bars)).astype(float)
    return steps.assign(at=[now - span + (step + 0.5) * width for step in range(bars)])


def newest(ctx: Context) -> tuple[datetime, Resources] | None:
    """The newest sample of the resources, and when it was taken."""
    with ctx.database.read() as con:
        return store.newest(con)


def prune(ctx: Context, now: datetime) -> int:
    """Forget the samples older than 30 days; returns how many."""
    with ctx.database.write() as con:
        return store.prune(con, before=now - KEPT)


def _worst(seen: Counter[State], known: float) -> State:
    worst = next((state for state in (State.DOWN, State.SLOW) if seen[state]), None)
    if worst:
        return worst
    if known >= 0.5:
        return State.UP
    return State.OFF if seen[State.OFF] and not seen[State.UP] and not seen[State.UNKNOWN] else State.UNKNOWN

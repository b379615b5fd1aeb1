"""A backtest of a project's own history: asked for, played in a worker process, kept, and put to use."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core import auth, backtest, policy_words, projects, reasons, replay, runs, training, turn
from core.backtest import Advice, Backtest, Recorded, Standing
from core.context import Context
from core.errors import Conflict, InvalidInput, NotEnoughRows, NotFound
from core.policy import Policy
from core.records import Project, Reason, Role, User
from core.store import backtests, labels, rows
from core.store.codec import load
from core.store.runs import RunRow

JOB = "backtest"
LONGEST_DELAY = replay.LONGEST_DELAY


@dataclass(frozen=True)
class Kept:
    """A backtest that was kept: the run that made it, when, and for whom."""

    run: int
    made_at: datetime
    made_by: str
    test: Backtest


@dataclass(frozen=True)
class Position:
    """How far a backtest under way has come: which policy is played, and windows played of all."""

    policy: str
    done: int
    windows: int

    @property
    def share(self) -> float:
        return self.done / self.windows


# ---- asking --------------------------------------------------------------------------------------
def request(
    ctx: Context, user: User, project: Project, *, label_delay: int | None = None, draft: Policy | None = None,
    now: datetime,
) -> int:  # fmt: skip
    """Ask for a backtest; returns the id of its run, or of the one that is under way.

    ``label_delay`` in windows; None takes the labels as late as they really came. ``draft`` is a policy that is not in
    force, to be played beside the others. Raises NotEnoughRows, InvalidInput, Conflict (another backtest is under way,
    which does not play the draft).
    """
    auth.require(ctx, user, Role.OPERATOR)
    if label_delay is not None and not 0 <= label_delay <= LONGEST_DELAY:
        raise InvalidInput(f"The label delay is {label_delay} windows; it must be 0 to {LONGEST_DELAY}")
    _, policy = projects.policy(ctx, project.id)
    backtest.contestants(policy, draft)
    first, last = span(ctx, project, policy)
    with ctx.database.read() as con:
        known = labels.span(con, project.id, first * policy.window_rows, last * policy.window_rows)
    if lacking := turn.lacking(known, project.schema):
        raise NotEnoughRows(f"{reasons.sentence(lacking)} Record labels on Data")
    if (waiting := under_way(ctx, project)) is not None:
        if draft is not None:
            raise Conflict("Another backtest of this project is under way. Let it end, or cancel it on Try policies")
        return waiting.id
    asked_for = {"label_delay": label_delay} | ({"draft": draft.to_json()} if draft else {})
    return runs.request(ctx, user, JOB, project.id, asked_for, now=now)


def scored_windows(ctx: Context, project: Project) -> int:
    """How many windows a backtest would score now. Raises NotEnoughRows when that is none."""
    _, policy = projects.policy(ctx, project.id)
    first, last = span(ctx, project, policy)
    return last - first - policy.warm_up_windows


def under_way(ctx: Context, project: Project) -> RunRow | None:
    """The project's backtest that runs or waits."""
    return next((run for run in runs.active(ctx, project.id) if run.job == JOB), None)


def position(run: RunRow) -> Position | None:
    """How far the run has come; None while nothing is known of it."""
    name, _, counts = run.progress.partition(" ")
    done, _, windows = counts.partition("/")
    return Position(name, int(done), int(windows)) if done.isdigit() and windows.isdigit() else None


def latest(ctx: Context, project: Project) -> Kept | None:
    """The project's newest backtest."""
    with ctx.database.read() as con:
        found = backtests.latest(con, project.id)
    if found is None:
        return None
    run, text, made_at, made_by = found
    return Kept(run, made_at, made_by, load(Backtest, text))


def standings(kept: Kept) -> tuple[Standing, ...]:
    """A line for every policy that was played."""
    return backtest.standings(kept.test)


def advice(kept: Kept, price: float | None = None) -> Advice:
    """Which policy to take at this price of a retrain (the policy's own, if None)."""
    return backtest.advise(kept.test, price)


def told(reason: Reason, language: str) -> Reason:
    """The reason with its policies called by their labels in this language."""
    return backtest.told(reason, language)


# ---- playing -------------------------------------------------------------------------------------
def run(
    ctx: Context,
    user: User,
    project: Project,
    *,
    run: int,
    label_delay: int | None,
    draft: Policy | None = None,
    now: datetime,
    progress: Callable[[str], None],
) -> str:
    """Play the policies over the project's history, keep what came of it, and say it in a sentence."""
    auth.require(ctx, user, Role.OPERATOR)
    ctx.log.flush()
    _, policy = projects.policy(ctx, project.id)
    with training.worker_process() as hand:
        progress("reading the history")
        text = training.backtest(
            ctx, hand, project, history(ctx, project, policy), policy, label_delay=label_delay, draft=draft,
            progress=progress,
        )  # fmt: skip
    test: Backtest = load(Backtest, text)
    with ctx.database.write() as con:
        backtests.insert(con, run, project.id, text, user.name, now)
    advice = backtest.advise(test)
    told = f"recommended: {advice.name}" if advice.name else "the history is too short to tell"
    return f"{len(test.trials)} policies over {test.windows} windows; {told}"


def span(ctx: Context, project: Project, policy: Policy) -> tuple[int, int]:
    """The windows ``[first, last)`` that a backtest would play: the newest, up to the last one with mature labels.

    Raises NotEnoughRows when nothing would be left after the warm-up.
    """
    size = policy.window_rows
    with ctx.database.read() as con:
        full = rows.count(con, project.id) // size
        counts = labels.by_window(con, project.id, size, newest=1_000_000)
    mature = [window + 1 for window, count in counts.items() if window < full and count >= policy.mature_share * size]
    last = max(mature, default=0)
    if last <= policy.warm_up_windows:
        raise NotEnoughRows(
            f"The labelled history is {last} windows of {size:,} rows; at least {policy.warm_up_windows + 1} are needed, "
            f"{policy.warm_up_windows} of them to warm up. Bring more rows and labels on Data, or make the window or the "
            "warm-up smaller"
        )
    return last - backtest.newest(policy, last, len(project.schema.features)), last


def history(ctx: Context, project: Project, policy: Policy) -> Recorded:
    """The project's newest labelled windows, with the turn at whose end each label was there."""
    first, last = span(ctx, project, policy)
    size = policy.window_rows
    with ctx.database.read() as con:
        features = rows.span(con, project.id, project.schema, first * size, last * size)
        answers = labels.arrived(con, project.id, first * size, last * size)
        batches = rows.batches(con, project.id, limit=10_000_000).sort_values("first")
    ends = np.arange(first + 1, last + 1) * size - 1  # a window is full when its last row is there
    at = np.searchsorted(batches["last"].to_numpy(), ends, side="right")
    full_at = _naive(batches["arrived_at"])[at]
    usable = backtest.usable_turns(full_at, _naive(answers["arrived_at"]), size)
    in_bulk = bool((np.diff(at) == 0).mean() > 0.5) if len(at) > 1 else True
    values = answers["value"] if project.schema.task.is_classification else answers["value"].astype(float)
    return Recorded(features.reset_index(drop=True), values.reset_index(drop=True), usable, in_bulk, first)


def _naive(times: "pd.Series[pd.Timestamp]") -> NDArray[np.datetime64]:
    return pd.to_datetime(times, utc=True).dt.tz_localize(None).to_numpy(dtype="datetime64[us]")


# ---- putting it to use ---------------------------------------------------------------------------
def adopt(ctx: Context, user: User, project: Project, kept: Kept, name: str, now: datetime) -> int:
    """Judge by this policy of the backtest from now on; returns the policy's version.

    Who approves promotions stays as it is. Raises NotFound (the backtest did not play it), Forbidden.
    """
    trial = next((trial for trial in kept.test.trials if trial.name == name), None)
    if trial is None:
        raise NotFound(f"The backtest of run {kept.run} did not play a policy {name!r}")
    _, current = projects.policy(ctx, project.id)
    why = f"backtest of run {kept.run}: {policy_words.NAMES[name]}"
    return projects.set_policy(ctx, user, project.id, replace(trial.policy, approval=current.approval), now, why=why)

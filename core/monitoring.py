"""How the model is doing where labels are missing, and where its answers go wrong: what the Monitoring page reads.

A guess is made as soon as a window is full, from the labelled windows that were known when it was served, and kept:
it is reconciled with what the labels say when they come. No decision hangs on it.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
from loguru import logger

from core import estimation, performance, turn
from core.breakdown import Answered
from core.context import Context
from core.errors import NotEnoughRows
from core.estimation import Reconciled, Trust
from core.policy import Policy
from core.records import Guess, Project
from core.store import guesses, labels, performances, predictions
from core.training import Worker
from core.world import StoreWorld

CALIBRATED_ON = 4  # labelled windows, the newest
MOST_GUESSES = 60  # windows that one call looks back
MOST_WATCHED = 300_000  # rows of a reign
HISTORY = 400  # windows of labels and scores that are read


@dataclass(frozen=True)
class Guessed:
    """A window's guess, and what the score was (None while its labels are immature)."""

    window: int
    guess: Guess
    realised: float | None


def estimates(ctx: Context, project: Project, policy: Policy, *, windows: int = 120) -> tuple[list[Guessed], Trust]:
    """The guesses of the newest windows, oldest first, and whether guesses deserve to be shown now.

    That is judged by all windows that are read, however few are asked for.
    """
    with ctx.database.read() as con:
        kept = guesses.newest(con, project.id, windows=HISTORY)
        scores = performances.latest(con, project.id, windows=HISTORY)
    realised = _realised(scores, project, policy)
    found = [Guessed(window, guess, realised.get(window)) for window, guess in kept.items()]
    past = [Reconciled(one.guess, one.realised) for one in found if one.realised is not None]
    return found[-windows:], estimation.trust(past)


@dataclass(frozen=True)
class Watched:
    """The loss of a champion since its first labelled window, which is what it is held to.

    ``loss`` (share of wrong answers, or absolute error) is the mean over ``rows``, and ``low`` to ``high`` hold it at
    every look at once (95 %; all three None while rows are too few). ``risen_after`` is after how many rows a rise above
    ``limit`` was proven, None while it is not.
    """

    version: int
    rows: int
    limit: float
    loss: float | None
    low: float | None
    high: float | None
    risen_after: int | None


def watched(ctx: Context, project: Project, policy: Policy, version: int) -> Watched | None:
    """How the loss of this version has gone, row by row (`performance.watch`); None before its first labelled window.

    Rows whose labels are missing are passed over: the limits hold if a label does not come the later for what it says.
    """
    with ctx.database.read() as con:
        rows = predictions.judged(con, project.id, version, most=MOST_WATCHED)
    if len(rows) < max(policy.window_rows, performance.FEWEST_ROWS):
        return None
    if project.schema.task.is_classification:
        losses = np.asarray(rows["answer"] != rows["label"], dtype=np.float64)
    else:
        losses = np.asarray((rows["answer"].astype(float) - rows["label"].astype(float)).abs(), dtype=np.float64)
    first, rest = losses[: policy.window_rows], losses[policy.window_rows :]
    seen = performance.look(performance.watch(first), rest)
    loss, low, high = performance.loss_so_far(seen) or (None, None, None)
    return Watched(version, len(rest), seen.limit, loss, low, high, seen.alarm_at)


def answered(ctx: Context, project: Project, first: int, last: int) -> Answered:
    """The rows [first, last) with what was answered and the labels that have arrived."""
    return _answered(StoreWorld(ctx, project, project.created_at, lambda _: None, Worker()), first, last)


def _answered(world: StoreWorld, first: int, last: int) -> Answered:
    said = world.answers(first, last)
    return Answered(world.rows(first, last), world.labels(first, last).to_numpy(), said.labels, said.probabilities)


def _realised(scores: pd.DataFrame, project: Project, policy: Policy) -> dict[int, float]:
    """The headline score of each window whose labels are mature."""
    metric = performance.headline(project.schema)
    mature = scores[(scores["metric"] == metric) & (scores["maturity"] >= policy.mature_share)]
    return dict(zip(mature["window_number"].astype(int), mature["value"].astype(float), strict=True))


# ---- guessing ------------------------------------------------------------------------------------
def guess(world: StoreWorld, policy: Policy, now: datetime) -> int:
    """Guess the score of each full window that has none yet; how many could be guessed."""
    ctx, project, size = world.ctx, world.project, policy.window_rows
    full = world.rows_count() // size
    with ctx.database.read() as con:
        kept = guesses.newest(con, project.id, windows=HISTORY)
        arrived = labels.arrivals(con, project.id, size, newest=HISTORY)
        scores = performances.latest(con, project.id, windows=HISTORY)
    realised = _realised(scores, project, policy)
    mature = {window: at for window, (count, at) in arrived.items() if count >= policy.mature_share * size}
    made = 0
    for window in range(max(full - MOST_GUESSES, max(kept, default=-1) + 1, 0), full):
        with ctx.database.read() as con:
            served = predictions.span(con, project.id, *turn.span(policy, window))
        if served.empty:
            continue
        then = served["predicted_at"].max()
        known = sorted(other for other, at in mature.items() if other < window and at <= then)
        past = [Reconciled(kept[other], realised[other]) for other in known if other in kept and other in realised]
        if (found := _guess(world, policy, window, known, past)) is not None:
            version = int(served["version"].iloc[-1])
            with ctx.database.write() as con:
                guesses.insert(con, project.id, window, version, found, now)
            kept[window] = found
            made += 1
    return made


def _guess(world: StoreWorld, policy: Policy, window: int, known: list[int], past: list[Reconciled]) -> Guess | None:
    """The guess of one window from the newest labelled ones known then; None while they are too few."""
    told = [_answered(world, *turn.span(policy, other)) for other in known[-CALIBRATED_ON:]]
    if not told:
        return None
    joined = _joined(told)
    try:
        calibration = estimation.calibrate(
            joined.labels, joined.answers, joined.probabilities, world.schema, window_rows=policy.window_rows,
            rows=joined.rows,
        )  # fmt: skip
    except NotEnoughRows as error:
        logger.debug("window {} of {} is not guessed: {}", window, world.project.id, error)
        return None
    now = _answered(world, *turn.span(policy, window))
    return estimation.guess(
        calibration, now.answers, now.probabilities, world.schema, rows=now.rows, past=past, age=window - known[-1]
    )


def _joined(parts: list[Answered]) -> Answered:
    chances = [part.probabilities for part in parts if part.probabilities is not None]
    return Answered(
        pd.concat([part.rows for part in parts], ignore_index=True),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.answers for part in parts]),
        np.concatenate(chances) if chances else None,
    )

"""Policies compared on the same history: what each would have scored, what it would have cost, and which to take.

Every policy is replayed (`core.replay`) over the same windows, with labels as late as they really were, by the same
estimator and seed. The policies then differ in what they did alone, so they are compared window by window: the
difference of two policies in one window is free of what made that window hard or easy.

A retrain costs something, or everybody would retrain always. ``price`` says what, in the unit of the policy itself
(`core.policy.Policy.price`): 0.2 means as much as one window with a loss a fifth above the usual. So what a policy
*costs* in a window is its loss there, in units of the mean loss of the policy in force, plus the price if it retrained.

``python -m core.backtest FILE --target y --json`` does the same from a shell.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from core import commands, reasons, replay, turn
from core.errors import InvalidInput, NotEnoughRows
from core.policy import PRESETS, Approval, Policy
from core.policy_words import NAMES, SETTINGS
from core.records import Action, Reason, Schema, Task
from core.words import say

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

FEWEST_WINDOWS = 20  # scored ones; with fewer nothing is recommended
MOST_WORK = 12_000_000  # cells that a policy that retrains at every window would learn from, in all
MOST_WINDOWS, LEAST_WINDOWS = 160, 40  # that are played, whatever the work
STRETCH = 4  # windows in a row whose mean is the worst stretch
LEVEL = 0.05  # of intervals, and of one comparison
CHANGE_LEVEL = 0.1  # how often, at most, another policy is recommended though none is better
MARGIN = 0.05  # of a window's loss: what may be left on the table without a word
WAVES = 5
NEVER_USABLE = np.iinfo(np.int64).max

SCHEDULED = "every_8"
WINDOWS = ("window_rows", "warm_up_windows", "mature_share")


@dataclass(frozen=True)
class Trial:
    """What one policy did with the history.

    ``losses`` is its mean loss in each scored window (error rate or mean absolute error), ``retrained`` the scored
    windows after which it retrained, counted from 0. ``fit_seconds`` is what its fits take, whether or not another
    policy had made them before.
    """

    name: str
    policy: Policy
    losses: tuple[float, ...]
    retrained: tuple[int, ...]
    promotions: int
    rollbacks: int
    fit_seconds: float


@dataclass(frozen=True)
class Backtest:
    """Policies on one history. ``first_window`` is the first scored one, by the project's count.

    ``delay`` is the median of how many windows late the labels were; ``as_recorded``: by when they really arrived.
    ``in_bulk``: the rows came in a few big files, so that when they arrived tells nothing of how late labels are.
    """

    metric: str
    regression: bool
    rows: int
    window_rows: int
    first_window: int
    current: str
    trials: tuple[Trial, ...]
    delay: float = 0.0
    as_recorded: bool = False
    in_bulk: bool = False

    @property
    def windows(self) -> int:
        """How many were scored."""
        return len(self.trials[0].losses)

    def trial(self, name: str) -> Trial:
        return next(trial for trial in self.trials if trial.name == name)


@dataclass(frozen=True, eq=False)
class Recorded:
    """The newest labelled windows of a project, ready to be played; ``usable`` as `usable_turns` gives it."""

    features: pd.DataFrame
    labels: "pd.Series[Any]"
    usable: NDArray[np.int64]
    in_bulk: bool
    first_window: int


@dataclass(frozen=True)
class Interval:
    """A mean with its two-sided interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Standing:
    """One line of the table. Scores are accuracies, or mean absolute errors for numbers; intervals are 95 %.

    ``worst`` is the score of the worst `STRETCH` windows in a row, which begin at window ``worst_at``; ``gain`` what it
    scores better than the current policy (positive is better, for both tasks); ``cost`` its mean loss and retrains
    together, in units of the current policy's loss.
    """

    name: str
    score: Interval
    gain: Interval
    retrains: int
    promotions: int
    rollbacks: int
    fit_seconds: float
    worst: float
    worst_at: int
    cost: float


@dataclass(frozen=True)
class Advice:
    """The policy to take, and why; None where the history is too short to tell. ``change``: it is not the current one."""

    name: str | None
    change: bool
    reasons: tuple[Reason, ...]


# ---- playing -------------------------------------------------------------------------------------
def contestants(current: Policy, draft: Policy | None = None) -> dict[str, Policy]:
    """The policies to compare, in the project's own windows and with its estimator, and a draft of another.

    One that is a preset in all but its name goes by the preset's. A person's approval is taken to be
    given at once: what a policy is worth is asked, not how quick somebody clicks. Raises InvalidInput for a draft that
    judges other windows than the current policy: the two are compared window by window.
    """
    if draft is not None and (other := [name for name in WINDOWS if getattr(draft, name) != getattr(current, name)]):
        said = "; ".join(
            f"{SETTINGS[name].label}: {getattr(draft, name):g}, not {getattr(current, name):g}" for name in other
        )
        raise InvalidInput(
            f"The draft judges other windows than the policy in force ({said}), and policies are compared window by window. "
            "Leave these settings as they are"
        )
    here = {
        name: getattr(current, name)
        for name in ("estimator", "window_rows", "warm_up_windows", "mature_share", "most_rows", "sliding_windows")
    }
    here |= {"approval": Approval.AUTOMATIC}
    played = {name: replace(preset, **here) for name, preset in PRESETS.items()}
    played[SCHEDULED] = replace(played["always"], name=SCHEDULED, period=8)
    mine = replace(current, approval=Approval.AUTOMATIC)
    if same_as(mine, played) is None:
        played["current"] = mine
    if draft is not None and same_as(drafted := replace(draft, approval=Approval.AUTOMATIC), played) is None:
        played["draft"] = drafted
    return {name: played[name] for name in NAMES if name in played}


def same_as(policy: Policy, others: Mapping[str, Policy]) -> str | None:
    """The name of the one that is the same in all but its name."""
    return next((name for name, other in others.items() if replace(other, name=policy.name) == policy), None)


def newest(policy: Policy, windows: int, columns: int) -> int:
    """How many of the newest windows to play, so that it ends in minutes: as many as `MOST_WORK` allows.

    >>> newest(Policy(window_rows=500), 1000, 8), newest(Policy(window_rows=500), 30, 8)
    (79, 30)
    """
    learned = np.minimum(np.arange(1, MOST_WINDOWS + 1) * policy.window_rows, policy.most_rows) * columns
    affordable = int((np.cumsum(learned) <= MOST_WORK).sum())
    return min(windows, max(affordable, LEAST_WINDOWS, policy.warm_up_windows + FEWEST_WINDOWS))


def usable_turns(full_at: ArrayLike, arrived_at: ArrayLike, window_rows: int) -> NDArray[np.int64]:
    """The turn at whose end each label was there, from times (datetime64): when each window was full, and when each
    row's label came (NaT: not yet). A window's own labels are there at the end of its turn at the earliest.

    >>> days = np.array(["2026-01-01", "2026-01-02", "2026-01-03"], dtype="datetime64[us]")
    >>> usable_turns(days, days[[0, 2, 1]], 1)[:2].tolist()
    [0, 2]
    """
    full = np.maximum.accumulate(np.asarray(full_at, dtype="datetime64[us]"))
    arrived = np.asarray(arrived_at, dtype="datetime64[us]")
    turns = np.searchsorted(full, arrived, side="left")
    known = ~np.isnat(arrived) & (turns < len(full))
    own = np.arange(len(arrived)) // window_rows
    return np.where(known, np.maximum(turns, own), NEVER_USABLE)


def compare(
    features: pd.DataFrame,
    labels: "pd.Series[Any]",
    schema: Schema,
    current: Policy,
    *,
    label_delay: int = 0,
    usable: NDArray[np.int64] | None = None,
    in_bulk: bool = False,
    first_window: int = 0,
    seed: int = 0,
    draft: Policy | None = None,
    policies: Mapping[str, Policy] | None = None,
    progress: Progress = lambda name, done, all_of: None,
) -> Backtest:
    """Replay every policy over this history (see `replay.replay` for its arguments).

    ``policies`` are the `contestants`, ``draft`` among them, unless others are given; the current one must be one of them. ``first_window`` is the project's number of the history's first window. ``progress`` is told which policy is being
    played, how many windows have been and how many there are, over all policies; what it raises ends the backtest.
    Raises NotEnoughRows, InvalidInput.
    """
    windows = len(features) // current.window_rows
    _playable(current, windows)
    rows = windows * current.window_rows
    features, labels = features.iloc[:rows], labels.iloc[:rows]
    usable = None if usable is None else usable[:rows]
    policies = contestants(current, draft) if policies is None else policies
    shared: replay.Shared = {}
    trials: list[Trial] = []
    for number, (name, policy) in enumerate(policies.items()):
        before, total = number * windows, len(policies) * windows

        def played(done: int, _of: int, name: str = name, before: int = before, total: int = total) -> None:
            progress(name, before + done, total)

        found = replay.replay(
            features, labels, schema, policy, label_delay=label_delay, seed=seed, usable=usable, shared=shared,
            progress=played,
        )  # fmt: skip
        trials.append(_trial(name, policy, found))
    kept = _scored_windows(trials)
    own = np.arange(rows) // current.window_rows
    late = None if usable is None else usable[usable != NEVER_USABLE] - own[usable != NEVER_USABLE]
    mine = replace(current, approval=Approval.AUTOMATIC)
    return Backtest(
        turn.metric(schema),
        schema.task is Task.REGRESSION,
        rows,
        current.window_rows,
        first_window + current.warm_up_windows + int(kept[0]),
        same_as(mine, policies) or "current",
        tuple(_kept(trial, kept) for trial in trials),
        float(label_delay if late is None else np.median(late) if len(late) else 0.0),
        usable is not None,
        in_bulk,
    )


def _playable(policy: Policy, windows: int) -> None:
    """Raise unless there is something to score after the warm-up."""
    needed = policy.warm_up_windows + 1
    if windows < needed:
        raise NotEnoughRows(
            f"The labelled history is {windows} windows of {policy.window_rows:,} rows; at least {needed} are needed, "
            f"{policy.warm_up_windows} of them to warm up. Bring more rows and labels, or make the window or the "
            "warm-up smaller"
        )


def _trial(name: str, policy: Policy, played: replay.Replay) -> Trial:
    began = next((step.turn for step in played.steps if step.action is Action.RETRAIN), policy.warm_up_windows)
    retrained = tuple(
        step.turn - policy.warm_up_windows
        for step in played.steps
        if step.action is Action.RETRAIN and step.turn > began
    )
    return Trial(
        name,
        policy,
        played.losses,
        retrained,
        played.count(Action.PROMOTE),
        played.count(Action.ROLL_BACK),
        round(played.fit_seconds, 3),
    )


def _scored_windows(trials: Sequence[Trial]) -> NDArray[np.int64]:
    """The windows that all trials answered and that have labels, counted from 0 after the warm-up."""
    kept = np.flatnonzero(np.isfinite([trial.losses for trial in trials]).all(axis=0))
    if not len(kept):
        raise NotEnoughRows("No window after the warm-up has both answers and labels. Record labels on Data")
    return kept


def _kept(trial: Trial, kept: NDArray[np.int64]) -> Trial:
    """The trial over these windows. Retrains in others count for the window before them: they have been paid for."""
    return replace(
        trial,
        losses=tuple(trial.losses[at] for at in kept),
        retrained=tuple(max(int(np.searchsorted(kept, at, side="right")) - 1, 0) for at in trial.retrained),
    )


# ---- judging -------------------------------------------------------------------------------------
def interval(values: ArrayLike, level: float = LEVEL) -> Interval:
    """The mean of a series of windows, and its two-sided interval, which holds for neighbours that depend.

    Where one policy retrained and the other did not, they go on differing for windows: the spread of single windows
    would make too little of that. The long-run variance is estimated from the `WAVES` slowest cosine waves in the
    series, with Student's t of as many degrees of freedom (Müller, Journal of Econometrics 2007; Lazarus, Lewis,
    Stock & Watson, Journal of Business & Economic Statistics 2018).
    """
    series = np.asarray(values, dtype=np.float64)
    mean, error = float(series.mean()), _error(series)
    half = _t(1 - level / 2) * error
    return Interval(mean, mean - half, mean + half)


def _error(series: Floats) -> float:
    """The standard error of the mean by the long-run variance; infinite for a series too short to tell."""
    count = len(series)
    if count <= WAVES:
        return float("inf")
    at = (np.arange(count) + 0.5) / count
    waves = np.sqrt(2 / count) * np.cos(np.pi * np.outer(np.arange(1, WAVES + 1), at))
    return float(np.sqrt(((waves @ (series - series.mean())) ** 2).mean() / count))


@cache
def _t(quantile: float) -> float:
    return float(stats.t.ppf(quantile, WAVES))


def standings(test: Backtest) -> tuple[Standing, ...]:
    """Every policy's line, in the order of the trials."""
    current = np.array(test.trial(test.current).losses)
    lines = []
    for trial in test.trials:
        losses = np.array(trial.losses)
        mean = interval(losses)
        score = mean if test.regression else Interval(1 - mean.mean, max(1 - mean.high, 0.0), min(1 - mean.low, 1.0))
        worst_at, worst = _worst(losses)
        lines.append(
            Standing(
                trial.name,
                score,
                interval(current - losses),
                len(trial.retrained),
                trial.promotions,
                trial.rollbacks,
                trial.fit_seconds,
                worst if test.regression else 1 - worst,
                test.first_window + worst_at,
                float(costs(test, trial, test.trial(test.current).policy.price).mean()),
            )
        )
    return tuple(lines)


def _worst(losses: Floats) -> tuple[int, float]:
    """Where the worst `STRETCH` windows in a row begin, and their mean loss."""
    length = min(STRETCH, len(losses))
    means = np.convolve(losses, np.ones(length) / length, mode="valid")
    at = int(means.argmax())
    return at, float(means[at])


def costs(test: Backtest, trial: Trial, price: float) -> Floats:
    """What the policy cost in each scored window: its loss in units of the current policy's mean, plus its retrains."""
    unit = float(np.mean(test.trial(test.current).losses)) or 1.0
    retrains = np.bincount(trial.retrained, minlength=test.windows) if trial.retrained else np.zeros(test.windows)
    return np.asarray(np.array(trial.losses) / unit + price * retrains, dtype=np.float64)


def advise(test: Backtest, price: float | None = None) -> Advice:
    """Which policy to take, at this price of a retrain (the current policy's, if None).

    1. With fewer than `FEWEST_WINDOWS` scored windows: unknown.
    2. Where policies are significantly cheaper than the current one (one-sided `CHANGE_LEVEL` over all of them,
       Bonferroni): of these, the one with the fewest retrains that is not significantly dearer than the cheapest.
    3. Else the current one stays, if it is the cheapest, or if the best of the others would save at most `MARGIN` of a
       window's loss a window.
    4. Else this history cannot tell: unknown.
    """
    chosen = test.trial(test.current).policy.price if price is None else price
    if test.windows < FEWEST_WINDOWS:
        return Advice(None, False, (Reason("backtest_short", {"windows": test.windows, "needed": FEWEST_WINDOWS}),))
    cost = {trial.name: costs(test, trial, chosen) for trial in test.trials}
    others = [name for name in cost if name != test.current]
    level = CHANGE_LEVEL / len(others)
    saved = {name: cost[test.current] - cost[name] for name in others}
    better = [name for name in others if _proven(saved[name], level)]
    if better:
        best = min(better, key=lambda name: float(cost[name].mean()))
        near = [name for name in better if name == best or not _proven(cost[name] - cost[best], LEVEL)]
        taken = min(near, key=lambda name: (len(test.trial(name).retrained), float(cost[name].mean())))
        return Advice(taken, True, _why_change(test, taken, best, near, saved[taken], chosen, level))
    best = min(others, key=lambda name: float(cost[name].mean()))
    seen = interval(saved[best], 2 * LEVEL)
    params: dict[str, Any] = {"policy": best, "price": chosen, "gain": seen.mean}
    if seen.mean > 0 and seen.high > MARGIN:
        wide = interval(saved[best], 2 * level)
        params |= {"low": wide.low, "high": wide.high, "windows": test.windows}
        return Advice(None, False, (Reason("backtest_unknown", params),))
    params |= {"low": seen.low, "high": seen.high}
    code = "backtest_keep"
    if seen.mean < 0:  # said as what it costs: nobody reads "saved -3 %" at once
        code, params = "backtest_keep_dearer", {**params, "gain": -seen.mean, "low": -seen.high, "high": -seen.low}
    return Advice(test.current, False, (Reason(code, params), *_why_not_always(test, test.current)))


def _proven(series: Floats, level: float) -> bool:
    """Is the mean of the series above zero, one-sided, at this level?"""
    return float(series.mean()) - _t(1 - level) * _error(series) > 0


def _why_change(
    test: Backtest, taken: str, best: str, near: Sequence[str], saved: Floats, price: float, level: float
) -> tuple[Reason, ...]:
    low = float(saved.mean()) - _t(1 - level) * _error(saved)
    found = [Reason("backtest_change", {"policy": taken, "price": price, "gain": float(saved.mean()), "low": low})]
    if len(near) > 1:
        retrains = len(test.trial(taken).retrained)
        params = {"policy": taken, "best": best, "retrains": retrains, "windows": test.windows}
        found.append(Reason("backtest_fewest", params))
    return (*found, *_why_not_always(test, taken))


def _why_not_always(test: Backtest, taken: str) -> tuple[Reason, ...]:
    """The policy that scored best, if it is not the one taken and scored clearly better: what it would take."""
    losses = {trial.name: np.array(trial.losses) for trial in test.trials}
    best = min(losses, key=lambda name: float(losses[name].mean()))
    gain = losses[taken] - losses[best]
    more = len(test.trial(best).retrained) - len(test.trial(taken).retrained)
    if best == taken or more <= 0 or not _proven(gain, LEVEL):
        return ()
    relative = float(gain.mean() / losses[taken].mean())
    return (Reason("backtest_costs_more", {"policy": best, "share": relative, "more": more}),)


def told(reason: Reason, language: str = "en") -> Reason:
    """The reason with its policies called by their labels, for `reasons.sentence`."""
    named = {key: say(NAMES[value], language) for key, value in reason.params.items() if key in ("policy", "best")}
    return Reason(reason.code, reason.params | named)


# ---- the command ---------------------------------------------------------------------------------
def as_json(test: Backtest) -> dict[str, Any]:
    """What the command prints."""
    advice = advise(test)
    return {
        "rows": test.rows,
        "windows": test.windows,
        "metric": "mae" if test.regression else "accuracy",
        "label_delay": test.delay,
        "current": test.current,
        "policies": [asdict(line) for line in standings(test)],
        "recommended": advice.name,
        "change": advice.change,
        "why": [reasons.sentence(told(reason)) for reason in advice.reasons],
        "reasons": [asdict(reason) for reason in advice.reasons],
    }


def in_words(test: Backtest) -> str:
    """A table, a line a policy, and the recommendation."""
    advice, scale, unit = advise(test), *((1.0, "MAE") if test.regression else (100.0, "accuracy %"))
    head = f"{'policy':<16} {unit:>10} {'95 % interval':>18} {'retrains':>8} {'against yours':>26} {'cost':>6}"
    lines = [
        f"{NAMES[line.name]:<16} {scale * line.score.mean:>10.4g} "
        f"{f'{scale * line.score.low:.4g} to {scale * line.score.high:.4g}':>18} {line.retrains:>8} "
        f"{'yours' if line.name == test.current else _against(line.gain, scale):>26} {line.cost:>6.3f}"
        for line in standings(test)
    ]
    return "\n".join([head, *lines, "", *(reasons.sentence(told(reason)) for reason in advice.reasons)])


def _against(gain: Interval, scale: float) -> str:
    return f"{scale * gain.mean:+.3g} ({scale * gain.low:+.3g} to {scale * gain.high:+.3g})"


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 when the policy given may stay, 1 when another is recommended, 2 when it cannot be told."""
    parser = argparse.ArgumentParser(
        "python -m core.backtest", description="Which policy would have served a history best, and at what cost."
    )
    replay.add_arguments(parser)
    given = parser.parse_args(arguments)

    def work() -> tuple[str, int]:
        policy = replay.policy_of(given)
        features, labels, schema = replay.read(given.file, given.target, given.order)
        windows = len(features) // policy.window_rows
        first = windows - newest(policy, windows, len(schema.features))
        rows = slice(first * policy.window_rows, windows * policy.window_rows)
        test = compare(
            features.iloc[rows], labels.iloc[rows], schema, policy, label_delay=given.label_delay, first_window=first,
            seed=given.seed,
        )  # fmt: skip
        advice = advise(test)
        code = commands.CANNOT if advice.name is None else int(advice.change)
        return commands.to_json(as_json(test)) if given.json else in_words(test), code

    return commands.end(work, as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())

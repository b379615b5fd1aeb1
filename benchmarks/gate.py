"""Whether the gate and the rollback keep what they promise: python -m benchmarks.gate [--runs 500] [--seed 0] [--streams]

Simulated are the row losses of two models on the same rows; judged they are by the functions and presets that the app
uses: the veto of `balanced` and the superiority of `careful` by `core.challenge.ruling`, the trial of a challenger that asked
for more rows and the rollback by `core.decide.decide`, window by window.

What is assumed of the pairing is printed with every line. *Disagreement* is the share of rows on which exactly one of
the two models is right: for a given difference it alone decides how much a paired comparison can see. *Dependence* is
the coefficient of an autoregressive process of order one behind the rows' differences (losses that come in runs);
*wobble* the standard deviation, from window to window, of the true difference itself. The bars of the project are for
10 % disagreement, rows that do not depend on each other, no wobble; the other lines show what becomes of them.

``--streams`` measures what is assumed instead: how the paired differences of champion and predecessor behave when
`balanced` is replayed over the bundled streams.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.signal import lfilter

from benchmarks import recovery
from core import challenge, gate, replay
from core.decide import decide
from core.evidence import Contender, Evidence, Judged, Memory, VersionLoss
from core.policy import PRESETS, Policy
from core.records import Action

Floats = NDArray[np.float64]
ERROR = 0.2  # the champion's share of wrong answers
OLD, NEW = 1, 2  # versions
LOOKS = 20
REIGNS, REIGN = 4, 5  # earlier reigns of a project, and their windows


@dataclass(frozen=True)
class Pairing:
    """How two models' losses go together on the same rows."""

    disagreement: float = 0.1
    dependence: float = 0.0
    wobble: float = 0.0

    def __str__(self) -> str:
        return f"{self.disagreement:.0%} | {self.dependence:g} | {self.wobble:.0%}"


def window(draw: np.random.Generator, rows: int, gain: float, how: Pairing) -> tuple[Floats, Floats]:
    """0/1 losses of two models on the rows of a window, the second better by ``gain`` on average.

    Where they differ follows the latent process: its upper tail are rows that only the second gets right, its lower
    tail those that only the first does, so that runs of either kind are as long as the dependence makes them.
    """
    share = np.clip(gain + how.wobble * draw.standard_normal(), -how.disagreement, how.disagreement)
    place = stats.norm.cdf(latent(draw, rows, how.dependence))
    second_right = place > 1 - (how.disagreement + share) / 2
    first_right = place < (how.disagreement - share) / 2
    both = (ERROR - (how.disagreement + gain) / 2) / (1 - how.disagreement)
    both_wrong = ~(second_right | first_right) & (draw.random(rows) < both)
    return (second_right | both_wrong).astype(float), (first_right | both_wrong).astype(float)


def latent(draw: np.random.Generator, rows: int, coefficient: float) -> Floats:
    """A stationary autoregressive process of order one with unit variance."""
    noise = draw.standard_normal(rows)
    noise[1:] *= np.sqrt(1 - coefficient**2)
    return np.asarray(lfilter([1.0], [1.0, -coefficient], noise))


def numbers(draw: np.random.Generator, rows: int, worse: float) -> tuple[Floats, Floats]:
    """Absolute errors of two regressions, heavy-tailed (Student's t, 4 degrees of freedom) and correlated by 0.9, the
    second larger by the share ``worse``.
    """
    common, own = draw.standard_normal((2, rows)), np.sqrt(draw.chisquare(4, rows) / 4)
    first, second = common[0], 0.9 * common[0] + np.sqrt(1 - 0.81) * common[1]
    return np.abs(first / own), (1 + worse) * np.abs(second / own)


# ---- the three judges -------------------------------------------------------------------------------
def challenged(policy: Policy, losses: tuple[Floats, Floats]) -> str:
    """The verdict of the gate on champion and challenger."""
    ours, theirs = losses
    blocks = gate.blocks(ours), gate.blocks(theirs)
    return challenge.ruling(policy, *blocks, metric="error", rows=len(ours), found=()).verdict


def tried(policy: Policy, draw: np.random.Generator, gain: float, how: Pairing) -> tuple[bool, int]:
    """Whether the challenger ends as champion, and after how many rows: windows come as long as it is on trial."""
    rows = policy.window_rows
    first = window(draw, rows, gain, how)
    verdict = challenged(policy, first)
    if verdict != "need_more_rows":
        return verdict == "promote", rows
    blocks = gate.blocks(first[0]) - gate.blocks(first[1])
    memory = Memory(
        champion=Contender(OLD, "all", 0, 0), challenger=Contender(NEW, "all", 0, 0), crowned=0, challenged=0,
        next_window=1, trial=gate.Tally().plus(blocks), trial_rows=rows,
    )  # fmt: skip
    for number in range(1, LOOKS):
        judged = looked_at(number, window(draw, rows, gain, how))
        decision, memory = decide(policy, Evidence(number, rows * (number + 1), (judged,)), memory)
        if decision.action in (Action.PROMOTE, Action.HOLD):
            return decision.action is Action.PROMOTE, rows * (number + 1)
    raise AssertionError("the trial does not end")


def looked_at(number: int, losses: tuple[Floats, Floats]) -> Judged:
    """A labelled window with the block losses of the old version and the new one."""
    old, new = (tuple(gate.blocks(loss).tolist()) for loss in losses)
    return Judged(number, len(losses[0]), (VersionLoss(OLD, old), VersionLoss(NEW, new)))


def undone(policy: Policy, comes: Callable[[], tuple[Floats, Floats]], known: gate.Spread = gate.UNSEEN) -> int | None:
    """The labelled window (1, 2, ... 20) after which a champion was rolled back; None if it was not."""
    memory = Memory(champion=Contender(NEW, "all", 0, 0), previous=Contender(OLD, "all", 0, 0), spread=known)
    for number in range(LOOKS):
        decision, memory = decide(policy, Evidence(number, 0, (looked_at(number, comes()),)), memory)
        if decision.action is Action.ROLL_BACK:
            return number + 1
    return None


def reigned(comes: Callable[[], tuple[Floats, Floats]]) -> gate.Spread:
    """What four earlier reigns of five labelled windows have shown of how much windows differ."""
    known = gate.UNSEEN
    for _ in range(REIGNS):
        tally = gate.Tally()
        for _ in range(REIGN):
            first, second = comes()
            tally = tally.plus(gate.blocks(first) - gate.blocks(second))
        known = known.plus(tally.spread).faded
    return known


# ---- the table --------------------------------------------------------------------------------------
BALANCED = replace(PRESETS["balanced"], window_rows=500)
CAREFUL = replace(PRESETS["careful"], window_rows=200, retrains=False)
WATCHED = replace(PRESETS["balanced"], window_rows=500, retrains=False)

BARS = Pairing()
OTHERS = (
    Pairing(0.05),
    Pairing(0.15),
    Pairing(0.2),
    Pairing(dependence=0.5),
    Pairing(dependence=0.9),
    Pairing(dependence=0.95),
    Pairing(wobble=0.01),
    Pairing(wobble=0.02),
)


def veto(how: Pairing, runs: int, seed: int) -> Iterator[tuple[str, str, float, bool]]:
    """(what, target, share, whether it holds), for equal challengers and those that are 4 and 8 points worse."""
    draw = np.random.default_rng(seed)
    for worse, target in ((0.0, 0.9), (0.04, 0.85), (0.08, 0.99)):
        if worse > how.disagreement:
            continue
        verdicts = [challenged(BALANCED, window(draw, 500, -worse, how)) for _ in range(runs)]
        share = float(np.mean([verdict == ("hold" if worse else "promote") for verdict in verdicts]))
        yield f"veto, 500 rows: {named(worse)}", f">= {target:.0%}", share, share >= target


def named(worse: float) -> str:
    return f"{100 * worse:.0f} points worse is held" if worse else "an equal one is promoted"


def superiority(how: Pairing, runs: int, seed: int) -> Iterator[tuple[str, str, float, bool]]:
    """Of windows of 200 rows, and where rows depend on each other of 500, the preset's own."""
    draw = np.random.default_rng(seed)
    for window_rows in (200, 500) if how.dependence else (200,):
        policy = replace(CAREFUL, window_rows=window_rows)
        for gain, what in ((0.0, "an equal one"), (-0.02, "2 points worse"), (0.05, "5 points better")):
            if abs(gain) > how.disagreement:
                continue
            ended = [tried(policy, draw, gain, how) for _ in range(runs)]
            share, rows = float(np.mean([won for won, _ in ended])), np.mean([rows for _, rows in ended])
            good, target = (share >= 0.8, ">= 80%") if gain > 0 else (share < 0.05, "< 5%")
            yield (
                f"superiority, {window_rows} rows and those it asked for ({rows:,.0f} on average): {what} is promoted",
                target,
                share,
                good,
            )


def rollback(how: Pairing, runs: int, seed: int) -> Iterator[tuple[str, str, float, bool]]:
    """In a project's first reign, and in its fifth: see `reigned`."""
    draw = np.random.default_rng(seed)

    def after(worse: float, reigns: bool) -> list[int | None]:
        def comes() -> tuple[Floats, Floats]:
            return window(draw, 500, -worse, how)

        return [undone(WATCHED, comes, reigned(comes) if reigns else gate.UNSEEN) for _ in range(runs)]

    for reigns, where in ((False, "rollback"), (True, f"rollback after {REIGNS} reigns")):
        false = float(np.mean([at is not None for at in after(0.0, reigns)]))
        yield f"{where}, {LOOKS} windows of 500 rows: an equal champion is undone", "<= 5%", false, false <= 0.05
        found = after(0.04, reigns)
        for soon, target in ((2, ">= 90%"), (3, "")):
            share = float(np.mean([at is not None and at <= soon for at in found]))
            yield f"{where}, windows of 500 rows: 4 points worse is undone within {soon}", target, share, share >= 0.9


def regression(runs: int, seed: int) -> Iterator[tuple[str, str, float, bool]]:
    draw = np.random.default_rng(seed)
    for worse in (0.0, 0.1):
        verdicts = [challenged(BALANCED, numbers(draw, 500, worse)) for _ in range(runs)]
        share = float(np.mean([verdict == ("hold" if worse else "promote") for verdict in verdicts]))
        what = f"an error {worse:.0%} larger is held" if worse else "an equal one is promoted"
        yield f"veto, 500 rows of numbers: {what}", "" if worse else ">= 90%", share, bool(worse) or share >= 0.9
    false = float(np.mean([undone(WATCHED, lambda: numbers(draw, 500, 0.0)) is not None for _ in range(runs)]))
    yield (
        f"rollback, {LOOKS} windows of 500 rows of numbers: an equal champion is undone",
        "<= 5%",
        false,
        false <= 0.05,
    )


def streams(seed: int) -> None:
    """Dependence and wobble of the reigns on each stream, by its windows and warm-up in `benchmarks.recovery`."""
    print("| stream | label delay | reigns | undone | correlation of neighbouring blocks | variance of windows |")
    print("|---|---|---|---|---|---|")
    for stream, (rows, warm_up) in recovery.STREAMS.items():
        features, labels, schema = recovery.history(stream)
        how = {"window_rows": rows, "warm_up_windows": warm_up, "estimator": "hist_gradient_boosting"}
        shared: replay.Shared = {}
        for delay in recovery.DELAYS:
            policy = replace(PRESETS["balanced"], **how)  # type: ignore[arg-type]
            played = replay.replay(features, labels, schema, policy, label_delay=delay, seed=seed, shared=shared)
            found = {step.memory.crowned: step.memory.ahead for step in played.steps if step.memory}  # the last of each
            reigns = [ahead for ahead in found.values() if ahead.looks > 1]
            expected = sum((ahead.blocks - ahead.looks) * ahead.variance for ahead in reigns)
            known = gate.UNSEEN
            for ahead in reigns:
                known = known.plus(ahead.spread)
            print(
                f"| {stream} | {delay} | {len(reigns)} | {played.count(Action.ROLL_BACK)} "
                f"| {sum(ahead.lagged for ahead in reigns) / expected:.2f} | {known.squares / known.freedom:.2f} |",
                flush=True,
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500, help="simulations of each line")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bars", action="store_true", help="only the bars, without what becomes of them")
    parser.add_argument("--streams", action="store_true", help="only how reigns on the bundled streams behave")
    given = parser.parse_args()
    if given.streams:
        streams(given.seed)
        return 0
    began, kept = time.process_time(), True
    print("| what | disagreement | dependence | wobble | target | share | holds |\n|---|---|---|---|---|---|---|")
    for how in (BARS, *(() if given.bars else OTHERS)):
        for judge in (veto, superiority, rollback):
            for what, target, share, holds in judge(how, given.runs, given.seed):
                print(f"| {what} | {how} | {target} | {share:.1%} | {('yes' if holds else 'NO') if target else ''} |")
                kept &= holds or how is not BARS
    for what, target, share, holds in regression(given.runs, given.seed):
        print(f"| {what} | correlation 0.9 | 0 | 0% | {target} | {share:.1%} | {'yes' if target else ''} |")
        kept &= holds
    print(f"\n{given.runs} simulations a line, {time.process_time() - began:.0f} s of CPU; seed {given.seed}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

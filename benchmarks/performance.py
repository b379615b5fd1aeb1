"""Whether scores' intervals and the watch on the loss hold what they say: python -m benchmarks.performance [--runs 600]

Answers that are wrong on a fifth of the rows, where wrong ones come in runs: behind them lies an autoregressive process of
order one with the given coefficient. Printed are how often the 95 % interval of the accuracy of 500 rows misses it; how
often the limits of the watch miss the true loss at any of 20 looks of 500 rows; and how often it alarms within these
10,000 rows though nothing rises (at most 10 % are promised). Then the same of absolute errors with heavy tails, independent.
"""

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.signal import lfilter

from core import performance
from core.records import Schema, Task

Floats = NDArray[np.float64]

ROWS, LOOKS, WRONG, SETTLED = 500, 20, 0.2, 300
COEFFICIENTS = (0.0, 0.5, 0.9, 0.95)
SCHEMA = Schema((), "y", Task.BINARY, ("no", "yes"))
NUMBERS: dict[str, tuple[Callable[[np.random.Generator, int], Floats], float]] = {  # losses, and their true mean
    "log-normal": (lambda rng, rows: rng.lognormal(0.0, 1.0, rows), float(np.exp(0.5))),
    "absolute t, 3 degrees": (lambda rng, rows: np.abs(rng.standard_t(3, rows)), 2 * np.sqrt(3) / np.pi),
}


def errors(rng: np.random.Generator, rows: int, coefficient: float) -> Floats:
    """0 and 1, of which a fifth, in runs."""
    noise = rng.standard_normal(rows + SETTLED) * np.sqrt(1 - coefficient**2)
    latent = lfilter([1.0], [1.0, -coefficient], noise)[SETTLED:]
    return (latent < stats.norm.ppf(WRONG)).astype(np.float64)


def misses(losses: Floats) -> bool:
    """Does the interval of the accuracy of these rows miss the true one?"""
    said = np.where(losses > 0, "no", "yes").astype(object)
    found = performance.score(np.full(len(losses), "yes", object), said, None, SCHEMA)
    accuracy = next(one for one in found if one.metric == "accuracy")
    return not accuracy.low <= 1 - WRONG <= accuracy.high


def watched(losses: Floats, truth: float) -> tuple[bool, bool]:
    """Whether the limits missed the truth at any look, and whether there was an alarm; the first rows are the baseline."""
    state, missed = performance.watch(losses[:ROWS]), False
    for look in range(1, LOOKS + 1):
        state = performance.look(state, losses[look * ROWS : (look + 1) * ROWS])
        if found := performance.loss_so_far(state):
            missed |= not found[1] <= truth <= found[2]
    return missed, state.alarm_at is not None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng, rows = np.random.default_rng(given.seed), ROWS * (LOOKS + 1)
    print("| losses | accuracy's interval misses | the watch's limits miss | false alarms |\n|---|---|---|---|")
    for coefficient in COEFFICIENTS:
        runs = [errors(rng, rows, coefficient) for _ in range(given.runs)]
        interval = np.mean([misses(run[:ROWS]) for run in runs])
        limits, alarms = np.mean([watched(run, WRONG) for run in runs], axis=0)
        print(f"| right or wrong, {coefficient:g} | {interval:.1%} | {limits:.1%} | {alarms:.1%} |", flush=True)
    for name, (draw, truth) in NUMBERS.items():
        limits, alarms = np.mean([watched(draw(rng, rows), truth) for _ in range(given.runs)], axis=0)
        print(f"| {name} | | {limits:.1%} | {alarms:.1%} |", flush=True)


if __name__ == "__main__":
    main()

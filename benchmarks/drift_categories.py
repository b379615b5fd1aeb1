"""A category column of many values: python -m benchmarks.drift_categories [--windows 200] [--budget 0.01]

Prints, for columns of 50, 500 and 5,000 values with shares of 1, 1/2, 1/3 ... (Zipf) or equal ones, how often a check
of that one column cries wolf when nothing changed, and which share of changed windows it notices, beside a chi-square
test of scipy on the table of all values, with the threshold at which it cries wolf as often on the same windows.
"""

import argparse
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from core import drift
from core.records import Column, Kind, Schema, Task, Verdict

Floats = NDArray[np.float64]
SCHEMA = Schema((Column("c", Kind.CATEGORICAL),), "y", Task.REGRESSION)
Setting = tuple[int, float, int, int]
SETTINGS: tuple[Setting, ...] = (  # values, exponent of their shares, rows of the reference, rows of the window
    (50, 1.0, 1_000, 1_000),
    (500, 1.0, 4_000, 500),
    (500, 1.0, 10_000, 10_000),
    (500, 0.0, 10_000, 10_000),
    (5_000, 1.0, 4_000, 500),
    (5_000, 1.0, 10_000, 10_000),
)


def shares(values: int, exponent: float) -> Floats:
    """The shares of the values, from the most to the least frequent."""
    weight = np.arange(1.0, values + 1.0) ** -exponent
    return np.asarray(weight / weight.sum())


def newcomer(share: float) -> Callable[[Floats], Floats]:
    return lambda known: np.append((1.0 - share) * known, share)


def flatter(known: Floats) -> Floats:
    return np.asarray(known**0.9 / (known**0.9).sum())


def shuffled(known: Floats) -> Floats:
    """Every value becomes more or less frequent by about a fifth."""
    weight = known * np.exp(np.random.default_rng(0).normal(0.0, 0.2, len(known)))
    return np.asarray(weight / weight.sum())


CHANGES: dict[str, Callable[[Floats], Floats]] = {
    "a new value, 2 %": newcomer(0.02),
    "a new value, 5 %": newcomer(0.05),
    "common to rare": flatter,
    "all by a fifth": shuffled,
}


def column(rng: np.random.Generator, rows: int, known: Floats) -> pd.DataFrame:
    return pd.DataFrame(
        {"c": np.array([f"v{i}" for i in range(len(known))], object)[rng.choice(len(known), rows, p=known)]}
    )


def chi_square(before: pd.DataFrame, now: pd.DataFrame) -> float:
    """Minus the log p-value of scipy's test."""
    table = pd.concat([before["c"].value_counts(), now["c"].value_counts()], axis=1).fillna(0).to_numpy()
    return -float(np.log(max(stats.chi2_contingency(table, correction=False).pvalue, 1e-300)))


def alarms(setting: Setting, now: Floats, windows: int, seed: int, budget: float) -> tuple[Floats, Floats]:
    """Whether each window is an alarm, and scipy's score of it; ``now`` are the shares of the values in the windows."""
    values, exponent, reference, rows = setting
    known = shares(values, exponent)
    ours, peer = [], []
    for number in range(windows):
        rng = np.random.default_rng((values, rows, seed, number))
        frames = column(rng, reference, known), column(rng, rows, now)
        before = drift.reference(frames[0], SCHEMA)
        check = drift.check(before, drift.profile(before, frames[1]), budget=budget)
        ours.append(check.verdict is Verdict.DRIFTING)
        peer.append(chi_square(*frames))
    return np.array(ours, float), np.array(peer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--quiet", type=int, default=400, help="windows without a change")
    parser.add_argument("--budget", type=float, default=0.05)
    given = parser.parse_args()
    print(f"Budget {given.budget:.0%}; share of windows with an alarm: this check / scipy chi-square, tuned.")
    print("| values | rows | nothing changed | " + " | ".join(CHANGES) + " |")
    print("|---" * (3 + len(CHANGES)) + "|", flush=True)
    for setting in SETTINGS:
        values, exponent, reference, rows = setting
        known = shares(values, exponent)
        quiet, null = alarms(setting, known, given.quiet, 0, given.budget)
        threshold = np.quantile(null, 1.0 - quiet.mean(), method="higher")
        cells = [f"{quiet.mean():.1%}"]
        for number, change in enumerate(CHANGES.values(), 1):
            ours, peer = alarms(setting, change(known), given.windows, number, given.budget)
            cells.append(f"{ours.mean():.0%} / {(peer > threshold).mean():.0%}")
        kind = "Zipf" if exponent else "equal"
        print(f"| {values:,} {kind} | {reference:,} / {rows:,} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()

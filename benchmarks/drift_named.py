"""How many of the features that a drift check names are named wrongly: python -m benchmarks.drift_named [--runs 1500]

Twenty normal features, windows of 1,000 rows; one feature moves by half a standard deviation and spreads by half as much
again. Printed are, for budgets of 1, 5 and 20 %, the expected share of wrong ones among the tests that reject and among the
features named, each with its standard error.
"""

import argparse

import numpy as np
import pandas as pd

from core import drift
from core.records import Column, Kind, Schema, Task

FEATURES, ROWS, MOVED = 20, 1_000, "x0"
BUDGETS = (0.01, 0.05, 0.2)
SCHEMA = Schema(tuple(Column(f"x{i}", Kind.NUMERIC) for i in range(FEATURES)), "y", Task.REGRESSION)


def wrong(seed: int, budget: float) -> tuple[float, float]:
    """The share of wrong ones among the rejected tests and among the named features of one check; 0 where there are none."""
    rng = np.random.default_rng(seed)
    before, now = (pd.DataFrame(rng.standard_normal((ROWS, FEATURES)), columns=list(SCHEMA.names)) for _ in range(2))
    now[MOVED] = 0.5 + 1.5 * now[MOVED]
    known = drift.reference(before, SCHEMA)
    found = drift.check(known, drift.profile(known, now), budget=budget)
    named = [score.feature for score in found.scores if score.drifting and score.feature != drift.JOINT]
    tests, features = np.array(named) != MOVED, np.array(sorted(set(named))) != MOVED
    return float(tests.mean()) if len(tests) else 0.0, float(features.mean()) if len(features) else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1500)
    given = parser.parse_args()
    print("| budget | wrong among tests | wrong among named features |\n|---|---|---|")
    for budget in BUDGETS:
        shares = np.array([wrong(seed, budget) for seed in range(given.runs)])
        tests, features = (
            f"{mean:.1%} (+- {error:.1%})"
            for mean, error in zip(shares.mean(axis=0), shares.std(axis=0) / np.sqrt(given.runs), strict=True)
        )
        print(f"| {budget:.0%} | {tests} | {features} |", flush=True)


if __name__ == "__main__":
    main()

"""How often a drift check cries wolf when nothing changed: python -m benchmarks.drift_false_alarms [--replays 1000]

Prints one line per row count and kind of rows: the share of the replays in which any of 20 mixed features (beside categories of many values,
23), or all together, were called drifting at a budget of 1 % and of 5 %, and how often the verdict was unknown. The smallest shift
worth caring about is set to 0, so that nothing but the budget keeps alarms down.
"""

import argparse
import time

import numpy as np
import pandas as pd

from benchmarks.drift_data import SCHEMA, WIDE, frame, latent, many, outages
from core import drift
from core.records import Verdict

BUDGETS = (0.01, 0.05)
KINDS = {  # name: correlation of neighbouring rows, correlation of features
    "independent": (0.0, 0.0),
    "features correlated 0.5": (0.0, 0.5),
    "rows AR(1) 0.9": (0.9, 0.0),
    "categories of 50, 500 and 5,000 values": (0.0, 0.0),  # beside the 20 others
    "outages of 15 rows": (0.0, 0.0),
}


def replay(rows: int, kind: str, seed: int) -> list[Verdict]:
    """The verdicts at both budgets on two windows of the same process; dependent windows follow one another."""
    coefficient, tie = KINDS[kind]
    rng = np.random.default_rng((rows, seed, int(100 * coefficient), int(100 * tie)))
    both = frame(latent(rng, 2 * rows, coefficient, tie))
    wide = kind.startswith("categories")
    if wide:
        both = pd.concat([both, many(rng, 2 * rows)], axis=1)
    if kind.startswith("outages"):
        both = outages(rng, both)
    known = drift.reference(both[:rows], WIDE if wide else SCHEMA)
    now = drift.profile(known, both[rows:])
    return [drift.check(known, now, budget=budget, smallest_shift=0.0).verdict for budget in BUDGETS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replays", type=int, default=1000)
    parser.add_argument("--rows", type=int, nargs="+", default=[50, 200, 1000, 10_000])
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    given = parser.parse_args()
    print("| kind of rows | rows in each window | alarms at 1 % | alarms at 5 % | unknown at 1 % | replays | CPU s |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for kind in given.kinds:
        for rows in given.rows:
            started = time.process_time()
            found = [replay(rows, kind, seed) for seed in range(given.replays)]
            rates = [np.mean([one[i] is Verdict.DRIFTING for one in found]) for i in range(len(BUDGETS))]
            unknown = np.mean([one[0] is Verdict.UNKNOWN for one in found])
            seconds = time.process_time() - started
            print(
                f"| {kind} | {rows} | {rates[0]:.2%} | {rates[1]:.2%} | {unknown:.0%} | {given.replays} "
                f"| {seconds:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""What a drift report costs: python -m benchmarks.drift_speed [--rows 100000 --columns 50] (see benchmarks/requirements.txt)

Prints CPU seconds and extra memory, in one run on the same two frames (a third of the columns are categories), for our
report from frames, from a kept reference, from stored profiles, and for Evidently, NannyML and a scipy loop.
Frames in, result out; imports and making the frames do not count. One thread each: `core` sees to it.
"""

import argparse
import logging
import os
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats
from threadpoolctl import threadpool_limits

from core import drift
from core.records import Column, Kind, Schema, Task


def make(rows: int, columns: int, seed: int, kind: str) -> pd.DataFrame:
    """Two thirds numbers (normal, log-normal, whole), one third categories, as columns of the given type."""
    rng = np.random.default_rng(seed)
    numbers = columns - columns // 3
    out: dict[str, object] = {}
    for i in range(numbers):
        z = rng.standard_normal(rows)
        out[f"n{i}"] = z if i % 3 == 0 else np.exp(z) if i % 3 == 1 else np.round(10 * z)
    for i in range(columns // 3):
        names = np.array([f"v{k}" for k in range(3 + i)], object)
        out[f"c{i}"] = pd.Series(names[rng.integers(0, len(names), rows)], dtype=object).astype(kind)
    return pd.DataFrame(out)


def schema_of(frame: pd.DataFrame) -> Schema:
    kinds = (Kind.NUMERIC if c.startswith("n") else Kind.CATEGORICAL for c in frame.columns)
    return Schema(tuple(map(Column, frame.columns, kinds)), "y", Task.REGRESSION)


def scipy_loop(before: pd.DataFrame, now: pd.DataFrame) -> None:
    for c in before.columns:
        if c.startswith("n"):
            stats.ks_2samp(before[c], now[c])
        else:
            table = pd.concat([before[c].value_counts(), now[c].value_counts()], axis=1).fillna(0).to_numpy()
            stats.chi2_contingency(table)


def evidently(before: pd.DataFrame, now: pd.DataFrame) -> None:
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from evidently import Report
    from evidently.presets import DataDriftPreset

    Report([DataDriftPreset()]).run(now, before).dict()


def nannyml(before: pd.DataFrame, now: pd.DataFrame) -> None:
    os.environ.setdefault("NML_DISABLE_USAGE_LOGGING", "1")
    import nannyml

    logging.getLogger("nannyml").setLevel(logging.ERROR)
    calculator = nannyml.UnivariateDriftCalculator(column_names=list(before.columns))
    calculator.fit(before).calculate(now).to_df()


def cost(work: Callable[[], object], repeats: int, memory: bool) -> tuple[float, float]:
    """The least CPU seconds of several runs, and the most extra memory in MB of one more."""
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    if not memory:
        return min(seconds), float("nan")
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return min(seconds), peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--kind", choices=("category", "object", "str"), default="category")
    parser.add_argument("--days", type=int, default=365, help="daily profiles stored, of 500 rows each")
    parser.add_argument("--without", nargs="*", default=[])
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    before, now = (make(given.rows, given.columns, seed, given.kind) for seed in (1, 2))
    schema = schema_of(before)
    data = (before.memory_usage(deep=False).sum() + now.memory_usage(deep=False).sum()) / 1e6
    known = drift.reference(before, schema)
    window = drift.profile(known, now)
    days = [drift.profile(known, now[i * 250 : i * 250 + 500]).to_bytes() for i in range(given.days)]

    def of_frames() -> object:
        fresh = drift.reference(before, schema)
        return drift.check(fresh, drift.profile(fresh, now))

    def of_stored(first: int, last: int) -> object:
        past = drift.merge(*map(drift.Profile.from_bytes, days[:first]))
        late = drift.merge(*map(drift.Profile.from_bytes, days[first:last]))
        return drift.check(drift.against(known, past), late)

    folder = tempfile.TemporaryDirectory()
    files = [f"{folder.name}/{name}.parquet" for name in ("before", "now")]
    for one, path in zip((before, now), files, strict=True):
        one.to_parquet(path)

    def of_two_threads() -> object:
        with threadpool_limits(limits=2, user_api="blas"):
            fresh = drift.reference.__wrapped__(before, schema)  # type: ignore[attr-defined]
            return drift.check.__wrapped__(fresh, drift.profile.__wrapped__(fresh, now))  # type: ignore[attr-defined]

    def of_files(read: Callable[[str], pd.DataFrame]) -> object:
        return drift.report(*map(read, files), [], 0.01, drift.SMALLEST_SHIFT)

    jobs: dict[str, tuple[Callable[[], object], int]] = {
        "this check, from two frames": (of_frames, 10),
        "this check, reference kept": (lambda: drift.check(known, drift.profile(known, now)), 10),
        "verdict from two profiles": (lambda: drift.check(known, window), 20),
        "30 stored days against 30": (lambda: of_stored(30, 60), 10),
        f"half of {given.days} stored days against the rest": (lambda: of_stored(given.days // 2, given.days), 10),
        "from two frames, given two threads": (of_two_threads, 10),
        "from two Parquet files, as the command reads them": (lambda: of_files(drift.read), 10),
        "from two Parquet files, as pandas reads them": (lambda: of_files(pd.read_parquet), 10),
        "scipy KS + chi2 loop": (lambda: scipy_loop(before, now), 3),
        "NannyML default": (lambda: nannyml(before, now), 1),
        "Evidently default": (lambda: evidently(before, now), 1),
    }
    print(f"{given.rows} rows x {given.columns} columns ({given.kind}), {data:.0f} MB in two frames")
    print(f"A stored day takes {np.mean([len(day) for day in days]) / 1e3:.1f} kB.")
    print("| what | CPU s | times ours | extra MB |\n|---|---|---|---|")
    base = 0.0
    for name, (work, repeats) in jobs.items():
        if any(name.startswith(skipped) for skipped in given.without):
            continue
        try:
            seconds, peak = cost(work, repeats, memory=name.startswith("this"))
        except ImportError:
            print(f"| {name} | not installed | | |")
            continue
        base = base or seconds
        print(f"| {name} | {seconds:.4f} | {seconds / base:.2f} | {peak:.1f} |", flush=True)


if __name__ == "__main__":
    main()

"""How much of what retraining can win a policy wins, on the bundled streams: `python -m benchmarks.recovery`.

Each stream is replayed prequentially (`core.replay`) with labels 0, 1 and 5 windows late. *Recovery* is
``(policy - never) / (best of always-all and always-sliding - never)``: 1 is as good as retraining at every window with
the better training window known in hindsight. `never`, `always-all` and `always-sliding` are replays of the same
estimator; all that is random has the same seed. With `--plain` they are replays of plain gradient boosting, with one memory
and told of nothing but the row: what recovery does not show is that a better model lifts its own baselines as well.
"""

import argparse
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

from core import estimators, recent, replay
from core.policy import PRESETS, Policy, Scope
from core.records import Action, Schema

SAMPLES = Path(__file__).parent.parent / "data" / "samples"
STREAMS = {"elec2": (480, 10), "bike_sharing": (168, 10), "noaa_weather": (365, 5), "employment_ma": (1000, 8)}
DELAYS = (0, 1, 5)
NEVER, ALL, SLIDING = BASELINES = ("never", "always-all", "always-sliding")


def policies(names: list[str]) -> dict[str, Policy]:
    """The baselines, and the presets or policy files that are compared with them."""
    always = PRESETS["always"]
    chosen = {
        NEVER: replace(PRESETS["never"], scope=Scope.ALL),
        ALL: replace(always, scope=Scope.ALL),
        SLIDING: replace(always, scope=Scope.SLIDING),
    }
    for name in names:
        path = Path(name)
        chosen[path.stem] = PRESETS[name] if name in PRESETS else Policy.from_json(path.read_text(encoding="utf-8"))
    return chosen


@cache
def history(stream: str) -> tuple[pd.DataFrame, "pd.Series[Any]", Schema]:
    return replay.read(str(SAMPLES / f"{stream}.parquet"), "target", "order")


def play(
    stream: str, delay: int, policy: Policy, estimator: str, seed: int, untold: bool, plain: bool
) -> dict[str, float]:
    """Score (accuracy in %, or mean absolute error), retrains, windows."""
    window, warm_up = STREAMS[stream]
    features, labels, schema = history(stream)
    policy = replace(policy, window_rows=window, warm_up_windows=warm_up, estimator=estimator)
    known = estimators.ESTIMATORS[estimators.resolve(estimator)]
    with ExitStack() as changed:
        if untold or plain:
            changed.enter_context(patch.object(recent, "with_recent", without_recent))
        if plain:
            changed.enter_context(
                patch.dict(estimators.ESTIMATORS, {known.name: replace(known, build=known.yardstick)})
            )
        played = replay.replay(features, labels, schema, policy, label_delay=delay, seed=seed)
    loss = float(np.mean(played.losses))
    return {
        "score": 100 * (1 - loss) if schema.task.is_classification else -loss,
        "retrains": played.count(Action.RETRAIN),
        "rollbacks": played.count(Action.ROLL_BACK),
        "windows": len(played.losses),
        "seconds": played.seconds,
    }


def without_recent(rows: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """What `recent.with_recent` gives when nothing came before."""
    return rows.assign(**dict.fromkeys(recent.names(schema).values(), np.nan))


def results(names: list[str], given: argparse.Namespace) -> Iterator[tuple[str, int, dict[str, dict[str, float]]]]:
    """Stream, delay, and what each policy came to; kept in ``--keep`` so that a rerun plays only what is new."""
    kept_at = Path(given.keep) if given.keep else None
    kept: dict[str, dict[str, float]] = json.loads(kept_at.read_text()) if kept_at and kept_at.exists() else {}
    chosen = policies(names)

    def plain(name: str) -> bool:
        return given.plain and name in BASELINES

    def key(stream: str, delay: int, name: str) -> str:
        how = ("/plain" if plain(name) else "") + ("/untold" if given.untold else "")
        return f"{stream}/{delay}/{name}/{given.estimator}/{given.seed}{how}"

    with ProcessPoolExecutor(given.jobs) as pool:
        asked = {}
        for stream in given.streams:
            for delay in given.delays:
                for name, policy in chosen.items():
                    if (one := key(stream, delay, name)) not in kept:
                        given_how = (given.estimator, given.seed, given.untold, plain(name))
                        asked[one] = pool.submit(play, stream, delay, policy, *given_how)
        for stream in given.streams:
            for delay in given.delays:
                found = {}
                for name in chosen:
                    one = key(stream, delay, name)
                    found[name] = kept[one] if one in kept else asked[one].result()
                    if name in BASELINES:
                        kept[one] = found[name]
                if kept_at:
                    kept_at.write_text(json.dumps(kept))
                yield stream, delay, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("policies", nargs="*", default=["balanced"], help="presets, or policies as JSON files")
    parser.add_argument("--streams", nargs="+", choices=list(STREAMS), default=list(STREAMS))
    parser.add_argument("--delays", nargs="+", type=int, default=list(DELAYS))
    parser.add_argument("--estimator", default="hist_gradient_boosting")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="compare with plain gradient boosting")
    parser.add_argument("--untold", action="store_true", help="models are not told what is usual of late")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", help="JSON file that keeps the baselines between runs")
    given = parser.parse_args()
    names = [Path(name).stem for name in given.policies]
    recovered: dict[tuple[str, int], list[float]] = {}
    print(
        "| stream | delay | never | always all | always sliding | "
        + " | ".join(f"{n} (retrains)" for n in names)
        + " |"
    )
    print("|---" * (5 + len(names)) + "|")
    for stream, delay, found in results(given.policies, given):
        never, best = found[NEVER]["score"], max(found[ALL]["score"], found[SLIDING]["score"])
        told = []
        for name in names:
            one = found[name]
            recovery = (one["score"] - never) / (best - never)
            recovered.setdefault((name, delay), []).append(recovery)
            told.append(
                f"{abs(one['score']):.2f}: {recovery:.2f} ({one['retrains']:.0f} of {one['windows']:.0f}, "
                f"{one['rollbacks']:.0f} undone, {one['seconds']:.0f} s)"
            )
        base = " | ".join(f"{abs(found[name]['score']):.2f}" for name in (NEVER, ALL, SLIDING))
        print(f"| {stream} | {delay} | {base} | " + " | ".join(told) + " |", flush=True)
    for (name, delay), values in recovered.items():
        print(f"{name}, delay {delay}: mean recovery {np.mean(values):.3f}, worst {min(values):.3f}")


if __name__ == "__main__":
    main()

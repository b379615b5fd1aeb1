"""How much of what retraining can win a policy wins, on the bundled streams: `python -m benchmarks.recovery`.

Each stream is replayed prequentially (`core.replay`) with labels 0, 1 and 5 windows late. *Recovery* is
``(policy - never) / (best of always-all and always-sliding - never)``: 1 is as good as retraining at every window with
the better training window known in hindsight. `never`, `always-all` and `always-sliding` are replays of the same
estimator; all that is random has the same seed. With `--plain` they are replays of plain gradient boosting, with one memory
and told of nothing but the row: what recovery does not show is that a better model lifts its own baselines as well.
With `--starts 0 0.25 0.5 0.75` each replay is played again with so many windows cut off the front: the same stream cut into
other windows, which tells how much of a recovery is the luck of one cut. A recovery is then of the scores' means, and its
lowest and highest over the starts stand beside it.
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
    stream: str, delay: int, start: float, policy: Policy, estimator: str, seed: int, untold: bool, plain: bool
) -> dict[str, float]:
    """Score (accuracy in %, or mean absolute error), retrains, windows."""
    window, warm_up = STREAMS[stream]
    features, labels, schema = history(stream)
    features, labels = features[round(start * window) :], labels[round(start * window) :]
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


Found = dict[str, list[dict[str, float]]]  # what each policy came to, start by start


def results(names: list[str], given: argparse.Namespace) -> Iterator[tuple[str, int, Found]]:
    """Stream, delay, and what each policy came to; baselines are kept in ``--keep``, so that a rerun plays only what is new."""
    kept_at = Path(given.keep) if given.keep else None
    kept: dict[str, dict[str, float]] = json.loads(kept_at.read_text()) if kept_at and kept_at.exists() else {}
    chosen = policies(names)

    def plain(name: str) -> bool:
        return given.plain and name in BASELINES

    def key(stream: str, delay: int, start: float, name: str) -> str:
        how = ("/plain" if plain(name) else "") + ("/untold" if given.untold else "") + (f"/{start}" if start else "")
        return f"{stream}/{delay}/{name}/{given.estimator}/{given.seed}{how}"

    cases = [(stream, delay) for stream in given.streams for delay in given.delays]
    with ProcessPoolExecutor(given.jobs) as pool:
        asked = {
            one: pool.submit(play, stream, delay, start, policy, given.estimator, given.seed, given.untold, plain(name))
            for stream, delay in cases
            for start in given.starts
            for name, policy in chosen.items()
            if (one := key(stream, delay, start, name)) not in kept
        }
        for stream, delay in cases:
            found: Found = {name: [] for name in chosen}
            for start in given.starts:
                for name in chosen:
                    one = key(stream, delay, start, name)
                    found[name].append(kept[one] if one in kept else asked[one].result())
                    if name in BASELINES:
                        kept[one] = found[name][-1]
            if kept_at:
                kept_at.write_text(json.dumps(kept))
            yield stream, delay, found


def mean(played: list[dict[str, float]], what: str) -> float:
    return float(np.mean([one[what] for one in played]))


def recovery(found: Found, name: str) -> float:
    """Of the means over the starts; the better baseline is the one that is better in the mean."""
    never, *always = (mean(found[baseline], "score") for baseline in BASELINES)
    return (mean(found[name], "score") - never) / (max(always) - never)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("policies", nargs="*", default=["balanced"], help="presets, or policies as JSON files")
    parser.add_argument("--streams", nargs="+", choices=list(STREAMS), default=list(STREAMS))
    parser.add_argument("--delays", nargs="+", type=int, default=list(DELAYS))
    parser.add_argument("--estimator", default="hist_gradient_boosting")
    parser.add_argument(
        "--starts", nargs="+", type=float, default=[0.0], help="windows, or parts of one, cut off the front"
    )
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
        told = []
        for name in names:
            value = recovery(found, name)
            recovered.setdefault((name, delay), []).append(value)
            retrains, windows, undone, seconds = (
                mean(found[name], what) for what in ("retrains", "windows", "rollbacks", "seconds")
            )
            each = [
                recovery({one: [played[i]] for one, played in found.items()}, name) for i in range(len(given.starts))
            ]
            spread = f" ({min(each):.2f} to {max(each):.2f})" if len(each) > 1 else ""
            told.append(
                f"{abs(mean(found[name], 'score')):.2f}: {value:.2f}{spread} "
                f"({retrains:.3g} of {windows:.3g}, {undone:.2g} undone, {seconds:.0f} s)"
            )
        base = " | ".join(f"{abs(mean(found[name], 'score')):.2f}" for name in BASELINES)
        print(f"| {stream} | {delay} | {base} | " + " | ".join(told) + " |", flush=True)
    for (name, delay), values in recovered.items():
        print(f"{name}, delay {delay}: mean recovery {np.mean(values):.3f}, worst {min(values):.3f}")


if __name__ == "__main__":
    main()

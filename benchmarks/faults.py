"""Do injected faults reach serving? `python -m benchmarks.faults`.

Into one window of each bundled stream a fault is put: its labels are shuffled, a column (that varies in every window)
becomes constant, a column is multiplied by 10. The stream is replayed by a policy that retrains after every window, so
that nothing but the checks themselves keeps the faulty window out of a model. Counted is for how many windows versions
served that had been trained on it; the bar is 2.
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.recovery import STREAMS, history
from core import replay
from core.policy import Policy
from core.records import Action, Kind, Schema

BAR = 2  # windows
AFTER = 8  # windows that are played after the faulty one
LEARNS = {"period": 1, "most_retrains": 1.0, "cool_down": 0}

Rows = tuple[pd.DataFrame, "pd.Series[Any]"]


def shuffled_labels(rows: Rows, schema: Schema, draw: np.random.Generator) -> Rows:
    features, labels = rows
    return features, pd.Series(draw.permutation(labels.to_numpy()), index=labels.index, dtype=labels.dtype)


def constant_column(rows: Rows, schema: Schema, draw: np.random.Generator) -> Rows:
    features, labels = rows
    name = draw.choice(_lively(features, schema))
    return features.assign(**{name: features[name].iloc[0]}), labels


def unit_times_ten(rows: Rows, schema: Schema, draw: np.random.Generator) -> Rows:
    features, labels = rows
    name = draw.choice(_lively(features, schema))
    return features.assign(**{name: features[name] * 10}), labels


def _varied(labels: "pd.Series[Any]") -> bool:
    """Does no label fill over nine tenths of the window? Else there is next to nothing to shuffle."""
    return bool(labels.value_counts(normalize=True).iloc[0] <= 0.9)


def _lively(features: pd.DataFrame, schema: Schema) -> list[str]:
    """The numeric columns in which no value fills more than half of the window: the others are near constant as it is."""
    return [
        column.name
        for column in schema.features
        if column.kind is Kind.NUMERIC and features[column.name].value_counts(normalize=True).iloc[0] <= 0.5
    ]


FAULTS: dict[str, Callable[[Rows, Schema, np.random.Generator], Rows]] = {
    "labels shuffled": shuffled_labels,
    "column constant": constant_column,
    "unit times 10": unit_times_ten,
}


def play(stream: str, fault: str, seed: int, estimator: str, delay: int) -> tuple[bool, int]:
    """Was the faulty window set aside, and how many windows were served by versions trained on it."""
    features, labels, schema = history(stream)
    size, warm_up = STREAMS[stream]
    draw = np.random.default_rng([seed, *stream.encode()])
    before = warm_up + 5
    places = draw.permutation(np.arange(before, len(features) // size - AFTER - delay))
    bad = next(int(at) for at in places if _varied(labels.iloc[at * size : (at + 1) * size]))
    first = bad - before
    span = slice(first * size, (bad + 1 + AFTER + delay) * size)
    features, labels = features.iloc[span].reset_index(drop=True), labels.iloc[span].reset_index(drop=True)
    faulty = slice(before * size, (before + 1) * size)
    broken, false = FAULTS[fault]((features.iloc[faulty], labels.iloc[faulty]), schema, draw)
    features = pd.concat([features.iloc[: faulty.start], broken, features.iloc[faulty.stop :]])
    labels = pd.concat([labels.iloc[: faulty.start], false, labels.iloc[faulty.stop :]])
    policy = Policy(window_rows=size, warm_up_windows=warm_up, estimator=estimator, **LEARNS)  # type: ignore[arg-type]
    played = replay.replay(features, labels, schema, policy, label_delay=delay, seed=seed)
    return _set_aside(played, before), _served(played, before, policy)


def _set_aside(played: replay.Replay, window: int) -> bool:
    return any(step.memory is not None and window in step.memory.quarantined for step in played.steps)


def _served(played: replay.Replay, window: int, policy: Policy) -> int:
    """Windows answered by versions whose training rows were drawn while the window was one to train on."""
    tainted: set[int] = set()
    known: tuple[int, ...] = ()
    served = 0
    for step in played.steps:
        if step.memory is not None:
            known = step.memory.labelled
            served += step.champion in tainted
            learned = _learned_now(step, known)
        if step.version is not None and step.action in (Action.PROMOTE, Action.HOLD) and window in learned:
            tainted.add(step.version)
    return served


def _learned_now(step: replay.Step, known: tuple[int, ...]) -> set[int]:
    assert step.evidence is not None and step.memory is not None
    mature = {judged.window for judged in step.evidence.judged}
    return set(known) | mature - set(step.memory.quarantined)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="places a stream and a fault")
    parser.add_argument("--estimator", default="logistic")
    parser.add_argument("--delay", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    print("| stream | fault | set aside | windows served by a model trained on it (most) |\n|---|---|---|---|")
    worst = 0
    with ProcessPoolExecutor(given.jobs) as pool:
        asked = {
            (stream, fault): [
                pool.submit(play, stream, fault, seed, given.estimator, given.delay) for seed in range(given.repeats)
            ]
            for stream in STREAMS
            for fault in FAULTS
        }
        for (stream, fault), found in asked.items():
            results = [one.result() for one in found]
            most = max(served for _, served in results)
            worst = max(worst, most)
            print(
                f"| {stream} | {fault} | {sum(aside for aside, _ in results)} of {len(results)} | {most} |", flush=True
            )
    print(
        f"At most {worst} windows were served by a tainted model; the bar is {BAR}: {'met' if worst <= BAR else 'MISSED'}."
    )


if __name__ == "__main__":
    main()

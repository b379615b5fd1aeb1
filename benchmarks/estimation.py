"""Prints how good the estimate without labels is: `python -m benchmarks.estimation`.

1. Pure covariate shift. Rows of a stream are shuffled, so that nothing but the mix can change; a third trains the
   model, a third calibrates, and the last third is sorted by one feature and cut into windows, none of them labelled.
2. The same, prequentially: all rows sorted by one feature; each window is guessed from the four labelled before it.
3. Streams as they came, where the concept drifts too: how often a guess is shown as trusted, and how it then compares
   with the last labelled value.
4. A concept drift put in (labels flipped for the rows above a feature's 60 % quantile): labelled windows until the
   guess is called not valid; and how often it is called so without.
5. Random streams that stand still, of which only the mix of rows drifts, and whose concept drifts: how often guesses
   are called not valid, how often they are trusted, and in how many streams that was a mistake.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core import estimation, estimators, performance, recent
from core.records import Column, Kind, Schema, Task

Floats = NDArray[np.float64]
SAMPLES = Path(__file__).parent.parent / "data" / "samples"
STREAMS = {"elec2": (480, 10), "noaa_weather": (365, 5), "employment_ma": (1000, 8), "bike_sharing": (168, 10)}
MOST_ROWS = 24_000
CALIBRATED_ON = 4  # windows
WIDE = 10  # different values: features that can be sorted by
DRAWN, LONG = 60, 240  # windows of a random stream
DRAWN_SIZE, DRAWN_FEATURES = 300, 5  # rows of its windows, and features
DRAWN_TRAINED = 10  # windows
KINDS = ("nothing", "mix", "labels' shares", "rotating", "wandering", "abrupt", "recurring", "rotating and mix")


@dataclass(frozen=True, eq=False)
class Answered:
    """Rows in order, their labels, and what the model said."""

    rows: pd.DataFrame
    labels: NDArray[Any]
    answers: NDArray[Any]
    probabilities: Floats | None

    def __getitem__(self, chosen: Any) -> "Answered":
        chances = None if self.probabilities is None else self.probabilities[chosen]
        return Answered(self.rows.iloc[chosen], self.labels[chosen], self.answers[chosen], chances)


def load(name: str) -> tuple[pd.DataFrame, "pd.Series[Any]", Schema]:
    """Features as floats, labels as text or float, and the schema of a bundled stream."""
    frame = pd.read_parquet(SAMPLES / f"{name}.parquet")
    names = [column for column in frame.columns if column not in ("order", "timestamp", "target")]
    numbers = name == "bike_sharing"
    labels = frame["target"].astype(float) if numbers else frame["target"].astype(int).astype(str).astype(object)
    task = Task.REGRESSION if numbers else Task.BINARY
    schema = Schema(tuple(Column(one, Kind.NUMERIC) for one in names), "target", task, () if numbers else ("0", "1"))
    return frame[names].astype(float), labels, schema


def answered(schema: Schema, rows: pd.DataFrame, labels: "pd.Series[Any]", trained: int, seed: int) -> Answered:
    """The rows after the first ``trained``, answered by a model trained on those."""
    inputs = recent.with_recent(rows, schema)
    model = estimators.build("hist_gradient_boosting", schema, seed).fit(inputs[:trained], labels[:trained])
    rest = rows[trained:].reset_index(drop=True)
    return Answered(rest, labels[trained:].to_numpy(), *estimators.answers(model, inputs[trained:], schema))


def wide(rows: pd.DataFrame) -> list[str]:
    return [name for name in rows.columns if rows[name].nunique() > WIDE][:4]


def shuffled(name: str, seed: int) -> tuple[pd.DataFrame, "pd.Series[Any]", Schema]:
    rows, labels, schema = load(name)
    order = np.random.default_rng(seed).permutation(len(rows))[:MOST_ROWS]
    return rows.iloc[order].reset_index(drop=True), labels.iloc[order].reset_index(drop=True), schema


def realised(found: Answered, schema: Schema) -> float:
    loss = float(np.nanmean(performance.losses(found.labels, found.answers, None, schema)))
    return 1 - loss if schema.task.is_classification else loss


def spans(count: int, size: int) -> Iterator[slice]:
    return (slice(first, first + size) for first in range(0, count - size + 1, size))


def row(title: str, errors: Floats, others: Floats, inside: list[bool], scale: float) -> None:
    print(
        f"{title:36} {len(errors):4d} {scale * errors.mean():8.2f} {scale * others.mean():8.2f} {np.mean(inside):8.0%}"
    )


def covariate(seeds: range) -> None:
    print("\n1. Pure covariate shift, calibrated on random rows: mean error (points of accuracy; MAE as it is)")
    print(f"{'stream, sorted by':36} {'win.':>4} {'guess':>8} {'no change':>8} {'covered':>8}")
    everything: list[Floats] = []
    covered: list[bool] = []
    for name, (size, _) in STREAMS.items():
        scale = 1.0 if name == "bike_sharing" else 100.0
        found: dict[str, tuple[list[float], list[float], list[bool]]] = {}
        for seed in seeds:
            rows, labels, schema = shuffled(name, seed)
            told = answered(schema, rows, labels, len(rows) // 3, seed)
            half = len(told.labels) // 2
            known, rest = told[slice(0, half)], told[slice(half, None)]
            calibration = estimation.calibrate(
                known.labels, known.answers, known.probabilities, schema, window_rows=size, rows=known.rows
            )
            before = realised(known, schema)
            for feature in wide(rows):
                ordered = rest[np.argsort(rest.rows[feature].to_numpy(), kind="stable")]
                errors, others, inside = found.setdefault(feature, ([], [], []))
                for span in spans(len(ordered.labels), size):
                    window = ordered[span]
                    told_score = realised(window, schema)
                    guess = estimation.guess(
                        calibration, window.answers, window.probabilities, schema, rows=window.rows
                    )
                    assert guess is not None
                    errors.append(abs(guess.value - told_score))
                    others.append(abs(before - told_score))
                    inside.append(guess.low <= told_score <= guess.high)
        for feature, (errors, others, inside) in found.items():
            row(f"{name}, {feature}", np.array(errors), np.array(others), inside, scale)
            if scale == 100.0:
                everything.append(np.array(errors))
                covered += inside
    print(f"classes: mean error {100 * np.concatenate(everything).mean():.2f} points, covered {np.mean(covered):.0%}")


@dataclass(frozen=True)
class Step:
    """One window of a prequential run: the guess, what it was, and what was thought of guesses at that time."""

    reconciled: estimation.Reconciled
    trusted: bool
    valid_after: bool  # once its own labels have come


def prequential(told: Answered, schema: Schema, size: int, delay: int) -> list[Step]:
    """Guess every window from the four newest labelled before it; labels come ``delay`` windows late."""
    steps: list[Step] = []
    count = len(told.labels) // size
    for t in range(CALIBRATED_ON + delay, count):
        known = told[slice((t - delay + 1 - CALIBRATED_ON) * size, (t - delay + 1) * size)]
        window = told[slice(t * size, (t + 1) * size)]
        past = [step.reconciled for step in steps[: max(len(steps) - delay + 1, 0)]]
        calibration = estimation.calibrate(
            known.labels, known.answers, known.probabilities, schema, window_rows=size, rows=known.rows
        )
        guess = estimation.guess(
            calibration, window.answers, window.probabilities, schema, rows=window.rows, past=past, age=delay
        )
        assert guess is not None
        done = estimation.Reconciled(guess, realised(window, schema))
        valid = estimation.trust([*(step.reconciled for step in steps), done]).valid
        steps.append(Step(done, estimation.trust(past).trusted, bool(valid)))
    return steps


def in_order(title: str, runs: list[tuple[str, list[Step]]]) -> None:
    print(f"\n{title}")
    print(
        f"{'stream':36} {'win.':>4} {'guess':>8} {'last':>8} {'covered':>8} {'valid':>7} {'trusted':>8} "
        f"{'guess':>8} {'last':>8}  (of the trusted)"
    )
    for name, steps in runs:
        scale = 1.0 if name.startswith("bike") else 100.0
        errors = scale * np.array([step.reconciled.error for step in steps])
        others = scale * np.array([step.reconciled.rival_error for step in steps])
        inside = [step.reconciled.guess.low <= step.reconciled.realised <= step.reconciled.guess.high for step in steps]
        trusted = np.array([step.trusted for step in steps])
        shown = f"{errors[trusted].mean():8.2f} {others[trusted].mean():8.2f}" if trusted.any() else ""
        print(
            f"{name:36} {len(steps):4d} {errors.mean():8.2f} {others.mean():8.2f} {np.mean(inside):8.0%} "
            f"{np.mean([step.valid_after for step in steps]):7.0%} {trusted.mean():8.0%} {shown}"
        )


def sorted_streams(seed: int) -> None:
    runs = []
    for name, (size, warm_up) in STREAMS.items():
        rows, labels, schema = shuffled(name, seed)
        for feature in wide(rows):
            order = np.argsort(rows[feature].to_numpy(), kind="stable")
            told = answered(
                schema,
                rows.iloc[order].reset_index(drop=True),
                labels.iloc[order].reset_index(drop=True),
                size * warm_up,
                seed,
            )
            runs.append((f"{name}, {feature}", prequential(told, schema, size, 1)))
    in_order("2. Sorted by one feature, labels one window late", runs)


def real_streams(seed: int) -> None:
    for delay in (1, 5):
        runs = []
        for name, (size, warm_up) in STREAMS.items():
            rows, labels, schema = load(name)
            told = answered(schema, rows, labels, size * warm_up, seed)
            runs.append((name, prequential(told, schema, size, delay)))
        in_order(f"3. As they came, model never retrained, labels {delay} window(s) late", runs)


def broken_concept(seeds: range) -> None:
    print("\n4. Labelled windows until 'not valid' after the concept changed; false calls before it")
    print(f"{'stream':20} {'runs':>4} {'fall':>8} {'median':>7} {'worst':>6} {'within 2':>9} {'false calls':>12}")
    for name, (size, _) in STREAMS.items():
        waits, falls, false_calls = [], [], []
        for seed in seeds:
            rows, labels, schema = shuffled(name, seed)
            told = answered(schema, rows, labels, len(rows) // 3, seed)
            windows = len(told.labels) // size
            middle = windows // 2
            changed = told.labels.copy()
            feature = wide(rows)[seed % len(wide(rows))]
            values = told.rows[feature].to_numpy()
            hit = (np.arange(len(values)) >= middle * size) & (values > np.quantile(values, 0.6))
            if schema.task.is_classification:
                changed[hit] = np.where(changed[hit] == "1", "0", "1")
            else:
                changed[hit] = changed[hit] * 1.5
            broken = Answered(told.rows, changed, told.answers, told.probabilities)
            steps = prequential(broken, schema, size, 1)
            first = middle - CALIBRATED_ON - 1
            after = [step.valid_after for step in steps[first:]]
            waits.append(after.index(False) + 1 if False in after else np.inf)
            false_calls += [not step.valid_after for step in steps[:first]]
            falls.append(
                realised(broken[slice(0, middle * size)], schema) - realised(broken[slice(middle * size, None)], schema)
            )
        scale = 1.0 if name == "bike_sharing" else 100.0
        print(
            f"{name:20} {len(waits):4d} {scale * np.mean(falls):8.1f} {np.median(waits):7.0f} {max(waits):6.0f} "
            f"{np.mean(np.array(waits) <= 2):9.0%} {np.mean(false_calls):12.1%}"
        )


def drawn(kind: str, windows: int, seed: int) -> tuple[pd.DataFrame, "pd.Series[Any]", Schema]:
    """A random stream of three clouds of rows, whose labels are more and less certain, of which ``kind`` drifts.

    The first `DRAWN_TRAINED` windows, to train on, stand still. Within each cloud the chance of a label rises along one
    direction, which is the concept: it turns at a steady pace, at random, at once, or to and fro.
    """
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    count = (DRAWN_TRAINED + windows) * DRAWN_SIZE
    window = np.maximum(np.arange(count) // DRAWN_SIZE - DRAWN_TRAINED + 1, 0)  # 0: those to train on
    later = np.arange(windows)
    chances = np.full((windows, 3), 1 / 3)
    if "mix" in kind:
        walk = 0.5 * rng.normal(size=(windows, 3)).cumsum(axis=0)
        season = 2 * np.sin(2 * np.pi * (later[:, None] / rng.uniform(6, 20) + rng.uniform(size=3)))
        steps = np.repeat(2 * rng.normal(size=(windows // 3 + 1, 3)), 3, axis=0)[:windows]
        chances = np.exp((walk, season, steps)[rng.integers(3)])
        chances /= chances.sum(axis=1, keepdims=True)
    angle = np.zeros(windows)
    if "rotating" in kind:
        angle = rng.uniform(0.01, 0.1) * later
    elif kind == "wandering":
        angle = 0.15 * rng.normal(size=windows).cumsum()
    elif kind == "abrupt":
        for change in rng.choice(np.arange(8, windows), size=rng.integers(1, 4), replace=False):
            angle[change:] += rng.uniform(0.3, 1.2)
    elif kind == "recurring":
        angle = rng.uniform(0.3, 1.2) * (later // rng.integers(5, 15) % 2)
    chances, angle = np.r_[[[1 / 3] * 3], chances], np.r_[0.0, angle]
    cloud = (rng.uniform(size=count)[:, None] > chances[window].cumsum(axis=1)[:, :2]).sum(axis=1)
    within = rng.normal(size=(count, DRAWN_FEATURES))
    along, across = np.linalg.qr(rng.normal(size=(DRAWN_FEATURES, 2)))[0].T
    turned = np.cos(angle)[window] * (within @ along) + np.sin(angle)[window] * (within @ across)
    positive = rng.uniform(size=count) < 1 / (1 + np.exp(-turned * rng.permutation([6.0, 2.0, 0.7])[cloud]))
    rows = 2 * rng.normal(size=(3, DRAWN_FEATURES))[cloud] + within
    if kind == "labels' shares":
        share = 1 / (1 + np.exp(-0.5 * rng.normal(size=windows).cumsum()))
        wanted = rng.uniform(size=count) < np.r_[0.5, share][window]
        chosen = np.where(
            wanted, rng.choice(np.flatnonzero(positive), count), rng.choice(np.flatnonzero(~positive), count)
        )
        rows, positive = rows[chosen], positive[chosen]
    names = [f"x{number}" for number in range(DRAWN_FEATURES)]
    labels = pd.Series(np.where(positive, "1", "0").astype(object))
    schema = Schema(tuple(Column(name, Kind.NUMERIC) for name in names), "target", Task.BINARY, ("0", "1"))
    return pd.DataFrame(rows, columns=names), labels, schema


def random_streams(count: int) -> None:
    print(
        f"\n5. Random streams of {DRAWN_SIZE} rows a window: errors in points of accuracy, shares of windows and streams"
    )
    print(
        f"{'what drifts':18} {'late':>4} {'runs':>4} {'win.':>4} {'guess':>6} {'last':>6} {'covered':>8} {'parted':>7} "
        f"{'trusted':>8} {'guess':>6} {'last':>6} {'ever':>5} {'worse':>6}"
    )
    for kind, windows in [*((kind, DRAWN) for kind in KINDS), ("mix", LONG), ("abrupt", LONG)]:
        runs: dict[int, list[list[Step]]] = {1: [], 5: []}
        for seed in range(count if windows == DRAWN else count // 4):
            rows, labels, schema = drawn(kind, windows, seed)
            told = answered(schema, rows, labels, DRAWN_TRAINED * DRAWN_SIZE, seed)
            for delay, found in runs.items():
                found.append(prequential(told, schema, DRAWN_SIZE, delay))
        for delay, found in runs.items():
            of_kind(kind, delay, windows, found)


def of_kind(kind: str, delay: int, windows: int, runs: list[list[Step]]) -> None:
    """``parted``: streams ever called not valid; ``worse``: those where guesses did worse than the last score while trusted."""
    errors = 100 * np.array([[step.reconciled.error for step in steps] for steps in runs])
    others = 100 * np.array([[step.reconciled.rival_error for step in steps] for steps in runs])
    trusted = np.array([[step.trusted for step in steps] for steps in runs])
    inside = [
        one.guess.low <= one.realised <= one.guess.high for steps in runs for one in (s.reconciled for s in steps)
    ]
    parted = np.mean([not all(step.valid_after for step in steps) for steps in runs])
    worse = ((errors - others) * trusted).sum(axis=1) > 0
    shown = f"{errors[trusted].mean():6.2f} {others[trusted].mean():6.2f}" if trusted.any() else " " * 13
    print(
        f"{kind:18} {delay:4d} {len(runs):4d} {windows:4d} {errors.mean():6.2f} {others.mean():6.2f} {np.mean(inside):8.0%} "
        f"{parted:7.0%} {trusted.mean():8.0%} {shown} {trusted.any(axis=1).mean():5.0%} {worse.mean():6.0%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seeds", type=int, default=5, help="of part 1; part 4 has four times, part 5 eight times as many"
    )
    seeds = range(parser.parse_args().seeds)
    covariate(seeds)
    sorted_streams(0)
    real_streams(0)
    broken_concept(range(4 * len(seeds)))
    random_streams(8 * len(seeds))


if __name__ == "__main__":
    main()

"""Is the right cause named? `python -m benchmarks.diagnosis`.

On windows of each bundled stream six changes are made, one at a time, and diagnosed against the good windows before:

* unit: an important feature times 10; constant: one value of it for the whole window (both must block)
* covariate: rows of this and the next window drawn anew, by weights that rise or fall with an important feature
* label: the same with weights that rise or fall with the label
* concept: where an important feature is above its median, the labels are turned over (numbers: in reverse order)
* noise: the labels of six rows in ten are mixed up among themselves

P(y | x) is kept by the second, P(x | y) by the third. The answers are those of light gradient boosting on the newest
eight windows, renewed every fourth window. What is left as it is counts for false blocks; the bar is five right of six.
"""

import argparse
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.recovery import STREAMS, history
from core import diagnosis, estimators, feed, recent
from core.diagnosis import Seen
from core.records import Kind, Schema
from core.values import as_numbers

CHANGES = ("unit", "constant", "covariate", "label", "concept", "noise")
BAR = 5 / 6
RENEWED, SLIDING = 4, 8  # windows
STRENGTH = 1.2  # of the weights, a standard deviation

Floats = NDArray[np.float64]
Labels = "pd.Series[Any]"


def judge(stream: str, part: int, parts: int, step: int, seed: int) -> list[tuple[str, str, bool]]:
    """Change, cause named, blocked: of every ``step``-th window of this part of the stream."""
    features, labels, schema = history(stream)
    size, warm_up = STREAMS[stream]
    windows = len(features) // size
    draw = np.random.default_rng([seed, part])
    features = recent.with_recent(features, schema)  # a row that is picked keeps what was usual before it
    cut = [
        (features.iloc[at * size : (at + 1) * size], labels.iloc[at * size : (at + 1) * size]) for at in range(windows)
    ]
    models = {}

    def answered(window: int, rows: pd.DataFrame, truth: Any) -> Seen:
        born = warm_up + (window - warm_up) // RENEWED * RENEWED
        if born not in models:
            span = slice(max(0, born - SLIDING) * size, born * size)
            pipeline = estimators.yardstick("hist_gradient_boosting", schema, seed)
            models[born] = pipeline.fit(features.iloc[span], labels.iloc[span])
        return Seen(rows, _encoded(truth, schema), _said(models[born], rows, schema))

    found = []
    chosen = range(warm_up + 6, windows - 2, step)
    for window in list(chosen)[part::parts]:
        known = [answered(at, *cut[at]) for at in range(max(warm_up, window - diagnosis.KNOWN), window)]
        fed = {at: cut[at][0] for at in range(max(0, window - feed.KNOWN), window)}
        feature = _important(known, cut[window][0], schema)
        for change in ("none", *CHANGES):
            rows, truth = _changed(change, cut[window], cut[window + 1], feature, schema, draw)
            faults = feed.faults(fed, rows, schema)
            named = diagnosis.diagnose(window, known, answered(window, rows, truth), schema).cause
            found.append((change, "feed" if faults else named, bool(faults)))
    return found


def _encoded(labels: Any, schema: Schema) -> Floats:
    if not schema.task.is_classification:
        return np.asarray(labels.to_numpy(np.float64))[:, None]
    return (labels.to_numpy()[:, None] == np.array(schema.classes, object)).astype(np.float64)


def _said(model: Any, rows: pd.DataFrame, schema: Schema) -> Floats:
    labels, chances = estimators.answers(model, rows, schema)
    return labels.astype(np.float64)[:, None] if chances is None else chances


def _important(known: list[Seen], now: pd.DataFrame, schema: Schema) -> str:
    """The number that varies in this window on which the answers hang most."""
    parts = diagnosis._binned([one.rows for one in known], now, schema)[:-1]
    weight = diagnosis.importance(
        np.concatenate(parts), np.concatenate([one.said for one in known if one.said is not None])
    )
    able = [
        at
        for at, column in enumerate(schema.features)
        if column.kind is Kind.NUMERIC and now[column.name].value_counts(normalize=True).iloc[0] <= 0.5
    ]
    return schema.features[max(able, key=lambda at: weight[at])].name


def _changed(
    change: str, now: Any, following: Any, feature: str, schema: Schema, draw: np.random.Generator
) -> tuple[pd.DataFrame, Any]:
    rows, labels = now
    values = as_numbers(rows[feature], Kind.NUMERIC).astype(np.float64)
    if change == "unit":
        return rows.assign(**{feature: values * 10}), labels
    if change == "constant":
        return rows.assign(**{feature: values[0]}), labels
    if change in ("covariate", "label"):
        pool, truth = pd.concat([rows, following[0]]), pd.concat([labels, following[1]])
        by = pool[feature].to_numpy(np.float64) if change == "covariate" else _encoded(truth, schema)[:, -1]
        standard = np.clip((by - by.mean()) / by.std(), -2.5, 2.5)
        weight = np.exp(STRENGTH * draw.choice([-1, 1]) * standard)
        picked = np.sort(draw.choice(len(pool), len(rows), p=weight / weight.sum()))
        return pool.iloc[picked], truth.iloc[picked]
    if change == "noise":
        mixed, some = labels.to_numpy().copy(), draw.random(len(labels)) < 0.6
        mixed[some] = draw.permutation(mixed[some])
        return rows, pd.Series(mixed, index=labels.index, dtype=labels.dtype)
    if change == "concept":
        return rows, _turned(labels, values > np.median(values), schema)
    return rows, labels


def _turned(labels: Any, where: NDArray[np.bool_], schema: Schema) -> Any:
    turned = labels.to_numpy().copy()
    if schema.task.is_classification:
        after = dict(zip(schema.classes, (*schema.classes[1:], schema.classes[0]), strict=True))
        turned[where] = [after[name] for name in turned[where]]
    else:
        ranks = np.argsort(np.argsort(turned[where]))
        turned[where] = np.sort(turned[where])[::-1][ranks]
    return pd.Series(turned, index=labels.index, dtype=labels.dtype)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", nargs="+", choices=list(STREAMS), default=list(STREAMS))
    parser.add_argument("--step", type=int, default=3, help="every so manieth window")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print("| stream | windows | " + " | ".join(CHANGES) + " | right | left as it is: none | false blocks |")
    print("|---" * (len(CHANGES) + 5) + "|")
    shares, blocked, false = [], Counter[bool](), 0
    with ProcessPoolExecutor(given.jobs) as pool:
        asked = {
            stream: [pool.submit(judge, stream, part, given.jobs, given.step, given.seed) for part in range(given.jobs)]
            for stream in given.streams
        }
        for stream, jobs in asked.items():
            found = [one for job in jobs for one in job.result()]
            named = {
                change: Counter(cause for what, cause, _ in found if what == change) for change in ("none", *CHANGES)
            }
            right = {
                change: named[change]["feed" if change in CHANGES[:2] else change] / named[change].total()
                for change in named
            }
            blocked.update(block for what, _, block in found if what in CHANGES[:2])
            stopped = sum(block for what, _, block in found if what not in CHANGES[:2])
            false += stopped
            shares.append(float(np.mean([right[change] for change in CHANGES])))
            told = " | ".join(
                f"{right[change]:.0%}"
                + "".join(f", {c} {k}" for c, k in named[change].most_common(2) if c not in (change, "feed"))
                for change in CHANGES
            )
            print(
                f"| {stream} | {named['none'].total()} | {told} | {shares[-1]:.0%} | {right['none']:.0%} | {stopped} |",
                flush=True,
            )
    print(f"Right cause: {np.mean(shares):.0%} (worst stream {min(shares):.0%}); the bar is {BAR:.0%}.")
    print(f"Broken feeds blocked: {blocked[True]} of {blocked.total()}; other windows blocked: {false}.")


if __name__ == "__main__":
    main()

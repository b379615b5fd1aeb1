"""Fits the weights of the causes in `core/diagnosis.py`: `python -m benchmarks.diagnosis_fit`.

The changes of `benchmarks.diagnosis` are made in windows of the bundled streams and of eight made-up ones (independent
or autoregressive features; two classes, one of them rare, three classes, numbers; easy, hard and drifting), and a
multinomial logistic regression on the signs learns which change was made. Every stream and every change counts alike.

Printed are the weights, and first for each stream the share of right causes by weights that were fitted *without* it
(the faults of the feed, which always block, count as two right ones of six): that is what to expect elsewhere.
"""

from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.signal import lfilter
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import diagnosis as injected
from benchmarks.recovery import STREAMS, history
from core import diagnosis, estimators, recent
from core.diagnosis import OUTCOMES, Seen, Signs
from core.records import Column, Kind, Schema, Task

MADE_UP = (
    "binary", "binary, dependent", "binary, hard, dependent, drifting", "binary, rare", "three, dependent",
    "numbers", "numbers, hard, dependent", "numbers, dependent, drifting",
)  # fmt: skip
ROWS, WINDOWS, WARM_UP = 300, 70, 10
STEP = 2  # every second window
PENALTY = 1.0

Floats = NDArray[np.float64]


def made_up(name: str) -> tuple[pd.DataFrame, "pd.Series[Any]", Schema]:
    """Six features, the last without use, and a label that hangs on the others with an interaction."""
    draw, count = np.random.default_rng(list(name.encode())), ROWS * WINDOWS
    coefficient = 0.9 if "dependent" in name else 0.0
    noise = draw.standard_normal((count, 6))
    noise[1:] *= np.sqrt(1 - coefficient**2)
    x = np.asarray(lfilter([1.0], [1.0, -coefficient], noise, axis=0))
    if "drifting" in name:
        x[:, 4] += 2 * np.sin(np.linspace(0, 6 * np.pi, count))
    columns = tuple(Column(f"x{at}", Kind.NUMERIC) for at in range(6))
    rows = pd.DataFrame(x, columns=[column.name for column in columns])
    if "numbers" in name:  # much as in Friedman, Annals of Statistics 1991
        y = 10 * np.sin(x[:, 0] * x[:, 1]) + 5 * x[:, 2] ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
        y = y + draw.standard_normal(count) * (8 if "hard" in name else 3)
        return rows, pd.Series(y), Schema(columns, "target", Task.REGRESSION, ())
    score = (
        x[:, 0] + x[:, 1] * x[:, 2] + 0.7 * (x[:, 3] > 0) + draw.logistic(size=count) * (1 if "hard" in name else 0.3)
    )
    cuts = [0.4, 0.75] if "three" in name else [0.85 if "rare" in name else 0.5]
    labels = pd.Series(np.digitize(score, np.quantile(score, cuts)).astype(str)).astype(object)
    task = Task.MULTICLASS if "three" in name else Task.BINARY
    return rows, labels, Schema(columns, "target", task, tuple(str(at) for at in range(len(cuts) + 1)))


def signs(stream: str, seed: int = 0) -> list[tuple[str, Signs]]:
    """What each change leaves in every second window of the stream."""
    features, labels, schema = history(stream) if stream in STREAMS else made_up(stream)
    size, warm_up = STREAMS.get(stream, (ROWS, WARM_UP))
    windows, draw = len(features) // size, np.random.default_rng([seed, *stream.encode()])
    features = recent.with_recent(features, schema)  # a row that is picked keeps what was usual before it
    cut = [
        (features.iloc[at * size : (at + 1) * size], labels.iloc[at * size : (at + 1) * size]) for at in range(windows)
    ]
    models = {}

    def answered(window: int, rows: pd.DataFrame, truth: object) -> Seen:
        born = warm_up + (window - warm_up) // injected.RENEWED * injected.RENEWED
        if born not in models:
            span = slice(max(0, born - injected.SLIDING) * size, born * size)
            pipeline = estimators.yardstick("hist_gradient_boosting", schema, seed)
            models[born] = pipeline.fit(features.iloc[span], labels.iloc[span])
        return Seen(rows, injected._encoded(truth, schema), injected._said(models[born], rows, schema))

    seen = {at: answered(at, *cut[at]) for at in range(warm_up, windows)}
    found = []
    for window in range(warm_up + 6, windows - 2, STEP):
        known = [seen[at] for at in range(max(warm_up, window - diagnosis.KNOWN), window)]
        feature = injected._important(known, cut[window][0], schema)
        for change in OUTCOMES:
            rows, truth = injected._changed(change, cut[window], cut[window + 1], feature, schema, draw)
            now = answered(window, rows, truth)
            parts = diagnosis._binned([one.rows for one in known], now.rows, schema)
            moved = diagnosis._moved(parts, schema)
            found.append((change, diagnosis._signs(parts, [*known, now], moved, schema)))
    return found


def fitted(found: dict[str, list[tuple[str, Signs]]]) -> tuple[Floats, Floats]:
    """Weights (causes, signs) and constants (causes) by multinomial logistic regression, each stream counting alike."""
    pairs = [pair for told in found.values() for pair in told]
    counts = np.concatenate([np.full(len(told), 1 / len(told)) for told in found.values()])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=2_000))
    x, y = np.array([list(sign.values()) for _, sign in pairs]), [OUTCOMES.index(change) for change, _ in pairs]
    model.fit(x, y, logisticregression__sample_weight=counts / counts.mean())
    scaler, regression = model.named_steps["standardscaler"], model.named_steps["logisticregression"]
    weights = regression.coef_ / scaler.scale_
    return weights, regression.intercept_ - weights @ scaler.mean_


def main() -> None:
    streams = [*STREAMS, *MADE_UP]
    with ProcessPoolExecutor(2) as pool:
        found = dict(zip(streams, pool.map(signs, streams), strict=True))
    print("| stream, by weights fitted without it | " + " | ".join(OUTCOMES) + " | right |")
    print("|---" * (len(OUTCOMES) + 2) + "|")
    for stream, told in found.items():
        weights, constants = fitted({other: pairs for other, pairs in found.items() if other != stream})
        named = [OUTCOMES[int((weights @ list(sign.values()) + constants).argmax())] for _, sign in told]
        right = [
            float(np.mean([name == change for name, (what, _) in zip(named, told, strict=True) if what == change]))
            for change in OUTCOMES
        ]
        print(f"| {stream} | " + " | ".join(f"{one:.0%}" for one in right) + f" | {(2 + sum(right[1:])) / 6:.1%} |")
    weights, constants = fitted(found)
    names = list(next(iter(found.values()))[0][1])
    print('\nWEIGHTS = {\n    "always": (' + ", ".join(f"{one:.2f}" for one in constants) + "),")
    for at, name in enumerate(names):
        print(f'    "{name}": (' + ", ".join(f"{one:.2f}" for one in weights[:, at]) + "),")
    print("}")


if __name__ == "__main__":
    main()

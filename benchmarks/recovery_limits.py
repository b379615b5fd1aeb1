"""What any timing of retrains could win on the bundled streams: `python -m benchmarks.recovery_limits`.

For each stream every model that retraining after every window (on all rows) makes is asked about every later window. From
these losses follow, without another fit: the scores of *never* and *always*; of a *calendar* that retrains in a given share
of the windows, as the mean over all days it could begin on, so that no luck is in it; of the same calendar where the
predecessor *stands in* as the balanced policy lets it; and of the *best schedule in hindsight* with as many retrains, by
dynamic programming: no policy that does not know the future can be counted on to do better. No gate, no rollback. Recovery is as in `benchmarks.recovery`: (schedule - never) / (always - never).
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.recovery import STREAMS, history
from core import turn
from core.evidence import LEAD_HALF_LIFE
from core.policy import PRESETS, Policy
from core.replay import History

Floats = NDArray[np.float64]

SHARES = (0.1, 0.15, 0.2)  # of the windows that end in a retrain


def losses(stream: str, estimator: str = "hist_gradient_boosting", seed: int = 0) -> Floats:
    """Mean loss (windows, windows) of the model of all windows up to a row's in the window of a column; NaN before it."""
    window, warm_up = STREAMS[stream]
    features, labels, schema = history(stream)
    policy = Policy(window_rows=window, warm_up_windows=warm_up, most_rows=PRESETS["balanced"].most_rows)
    world = History(features, labels, schema, np.zeros(len(labels), np.int64))
    world.now = 0
    windows = len(labels) // window
    found = np.full((windows, windows), np.nan)
    for newest in range(warm_up - 1, windows - 1):
        spans = turn.training_spans(policy, list(range(newest + 1)), "all")
        version = world.fit(spans, estimator=estimator, seed=seed)
        later = (newest + 1) * window, windows * window
        said, known = world.predict(version, *later), world.labels(*later)
        found[newest, newest + 1 :] = turn.row_losses(said, known, schema).reshape(-1, window).mean(axis=1)
    return found


def served(found: Floats, first: int, retrains: NDArray[np.int64], delay: int) -> float:
    """The mean loss where a retrain ends each of these windows, with labels ``delay`` windows late; ``first`` is scored first."""
    windows, turns = np.arange(first, len(found)), np.r_[first - 1, retrains]
    newest = np.maximum(turns[np.searchsorted(turns, windows) - 1] - delay, first - 1)
    return float(found[newest, windows].mean())


def stood_in(found: Floats, first: int, retrains: NDArray[np.int64], delay: int) -> float:
    """The same where the predecessor answers while it has lost less of late, as in `core.evidence`."""
    margin, keep = PRESETS["balanced"].stand_in or 0.0, 0.5 ** (1 / LEAD_HALF_LIFE)
    champion, before, lead, counted, away = first - 1, None, 0.0, 0.0, False
    lost = []
    for window in range(first, len(found)):
        lost.append(found[before if away and before is not None else champion, window])
        judged = window - delay
        if before is not None and judged > champion:
            ours, theirs = found[champion, judged], found[before, judged]
            lead, counted = keep * lead + 2 * (ours - theirs) / (ours + theirs), keep * counted + 1
            away = lead / counted > (-margin if away else margin)
        if window in retrains and (newest := max(window - delay, first - 1)) > champion:
            champion, before, lead, counted, away = newest, champion, 0.0, 0.0, False
    return float(np.mean(lost))


Schedule = Callable[[Floats, int, NDArray[np.int64], int], float]


def calendar(found: Floats, first: int, share: float, delay: int, how: Schedule = served) -> float:
    """The mean loss of a retrain in this share of the windows, evenly spread, over all the windows it could begin with."""
    period = 1 / share
    phases = np.arange(int(np.ceil(period)))
    schedules = (np.floor(np.arange(first + phase, len(found) - 1, period)).astype(np.int64) for phase in phases)
    return float(np.mean([how(found, first, schedule, delay) for schedule in schedules]))


def best(found: Floats, first: int, share: float, delay: int) -> float:
    """The least mean loss of any schedule with at most this share of the windows ending in a retrain."""
    count = len(found)
    turns = np.arange(first - 1, count)  # the newest retrain; first - 1: the first model
    newest = np.maximum(turns - delay, first - 1)
    sums = np.cumsum(np.nan_to_num(found[newest]), axis=1)  # (turns, windows)
    base = sums[np.arange(len(turns)), turns]
    least = sums[0] - base[0]  # what windows up to each lose under the first model
    for _ in range(int(share * (count - first))):
        after = least[turns, None] + sums - base[:, None]  # retrained at the end of that turn
        after[turns[:, None] >= np.arange(count)] = np.inf
        least = np.minimum(least, after.min(axis=0))
    return float(least[-1] / (count - first))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", nargs="+", choices=list(STREAMS), default=list(STREAMS))
    parser.add_argument("--delays", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    heads = [f"{how}, {share:.0%}" for how in ("calendar", "with a stand-in", "hindsight") for share in SHARES]
    ways = (calendar, partial(calendar, how=stood_in), best)
    print("| stream | delay | " + " | ".join(heads) + " |" + "\n" + "|---" * (2 + len(heads)) + "|")
    with ProcessPoolExecutor(given.jobs) as pool:
        for stream, found in zip(given.streams, pool.map(losses, given.streams), strict=True):
            first = STREAMS[stream][1]
            for delay in given.delays:
                never = served(found, first, np.array([], np.int64), delay)
                always = served(found, first, np.arange(first, len(found)), delay)
                values = [how(found, first, share, delay) for how in ways for share in SHARES]
                told = " | ".join(f"{(never - value) / (never - always):.2f}" for value in values)
                print(f"| {stream} | {delay} | {told} |", flush=True)


if __name__ == "__main__":
    main()

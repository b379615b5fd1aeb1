"""Who notices what: python -m benchmarks.drift_power [--rows 1000] [--budget 0.05] (see benchmarks/requirements.txt)

Every method gives each feature of a window a score. Its alarm is "any feature above its threshold" (Evidently also as
it comes: at least half of the columns), with the threshold tuned on no-drift windows until it cries wolf exactly as
often as our check did on those very windows. Printed is the share of drifting windows each method notices then.
Peers that are not installed are left out.
"""

import argparse
import logging
import os
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from benchmarks.drift_data import CATEGORIES, NUMERIC, SCHEMA, frame, latent
from core import drift
from core.records import Verdict

Floats = NDArray[np.float64]
NUMBERS = SCHEMA.names[:NUMERIC]
GROUPS = SCHEMA.names[NUMERIC:]


# ---- the shifts: latent rows in, shifted latent rows out -----------------------------------------------------------
def sudden(z: Floats) -> Floats:
    z[:, :3] += 0.17
    return z


def gradual(z: Floats) -> Floats:
    z[:, :3] += np.linspace(0.0, 0.34, len(z))[:, None]
    return z


def one_feature(z: Floats) -> Floats:
    z[:, 0] += 0.2
    return z


def one_spread(z: Floats) -> Floats:
    z[:, 0] *= 1.25
    return z


def all_slightly(z: Floats) -> Floats:
    return z + 0.06


def category_mix(z: Floats) -> Floats:
    z[:, NUMERIC + 3] += 0.2
    return z


def category_ends(z: Floats) -> Floats:
    z[:, NUMERIC + 3] *= 1.3  # the commonest and the rarest become more frequent
    return z


def two_together(z: Floats) -> Floats:
    z[:, 4] = 0.3 * z[:, 0] + np.sqrt(1 - 0.3**2) * z[:, 4]
    return z


SHIFTS: dict[str, Callable[[Floats], Floats]] = {
    "sudden, 3 features": sudden,
    "gradual, 3 features": gradual,
    "one feature": one_feature,
    "one feature's spread": one_spread,
    "all features slightly": all_slightly,
    "category mix": category_mix,
    "category mix, both ends": category_ends,
    "two begin to correlate": two_together,
}


# ---- the methods: two frames in, one score a feature out, higher is more drift ---------------------------------------
def by_tests(number: Callable[[Floats, Floats], float]) -> Callable[[pd.DataFrame, pd.DataFrame], Floats]:
    """Minus the log p-value of a two-sample test per number, of chi-square per category."""

    def scores(before: pd.DataFrame, now: pd.DataFrame) -> Floats:
        chances = [number(before[c].to_numpy(), now[c].to_numpy()) for c in NUMBERS]
        for c in GROUPS:
            table = pd.concat([before[c].value_counts(), now[c].value_counts()], axis=1).fillna(0).to_numpy()
            chances.append(float(stats.chi2_contingency(table, correction=False).pvalue))
        return -np.log(np.maximum(chances, 1e-300))

    return scores


def evidently_scores(before: pd.DataFrame, now: pd.DataFrame) -> Floats:
    """Minus the log of the p-values Evidently's DataDriftPreset prints (its default tests up to 1,000 rows)."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from evidently import Report
    from evidently.presets import DataDriftPreset

    done = Report([DataDriftPreset()]).run(now, before).dict()
    found = {}
    for metric in done["metrics"]:
        config = metric.get("config", {})
        if "column" in config and isinstance(metric["value"], float):
            is_chance = "p_value" in str(config.get("method", "")) or "p_value" in metric["metric_name"]
            value = float(metric["value"])
            found[config["column"]] = -np.log(max(value, 1e-300)) if is_chance else value
    return np.array([found[c] for c in SCHEMA.names])


def nannyml_scores(before: pd.DataFrame, now: pd.DataFrame) -> Floats:
    """NannyML's default Jensen-Shannon distance per column, the current window as one chunk."""
    os.environ.setdefault("NML_DISABLE_USAGE_LOGGING", "1")
    import nannyml

    logging.getLogger("nannyml").setLevel(logging.ERROR)
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=SCHEMA.names, chunk_size=len(now), treat_as_categorical=GROUPS
    )
    done = calculator.fit(before).calculate(now).filter(period="analysis").to_df()
    return np.array([float(done[(c, "jensen_shannon", "value")].iloc[0]) for c in SCHEMA.names])


def reconstruction_scores(before: pd.DataFrame, now: pd.DataFrame) -> Floats:
    """NannyML's multivariate check: the error of rebuilding the rows from the reference's principal components."""
    os.environ.setdefault("NML_DISABLE_USAGE_LOGGING", "1")
    import nannyml

    logging.getLogger("nannyml").setLevel(logging.ERROR)
    calculator = nannyml.DataReconstructionDriftCalculator(column_names=SCHEMA.names, chunk_size=len(now))
    done = calculator.fit(before).calculate(now).filter(period="analysis").to_df()
    return np.array([float(done[("reconstruction_error", "value")].iloc[0])])


def furthest(scores: Floats, null: Floats) -> Floats:
    """The alarm number of one score that may go either way."""
    return np.asarray(np.abs(scores - np.median(null, axis=0)).max(axis=1))


def largest(scores: Floats, null: Floats) -> Floats:
    """The alarm number of "any column": the largest score, each in units of its own no-drift spread."""
    centre, spread = null.mean(axis=0), np.maximum(null.std(axis=0), 1e-12)
    return np.asarray(((scores - centre) / spread).max(axis=1))


def any_chance(scores: Floats, null: Floats) -> Floats:
    """The alarm number of "any p-value below": the largest minus log p."""
    return np.asarray(scores.max(axis=1))


def half(scores: Floats, null: Floats) -> Floats:
    """The alarm number of "at least half of the columns": the score of the column in the middle."""
    return np.asarray(np.sort(scores, axis=1)[:, scores.shape[1] // 2])


Rule = Callable[[Floats, Floats], Floats]
PEERS: dict[str, tuple[Callable[[pd.DataFrame, pd.DataFrame], Floats], tuple[tuple[str, Rule], ...], bool]] = {
    "scipy KS + chi2": (
        by_tests(lambda a, b: stats.ks_2samp(a, b, method="asymp").pvalue),
        (("any", any_chance),),
        False,
    ),
    "scipy Mann-Whitney + chi2": (
        by_tests(lambda a, b: stats.mannwhitneyu(a, b).pvalue),
        (("any", any_chance),),
        False,
    ),
    "scipy Cramer-von Mises + chi2": (
        by_tests(lambda a, b: stats.cramervonmises_2samp(a, b, method="asymptotic").pvalue),
        (("any", any_chance),),
        False,
    ),
    "Evidently default": (evidently_scores, (("any", any_chance), ("half", half)), True),
    "NannyML Jensen-Shannon": (nannyml_scores, (("any", largest),), True),
    "NannyML PCA reconstruction": (reconstruction_scores, (("both ways", furthest),), True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--budget", type=float, default=0.05)
    parser.add_argument("--quiet", type=int, default=600, help="windows without drift")
    parser.add_argument("--windows", type=int, default=300, help="windows with each shift")
    parser.add_argument("--slow", type=int, default=3, help="slow peers see every n-th window")
    parser.add_argument("--without", nargs="*", default=[])
    given = parser.parse_args()
    warnings.simplefilter("ignore")

    def windows(shift: Callable[[Floats], Floats], seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        rng = np.random.default_rng((given.rows, seed))
        return frame(latent(rng, given.rows)), frame(shift(latent(rng, given.rows)))

    def alarms(shift: Callable[[Floats], Floats], first: int, count: int, smallest: float) -> Floats:
        out = []
        for seed in range(first, first + count):
            before, now = windows(shift, seed)
            known = drift.reference(before, SCHEMA)
            found = drift.check(known, drift.profile(known, now), budget=given.budget, smallest_shift=smallest)
            out.append(found.verdict is Verdict.DRIFTING)
        return np.array(out, float)

    quiet = alarms(lambda z: z, 0, given.quiet, drift.SMALLEST_SHIFT)
    rate = float(quiet.mean())
    print(f"{given.rows} rows in each window, budget {given.budget:.0%}: our realised rate is {rate:.2%}.")
    print("| method | " + " | ".join(SHIFTS) + " | windows |")
    print("|---" * (len(SHIFTS) + 2) + "|")
    start = {name: 10_000 * (k + 1) for k, name in enumerate(SHIFTS)}
    ours = [alarms(shift, start[name], given.windows, drift.SMALLEST_SHIFT).mean() for name, shift in SHIFTS.items()]
    print("| **this check** | " + " | ".join(f"{p:.0%}" for p in ours) + f" | {given.windows} |", flush=True)
    for name, (scores, rules, is_slow) in PEERS.items():
        if any(name.startswith(skipped) for skipped in given.without):
            continue
        step = given.slow if is_slow else 1
        try:
            null = np.array([scores(*windows(lambda z: z, s)) for s in range(0, given.quiet, step)])
        except ImportError:
            print(f"{name}: not installed")
            continue
        found = {
            shift_name: np.array(
                [scores(*windows(shift, s)) for s in range(start[shift_name], start[shift_name] + given.windows, step)]
            )
            for shift_name, shift in SHIFTS.items()
        }
        for rule_name, rule in rules:
            threshold = np.quantile(rule(null, null), 1.0 - rate, method="higher")
            power = [float((rule(f, null) > threshold).mean()) for f in found.values()]
            print(
                f"| {name}, {rule_name} | " + " | ".join(f"{p:.0%}" for p in power) + f" | {given.windows // step} |",
                flush=True,
            )


if __name__ == "__main__":
    assert len(CATEGORIES) == len(GROUPS)
    main()

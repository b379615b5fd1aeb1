"""Every drift metric says what scipy, or a closed form, says of the same rows."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import spatial, stats

from core.drift_metrics import METRICS, Pair
from core.drift_metrics.base import in_cells
from core.drift_metrics.psi import grouped

Floats = NDArray[np.float64]
DRAW = np.random.default_rng(0)
BEFORE = DRAW.integers(0, 12, 700).astype(float)  # many values tie
NOW = np.minimum(DRAW.integers(0, 13, 500), 11).astype(float)
BINS = np.arange(12)


def pair(before: Floats, now: Floats, *, gaps: tuple[int, int] = (0, 0)) -> Pair:
    """Two windows of one feature, a bin a value."""
    counts = [np.array([[np.sum(side == k) for k in BINS]], float) for side in (before, now)]
    one = np.ones(1)
    return Pair(
        counts[0], counts[1], BINS[None].astype(float), one * (now.mean() - before.mean()), one * before.std(),
        np.array([[gaps[0]], [gaps[1]]], float), one, one * np.inf,
    )  # fmt: skip


def celled(windows: Pair) -> Pair:
    """The same windows with categories in cells: all bins have a name, one more takes what is rare."""
    counts = [np.c_[side, 0.0] for side in (windows.reference, windows.current)]
    bins = counts[0].shape[1]
    homes, alphabet = np.full((1, bins), bins - 1), np.linspace(0.0, 1.0, bins)[None, ::-1]
    reference, current = in_cells(*counts, homes, alphabet, np.zeros(1), windows.time)
    return replace(windows, reference=reference, current=current)


def found(name: str, windows: Pair) -> tuple[float, float]:
    """Value and p-value."""
    value = METRICS[name].value(windows)
    return float(value[0]), float(METRICS[name].tail(value, windows)[0])


def test_mann_whitney_is_that_of_scipy() -> None:
    value, chance = found("mann_whitney", pair(BEFORE, NOW))
    known = stats.mannwhitneyu(NOW, BEFORE, method="asymptotic", use_continuity=False)
    assert value == pytest.approx(abs(2 * known.statistic / (len(BEFORE) * len(NOW)) - 1))
    assert chance == pytest.approx(known.pvalue, rel=1e-3)


def test_kolmogorov_smirnov_is_that_of_scipy() -> None:
    value, chance = found("ks", pair(BEFORE, NOW))
    known = stats.ks_2samp(BEFORE, NOW, method="asymp")
    assert value == pytest.approx(known.statistic)
    effective = len(BEFORE) * len(NOW) / (len(BEFORE) + len(NOW))
    assert chance == pytest.approx(stats.kstwobign.sf(known.statistic * np.sqrt(effective)))


def test_mood_is_that_of_scipy() -> None:
    few, other = (np.arange(12.0)[side] for side in (np.array([0, 3, 4, 6, 7, 9]), np.array([1, 2, 5, 8, 10, 11])))
    _, chance = found("mood", pair(few, other))
    assert chance == pytest.approx(stats.mood(few, other).pvalue, abs=0.03)  # it divides by n - 1, this by n


def test_chi_square_is_that_of_scipy() -> None:
    windows = pair(BEFORE, NOW)
    value, chance = found("chi_square", windows)
    known = stats.chi2_contingency(np.concatenate([windows.reference, windows.current]), correction=False)
    assert value * windows.effective[0] == pytest.approx(known.statistic)
    assert chance == pytest.approx(known.pvalue)


def test_frequency_shift_is_mann_whitney_of_the_ranks_by_frequency() -> None:
    windows = pair(BEFORE, NOW)
    _, chance = found("frequency_shift", celled(windows))
    rank = np.argsort(np.argsort(-(windows.reference + windows.current)[0], kind="stable"))
    ranks = [rank[side.astype(int)] for side in (NOW, BEFORE)]
    known = stats.mannwhitneyu(*ranks, method="asymptotic", use_continuity=False)
    assert chance == pytest.approx(known.pvalue, rel=1e-3)


def test_frequency_shift_keeps_its_level_where_chance_alone_makes_categories_frequent() -> None:
    """An order read from the reference alone would alarm in far more than 5 % of these."""
    draw = np.random.default_rng(1)
    alarms = sum(
        found("frequency_shift", celled(pair(*(draw.integers(0, 12, 60).astype(float) for _ in range(2)))))[1] < 0.05
        for _ in range(400)
    )
    assert alarms < 36  # 20 expected; so many come once in 2,000 such tests


def test_rare_categories_are_one_cell_of_at_least_five_expected_rows() -> None:
    before, now = (
        np.repeat(BINS, times)
        for times in ([60, 30, 5, 2, 1, 1, 1, 0, 0, 0, 0, 0], [28, 15, 2, 1, 0, 0, 0, 4, 0, 0, 0, 0])
    )
    cells = celled(pair(before.astype(float), now.astype(float)))
    assert [side[0][side[0] > 0].tolist() for side in (cells.reference, cells.current)] == [[60, 30, 10], [28, 15, 7]]
    cells = celled(pair(before[:96].astype(float), now[:46].astype(float)))  # 2.7 expected: the smallest goes along
    assert [side[0][side[0] > 0].tolist() for side in (cells.reference, cells.current)] == [[60, 36], [28, 18]]


@pytest.mark.parametrize(("before", "now"), [(980, 1000), (1000, 985), (500, 600), (20, 0)])
def test_missing_rate_is_seen_in_full_columns_and_in_empty_ones(before: int, now: int) -> None:
    present = [np.array([[1000.0 - gaps]]) for gaps in (before, now)]
    windows = replace(pair(BEFORE, NOW, gaps=(before, now)), reference=present[0], current=present[1])
    value, chance = found("missing_rate", windows)
    fisher = stats.fisher_exact([[before, 1000 - before], [now, 1000 - now]]).pvalue
    assert fisher <= chance < max(20 * fisher, 1e-3)  # most conservative where half of the values are missing
    limit = METRICS["missing_rate"].limit(np.array([2 * chance]), windows)
    assert limit[0] <= value + 1e-9


def test_missing_rate_is_the_binomial_test() -> None:
    value, chance = found("missing_rate", pair(BEFORE[:690], NOW[:470], gaps=(10, 30)))
    assert value == pytest.approx(30 / 500 - 10 / 700)
    above = stats.binom.sf(29, 40, 500 / 1200)
    assert chance == pytest.approx(2 * above)


def test_jensen_shannon_is_that_of_scipy() -> None:
    few, other = (side[side < 10] for side in (BEFORE, NOW))  # one value a tenth or less
    windows = pair(few, other)
    before, now, _ = grouped(windows)
    known = spatial.distance.jensenshannon(before[0], now[0], base=2)
    assert found("jensen_shannon", windows)[0] == pytest.approx(known)


def test_population_stability_index_is_its_sum() -> None:
    before, now, groups = grouped(pair(BEFORE, NOW))
    p, q = ((side[0] + 0.5) / (side.sum() + groups[0] / 2) for side in (before, now))
    known = stats.entropy(q, p) + stats.entropy(p, q)
    assert found("psi", pair(BEFORE, NOW))[0] == pytest.approx(known)


def test_wasserstein_is_that_of_scipy() -> None:
    known = stats.wasserstein_distance(BEFORE, NOW) / BEFORE.std()
    assert found("wasserstein", pair(BEFORE, NOW))[0] == pytest.approx(known)


def test_total_variation_is_the_share_that_would_have_to_move() -> None:
    moved = BEFORE.copy()
    moved[np.flatnonzero(moved == 0)[:35]] = 11
    assert found("total_variation", pair(BEFORE, moved))[0] == pytest.approx(35 / 700)


@pytest.mark.parametrize("name", sorted(set(METRICS) - {"correlation", "missing_rate"}))
@pytest.mark.parametrize("level", [0.05, 1e-4])
def test_a_limit_is_what_chance_exceeds_at_that_level(name: str, level: float) -> None:
    windows = pair(BEFORE, NOW)
    limit = METRICS[name].limit(np.array([level]), windows)
    assert METRICS[name].tail(limit, windows)[0] == pytest.approx(level, rel=1e-6)


@pytest.mark.parametrize("name", sorted(set(METRICS) - {"correlation"}))
def test_two_windows_that_are_alike_have_no_drift(name: str) -> None:
    assert found(name, pair(BEFORE, BEFORE))[0] == pytest.approx(0.0, abs=1e-12)

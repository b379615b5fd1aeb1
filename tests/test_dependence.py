"""How many independent rows the rows are worth, on series whose answer is known."""

import numpy as np
import pytest
from scipy.signal import lfilter

from core import dependence


@pytest.mark.parametrize("rows", [200, 1000, 4096])
def test_independent_rows_count_in_full(rows: int) -> None:
    series = np.random.default_rng(0).normal(size=(1000, 1, rows))
    times, freedoms, _ = dependence.autocorrelation_time(series)
    alone = times == 1.0
    assert alone.mean() > 0.9  # Akaike's criterion would say so of about 3 in 4
    assert np.isinf(freedoms[alone]).all()


@pytest.mark.parametrize("coefficient", [0.3, 0.6, 0.9])
def test_the_time_of_an_autoregression_is_its_closed_form(coefficient: float) -> None:
    noise = np.random.default_rng(0).normal(size=(200, 1, 4500))
    series = lfilter([1.0], [1.0, -coefficient], noise)[:, :, 500:]
    times, _, neighbours = dependence.autocorrelation_time(series)
    assert np.median(times) == pytest.approx((1 + coefficient) / (1 - coefficient), rel=0.05)
    assert np.median(neighbours) == pytest.approx(coefficient, abs=0.01)


def test_block_means_see_what_is_slower_than_a_stretch() -> None:
    draw = np.random.default_rng(0)
    blocks = draw.normal(size=(50, 128)) / np.sqrt(100)  # of 100 independent rows each
    slow = blocks + draw.normal(size=(50, 128)) * 0.3
    assert np.median(dependence.block_time(blocks, 100, np.ones(50))) == pytest.approx(1.0, abs=0.2)
    assert np.median(dependence.block_time(slow, 100, np.ones(50))) == pytest.approx(10.0, rel=0.2)

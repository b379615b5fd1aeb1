"""Correlations from a sketch that adds up, and what they vary by."""

import numpy as np
import pytest
from numpy.typing import NDArray

from core import comovement


def uniform_ranks(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Each row of (F, rows) as ranks of mean 0 and variance 1."""
    rows = values.shape[1]
    ranks = (values.argsort(axis=1).argsort(axis=1) + 0.5) / rows
    return (np.sqrt(12.0) * (ranks - 0.5)).astype(np.float32)


def gaussian(rows: int, correlation: float, seed: int) -> NDArray[np.float64]:
    one, other = np.random.default_rng(seed).normal(size=(2, rows))
    return np.stack([one, correlation * one + np.sqrt(1 - correlation**2) * other])


def followers(rows: int, seed: int) -> NDArray[np.float64]:
    """Uncorrelated, but large together and small together."""
    one, other = np.random.default_rng(seed).normal(size=(2, rows))
    return np.stack([one, other * one**2])


def test_sketches_add_up_and_give_the_correlations_of_all_rows():
    scores = uniform_ranks(gaussian(3000, 0.6, 1))
    parts = [comovement.sketch(scores[:, i : i + 500]) for i in range(0, 3000, 500)]
    rows, mean, covariance = comovement.moments(np.sum(parts, axis=0))
    assert rows == 3000
    assert mean == pytest.approx(scores.mean(axis=1), abs=1e-5)
    assert covariance == pytest.approx(np.cov(scores, bias=True), abs=1e-4)
    assert comovement.correlations(np.sum(parts, axis=0)) == pytest.approx(
        np.clip(np.corrcoef(scores), -comovement.CLOSEST, comovement.CLOSEST), abs=1e-4
    )


def test_a_feature_of_one_value_is_correlated_with_nothing():
    scores = np.stack([np.zeros(100, np.float32), uniform_ranks(gaussian(100, 0.0, 1))[0]])
    assert comovement.correlations(comovement.sketch(scores))[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    "draw", [lambda s: gaussian(400, 0.0, s), lambda s: gaussian(400, 0.6, s), lambda s: followers(400, s)]
)
def test_what_a_correlation_varies_by_is_what_it_is_seen_to_vary_by(draw):
    """The formula from one window against the spread over 300 windows, whose relative standard error is 8 %."""
    seen = 400 * np.var(
        [np.arctanh(comovement.correlations(comovement.sketch(uniform_ranks(draw(s))))[0, 1]) for s in range(300)]
    )
    formula = np.mean([comovement.variances(uniform_ranks(draw(1000 + s)))[0][0, 1] for s in range(20)])
    assert formula == pytest.approx(seen, rel=0.3)
    assert formula >= 0.95 * seen  # rather too much than too little


def test_rows_in_blocks_that_differ_make_the_variance_larger():
    blocks = [gaussian(100, 0.9 if block % 2 else -0.9, block) for block in range(20)]
    variance, freedom, _ = comovement.variances(uniform_ranks(np.concatenate(blocks, axis=1)))
    assert variance[0, 1] > 20
    assert np.isfinite(freedom[0, 1])

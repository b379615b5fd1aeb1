"""How features move together: the correlations of their rank scores, from a sketch that adds up.

A row becomes one score a feature: where its bin lies among the reference's rows, mean 0 and variance 1 (van der Waerden's
idea with uniform scores, so that the correlation is Spearman's; a category's place is by its frequency). The sketch of a
window is the sum over its rows of the outer product of ``(1, scores)``: second moments, so sketches of windows add up,
and the correlation within any span of windows comes from their sum. Long windows are sampled evenly.

What a correlation varies by from window to window is read from the reference's own rows: its asymptotic variance without
assuming any distribution (Steiger & Hakstian, *The asymptotic distribution of elements of a correlation matrix*, British
J. Math. Stat. Psych. 1982), and how much more its means over blocks of neighbouring rows vary than that.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CLOSEST = 0.999  # correlations beyond are one
BLOCKS = 32
FEWEST_A_BLOCK = 20
UNEVEN = 2.0  # times as much variance between blocks as within: four standard errors of a variance from 32 blocks


def sketch(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sum over rows of the outer product of (1, scores): the upper triangle, row by row. ``scores`` is (F, rows)."""
    rows = np.concatenate([np.ones((1, scores.shape[1])), scores])  # in doubles: the same whatever else is profiled
    return np.asarray((rows @ rows.T)[np.triu_indices(len(rows))], np.float32)


def moments(cross: NDArray[np.floating]) -> tuple[float, Floats, Floats]:
    """Of a sketch: how many rows it is of, the means of the scores (F,), and their covariances (F, F)."""
    side = round(((8 * len(cross) + 1) ** 0.5 - 1) / 2)
    table = np.zeros((side, side))
    table[np.triu_indices(side)] = cross
    table = table + np.triu(table, 1).T
    rows = float(table[0, 0])
    mean = table[0, 1:] / max(rows, 1.0)
    return rows, mean, table[1:, 1:] / max(rows, 1.0) - np.outer(mean, mean)


def correlations(cross: NDArray[np.floating]) -> Floats:
    """The correlations of the scores of a sketch, (F, F); 0 where a feature has one value."""
    _, _, covariance = moments(cross)
    spread = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    alive = spread > 1e-4
    scale = np.where(alive, spread, 1.0)
    found = covariance / np.outer(scale, scale) * np.outer(alive, alive)
    return np.asarray(np.clip(found, -CLOSEST, CLOSEST))


def variances(scores: NDArray[np.float32]) -> tuple[Floats, Floats, Floats]:
    """What Fisher's z of each correlation varies by, times the rows, (F, F): at least the 1 of independent scores;
    the degrees of freedom of that, infinite where it is the asymptotic formula; and the kurtosis of each score, (F,).

    ``scores`` is (F, rows), in the order of the rows, which need not be neighbours.
    """
    count, rows = scores.shape
    centred = scores - scores.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    z = np.where(spread > 1e-4, centred / np.maximum(spread, 1e-4), np.float32(0.0))
    square = z * z
    r = np.clip((z @ z.T).astype(np.float64) / rows, -CLOSEST, CLOSEST)
    even = (square @ square.T).astype(np.float64) / rows
    odd = ((square * z) @ z.T).astype(np.float64) / rows
    kurtosis = np.diag(even).copy()
    fourth = kurtosis[:, None] + kurtosis[None, :]
    formula = even - r * (odd + odd.T) + r**2 / 4.0 * (fourth + 2.0 * even)
    variance = np.maximum(formula / (1.0 - r**2) ** 2, 1.0)
    freedom = np.full((count, count), np.inf)
    blocks = min(BLOCKS, rows // FEWEST_A_BLOCK)
    if blocks > 4:
        length = rows // blocks
        parts = z[:, : blocks * length].reshape(count, blocks, length).transpose(1, 0, 2)
        means = (parts @ parts.transpose(0, 2, 1)).astype(np.float64) / length
        own = np.diagonal(means, axis1=1, axis2=2)
        influence = means - r / 2.0 * (own[:, :, None] + own[:, None, :])
        between = influence.var(axis=0, ddof=1) * length / (1.0 - r**2) ** 2
        uneven = between > UNEVEN * variance
        variance = np.where(uneven, between, variance)
        freedom[uneven] = blocks - 1.0
    return variance, freedom, kurtosis

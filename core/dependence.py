"""How many independent rows the rows are worth.

Neighbouring rows are rarely independent: the mean of ``n`` of them then varies as the mean of ``n / t`` independent
ones would, where ``t`` is the *autocorrelation time*, one plus twice the sum of all autocorrelations. It is estimated
from the reference's rows in their order, by the autoregressive spectral density at frequency zero (Parzen, *Some
recent advances in time series modeling*, IEEE Trans. Automatic Control 1974; den Haan & Levin, *A practitioner's guide
to robust covariance matrix estimation*, Handbook of Statistics 1997), order by the criterion of Hannan & Quinn (*The
determination of the order of an autoregression*, JRSS B 1979): a penalty of ``2 ln ln n`` an order, the limit of those that
find the right one in the long run. For independent rows it mostly picks order 0 and returns exactly 1; Akaike's, with 2, sees
dependence in every fourth series of them.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MAX_ORDER = 10


def autocorrelation_time(pieces: NDArray[np.floating]) -> tuple[Floats, Floats, Floats]:
    """The autocorrelation time (1 or more) of each series, the degrees of freedom of that estimate (inf: independent),
    and the correlation of neighbours, -1 to 1.

    ``pieces`` is (series, pieces, rows): stretches of neighbouring rows. Two corrections make it err on the long side:
    the bias of the autocorrelation, ``-(1 + 4 r) / n`` (Marriott & Pope, Biometrika 1954; Kendall, ibid.), is added
    back, and times below 1 count as 1. The delta method on an AR(1) with the same time, whose coefficient has variance
    ``(1 - r^2) / n``, gives the time a relative variance of ``2 / d`` with ``d = n (1 - r^2) / 2`` degrees of freedom:
    a standardised mean is then compared with Student's t instead of the normal distribution.
    """
    series, count, length = pieces.shape
    rows = count * length
    if rows < 4:
        return np.ones(series), np.full(series, np.inf), np.zeros(series)
    mean = pieces.mean(axis=(1, 2), keepdims=True)
    centred = pieces - mean
    most = min(MAX_ORDER, length // 20)
    covariance = np.stack(
        [np.vecdot(centred[..., : length - lag], centred[..., lag:]).sum(axis=1) for lag in range(most + 1)]
    ).astype(np.float64)
    variance = covariance[0] / rows
    alive = variance > 1e-10 * np.maximum(variance + mean[:, 0, 0] ** 2, 1e-30)
    correlation = covariance / np.where(alive, covariance[0], 1.0)
    correlation[0] = 1.0
    # Levinson-Durbin over all series at once: coefficients, innovation variance and criterion of every order
    coefficients = np.zeros((most, series))
    innovation = np.ones(series)
    best = np.zeros(series)  # the criterion of order 0
    order = np.zeros(series, np.int64)
    penalty = 2.0 * np.log(max(np.log(rows), 2.0))
    time = np.ones(series)
    for p in range(1, most + 1):
        previous = coefficients[: p - 1].copy()
        reflection = (correlation[p] - (previous * correlation[p - 1 : 0 : -1]).sum(axis=0)) / innovation
        coefficients[: p - 1] = previous - reflection * previous[::-1]
        coefficients[p - 1] = reflection
        innovation = np.maximum(innovation * (1 - reflection**2), 1e-12)
        criterion = rows * np.log(innovation) + penalty * p
        better = criterion < best - 1e-9
        gain = np.maximum(1 - coefficients[:p].sum(axis=0), 1e-6)
        time = np.where(better, innovation / gain**2, time)
        order = np.where(better, p, order)
        best = np.where(better, criterion, best)
    fitted = alive & (order > 0)
    r = (time - 1) / (time + 1)
    r = np.minimum(r + (1 + 4 * np.maximum(r, 0.0)) / rows, 1 - 1 / rows)
    r = np.where(fitted, np.maximum(r, 0.0), 0.0)
    neighbours = correlation[1] if most else np.zeros(series)
    neighbours = np.clip(neighbours + (1 + 4 * np.maximum(neighbours, 0.0)) / rows, -1.0, 1 - 1 / rows)
    return (1 + r) / (1 - r), np.where(r > 0, rows * (1 - r**2) / 2, np.inf), np.where(alive, neighbours, 0.0)


def guarded_time(times: Floats, typical: float, rows: int) -> Floats:
    """The autocorrelation times of series that run side by side, those that look too short raised.

    Series observed together mostly depend on their past alike, and in few rows some seem by chance to do so less, or
    not at all. A time below that of an AR(1) with the ``typical`` correlation of neighbours is raised to it, but by no
    more than five standard errors of its logarithm, ``2 / sqrt(n (1 - r^2))`` (delta method, as above; five because few rows
    leave it far from normal). With many rows, or with independent ones, nothing moves.
    """
    typical = min(max(typical, 0.0), 1 - 1 / rows)
    r = (times - 1) / (times + 1)
    most = times * np.exp(10.0 / np.sqrt(rows * (1 - r**2)))
    return np.maximum(times, np.minimum((1 + typical) / (1 - typical), most))


def block_time(blocks: Floats, rows_per_block: int, variance: Floats) -> Floats:
    """The autocorrelation time seen at the scale of blocks: what the means of long blocks vary more than they should.

    ``blocks`` is (series, blocks) of block means, ``variance`` that of single rows. Blocks that depend on each other in
    turn count by their own autocorrelation time.
    """
    between = blocks.var(axis=1, ddof=1) * rows_per_block
    ratio = np.where(variance > 0, between / np.where(variance > 0, variance, 1.0), 1.0)
    return np.asarray(ratio * autocorrelation_time(blocks[:, None, :])[0])

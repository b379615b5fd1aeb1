"""Rows for the drift benchmarks: twenty mixed features, with or without dependence between neighbouring rows."""

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.special import ndtr

from core.records import Column, Kind, Schema, Task

NUMERIC = 14
CATEGORIES = (2, 3, 4, 5, 8, 12)  # how many each of the six categorical features has
SCHEMA = Schema(
    tuple(Column(f"n{i}", Kind.NUMERIC) for i in range(NUMERIC))
    + tuple(Column(f"c{i}", Kind.CATEGORICAL) for i in range(len(CATEGORIES))),
    "y",
    Task.REGRESSION,
)
MANY = (50, 500, 5_000)  # how many each of three more categorical features has, where they are asked for
WIDE = replace(SCHEMA, features=SCHEMA.features + tuple(Column(f"m{count}", Kind.CATEGORICAL) for count in MANY))


def latent(rng: np.random.Generator, rows: int, coefficient: float = 0.0, tie: float = 0.0) -> NDArray[np.float64]:
    """Standard normal rows (rows, 20): each column an AR(1) with the given coefficient, each two correlated by tie."""
    noise = rng.standard_normal((rows, NUMERIC + len(CATEGORIES)))
    if tie:
        noise = np.sqrt(1 - tie) * noise + np.sqrt(tie) * rng.standard_normal((rows, 1))
    if not coefficient:
        return noise
    noise[1:] *= np.sqrt(1 - coefficient**2)
    return np.asarray(lfilter([1.0], [1.0, -coefficient], noise, axis=0))


def frame(z: NDArray[np.float64]) -> pd.DataFrame:
    """Features of latent rows: normal, log-normal, rounded and heavy-tailed numbers, and skewed categories."""
    shapes = (lambda x: x, np.exp, lambda x: np.round(3 * x), lambda x: np.sign(x) * np.abs(x) ** 3)
    columns: dict[str, NDArray[np.generic]] = {f"n{i}": shapes[i % 4](z[:, i]) for i in range(NUMERIC)}
    for i, count in enumerate(CATEGORIES):
        ends = np.cumsum(np.arange(count, 0, -1) / (count * (count + 1) / 2))
        names = np.array([f"v{k}" for k in range(count)], object)
        columns[f"c{i}"] = names[np.minimum(np.searchsorted(ends, ndtr(z[:, NUMERIC + i])), count - 1)]
    return pd.DataFrame(columns)


def outages(rng: np.random.Generator, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with 15 neighbouring values of a feature missing from one row in 200 on."""
    starts = (rng.random(rows.shape) < 1 / 200).astype(float)
    return rows.mask(lfilter(np.ones(15), [1.0], starts, axis=0) > 0.5)


def many(rng: np.random.Generator, rows: int) -> pd.DataFrame:
    """Categories of many values, independent rows, with shares of 1, 1/2, 1/3 ... (Zipf)."""
    columns: dict[str, NDArray[np.generic]] = {}
    for count in MANY:
        weight = 1.0 / np.arange(1.0, count + 1.0)
        names = np.array([f"v{k}" for k in range(count)], object)
        columns[f"m{count}"] = names[rng.choice(count, rows, p=weight / weight.sum())]
    return pd.DataFrame(columns)

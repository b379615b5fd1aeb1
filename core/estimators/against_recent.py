"""Numbers held against what was usual just before."""

from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin


class AgainstRecent(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The first half of the columns less the second, each feature less its recent median (`core.recent`).

    NaN where either is missing. sklearn has no such transformer, and skops refuses a function of our own.
    """

    def fit(self, frame: pd.DataFrame, labels: Any = None) -> Self:
        self.feature_names_in_ = np.asarray(frame.columns, dtype=object)
        self.n_features_in_ = frame.shape[1]
        return self

    def transform(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Shape (rows, columns / 2)."""
        values = frame.to_numpy(dtype=np.float64)
        half = values.shape[1] // 2
        return np.asarray(values[:, :half] - values[:, half:])

    def get_feature_names_out(self, names: Any = None) -> NDArray[np.object_]:
        half = self.n_features_in_ // 2
        return np.asarray([f"{name} against recent" for name in self.feature_names_in_[:half]], dtype=object)

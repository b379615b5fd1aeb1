"""Timestamps as numbers a model can use."""

from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

PARTS = ("day", "hour", "weekday", "day_of_year")


class TimeParts(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Each timestamp column becomes four numbers: days since 1970, hour (0 to 24), weekday (0 is Monday), day of year.

    NaN where the time is missing. sklearn has no such transformer, and skops refuses a function of our own.
    """

    def fit(self, frame: pd.DataFrame, labels: Any = None) -> Self:
        self.feature_names_in_ = np.asarray(frame.columns, dtype=object)
        self.n_features_in_ = frame.shape[1]
        return self

    def transform(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Shape (rows, 4 * columns)."""
        columns = []
        for name in self.feature_names_in_:
            times = pd.to_datetime(frame[name], utc=True).dt
            seconds = (times.hour * 3600 + times.minute * 60 + times.second) / 3600
            days = times.as_unit("us").dt.floor("D").astype("int64") / 86_400e6
            columns += [
                days.where(frame[name].notna()),
                seconds,
                times.day_of_week,
                times.day_of_year,
            ]
        return np.column_stack([column.to_numpy(dtype=np.float64, na_value=np.nan) for column in columns])

    def get_feature_names_out(self, names: Any = None) -> NDArray[np.object_]:
        return np.asarray(
            [f"{name}_{part}" for name in self.feature_names_in_ for part in PARTS],
            dtype=object,
        )

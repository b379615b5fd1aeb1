"""Timestamps as numbers a model can use."""

from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

PARTS = {"hour": 1.0, "weekday": 7.0, "day_of_year": 365.25}  # each comes round after so many days
ROUNDS = 2  # a part is used once the training rows have seen it come round so often


class TimeParts(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Each timestamp column becomes the parts that come round: hour (0 to 24), weekday (0 is Monday), day of year.

    Only those that the training rows have seen come round twice: a quarter of a year says nothing of the other three,
    and a model would read it as a clock that runs on. For the same reason the date itself is left out. NaN where the
    time is missing. sklearn has no such transformer, and skops refuses a function of our own.
    """

    def fit(self, frame: pd.DataFrame, labels: Any = None) -> Self:
        self.feature_names_in_ = np.asarray(frame.columns, dtype=object)
        self.n_features_in_ = frame.shape[1]
        self.parts_ = [
            [name, part]
            for name in frame.columns
            for part, days in PARTS.items()
            if _span(frame[name]) >= ROUNDS * days
        ]
        return self

    def transform(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Shape (rows, parts); a column of zeros where no part has come round, for what follows needs one."""
        columns = [_part(frame[name], part) for name, part in self.parts_]
        return np.column_stack(columns) if columns else np.zeros((len(frame), 1))

    def get_feature_names_out(self, names: Any = None) -> NDArray[np.object_]:
        return np.asarray([f"{name}_{part}" for name, part in self.parts_] or ["no_time"], dtype=object)


def _span(times: "pd.Series[Any]") -> float:
    """Days from the first time to the last; 0 without any."""
    known = pd.to_datetime(times, utc=True).dropna()
    return (known.max() - known.min()) / pd.Timedelta(days=1) if len(known) else 0.0


def _part(times: "pd.Series[Any]", part: str) -> NDArray[np.float64]:
    read = pd.to_datetime(times, utc=True).dt
    found: dict[str, pd.Series[Any]] = {
        "hour": (read.hour * 3600 + read.minute * 60 + read.second) / 3600,
        "weekday": read.day_of_week,
        "day_of_year": read.day_of_year,
    }
    return found[part].to_numpy(dtype=np.float64, na_value=np.nan)

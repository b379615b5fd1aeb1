"""Parts of the rows worth a look of their own, by name: the thirds of each number, the common values of each category."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.records import Kind, Schema

MOST_SLICES = 60


def slices(rows: pd.DataFrame, schema: Schema) -> dict[str, NDArray[np.bool_]]:
    """Masks by name: the thirds of each number, the common values of each category."""
    found: dict[str, NDArray[np.bool_]] = {}
    for column in schema.features:
        values = rows[column.name]
        if column.kind is Kind.NUMERIC:
            low, high = values.quantile(1 / 3), values.quantile(2 / 3)
            if not low < high:
                continue
            found[f"{column.name} <= {low:.4g}"] = (values <= low).to_numpy()
            found[f"{column.name} > {high:.4g}"] = (values > high).to_numpy()
        elif column.kind is not Kind.TIMESTAMP:
            for value in values.value_counts().index[:5]:
                found[f"{column.name} = {value}"] = (values == value).fillna(False).to_numpy(dtype=bool)
    return dict(list(found.items())[:MOST_SLICES])

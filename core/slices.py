"""Parts of the rows worth a look of their own, by name: the thirds of each number, the common values of each category."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.records import Column, Kind, Schema

MOST_SLICES = 60  # every further one makes an interval over all of them wider
MOST_VALUES = 5  # of a category


def slices(rows: pd.DataFrame, schema: Schema) -> dict[str, NDArray[np.bool_]]:
    """Masks (rows,) by name, in the order of the columns: the thirds of each number, the common values of each category.

    At most `MOST_SLICES`, spread over the columns: no column has a second slice before every one has its first, and
    of slices of one rank, where not all of them fit, they are taken at equal distances.
    """
    found = [(rank, *one) for column in schema.features for rank, one in enumerate(_of(rows[column.name], column))]
    kept: list[int] = []
    for rank in range(MOST_VALUES):
        kept += _spread([at for at, one in enumerate(found) if one[0] == rank], MOST_SLICES - len(kept))
    return {name: mask for _, name, mask in (found[at] for at in sorted(kept))}


def _of(values: "pd.Series[float]", column: Column) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """The slices of one column: its outer thirds, or its most common values, the most common one first."""
    if column.kind is Kind.NUMERIC:
        low, high = values.quantile(1 / 3), values.quantile(2 / 3)
        if low < high:
            yield f"{column.name} <= {low:.4g}", (values <= low).to_numpy()
            yield f"{column.name} > {high:.4g}", (values > high).to_numpy()
    elif column.kind is not Kind.TIMESTAMP:
        for value in values.value_counts().index[:MOST_VALUES]:
            yield f"{column.name} = {value}", (values == value).fillna(False).to_numpy(dtype=bool)


def _spread(places: list[int], most: int) -> list[int]:
    """At most so many of the places, at equal distances.

    >>> _spread([3, 4, 5, 6, 7, 8], 3)
    [3, 5, 8]
    """
    if len(places) <= most:
        return places
    return [places[at] for at in np.linspace(0, len(places) - 1, most).round().astype(int)]

"""What was usual just before each row: the rolling median of every numeric feature.

A model that may compare a value with the recent ones keeps its worth where levels wander (prices, loads, seasons): what
it has learned of "above the usual" stays true when the usual has moved. The rows before are known when a row is answered,
and so are their features, whatever has become of their labels: nothing of it comes from the future.

The median, for one broken value does not move it, and because it is the same to the last bit wherever the rows are cut
into pieces, which a running sum is not.
"""

import pandas as pd

from core.records import Kind, Schema

ROWS = 50  # looked back on, in order of arrival
PREFIX = "\N{LEFTWARDS ARROW}"  # of the names of these columns; a feature that is called so too keeps its own


def names(schema: Schema) -> dict[str, str]:
    """Numeric features, and what the column is called that holds their recent median.

    >>> from core.records import Column, Task
    >>> names(Schema((Column("price", Kind.NUMERIC), Column("city", Kind.CATEGORICAL)), "up", Task.BINARY))
    {'price': '←price'}
    """
    taken = set(schema.names)
    return {
        column.name: _free(f"{PREFIX}{column.name}", taken) for column in schema.features if column.kind is Kind.NUMERIC
    }


def _free(name: str, taken: set[str]) -> str:
    return name if name not in taken else _free(PREFIX + name, taken)


def with_recent(rows: pd.DataFrame, schema: Schema, before: pd.DataFrame | None = None) -> pd.DataFrame:
    """The rows with one more column a numeric feature: its median over the `ROWS` rows before, whichever are known.

    ``before`` holds the rows that came before them, in order, at least `ROWS` where there are so many. NaN where nothing
    is known.
    """
    lead = 0 if before is None else min(ROWS, len(before))
    found = names(schema)
    numbers = rows[list(found)]
    if lead and before is not None:
        numbers = pd.concat([before[list(found)].iloc[-lead:], numbers])
    medians = numbers.rolling(ROWS, min_periods=1, closed="left").median().iloc[lead:]
    return rows.assign(**{name: medians[feature].to_numpy() for feature, name in found.items()})

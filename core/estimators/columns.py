"""Which columns of a schema are treated alike."""

from core import recent
from core.records import Kind, Schema


def of_kind(schema: Schema, *kinds: Kind) -> list[str]:
    """Names of the features of these kinds, in schema order.

    >>> from core.records import Column, Task
    >>> schema = Schema((Column("size", Kind.NUMERIC), Column("colour", Kind.CATEGORICAL)), "price", Task.REGRESSION)
    >>> of_kind(schema, Kind.CATEGORICAL)
    ['colour']
    """
    return [column.name for column in schema.features if column.kind in kinds]


def against_recent(schema: Schema) -> list[str]:
    """The columns that `AgainstRecent` takes: the numeric features, then the recent median of each."""
    found = recent.names(schema)
    return [*found, *found.values()]

"""Which columns of a schema are treated alike."""

from core.records import Kind, Schema


def of_kind(schema: Schema, *kinds: Kind) -> list[str]:
    """Names of the features of these kinds, in schema order.

    >>> from core.records import Column, Task
    >>> schema = Schema((Column("size", Kind.NUMERIC), Column("colour", Kind.CATEGORICAL)), "price", Task.REGRESSION)
    >>> of_kind(schema, Kind.CATEGORICAL)
    ['colour']
    """
    return [column.name for column in schema.features if column.kind in kinds]

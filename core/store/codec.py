"""Records to JSON text and back, by their type hints."""

from functools import cache
from typing import Any

from pydantic import TypeAdapter


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def dump(value: Any, kind: Any = None) -> str:
    """JSON text of a record, or of a plain value when ``kind`` is its type.

    >>> from core.records import Reason
    >>> dump(Reason("few_rows", {"rows": 12}))
    '{"code":"few_rows","params":{"rows":12}}'
    """
    hint: Any = kind or type(value)
    return _adapter(hint).dump_json(value).decode()


def load(kind: Any, text: str) -> Any:
    """The record that `dump` wrote.

    >>> from core.records import Reason
    >>> load(Reason, '{"code": "few_rows", "params": {"rows": 12}}').params["rows"]
    12
    """
    return _adapter(kind).validate_json(text)

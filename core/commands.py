"""What the commands that judge a file have in common: how they end."""

import json
import math
import sys
import traceback
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from core.errors import ContinualError

CANNOT = 2  # nothing is known; 0 and 1 are verdicts


def to_json(told: Any) -> str:
    """The object as JSON text; a number that is not known or has no bound is null, since JSON has neither.

    >>> to_json({"mean": 0.5, "low": float("-inf"), "of": (float("nan"), 1)})
    '{"mean": 0.5, "low": null, "of": [null, 1]}'
    """
    return json.dumps(_finite(told), allow_nan=False)


def _finite(told: Any) -> Any:
    if isinstance(told, dict):
        return {name: _finite(value) for name, value in told.items()}
    if isinstance(told, (list, tuple)):
        return [_finite(value) for value in told]
    return None if isinstance(told, float) and not math.isfinite(told) else told


def end(
    work: Callable[[], tuple[str, int]], *, as_json: bool, otherwise: Mapping[str, Any] = MappingProxyType({})
) -> int:
    """Print what ``work`` says and return its exit code; where it fails, one sentence and `CANNOT`.

    ``otherwise`` is what stands beside the sentence as JSON. Also where it fails as nobody foresaw: Python would end with 1, which is a verdict.
    """
    try:
        text, code = work()
    except ContinualError as error:
        return _failed(str(error), as_json=as_json, otherwise=otherwise)
    except Exception as error:
        traceback.print_exc()
        what = (str(error).splitlines() or [""])[0]
        return _failed(
            f"It failed as was not foreseen ({type(error).__name__}: {what}). Please report it",
            as_json=as_json,
            otherwise=otherwise,
        )
    sys.stdout.write(f"{text}\n")
    return code


def _failed(sentence: str, *, as_json: bool, otherwise: Mapping[str, Any]) -> int:
    if as_json:
        sys.stdout.write(json.dumps({**otherwise, "error": sentence}) + "\n")
    else:
        sys.stderr.write(f"{sentence}\n")
    return CANNOT

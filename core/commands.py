"""What the commands that judge a file have in common: how they end."""

import json
import sys
import traceback
from collections.abc import Callable

from core.errors import ContinualError

CANNOT = 2  # nothing is known; 0 and 1 are verdicts


def end(work: Callable[[], tuple[str, int]], *, as_json: bool) -> int:
    """Print what ``work`` says and return its exit code; where it fails, one sentence and `CANNOT`.

    Also where it fails as nobody foresaw: Python would end with 1, which is a verdict.
    """
    try:
        text, code = work()
    except ContinualError as error:
        return _failed(str(error), as_json=as_json)
    except Exception as error:
        traceback.print_exc()
        what = (str(error).splitlines() or [""])[0]
        return _failed(
            f"It failed as was not foreseen ({type(error).__name__}: {what}). Please report it", as_json=as_json
        )
    sys.stdout.write(f"{text}\n")
    return code


def _failed(sentence: str, *, as_json: bool) -> int:
    if as_json:
        sys.stdout.write(json.dumps({"error": sentence}) + "\n")
    else:
        sys.stderr.write(f"{sentence}\n")
    return CANNOT

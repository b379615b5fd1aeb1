"""One thread for matrices too small for more: threads that wait for each other took a third of a drift report's CPU."""

from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

P = ParamSpec("P")
T = TypeVar("T")

_libraries = cache(ThreadpoolController)  # at first use: by then numpy has loaded its own


def one_thread(work: Callable[P, T]) -> Callable[P, T]:
    """The same function, during which numpy's linear algebra keeps to one thread, however many the process gave it."""

    @wraps(work)
    def alone(*args: P.args, **kwargs: P.kwargs) -> T:
        with _libraries().limit(limits=1, user_api="blas"):
            return work(*args, **kwargs)

    return alone

"""A pool of no threads: what it is given is done at once, so that a seed is the same life each time.

A run claims, and settles, as many at a time as on a site where so many threads ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any
from unittest import mock

from checkout.services import card_expiry, runs


class InOrder(Executor):
    def __init__(self, _workers: int, **_options: Any) -> None:
        pass

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(work(*args, **kwargs))
        except BaseException as problem:  # noqa: BLE001 - whoever asks for the result gets it
            done.set_exception(problem)
        return done


@contextmanager
def no_threads() -> Iterator[None]:
    in_runs = mock.patch.object(runs, "ThreadPoolExecutor", InOrder)
    with in_runs, mock.patch.object(card_expiry, "ThreadPoolExecutor", InOrder):
        yield

"""Doing one thing for many files with a few threads, and stopping at the first failure."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TypeVar

T = TypeVar("T")

AT_ONCE = 4


def run_all(work: Callable[[T], object], items: Iterable[T], *, at_once: int = AT_ONCE) -> None:
    """Call `work` for each item, `at_once` at a time; after a failure nothing more is begun, and it is raised."""
    failed = Event()

    def attempt(item: T) -> None:
        if failed.is_set():
            return
        try:
            work(item)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(at_once) as pool:
        waiting = [pool.submit(attempt, item) for item in items]
        try:
            for each in waiting:
                each.result()
        except BaseException:
            failed.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise

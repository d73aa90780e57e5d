"""Doing one thing for many files with a few threads, and stopping at the first failure."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

AT_ONCE = 4


def run_all(work: Callable[[T], object], items: Iterable[T], *, at_once: int = AT_ONCE) -> None:
    """Call `work` for each item, `at_once` at a time; after a failure nothing more is begun, and it is raised."""
    with ThreadPoolExecutor(at_once) as pool:
        waiting = [pool.submit(work, item) for item in items]
        try:
            for each in waiting:
                each.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise

"""Doing one thing for many files with a few threads, and stopping at the first failure."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Event
from typing import TypeVar

from ecogvault.errors import EcogvaultError

T = TypeVar("T")

AT_ONCE = 4


class Stopped(EcogvaultError):
    """Work was given up in the middle because other work failed or the program is to end."""


def unless(stopping: Event) -> None:
    """Raise Stopped when `stopping` is set."""
    if stopping.is_set():
        raise Stopped("stopped in the middle; what was done is kept, run again to go on")


def run_all(
    work: Callable[[T], object], items: Iterable[T], *, at_once: int = AT_ONCE, stopping: Event | None = None
) -> None:
    """Call `work` for each item, `at_once` at a time; after a failure nothing more is begun, and it is raised.

    An interruption of the calling thread is such a failure too. `stopping` is set then: work that takes long asks it
    now and then (see `unless`), so that nobody waits hours for what has failed already.
    """
    failed = stopping or Event()
    first: list[BaseException] = []

    def attempt(item: T) -> None:
        if failed.is_set():
            return
        try:
            work(item)
        except BaseException as error:
            first.append(error)
            failed.set()
            raise

    with ThreadPoolExecutor(at_once) as pool:
        waiting = [pool.submit(attempt, item) for item in items]
        try:
            for each in as_completed(waiting):
                each.result()
        except BaseException as error:
            failed.set()
            pool.shutdown(wait=True, cancel_futures=True)
            if isinstance(error, Stopped) and first:
                raise first[0] from None
            raise

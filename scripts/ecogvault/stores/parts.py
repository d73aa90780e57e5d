"""What all uploads in parts have in common, whatever the service calls its parts."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, as_completed
from typing import TypeVar

from ecogvault.stores.base import Checked, Source
from ecogvault.stores.pieces import MIB

T = TypeVar("T")

_buffers = threading.local()


def part_size_for(size: int, preferred: int, most: int) -> int:
    """The part size in bytes for an object of `size` bytes: whole MiB, at least `preferred`, at most `most` parts."""
    return max(preferred, -(-size // (most * MIB)) * MIB)


def all_of(
    pool: Executor, one: Callable[[int], T], count: int, done: Callable[[T], object] | None = None
) -> dict[int, T]:
    """Do every part from 1 to `count`, begun in ascending order; the first failure cancels what has not begun.

    `done` is called with each result, in the calling thread. Returns the results by number.
    """
    futures: dict[Future[T], int] = {pool.submit(one, number): number for number in range(1, count + 1)}
    results: dict[int, T] = {}
    try:
        for future in as_completed(futures):
            results[futures[future]] = future.result()
            if done:
                done(results[futures[future]])
    finally:
        # Those that run hold a buffer and may still acknowledge a part: they end before this call does.
        running = [future for future in futures if not future.cancel()]
        for future in running:
            future.exception()
    return results


def check(source: Source) -> None:
    """Have a source that can say whether all was right say so. Raises SourceChanged."""
    if isinstance(source, Checked):
        source.check()


def buffer(size: int) -> bytearray:
    """This thread's buffer of `size` bytes, used again by its next part."""
    held: bytearray | None = getattr(_buffers, "held", None)
    if held is None or len(held) != size:
        held = bytearray(size)
        _buffers.held = held
    return held

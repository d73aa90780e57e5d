"""Stages of work on reused buffers, spread over threads, in order where order matters.

Hashing, compression, encryption, reading and writing all release the interpreter's lock, so threads use several cores.
An item is a slot with its buffers; it passes all stages and is then used again, which is what bounds the memory.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Slot = TypeVar("Slot")


@dataclass(frozen=True)
class Stage(Generic[Slot]):
    """One step. With `ordered`, it sees one item at a time, in the order in which they began."""

    work: Callable[[Slot], None]
    ordered: bool = True


class _Run(Generic[Slot]):
    def __init__(self, begin: Callable[[Slot], bool], stages: Sequence[Stage[Slot]], slots: Sequence[Slot]) -> None:
        self.begin = begin
        self.stages = stages
        self.free = list(slots)
        self.slots = len(slots)
        self.changed = threading.Condition()
        self.waiting: list[dict[int, Slot]] = [{} for _ in stages]
        self.next = [0] * len(stages)
        self.busy = [False] * len(stages)
        self.begun = 0
        self.beginning = False
        self.ended = False
        self.error: BaseException | None = None
        self.failed = 0

    def worker(self) -> None:
        while (task := self._take()) is not None:
            position, number, slot = task
            try:
                more = True
                if position < 0:
                    more = self.begin(slot)
                else:
                    self.stages[position].work(slot)
            except BaseException as error:
                with self.changed:
                    if self.error is None or number < self.failed:
                        self.error, self.failed = error, number
                    self.changed.notify_all()
                return
            self._put(position, number, slot, more=more)

    def _take(self) -> tuple[int, int, Slot] | None:
        with self.changed:
            while True:
                if self.error is not None or (self.ended and len(self.free) == self.slots):
                    return None
                task = self._ready()
                if task is not None:
                    return task
                self.changed.wait()

    def _ready(self) -> tuple[int, int, Slot] | None:
        # The last stages first: they free the slots that the first ones need.
        for position in reversed(range(len(self.stages))):
            waiting = self.waiting[position]
            if self.stages[position].ordered:
                if self.busy[position] or self.next[position] not in waiting:
                    continue
                self.busy[position] = True
                number = self.next[position]
            elif waiting:
                number = min(waiting)
            else:
                continue
            return position, number, waiting.pop(number)
        if self.free and not self.beginning and not self.ended:
            self.beginning = True
            return -1, self.begun, self.free.pop()
        return None

    def _put(self, position: int, number: int, slot: Slot, *, more: bool) -> None:
        with self.changed:
            if position < 0:
                self.beginning = False
                if more:
                    self.begun += 1
                else:
                    self.ended = True
            elif self.stages[position].ordered:
                self.busy[position] = False
                self.next[position] += 1
            if not more or position + 1 == len(self.stages):
                self.free.append(slot)
            else:
                self.waiting[position + 1][number] = slot
            self.changed.notify_all()


def run(
    begin: Callable[[Slot], bool], stages: Sequence[Stage[Slot]], slots: Sequence[Slot], *, threads: int = 1
) -> None:
    """Fill slots with `begin`, one at a time, until it returns False; take each through `stages`.

    An exception of any stage ends all work and is raised here; of several, that of the item that began first.
    """
    work = _Run(begin, stages, slots)
    helpers = [threading.Thread(target=work.worker, daemon=True) for _ in range(threads - 1)]
    for helper in helpers:
        helper.start()
    try:
        work.worker()
    except BaseException as interrupt:
        with work.changed:
            work.error = work.error or interrupt
            work.changed.notify_all()
        raise
    finally:
        for helper in helpers:
            helper.join()
    if work.error is not None:
        raise work.error

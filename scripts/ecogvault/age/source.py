"""What sealed and plain content is read from: anything with a size that gives bytes at an offset."""

import os
from collections.abc import Callable
from typing import Protocol, runtime_checkable

Sink = Callable[[memoryview], object]
"""Takes the next bytes. The view is only valid during the call: its buffer is used again."""

Fill = Callable[[memoryview], int]
"""Fills a buffer with the next bytes and returns how many; fewer than asked means that there are no more."""


class ReadAt(Protocol):
    """Content of `size` bytes; `read_at` gives `length` bytes from `offset`, fewer only at the end."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    def read_at(self, offset: int, length: int, /) -> bytes | bytearray | memoryview:
        """`length` bytes from `offset`."""


@runtime_checkable
class ReadInto(Protocol):
    """Content that can also be read into a buffer that exists already, which saves a copy."""

    def read_into(self, offset: int, buffer: memoryview, /) -> int:
        """Fill `buffer` from `offset`; returns how many bytes, fewer only at the end."""


class Readable(Protocol):
    """A stream to read from beginning to end, such as an open file."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


@runtime_checkable
class _ReadableInto(Protocol):
    def readinto(self, buffer: memoryview, /) -> int | None: ...


class BytesSource:
    """Bytes in memory as a source."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._view = memoryview(data)
        self.size = len(self._view)

    def read_at(self, offset: int, length: int, /) -> memoryview:
        """A view of the bytes, not a copy."""
        return self._view[offset : offset + length]


class FileSource:
    """An open file as a source, read without moving its position. The caller opens and closes the descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def read_into(self, offset: int, buffer: memoryview, /) -> int:
        """Fill `buffer` from `offset`; OSError as it comes."""
        done = 0
        while done < len(buffer):
            count = os.preadv(self._descriptor, [buffer[done:]], offset + done)
            if not count:
                break
            done += count
        return done

    def read_at(self, offset: int, length: int, /) -> memoryview:
        """`length` bytes from `offset`; OSError as it comes."""
        buffer = memoryview(bytearray(max(0, min(length, self.size - offset))))
        return buffer[: self.read_into(offset, buffer)]


def reading_into(source: ReadAt) -> Callable[[int, memoryview], int]:
    """The function that reads `source` into a buffer, by its own way if it has one."""
    if isinstance(source, ReadInto):
        return source.read_into

    def read_into(offset: int, buffer: memoryview) -> int:
        data = source.read_at(offset, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    return read_into


def filling(stream: Readable) -> Fill:
    """The function that fills buffers from `stream`, through its `readinto` if it has one."""
    if isinstance(stream, _ReadableInto):
        into = stream

        def once(buffer: memoryview) -> int:
            return into.readinto(buffer) or 0
    else:

        def once(buffer: memoryview) -> int:
            data = stream.read(len(buffer))
            buffer[: len(data)] = data
            return len(data)

    def fill(buffer: memoryview) -> int:
        done = 0
        while done < len(buffer):
            count = once(buffer[done:])
            if not count:
                break
            done += count
        return done

    return fill


def filling_after(head: bytes, rest: Fill) -> Fill:
    """As `rest`, but with `head` before it."""
    waiting = memoryview(head)

    def fill(buffer: memoryview) -> int:
        nonlocal waiting
        count = min(len(waiting), len(buffer))
        buffer[:count] = waiting[:count]
        waiting = waiting[count:]
        return count + (rest(buffer[count:]) if count < len(buffer) else 0)

    return fill


def take(fill: Fill, size: int) -> bytes:
    """The next `size` bytes, or fewer when there are no more."""
    buffer = bytearray(size)
    count = fill(memoryview(buffer))
    return bytes(buffer[:count])

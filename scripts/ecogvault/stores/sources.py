"""Content to send, from a file or from memory."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition
from typing import Any

from ecogvault.stores.base import Origin
from ecogvault.stores.errors import SourceChanged
from ecogvault.stores.pieces import TreeOfPieces


class InOrder:
    """A digest over pieces that several threads deliver at once, each piece hashed when its turn comes.

    By default SHA-256. Pieces must be started in ascending order and without gaps; the piece at 0 starts again.
    `fail` lets all who wait go on when a piece will never come.
    """

    def __init__(self, new: Callable[[], Any] = hashlib.sha256) -> None:
        self._new = new
        self._hash = new()
        self._next = 0
        self._failed = False
        self._turn = Condition()

    def update_at(self, offset: int, data: memoryview) -> None:
        """Hash `data`, which stands at `offset`, after everything before it."""
        with self._turn:
            if offset == 0:
                self._hash, self._next, self._failed = self._new(), 0, False
            self._turn.wait_for(lambda: self._failed or self._next >= offset)
            if self._failed or self._next != offset:
                return
        self._hash.update(data)
        with self._turn:
            self._next = offset + len(data)
            self._turn.notify_all()

    def fail(self) -> None:
        """A piece will never come."""
        with self._turn:
            self._failed = True
            self._turn.notify_all()

    def result(self) -> tuple[int, str]:
        """How many bytes were hashed, and their digest in hex."""
        return self._next, str(self._hash.hexdigest())


class FileSource:
    """A file's bytes. Raises SourceChanged when its size, time or digest is not what it should be.

    `what` is the coded name that messages use. `sha256` and `sha256_tree` are the file's expected digests (hex),
    checked over the bytes that were read for sending, before the store counts them as stored. `origin` is an object
    that ends in the same bytes.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        what: str,
        sha256: str | None = None,
        sha256_tree: str | None = None,
        origin: Origin | None = None,
    ) -> None:
        self.origin = origin
        self._descriptor = descriptor
        self._what = what
        self._sha256 = sha256
        self._seen = InOrder()
        self._identity = self._state()
        self._sha256_tree = sha256_tree
        self._tree = TreeOfPieces(self.size if sha256_tree else 0)

    @property
    def size(self) -> int:
        """The file's size in bytes when it was opened."""
        return self._identity[0]

    @property
    def tree(self) -> TreeOfPieces | None:
        """The tree hash of what was read so far, where one is made anyway: a store need not make it again."""
        return self._tree if self._sha256_tree is not None else None

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` from `offset`. Raises SourceChanged, and OSError as it comes."""
        try:
            done = 0
            while done < len(buffer):
                count = os.preadv(self._descriptor, [buffer[done:]], offset + done)
                if not count:
                    raise self._changed()
                done += count
            if self._state() != self._identity:
                raise self._changed()
        except BaseException:
            self._seen.fail()
            raise
        if self._sha256 is not None:
            self._seen.update_at(offset, buffer)
        if self._sha256_tree is not None:
            self._tree.update_at(offset, buffer)

    def check(self) -> None:
        """Raise SourceChanged unless the whole file was read and had the expected digests."""
        if self._sha256 is not None and self._seen.result() != (self.size, self._sha256):
            raise self._changed()
        if self._sha256_tree is not None and self._tree.hexdigest() != self._sha256_tree:
            raise SourceChanged(f"{self._what} is damaged, and was not stored: remove it, then run again")

    def _state(self) -> tuple[int, int]:
        status = os.fstat(self._descriptor)
        return status.st_size, status.st_mtime_ns

    def _changed(self) -> SourceChanged:
        return SourceChanged(f"{self._what} changed while it was sent, and was not stored: run again")


@contextmanager
def file_source(
    path: Path,
    *,
    what: str,
    sha256: str | None = None,
    sha256_tree: str | None = None,
    origin: Origin | None = None,
) -> Iterator[FileSource]:
    """Open `path` as a FileSource for the length of the block."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield FileSource(descriptor, what=what, sha256=sha256, sha256_tree=sha256_tree, origin=origin)
    finally:
        os.close(descriptor)


class BytesSource:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        """The number of bytes."""
        return len(self._data)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` from `offset`."""
        buffer[:] = self._data[offset : offset + len(buffer)]

"""Fetching: an object as a stream, a part of it by range, or a large one into a file that an interruption leaves.

What is fetched into a file is kept as `.{name}.partial` until it is whole. A later call hashes what is there and asks
for the rest alone; whether all of it is right is decided by the whole object's digest, never by the part.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ecogvault.age.errors import HeaderError, HeaderMacError, PayloadError
from ecogvault.digests import TreeHash
from ecogvault.errors import Damaged
from ecogvault.restore.errors import NotWhatWasArchived
from ecogvault.stores import Store
from ecogvault.stores.errors import WrongBytes

Progress = Callable[[int], None]
_READ = 1024 * 1024


class Pieces:
    """Pieces of bytes as a stream to read from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._left = piece
        found, self._left = self._left[:size], self._left[size:]
        return found


class RemoteSource:
    """An object of `size` bytes, of which only the ranges that are asked for are fetched. `fetched` counts bytes."""

    def __init__(self, store: Store, key: str, size: int, version_id: str | None) -> None:
        self._store = store
        self._key = key
        self._version_id = version_id
        self.size = size
        self.fetched = 0

    def read_at(self, offset: int, length: int, /) -> bytes:
        """`length` bytes from `offset`, fewer only at the end. Raises StoreError."""
        length = max(0, min(length, self.size - offset))
        if not length:
            return b""
        found = b"".join(self._store.get(self._key, offset, length, self._version_id))
        self.fetched += len(found)
        return found


def partial_path(folder: Path, name: str) -> Path:
    """Where what was fetched of an object waits for the rest."""
    return folder / f".{name}.partial"


@contextmanager
def fetched(
    store: Store,
    key: str,
    partial: Path,
    *,
    size: int,
    version_id: str | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[BinaryIO, str]]:
    """The whole object as a file (0600) to read, with its tree hash (hex).

    The file is removed after the block, or when the block finds that its content is not right. Any other interruption,
    while it fetches or in the block, leaves it for the next time. `size` is what is recorded of the object; whether it
    is the right one is for the block to say, by its digest. Raises StoreError, OSError.
    """
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT, 0o600)
    with open(descriptor, "r+b", buffering=0) as stream:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        tree = TreeHash()
        have = _hash_what_is_there(stream, size, tree)
        if progress is not None and have:
            progress(have)
        try:
            if have < size:
                for piece in store.get(key, have, size - have if have else None, version_id):
                    tree.update(piece)
                    stream.write(piece)
                    if progress is not None:
                        progress(len(piece))
            stream.seek(0)
            yield stream, tree.hexdigest()
        except (PayloadError, HeaderError, HeaderMacError, Damaged, NotWhatWasArchived, WrongBytes):
            partial.unlink()
            raise
        partial.unlink()


def _hash_what_is_there(stream: BinaryIO, size: int, tree: TreeHash) -> int:
    """Hash what an interrupted fetch has left; the number of its bytes. Leaves the position at their end."""
    have = stream.seek(0, os.SEEK_END)
    if have > size:
        stream.truncate(0)
        have = 0
    stream.seek(0)
    done = 0
    while done < have:
        data = stream.read(min(_READ, have - done))
        tree.update(data)
        done += len(data)
    stream.seek(have)
    return have

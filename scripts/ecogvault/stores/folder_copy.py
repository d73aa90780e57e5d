"""The bytes of a copy in a folder: written, read back, compared with their source."""

import os
from collections.abc import Callable

from ecogvault.stores.base import Checked, Source
from ecogvault.stores.errors import WrongBytes
from ecogvault.stores.folder_files import PIECE, tree_on_disk
from ecogvault.stores.pieces import TreeOfPieces


def equal_prefix(descriptor: int, source: Source) -> int:
    """How many bytes at the beginning of an unfinished copy, in whole pieces, are on disk as `source` has them."""
    length = min(os.fstat(descriptor).st_size, source.size)
    wanted = bytearray(PIECE)
    good = 0
    while good + PIECE <= length:
        source.read_into(good, memoryview(wanted))
        if os.pread(descriptor, PIECE, good) != wanted:
            break
        good += PIECE
    return good


def copy(
    descriptor: int, source: Source, start: int, what: str, progress: Callable[[int], None] | None
) -> tuple[str, int]:
    """Write `source` from `start` on, flush it, read all of it back; its tree hash and the bytes written.

    Raises WrongBytes, which names `what`, SourceChanged, OSError.
    """
    os.ftruncate(descriptor, start)
    if progress and start:
        progress(start)
    tree = TreeOfPieces(source.size)
    buffer = bytearray(min(PIECE, source.size))
    for offset in range(0, source.size, PIECE):
        piece = memoryview(buffer)[: min(PIECE, source.size - offset)]
        source.read_into(offset, piece)
        tree.update_at(offset, piece)
        if offset < start:
            continue
        done = 0
        while done < len(piece):
            done += os.pwrite(descriptor, piece[done:], offset + done)
        if progress:
            progress(len(piece))
    if isinstance(source, Checked):
        source.check()
    os.fsync(descriptor)
    wanted = tree.hexdigest()
    if tree_on_disk(descriptor, source.size) != wanted:
        raise WrongBytes(
            f"{what} was read back with other bytes than were written, and was removed: "
            "check that disk and its connection, then run again"
        )
    return wanted, source.size - start


def tree_if_equal(descriptor: int, source: Source) -> str | None:
    """The tree hash of a file of the source's size that has the very bytes of `source`; None if it has others."""
    tree = TreeOfPieces(source.size)
    buffer = bytearray(min(PIECE, source.size))
    for offset in range(0, source.size, PIECE):
        piece = memoryview(buffer)[: min(PIECE, source.size - offset)]
        source.read_into(offset, piece)
        if os.pread(descriptor, len(piece), offset) != piece:
            return None
        tree.update_at(offset, piece)
    if isinstance(source, Checked):
        source.check()
    return tree.hexdigest()

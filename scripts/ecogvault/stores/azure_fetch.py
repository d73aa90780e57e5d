"""Fetching one blob by a pasted address, as people keep them for azcopy: resumed where it broke, and compared.

The address usually holds a SAS, which is a secret, and its path may hold a name. So neither is ever shown or written
down: messages say "the blob".
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ecogvault.files import TEMPORARY_SUFFIX, Locked, holds_lock, require_space, sweep
from ecogvault.stores.azure_client import ATTEMPTS, open_blob
from ecogvault.stores.azure_read import Facts, Reader, facts_of
from ecogvault.stores.errors import KeyTaken, WrongBytes
from ecogvault.stores.pieces import MIB
from ecogvault.stores.rename import rename_without_overwriting

CONNECTIONS = 4
SYNC_EVERY = 64 * MIB
_WHERE = "its container"
_BLOB = "the blob"


@dataclass(frozen=True)
class Fetched:
    """What a fetch did. Sizes are in bytes; `md5` (hex) is None where the service keeps none to compare with."""

    size: int
    kept: int
    md5: str | None


def fetch(
    url: str, target: Path, *, progress: Callable[[int, int], None] | None = None, attempts: int = ATTEMPTS
) -> Fetched:
    """Fetch the blob at `url` to the new file `target` (0600), going on where an interrupted call stopped.

    What an interrupted call has left lies beside it, hidden. `progress` is called with the bytes that are there and
    the blob's size. Raises KeyTaken if `target` exists, WrongBytes if the MD5 is not the one that the service keeps,
    Locked, NoSpace, other StoreErrors, OSError.
    """
    if target.exists() or target.is_symlink():
        raise KeyTaken("the file to fetch to exists already, and is never overwritten: give another name")
    with (
        ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="fetch") as pool,
        open_blob(url, connections=CONNECTIONS + 1) as blob,
    ):
        facts = facts_of(blob, _WHERE, _BLOB, attempts=attempts)
        reader = Reader(blob, _WHERE, _BLOB, pool, attempts)
        partial = target.with_name(f".{target.name}.{_identity(url, facts)}{TEMPORARY_SUFFIX}")
        with _opened(partial) as descriptor:
            sweep(target.parent, target.name)  # of a blob that was replaced since
            kept = _kept(descriptor, facts)
            require_space(target.parent, facts.size - kept, what="fetching the blob")
            md5 = _fetch(reader, facts, descriptor, kept, progress)
            if facts.md5 not in (None, md5):
                partial.unlink()
                raise WrongBytes(
                    "what was fetched does not have the MD5 that the service keeps of the blob, and was removed: run "
                    "again; if it stays so, the blob is damaged or was stored with a wrong MD5"
                )
            _place(partial, target)
    return Fetched(facts.size, kept, facts.md5)


def _identity(url: str, facts: Facts) -> str:
    """8 hex digits that stand for this content of this blob, whichever SAS it is asked for with."""
    parts = urlsplit(url)
    text = f"{parts.netloc}{parts.path} {facts.etag} {facts.size}"
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@contextmanager
def _opened(partial: Path) -> Iterator[int]:
    """The partial file, locked as long as this process writes it."""
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if not holds_lock(descriptor):
            raise Locked("the blob is being fetched to this file by another process: wait for it to end")
        yield descriptor
    finally:
        os.close(descriptor)


def _kept(descriptor: int, facts: Facts) -> int:
    """How many bytes at the beginning of a partial file are gone on with.

    All of them where the MD5 will tell at the end, else those that are known to have reached the disk.
    """
    there = min(os.fstat(descriptor).st_size, facts.size)
    return there if facts.md5 else max(0, there - SYNC_EVERY)


def _fetch(
    reader: Reader, facts: Facts, descriptor: int, kept: int, progress: Callable[[int, int], None] | None
) -> str:
    """Hash what is there, append the rest, flush it; the MD5 of the whole in hex."""
    md5 = hashlib.md5()
    os.ftruncate(descriptor, kept)
    at = synced = 0
    while at < kept:
        piece = os.pread(descriptor, min(MIB, kept - at), at)
        md5.update(piece)
        at += len(piece)
    for piece in reader.from_on(facts, kept):
        md5.update(piece)
        view = memoryview(piece)
        while view:
            count = os.pwrite(descriptor, view, at)
            view, at = view[count:], at + count
        if at - synced >= SYNC_EVERY:
            os.fsync(descriptor)
            synced = at
        if progress:
            progress(at, facts.size)
    os.fsync(descriptor)
    return md5.hexdigest()


def _place(partial: Path, target: Path) -> None:
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            rename_without_overwriting(folder, partial.name, folder, target.name)
        except FileExistsError:
            raise KeyTaken("somebody else has made the file to fetch to meanwhile: give another name") from None
        os.fsync(folder)
    finally:
        os.close(folder)

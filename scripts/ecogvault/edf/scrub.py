"""Copy a recording with a scrubbed header, and prove by what is read back from disk that nothing else changed."""

import errno
import fcntl
import hashlib
import os
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ecogvault.edf.deviations import Deviation, deviations
from ecogvault.edf.errors import SOMEWHERE, NotProven, SourceChanged, WouldOverwrite
from ecogvault.edf.header import parse_header, read_header_bytes
from ecogvault.edf.patch import Change, scrubbed_header
from ecogvault.edf.policy import Policy
from ecogvault.edf.timing import require_complete
from ecogvault.files import replacing

CHUNK = 1024 * 1024
_BUFFERS = 4
_STRIDE = 64 * CHUNK  # how far reading back stays behind writing
_FICLONE = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)
_NO_REFLINK = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM)


@dataclass(frozen=True)
class Scrubbed:
    """A finished copy: its size in bytes, its SHA-256 (hex), what was changed, and what is out of order."""

    size: int
    sha256: str
    changes: tuple[Change, ...]
    deviations: tuple[Deviation, ...]


def scrub_file(
    source: Path,
    target: Path,
    code: str,
    *,
    policy: Policy | None = None,
    shift_days: int = 0,
    edits: Sequence[Change] = (),
    reflink: bool = True,
    mode: int = 0o640,
    group: int | None = None,
    where: str = SOMEWHERE,
) -> Scrubbed:
    """Write the scrubbed copy of `source` to `target`, which appears only when it is proven.

    `policy` says what happens to each field of the header (by default the shipped `lab`); `shift_days` is added to
    every date that it shifts; `edits` are as for `scrub`. `mode` and `group` (a gid) are the target's.
    Raises as `scrub`, and WouldOverwrite if both are one file.
    """
    if target.exists() and target.samefile(source):
        raise WouldOverwrite(where)
    with replacing(target, mode=mode, group=group) as stream:
        return scrub(
            source,
            stream,
            code,
            policy=policy,
            shift_days=shift_days,
            edits=edits,
            reflink=reflink,
            where=where,
        )


def scrub(
    source: Path,
    target: BinaryIO,
    code: str,
    *,
    policy: Policy | None = None,
    shift_days: int = 0,
    edits: Sequence[Change] = (),
    reflink: bool = True,
    where: str = SOMEWHERE,
) -> Scrubbed:
    """Copy `source` with the header of `scrubbed_header` into `target`, an empty file open for reading and writing.

    What is to be written is the source with the changes of the header and with `edits`, which are changes behind it
    (annotations.redactions of the source). It is hashed while it is written; some way behind, what was written is
    flushed, read back from disk, and compared with the source byte by byte, the changes aside. Where the file system
    can share blocks between files, and `reflink` is true, only the changed ones are written. Memory is a few buffers of
    1 MiB and the header. The source is opened for reading only.

    Raises BadRecording if the recording is not whole, SourceChanged if size, time or place of the source changed
    meanwhile, NotProven if the copy differs or an edit does not replace what it says, OSError as it comes.
    The target is worthless after any of them.
    """
    target.flush()
    out = target.fileno()
    with source.open("rb", buffering=0) as stream:
        fd = stream.fileno()
        before = os.fstat(fd)
        original = read_header_bytes(stream, where)
        header = require_complete(parse_header(original, where), before.st_size, where)
        _, changes = scrubbed_header(original, code, where, policy=policy, shift_days=shift_days)
        planned = Edits([*changes, *edits], where)
        shared = reflink and share_blocks(fd, out)
        if shared:
            for change in (*changes, *edits):
                _write(out, memoryview(change.after), change.offset)
            os.fsync(out)
        try:
            with _Following(out, fd, planned) as following:
                size, sha256 = _read_source(fd, planned, None if shared else out, following.written)
                following.finish()
        except NotProven:
            if _trace(os.stat(source)) != _trace(before):
                raise SourceChanged(where) from None
            raise
        if size != before.st_size or _trace(os.stat(source)) != _trace(before):
            raise SourceChanged(where)
    found = deviations(original, header, before.st_size, changes)
    return Scrubbed(size, sha256, (*changes, *edits), found)


def scrubbed_sha256(
    source: Path,
    code: str,
    *,
    policy: Policy | None = None,
    shift_days: int = 0,
    edits: Sequence[Change] = (),
    where: str = SOMEWHERE,
    progress: Callable[[int], None] | None = None,
) -> tuple[str, tuple[Change, ...]]:
    """The SHA-256 (hex) that a scrubbed copy of `source` would have, and what would be changed. Nothing is written.

    `progress` is told of bytes as they are read. Raises BadRecording, SourceChanged, and OSError as it comes.
    """
    with source.open("rb", buffering=0) as stream:
        fd = stream.fileno()
        before = os.fstat(fd)
        original = read_header_bytes(stream, where)
        require_complete(parse_header(original, where), before.st_size, where)
        _, changes = scrubbed_header(original, code, where, policy=policy, shift_days=shift_days)
        at = 0

        def done(count: int) -> None:
            nonlocal at
            # A recording is longer than what other work on the machine can spare of the page cache.
            os.posix_fadvise(fd, at, count, os.POSIX_FADV_DONTNEED)
            at += count
            if progress is not None:
                progress(count)

        size, sha256 = _read_source(fd, Edits([*changes, *edits], where), done=done)
        if size != before.st_size or _trace(os.stat(source)) != _trace(before):
            raise SourceChanged(where)
    return sha256, (*changes, *edits)


class Edits:
    """Changes of known places, made in buffers as these pass by."""

    def __init__(self, changes: Sequence[Change], where: str) -> None:
        self._changes = sorted(changes, key=lambda change: change.offset)
        self._starts = [change.offset for change in self._changes]
        # No change is longer than this, so that those before it cannot reach a place.
        self._longest = max((len(change.after) for change in self._changes), default=0)
        self.where = where

    def apply(self, buffer: memoryview, offset: int) -> None:
        """Make the changes that lie in `buffer`, which holds the bytes of the file from `offset`.

        Raises NotProven where it does not hold what a change is to replace.
        """
        first = bisect_left(self._starts, offset - self._longest)
        last = bisect_left(self._starts, offset + len(buffer))
        for change in self._changes[first:last]:
            skipped = max(0, offset - change.offset)
            at = change.offset + skipped - offset
            new = change.after[skipped : skipped + len(buffer) - at]
            if not new:
                continue
            if buffer[at : at + len(new)] != change.before[skipped : skipped + len(new)]:
                raise NotProven(self.where)
            buffer[at : at + len(new)] = new


def share_blocks(source: int, target: int) -> bool:
    """Have the open file `target` share all blocks of `source`; False where the file system cannot.

    Source: ioctl_ficlone(2).
    """
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in _NO_REFLINK:
            return False
        raise
    return True


def _read_source(
    fd: int, edits: Edits, out: int | None = None, done: Callable[[int], None] | None = None
) -> tuple[int, str]:
    """Size and SHA-256 (hex) of the open file `fd` with `edits`, written to `out` on the way if that is given.

    While one buffer is hashed, the next ones are read and written. `done` is given the bytes of each.
    """
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    digest = hashlib.sha256()
    free = deque(memoryview(bytearray(CHUNK)) for _ in range(_BUFFERS))
    hashing: deque[tuple[Future[None], memoryview]] = deque()
    offset = 0
    with ThreadPoolExecutor(max_workers=1) as pool:
        while True:
            buffer = free.popleft()
            read = os.preadv(fd, [buffer], offset)
            if not read:
                break
            edits.apply(buffer[:read], offset)
            hashing.append((pool.submit(digest.update, buffer[:read]), buffer))
            if out is not None:
                _write(out, buffer[:read], offset)
            offset += read
            if done is not None:
                done(read)
            if not free:
                hashed, buffer = hashing.popleft()
                hashed.result()
                free.append(buffer)
        for hashed, _ in hashing:
            hashed.result()
    return offset, digest.hexdigest()


class _Following:
    """Reads a copy back from disk while it is still being written, some way behind, and compares it with its source.

    What is to be read is flushed first and dropped from the page cache: so it comes from where it will lie. The source
    is read a second time, from the page cache as a rule: for long files, comparing costs half of what a digest does.
    """

    def __init__(self, fd: int, source: int, edits: Edits) -> None:
        self._fd, self._source, self._edits = fd, source, edits
        self._written = self._asked = self._read = 0
        self._found, self._wanted = bytearray(CHUNK), bytearray(CHUNK)
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> "_Following":
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def written(self, count: int) -> None:
        """So many more bytes were written, in order. Raises NotProven, OSError."""
        self._written += count
        if self._written - self._asked >= _STRIDE:
            self._ask()
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft().result()

    def finish(self) -> None:
        """Compare what is left, and the size. Raises NotProven, OSError."""
        self._ask()
        for reading in self._waiting:
            reading.result()
        if os.fstat(self._fd).st_size != self._written:
            raise NotProven(self._edits.where)

    def _ask(self) -> None:
        self._asked = self._written
        self._waiting.append(self._pool.submit(self._compare_to, self._asked))

    def _compare_to(self, end: int) -> None:
        os.fsync(self._fd)
        os.posix_fadvise(self._fd, self._read, end - self._read, os.POSIX_FADV_DONTNEED)
        found, wanted = memoryview(self._found), memoryview(self._wanted)
        while self._read < end:
            length = min(CHUNK, end - self._read)
            _read_exactly(self._fd, found[:length], self._read, self._edits.where)
            _read_exactly(self._source, wanted[:length], self._read, self._edits.where)
            self._edits.apply(wanted[:length], self._read)
            # Whole arrays: that is memcmp, where views are compared byte by byte. What is behind `length` is stale.
            found[length:] = wanted[length:]
            if self._found != self._wanted:
                raise NotProven(self._edits.where)
            os.posix_fadvise(self._source, self._read, length, os.POSIX_FADV_DONTNEED)
            self._read += length


def _read_exactly(fd: int, buffer: memoryview, offset: int, where: str) -> None:
    """Fill `buffer` from `offset` of the open file `fd`. Raises NotProven if the file ends before."""
    while buffer:
        count = os.preadv(fd, [buffer], offset)
        if not count:
            raise NotProven(where)
        buffer, offset = buffer[count:], offset + count


def _write(fd: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written


def _trace(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

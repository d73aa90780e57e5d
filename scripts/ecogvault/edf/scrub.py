"""Copy a recording with a scrubbed header, and prove by what is read back from disk that nothing else changed."""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ecogvault.edf.errors import SOMEWHERE, NotProven, SourceChanged, WouldOverwrite
from ecogvault.edf.header import parse_header, read_header_bytes
from ecogvault.edf.patch import Change, scrubbed_header
from ecogvault.edf.timing import require_complete
from ecogvault.files import replacing

CHUNK = 2 * 1024 * 1024


@dataclass(frozen=True)
class Scrubbed:
    """A finished copy: its size in bytes, SHA-256 (hex) of all of it and of everything behind the header, the changed
    fields, and what is unusual about its header."""

    size: int
    sha256: str
    tail_sha256: str
    changes: tuple[Change, ...]
    remarks: tuple[str, ...]


def scrub_file(
    source: Path,
    target: Path,
    code: str,
    *,
    shift_days: int = 0,
    edits: Sequence[Change] = (),
    mode: int = 0o640,
    group: int | None = None,
    where: str = SOMEWHERE,
) -> Scrubbed:
    """Write the scrubbed copy of `source` to `target`, which appears only when it is proven.

    `shift_days` is added to every date in the header; `edits` are as for `scrub`; `mode` and `group` (a gid) are the
    target's. Raises as `scrub`, and WouldOverwrite if both are one file.
    """
    if target.exists() and target.samefile(source):
        raise WouldOverwrite(where)
    with replacing(target, mode=mode, group=group) as stream:
        return scrub(source, stream, code, shift_days=shift_days, edits=edits, where=where)


def scrub(
    source: Path,
    target: BinaryIO,
    code: str,
    *,
    shift_days: int = 0,
    edits: Sequence[Change] = (),
    where: str = SOMEWHERE,
) -> Scrubbed:
    """Copy `source` with the header of `scrubbed_header` into `target`, an empty file open for reading and writing.

    Everything behind the header is hashed while it is read; then the written file is flushed, read back from disk, and
    must have the same hash. Memory is one buffer of 2 MiB and the header. The source is opened for reading only.

    `edits` are changes behind the header (annotations.redactions of the source). They are written into the copy, and
    the hash is that of the copy with them undone: so each of them replaced what it says, and nothing else changed.

    Raises BadRecording if the recording is not whole, SourceChanged if size, time or place of the source changed
    meanwhile, NotProven if the copy differs, OSError as it comes. The target is worthless after any of them.
    """
    buffer = memoryview(bytearray(CHUNK))
    target.flush()
    out = target.fileno()
    with source.open("rb", buffering=0) as stream, ThreadPoolExecutor(max_workers=1) as pool:
        fd = stream.fileno()
        before = os.fstat(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        original = read_header_bytes(stream, where)
        header = require_complete(parse_header(original, where), before.st_size, where)
        new, changes = scrubbed_header(original, code, where, shift_days=shift_days)

        _write(out, memoryview(new), 0)
        tail = hashlib.sha256()
        offset = len(new)
        while read := os.preadv(fd, [buffer], offset):
            hashed = pool.submit(tail.update, buffer[:read])
            _write(out, buffer[:read], offset)
            hashed.result()
            # A recording is longer than what other work on the machine can spare of the page cache.
            os.posix_fadvise(fd, offset, read, os.POSIX_FADV_DONTNEED)
            offset += read
        if offset != before.st_size or _trace(os.stat(source)) != _trace(before):
            raise SourceChanged(where)
        for edit in edits:
            _write(out, memoryview(edit.after), edit.offset)

        # Dropped from the cache once it is on disk, so that what is read back is what the disk holds.
        os.fsync(out)
        os.posix_fadvise(out, 0, 0, os.POSIX_FADV_DONTNEED)
        size, whole, written_tail = _read_back(out, new, edits, buffer, pool, where)
    if size != offset or written_tail != tail.hexdigest():
        raise NotProven(where)
    return Scrubbed(size, whole, written_tail, (*changes, *edits), header.remarks)


def scrubbed_sha256(
    source: Path,
    code: str,
    *,
    shift_days: int = 0,
    edits: Sequence[Change] = (),
    where: str = SOMEWHERE,
    progress: Callable[[int], None] | None = None,
) -> tuple[str, tuple[Change, ...]]:
    """The SHA-256 (hex) that a scrubbed copy of `source` would have, and what would be changed. Nothing is written.

    `progress` is told of bytes as they are read. Raises BadRecording, SourceChanged, and OSError as it comes.
    """
    buffer = memoryview(bytearray(CHUNK))
    with source.open("rb", buffering=0) as stream:
        fd = stream.fileno()
        before = os.fstat(fd)
        original = read_header_bytes(stream, where)
        require_complete(parse_header(original, where), before.st_size, where)
        new, changes = scrubbed_header(original, code, where, shift_days=shift_days)
        whole = hashlib.sha256(new)
        offset = len(new)
        while read := os.preadv(fd, [buffer], offset):
            whole.update(_edited(buffer[:read], offset, [(edit.offset, edit.after) for edit in edits]))
            os.posix_fadvise(fd, offset, read, os.POSIX_FADV_DONTNEED)
            offset += read
            if progress is not None:
                progress(read)
        if offset != before.st_size or _trace(os.stat(source)) != _trace(before):
            raise SourceChanged(where)
    return whole.hexdigest(), (*changes, *edits)


def _edited(data: memoryview, start: int, pieces: Sequence[tuple[int, bytes]]) -> memoryview:
    """`data`, which stands at `start` of a file, with `pieces` (offset in the file, bytes) in place; itself if none."""
    end = start + len(data)
    within = [(offset, piece) for offset, piece in pieces if offset < end and start < offset + len(piece)]
    if not within:
        return data
    changed = bytearray(data)
    for offset, piece in within:
        first, last = max(offset, start), min(offset + len(piece), end)
        changed[first - start : last - start] = piece[first - offset : last - offset]
    return memoryview(changed)


def _write(fd: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written


def _trace(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _read_back(
    fd: int, header: bytes, edits: Sequence[Change], buffer: memoryview, pool: ThreadPoolExecutor, where: str
) -> tuple[int, str, str]:
    """Size, SHA-256 of the whole, and of what is behind `header` with `edits` undone, of the open file `fd`.

    Raises NotProven.
    """
    whole, tail = hashlib.sha256(), hashlib.sha256()
    written = os.pread(fd, len(header), 0)
    if written != header or any(os.pread(fd, len(edit.after), edit.offset) != edit.after for edit in edits):
        raise NotProven(where)
    whole.update(written)
    undone = [(edit.offset, edit.before) for edit in edits]
    offset = len(header)
    while read := os.preadv(fd, [buffer], offset):
        hashed = pool.submit(tail.update, _edited(buffer[:read], offset, undone))
        whole.update(buffer[:read])
        hashed.result()
        offset += read
    return offset, whole.hexdigest(), tail.hexdigest()

"""What an earlier restore has left, and whether it is still as it came: that is not fetched a second time.

The record of a restore lists its files with size and time. Where these agree nothing is read; where they do not, the
file's SHA-256 decides.
"""

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ecogvault.errors import Damaged
from ecogvault.ledger import Copy
from ecogvault.manifest import Entry, sha256_of
from ecogvault.records import read_record, write_record
from ecogvault.tarball import OtherContent


def contents(folder: Path, entries: Iterable[Entry]) -> list[list[object]]:
    """What a record says of each restored file: path, size in bytes, mtime in ns, SHA-256. Raises OSError."""
    return [[one.path, one.size, (folder / one.path).lstat().st_mtime_ns, one.sha256] for one in entries]


def is_as_it_came(record: Path) -> bool:
    """Whether everything that a record says came back is there, by size and time. Reads no file. Raises OSError."""
    try:
        done = read_record(record)
    except Damaged:
        return False
    return all(_seems(_folder(record, done) / path, size, mtime) for path, size, mtime, _ in _listed(done))


def missing(record: Path, copy: Copy, path: str | None = None) -> list[str] | None:
    """The files of a restore that have gone since; None if this copy, or its one file `path`, never came back.

    What was merely touched is noted in the record. Raises OtherContent for a file that was changed, and OSError.
    """
    try:
        done = read_record(record)
    except (FileNotFoundError, Damaged):
        return None
    same = (copy.generation, copy.manifest_sha256, path)
    if (done["generation"], done["manifest_sha256"], done.get("path")) != same:
        return None
    folder = _folder(record, done)
    gone, touched = [], False
    for name, size, mtime, sha256 in _listed(done):
        place = folder / name
        if _seems(place, size, mtime):
            continue
        if not os.path.lexists(place):
            gone.append(name)
        elif place.is_symlink() or not place.is_file() or sha256_of(place) != (size, sha256):
            raise OtherContent(
                f"{place} is not as it came back, it was changed or damaged since: move it away, then run again"
            )
        else:
            touched = True
    if touched and not gone:
        entries = [Entry(name, size, sha256) for name, size, _, sha256 in _listed(done)]
        write_record(record, {**done, "contents": contents(folder, entries)}, mode=0o600)
    return gone


def _folder(record: Path, done: dict[str, Any]) -> Path:
    return record.parent / str(done["unit"])


def _listed(done: dict[str, Any]) -> list[tuple[str, int, int, str]]:
    return [(str(path), int(size), int(mtime), str(sha256)) for path, size, mtime, sha256 in done.get("contents", ())]


def _seems(place: Path, size: int, mtime: int) -> bool:
    try:
        found = place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISREG(found.st_mode) and (found.st_size, found.st_mtime_ns) == (size, mtime)

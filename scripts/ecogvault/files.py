"""Writing files so that a reader sees all of a file or none of it, and locks between processes.

Every write of the project goes to a temporary file in the same folder, is flushed to disk and only then renamed.
"""

import errno
import fcntl
import json
import logging
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from ecogvault.errors import EcogvaultError
from ecogvault.sizes import fitting

TEMPORARY_SUFFIX = ".part~"
_TEMPORARY = re.compile(rf"\.(.+)\.[0-9a-f]{{8}}{re.escape(TEMPORARY_SUFFIX)}", re.DOTALL)

_log = logging.getLogger("ecogvault")


class NoSpace(EcogvaultError):
    """The file system has too little room for what is about to be written."""


class Locked(EcogvaultError):
    """Another process holds the lock; the message says which."""


def in_one_another(one: Path, other: Path) -> bool:
    """Whether two paths are the same folder or one lies in the other, links resolved; they need not exist."""
    first, second = Path(os.path.realpath(one)), Path(os.path.realpath(other))
    return first == second or first in second.parents or second in first.parents


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that a rename survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_beside(path: Path) -> Path:
    """A fresh hidden name in the folder of `path`, for a file that will be renamed to `path` when it is whole."""
    return path.parent / f".{path.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"


def mark_alive(descriptor: int) -> None:
    """Lock a temporary file for as long as its writer lives, so that `sweep` tells it from what a killed one left."""
    # Some network file systems have no such locks: there sweep takes every temporary file for one that is written.
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def holds_lock(descriptor: int) -> bool:
    """Lock a temporary file that may be another process' as well; False if that one is at it.

    True, too, where the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        _log.info("this file system has no locks")
    return True


def sweep(folder: Path, name: str | None = None) -> None:
    """Remove temporary files that killed processes have left in `folder`, those of the file `name` or all.

    What a living process writes stays, and so does everything when `folder` is not there.
    """
    try:
        entries = os.listdir(folder)
    except FileNotFoundError:
        return
    for entry in entries:
        match = _TEMPORARY.fullmatch(entry)
        if match and name in (None, match[1]):
            _remove_dead(folder / entry)


def sweep_tree(folder: Path) -> None:
    """Do so in `folder` and everything below it."""
    for each, _, _ in os.walk(folder):
        sweep(Path(each))


@contextmanager
def without_empty_folders(folder: Path) -> Iterator[None]:
    """When the block fails, remove the folders at, below and above `folder` that it has made and left empty."""
    above = [each for each in (folder, *folder.parents) if not each.exists()]
    before = {each for each, _, _ in os.walk(folder)}
    try:
        yield
    except BaseException:
        below = [each for each, _, _ in os.walk(folder, topdown=False) if each not in before]
        for each in (*below, *map(str, above)):
            with suppress(OSError):  # it holds something, or is gone
                os.rmdir(each)
        raise


def _remove_dead(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return  # gone meanwhile, or not this user's
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except OSError:
        _log.info("%s is being written by another process", path.name)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path, *, mode: int = 0o640, group: int | None = None) -> Iterator[BinaryIO]:
    """Open a new file that becomes `path` when the block ends well, and vanishes when it does not.

    `mode` and `group` (a gid) are set before the first byte is written, so that the content is never readable by more
    people than intended. Raises OSError as it comes (ENOSPC included); then nothing has changed under `path`.
    """
    temporary = temporary_beside(path)
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as stream:
            mark_alive(stream.fileno())
            if group is not None:
                os.fchown(stream.fileno(), -1, group)
            os.fchmod(stream.fileno(), mode)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            # Still locked, so that no other process sweeps it away meanwhile.
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def append_line(path: Path, line: bytes, *, mode: int = 0o640, group: int | None = None) -> None:
    """Add one line to a journal and flush it to disk before returning. `line` ends with a newline."""
    new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        if new:
            os.fchmod(descriptor, mode)
            if group is not None:
                os.fchown(descriptor, -1, group)
        view = memoryview(line)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if new:
        sync_folder(path.parent)


def require_space(folder: Path, needed: int, *, what: str) -> None:
    """Raise NoSpace unless the file system of `folder` has `needed` bytes (and a little more) for this user."""
    free = shutil.disk_usage(folder).free
    if free < needed + 1024 * 1024:
        raise NoSpace(
            f"{what} needs {fitting(needed)}, but {folder} has {fitting(free)} free: make room, then run again"
        )


def is_full(error: OSError) -> bool:
    """Whether an OSError says that the disk, or the user's quota, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def lock(path: Path, *, what: str, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive lock on the file `path` (made if missing), released by the system even after `kill -9`.

    The file is as open to others as its folder, so that members of a group can wait for each other. With `wait=False`,
    raises Locked when another process has it, naming that process' host, id and start.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        mode = path.parent.stat().st_mode & 0o666
        status = os.fstat(descriptor)
        if status.st_uid == os.geteuid() and status.st_mode & 0o777 != mode:
            os.fchmod(descriptor, mode)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise Locked(f"{what} is in use by {_holder(descriptor)}: wait for it to end, then run again") from None
            _log.info("waiting: %s is in use by %s", what, _holder(descriptor))
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.ftruncate(descriptor, 0)
        holder = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def holder(path: Path) -> str | None:
    """Who holds the lock on `path` now, or None if nobody does. Takes and writes nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(descriptor)
    finally:
        os.close(descriptor)
    return None


def _holder(descriptor: int) -> str:
    try:
        known = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return "another process that has just started"
    return f"process {known['pid']} on {known['host']} since {known['since']}"

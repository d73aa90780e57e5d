"""Small questions about files and names of a folder store."""

import errno
import grp
import mmap
import os
import stat
from contextlib import suppress

from ecogvault.files import TEMPORARY_SUFFIX
from ecogvault.stores.base import Absent, Present, UploadState
from ecogvault.stores.errors import BadKey, BadSettings, Denied, StoreError, Unreachable
from ecogvault.stores.pieces import MIB, TreeOfPieces

PIECE = 4 * MIB  # bytes read and written at once
CLOSED = 0o700  # of a folder that has not got its mode yet


def parts_of(key: str) -> list[str]:
    """A key's parts. Raises BadKey if they could lead out of the root, or mean a file by another name."""
    parts = key.split("/")
    if any(part in ("", ".", "..") or "\0" in part or is_temporary(part) for part in parts):
        raise BadKey(
            f"a key with an empty part, '.' or '..', or a temporary name, is not stored: correct 'layout' ({key!r})"
        )
    if any(len(part.encode()) > 255 - len(f"..12345678{TEMPORARY_SUFFIX}") for part in parts):
        raise BadKey(f"a part of a key is too long for a file name: correct 'layout' ({key!r})")
    return parts


def is_temporary(name: str) -> bool:
    """Whether a file is an unfinished copy, which is no object."""
    return name.startswith(".") and name.endswith(TEMPORARY_SUFFIX)


def gid_of(group: str, destination: str) -> int:
    """The id of a group that this user is in. Raises BadSettings."""
    try:
        gid = grp.getgrnam(group).gr_gid
    except KeyError:
        raise BadSettings(f"destinations.{destination}.group: this machine has no group '{group}'") from None
    if os.geteuid() != 0 and gid not in {os.getegid(), *os.getgroups()}:
        raise BadSettings(
            f"destinations.{destination}.group: this user is not in group '{group}': ask to be added, log in again, "
            "then run again"
        )
    return gid


def etag_of(status: os.stat_result) -> str:
    """Size and time of a file, which stand for its content as an ETag does."""
    return f"{status.st_size:x}-{status.st_mtime_ns:x}"


def present(folder: int, name: str) -> Present:
    """The file `name` of an open folder. Raises BadKey for anything but a file, FileNotFoundError."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode):
        raise BadKey("what stands under this key is a folder or a link, not a file: move it away")
    return Present(size=status.st_size, etag=etag_of(status), version_id=None, metadata={}, checksum=None)


def look(folder: int, name: str) -> Present | Absent:
    """The file `name` of an open folder, or that there is none."""
    try:
        return present(folder, name)
    except FileNotFoundError:
        return Absent()


def drop(folder: int, state: UploadState, temporary: str | None = None) -> None:
    """Remove the temporary file, and forget the one that `state` names."""
    for name in {temporary, state.upload_id} - {None}:
        with suppress(FileNotFoundError):
            os.unlink(str(name), dir_fd=folder)
    state.forget()


def tree_on_disk(descriptor: int, size: int) -> str | None:
    """The tree hash of an open, flushed file as the disk or the server gives it; None if it has not `size` bytes.

    It is read past the page cache (O_DIRECT) where the file system can; elsewhere clean pages are dropped first, which
    network file systems and disks heed and file systems in memory do not.
    """
    if os.fstat(descriptor).st_size != size:
        return None
    try:
        past_cache = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError:
        return _tree(descriptor, size)
    try:
        return _tree(past_cache, size)
    except OSError as error:
        if error.errno != errno.EINVAL:  # what a file system says that opens so and does not read so
            raise
        return _tree(descriptor, size)
    finally:
        os.close(past_cache)


def _tree(descriptor: int, size: int) -> str | None:
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    tree = TreeOfPieces(size)
    with mmap.mmap(-1, PIECE) as buffer:  # whose address is a multiple of a page's, as O_DIRECT wants it
        for offset in range(0, size, PIECE):
            wanted = min(PIECE, size - offset)
            if os.preadv(descriptor, [buffer], offset) < wanted:
                return None
            tree.update_at(offset, memoryview(buffer)[:wanted].toreadonly())
    return tree.hexdigest()


def settle(descriptor: int, mode: int, gid: int | None) -> None:
    """Give a file or folder of ours its group, then its mode (in this order: a new group takes setgid away)."""
    if gid is not None and os.fstat(descriptor).st_gid != gid:
        os.fchown(descriptor, -1, gid)
    os.fchmod(descriptor, mode)


def left_closed(descriptor: int) -> bool:
    """Whether a folder is as it is between being made and getting its mode: of a run that was killed just then."""
    status = os.fstat(descriptor)
    return status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == CLOSED


def unreadable(error: OSError, what: str) -> StoreError:
    """A read that failed, explained."""
    if error.errno == errno.ELOOP:
        return BadKey(f"{what} is a link, which is never followed: move it away")
    if error.errno in (errno.EACCES, errno.EPERM):
        return Denied(f"{what} cannot be read by this user: ask for permission")
    return Unreachable(f"{what} cannot be read ({error.strerror}): check that disk and its connection, then run again")

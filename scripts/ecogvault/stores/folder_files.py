"""Small questions about files and names of a folder store."""

import grp
import os
import stat
from contextlib import suppress

from ecogvault.files import TEMPORARY_SUFFIX
from ecogvault.stores.base import Absent, Present, UploadState
from ecogvault.stores.errors import BadKey, BadSettings
from ecogvault.stores.pieces import MIB, TreeOfPieces

PIECE = 4 * MIB  # bytes read and written at once


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


def tree_of(descriptor: int, size: int) -> str | None:
    """The tree hash of an open file, or None if it has not `size` bytes."""
    if os.fstat(descriptor).st_size != size:
        return None
    tree = TreeOfPieces(size)
    for offset in range(0, size, PIECE):
        tree.update_at(offset, os.pread(descriptor, min(PIECE, size - offset), offset))
    return tree.hexdigest()

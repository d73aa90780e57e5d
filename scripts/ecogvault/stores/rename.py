"""Renaming a file without ever overwriting another, also on file systems without hard links."""

import ctypes
import errno
import os

_RENAME_NOREPLACE = 1  # linux/fs.h
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES)


def rename_without_overwriting(from_folder: int, old: str, to_folder: int, new: str) -> None:
    """Rename `old` to `new`, both relative to open folders of one file system.

    Raises FileExistsError if `new` exists, FileNotFoundError if `old` does not, OSError with ENOTSUP where the file
    system has neither links nor such a rename, and other OSErrors as they come. A hard link
    and an unlink are used where links exist: a process that is killed between them leaves both names, never neither,
    and the next call finishes what it began.
    """
    try:
        os.link(old, new, src_dir_fd=from_folder, dst_dir_fd=to_folder, follow_symlinks=False)
    except FileExistsError:
        first = os.stat(old, dir_fd=from_folder, follow_symlinks=False)
        second = os.stat(new, dir_fd=to_folder, follow_symlinks=False)
        if not os.path.samestat(first, second):
            raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _renameat2(from_folder, old, to_folder, new)
        return
    os.unlink(old, dir_fd=from_folder)


def _renameat2(from_folder: int, old: str, to_folder: int, new: str) -> None:
    """renameat2(2) with RENAME_NOREPLACE."""
    function = ctypes.CDLL(None, use_errno=True).renameat2
    if function(from_folder, os.fsencode(old), to_folder, os.fsencode(new), _RENAME_NOREPLACE) != 0:
        number = ctypes.get_errno()
        if number in (errno.EINVAL, errno.ENOSYS):
            number = errno.ENOTSUP
        raise OSError(number, os.strerror(number), new)

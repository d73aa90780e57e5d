"""Putting raw files into the de-identified tree: as a reflink, a hard link or a copy. Raw files are never changed.

`auto` takes a reflink where the file system has them, else a hard link where nothing could be changed through it, else
a copy. Groups and modes are set on what is ours alone; nothing here asks for more rights than the user has.
"""

import errno
import fcntl
import grp
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecogvault.config import Config, ConfigError
from ecogvault.errors import EcogvaultError
from ecogvault.files import replacing, require_space, sync_folder, temporary_beside
from ecogvault.manifest import Entry, sha256_of
from ecogvault.natus import overlay
from ecogvault.paths import Paths

_CHUNK = 1024 * 1024
# ioctl of Linux that makes one file share another's blocks: _IOW(0x94, 9, int), linux/fs.h.
_FICLONE = 0x40049409
# Of these the file systems are the cause, and not one file.
_NEVER_HERE = (errno.EOPNOTSUPP, errno.EXDEV, errno.ENOTTY, errno.ENOSYS)
_NO_REFLINK = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM, errno.EISDIR)


class CannotPlace(EcogvaultError):
    """The configured way of linking, group or mode cannot be had here."""


class RawMoved(EcogvaultError):
    """A raw file changed while it was read."""


@dataclass(frozen=True)
class Tree:
    """How the de-identified tree is to be: modes, group (a gid, or None for the user's own) and way of linking."""

    folder_mode: int
    file_mode: int
    gid: int | None
    link: str

    @classmethod
    def of(cls, config: Config) -> "Tree":
        """What the configuration asks for. Raises ConfigError for a group that is not there or not the user's."""
        return cls(config.folder_mode, config.file_mode, group_id(config["group"]), str(config["link"]))


def group_id(name: str | None) -> int | None:
    """The gid of a group that the user is in. Raises ConfigError."""
    if name is None:
        return None
    try:
        gid = grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigError(f"group: this machine has no group '{name}'") from None
    if os.geteuid() != 0 and gid not in (os.getegid(), *os.getgroups()):
        raise ConfigError(f"group: you are not in the group '{name}': ask to be added to it, then log in again")
    return gid


def make_folder(folder: Path, tree: Tree, root: Path) -> None:
    """Make `folder` and what is missing between it and `root`, with the tree's mode and group."""
    missing = [folder, *folder.parents]
    for one in reversed(missing[: missing.index(root)]):
        one.mkdir(exist_ok=True)
        status = one.stat()
        if status.st_uid != os.geteuid():
            continue
        if tree.gid is not None and status.st_gid != tree.gid:
            os.chown(one, -1, tree.gid)
        if stat.S_IMODE(status.st_mode) != tree.folder_mode:
            one.chmod(tree.folder_mode)


def open_folders(config: Config, files: Iterable[Path]) -> None:
    """Give the folders below the results that `files` lie in, and the results' own, what the configured tree has.

    Snakemake makes the folders of a job's outputs with the umask of whoever runs it. Folders of the results, of sealed
    tarballs and of restores get the mode and group; the results folder itself, which may be older than this program,
    only what its group lacks to come in. Raises ConfigError, OSError.
    """
    tree = Tree.of(config)
    paths = Paths.of(config)
    for file in files:
        root = next((one for one in (paths.results, paths.sealed_root, paths.restored) if one in file.parents), None)
        if root is not None:
            root.mkdir(parents=True, exist_ok=True)
            make_folder(file.parent, tree, root)
    status = paths.results.stat() if paths.results.is_dir() else None
    if status is not None and status.st_uid == os.geteuid():
        if tree.gid is not None and status.st_gid != tree.gid:
            os.chown(paths.results, -1, tree.gid)
        if tree.folder_mode & ~status.st_mode:
            paths.results.chmod(stat.S_IMODE(status.st_mode) | tree.folder_mode)


@dataclass(frozen=True)
class Change:
    """How a placed file differs from its raw one: `seconds` are added to its time, `patches` rewrite bytes in place.

    `kept` are bytes (offset, bytes) that a copy from an earlier run must have to be kept: whether it was patched.
    """

    seconds: int = 0
    patches: tuple[tuple[int, bytes], ...] = ()
    kept: tuple[tuple[int, bytes], ...] = ()

    @property
    def own(self) -> str | None:
        """Why the file must be one of our own and no link to the raw one."""
        if self.patches:
            return "names in it are rewritten"
        return "dates are shifted, and a link has the raw file's time" if self.seconds else None

    def mtime_ns(self, raw: os.stat_result) -> int:
        """The time of the placed file."""
        return raw.st_mtime_ns + self.seconds * 1_000_000_000


AS_IT_IS = Change()


def place_all(
    sources: Mapping[str, Path],
    root: Path,
    top: str,
    tree: Tree,
    *,
    changes: Mapping[str, Change] | None = None,
    default: Change = AS_IT_IS,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[Entry], dict[str, int]]:
    """Put each raw file of `sources` (coded path below `root` to raw file) in its place, and clear the rest of `top`.

    `changes` says by coded path what is to differ, `default` what does in all others. What is there already with the
    raw file's size and time is kept, so that a broken run goes on where it was. Returns the entries, hashed as they lie
    there, and how many files were reflinked, linked, copied and kept. Raises RawMoved, CannotPlace, NoSpace, OSError.
    """
    counts: dict[str, int] = {}
    entries = []
    make_folder(root / top, tree, root)
    waiting = [(coded, raw, (changes or {}).get(coded, default)) for coded, raw in sorted(sources.items())]
    folders: set[Path] = set()
    refused: set[int] = set()
    for index, (coded, raw, change) in enumerate(waiting):
        target = root / coded
        if target.parent not in folders:
            make_folder(target.parent, tree, root)
            folders.add(target.parent)
        before = raw.stat()
        expected = None
        if _is_placed(target, before, tree, change):
            how = "kept"
            _settle(target, before, tree)
        elif _shared(raw, target, before, tree, coded, change, refused):
            how = "linked" if target.stat().st_ino == before.st_ino else "reflinked"
        else:
            if "copied" not in counts:
                _require_space(root, waiting[index:], tree)
            how = "copied"
            expected = _copy(raw, target, before, tree, change)
        counts[how] = counts.get(how, 0) + 1
        size, sha256 = sha256_of(target)
        if _trace(raw.stat()) != _trace(before) or size != before.st_size:
            raise RawMoved(f"the raw file of {coded} changed while it was read: run again when it is at rest")
        if expected not in (None, sha256):
            target.unlink()
            raise RawMoved(f"the copy of {coded} does not read back as it was written: check the disk, then run again")
        entries.append(Entry(coded, size, sha256))
        if progress is not None:
            progress(size)
    for folder in folders:
        sync_folder(folder)
    _clear(root / top, {root / coded for coded in sources})
    return entries, counts


def _require_space(root: Path, waiting: Sequence[tuple[str, Path, Change]], tree: Tree) -> None:
    """Raise NoSpace unless there is room for all that will have to be copied from now on."""
    device = root.stat().st_dev
    needed = 0
    for coded, raw, change in waiting:
        status = raw.stat()
        links = tree.link == "auto" and status.st_dev == device and _link_obstacle(status, tree, change) is None
        if not links and not _is_placed(root / coded, status, tree, change):
            needed += status.st_size
    require_space(root, needed, what="copying the files of this session")


def _trace(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _is_placed(target: Path, raw: os.stat_result, tree: Tree, change: Change = AS_IT_IS) -> bool:
    """Whether `target` holds the raw file, by size and time, in a way that the configuration still wants.

    What is the raw file itself must be what may be a hard link today; it is never changed to fit.
    """
    try:
        status = target.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(status.st_mode):
        return False
    if (status.st_dev, status.st_ino) == (raw.st_dev, raw.st_ino):
        return tree.link in ("auto", "hardlink") and _link_obstacle(raw, tree, change) is None
    return (
        (status.st_size, status.st_mtime_ns) == (raw.st_size, change.mtime_ns(raw))
        and status.st_nlink == 1
        and tree.link != "hardlink"
        and _has_bytes(target, change.kept)
    )


def _has_bytes(file: Path, places: Iterable[tuple[int, bytes]]) -> bool:
    """Whether a file has all of some bytes where they belong."""
    with open(file, "rb", buffering=0) as stream:
        return all(os.pread(stream.fileno(), len(data), offset) == data for offset, data in places)


def _settle(target: Path, raw: os.stat_result, tree: Tree) -> None:
    """Give a file of ours that was kept the mode and group that are configured now."""
    status = target.stat()
    if (status.st_dev, status.st_ino) == (raw.st_dev, raw.st_ino):
        return
    if tree.gid is not None and status.st_gid != tree.gid:
        os.chown(target, -1, tree.gid)
    if stat.S_IMODE(status.st_mode) != tree.file_mode:
        target.chmod(tree.file_mode)


def _shared(
    raw: Path, target: Path, status: os.stat_result, tree: Tree, coded: str, change: Change, refused: set[int]
) -> bool:
    """Place a file without copying its bytes, if that can be had. Raises CannotPlace when it must be.

    `refused` collects the raw files' devices from which nothing can be reflinked, so that it is tried once.
    """
    if tree.link in ("auto", "reflink"):
        if status.st_dev not in refused and _reflink(raw, target, status, tree, change, refused):
            return True
        if tree.link == "reflink":
            raise CannotPlace(f"link: reflink cannot be had for {coded} on this file system: use auto or copy")
    if tree.link in ("auto", "hardlink"):
        obstacle = _link_obstacle(status, tree, change)
        if obstacle is None and _hardlink(raw, target):
            return True
        if tree.link == "hardlink":
            raise CannotPlace(
                f"link: hardlink cannot be had for {coded}: {obstacle or 'another file system'}; use auto or copy"
            )
    return False


def _reflink(raw: Path, target: Path, status: os.stat_result, tree: Tree, change: Change, refused: set[int]) -> bool:
    try:
        with open(raw, "rb") as source, replacing(target, mode=tree.file_mode, group=tree.gid) as stream:
            fcntl.ioctl(stream.fileno(), _FICLONE, source.fileno())
            for offset, data in change.patches:
                os.pwrite(stream.fileno(), data, offset)
            os.utime(stream.fileno(), ns=(change.mtime_ns(status), change.mtime_ns(status)))
    except OSError as error:
        if error.errno in _NEVER_HERE:
            refused.add(status.st_dev)
        if error.errno in _NO_REFLINK:
            return False
        raise
    return True


def _link_obstacle(status: os.stat_result, tree: Tree, change: Change = AS_IT_IS) -> str | None:
    """Why a hard link will not do: through it the raw file would be changed, or could be by others."""
    if change.own is not None:
        return change.own
    if tree.folder_mode & 0o020:
        return "the tree is group-writable"
    if status.st_mode & 0o002:
        return "the raw file is writable by others"
    if stat.S_IMODE(status.st_mode) != tree.file_mode:
        return f"the raw file has mode {stat.S_IMODE(status.st_mode):o}, not {tree.file_mode:o}"
    if tree.gid is not None and status.st_gid != tree.gid:
        return "the raw file has another group"
    return None


def _hardlink(raw: Path, target: Path) -> bool:
    temporary = temporary_beside(target)
    try:
        try:
            os.link(raw, target)
            return True
        except FileExistsError:
            os.link(raw, temporary)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
            return False
        raise
    os.replace(temporary, target)
    # rename does nothing when both names are links to one file already.
    temporary.unlink(missing_ok=True)
    return True


def _copy(raw: Path, target: Path, status: os.stat_result, tree: Tree, change: Change) -> str:
    """Copy a file, with what is to differ, and give it its time. Returns the SHA-256 (hex) of what was meant."""
    offset = 0
    digest = hashlib.sha256()
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    with open(raw, "rb", buffering=0) as source, replacing(target, mode=tree.file_mode, group=tree.gid) as stream:
        while count := source.readinto(buffer):
            overlay(view[:count], offset, change.patches)
            digest.update(view[:count])
            stream.write(view[:count])
            offset += count
        stream.flush()
        os.utime(stream.fileno(), ns=(change.mtime_ns(status), change.mtime_ns(status)))
    return digest.hexdigest()


def _clear(folder: Path, wanted: set[Path]) -> None:
    """Remove what an earlier content of the unit left in its own folder, and what a broken run left half-written."""
    kept = set(map(os.fspath, wanted))
    for here, folders, files in os.walk(folder, topdown=False):
        for name in files:
            if os.path.join(here, name) not in kept:
                os.unlink(os.path.join(here, name))
        for name in folders:
            place = os.path.join(here, name)
            if os.path.islink(place):
                os.unlink(place)
            elif not os.listdir(place):
                os.rmdir(place)

"""Where the files of an old archive go: first into a hidden folder, and under their names when all was right.

gzip's CRC comes last, so nothing is known to be right before the end. Folders are 0700, files 0600.
"""

import fcntl
import os
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path

from ecogvault.files import TEMPORARY_SUFFIX, mark_alive, sync_folder, temporary_beside
from ecogvault.legacy.errors import LegacyDamaged
from ecogvault.manifest import sha256_of
from ecogvault.tarball.target import OtherContent

_LATEST_TIME = 1 << 40


@dataclass
class Contents:
    """What an archive holds, without any of it being written. Paths are those in the archive."""

    files: list[tuple[str, int]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    _known: set[str] = field(default_factory=set)
    _path: str = ""
    _size: int = 0

    def folder(self, path: str) -> None:
        """A folder of its own has no content."""

    def begin(self, path: str, size: int | None, mtime: float) -> None:
        """A file follows."""
        if path in self._known:
            self.twice.append(path)
        self._known.add(path)
        self._path, self._size = path, 0

    def add(self, view: memoryview) -> None:
        """Its next bytes."""
        self._size += len(view)

    def end(self) -> None:
        """It is complete."""
        self.files.append((self._path, self._size))

    def skip(self, path: str, what: str) -> None:
        """A member that is left out."""
        self.skipped.append((path, what))

    def rename(self, path: str, other: str) -> None:
        """Call a complete file otherwise."""
        self.files = [(other if name == path else name, size) for name, size in self.files]


class Unpacked(Contents):
    """The same, written to a hidden folder in `directory`, which is removed again unless settle() was reached.

    What a killed process left of the archive `name` there is removed first.
    """

    def __init__(self, directory: Path, name: str) -> None:
        super().__init__()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(directory, name)
        self._directory = directory
        self._root = temporary_beside(directory / name)
        self._root.mkdir(mode=0o700)
        # Held until the end, so that the next one sees that this one lives.
        self._alive = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        mark_alive(self._alive)
        self._descriptor = -1
        self._mtime = 0.0

    def folder(self, path: str) -> None:
        """Make a folder and those above it."""
        try:
            os.makedirs(self._root / path, mode=0o700, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise LegacyDamaged("a folder in the tar has the path of a file in it") from None

    def begin(self, path: str, size: int | None, mtime: float) -> None:
        """Start a file. Where tar holds a path twice, the later one counts, as everywhere with tar."""
        super().begin(path, size, mtime)
        place = self._root / path
        self.folder(os.path.dirname(path))
        try:
            place.unlink(missing_ok=True)
            self._descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except IsADirectoryError:
            raise LegacyDamaged("a file in the tar has the path of a folder in it") from None
        self._mtime = mtime

    def add(self, view: memoryview) -> None:
        """Write its next bytes."""
        super().add(view)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def end(self) -> None:
        """Flush it to disk, with the time that the archive gives it."""
        super().end()
        if 0 < self._mtime < _LATEST_TIME:
            os.utime(self._descriptor, (self._mtime, self._mtime))
        os.fsync(self._descriptor)
        self._close()

    def rename(self, path: str, other: str) -> None:
        """Call a complete file otherwise."""
        super().rename(path, other)
        os.rename(self._root / path, self._root / other)

    def settle(self, *, keep_paths: bool) -> list[Path]:
        """Give everything its name in the directory; returns what is new or was there already, at the highest level.

        Without `keep_paths` the folders that lead to all files are left out but for the last. A file that is there with
        equal content is left as it is, and folders that are there are filled. Raises OtherContent, before anything has
        got its name, and OSError as it comes.
        """
        root = self._root if keep_paths else _above_last_common(self._root)
        names = sorted(os.listdir(root))
        moves: list[tuple[Path, Path]] = []
        _compare(root, self._directory, moves)
        for folder, _, _ in os.walk(root, topdown=False):
            sync_folder(Path(folder))
        for source, place in moves:
            if os.path.lexists(place):
                raise OtherContent("a file came into being while this archive was opened: nothing is ever overwritten")
            os.rename(source, place)
        for folder_above in {place.parent for _, place in moves}:
            sync_folder(folder_above)
        return [self._directory / name for name in names]

    def discard(self) -> None:
        """Remove the hidden folder with what is left in it."""
        self._close()
        shutil.rmtree(self._root, ignore_errors=True)
        if self._alive >= 0:
            os.close(self._alive)
            self._alive = -1

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _above_last_common(root: Path) -> Path:
    """The folder above the deepest folder that all files share; `root` itself if they share none."""
    above = root
    while True:
        names = os.listdir(root)
        if len(names) != 1 or not (root / names[0]).is_dir():
            return above
        above, root = root, root / names[0]


def _compare(source: Path, place: Path, moves: list[tuple[Path, Path]]) -> None:
    """Collect what is to be renamed to fill `place`. Raises OtherContent."""
    for name in sorted(os.listdir(source)):
        new, old = source / name, place / name
        try:
            found = old.lstat()
        except FileNotFoundError:
            moves.append((new, old))
            continue
        if new.is_dir() and stat.S_ISDIR(found.st_mode):
            _compare(new, old, moves)
            continue
        same = stat.S_ISREG(found.st_mode) and new.is_file() and found.st_size == new.stat().st_size
        if not same or sha256_of(old) != sha256_of(new):
            raise OtherContent(
                "a file of this archive is there already with other content, which is never overwritten: open into an"
                " empty folder (-o)"
            )


def _sweep(directory: Path, name: str) -> None:
    """Remove the hidden folders of this archive whose process has ended: they hold plaintext."""
    for entry in os.listdir(directory):
        if not (entry.startswith(f".{name}.") and entry.endswith(TEMPORARY_SUFFIX)):
            continue
        try:
            descriptor = os.open(directory / entry, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue  # no folder, or not this user's
        try:
            if _is_dead(descriptor):
                shutil.rmtree(directory / entry, ignore_errors=True)
        finally:
            os.close(descriptor)


def _is_dead(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True

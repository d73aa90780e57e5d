"""Where opened files go: below one folder, never outside it, never over something else, never half."""

import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from ecogvault.errors import EcogvaultError
from ecogvault.files import sync_folder, temporary_beside
from ecogvault.manifest import is_safe, sha256_of

_TOGETHER = 128
_FLUSHING = 8


class UnsafePath(EcogvaultError):
    """A member or a folder that would lead out of the target folder, or is no plain file."""


class OtherContent(EcogvaultError):
    """A file with other content already has the name that an opened file would get."""


class Target:
    """A folder that files are opened into: folders 0700, files 0600, each under its name only when it is whole.

    All paths are below `folder/inside`; `folder` itself may be a link, nothing below it may. Files wait for their names
    until there are 128 of them or, with `together`, until they have so many bytes: that much has to be written again
    after a `kill -9`.
    """

    def __init__(self, folder: Path, inside: str = "", *, together: int | None = None) -> None:
        self.folder = folder
        self._together = together
        self._bytes = 0
        self._inside = f"{inside}/" if inside else ""
        self._made: set[Path] = set()
        self._whole: list[OpenedFile] = []
        self._lock = Lock()  # restores keep files from several threads

    def has(self, path: str, size: int, sha256: str) -> bool:
        """Whether the file is there already, with this content. Raises OtherContent and UnsafePath."""
        place = self._place(path, make=False)
        try:
            found = place.lstat()
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(found.st_mode) or found.st_size != size or sha256_of(place)[1] != sha256:
            raise OtherContent(
                f"{path} is there already with other content, which is never overwritten: open into an empty folder"
            )
        return True

    def create(self, path: str) -> "OpenedFile":
        """A new file; it gets its name by keep(). Raises UnsafePath, and OSError as it comes."""
        return OpenedFile(path, self._place(path, make=True))

    def keep(self, file: "OpenedFile") -> None:
        """Take a whole, checked file: it is flushed to disk and named here or by a later call, at the latest finish().

        Raises OtherContent when a name was taken meanwhile, and OSError as it comes.
        """
        with self._lock:
            self._whole.append(file)
            self._bytes += file.size
            if len(self._whole) >= _TOGETHER or (self._together is not None and self._bytes >= self._together):
                self._name_all()

    def finish(self) -> None:
        """Name what was kept, and flush all names to disk."""
        with self._lock:
            self._name_all()
        for folder in self._made:
            sync_folder(folder)

    def discard(self) -> None:
        """Remove what was kept and has no name yet."""
        while self._whole:
            self._whole.pop().discard()

    def _name_all(self) -> None:
        # A flush mostly waits, and file systems serve many at once as fast as one.
        with ThreadPoolExecutor(min(_FLUSHING, len(self._whole) or 1)) as pool:
            for _ in pool.map(OpenedFile.flush, self._whole):
                pass
        for file in self._whole:
            file.name()
        self._whole.clear()
        self._bytes = 0

    def _place(self, relative: str, *, make: bool) -> Path:
        path = self._inside + relative
        if not is_safe(path):
            raise UnsafePath(
                "a member's path leads out of its folder, or is not printable ASCII: nothing of it is opened"
            )
        place = self.folder
        if make and self.folder not in self._made:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._made.add(self.folder)
        for part in path.split("/")[:-1]:
            place /= part
            if place in self._made:
                continue
            if make:
                place.mkdir(mode=0o700, exist_ok=True)
                self._made.add(place)
            # A link to a folder elsewhere would lead out of the target as surely as `..` does.
            if place.is_symlink() or (place.exists() and not place.is_dir()):
                raise UnsafePath(f"{place} is not a folder: open into an empty folder")
        return place / path.rsplit("/", 1)[-1]


class OpenedFile:
    """A file that is being written under a temporary name."""

    def __init__(self, path: str, place: Path) -> None:
        self.path = path
        self.size = 0
        self._place = place
        self._temporary = temporary_beside(place)
        self._descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, view: memoryview) -> None:
        """Add bytes; OSError as it comes."""
        self.size += len(view)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def flush(self) -> None:
        """Flush the content to disk and close the file; OSError as it comes."""
        os.fsync(self._descriptor)
        self._close()

    def name(self) -> None:
        """Give the flushed file its name. Raises OtherContent when the name was taken meanwhile."""
        if os.path.lexists(self._place):
            self.discard()
            raise OtherContent(f"{self.path} came into being while it was opened: nothing is ever overwritten")
        os.rename(self._temporary, self._place)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def discard(self) -> None:
        """Remove the unnamed file."""
        self._close()
        self._temporary.unlink(missing_ok=True)


class CheckedWriter:
    """Files one after the other, each hashed on the way and named only when its SHA-256 is right."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._file: OpenedFile | None = None
        self._digest = hashlib.sha256()

    def begin(self, path: str, *, write: bool = True) -> None:
        """Start a file; without `write` it is only hashed."""
        self.discard()
        self._digest = hashlib.sha256()
        self._file = self._target.create(path) if write else None

    def add(self, view: memoryview) -> None:
        """The file's next bytes."""
        self._digest.update(view)
        if self._file is not None:
            self._file.write(view)

    def end(self, sha256: str) -> bool:
        """Whether the content is right; then the file has its name, else it is gone."""
        right = self._digest.hexdigest() == sha256
        if self._file is not None and right:
            self._target.keep(self._file)
            self._file = None
        self.discard()
        return right

    def discard(self) -> None:
        """Remove an unfinished file, if there is one."""
        if self._file is not None:
            self._file.discard()
            self._file = None

"""What lies in a raw folder: recordings, session folders and text outputs, at any depth. Only texts are opened."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ecogvault import synctext
from ecogvault.naming import RECORDING_KINDS, SESSION_EXTENSIONS, VENDOR_FOLDERS

# What operating systems and editors leave in folders; no recording is called like that.
_LITTER = frozenset({"thumbs.db", "desktop.ini", ".ds_store"})


@dataclass(frozen=True, order=True)
class RawFile:
    """A file as the file system describes it. `path` is relative to its item (`.` for a single file)."""

    path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Item:
    """One raw thing that belongs to one session.

    `role` is `edf`, `bdf`, `vid` (a session folder), `snc` or `vtc` (a text output), or `empty` (a folder without any
    file). `path` is relative to the raw folder of `part`, with `/`; `.` is the raw folder itself.
    """

    part: int
    role: str
    path: str
    files: tuple[RawFile, ...] = field(repr=False)

    @property
    def stem(self) -> str:
        """What tells which items belong together: the name without extension, case folded."""
        return stem(self.role, self.path)

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)

    @property
    def newest_ns(self) -> int:
        """Time of the last change to any of its files, ns since 1970."""
        return max((file.mtime_ns for file in self.files), default=0)


def stem(role: str, path: str) -> str:
    """The name of an item that its session's other items share, case folded. Text outputs may end in `_snc`, `_vtc`."""
    name = path.rpartition("/")[2].casefold()
    if role != "vid":
        name = name.rpartition(".")[0] or name
    return re.sub(r"[ _.-](snc|vtc)$", "", name) if role in ("snc", "vtc") else name


def extension(name: str) -> str:
    """The case-folded extension of a file name, without the dot."""
    return name.rpartition(".")[2].casefold() if "." in name else ""


def find(root: Path, part: int) -> list[Item]:
    """All items below `root`, in the order of their paths. Links are not followed. Raises OSError as it comes."""
    items: list[Item] = []
    _look(root, "", part, items)
    return sorted(items, key=lambda item: (item.path, item.role))


def item_files(root: Path, role: str, path: str) -> tuple[RawFile, ...]:
    """The files of one known item, as they are now. Raises FileNotFoundError when the item is gone."""
    place = root / path
    if role != "vid":
        status = place.stat()
        return (RawFile(".", status.st_size, status.st_mtime_ns),)
    if not place.is_dir():
        raise FileNotFoundError(place)
    return tuple(sorted(_tree(place, "")))


def _entries(folder: Path) -> tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]]:
    """Sub-folders and files of a folder, sorted by name; links and litter left out."""
    with os.scandir(folder) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    folders = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    files = [entry for entry in entries if entry.is_file(follow_symlinks=False) and not _is_litter(entry.name)]
    return folders, files


def _is_litter(name: str) -> bool:
    return name.casefold() in _LITTER or name.startswith("._")


def _raw_file(entry: os.DirEntry[str], path: str) -> RawFile:
    status = entry.stat(follow_symlinks=False)
    return RawFile(path, status.st_size, status.st_mtime_ns)


def _look(folder: Path, path: str, part: int, items: list[Item]) -> None:
    folders, files = _entries(folder)
    if not folders and not files:
        if path:
            items.append(Item(part, "empty", path, ()))
        return
    for entry in files:
        role = extension(entry.name)
        if role in RECORDING_KINDS:
            items.append(Item(part, role, _join(path, entry.name), (_raw_file(entry, "."),)))
    if _is_session(folder, path, folders, files):
        tree = tuple(sorted(_tree(folder, "")))
        items.append(Item(part, "vid", path or ".", tree))
        items.extend(_nested_recordings(folder, path, part))
        return
    for entry in files:
        if extension(entry.name) == "txt":
            kind = synctext.sniff(Path(entry.path))
            if kind is not None:
                items.append(Item(part, kind, _join(path, entry.name), (_raw_file(entry, "."),)))
    for entry in folders:
        _look(Path(entry.path), _join(path, entry.name), part, items)


def _is_session(folder: Path, path: str, folders: list[os.DirEntry[str]], files: list[os.DirEntry[str]]) -> bool:
    """Whether a folder is a session folder: it holds session files itself.

    The raw folder itself is one only if no folder below it is: loose files beside session folders do not make the
    whole export one session.
    """
    if not any(extension(entry.name) in SESSION_EXTENSIONS for entry in files):
        return False
    if path:
        return True
    return not any(
        extension(name) in SESSION_EXTENSIONS
        for entry in folders
        if entry.name.casefold() not in VENDOR_FOLDERS
        for _, _, names in os.walk(entry.path)
        for name in names
    )


def _tree(folder: Path, path: str) -> Iterator[RawFile]:
    """Every file below a session folder but recordings: those are items of their own, scrubbed before they go on."""
    folders, files = _entries(folder)
    for entry in files:
        if extension(entry.name) not in RECORDING_KINDS:
            yield _raw_file(entry, _join(path, entry.name))
    for entry in folders:
        yield from _tree(Path(entry.path), _join(path, entry.name))


def _nested_recordings(folder: Path, path: str, part: int) -> Iterator[Item]:
    """Recordings in the sub-folders of a session folder."""
    folders, _ = _entries(folder)
    for entry in folders:
        inside = _join(path, entry.name)
        for nested in _entries(Path(entry.path))[1]:
            if extension(nested.name) in RECORDING_KINDS:
                role = extension(nested.name)
                yield Item(part, role, _join(inside, nested.name), (_raw_file(nested, "."),))
        yield from _nested_recordings(Path(entry.path), inside, part)


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name

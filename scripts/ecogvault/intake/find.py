"""What lies in a raw folder: recordings, session folders and text outputs, at any depth. Only texts are opened.

Everything there is part of an item, so that nothing is passed over in silence: what is none of the above is an item
too, which gets no number.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from ecogvault import natus, synctext
from ecogvault.naming import RECORDING_KINDS, SESSION_EXTENSIONS, VENDOR_FOLDERS

# What operating systems and editors leave in folders; no recording is called like that.
_LITTER = frozenset({"thumbs.db", "desktop.ini", ".ds_store"})
# Files that the recorder itself writes into a session folder, beside the videos.
_RECORDER = SESSION_EXTENSIONS - {"avi"}


@dataclass(frozen=True, order=True)
class RawFile:
    """A file as the file system describes it. `path` is relative to its item (`.` for a single file)."""

    path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Item:
    """One raw thing, which belongs to one session or to none.

    `role` is `edf`, `bdf`, `vid` (a session folder), `snc` or `vtc` (a text output, or the table in a session folder
    that one can be made of), or what gets no number: `empty` (a folder without any file), `unread` (a table of which no
    text can be made, as `note` says), `other` (a file that is none of these) or `link` (to a file or folder elsewhere).
    `path` is relative to the raw folder of `part`, with `/`; `.` is the raw folder itself.
    """

    part: int
    role: str
    path: str
    files: tuple[RawFile, ...] = field(repr=False)
    note: str = ""

    @property
    def home(self) -> str | None:
        """The path of the session folder that a table lies in, None for everything else."""
        return home(self.role, self.path)

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
    """The name of an item that its session's other items share, case folded. Text outputs may end in `_snc`, `_vtc`.

    A table has its session folder's.
    """
    folder = home(role, path)
    if folder is not None:
        role, path = "vid", folder
    name = path.rpartition("/")[2].casefold()
    if role != "vid":
        name = name.rpartition(".")[0] or name
    return re.sub(r"[ _.-](snc|vtc)$", "", name) if role in ("snc", "vtc") else name


def home(role: str, path: str) -> str | None:
    """The session folder of a table (`.` if it is the raw folder itself), by role and path; None for other items."""
    if role == "unread" or synctext.is_table(path, role):
        return path.rpartition("/")[0] or "."
    return None


def extension(name: str) -> str:
    """The case-folded extension of a file name, without the dot."""
    return name.rpartition(".")[2].casefold() if "." in name else ""


def find(root: Path, part: int) -> list[Item]:
    """All items below `root`, in the order of their paths. Links are not followed. Raises OSError as it comes."""
    items: list[Item] = []
    _look(root, "", part, items)
    return sorted(items, key=lambda item: (item.path, item.role))


def item_files(root: Path, role: str, path: str) -> tuple[RawFile, ...]:
    """The files of one known item, as they are now.

    Raises FileNotFoundError when the item is gone; a session folder of which no file is left is gone too.
    """
    place = root / path
    if role != "vid":
        status = place.stat()
        return (RawFile(".", status.st_size, status.st_mtime_ns),)
    if not place.is_dir():
        raise FileNotFoundError(place)
    files = tuple(sorted(_tree(place, "")))
    if not files:
        raise FileNotFoundError(place)
    return files


def _listing(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as listing:
        return sorted(listing, key=lambda entry: entry.name)


def _entries(folder: Path) -> tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]]:
    """Sub-folders and files of a folder, sorted by name; links and litter left out."""
    entries = _listing(folder)
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
    if not folders and not files and not _links(folder, path, part):
        if path:
            items.append(Item(part, "empty", path, ()))
        return
    recordings = [entry for entry in files if extension(entry.name) in RECORDING_KINDS]
    items.extend(_single(entry, extension(entry.name), path, part) for entry in recordings)
    if _is_session(path, folders, files):
        tree = tuple(sorted(_tree(folder, "")))
        items.append(Item(part, "vid", path or ".", tree))
        items.extend(_inside(folder, path, part))
        items.extend(_tables(files, path, part))
        return
    items.extend(_links(folder, path, part))
    for entry in files:
        if extension(entry.name) not in RECORDING_KINDS:
            kind = synctext.sniff(Path(entry.path)) if extension(entry.name) == "txt" else None
            items.append(_single(entry, kind or "other", path, part))
    for entry in folders:
        _look(Path(entry.path), _join(path, entry.name), part, items)


def _single(entry: os.DirEntry[str], role: str, path: str, part: int) -> Item:
    """The item that is one file of the folder `path`."""
    return Item(part, role, _join(path, entry.name), (_raw_file(entry, "."),))


def _tables(files: list[os.DirEntry[str]], path: str, part: int) -> Iterator[Item]:
    """The clock and the list of videos of a session folder. They are part of it, and a text may be made of each."""
    for kind in ("snc", "vtc"):
        found = [entry for entry in files if extension(entry.name) == kind]
        for entry in found:
            note = f"two .{kind} files" if len(found) > 1 else _unreadable(Path(entry.path), kind)
            yield replace(_single(entry, "unread" if note else kind, path, part), note=note)


def _unreadable(path: Path, kind: str) -> str:
    """Why no text can be made of a table; nothing if one can, as far as its beginning tells."""
    with path.open("rb") as stream:
        beginning = stream.read(natus.HEADER_BYTES)
    try:
        natus.identify(beginning, path.stat().st_size, kind)
    except natus.UnknownSchema as error:
        return f"unknown: {error.what}"
    except natus.BadNatusFile:
        return f"a damaged .{kind}"
    return ""


def _links(folder: Path, path: str, part: int) -> list[Item]:
    """What is neither file nor folder itself: what it leads to may change, or be somebody else's."""
    return [
        Item(part, "link", _join(path, entry.name), ())
        for entry in _listing(folder)
        if not (entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False))
    ]


def _is_session(path: str, folders: list[os.DirEntry[str]], files: list[os.DirEntry[str]]) -> bool:
    """Whether a folder is a session folder: it holds session files itself.

    Loose files beside session folders do not make a session of all of them: the raw folder itself, and a folder that
    has nothing but videos, is one only if no folder below it has session files, the vendor's own sub-folders aside.
    """
    kinds = {extension(entry.name) for entry in files}
    if not kinds & SESSION_EXTENSIONS:
        return False
    if path and kinds & _RECORDER:
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


def _inside(folder: Path, path: str, part: int) -> Iterator[Item]:
    """What lies in a session folder and is no part of it: links, and the recordings of its sub-folders."""
    yield from _links(folder, path, part)
    for entry in _entries(folder)[0]:
        inside = _join(path, entry.name)
        for nested in _entries(Path(entry.path))[1]:
            if extension(nested.name) in RECORDING_KINDS:
                yield _single(nested, extension(nested.name), inside, part)
        yield from _inside(Path(entry.path), inside, part)


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name

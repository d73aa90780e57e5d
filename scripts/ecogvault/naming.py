"""Coded names: what a unit and its files are called. Pure: a name goes in here, and only codes come out."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from ecogvault.errors import EcogvaultError

CODE_PATTERN = "[a-f][0-9a-f]{7}"
NUMBER_PATTERN = "[1-9][0-9]*"
RECORDING_KINDS = ("edf", "bdf")
KINDS = (*RECORDING_KINDS, "vid", "sync")

# Extensions of the files of a Natus/XLTEK session folder (DESIGN, section 1).
SESSION_EXTENSIONS = frozenset("avi erd etc eeg ent snc stc vtc vt2 epo".split())
# Extensions that say what a file is and nobody's name; any other becomes `.dat`.
KNOWN_EXTENSIONS = SESSION_EXTENSIONS | frozenset(
    "doc docx pdf txt csv tsv xls xlsx xml ini log bak old tmp dat bin jpg jpeg png bmp tif tiff rtf htm html zip gz "
    "mp4 mpg mpeg mov wmv mkv wav mp3 edb mdb db cfg inf lnk rar json md5 sha256".split()
)
# Sub-folders that the vendor's programs name themselves.
VENDOR_FOLDERS = frozenset({"decimated"})

_UNIT = re.compile(f"({CODE_PATTERN})_({NUMBER_PATTERN})_({'|'.join(KINDS)})")
_ALLOWED_TAIL = re.compile(r"(?:_[0-9]{3,4})?\.([A-Za-z0-9]{1,8})\Z")


class NotACode(EcogvaultError):
    """A text that should be a subject code or a unit is none."""


class NameCollision(EcogvaultError):
    """Two raw names would become one coded name. `first` and `second` are raw: show their private ids, not them."""

    def __init__(self, first: str, second: str, coded: str) -> None:
        super().__init__(f"two raw names would both become {coded}: rename or exclude one of them")
        self.first = first
        self.second = second
        self.coded = coded


@dataclass(frozen=True, order=True)
class Unit:
    """What is archived as one: one kind of one session of one subject. `str(unit)` is `df5c5206_3_vid`."""

    code: str
    number: int
    kind: str

    def __str__(self) -> str:
        return f"{self.code}_{self.number}_{self.kind}"

    @property
    def session(self) -> str:
        """The session's coded name, `df5c5206_3`."""
        return f"{self.code}_{self.number}"

    @classmethod
    def parse(cls, text: str) -> "Unit":
        """The unit that `text` names. Raises NotACode."""
        match = _UNIT.fullmatch(text)
        if not match:
            raise NotACode(f"not a unit: a unit is CODE_NUMBER_KIND, as df5c5206_3_vid (kinds: {', '.join(KINDS)})")
        return cls(match[1], int(match[2]), match[3])


def require_code(text: str) -> str:
    """`text` if it has the form of a subject code. Raises NotACode, without repeating it: it might be a name."""
    if not re.fullmatch(CODE_PATTERN, text):
        raise NotACode("not a subject code: a code is eight of 0-9 and a-f, beginning with a letter, as df5c5206")
    return text


def coded_tree(raw: Collection[str], session: str, previous: Mapping[str, str] | None = None) -> dict[str, str]:
    """Coded path for each raw path of a session folder; both relative to the folder, with `/` between parts.

    The allowed tail of a raw file name is kept (`_NNN` or `_NNNN`, and a session folder's extension), and `session`
    stands for all before it. Any other name becomes `{session}_x001.ext`, counted in the order of the raw paths;
    `previous` (raw to coded, of an earlier time) keeps the numbers given before. A sub-folder becomes
    `{session}_d001`, unless the vendor's programs name it. Raises NameCollision when two raw paths would become one
    coded path, letters' case aside (not every file system tells them apart).
    """
    previous = previous or {}
    folders = _coded_folders(raw, session, previous)
    numbers = _Numbers(previous)
    coded: dict[str, str] = {}
    for path in sorted(raw):
        folder, _, name = path.rpartition("/")
        parent = folders[folder]
        tail = _allowed_tail(name)
        if tail is not None:
            coded[path] = f"{parent}{session}{tail}"
        elif path in previous:
            coded[path] = previous[path]
        else:
            coded[path] = numbers.next(f"{parent}{session}_x", _safe_extension(name))
    _refuse_collisions(coded)
    return coded


class _Numbers:
    """Hands out `{stem}{NNN}{extension}` names that were not used before."""

    def __init__(self, previous: Mapping[str, str]) -> None:
        self._last: dict[str, int] = {}
        for coded in previous.values():
            for match in re.finditer(r"_[xd]([0-9]{3,})(?=[./]|\Z)", coded):
                stem = coded[: match.start(1)]
                self._last[stem] = max(self._last.get(stem, 0), int(match[1]))

    def next(self, stem: str, extension: str) -> str:
        self._last[stem] = self._last.get(stem, 0) + 1
        return f"{stem}{self._last[stem]:03d}{extension}"


def _coded_folders(raw: Iterable[str], session: str, previous: Mapping[str, str]) -> dict[str, str]:
    """Coded prefix (empty, or ending in `/`) of every folder that a raw path lies in."""
    before = {
        "/".join(path.split("/")[:depth]): "/".join(coded.split("/")[:depth])
        for path, coded in previous.items()
        for depth in range(1, path.count("/") + 1)
    }
    numbers = _Numbers(previous)
    folders = {"": ""}
    wanted = {"/".join(path.split("/")[:depth]) for path in raw for depth in range(1, path.count("/") + 1)}
    for folder in sorted(wanted, key=lambda path: (path.count("/"), path)):
        parent, _, name = folder.rpartition("/")
        if name.casefold() in VENDOR_FOLDERS:
            folders[folder] = f"{folders[parent]}{name.casefold()}/"
        elif folder in before:
            folders[folder] = f"{before[folder]}/"
        else:
            folders[folder] = numbers.next(f"{folders[parent]}{session}_d", "/")
    return folders


def _allowed_tail(name: str) -> str | None:
    match = _ALLOWED_TAIL.search(name)
    if not match or match[1].casefold() not in SESSION_EXTENSIONS:
        return None
    return match[0]


def _safe_extension(name: str) -> str:
    extension = name.rpartition(".")[2].casefold() if "." in name else ""
    return f".{extension}" if extension in KNOWN_EXTENSIONS else ".dat"


def _refuse_collisions(coded: Mapping[str, str]) -> None:
    owners: dict[str, str] = {}
    for raw, name in coded.items():
        other = owners.setdefault(name.casefold(), raw)
        if other != raw:
            raise NameCollision(other, raw, name)

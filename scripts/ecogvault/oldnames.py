"""What an old object's name says of it. Pure.

The layouts of the old scripts: `df5c5206_vid.tar.gz.enc` (all session folders of a person),
`ec761078_pt2_edf.tar.gz.enc` (the second part of an export), extensionless `df5c5206_vid` (Azure),
`df5c5206_3_0007.avi.enc` (a file by itself), `df5c5206_1.edf` and whole folders `df5c5206_3/` (as they lie on the NAS),
`df5c5206_3.txt` below `snc` or `vtc`.
"""

import re
from dataclasses import dataclass

from ecogvault.naming import CODE_PATTERN, KNOWN_EXTENSIONS, NUMBER_PATTERN, RECORDING_KINDS

OPENSSL = "openssl-des"
"""What `openssl enc` made: single DES by the lab's habit; `legacy-open` finds out which cipher it really was."""

PLAIN = "plain"

_KIND = r"(?P<kind>vid|video|edf|bdf|snc|vtc|sync)"
_ARCHIVE = re.compile(
    rf"(?P<code>{CODE_PATTERN})(?:_pt(?P<part>{NUMBER_PATTERN}))?_{_KIND}(?:_pt(?P<later>{NUMBER_PATTERN}))?"
    r"(?P<packed>\.tar\.gz|\.tgz|\.tar)?(?P<enc>\.enc)?",
    re.IGNORECASE,
)
_FILE = re.compile(
    rf"(?P<code>{CODE_PATTERN})_(?P<n>{NUMBER_PATTERN})(?:_x?[0-9]{{3,4}})?\.(?P<extension>[a-z0-9]+)(?P<enc>\.enc)?",
    re.IGNORECASE,
)
# Folders that say nothing of anybody: a word of this list, or a code with a session or a kind behind it.
_FOLDERS = frozenset(
    "archive archives backup backups bdf data decimated ecog edf media snc subjects sync vid video videos vtc".split()
)
_CODED_FOLDER = re.compile(rf"{CODE_PATTERN}(?:_{NUMBER_PATTERN})?(?:_pt[0-9]+)?(?:_[a-z]{{3,5}})?", re.IGNORECASE)


@dataclass(frozen=True)
class Old:
    """What one old object is.

    `kind` is vid, edf, bdf or sync; `session` is None for an archive of several sessions, `part` is the `_ptN` of one.
    `format` is `openssl-des` or `plain`; `name` is the object's last name, as it is written where it is restored.
    """

    code: str
    kind: str
    session: int | None
    part: int | None
    format: str
    name: str

    @property
    def made(self) -> str:
        """How it was made, in words for people: which cipher it was is not to be seen from outside."""
        return "openssl (its cipher is found when it is opened)" if self.format == OPENSSL else self.format

    @property
    def archive(self) -> bool:
        """Whether it holds several sessions."""
        return self.session is None


def classify(key: str) -> Old | None:
    """What the object with this key (or the archive with this description) is; None if that is not to be told.

    A key that is understood is made of codes and known words alone, so that it may stand in results and messages.
    """
    folders, _, name = key.rstrip("/").rpartition("/")
    above = folders.casefold().split("/") if folders else []
    if not all(part in _FOLDERS or _CODED_FOLDER.fullmatch(part) for part in above):
        return None
    match = _ARCHIVE.fullmatch(name)
    if match:
        part = match["part"] or match["later"]
        # An archive without any extension was made by the same pipe: tar, gzip, openssl.
        plain = match["packed"] and not match["enc"]
        return Old(
            match["code"].lower(),
            _kind(match["kind"]),
            None,
            int(part) if part else None,
            PLAIN if plain else OPENSSL,
            name,
        )
    match = _FILE.fullmatch(name)
    extension = match["extension"].casefold() if match else ""
    if match is None or extension not in KNOWN_EXTENSIONS | set(RECORDING_KINDS):
        return None
    if extension in RECORDING_KINDS:
        kind = extension
    elif extension == "txt" and {"snc", "vtc"} & set(above):
        kind = "sync"
    else:
        kind = "vid"
    return Old(
        match["code"].lower(),
        kind,
        int(match["n"]),
        None,
        OPENSSL if match["enc"] else PLAIN,
        name,
    )


def codes_in(key: str) -> set[str]:
    """Every text in a key that looks like a code: a new one must be none of them."""
    return {found.lower() for found in re.findall(rf"(?<![0-9a-z]){CODE_PATTERN}(?![0-9a-z])", key, re.IGNORECASE)}


def _kind(text: str) -> str:
    return {"video": "vid", "snc": "sync", "vtc": "sync"}.get(text.casefold(), text.casefold())

"""The slots of vendor files that hold names, and what is written into them with `natus: patch`.

A slot is rewritten in place and keeps its length: what the vendor's programs count on does not move. Rewritten are the
four texts of the generic header, the segments' names in .stc, and the videos' names in .vtc. Whatever else holds a name
(the notes in .ent, the study's description in .eeg) has no slots of known place, and stays.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ecogvault.naming import SESSION_EXTENSIONS
from ecogvault.natus.header import HEADER_BYTES, SUFFIXES, parse_generic_header
from ecogvault.natus.tables import STC_RECORD, STC_START, VTC_RECORD, VTC_START, parse_stc, parse_vtc, text_of

# Last, first and middle name, record number, in the generic header.
HEADER_SLOTS = ((32, 80), (112, 80), (192, 80), (272, 80))
_SEGMENT_BYTES = 256
_VIDEO_BYTES = 261
_EXTENSION = "|".join(sorted(SESSION_EXTENSIONS))
_TAIL = re.compile(rf"(?:_[0-9]{{3,4}})?(?:\.(?:{_EXTENSION}))?\Z", re.IGNORECASE)
_COPY = re.compile(r"(?:\.(?:old|bak))+\Z")
_UNKNOWN = "X"


@dataclass(frozen=True)
class Patch:
    """Bytes of a file that are rewritten: where they begin, what they were, and what they become, of equal length."""

    offset: int
    before: bytes = field(repr=False)
    after: bytes


def slotted(name: str) -> str:
    """The suffix of a file name that has slots, or should have them; nothing for another.

    The vendor's programs keep copies of what they rewrite (`.ent.old`, see wonambi): they are as their originals.
    """
    suffix = "." + _COPY.sub("", name.casefold()).rpartition(".")[2]
    return suffix if suffix in (*SUFFIXES, ".vtc") else ""


def patches(path: Path, session: str, names: Mapping[str, str], where: str = "a session file") -> list[Patch]:
    """What is rewritten in the file at `path`: nothing if it has no slots that are known.

    `session` is the session's coded name (`df5c5206_3`), `names` the coded name of each raw file name of the folder.
    The last name becomes the code, the others `X`; empty slots stay as they are. Raises BadNatusFile for a file whose
    layout should be known and is not: it is left as it is and named by the caller. OSError as it comes.
    """
    suffix = slotted(path.name)
    if not suffix:
        return []
    if suffix == ".vtc":
        data = path.read_bytes()
        parse_vtc(data, where)
        return _named(data, VTC_START, VTC_RECORD.size, _VIDEO_BYTES, session, names)
    with path.open("rb") as stream:
        data = stream.read(HEADER_BYTES)
        parse_generic_header(data, where)
        found = _header(data, session.rpartition("_")[0])
        if suffix == ".stc":
            data += stream.read()
            parse_stc(data, where)
            found += _named(data, STC_START, STC_RECORD.size, _SEGMENT_BYTES, session, names)
    return found


def overlay(buffer: memoryview, offset: int, places: Sequence[tuple[int, bytes]]) -> None:
    """Write those of `places` (offset, bytes) that lie in it into `buffer`, a file's bytes from `offset` on."""
    for start, data in places:
        first, last = max(start, offset), min(start + len(data), offset + len(buffer))
        if first < last:
            buffer[first - offset : last - offset] = data[first - start : last - start]


def _header(data: bytes, code: str) -> list[Patch]:
    texts = (code, _UNKNOWN, _UNKNOWN, _UNKNOWN)
    found = []
    for (offset, size), text in zip(HEADER_SLOTS, texts, strict=True):
        before = data[offset : offset + size]
        # Behind the first NUL byte may be the rest of a longer name.
        if any(before):
            found.append(Patch(offset, before, text.encode().ljust(size, b"\0")))
    return found


def _named(data: bytes, start: int, record: int, size: int, session: str, names: Mapping[str, str]) -> list[Patch]:
    found = []
    for offset in range(start, len(data), record):
        before = data[offset : offset + size]
        if any(before):
            coded = _coded(text_of(before), session, names)
            found.append(Patch(offset, before, coded.encode().ljust(size, b"\0")))
    return found


def _coded(name: str, session: str, names: Mapping[str, str]) -> str:
    """What a file of the folder is called by its coded name; one that is not there keeps its number alone."""
    own = re.split(r"[\\/]", name)[-1]
    if own in names:
        return names[own]
    tail = _TAIL.search(own)
    return session + (tail[0] if tail else "")

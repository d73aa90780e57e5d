"""The free texts in a recording's annotations: what is on no list of harmless phrases."""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from ecogvault import edf
from ecogvault.review.decisions import text_id
from ecogvault.review.phrases import Phrases

MOST = 5000
"""So many different texts of one recording are listed; nobody decides about more one by one."""
MORE = "more"
"""What stands at the end of a list that was cut: nobody can accept it."""


@dataclass(frozen=True)
class Text:
    """One text of a recording: its id, how often it stands there, and where first (offset in bytes, onset of its list).

    A broken one stands where the specification asks for something else.
    """

    content: str
    text: str = field(repr=False)
    data: bytes = field(repr=False)
    times: int
    offset: int
    onset: str
    broken: bool


def texts_of(path: Path, key: bytes, phrases: Phrases, where: str) -> tuple[list[Text], bool]:
    """The free texts of a recording, in the order of the file, and whether that is all of them.

    Texts on the list are left out, unless they are broken: then they may be the beginning of something else. So are
    redacted ones. `key` is the private key. Raises BadRecording, OSError.
    """

    @lru_cache(maxsize=10_000)
    def harmless(data: bytes, text: str) -> bool:
        return phrases.allow(text)

    found: dict[bytes, Text] = {}
    whole = True
    for one in edf.annotations(path, where):
        if one.is_redacted or (not one.broken and harmless(one.data, one.text)):
            continue
        known = found.get(one.data)
        if known is not None:
            found[one.data] = replace(known, times=known.times + 1)
        elif len(found) < MOST:
            content = text_id(key, one.data)
            found[one.data] = Text(content, one.text, one.data, 1, one.offset, one.onset, one.broken)
        else:
            whole = False
    return list(found.values()), whole


def waiting(path: Path, key: bytes, phrases: Phrases, where: str) -> tuple[str, ...]:
    """The ids of a recording's free texts, for its verdict; MORE at the end if there are too many to list."""
    found, whole = texts_of(path, key, phrases, where)
    return tuple(text.content for text in found) + (() if whole else (MORE,))

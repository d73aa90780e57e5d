"""Spellings as bytes: the expressions that the matching engine is given. Pure."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Literal

from ecogvault.phi.own_words import HEADER_WORDS, OWN_WORDS
from ecogvault.phi.variants import LONG, Variant

Form = Literal["NFC", "NFD"]

LONG_IN_SAMPLES_UTF16 = 10
"""UTF-16 letters are what quiet 16-bit samples look like: in samples only this many characters are evidence. The engine
looks for shorter ones all the same and the scanner for what they belong to: 700 expressions instead of 1,900 run twice
as fast."""

_ORDINARY = OWN_WORDS | HEADER_WORDS


class Region(Enum):
    """What kind of bytes are looked at, which decides what counts (DESIGN, section 6).

    TEXT: paths, keys, headers, logs: everything, spellings under five characters as whole words, numbers as whole
    numbers. NOTES: text in contents, where a birth date may also be a serial number of days. STRINGS: text between
    other bytes: as NOTES, short spellings and numbers only within a readable run. BINARY: five characters or more
    (video, vendor files, ciphertext). SAMPLES: as BINARY, UTF-16 from ten characters on (16-bit or 24-bit samples).
    """

    TEXT = "text"
    NOTES = "notes"
    STRINGS = "strings"
    BINARY = "binary"
    SAMPLES = "samples"

    @property
    def is_text(self) -> bool:
        """Whether the bytes around a match are read as text to see whether it counts."""
        return self in (Region.TEXT, Region.NOTES, Region.STRINGS)


@dataclass(frozen=True, repr=False)
class Pattern:
    """One expression for the engine; it matches exactly `length` bytes. `person` is an index, `text` the spelling.

    `serial` is Variant's.
    """

    expression: bytes
    length: int
    any_case: bool
    person: int
    kind: str
    encoding: str
    text: str
    serial: bool = False

    def __repr__(self) -> str:
        """Kind and encoding alone, so that no traceback or log can hold a name."""
        return f"Pattern({self.kind}, {self.encoding})"

    @property
    def is_wide(self) -> bool:
        """Whether this is UTF-16."""
        return self.encoding.startswith("utf-16")


_ENCODINGS: tuple[tuple[str, str, Form], ...] = (
    ("utf-8", "utf-8", "NFC"),
    ("utf-8-nfd", "utf-8", "NFD"),
    ("latin-1", "latin-1", "NFC"),
    ("cp1252", "cp1252", "NFC"),
    ("utf-16-le", "utf-16-le", "NFC"),
    ("utf-16-le-nfd", "utf-16-le", "NFD"),
    ("utf-16-be", "utf-16-be", "NFC"),
    ("utf-16-be-nfd", "utf-16-be", "NFD"),
)
_FOR_ASCII = ("utf-8", "utf-16-le", "utf-16-be")  # the encodings in which a text of ASCII letters looks different


def patterns_of(person: int, spellings: Iterable[Variant], *, text: bool) -> Iterator[Pattern]:
    """The patterns of one person in text, or in other bytes: encoded, each expression once, none that another implies.

    In other bytes there are none of less than five characters and no serial numbers.
    """
    known: set[tuple[bytes, bool]] = set()
    wanted = [variant for variant in spellings if text or (len(variant.text) >= LONG and not variant.serial)]
    texts = sorted(wanted, key=lambda variant: (len(variant.text), variant.text, variant.kind))
    for label, codec, form in _ENCODINGS:
        encodable = [variant for variant in texts if label in _FOR_ASCII or not variant.text.isascii()]
        for variant in _not_implied(encodable, text=text):
            name = "ascii" if variant.text.isascii() and codec == "utf-8" else label
            for expression, length, any_case in _expressions(variant.text, codec, form, text=text):
                if (expression, any_case) not in known:
                    known.add((expression, any_case))
                    yield Pattern(
                        expression, length, any_case, person, variant.kind, name, variant.text, variant.serial
                    )


def _not_implied(texts: Iterable[Variant], *, text: bool) -> Iterator[Variant]:
    """Leave out what holds another long spelling: wherever it is, the other one is found. `texts` come shortest first.

    A spelling that is one of our own words implies nothing, since it does not count everywhere, and neither does a
    number, which counts as a whole number. Of spellings with the same text the first is taken.
    """
    kept: list[str] = []
    seen: set[str] = set()
    for variant in texts:
        if variant.text in seen or any(shorter in variant.text for shorter in kept):
            continue
        seen.add(variant.text)
        counts_anywhere = not text or not (variant.text in _ORDINARY or variant.text.isdigit())
        if len(variant.text) >= LONG and counts_anywhere:
            kept.append(variant.text)
        yield variant


def _expressions(spelling: str, codec: str, form: Form, *, text: bool) -> Iterator[tuple[bytes, int, bool]]:
    """(expression, length in bytes, whether ASCII case is ignored) of one spelling.

    Outside text, five letters in any mixture of cases are chance in a gigabyte of noise (32 mixtures x 2**30 / 2**40),
    so that they count in lower, upper and title case only.
    """
    if not text and len(spelling) == LONG:
        for cased in dict.fromkeys((spelling, spelling.upper(), spelling.title(), spelling.capitalize())):
            encoded = _encode(cased, codec, form)
            if encoded is not None and len(cased) == len(spelling):
                yield _escape(encoded), len(encoded), False
        return
    letters = [_any_case(letter, codec, form) for letter in spelling]
    known = [letter for letter in letters if letter is not None]
    if len(known) == len(letters):
        yield b"".join(expression for expression, _ in known), sum(size for _, size in known), True


@cache
def _any_case(letter: str, codec: str, form: Form) -> tuple[bytes, int] | None:
    """The expression for a lower-case letter in any case, and its size; None if the codec does not have it.

    The engine ignores ASCII case by itself; what is added here are the cases of accented and foreign letters, where
    they take as many bytes.
    """
    encoded = _encode(letter, codec, form)
    if encoded is None:
        return None
    cases = {_encode(cased, codec, form) for cased in (letter, letter.upper(), letter.title()) if len(cased) == 1}
    equal = {case for case in cases if case is not None and len(case) == len(encoded)}
    distinct = sorted({case.lower() if case.lower() in equal else case for case in equal})
    if len(distinct) == 1:
        return _escape(distinct[0]), len(encoded)
    return b"(?:" + b"|".join(_escape(case) for case in distinct) + b")", len(encoded)


def _encode(text: str, codec: str, form: Form) -> bytes | None:
    try:
        return unicodedata.normalize(form, text).encode(codec)
    except UnicodeEncodeError:
        return None


def _escape(data: bytes) -> bytes:
    return re.sub(rb"[^0-9A-Za-z]", lambda match: b"\\x%02x" % match[0][0], data, flags=re.DOTALL)

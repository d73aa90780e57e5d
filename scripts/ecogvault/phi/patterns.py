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
"""UTF-16 letters are what quiet 16-bit samples look like: in samples only this many characters are evidence."""

_ORDINARY = OWN_WORDS | HEADER_WORDS


class Region(Enum):
    """What kind of bytes are looked at, which decides what counts (DESIGN, section 6).

    TEXT: everything, spellings under five characters as whole words. BINARY: five characters or more (video, vendor
    files, ciphertext). SAMPLES: as BINARY, UTF-16 from ten characters on (16-bit or 24-bit samples).
    """

    TEXT = "text"
    BINARY = "binary"
    SAMPLES = "samples"


@dataclass(frozen=True, repr=False)
class Pattern:
    """One expression for the engine; it matches exactly `length` bytes. `person` is an index, `text` the spelling."""

    expression: bytes
    length: int
    any_case: bool
    person: int
    kind: str
    encoding: str
    text: str

    def __repr__(self) -> str:
        """Kind and encoding alone, so that no traceback or log can hold a name."""
        return f"Pattern({self.kind}, {self.encoding})"

    @property
    def short(self) -> bool:
        """Whether this counts only as a whole word."""
        return len(self.text) < LONG


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


def patterns_of(person: int, spellings: Iterable[Variant], region: Region) -> Iterator[Pattern]:
    """The patterns of one person in one kind of region: encoded, each expression once, none that another implies."""
    known: set[tuple[bytes, bool]] = set()
    texts = sorted(spellings, key=lambda variant: (len(variant.text), variant.text, variant.kind))
    for label, codec, form in _ENCODINGS:
        least = _least_length(region, codec)
        encodable = [v for v in texts if len(v.text) >= least and (label in _FOR_ASCII or not v.text.isascii())]
        for variant in _not_implied(encodable, region):
            name = "ascii" if variant.text.isascii() and codec == "utf-8" else label
            for expression, length, any_case in _expressions(variant.text, codec, form, region):
                if (expression, any_case) not in known:
                    known.add((expression, any_case))
                    yield Pattern(expression, length, any_case, person, variant.kind, name, variant.text)


def _least_length(region: Region, codec: str) -> int:
    if region is Region.TEXT:
        return 2
    return LONG_IN_SAMPLES_UTF16 if region is Region.SAMPLES and codec.startswith("utf-16") else LONG


def _not_implied(texts: Iterable[Variant], region: Region) -> Iterator[Variant]:
    """Leave out what holds another long spelling: wherever it is, the other one is found. `texts` come shortest first.

    A spelling that is one of our own words implies nothing, since it does not count everywhere. Of spellings with the
    same text the first is taken.
    """
    kept: list[str] = []
    seen: set[str] = set()
    for variant in texts:
        if variant.text in seen or any(text in variant.text for text in kept):
            continue
        seen.add(variant.text)
        if len(variant.text) >= LONG and not (region is Region.TEXT and variant.text in _ORDINARY):
            kept.append(variant.text)
        yield variant


def _expressions(text: str, codec: str, form: Form, region: Region) -> Iterator[tuple[bytes, int, bool]]:
    """(expression, length in bytes, whether ASCII case is ignored) of one spelling.

    Outside text, five letters in any mixture of cases are chance in a gigabyte of noise (32 mixtures x 2**30 / 2**40),
    so that they count in lower, upper and title case only.
    """
    if region is not Region.TEXT and len(text) == LONG:
        for cased in dict.fromkeys((text, text.upper(), text.title(), text.capitalize())):
            encoded = _encode(cased, codec, form)
            if encoded is not None and len(cased) == len(text):
                yield _escape(encoded), len(encoded), False
        return
    letters = [_any_case(letter, codec, form) for letter in text]
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

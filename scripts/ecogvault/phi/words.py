"""Whether a match counts, given the text on both sides of it: whole words, our own words, opaque tokens. Pure."""

import re
import unicodedata
from collections.abc import Collection
from itertools import pairwise

from ecogvault.phi.variants import LONG

CONTEXT = 256
"""Bytes on each side of a match that are looked at: as long as the longest token of ours, a digest of 128 digits."""

PASSAGE = 64
"""Characters on each side of a match that tell one finding from another."""

READABLE = 8
"""Characters that noise seldom has in a row: in 8-bit noise once in 2,800 bytes."""

DATE_DIGITS = 8
_RUN = r"(?:[ -~\t]|(?=[^\W\d_])[\u00c0-\u024f])*"
_HASH_LENGTHS = frozenset({8, 12, 24, 32, 40, 56, 64, 96, 128})
_OPAQUE_LENGTH = 20
_OPAQUE_CHANGES = 6


def counts(before: str, text: str, after: str, *, own_words: Collection[str]) -> bool:
    """Whether `text` (a spelling, lower case) counts between `before` and `after`.

    A short spelling counts as a whole word (letters against non-letters, digits against non-digits; underscores and
    digits delimit letters) outside hexadecimal and base64 tokens, a spelling of digits as a whole number. No spelling
    counts that lies within one of our own words.
    """
    if text.isdigit():
        return _is_number(before, text, after) and text not in own_words
    if len(text) < LONG and not (_ends(before, text[0]) and _begins(after, text[-1])):
        return False
    if len(text) < LONG and _opaque(_tail(before, r"[0-9A-Za-z]*"), text, _head(after, r"[0-9A-Za-z]*")):
        return False
    if text.isalpha():
        word = _tail(before, r"[^\W\d_]*") + text + _head(after, r"[^\W\d_]*")
        return word.lower() not in own_words
    return True


def _is_number(before: str, text: str, after: str) -> bool:
    """Whether digits are a whole number, leading zeros aside.

    Not the digits of a longer number (a FILETIME has 18, and a table thousands of them), of a fraction, of an
    annotation's onset (`+48213`, EDF+ 2.2.2), or of a hexadecimal token. A date may begin a time stamp of 12 or 14
    digits (HL7: YYYYMMDDHHMM[SS]).
    """
    lead, trail = _tail(before, r"[0-9]*"), _head(after, r"[0-9]*")
    if lead.strip("0") or (trail and not (len(text) == DATE_DIGITS and not lead and len(trail) in (4, 6))):
        return False
    if re.search(r"[0-9][.,]0*\Z|[+\x15]0*\Z", before) and len(text) < DATE_DIGITS:
        return False
    around = _tail(before, r"[0-9A-Za-z]*"), _head(after, r"[0-9A-Za-z]*")
    return "".join(around).strip("0123456789") == "" or not _opaque(around[0], text, around[1])


def is_serial(before: str, after: str) -> bool:
    """Whether a whole number between these may be a date: beside no letter, sign or colon of a clock."""
    return not re.search(r"[^\W_]\Z|[+\-\x15]\Z|[0-9]:\Z", before) and not re.match(r"[^\W_]|[:/-]", after)


def is_readable(before: str, text: str, after: str) -> bool:
    """Whether a match lies in a run of READABLE ASCII characters or more; other letters may be among them."""
    run = _tail(before, _RUN) + text + _head(after, _RUN)
    return sum(" " <= letter <= "~" for letter in run) >= READABLE


def _same_class(letter: str, other: str) -> bool:
    if other.isalpha() or unicodedata.combining(other):
        return letter.isalpha()
    return other.isdigit() and letter.isdigit()


def _ends(before: str, first: str) -> bool:
    """Whether a word that begins with `first` may begin after `before`."""
    if not before:
        return True
    encoded = re.search(r"%([0-7][0-9a-fA-F])\Z", before)
    if encoded:
        return not _same_class(first, chr(int(encoded[1], 16)))
    return not _same_class(first, before[-1])


def _begins(after: str, last: str) -> bool:
    return not after or not _same_class(last, after[0])


def _tail(text: str, pattern: str) -> str:
    match = re.match(pattern, text[::-1])
    return match[0][::-1] if match else ""


def _head(text: str, pattern: str) -> str:
    match = re.match(pattern, text)
    return match[0] if match else ""


def _opaque(before: str, text: str, after: str) -> bool:
    """Whether the run of letters and digits around a short spelling is a code, a digest, or base64 of something."""
    token = before + text + after
    if len(token) in _HASH_LENGTHS and re.fullmatch(r"[0-9a-fA-F]+", token):
        return True
    changes = sum(a.isdigit() != b.isdigit() for a, b in pairwise(token))
    return len(token) >= _OPAQUE_LENGTH and changes >= _OPAQUE_CHANGES


def passage(before: bytes, match: bytes, after: bytes, *, encoding: str) -> str:
    """The text of a match with what stands around it, up to a control character or PASSAGE characters on each side.

    What waivers.content_id is made of: an annotation, a line, a field. Never fails.
    """
    left, right = surroundings(before, after, encoding=encoding)
    codec = encoding[:9] if encoding.startswith("utf-16") else None
    text = match.decode(codec, "replace") if codec else _eight_bit(match)
    return _tail(left, r"[^\x00-\x1f\x7f]*")[-PASSAGE:] + text + _head(right, r"[^\x00-\x1f\x7f]*")[:PASSAGE]


def surroundings(before: bytes, after: bytes, *, encoding: str) -> tuple[str, str]:
    """The bytes on both sides of a match as text, in the encoding of the match. Never fails."""
    if encoding.startswith("utf-16"):
        codec = encoding[:9]
        return (
            before[len(before) % 2 :].decode(codec, "replace"),
            after[: len(after) // 2 * 2].decode(codec, "replace"),
        )
    return _eight_bit(before), _eight_bit(after)


def _eight_bit(data: bytes) -> str:
    """UTF-8 where it is, else CP1252, byte by byte; bytes that are neither become NUL."""
    text = data.decode("utf-8", "surrogateescape")
    return re.sub(
        "[\udc80-\udcff]",
        lambda match: bytes([ord(match[0]) - 0xDC00]).decode("cp1252", "replace").replace("\ufffd", "\0"),
        text,
    )

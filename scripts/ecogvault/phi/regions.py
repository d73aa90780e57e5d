"""Which bytes of a file are text, samples or something else, and so what counts as a name there. Pure.

Sources: EDF specification 1992, "The header record"; the generic Natus header as in `natus`; Microsoft, "AVI RIFF File
Reference" (chunks are a four-letter id, a u32 length and as many bytes, padded to an even number; `LIST` and `RIFF`
hold a four-letter type and more chunks; `movi` holds the pictures and the sound), and the OpenDML extensions (further
`RIFF` chunks behind the first).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from ecogvault.phi.patterns import Region

Reader = Callable[[int, int], bytes]
"""From an offset and a length to that many bytes of a file, fewer at its end."""

FIXED_BYTES = 256
PATIENT_FIELD = range(8, 88)
"""Where the header of a recording says who it is of (EDF 1992)."""

_TEXT_SUFFIXES = frozenset(".txt .csv .tsv .json .jsonl .xml .html .htm .log .ini .md .yaml .yml .rtf".split())
_RECORDING_SUFFIXES = frozenset({".edf", ".bdf"})

# Natus files that begin with the generic header, and those that hold names and texts between other bytes.
_NATUS_HEADERS = frozenset(".eeg .erd .etc .ent .snc .stc".split())
_WITH_STRINGS = frozenset(".eeg .ent .snc .stc .vtc .vt2 .epo .doc .dot .xls .ppt".split())
_NATUS_SLOTS = (32, 112, 192, 272, 352)

_TEXT_CHUNKS = frozenset({b"strn", b"IDIT", b"ISMP"})
_LISTS = frozenset({b"RIFF", b"LIST"})
_LARGEST_CHUNK = 4 * 1024 * 1024  # a larger one holds no texts
_MOST_CHUNKS = 10_000  # outside movi: an AVI file has dozens


@dataclass(frozen=True)
class Span:
    """Bytes `start` to `end` (not included) of a file. `place` is how findings call them: header or contents.

    `part` says more where there is more to say.
    """

    start: int
    end: int
    region: Region
    place: str = "contents"
    part: str = ""


def is_recording(path: str) -> bool:
    """Whether a file is EDF or BDF by its name."""
    return PurePosixPath(path).suffix.lower() in _RECORDING_SUFFIXES


def header_length(head: bytes, size: int) -> int:
    """Bytes of the header of an EDF or BDF file of `size` bytes, from its first 256.

    Two fields say it: the header length (bytes 184 to 191) and the number of signals (bytes 252 to 255), 256 bytes
    each. Where they differ or one cannot be read, the larger counts, so that no header is taken for samples.
    """
    said = _number(head[184:192])
    signals = _number(head[252:256])
    return min(size, max(FIXED_BYTES, said, FIXED_BYTES * (signals + 1)))


def _number(field: bytes) -> int:
    text = field.strip(b" \0")
    return int(text) if text.isdigit() else 0


def edf_regions(header_bytes: int, size: int) -> tuple[Span, ...]:
    """The header as text, and everything behind it as samples. Annotation signals, which lie in every data record
    between samples, are looked at apart (sweep).
    """
    spans = (
        Span(0, min(header_bytes, size), Region.TEXT, "header"),
        Span(min(header_bytes, size), size, Region.SAMPLES),
    )
    return tuple(span for span in spans if span.start < span.end)


def regions_of(path: str, read: Reader, size: int) -> Sequence[Span]:
    """The spans of a file, by the suffix of its coded path and what it holds. They cover it without gaps."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in _RECORDING_SUFFIXES:
        return edf_regions(header_length(read(0, FIXED_BYTES), size), size)
    if suffix in _TEXT_SUFFIXES:
        return _cover([Span(0, size, Region.NOTES)], Region.NOTES, size)
    slots: list[Span] = []
    if suffix in _NATUS_HEADERS:
        slots = [Span(start, end, Region.NOTES, part="Natus header") for start, end in pairwise(_NATUS_SLOTS)]
    elif read(0, 4) == b"RIFF":
        slots = list(_riff(read, size))
    return _cover(slots, Region.STRINGS if suffix in _WITH_STRINGS else Region.BINARY, size)


def _riff(read: Reader, size: int) -> Iterator[Span]:
    """The spans of a RIFF file outside `movi`: texts, and what else there is. What cannot be followed is left out."""
    at, info_end = 0, 0
    for _ in range(_MOST_CHUNKS):
        head = read(at, 12)
        name, length = head[:4], int.from_bytes(head[4:8], "little")
        if len(head) < 8 or not name.isascii() or not name.decode().isprintable():
            return
        end = min(at + 8 + length, size)
        if name in _LISTS and length and head[8:] != b"movi":
            if head[8:] == b"INFO":
                info_end = end
            yield Span(at, min(at + 12, size), Region.STRINGS)
            at += 12
            continue
        if not length and name in _LISTS:
            return  # a recording that was cut off before its lengths were written
        if name not in _LISTS and length <= _LARGEST_CHUNK:
            is_text = name in _TEXT_CHUNKS or at < info_end
            yield Span(at, at + 8, Region.STRINGS)
            yield Span(at + 8, end, Region.NOTES if is_text else Region.STRINGS, part="RIFF text" if is_text else "")
        at += 8 + length + length % 2
        if at >= size:
            return


def _cover(spans: Sequence[Span], rest: Region, size: int) -> tuple[Span, ...]:
    """`spans`, in their order and without what lies behind `size`, neighbours of one kind joined, gaps as `rest`."""
    covered: list[Span] = []
    at = 0
    for span in [*spans, Span(size, size, rest)]:
        for one in (
            Span(at, min(span.start, size), rest),
            Span(max(span.start, at), min(span.end, size), *_kind(span)),
        ):
            if one.start >= one.end:
                continue
            at = one.end
            if covered and _kind(covered[-1]) == _kind(one) and not one.part:
                one = Span(covered.pop().start, one.end, *_kind(one))
            covered.append(one)
    return tuple(covered)


def _kind(span: Span) -> tuple[Region, str, str]:
    return span.region, span.place, span.part

"""Which bytes of a file are text, samples or something else, and so what counts as a name there. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from ecogvault.phi.patterns import Region

FIXED_BYTES = 256
_TEXT_SUFFIXES = frozenset(".txt .csv .tsv .json .jsonl .xml .html .htm .log .ini .md .yaml .yml .rtf".split())
_RECORDING_SUFFIXES = frozenset({".edf", ".bdf"})


@dataclass(frozen=True)
class Span:
    """Bytes `start` to `end` (not included) of a file. `place` is how findings call them: header or contents."""

    start: int
    end: int
    region: Region
    place: str


def is_recording(path: str) -> bool:
    """Whether a file is EDF or BDF by its name."""
    return PurePosixPath(path).suffix.lower() in _RECORDING_SUFFIXES


def header_length(head: bytes, size: int) -> int:
    """Bytes of the header of an EDF or BDF file of `size` bytes, from its first 256.

    Two fields say it: the header length (bytes 184 to 191) and the number of signals (bytes 252 to 255), 256 bytes
    each. Where they differ or one cannot be read, the larger counts, so that no header is taken for samples.
    Source: EDF specification 1992, "The header record".
    """
    said = _number(head[184:192])
    signals = _number(head[252:256])
    return min(size, max(FIXED_BYTES, said, FIXED_BYTES * (signals + 1)))


def _number(field: bytes) -> int:
    text = field.strip(b" \0")
    return int(text) if text.isdigit() else 0


def edf_regions(header_bytes: int, size: int) -> tuple[Span, ...]:
    """The header as text, and everything behind it as samples.

    Annotation signals lie in every data record between samples; a list of their spans would be text here.
    """
    spans = (
        Span(0, min(header_bytes, size), Region.TEXT, "header"),
        Span(min(header_bytes, size), size, Region.SAMPLES, "contents"),
    )
    return tuple(span for span in spans if span.start < span.end)


def regions_of(path: str, head: bytes, size: int) -> Sequence[Span]:
    """The spans of a file, by the suffix of its coded path and its first 256 bytes. They cover it without gaps."""
    if is_recording(path):
        return edf_regions(header_length(head, size), size)
    is_text = PurePosixPath(path).suffix.lower() in _TEXT_SUFFIXES
    return (Span(0, size, Region.TEXT if is_text else Region.BINARY, "contents"),) if size else ()

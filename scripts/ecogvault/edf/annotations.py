r"""The annotations of an EDF+ or BDF+ recording: every text in every annotation signal, with its place in the file.

Source: EDF+ 2003, section 2.2.2 (time-stamped annotation lists, TALs): `Onset`, optionally byte 21 and a duration, byte
20, then texts that each end with byte 20; a list ends with byte 0, and unused bytes are 0. Section 2.2.4: each data
record begins, in the first annotation signal, with a list whose first text is empty and whose onset is the record's.

Real files keep to it in part. Whatever in these signals is neither a list nor unused comes as a *broken* annotation,
so that no byte of them is passed over; also what lies behind the last data record that the header counts.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ecogvault.edf.errors import SOMEWHERE
from ecogvault.edf.header import Header, read_header
from ecogvault.edf.patch import Change

FILLER = b"X"
"""What a redacted text consists of. Not blank, and not 0, at which some readers stop reading a record's lists."""

# A number may have no sign or a decimal comma: it says nothing about anybody, whether readers like it or not.
_NUMBER = rb" *[+-]?\d{1,12}(?:[.,]\d{0,12})? *"
_HEAD = re.compile(rb"(" + _NUMBER + rb")(?:\x15" + _NUMBER + rb")?\x14")
_ONLY_TIMEKEEPING = re.compile(rb"[+-]\d+(?:\.\d*)?\x14\x14\0*")
_STRUCTURE = b"\0\x14\x15"
_WINDOW = 64 * 1024  # bytes of an annotation signal that are looked at together
_LONGEST = 16 * 1024  # a longer list comes in pieces, of which all but the first are broken
_READ_AHEAD = 1024 * 1024
_SMALL_RECORD = 16 * 1024  # records up to this size are read together; of larger ones the annotation signals alone


@dataclass(frozen=True)
class Annotation:
    """One text: where its bytes are in the file, the data record (from 0), its list's onset (empty where unknown).

    A broken one is not of the form that the specification asks for: its list has no onset, or no end.
    """

    offset: int
    data: bytes = field(repr=False)
    record: int
    onset: str
    broken: bool = False

    @property
    def text(self) -> str:
        """The text as people read it: UTF-8, else CP1252. Bytes 0 (as in UTF-16) are left out."""
        data = self.data.replace(b"\0", b"")
        try:
            return data.decode()
        except UnicodeDecodeError:
            return data.decode("cp1252", "replace")

    @property
    def is_redacted(self) -> bool:
        """Whether nothing is left of the text, as `redacted` leaves it."""
        return not self.data.strip(FILLER + _STRUCTURE)


def redacted(data: bytes) -> bytes:
    """`data` with every byte replaced by a filler, but those that are the structure of lists. As long as before."""
    return bytes(byte if byte in _STRUCTURE else FILLER[0] for byte in data)


def redactions(path: Path, wanted: Callable[[bytes], bool], where: str = SOMEWHERE) -> list[Change]:
    """The changes that redact each text of a recording that is `wanted`, in the order of the file.

    Raises BadRecording, OSError.
    """
    return [
        Change("annotation", one.offset, one.data, redacted(one.data))
        for one in annotations(path, where)
        if not one.is_redacted and wanted(one.data)
    ]


def annotation_places(header: Header) -> list[tuple[int, int]]:
    """(offset within a data record, length in bytes) of each annotation signal. Plain EDF has none."""
    places = []
    offset = 0
    for signal in header.signals:
        length = signal.samples_per_data_record * header.sample_bytes
        if signal.may_be_annotations:
            places.append((offset, length))
        offset += length
    return places


def annotations(path: Path, where: str = SOMEWHERE) -> Iterator[Annotation]:
    """Every text of a recording that is not empty, in the order of data records and signals.

    Memory: about 1 MiB, whatever the length of the recording and of its lists. Raises BadRecording, OSError.
    """
    header = read_header(path, where)
    places = annotation_places(header)
    if not places:
        return
    with path.open("rb", buffering=0) as stream:
        size = os.fstat(stream.fileno()).st_size
        read = _reader(stream.fileno(), _READ_AHEAD if header.record_bytes <= _SMALL_RECORD else 0)
        for record, first in enumerate(range(header.size, size, header.record_bytes)):
            for offset, length in places:
                start = first + offset
                end = min(start + length, size)
                if start < end:
                    yield from _texts(read, start, end, record)


def _reader(descriptor: int, ahead: int) -> Callable[[int, int], bytes]:
    """A function (offset, length) to bytes, which reads `ahead` where more than that much was not asked for."""
    base, block = 0, b""

    def read(offset: int, length: int) -> bytes:
        nonlocal base, block
        if not base <= offset <= offset + length <= base + len(block):
            base, block = offset, os.pread(descriptor, max(length, ahead), offset)
        return block[offset - base : offset - base + length]

    return read


def _texts(read: Callable[[int, int], bytes], start: int, end: int, record: int) -> Iterator[Annotation]:
    """The texts of one annotation signal in one data record."""
    if end - start <= _WINDOW and _ONLY_TIMEKEEPING.fullmatch(read(start, end - start)):
        return
    broken: Annotation | None = None
    for offset, piece in _pieces(read, start, end):
        for one in _parsed(offset, piece, record):
            between = _wide_gap(read, broken, one) if broken else None
            if broken and between is not None:
                data = broken.data + between + one.data
                broken = Annotation(broken.offset, data, record, broken.onset, broken=True)
                continue
            if broken:
                yield broken
                broken = None
            if one.broken:
                broken = one
            else:
                yield one
    if broken:
        yield broken


def _wide_gap(read: Callable[[int, int], bytes], broken: Annotation, one: Annotation) -> bytes | None:
    """The bytes between two broken annotations that are one text in UTF-16, whose letters lie two bytes apart; or None.

    Blanks and structure alone are no annotation, so that the gap may be wider by one of them.
    """
    end = broken.offset + len(broken.data)
    gap = one.offset - end
    if not one.broken or one.onset or gap not in (1, 3) or len(broken.data) > _LONGEST:
        return None
    between = read(end, gap)
    return between if between[0] == between[-1] == 0 and (gap == 1 or between[1] != 0) else None


def _pieces(read: Callable[[int, int], bytes], start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """What stands between bytes 0: (offset in the file, bytes)."""
    carried = b""
    at = start
    while at < end:
        data = read(at, min(_WINDOW, end - at))
        if not data:
            break  # the file became shorter meanwhile: who compares its digest says so
        base = at - len(carried)
        at += len(data)
        *whole, carried = (carried + data).split(b"\0")
        for piece in whole:
            if piece:
                yield base, piece
            base += len(piece) + 1
        if len(carried) > _LONGEST:
            yield base, carried
            carried = b""
    if carried:
        yield at - len(carried), carried


def _parsed(offset: int, piece: bytes, record: int) -> Iterator[Annotation]:
    """The texts of one list; what is no list, or follows the last byte 20, is broken."""
    head = _HEAD.match(piece)
    onset = head[1].decode().strip() if head else ""
    at = head.end() if head else 0
    *whole, rest = piece[at:].split(b"\x14") if head else [piece]
    for text in whole:
        if text.strip():
            yield Annotation(offset + at, text, record, onset)
        at += len(text) + 1
    if rest.strip(_STRUCTURE + b" \t\r\n"):
        yield Annotation(offset + at, rest, record, onset, broken=True)

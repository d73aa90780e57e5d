"""The header of an EDF or BDF file: 256 bytes for the recording, then 256 for each signal, all text.

Source: EDF specification 1992, "The header record"; EDF+ 2003, section 2.1; BioSemi, "The BDF format".
"""

import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ecogvault.edf.errors import SOMEWHERE, BadRecording

FIXED_BYTES = 256
SIGNAL_BYTES = 256

# (name, bytes), in the order of the specification; the per-signal ones are stored field by field, not signal by signal.
_FIXED = (
    ("version", 8),
    ("local_patient_identification", 80),
    ("local_recording_identification", 80),
    ("startdate", 8),
    ("starttime", 8),
    ("header_bytes", 8),
    ("reserved", 44),
    ("data_records", 8),
    ("duration_of_data_record", 8),
    ("number_of_signals", 4),
)
_PER_SIGNAL = (
    ("label", 16),
    ("transducer_type", 80),
    ("physical_dimension", 8),
    ("physical_minimum", 8),
    ("physical_maximum", 8),
    ("digital_minimum", 8),
    ("digital_maximum", 8),
    ("prefiltering", 80),
    ("samples_per_data_record", 8),
    ("reserved", 32),
)


def _places() -> Iterator[tuple[str, slice]]:
    offset = 0
    for name, size in _FIXED:
        yield name, slice(offset, offset + size)
        offset += size


FIXED_PLACES = dict(_places())
"""Where each field of the recording lies."""

_BDF_VERSION = b"\xffBIOSEMI"
# No room for a name: a label of this form is never blanked.
_ANNOTATIONS = re.compile(r"(?:[EB]DF[ _+-]*)?annotations?[ _-]*\d*", re.IGNORECASE | re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


@dataclass(frozen=True)
class Signal:
    """One signal's part of the header. Limits that cannot be read as numbers are None."""

    label: str
    transducer_type: str
    physical_dimension: str
    physical_minimum: float | None
    physical_maximum: float | None
    digital_minimum: float | None
    digital_maximum: float | None
    prefiltering: str
    samples_per_data_record: int
    reserved: str

    @property
    def is_annotations(self) -> bool:
        """Whether the signal holds annotations (EDF+ 2.2) instead of samples."""
        return self.label.strip() in ("EDF Annotations", "BDF Annotations")

    @property
    def may_be_annotations(self) -> bool:
        """Whether the signal calls itself annotations in some way, though readers might not take it for them."""
        return _ANNOTATIONS.fullmatch(self.label.strip()) is not None

    @property
    def label_is_the_formats(self) -> bool:
        """Whether the signal is told by its label: annotations, and the trigger channel of BioSemi's BDF."""
        return self.may_be_annotations or self.label.strip() == "Status"


@dataclass(frozen=True)
class Header:
    """A header as the file has it; texts without their padding.

    `header_bytes` is None where the field cannot be read: `size` is what the number of signals makes it.
    `duration_of_data_record` is in seconds.
    """

    version: str
    local_patient_identification: str = field(repr=False)
    local_recording_identification: str = field(repr=False)
    startdate: str
    starttime: str
    header_bytes: int | None
    reserved: str
    data_records: int
    duration_of_data_record: float
    signals: tuple[Signal, ...] = field(repr=False)
    kind: str
    plus: str | None

    @property
    def size(self) -> int:
        """Bytes before the first data record: 256 for the recording and 256 for each signal."""
        return FIXED_BYTES + SIGNAL_BYTES * len(self.signals)

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample: 2 in EDF, 3 in BDF."""
        return 3 if self.kind == "bdf" else 2

    @property
    def record_bytes(self) -> int:
        """Bytes of one data record."""
        return self.sample_bytes * sum(signal.samples_per_data_record for signal in self.signals)


def text_of(raw: bytes) -> str:
    """A text field without padding: UTF-8 where the bytes are that (a cut last letter aside), else Latin-1.

    The specification allows ASCII only (EDF+ 2.1.3.2); both others occur in files of hospital systems.
    """
    trimmed = raw.rstrip(b" \0")
    try:
        return trimmed.decode()
    except UnicodeDecodeError as error:
        cut_at_the_end = error.reason == "unexpected end of data" and error.start > 0
        return trimmed[: error.start].decode() if cut_at_the_end else trimmed.decode("latin-1")


def parse_header(data: bytes, where: str = SOMEWHERE) -> Header:
    """The header at the beginning of `data`, which must hold all of it. Raises BadRecording."""
    if len(data) < FIXED_BYTES:
        raise BadRecording(where, "it is shorter than an EDF header")
    raw = _cut(data, _FIXED, 0)
    kind = _kind(raw["version"], where)
    count = _integer(raw["number_of_signals"])
    if count is None or count < 1:
        raise BadRecording(where, "its header does not say how many signals it has")
    if len(data) < FIXED_BYTES + SIGNAL_BYTES * count:
        raise BadRecording(where, "it ends within its header")
    duration = _number(raw["duration_of_data_record"])
    if duration is None or duration < 0:
        raise BadRecording(where, "its header does not say how long a data record is")
    records = _integer(raw["data_records"])
    if records is None or records < -1:
        raise BadRecording(where, "its header does not say how many data records it has")
    signals = _signals(data, count, where)
    if not any(signal.samples_per_data_record for signal in signals):
        raise BadRecording(where, "its data records hold no samples")
    reserved = text_of(raw["reserved"])
    return Header(
        version=text_of(raw["version"]) if kind == "edf" else raw["version"].decode("latin-1"),
        local_patient_identification=text_of(raw["local_patient_identification"]),
        local_recording_identification=text_of(raw["local_recording_identification"]),
        startdate=text_of(raw["startdate"]),
        starttime=text_of(raw["starttime"]),
        header_bytes=_integer(raw["header_bytes"]),
        reserved=reserved,
        data_records=records,
        duration_of_data_record=duration,
        signals=signals,
        kind=kind,
        plus=_plus(reserved),
    )


def read_header(source: BinaryIO | Path, where: str = SOMEWHERE) -> Header:
    """The header of a file, or of a stream that stands at its beginning. Raises BadRecording, OSError."""
    return parse_header(read_header_bytes(source, where), where)


def read_header_bytes(source: BinaryIO | Path, where: str = SOMEWHERE) -> bytes:
    """The bytes of a header: 256 and 256 for each signal. Raises BadRecording if the file ends within them."""
    if isinstance(source, Path):
        with source.open("rb") as stream:
            return read_header_bytes(stream, where)
    fixed = _read_exactly(source, FIXED_BYTES)
    if len(fixed) < FIXED_BYTES:
        raise BadRecording(where, "it is shorter than an EDF header")
    _kind(fixed[:8], where)
    count = _integer(fixed[252:256])
    if count is None or count < 1:
        raise BadRecording(where, "its header does not say how many signals it has")
    rest = _read_exactly(source, SIGNAL_BYTES * count)
    if len(rest) < SIGNAL_BYTES * count:
        raise BadRecording(where, "it ends within its header")
    return fixed + rest


def signal_places(count: int) -> Iterator[tuple[str, int, slice]]:
    """Name, signal (from 0) and place of each field of `count` signals, in the order in which they are stored."""
    offset = FIXED_BYTES
    for name, size in _PER_SIGNAL:
        for index in range(count):
            yield name, index, slice(offset, offset + size)
            offset += size


def _read_exactly(stream: BinaryIO, size: int) -> bytes:
    collected = io.BytesIO()
    while collected.tell() < size and (part := stream.read(size - collected.tell())):
        collected.write(part)
    return collected.getvalue()


def _cut(data: bytes, fields: tuple[tuple[str, int], ...], offset: int) -> dict[str, bytes]:
    cut = {}
    for name, size in fields:
        cut[name] = data[offset : offset + size]
        offset += size
    return cut


def _kind(version: bytes, where: str) -> str:
    if version == _BDF_VERSION:
        return "bdf"
    if version.rstrip(b" \0") == b"0":
        return "edf"
    raise BadRecording(where, "it is neither EDF nor BDF", "exclude it")


def _plus(reserved: str) -> str | None:
    match = re.match(r"[EB]DF\+([CD])", reserved, re.IGNORECASE)
    return match[1].upper() if match else None


def _integer(raw: bytes) -> int | None:
    text = raw.replace(b"\0", b" ").decode("latin-1").strip()
    return int(text) if _INTEGER.fullmatch(text) and text.isascii() else None


def _number(raw: bytes) -> float | None:
    """A decimal number; a decimal comma, as programs with a local number format write it, counts as a point."""
    text = raw.replace(b"\0", b" ").decode("latin-1").strip().replace(",", ".")
    if not (text.isascii() and _NUMBER.fullmatch(text)):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def _signals(data: bytes, count: int, where: str) -> tuple[Signal, ...]:
    columns: dict[str, list[bytes]] = {}
    offset = FIXED_BYTES
    for name, size in _PER_SIGNAL:
        columns[name] = [data[offset + size * i : offset + size * (i + 1)] for i in range(count)]
        offset += size * count

    def samples(index: int) -> int:
        value = _integer(columns["samples_per_data_record"][index])
        if value is None or value < 0:
            raise BadRecording(where, f"its header does not say how many samples signal {index + 1} has")
        return value

    texts = {name: [text_of(raw) for raw in columns[name]] for name in columns}
    limits = {name: [_number(raw) for raw in columns[name]] for name in columns if name.endswith("imum")}
    return tuple(
        Signal(
            label=texts["label"][i],
            transducer_type=texts["transducer_type"][i],
            physical_dimension=texts["physical_dimension"][i],
            physical_minimum=limits["physical_minimum"][i],
            physical_maximum=limits["physical_maximum"][i],
            digital_minimum=limits["digital_minimum"][i],
            digital_maximum=limits["digital_maximum"][i],
            prefiltering=texts["prefiltering"][i],
            samples_per_data_record=samples(i),
            reserved=texts["reserved"][i],
        )
        for i in range(count)
    )

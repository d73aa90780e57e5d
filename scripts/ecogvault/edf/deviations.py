"""What a recording does that the specifications do not provide for, and whether scrubbing mended it. Pure.

Nothing is repaired in silence: what is met stands in the unit's record, field by field, without any field's content.
Source: EDF 1992; EDF+ 2003, sections 2.1.3 (fields) and 2.2 (annotations), additional specifications 1 to 3.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ecogvault.edf.header import FIXED_PLACES, Header, signal_places
from ecogvault.edf.patch import Change
from ecogvault.edf.timing import MONTHS, has_no_recording_date, header_date, header_time, recording_date, records_in

_STRICT = re.compile(r"\d\d\.\d\d\.\d\d", re.ASCII)
_NAMED = re.compile(r"[^-]+-([A-Za-z]{3})-\d{4}", re.ASCII)
_PATIENT_FORM = re.compile(r"\S+ [MFX] (?:\d\d-[A-Z]{3}-\d{4}|X) \S+(?: .*)?")
_RECORDING_FORM = re.compile(r"Startdate (?:\d\d-[A-Z]{3}-\d{4}|X) \S+ \S+ \S+(?: .*)?")
_LIMITS = ("physical_minimum", "physical_maximum", "digital_minimum", "digital_maximum")


@dataclass(frozen=True)
class Deviation:
    """One thing out of order: the field (or `file`), what it is, the number of the signal (from 1), and whether the
    scrubbed copy no longer has it."""

    field: str
    what: str
    signal: int | None = None
    mended: bool = False

    def __str__(self) -> str:
        signal = f" of signal {self.signal}" if self.signal else ""
        return f"{self.field}{signal}: {self.what}, {'mended' if self.mended else 'left as it is'}"


def deviations(data: bytes, header: Header, size: int, changes: Sequence[Change] = ()) -> tuple[Deviation, ...]:
    """All deviations of a recording of `size` bytes with the header bytes `data`, and whether `changes` mend them."""
    changed = {(change.name, change.signal) for change in changes}
    found = [*_file(header, size), *_bytes(data, header), *_dates(header), *_fields(header), *_annotations(header)]
    return tuple(Deviation(one.field, one.what, one.signal, (one.field, one.signal) in changed) for one in found)


def _file(header: Header, size: int) -> Iterator[Deviation]:
    if header.header_bytes != header.size:
        yield Deviation("header_bytes", "it is not 256 times the number of signals and one")
    if header.data_records == -1:
        yield Deviation("data_records", "the number is not given (-1)")
    over = size - header.size - records_in(header, size) * header.record_bytes
    if over < 0:
        yield Deviation("file", f"its last data record is cut short by {-over} bytes")
    elif over and header.data_records == -1:
        yield Deviation("file", f"{over} bytes of a data record that was not finished are at its end")
    elif over:
        yield Deviation("file", f"{over} bytes are behind its last data record")


def _bytes(data: bytes, header: Header) -> Iterator[Deviation]:
    places: list[tuple[str, int | None, slice]] = [(name, None, place) for name, place in FIXED_PLACES.items()]
    places += [(name, index + 1, place) for name, index, place in signal_places(len(header.signals))]
    for name, signal, place in places:
        raw = data[place]
        if name == "version":
            continue  # byte 0 of a BDF header is 255 by definition
        if b"\0" in raw:
            yield Deviation(name, "it has NUL bytes", signal)
        if any(byte > 126 for byte in raw):
            yield Deviation(name, "it has bytes beyond ASCII", signal)
        elif any(0 < byte < 32 for byte in raw):
            yield Deviation(name, "it has control characters", signal)


def _dates(header: Header) -> Iterator[Deviation]:
    day, named = header_date(header.startdate), recording_date(header.local_recording_identification)
    if day is None:
        yield Deviation("startdate", "it is no day that exists")
    elif not _STRICT.fullmatch(header.startdate):
        yield Deviation("startdate", "it is not written as dd.mm.yy")
    if header_time(header.starttime) is None:
        yield Deviation("starttime", "it is no time that exists")
    elif not _STRICT.fullmatch(header.starttime):
        yield Deviation("starttime", "it is not written as hh.mm.ss")
    if day and named and (day.day, day.month, day.year % 100) != (named.day, named.month, named.year % 100):
        yield Deviation("file", "the date of its header and Startdate disagree")
    for name, text in (
        ("local_patient_identification", header.local_patient_identification),
        ("local_recording_identification", header.local_recording_identification),
    ):
        months = [match[1] for word in text.split() if (match := _NAMED.fullmatch(word))]
        if any(month != month.upper() and month.upper() in MONTHS for month in months):
            yield Deviation(name, "a month is not in capitals")
    if header.plus and named is None and not has_no_recording_date(header.local_recording_identification):
        yield Deviation("local_recording_identification", "Startdate is missing or no day that exists")


def _fields(header: Header) -> Iterator[Deviation]:
    for name, text, form in (
        ("local_patient_identification", header.local_patient_identification, _PATIENT_FORM),
        ("local_recording_identification", header.local_recording_identification, _RECORDING_FORM),
    ):
        if not text.strip():
            yield Deviation(name, "it is blank")
        elif header.plus and not form.fullmatch(text):
            yield Deviation(name, "its subfields are not those of EDF+")
    for number, signal in enumerate(header.signals, start=1):
        for name in _LIMITS:
            if getattr(signal, name) is None:
                yield Deviation(name, "it cannot be read as a number", number)
        if not signal.label.strip():
            yield Deviation("label", "it is blank", number)


def _annotations(header: Header) -> Iterator[Deviation]:
    count = sum(signal.is_annotations for signal in header.signals)
    if header.plus and not count:
        yield Deviation("reserved", "the file calls itself EDF+ or BDF+ but has no annotation signal")
    if count and not header.plus:
        yield Deviation("reserved", "the file has annotations but does not call itself EDF+ or BDF+")
    if header.plus and header.reserved[:5] != header.reserved[:5].upper():
        yield Deviation("reserved", "the mark of its format is not in capitals")

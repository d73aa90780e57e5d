"""When a recording starts, how long it is, and whether all of it is there.

Source: EDF 1992 (startdate, starttime; years 85 to 99 are 1985 to 1999, EDF+ 2003, additional specification 2),
EDF+ 2003, sections 2.1.3.3 (`Startdate`) and 2.2.4 (timekeeping annotations).
"""

import os
import re
from datetime import date, datetime, time, timedelta
from pathlib import Path

from ecogvault.edf.errors import SOMEWHERE, BadRecording
from ecogvault.edf.header import Header, read_header

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")

# A clip cut from a longer recording may keep the long one's start and begin later; beyond this it is damage.
LATEST_FIRST_RECORD = timedelta(days=31)

_SEPARATOR = r"[.:'/\- ]"
_DATE = re.compile(rf"\s*(\d{{1,2}}){_SEPARATOR}\s?(\d{{1,2}}){_SEPARATOR}\s?(\d{{4}}|\d{{2}})", re.ASCII)
_TIME = re.compile(rf"\s*(\d{{1,2}}){_SEPARATOR}\s?(\d{{1,2}}){_SEPARATOR}\s?(\d{{1,2}})", re.ASCII)
_STARTDATE = re.compile(r"\s*Startdate\s+(\S+)", re.IGNORECASE)
_NAMED_DATE = re.compile(r"(\d{1,2})[-./]([A-Za-z]{3})[-./](\d{4})", re.ASCII)
_TIMEKEEPING = re.compile(rb"([+-]\d+(?:\.\d*)?)\x14\x14")


def header_date(text: str) -> date | None:
    """The date in the startdate field, `dd.mm.yy` with the years 1985 to 2084; None where there is no such day."""
    match = _DATE.fullmatch(text)
    if not match:
        return None
    year = int(match[3])
    if len(match[3]) == 2:
        year += 1900 if year >= 85 else 2000
    return _day(year, int(match[2]), int(match[1]))


def header_time(text: str) -> time | None:
    """The time in the starttime field, `hh.mm.ss`; None where there is no such time."""
    match = _TIME.fullmatch(text)
    if not match:
        return None
    hour, minute, second = (int(group) for group in match.groups())
    return time(hour, minute, second) if hour < 24 and minute < 60 and second < 60 else None


def recording_date(recording_field: str) -> date | None:
    """The date of `Startdate dd-MMM-yyyy` at the beginning of the recording field; None if there is none, or an X."""
    word = _STARTDATE.match(recording_field)
    return named_date(word[1]) if word else None


def named_date(word: str) -> date | None:
    """The date `dd-MMM-yyyy` that a subfield says, in capitals or not; None where it says no day that exists."""
    match = _NAMED_DATE.fullmatch(word)
    if not match or match[2].upper() not in MONTHS:
        return None
    return _day(int(match[3]), MONTHS.index(match[2].upper()) + 1, int(match[1]))


def has_no_recording_date(recording_field: str) -> bool:
    """Whether the recording field says `Startdate X`: somebody decided that the date is not to be known."""
    word = _STARTDATE.match(recording_field)
    return word is not None and word[1].upper() == "X"


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def records_in(header: Header, size: int) -> int:
    """The number of data records; where the header says -1, the whole ones in a file of `size` bytes."""
    return header.data_records if header.data_records >= 0 else (size - header.size) // header.record_bytes


def check_complete(path: Path, where: str = SOMEWHERE) -> Header:
    """The header of a recording that is all there. Raises BadRecording if it is truncated or cannot be read safely.

    A wrong header length field is harmless where the size of the file proves where the data begin. Bytes behind the
    last record, a last record that was cut short, and a part of a record where the number of records is not given, are
    left alone: a recorder that lost its power leaves such files, and readers pass over the part.
    """
    header = read_header(path, where)
    size = path.stat().st_size
    return require_complete(header, size, where)


def require_complete(header: Header, size: int, where: str) -> Header:
    """`header` itself, if a file of `size` bytes holds all it promises, the end of the last record aside.

    Raises BadRecording.
    """
    expected = header.size + records_in(header, size) * header.record_bytes
    if size <= expected - header.record_bytes:
        raise BadRecording(where, f"it is truncated: {size} of {expected} bytes are there")
    if size < header.size + header.record_bytes and header.data_records:
        raise BadRecording(where, "it holds no whole data record")
    if header.header_bytes != header.size and not _begins_behind_its_header(header, size):
        raise BadRecording(
            where, "its header length field is wrong, and its size does not tell where the data begin", "exclude it"
        )
    return header


def missing_bytes(header: Header, size: int) -> int:
    """Bytes that the last data record of a file of `size` bytes lacks, 0 for none. What is more is not counted."""
    return max(0, header.size + records_in(header, size) * header.record_bytes - size)


def _begins_behind_its_header(header: Header, size: int) -> bool:
    """Whether whole data records fit behind 256 bytes for each signal and 256, and not where the header says."""

    def fits(start: int) -> bool:
        whole, rest = divmod(size - start, header.record_bytes)
        return rest == 0 and (whole == header.data_records or (header.data_records == -1 and whole > 0))

    return fits(header.size) and (header.header_bytes is None or not fits(header.header_bytes))


def start_of_recording(path: Path, where: str = SOMEWHERE) -> datetime:
    """When the first sample was taken: local time of the recording machine, without zone, to the microsecond.

    The date is the startdate field's; `Startdate` in the recording field gives the century if it names the same day
    and the date if the field holds no day that exists. The timekeeping annotation of the first data record adds the
    part of a second. Raises BadRecording where there is no date, no time, or no header.
    """
    header = read_header(path, where)
    day = start_date(header)
    if day is None:
        raise BadRecording(where, "it has no start date that exists", "correct a copy of it, or exclude it")
    clock = header_time(header.starttime)
    if clock is None:
        raise BadRecording(where, "it has no start time that exists", "correct a copy of it, or exclude it")
    onset = _onset(path, header, 0) or 0.0
    if abs(onset) > LATEST_FIRST_RECORD.total_seconds():
        raise BadRecording(where, "its first record is dated more than 31 days from its start", "exclude it")
    try:
        return datetime.combine(day, clock) + timedelta(microseconds=round(onset * 1_000_000))
    except OverflowError:
        raise BadRecording(where, "it has no start date that exists", "exclude it") from None


def start_date(header: Header) -> date | None:
    """The day a recording starts, from the two places that say so; None where neither names a day that exists."""
    in_header = header_date(header.startdate)
    named = recording_date(header.local_recording_identification)
    if in_header is None or named is None:
        return in_header or named
    same_day = (in_header.day, in_header.month, in_header.year % 100) == (named.day, named.month, named.year % 100)
    return named if same_day else in_header


def duration(path: Path, where: str = SOMEWHERE) -> float:
    """Seconds from the first sample to the end of the last data record, gaps of a discontinuous file included.

    Raises BadRecording where the header cannot be read.
    """
    header = read_header(path, where)
    records = max(0, records_in(header, path.stat().st_size))
    recorded = records * header.duration_of_data_record
    if header.plus != "D" or records < 2:
        return recorded
    first, last = _onset(path, header, 0), _onset(path, header, records - 1)
    if first is None or last is None:
        return recorded
    return max(recorded, last - first + header.duration_of_data_record)


def _onset(path: Path, header: Header, record: int) -> float | None:
    """Seconds from the header's start to data record `record`, by its timekeeping annotation; None if it has none."""
    offset = header.size + record * header.record_bytes
    for signal in header.signals:
        if signal.is_annotations:
            break
        offset += signal.samples_per_data_record * header.sample_bytes
    else:
        return None
    length = min(signal.samples_per_data_record * header.sample_bytes, 64)
    with path.open("rb", buffering=0) as stream:
        match = _TIMEKEEPING.match(os.pread(stream.fileno(), length, offset))
    return float(match[1]) if match else None

"""The scrubbed header of a recording: a pure function from bytes to bytes of the same length.

Source: EDF+ 2003, section 2.1.3.3, items 3 (patient) and 4 (recording): subfields are separated by spaces, and `X`
stands for one that is unknown or not to be told.
"""

import re
from dataclasses import dataclass, field
from datetime import date, timedelta

from ecogvault.edf.errors import SOMEWHERE, BadRecording
from ecogvault.edf.header import PATIENT, RECORDING, STARTDATE, Header, parse_header
from ecogvault.edf.timing import MONTHS, has_no_recording_date, header_date, recording_date

UNKNOWN_DATE = "01.01.85"
"""What stands for a day that is not to be told: the first one that the startdate field can say (EDF+ 2003, additional
specification 2), and the one that other programs write, too."""


@dataclass(frozen=True)
class Change:
    """One header field that was rewritten: its name, where it begins, and its bytes before and after."""

    name: str
    offset: int
    before: bytes = field(repr=False)
    after: bytes


def scrubbed_header(
    header_bytes: bytes, code: str, where: str = SOMEWHERE, *, shift_days: int = 0
) -> tuple[bytes, list[Change]]:
    """The header with `code` for the patient and nothing but the start date about the recording, and what changed.

    `header_bytes` is the whole header; the result has the same length and differs only in the patient and the recording
    field, and with `shift_days` in the startdate field. The recording field keeps its own start date, or gets the
    header's; where neither exists, or the field says `Startdate X`, it says so. `shift_days` is added to both dates
    alike. Raises BadRecording, and ValueError if `code` is not a word of ASCII letters and digits.
    """
    if not re.fullmatch(r"[0-9A-Za-z_-]{1,74}", code):
        raise ValueError("a subject code is one word of ASCII letters and digits")
    header = parse_header(header_bytes, where)
    own = header.local_recording_identification
    day = None if has_no_recording_date(own) else recording_date(own) or header_date(header.startdate)
    patched = bytearray(header_bytes)
    changes = []
    for name, place, text in (
        ("local_patient_identification", PATIENT, f"{code} X X X"),
        ("local_recording_identification", RECORDING, f"Startdate {named_day(day, shift_days, where)} X X X"),
        ("startdate", STARTDATE, _startdate(header, shift_days, where)),
    ):
        before = header_bytes[place]
        after = before if text is None else text.encode("ascii").ljust(len(before))
        if before != after:
            patched[place] = after
            changes.append(Change(name, place.start, before, after))
    return bytes(patched), changes


def named_day(day: date | None, shift_days: int, where: str) -> str:
    """A date as the identification fields have it, `02-MAR-2002`, moved by `shift_days`; X for none."""
    if day is None:
        return "X"
    moved = _moved(day, shift_days, where)
    return f"{moved.day:02}-{MONTHS[moved.month - 1]}-{moved.year:04}"


def _startdate(header: Header, shift_days: int, where: str) -> str | None:
    """The startdate field moved by `shift_days`; None to leave it as it is.

    What is no day that exists (`31.02.11`) is still close to the true one: it is not left to be read, and the day that
    the recording field names stands there instead, if it names one. Zeros and blanks say nothing, and stay.
    """
    if not shift_days or not header.startdate.strip("0./:'- "):
        return None
    day = header_date(header.startdate) or recording_date(header.local_recording_identification)
    if day is None:
        return UNKNOWN_DATE
    moved = _moved(day, shift_days, where)
    if not 1985 <= moved.year <= 2084:
        raise BadRecording(
            where,
            "its start date, shifted, lies outside the years 1985 to 2084, and the format cannot say it",
            "give the person another number of days",
        )
    return f"{moved.day:02}.{moved.month:02}.{moved.year % 100:02}"


def _moved(day: date, shift_days: int, where: str) -> date:
    try:
        return day + timedelta(days=shift_days)
    except OverflowError:
        raise BadRecording(
            where, "its start date, shifted, lies beyond all calendars", "give the person another number of days"
        ) from None

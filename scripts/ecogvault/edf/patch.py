"""The scrubbed header of a recording: a pure function from bytes to bytes of the same length.

Source: EDF+ 2003, section 2.1.3.3, items 3 (patient) and 4 (recording): subfields are separated by spaces, and `X`
stands for one that is unknown or not to be told.
"""

import re
from dataclasses import dataclass, field

from ecogvault.edf.errors import SOMEWHERE
from ecogvault.edf.header import PATIENT, RECORDING, parse_header
from ecogvault.edf.timing import MONTHS, has_no_recording_date, header_date, recording_date


@dataclass(frozen=True)
class Change:
    """One header field that was rewritten: its name, where it begins, and its bytes before and after."""

    name: str
    offset: int
    before: bytes = field(repr=False)
    after: bytes


def scrubbed_header(header_bytes: bytes, code: str, where: str = SOMEWHERE) -> tuple[bytes, list[Change]]:
    """The header with `code` for the patient and nothing but the start date about the recording, and what changed.

    `header_bytes` is the whole header; the result has the same length and differs only in the patient and the recording
    field. The recording field keeps its own start date, or gets the header's; where neither exists, or the field says
    `Startdate X`, it says so. Raises BadRecording, and ValueError if `code` is not a word of ASCII letters and digits.
    """
    if not re.fullmatch(r"[0-9A-Za-z_-]{1,74}", code):
        raise ValueError("a subject code is one word of ASCII letters and digits")
    header = parse_header(header_bytes, where)
    own = header.local_recording_identification
    day = None if has_no_recording_date(own) else recording_date(own) or header_date(header.startdate)
    date = f"{day.day:02}-{MONTHS[day.month - 1]}-{day.year:04}" if day else "X"
    patched = bytearray(header_bytes)
    changes = []
    for name, place, text in (
        ("local_patient_identification", PATIENT, f"{code} X X X"),
        ("local_recording_identification", RECORDING, f"Startdate {date} X X X"),
    ):
        before, after = header_bytes[place], text.encode("ascii").ljust(80)
        if before != after:
            patched[place] = after
            changes.append(Change(name, place.start, before, after))
    return bytes(patched), changes

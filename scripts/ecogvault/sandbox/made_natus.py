"""Files of a Natus/XLTEK session folder: the generic header, tables that are real, and the SNC and VTC texts.

Generic header, 352 bytes, little-endian: a 16-byte file type id, two u16 of version, at 20 the creation time (u32,
seconds since 1970, UTC), at 32, 112 and 192 the last, first and middle name and at 272 the MRN, each of 80 bytes and
ended by a zero. A FILETIME counts 100 ns since 1601-01-01 UTC (Microsoft, MS-DTYP, section 2.3.3). The layouts of .snc,
.stc and .vtc, and their sources, are described in `ecogvault.natus.tables`; here they are written from that description
and not with its constants, so that the reader is not tested against itself.
"""

import random
import struct
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from ecogvault.person import Person

HEADER_BYTES = 352
EXTENSIONS = ("eeg", "ent", "erd", "etc", "snc", "stc", "vtc", "vt2", "epo")
CONTINUED = ("erd", "etc")

_EPOCH_1601 = datetime(1601, 1, 1, tzinfo=UTC)


def filetime(moment: datetime) -> int:
    """A FILETIME: 100 ns steps since 1601-01-01 UTC."""
    return (moment - _EPOCH_1601) // timedelta(microseconds=1) * 10


def _name(text: str) -> bytes:
    return text.encode("latin-1", errors="replace")[:79].ljust(80, b"\0")


def first_and_middle(person: Person) -> tuple[str, str]:
    """How the hospital's system splits the given names: the first, and the rest."""
    first, _, middle = person.given.partition(" ")
    return first, middle


# File type and schema as the vendor's programs write them, where public readers know them.
_TYPES = {"snc": ("ca0b0790-d795-11d0-af32-00a0245b54a5", 0), "stc": ("e9b71278-a84b-4d59-bf87-10728fb8bd9d", 1)}


def header_bytes(extension: str, person: Person, created: datetime, generator: random.Random) -> bytes:
    """The generic header of a file of this extension."""
    first, middle = first_and_middle(person)
    known, schema = _TYPES.get(extension, (str(uuid.uuid5(uuid.NAMESPACE_OID, f"natus {extension}")), 9))
    ids = (generator.getrandbits(31), generator.getrandbits(31))
    start = struct.pack("<HHIII", schema, 1, int(created.timestamp()), *ids)
    names = _name(person.surname) + _name(first) + _name(middle) + _name(person.mrn)
    return uuid.UUID(known).bytes_le + start + names


def snc_bytes(
    person: Person, start: datetime, generator: random.Random, *, rows: int, samples_per_second: int
) -> bytes:
    """A whole .snc: every ten seconds the sample stamp and the clock."""
    records = [
        struct.pack("<iQ", row * 10 * samples_per_second, filetime(start + timedelta(seconds=10 * row)))
        for row in range(rows)
    ]
    return header_bytes("snc", person, start, generator) + b"".join(records)


def stc_bytes(
    person: Person, start: datetime, generator: random.Random, segments: Sequence[str], samples: int
) -> bytes:
    """A whole .stc: `segments` (names without extension), each of `samples` samples."""
    records = [
        struct.pack(
            "<256siiii", _named(name, 256), number * samples, (number + 1) * samples - 1, number * samples, samples
        )
        for number, name in enumerate(segments)
    ]
    frame = struct.pack("<ii48x", len(segments), 1)
    return header_bytes("stc", person, start, generator) + frame + b"".join(records)


def vtc_bytes(clips: Sequence[tuple[str, datetime]], seconds: float) -> bytes:
    """A whole .vtc of AVI videos, each `seconds` long. It has no generic header."""
    record = uuid.UUID("5ef8feff-dcfc-44e5-8fae-19f5d622b6d4").bytes_le
    records = [
        struct.pack(
            "<261s16sQQ", _named(name, 261), record, filetime(moment), filetime(moment + timedelta(seconds=seconds))
        )
        for name, moment in clips
    ]
    return uuid.UUID("5be3aca1-a230-4ac0-aa94-49650f2cf6a0").bytes_le + struct.pack("<I", 1) + b"".join(records)


def _named(name: str, size: int) -> bytes:
    return name.encode("latin-1", errors="replace")[: size - 1]


def file_bytes(extension: str, person: Person, created: datetime, generator: random.Random, *, size: int) -> bytes:
    """A whole vendor file: header, and `size` bytes that look like nothing; an .eeg repeats the name in its text."""
    text = b""
    if extension == "eeg":
        first, _ = first_and_middle(person)
        text = f'(."Info", (."Name", (."LastName", "{person.surname}"), (."FirstName", "{first}")))'.encode(
            "latin-1", errors="replace"
        )
    return header_bytes(extension, person, created, generator) + text + generator.randbytes(size)


def doc_bytes(person: Person, generator: random.Random) -> bytes:
    """A word processor's report with the patient's name in its text, as UTF-16LE and as Latin-1."""
    text = f"Report on {person.given} {person.surname}, MRN {person.mrn}, born {person.birth_date}."
    magic = bytes.fromhex("d0cf11e0a1b11ae1")
    return (
        magic
        + generator.randbytes(1016)
        + text.encode("utf-16-le")
        + b"\0" * 64
        + text.encode("latin-1", errors="replace")
        + generator.randbytes(2048)
    )


def vtc_text(stem: str, clips: Sequence[tuple[str, datetime]]) -> str:
    """The listing of a session's video clips: 10 lines of heading, then `name.avi [dd/mm/YYYY HH:MM:SS.fff]`, UTC."""
    heading = ["Video time codes", f"File: {stem}.vtc", "Version: 1", "Schema: 1", f"Clips: {len(clips)}"]
    heading += ["Clock: UTC", "Format: clip [dd/mm/YYYY HH:MM:SS.fff]", "", "Clips", "-----"]
    rows = [
        f"{name} [{moment.strftime('%d/%m/%Y %H:%M:%S')}.{moment.microsecond // 1000:03d}]" for name, moment in clips
    ]
    return "\r\n".join([*heading, *rows]) + "\r\n"


def snc_text(stem: str, start: datetime, *, rows: int, samples_per_second: int) -> str:
    """The listing of a session's clock: 8 lines of heading, then one row every ten seconds.

    A row is tab-separated: the sample stamp, seconds from the start, and a FILETIME (UTC).
    """
    heading = ["Synchronisation", f"File: {stem}.snc", "Version: 1", "Schema: 1", f"Rows: {rows}", "Clock: UTC", ""]
    heading.append("Stamp\tSeconds\tFileTime")
    body = [
        f"{row * 10 * samples_per_second}\t{row * 10}.000\t{filetime(start + timedelta(seconds=10 * row))}"
        for row in range(rows)
    ]
    return "\r\n".join([*heading, *body]) + "\r\n"

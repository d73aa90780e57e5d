"""Files of a Natus/XLTEK session folder: the generic header, made-up content behind it, and the SNC and VTC texts.

Generic header, 352 bytes, little-endian: a 16-byte file type id, two u16 of version, at 20 the creation time (u32,
seconds since 1970, UTC), at 32, 112 and 192 the last, first and middle name and at 272 the MRN, each of 80 bytes and
ended by a zero. A FILETIME counts 100 ns since 1601-01-01 UTC (Microsoft, MS-DTYP, section 2.3.3).
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


def header_bytes(extension: str, person: Person, created: datetime, generator: random.Random) -> bytes:
    """The generic header of a file of this extension."""
    first, middle = first_and_middle(person)
    kind = uuid.uuid5(uuid.NAMESPACE_OID, f"natus {extension}").bytes_le
    start = struct.pack("<HHIII", 9, 1, int(created.timestamp()), generator.getrandbits(31), generator.getrandbits(31))
    return kind + start + _name(person.surname) + _name(first) + _name(middle) + _name(person.mrn)


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

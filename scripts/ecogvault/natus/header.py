"""The header that most files of a Natus (XLTEK) session folder begin with.

352 bytes, little-endian: GUID of the file type at 0 (16 bytes), file schema and base schema as u16 at 16 and 18, time
of creation as u32 at 20 (time_t, UTC), two numbers at 24 and 28 (base schema 1: patient and study; base schema 0, where
16 to 19 are one schema number: product version), then four texts of 80 bytes: last name at 32, first name at 112,
middle name at 192, record number at 272.

Sources, both public readers: wonambi, `wonambi/ioeeg/ktlx.py`, `_read_hdr_file`; nyuolab's XltekDataReader,
`data_templates/generic_header_data_template_schema_1.json`. `.vtc` files have no such header (wonambi, `_read_vtc`: the
GUID, then records from byte 20), and `.epo`, `.doc` and video files have formats of their own.
"""

import struct
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ecogvault.errors import EcogvaultError
from ecogvault.person import Person

HEADER_BYTES = 352
# Where a session's creation time is looked for, in this order.
SUFFIXES = (".eeg", ".erd", ".stc", ".etc", ".snc", ".ent")

_FORMAT = struct.Struct("<16sHHIII80s80s80s80s")
_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)


class BadNatusFile(EcogvaultError):
    """A file that should begin with the generic Natus header does not."""

    def __init__(self, where: str, reason: str, advice: str = "copy it from the hospital again, or leave it") -> None:
        super().__init__(f"{where}: {reason}: {advice}")


@dataclass(frozen=True)
class NatusHeader:
    """The header as the file has it. Texts end at their first NUL byte and never show in a repr."""

    file_guid: uuid.UUID
    file_schema: int
    base_schema: int
    creation_time: datetime
    patient_id: int = field(repr=False)
    study_id: int = field(repr=False)
    last_name: str = field(repr=False)
    first_name: str = field(repr=False)
    middle_name: str = field(repr=False)
    mrn: str = field(repr=False)

    @property
    def has_plausible_time(self) -> bool:
        """Whether the time of creation lies between 1990 and 2100: a zeroed or damaged one does not."""
        return _EARLIEST <= self.creation_time < _LATEST

    @property
    def patient_field(self) -> str:
        """Record number and name in one text, in the order of an EDF+ patient field: for `edf.names_person`."""
        name = "^".join(part for part in (self.last_name, self.first_name, self.middle_name) if part)
        return " ".join(part for part in ("".join(self.mrn.split()), name) if part)


def parse_generic_header(data: bytes, where: str = "a session file") -> NatusHeader:
    """The header at the beginning of `data`. Raises BadNatusFile if it is too short or of no known kind.

    Known are base schema 0 and 1; the slots for names must hold text, and neither GUID nor schemas may be all zeros.
    """
    if len(data) < HEADER_BYTES:
        raise BadNatusFile(where, "it is shorter than the header of a Natus file")
    guid, file_schema, base_schema, created, patient_id, study_id, *slots = _FORMAT.unpack_from(data)
    if base_schema not in (0, 1):
        raise BadNatusFile(where, f"its base schema {base_schema} is not known")
    texts = [_text(slot) for slot in slots]
    # In base schema 0 the two are one number that is never 0; zeros there are another format's.
    is_blank = not any(guid) or (base_schema == 0 and file_schema == 0)
    if is_blank or not all(text.isprintable() for text in texts):
        raise BadNatusFile(where, "it does not begin with the header of a Natus file")
    time = datetime.fromtimestamp(created, UTC)
    return NatusHeader(uuid.UUID(bytes_le=guid), file_schema, base_schema, time, patient_id, study_id, *texts)


def read_generic_header(path: Path, where: str = "a session file") -> NatusHeader:
    """The header of a file. Raises BadNatusFile, OSError."""
    with path.open("rb") as stream:
        return parse_generic_header(stream.read(HEADER_BYTES), where)


def _text(slot: bytes) -> str:
    # Behind the first NUL byte may be anything the program had in memory.
    raw = slot.split(b"\0", 1)[0]
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    return text.strip()


def header_files(folder: Path) -> list[Path]:
    """The files of a session folder (not of folders in it) that carry the header, the most telling first.

    By kind in the order of SUFFIXES, and within a kind the first segment, which has no number, before the others.
    """
    ranked = [
        (SUFFIXES.index(path.suffix.casefold()), len(path.name), path.name.casefold(), path.name, path)
        for path in folder.iterdir()
        if path.suffix.casefold() in SUFFIXES and path.is_file()
    ]
    return [path for *_, path in sorted(ranked)]


def first_header(folder: Path, where: str = "a session folder") -> NatusHeader | None:
    """The header of the first file, in the order of `header_files`, that has one with a plausible time of creation.

    None if no file has. Damaged files are passed over as long as another speaks for the session. OSError as it comes.
    """
    for path in header_files(folder):
        try:
            header = read_generic_header(path, where)
        except BadNatusFile:
            continue
        if header.has_plausible_time:
            return header
    return None


def creation_time(folder: Path, where: str = "a session folder") -> datetime | None:
    """When the session in `folder` was created (UTC, to the second), or None if none of its files says so plausibly."""
    header = first_header(folder, where)
    return header.creation_time if header else None


def patient(header: NatusHeader) -> Person:
    """The person whom the header names; unknown texts are empty. The given name includes middle names."""
    given = " ".join(part for part in (header.first_name, header.middle_name) if part)
    return Person(surname=header.last_name, given=given, mrn=header.mrn)

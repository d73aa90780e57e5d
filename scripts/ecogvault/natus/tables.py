"""The tables of a session folder: .snc (sample stamps and clock), .stc (segments of data) and .vtc (videos).

* .snc: the generic header, then records of 12 bytes from 352 on: i32 sample stamp, u64 FILETIME.
* .stc: the generic header, 56 bytes more, then records of 272 bytes from 408 on: name of the segment in 256 bytes, i32
  first and last sample stamp, i32 samples recorded before, i32 samples in the segment.
* .vtc of the time of AVI videos: GUID 5be3aca1-a230-4ac0-aa94-49650f2cf6a0, u32 at 16, then records of 293 bytes from
  20 on: file name in 261 bytes, a GUID that is the same in every record, FILETIMEs of start and end. Older ones, of the
  time of MPEG videos, have another GUID and records of 284 bytes: they are not read.

A FILETIME counts 100 ns since 1601-01-01 UTC (Microsoft, MS-DTYP, section 2.3.3).

Sources: wonambi, `wonambi/ioeeg/ktlx.py`, `_read_snc`, `_read_stc`, `_read_vtc` (layouts, and the GUID inside a .vtc
record); nyuolab's XltekDataReader, `data_templates/{snc/file_schema_0,stc/file_schema_1,vtc}/data_template.json`
(layouts, the GUIDs of .snc and .stc, and their schemas); Mayo's xltek2mef, constants `VTC_GUID_AVI`, `VTC_GUID_MPG` and
`XLTEK_VTC_RECORD_LENGTH_*` (the two sorts of .vtc).
"""

import struct
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ecogvault.natus.header import HEADER_BYTES, BadNatusFile, parse_generic_header

SNC_GUID = uuid.UUID("ca0b0790-d795-11d0-af32-00a0245b54a5")
STC_GUID = uuid.UUID("e9b71278-a84b-4d59-bf87-10728fb8bd9d")
VTC_GUID = uuid.UUID("5be3aca1-a230-4ac0-aa94-49650f2cf6a0")
VTC_GUID_MPEG = uuid.UUID("5e01c1f1-f9a9-11d2-adf3-00104b8cc65e")
VTC_RECORD_GUID = uuid.UUID("5ef8feff-dcfc-44e5-8fae-19f5d622b6d4")
SNC_SCHEMA = 0
STC_SCHEMA = 1

SNC_RECORD = struct.Struct("<iQ")
STC_START = 408
STC_RECORD = struct.Struct("<256siiii")
VTC_START = 20
VTC_RECORD = struct.Struct("<261s16sQQ")

_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
# 1990 and 2100: a zeroed or damaged time lies outside.
_EARLIEST, _LATEST = 122_756_256_000_000_000, 157_469_184_000_000_000


class UnknownSchema(BadNatusFile):
    """A file of a kind or schema that no public reader knows. `what` names it, such as `schema 3 of .snc`."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(where, f"{what} is not known, and is left alone", "have its text made by the vendor's tool")
        self.what = what


@dataclass(frozen=True)
class SyncPoint:
    """One record of an .snc: at sample `stamp` the clock showed `filetime`."""

    stamp: int
    filetime: int


@dataclass(frozen=True)
class Segment:
    """One record of an .stc: a pair of .erd and .etc files, and which samples it holds. The name shows nowhere."""

    name: str = field(repr=False)
    first_stamp: int
    last_stamp: int
    samples_before: int
    samples: int


@dataclass(frozen=True)
class Video:
    """One record of a .vtc: a video, and the FILETIMEs of its start and end. The name shows nowhere."""

    name: str = field(repr=False)
    start: int
    end: int


def time_of(filetime: int) -> datetime:
    """A FILETIME as time in UTC, cut to the microsecond."""
    return _EPOCH + timedelta(microseconds=filetime // 10)


def filetime_of(moment: datetime) -> int:
    """A time as FILETIME."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 10


def identify(beginning: bytes, size: int, kind: str, where: str = "a session file") -> None:
    """Check that a file of extension `kind` (`snc`, `stc`, `vtc`) is one whose layout is known.

    `beginning` is its first 352 bytes (all of it if it is shorter), `size` its size in bytes. Raises UnknownSchema, and
    BadNatusFile for a file that is damaged.
    """
    if kind == "vtc":
        _identify_vtc(beginning, where)
        start, record = VTC_START, VTC_RECORD.size
    else:
        header = parse_generic_header(beginning, where)
        guid, schema = (SNC_GUID, SNC_SCHEMA) if kind == "snc" else (STC_GUID, STC_SCHEMA)
        if header.file_guid != guid:
            raise UnknownSchema(where, f"file type {header.file_guid} of .{kind}")
        if header.file_schema != schema:
            raise UnknownSchema(where, f"schema {header.file_schema} of .{kind}")
        start, record = (HEADER_BYTES, SNC_RECORD.size) if kind == "snc" else (STC_START, STC_RECORD.size)
    if size < start or (size - start) % record:
        raise BadNatusFile(where, f"it ends within a record of .{kind}")


def _identify_vtc(beginning: bytes, where: str) -> None:
    if len(beginning) < VTC_START:
        raise BadNatusFile(where, "it is shorter than the header of a .vtc")
    guid = uuid.UUID(bytes_le=beginning[:16])
    if guid == VTC_GUID_MPEG:
        raise UnknownSchema(where, "a .vtc of MPEG videos")
    if guid != VTC_GUID:
        raise UnknownSchema(where, f"file type {guid} of .vtc")


def parse_snc(data: bytes, where: str = "an .snc") -> list[SyncPoint]:
    """The records of an .snc, in its order. Raises UnknownSchema, BadNatusFile."""
    identify(data[:HEADER_BYTES], len(data), "snc", where)
    points = [SyncPoint(*values) for values in SNC_RECORD.iter_unpack(data[HEADER_BYTES:])]
    _require_times([point.filetime for point in points], where)
    return points


def parse_stc(data: bytes, where: str = "an .stc") -> list[Segment]:
    """The records of an .stc, in its order. Raises UnknownSchema, BadNatusFile."""
    identify(data[:HEADER_BYTES], len(data), "stc", where)
    return [Segment(text_of(name), *numbers) for name, *numbers in STC_RECORD.iter_unpack(data[STC_START:])]


def parse_vtc(data: bytes, where: str = "a .vtc") -> list[Video]:
    """The records of a .vtc, in its order. Raises UnknownSchema, BadNatusFile."""
    identify(data[:HEADER_BYTES], len(data), "vtc", where)
    videos = []
    for name, guid, start, end in VTC_RECORD.iter_unpack(data[VTC_START:]):
        if guid != VTC_RECORD_GUID.bytes_le:
            raise UnknownSchema(where, f"a record {uuid.UUID(bytes_le=guid)} of .vtc")
        videos.append(Video(text_of(name), start, end))
    _require_times([video.start for video in videos], where)
    return videos


def text_of(slot: bytes) -> str:
    """The text of a slot, up to its first NUL byte."""
    raw = slot.split(b"\0", 1)[0]
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def _require_times(filetimes: list[int], where: str) -> None:
    for number, filetime in enumerate(filetimes, start=1):
        if not _EARLIEST <= filetime < _LATEST:
            raise BadNatusFile(where, f"its record {number} has no time between 1990 and 2100")

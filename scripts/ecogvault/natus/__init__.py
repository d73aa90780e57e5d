"""Files of a Natus (XLTEK) session folder: their header, the tables that tell times, and the slots that hold names.

Everything is little-endian, and known from public readers; what has another schema is named and left alone.
"""

from ecogvault.natus.header import (
    HEADER_BYTES,
    SUFFIXES,
    BadNatusFile,
    NatusHeader,
    creation_time,
    first_header,
    header_files,
    parse_generic_header,
    patient,
    read_generic_header,
)
from ecogvault.natus.slots import Patch, overlay, patches, slotted
from ecogvault.natus.tables import (
    Segment,
    SyncPoint,
    UnknownSchema,
    Video,
    filetime_of,
    identify,
    parse_snc,
    parse_stc,
    parse_vtc,
    time_of,
)

__all__ = [
    "HEADER_BYTES",
    "SUFFIXES",
    "BadNatusFile",
    "NatusHeader",
    "Patch",
    "Segment",
    "SyncPoint",
    "UnknownSchema",
    "Video",
    "creation_time",
    "filetime_of",
    "first_header",
    "header_files",
    "identify",
    "overlay",
    "parse_generic_header",
    "parse_snc",
    "parse_stc",
    "parse_vtc",
    "patches",
    "patient",
    "read_generic_header",
    "slotted",
    "time_of",
]

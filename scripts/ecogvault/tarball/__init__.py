"""Sealed tarballs: a unit as one tar, in zstd frames with an index, in one age file.

Writing: seal. Reading: read_index, open_sealed_tarball (by range), open_stream (from beginning to end).
"""

from ecogvault.tarball.expected import expected_ranges
from ecogvault.tarball.index import Index, IndexedFrame, IndexedMember, NoIndex, parse_index, read_index_file
from ecogvault.tarball.open import (
    BeyondEnd,
    NoSuchMember,
    Opened,
    TarballDamaged,
    WrongUnit,
    check_range,
    chosen_members,
    open_sealed_tarball,
    read_index,
    read_part,
    sealed_ranges,
)
from ecogvault.tarball.seal import HOW_TO_OPEN, Digests, seal
from ecogvault.tarball.stream import NotOurs, NotZstd, open_stream
from ecogvault.tarball.target import OtherContent, UnsafePath
from ecogvault.tarball.untar import NotATar

__all__ = [
    "HOW_TO_OPEN",
    "BeyondEnd",
    "Digests",
    "Index",
    "IndexedFrame",
    "IndexedMember",
    "NoIndex",
    "NoSuchMember",
    "NotATar",
    "NotOurs",
    "NotZstd",
    "Opened",
    "OtherContent",
    "TarballDamaged",
    "UnsafePath",
    "WrongUnit",
    "check_range",
    "chosen_members",
    "expected_ranges",
    "open_sealed_tarball",
    "open_stream",
    "parse_index",
    "read_index",
    "read_index_file",
    "read_part",
    "seal",
    "sealed_ranges",
]

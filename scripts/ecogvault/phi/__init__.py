"""Names that must not leave: the spellings of a person's identifiers, the scanner that looks for them, the verdict.

`Names.in_text` and `Names.in_bytes` hold the one rule about what counts as a name (DESIGN, section 6, "The gate"); the
gate (`scan_unit`) and anything that looks for leaks use both.
"""

from ecogvault.phi.own_words import HEADER_WORDS, OWN_WORDS
from ecogvault.phi.scan import FileScan, scan_file, scan_unit
from ecogvault.phi.scanner import ByteScanner, Hit, Names, Region
from ecogvault.phi.sources import Bytes, OpenFile, Source
from ecogvault.phi.sweep import Changed, sweep
from ecogvault.phi.verdict import (
    Finding,
    Refused,
    Verdict,
    decide,
    free_texts,
    identifiers_hash,
    permits,
    read_verdict,
    require_current,
    shown,
    with_annotations,
    write_verdict,
)
from ecogvault.phi.waivers import (
    Waiver,
    WaiverRefused,
    add_waivers,
    content_id,
    honoured,
    is_waived,
    read_waivers,
    withdraw,
)

__all__ = [
    "HEADER_WORDS",
    "OWN_WORDS",
    "ByteScanner",
    "Bytes",
    "Changed",
    "FileScan",
    "Finding",
    "Hit",
    "Names",
    "OpenFile",
    "Refused",
    "Region",
    "Source",
    "Verdict",
    "Waiver",
    "WaiverRefused",
    "add_waivers",
    "content_id",
    "decide",
    "free_texts",
    "honoured",
    "identifiers_hash",
    "is_waived",
    "permits",
    "read_verdict",
    "read_waivers",
    "require_current",
    "scan_file",
    "scan_unit",
    "shown",
    "sweep",
    "with_annotations",
    "withdraw",
    "write_verdict",
]

"""SNC and VTC text: recognised, given coded names and shifted dates, or made from the session folder's own tables."""

from ecogvault.synctext.generate import generated, is_table
from ecogvault.synctext.texts import (
    SNC_HEADER_LINES,
    VTC_HEADER_LINES,
    BadSyncText,
    holds_identifier,
    kind_of,
    recode,
    sniff,
    start_of,
    text_start,
)

__all__ = [
    "SNC_HEADER_LINES",
    "VTC_HEADER_LINES",
    "BadSyncText",
    "generated",
    "holds_identifier",
    "is_table",
    "kind_of",
    "recode",
    "sniff",
    "start_of",
    "text_start",
]

"""Bringing copies back: what was asked for, which copy is the best, fetching, opening, and comparing with the manifest.

The signed statement is demanded first, then everything is compared with the manifest that it names. Files come below
`restored/{destination}/{unit}/`, 0700, and never over different ones.
"""

from ecogvault.restore.errors import NotWhatWasArchived
from ecogvault.restore.unit import restore_file, restore_unit

__all__ = ["NotWhatWasArchived", "restore_file", "restore_unit"]

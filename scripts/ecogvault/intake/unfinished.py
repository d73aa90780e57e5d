"""Recordings whose recorder, or whose copy, stopped within a data record: told before an order is accepted."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ecogvault import edf
from ecogvault.intake.order import Row
from ecogvault.naming import RECORDING_KINDS


def unfinished(folders: Mapping[int, Path], rows: Sequence[Row]) -> dict[int, str]:
    """By session number, a remark where the last data record of the recording is cut short.

    `folders` are the raw folders by part. Recordings that are gone are passed over. Raises edf.BadRecording for one
    that is no whole recording any more, and OSError as it comes.
    """
    found = {}
    for row in rows:
        path = folders[row.part] / row.item
        if row.role in RECORDING_KINDS and path.is_file():
            missing = edf.missing_bytes(edf.check_complete(path, str(row.unit)), path.stat().st_size)
            if missing:
                found[row.unit.number] = f"the recording's last record lacks {missing} bytes: is its copy complete?"
    return found

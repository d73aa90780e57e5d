"""The recorder's two clocks: an EDF has local time, the Natus files of its session folder have UTC."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from ecogvault import natus
from ecogvault.intake.order import Row, span
from ecogvault.naming import RECORDING_KINDS

# Natus' time of creation is to the second, and the recording begins a moment later.
TOLERANCE = timedelta(seconds=2)


def differences(folders: Mapping[int, Path], rows: Sequence[Row]) -> dict[int, str]:
    """By session number, a remark where the recording's start and Natus' differ by more than 2 s.

    `folders` are the raw folders by part. Sessions whose raw files are gone, or of which only one of the two speaks,
    are passed over. OSError as it comes.
    """
    sessions: dict[int, list[Row]] = {}
    for row in rows:
        sessions.setdefault(row.unit.number, []).append(row)
    found = {}
    for number, members in sessions.items():
        folder = next((folders[row.part] / row.item for row in members if row.role == "vid"), None)
        if folder is None or not folder.is_dir() or not any(row.role in RECORDING_KINDS for row in members):
            continue
        created = natus.creation_time(folder)
        if created is not None and abs(members[0].start - created) > TOLERANCE:
            later = members[0].start > created
            between = span(abs(members[0].start - created))
            found[number] = f"the recording starts {between} {'after' if later else 'before'} Natus' time of creation"
    return found

"""What an item's own headers say: when it starts and ends, and whose it is."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from ecogvault import edf, natus, synctext
from ecogvault.intake.find import Item
from ecogvault.naming import RECORDING_KINDS
from ecogvault.person import Person, letters, words

# A surname shorter than this is looked for as whole words only: it stands inside too many other names.
SHORT_NAME = 5


@dataclass(frozen=True)
class Timed:
    """An item with its start and end (UTC); None where its headers do not say.

    `other` is a recording's start if the second of two repeated hours is meant.
    """

    item: Item
    start: datetime | None
    end: datetime | None
    other: datetime | None = None


def timed(root: Path, item: Item, zone: ZoneInfo, where: str) -> Timed:
    """When `item` starts and ends. `where` is its private id, for messages.

    An EDF's start is local time of the recorder (EDF+ 2.1.3.3), a Natus file's creation time is UTC, and so are the
    times of a text. In the hour that clocks repeat the first of the two is taken, and the second is `other`; a time
    that clocks skip is taken as if they had not. A table in a session folder has no time of its own. Raises
    edf.BadRecording for a recording that is unreadable or truncated, and OSError as it comes.
    """
    path = root / item.path
    if item.role in RECORDING_KINDS:
        edf.check_complete(path, where)
        local = edf.start_of_recording(path, where).replace(tzinfo=zone)
        try:
            start = local.astimezone(UTC)
            second = local.replace(fold=1).astimezone(UTC)
            other = second if second > start else None
            return Timed(item, start, start + timedelta(seconds=edf.duration(path, where)), other)
        except (OverflowError, ValueError):
            raise edf.BadRecording(where, "its start or length is beyond all calendars", "exclude it") from None
    if item.role == "vid":
        return Timed(item, natus.creation_time(path, where), None)
    if item.role in ("snc", "vtc") and item.home is None:
        return Timed(item, synctext.text_start(path), None)
    return Timed(item, None, None)


def is_foreign(root: Path, item: Item, person: Person, where: str) -> bool:
    """Whether the headers of `item` name somebody else: an EDF's patient field, a session folder's Natus headers."""
    path = root / item.path
    if item.role in RECORDING_KINDS:
        return names_another(path, person, where)
    return item.role == "vid" and folder_names_another(path, person)


def folder_names_another(folder: Path, person: Person) -> bool:
    """Whether a Natus header in the session folder `folder` names somebody else. Raises OSError."""
    return any(not _is_ours(field, person) for field in _patient_fields(folder))


def names_another(path: Path, person: Person, where: str) -> bool:
    """Whether the patient field of the recording at `path` names somebody else. Raises edf.BadRecording, OSError."""
    return not _is_ours(edf.identification(path, where).patient_field, person)


def _patient_fields(folder: Path) -> Iterator[str]:
    """What each headed file of a session folder says of its patient; files with an unknown header say nothing."""
    for path in natus.header_files(folder):
        try:
            yield natus.read_generic_header(path).patient_field
        except natus.BadNatusFile:
            continue


def _is_ours(field: str, person: Person) -> bool:
    return edf.names_nobody(field) or edf.names_person(field, person)


def bears_surname(path: str, person: Person) -> bool:
    """Whether a raw path has the surname in one of its parts, case and accents folded."""
    wanted = words(person.surname)
    for part in path.split("/"):
        if len(letters(person.surname)) >= SHORT_NAME:
            if letters(person.surname) in letters(part):
                return True
        else:
            found = words(part)
            if any(found[at : at + len(wanted)] == wanted for at in range(len(found))):
                return True
    return False

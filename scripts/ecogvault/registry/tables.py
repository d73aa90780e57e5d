"""The registry's two tables: `subjects.tsv`, one line a person, and `raw.tsv`, one line a raw folder.

Both are tables of `records`, written whole. Several other names share one cell, separated by `; `; several excluded
items by spaces. Source: DESIGN, section 5.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ecogvault.errors import Damaged
from ecogvault.naming import CODE_PATTERN
from ecogvault.person import Person
from ecogvault.private import SUBJECTS_FILE, Private
from ecogvault.records import read_table, write_table
from ecogvault.registry.errors import RegistryRefused

RAW_FILE = "raw.tsv"
SUBJECT_COLUMNS = (
    "code",
    "status",
    "surname",
    "given",
    "other_names",
    "mrn",
    "birth_date",
    "consent",
    "shift_days",
    "registered",
)
RAW_COLUMNS = ("code", "part", "path", "match", "exclude", "added")
STATUSES = ("arriving", "open", "closed", "erased")

EVERYTHING = "*"  # all that lies in the folder
SURNAME = "@surname"  # what has the surname in its name
CODED = "@coded"  # what bears the code and a session number, as `df5c5206_3`: the lab's own old names
AUTO = "auto"  # not decided yet, because the folder was empty


@dataclass(frozen=True)
class Subject:
    """A person under their code. `registered` is UTC, as utc_now writes it.

    `shift_days` is added to all dates where the configuration says so; see shift.py.
    """

    code: str
    status: str
    person: Person
    consent: str = ""
    shift_days: int = field(default=0, repr=False)
    registered: str = ""


@dataclass(frozen=True)
class RawPart:
    """One raw folder of a subject; `part` counts from 1.

    `path` is absolute. `match` is `*`, `@surname`, `@coded`, `auto` or a glob pattern; `exclude` holds private ids of
    items. Neither path nor pattern is shown by repr: they may hold a name.
    """

    code: str
    part: int
    path: Path = field(repr=False)
    match: str = field(repr=False)
    exclude: tuple[str, ...] = ()
    added: str = ""


def load(private: Private) -> list[Subject]:
    """All subjects, in the order of registration. Raises Damaged, and OSError as it comes."""
    path = private.root / SUBJECTS_FILE
    try:
        rows = read_table(path, "subjects", SUBJECT_COLUMNS)
    except FileNotFoundError:
        if (private.root / RAW_FILE).exists():
            raise Damaged(f"{path} is missing, but {RAW_FILE} beside it is there: bring it back from a copy") from None
        return []
    for number, row in enumerate(rows, start=3):
        known = row["status"] in STATUSES and re.fullmatch(CODE_PATTERN, row["code"])
        if not (known and re.fullmatch(r"-?[0-9]+", row["shift_days"])):
            raise Damaged(f"{path}, line {number}: code, status or shift_days is not what this program writes")
    return [_subject(row) for row in rows]


def _subject(row: dict[str, str]) -> Subject:
    person = Person(
        surname=row["surname"],
        given=row["given"],
        other_names=tuple(name for name in row["other_names"].split("; ") if name),
        mrn=row["mrn"],
        birth_date=row["birth_date"],
    )
    return Subject(row["code"], row["status"], person, row["consent"], int(row["shift_days"]), row["registered"])


def find(subjects: Sequence[Subject], code: str) -> Subject:
    """The subject `code` of `subjects`. Raises RegistryRefused when there is none."""
    for subject in subjects:
        if subject.code == code:
            return subject
    if re.fullmatch(CODE_PATTERN, code):
        raise RegistryRefused(f"no subject has the code {code}: `ecogvault subjects` lists them")
    raise RegistryRefused("a code is a letter a to f and seven digits 0 to f: `ecogvault subjects` lists them")


def subject(private: Private, code: str) -> Subject:
    """The subject `code`. Raises RegistryRefused when there is none."""
    return find(load(private), code)


def persons(private: Private) -> list[Person]:
    """Every registered person of whom a name is still known, whatever their status."""
    return [subject.person for subject in load(private) if subject.person.surname]


def parts(private: Private, code: str) -> list[RawPart]:
    """The raw folders of `code`, by part. Raises Damaged, and OSError as it comes."""
    return sorted((part for part in load_parts(private) if part.code == code), key=lambda part: part.part)


def load_parts(private: Private) -> list[RawPart]:
    """The raw folders of all subjects. Raises Damaged, and OSError as it comes."""
    path = private.root / RAW_FILE
    try:
        rows = read_table(path, "raw", RAW_COLUMNS)
    except FileNotFoundError:
        return []
    for number, row in enumerate(rows, start=3):
        if not (re.fullmatch(CODE_PATTERN, row["code"]) and re.fullmatch("[1-9][0-9]*", row["part"])):
            raise Damaged(f"{path}, line {number}: code or part is not what this program writes")
    return [
        RawPart(
            row["code"],
            int(row["part"]),
            Path(row["path"]),
            row["match"],
            tuple(row["exclude"].split()),
            row["added"],
        )
        for row in rows
    ]


def save(private: Private, subjects: Sequence[Subject]) -> None:
    """Write subjects.tsv. The caller holds `private.lock()`."""
    rows = (
        {
            "code": subject.code,
            "status": subject.status,
            "surname": subject.person.surname,
            "given": subject.person.given,
            "other_names": "; ".join(subject.person.other_names),
            "mrn": subject.person.mrn,
            "birth_date": subject.person.birth_date,
            "consent": subject.consent,
            "shift_days": str(subject.shift_days),
            "registered": subject.registered,
        }
        for subject in subjects
    )
    write_table(private.root / SUBJECTS_FILE, "subjects", SUBJECT_COLUMNS, rows, **private.modes)


def save_parts(private: Private, raw: Sequence[RawPart]) -> None:
    """Write raw.tsv. The caller holds `private.lock()`."""
    rows = (
        {
            "code": part.code,
            "part": str(part.part),
            "path": os.fspath(part.path),
            "match": part.match,
            "exclude": " ".join(part.exclude),
            "added": part.added,
        }
        for part in raw
    )
    write_table(private.root / RAW_FILE, "raw", RAW_COLUMNS, rows, **private.modes)


def set_status(private: Private, code: str, status: str) -> None:
    """Set the status of `code`, under the registry's lock. Raises RegistryRefused for an unknown code, ValueError for
    an unknown status, Damaged, and OSError as it comes.
    """
    if status not in STATUSES:
        raise ValueError(f"a status is one of {', '.join(STATUSES)}")
    with private.lock():
        subjects = load(private)
        found = find(subjects, code)
        if found.status != status:
            save(private, [replace(s, status=status) if s is found else s for s in subjects])


def exclude(private: Private, code: str, part: int, items: Sequence[str]) -> None:
    """Leave out `items` (private ids) of a raw folder from now on, under the registry's lock.

    Raises RegistryRefused when `code` has no such part, Damaged, and OSError as it comes.
    """
    with private.lock():
        raw = load_parts(private)
        found = [one for one in raw if (one.code, one.part) == (code, part)]
        if not found:
            raise RegistryRefused(f"{code} has no raw folder {part}")
        wanted = replace(found[0], exclude=tuple(dict.fromkeys([*found[0].exclude, *items])))
        save_parts(private, [wanted if one is found[0] else one for one in raw])

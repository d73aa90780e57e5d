"""Whose recording it is, as far as the two identification fields of its header tell.

Source: EDF+ 2003, section 2.1.3.3, item 3: hospital code, sex, birth date, name; spaces inside a subfield are written
as underscores, unknown subfields as `X`. Plain EDF has free text there, in whatever order a vendor likes.

Both questions are answered with care for the person: a foreign recording taken for this person's does more harm than
one of theirs that a human must look at. So a surname counts only as whole words, and not beside another's given name.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ecogvault.edf.errors import SOMEWHERE
from ecogvault.edf.header import read_header
from ecogvault.person import Person, fold, letters, words

# Words that say nothing about who it is.
_NEUTRAL = frozenset(
    "x xx xxx na anon anonym anonymous anonymized anonymised anonymus unknown unnamed noname none no not name names "
    "given known available patient patients pat subject id code mrn m f male female unisex sex gender dob born birth "
    "birthdate date age mr mrs ms miss dr prof jr sr ii iii".split()
)
# Our own subject codes, as `naming.CODE_PATTERN`, which stands above this module.
_CODE = re.compile(r"[a-f][0-9a-f]{7}")
_DATE = re.compile(
    r"""(?<![A-Za-z0-9])(?: \d{1,2}[-./\ ][A-Za-z]{3}[-./\ ]\d{2,4}
        | \d{4}[-./][0-3]?\d[-./][0-3]?\d
        | [0-3]?\d[-./][0-3]?\d[-./](?:\d{4}|\d{2}) )(?![A-Za-z0-9])""",
    re.VERBOSE | re.ASCII,
)
_SHORT = 5


@dataclass(frozen=True)
class Identification:
    """The two fields of the header that identify. They never show in a repr."""

    patient_field: str = field(repr=False)
    recording_field: str = field(repr=False)


def identification(path: Path, where: str = SOMEWHERE) -> Identification:
    """The patient and the recording field of a file. Raises BadRecording, OSError."""
    header = read_header(path, where)
    return Identification(header.local_patient_identification, header.local_recording_identification)


def names_nobody(field: str) -> bool:
    """Whether a patient field tells nothing about who it is.

    So it is if nothing is left of it but X, a sex, dates, a code of ours, or words such as `anonymous` and `patient`. A
    number that is not a date may be somebody's record number, and so names somebody.
    """
    rest = _DATE.sub(" ", _spaced(field))
    rest = " ".join(part for part in rest.split() if not _CODE.fullmatch(part))
    return all(word in _NEUTRAL for word in words(rest))


def names_person(field: str, person: Person) -> bool:
    """Whether a patient field names `person`: by the record number, or by the surname without another's given name.

    Word order, case, accents, separators (`Last~ First`, `LAST^FIRST`, `Last_First`) and how a compound name is joined
    do not matter; `ue` is `ü`. A surname of under five letters must stand as one word. If the field holds further names
    and the person's given name is known, one of them must agree with it or be its initial. A surname among the person's
    other names counts only together with the given name.
    """
    if _has_record_number(field, person.mrn):
        return True
    found = _name_words(_spaced(field))
    given = _given_names(person)
    surname = _plain(person.surname)
    surnames = [(surname, len(surname) < 2)] + [(_plain(other), True) for other in person.other_names]
    return any(
        glued or _agrees(rest, given, needed=needed)
        for name, needed in surnames
        if name
        for rest, glued in _without(found, name, given)
    )


def _spaced(field: str) -> str:
    return field.replace("_", " ").replace("\0", " ")


def _plain(name: str) -> str:
    """The letters of a name; umlauts are the same written as one letter, as two, or without their dots."""
    return re.sub("(?<=[aou])e", "", letters(name))


def _name_words(text: str) -> list[str]:
    """The words of a field that may belong to a name, in order."""
    found: list[str] = []
    for part in re.split(r"[\s^,;~]+", _DATE.sub(" ", fold(text))):
        # A hospital code, such as MCH-0234567, is no name; a name may have a number behind it.
        numbered = re.fullmatch(r"(\D+?)\W*\d+\W*", part)
        if numbered and len(letters(numbered[1])) >= _SHORT:
            part = numbered[1]
        if not any(letter.isdigit() for letter in part):
            found += [_plain(word) for word in words(part)]
    return found


def _given_names(person: Person) -> set[str]:
    names = (person.given, *words(person.given), *person.other_names)
    return {_plain(name) for name in names} - {""}


def _without(found: list[str], surname: str, given: set[str]) -> Iterator[tuple[list[str], bool]]:
    """For each place where `surname` stands: the other words, and whether the given name was glued to it."""
    glued = {form for name in given if len(name) > 1 for form in (surname + name, name + surname)}
    for first in range(len(found)):
        joined = ""
        for last in range(first, min(first + 8, len(found))):
            joined += found[last]
            if len(surname) < _SHORT and last > first:
                break
            if joined == surname or joined in glued:
                yield found[:first] + found[last + 1 :], joined in glued


def _agrees(rest: list[str], given: set[str], *, needed: bool) -> bool:
    """Whether the words beside the surname hold the given name, or, unless it is `needed`, no name at all."""
    others = [word for word in rest if word not in _NEUTRAL or word in given]
    if not needed and (not given or not others):
        return True
    joined = {"".join(others[i:j]) for i in range(len(others)) for j in range(i + 1, len(others) + 1)}
    if joined & given:
        return True
    for word in others:
        for name in given:
            shorter, longer = sorted((word, name), key=len)
            if longer.startswith(shorter) and (len(shorter) >= 3 or (len(shorter) == 1 and not needed)):
                return True
    return False


def _has_record_number(field: str, mrn: str) -> bool:
    wanted = letters(mrn).lstrip("0")
    if len(wanted) < 3 or not any(letter.isdigit() for letter in wanted):
        return False
    parts = [*field.replace("\0", " ").split(), *re.split(r"[\s_^,;]+", field.replace("\0", " "))]
    return any(letters(part).lstrip("0") == wanted for part in parts)

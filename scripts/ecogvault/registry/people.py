"""Person data: what is accepted, and when two entries are the same person. Pure.

Who is the same person (source: DESIGN, section 5, "The same person"). A field agrees, differs, or is unknown because
one side lacks it. Names agree by their letters and digits, case, accents and punctuation folded; a name also agrees
with any of the other side's other names.

* SAME: equal MRNs, and surname, given name and birth date do not differ; or an unknown MRN, and surname, given name and
  birth date all agree (two missing given names agree, two missing birth dates do not).
* MAYBE, which a person must decide with `--code`:
  equal MRNs with anything else that differs;
  surname and given name agree, unless both MRN and birth date differ;
  MRN unknown, birth date and one of the names agree (a marriage, a spelling, a twin);
  MRN unknown, the surnames agree, one given name is missing, and the birth dates do not differ.
* OTHER: everything else.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from enum import Enum

from ecogvault.person import Person, letters
from ecogvault.registry.errors import BadPerson

# Joiners are part of the spelling of names in several scripts; all other invisible characters hide a difference.
_JOINERS = "\u200c\u200d"
_NAME_SEPARATORS = re.compile("[;,\n]")


class Same(Enum):
    """Whether two entries are the same person."""

    SAME = "same"
    MAYBE = "maybe"
    OTHER = "other"


def make_person(
    surname: str,
    given: str = "",
    other_names: str | Iterable[str] = (),
    mrn: str = "",
    birth_date: str | date = "",
) -> Person:
    """A person from what was typed: NFC, without spaces around, each run of white space one space.

    `other_names` may be one text, separated by semicolons or commas. `birth_date` is ISO 8601. Raises BadPerson.
    """
    texts = [other_names] if isinstance(other_names, str) else list(other_names)
    others = [clean("other_names", part) for text in texts for part in _NAME_SEPARATORS.split(text)]
    person = Person(
        surname=clean("surname", surname),
        given=clean("given", given),
        other_names=tuple(dict.fromkeys(name for name in others if name)),
        mrn=clean("mrn", mrn),
        birth_date=_birth_date(birth_date),
    )
    if not person.surname:
        raise BadPerson("surname is missing: it is the one thing that every person must have")
    for field, text in (("surname", person.surname), ("given", person.given), ("mrn", person.mrn)):
        if text and not letters(text):
            raise BadPerson(f"{field} holds neither a letter nor a digit: leave it empty when it is unknown")
    for field, text in (("surname", person.surname), ("given", person.given), ("mrn", person.mrn)):
        if _NAME_SEPARATORS.search(text):
            raise BadPerson(
                f"{field} holds a comma or semicolon: one field takes one thing, others belong in other_names"
            )
    if not all(letters(name) for name in person.other_names):
        raise BadPerson("other_names holds a name with neither a letter nor a digit: leave it out")
    return person


def clean(field: str, text: str) -> str:
    """`text` as the registry keeps it. Raises BadPerson for control and invisible characters, naming the field."""
    normal = unicodedata.normalize("NFC", text)
    for position, character in enumerate(normal.strip(), start=1):
        category = unicodedata.category(character)
        if (category[0] == "C" and character not in _JOINERS) or category in ("Zl", "Zp"):
            raise BadPerson(
                f"{field} holds a control or invisible character (U+{ord(character):04X}, character {position}): "
                "type it anew"
            )
    return " ".join(normal.split())


def _birth_date(value: str | date) -> str:
    text = value.isoformat() if isinstance(value, date) else clean("birth_date", value)
    if not text:
        return ""
    try:
        if not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            raise ValueError
        born = date.fromisoformat(text)
    except ValueError:
        raise BadPerson("birth_date must be year-month-day with digits alone, such as 2001-12-31") from None
    if born > datetime.now(UTC).date() + timedelta(days=1):
        raise BadPerson("birth_date lies in the future: year-month-day is the order")
    return text


def compare(known: Person, new: Person) -> Same:
    """Whether two entries are the same person, by the rules at the top of this module."""
    mrn = _mrn_agrees(known, new)
    surname = _names_agree(known, new, known.surname, new.surname)
    given = _names_agree(known, new, known.given, new.given)
    birth = _equal(known.birth_date, new.birth_date)
    if mrn and surname and given is not False and birth is not False:
        return Same.SAME
    if mrn is None and surname and birth and (given or not (known.given or new.given)):
        return Same.SAME
    if mrn or (surname and given and not (mrn is False and birth is False)):
        return Same.MAYBE
    if mrn is None and ((birth and (surname or given)) or (surname and given is None and birth is not False)):
        return Same.MAYBE
    return Same.OTHER


def _equal(one: str, other: str) -> bool | None:
    return letters(one) == letters(other) if one and other else None


def _mrn_agrees(known: Person, new: Person) -> bool | None:
    """Whether the MRNs agree; a corrected person has the former one among their other names (see merge)."""
    if not (known.mrn and new.mrn):
        return None
    return letters(new.mrn) in {letters(text) for text in (known.mrn, *known.other_names)}


def _names_agree(known: Person, new: Person, one: str, other: str) -> bool | None:
    if not (one and other):
        return None
    ours = {letters(name) for name in (one, *known.other_names)}
    theirs = {letters(name) for name in (other, *new.other_names)}
    return letters(one) in theirs or letters(other) in ours


def merge(known: Person, new: Person) -> Person:
    """What is known of a person after `new` was found to be the same.

    What is missing is filled in. The first spelling of surname and given name stays, another one becomes another name.
    A birth date or MRN that differs is a correction; the former MRN is kept among the other names, since it may stand
    in headers.
    """
    seen = {letters(name) for name in (known.surname, known.given or new.given)}
    extra = [*known.other_names, new.surname, new.given, *new.other_names]
    corrected = _mrn_agrees(known, new) is False
    if corrected:
        extra.append(known.mrn)
    others: list[str] = []
    for name in extra:
        if name and letters(name) not in seen:
            seen.add(letters(name))
            others.append(name)
    return replace(
        known,
        given=known.given or new.given,
        other_names=tuple(others),
        mrn=new.mrn if corrected else (known.mrn or new.mrn),
        birth_date=new.birth_date or known.birth_date,
    )

"""Codes that the lab gave before this program: registered as they are, closed, with the person if one is known.

A closed subject costs the graph nothing, and no new person ever gets its code.
"""

from collections.abc import Iterable
from dataclasses import replace

from ecogvault.person import Person
from ecogvault.private import Private
from ecogvault.records import utc_now
from ecogvault.registry.errors import RegistryRefused
from ecogvault.registry.people import Same, compare, merge
from ecogvault.registry.shift import draw
from ecogvault.registry.tables import Subject, load, save

NOBODY = Person("")


def register_existing(private: Private, entries: Iterable[tuple[str, Person | None]]) -> tuple[int, int]:
    """Register codes with their persons (None: not known). Returns how many codes and how many persons are new.

    A person is added to a code that had none. All or nothing: raises RegistryRefused, naming codes alone, when a code
    is somebody else's or a person has another code; Damaged, and OSError as it comes.
    """
    codes = people = 0
    with private.lock():
        subjects = {subject.code: subject for subject in load(private)}
        for code, person in entries:
            known = subjects.get(code)
            if person is not None:
                _refuse_second_code(subjects, code, person)
            if known is None:
                subjects[code] = Subject(code, "closed", person or NOBODY, shift_days=draw(), registered=utc_now())
                codes += 1
                people += person is not None
            elif person is not None and not known.person.surname:
                subjects[code] = replace(known, person=person)
                people += 1
            elif person is not None:
                if compare(known.person, person) is Same.OTHER:
                    raise RegistryRefused(
                        f"{code} is registered for somebody else: correct the spreadsheet, or the code"
                    )
                subjects[code] = replace(known, person=merge(known.person, person))
        save(private, list(subjects.values()))
    return codes, people


def _refuse_second_code(subjects: dict[str, Subject], code: str, person: Person) -> None:
    for other in subjects.values():
        if other.code != code and other.person.surname and compare(other.person, person) is Same.SAME:
            raise RegistryRefused(f"the person of {code} is registered as {other.code}: one person has one code")

"""The registry: which person is which code, and where their raw exports lie. All of it is in the private folder.

`people` says what person data is and who is the same person (pure), `tables` reads and writes the two tables, `enrol`
registers, and `apart` says which folders raw ones may not lie in.
"""

from ecogvault.registry.apart import refuse_raw_destinations, written_folders
from ecogvault.registry.enrol import NEW, DecideMatch, register, register_coded
from ecogvault.registry.errors import BadPerson, RegistryRefused
from ecogvault.registry.people import make_person
from ecogvault.registry.shift import shift_days
from ecogvault.registry.tables import (
    AUTO,
    CODED,
    EVERYTHING,
    STATUSES,
    SURNAME,
    RawPart,
    Subject,
    exclude,
    find,
    load,
    load_parts,
    parts,
    persons,
    set_status,
    subject,
)

__all__ = [
    "AUTO",
    "CODED",
    "EVERYTHING",
    "NEW",
    "STATUSES",
    "SURNAME",
    "BadPerson",
    "DecideMatch",
    "RawPart",
    "RegistryRefused",
    "Subject",
    "exclude",
    "find",
    "load",
    "load_parts",
    "make_person",
    "parts",
    "persons",
    "refuse_raw_destinations",
    "register",
    "register_coded",
    "set_status",
    "shift_days",
    "subject",
    "written_folders",
]

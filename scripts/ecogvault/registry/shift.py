"""By how many days a person's dates are shifted, where the configuration says `dates: shift`.

The number is secret: it stands in `subjects.tsv`, drawn when the person was registered. Who was registered before that
has 0 there, and gets one that the hash key and the code give: both are in the private folder alone. A number other than
0 may be put there by hand, before anything is archived, to agree with another data base.
"""

import secrets

from ecogvault.private import Private
from ecogvault.registry.tables import Subject

# Back in time, so that nothing seems to lie in the future; a year at least, so that the true date is far.
SHORTEST, LONGEST = 366, 3652


def draw() -> int:
    """A random number of days for a new person."""
    return -(SHORTEST + secrets.randbelow(LONGEST - SHORTEST + 1))


def shift_days(private: Private, subject: Subject) -> int:
    """The number of days that a person's dates are shifted by; never 0."""
    if subject.shift_days:
        return subject.shift_days
    number = int(private.keyed_hash(b"shift " + subject.code.encode(), 16), 16)
    return -(SHORTEST + number % (LONGEST - SHORTEST + 1))

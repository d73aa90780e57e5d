"""Which copy of a unit to restore from, when the person leaves that to us: pure, with its reason in words.

The newest content comes first, then what can be opened here, then a copy that leaves no file out, then the best
evidence, then the cheapest and fastest place.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ecogvault.config import Destination
from ecogvault.ledger import EVIDENCE, Copy

ANY = "any"
"""In place of a destination's name: whichever has the best copy."""

ARCHIVE_CLASSES = ("GLACIER", "DEEP_ARCHIVE", "ARCHIVE")
# Amazon S3's and Azure's classes that are at hand and charge for each byte that is read.
_COOL_CLASSES = (
    "STANDARD_IA",
    "ONEZONE_IA",
    "GLACIER_IR",
    "COOL",
    "COLD",
)


@dataclass(frozen=True)
class Candidate:
    """A complete copy of a unit at a destination. `grade` is its evidence, less what has become too old."""

    destination: Destination
    kind: str
    copy: Copy
    grade: str
    at: str


def place_of(destination: Destination) -> tuple[int, str]:
    """How dear and slow it is to read from a destination (0 is best), and what it is called."""
    storage = str(destination.settings.get("storage_class") or destination.settings.get("tier") or "").upper()
    if destination.type == "glacier":
        return 5, "in a Glacier vault: hours, and a fee"
    if storage in ARCHIVE_CLASSES:
        return 4, f"in storage class {storage}: hours, and a fee"
    if destination.inside:
        return 0, "in the building"
    if destination.type == "folder":
        return 1, "in a folder"
    if storage in _COOL_CLASSES:
        return 3, f"at hand, in storage class {storage}"
    return 2, "at hand"


def is_cold(destination: Destination) -> bool:
    """Whether nothing can be read there at once."""
    return place_of(destination)[0] >= 4


def best(candidates: Iterable[Candidate], *, have_key: bool, path: str | None = None) -> Candidate | None:
    """The copy to restore from; None if there is none. `have_key`: whether an age identity is configured.

    With `path`, a copy that leaves this very file out is none.
    """
    fit = [one for one in candidates if path is None or path not in one.copy.excluded]

    def rank(one: Candidate) -> tuple[object, ...]:
        openable = have_key or not one.destination.encrypts(one.kind)
        left_out = 0 if path is not None else len(one.copy.excluded)
        grade = EVIDENCE.index(one.grade)
        return -one.copy.generation, not openable, left_out, -grade, place_of(one.destination)[0], one.destination.name

    return min(fit, key=rank, default=None)


def merits(one: Candidate) -> str:
    """How well a copy is proven, and where it is, in words."""
    evidence = f"{one.grade} {one.at[:10]}" if one.at else one.grade
    return f"{evidence}; {place_of(one.destination)[1]}"


def reason(one: Candidate) -> str:
    """Why this copy, in words."""
    return f"from {one.destination.name} ({merits(one)})"

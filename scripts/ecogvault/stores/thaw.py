"""What stores whose objects may be archived say of them, and how long bringing one back takes. No client library here.

Amazon S3 makes a temporary copy of the whole object, which it removes after some days. Azure moves the blob itself to
a tier where it can be read, where it stays. Neither brings back a part of an object.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from ecogvault.stores.errors import StoreError

HOURS = {
    "GLACIER": {"Expedited": 5 / 60, "Standard": 5.0, "Bulk": 12.0},
    "DEEP_ARCHIVE": {"Standard": 12.0, "Bulk": 48.0},
    # Objects of S3's intelligent tiering that were not read for long.
    "ARCHIVE_ACCESS": {"Expedited": 5 / 60, "Standard": 5.0, "Bulk": 12.0},
    "DEEP_ARCHIVE_ACCESS": {"Standard": 12.0, "Bulk": 48.0},
    # Azure knows the priorities High (Expedited here) and Standard.
    "ARCHIVE": {"Expedited": 1.0, "Standard": 15.0, "Bulk": 15.0},
}
"""The longest that bringing back usually takes, by storage class and tier.

Sources: Amazon S3 user guide, "Understanding archive retrieval options"; Azure, "Blob rehydration from the archive
tier", rehydration priority.
"""


class NoSuchTier(StoreError):
    """The storage class cannot be brought back in this tier."""


@dataclass(frozen=True)
class Readiness:
    """Whether an object can be read now: `here`, `asked` (it is being brought back) or `archived`.

    `until` is when a temporary copy ends (UTC, `2026-03-02T09:10:11Z`; None: it stays), `storage_class` a key of HOURS
    (empty where it is not archived), `now` the service's own time.
    """

    state: Literal["here", "asked", "archived"]
    storage_class: str
    now: str
    until: str | None = None


@runtime_checkable
class Thaws(Protocol):
    """A store whose objects may have to be brought back before they can be read."""

    @property
    def where(self) -> str:
        """The bucket or container, for messages."""

    def stays(self, days: int) -> str:
        """What becomes of an object that was brought back for `days` days, in words."""

    def readiness(self, key: str, version_id: str | None) -> Readiness:
        """Whether an object can be read now. Raises NotFound, StoreError."""

    def thaw(self, key: str, version_id: str | None, *, storage_class: str, tier: str, days: int) -> None:
        """Ask for an object to be brought back; one that is being brought back already is as good.

        `days`: how long a temporary copy is to stay. Raises NoSuchTier, NoCapacity, Denied, StoreError.
        """


def require_tier(storage_class: str, tier: str, what: str) -> None:
    """Raise NoSuchTier unless objects of this class can be brought back in this tier."""
    known = HOURS[storage_class]
    if tier not in known:
        raise NoSuchTier(f"{what} is in {storage_class}, which knows no {tier}: use tier={' or tier='.join(known)}")

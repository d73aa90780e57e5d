"""What a vault can answer beside what every store can, without its client library."""

from dataclasses import dataclass

from ecogvault.stores.errors import NotFound, StoreError


class VaultMissing(StoreError):
    """The vault does not exist."""


class UploadForgotten(NotFound):
    """The service does not know the upload id (any more)."""


class ArchiveUnknown(NotFound):
    """The vault has no such archive."""


class JobGone(NotFound):
    """The service does not know the job (any more)."""


class NoInventory(NotFound):
    """No inventory of the vault was made yet."""


class NotReady(StoreError):
    """The job has not ended yet."""


class PolicyForbids(StoreError):
    """The account's retrieval policy does not permit so much."""


class NoCapacity(StoreError):
    """Amazon has no capacity for Expedited retrievals now."""


class Unsure(UploadForgotten):
    """The last request of an earlier run may have been done, and the service has forgotten: only an inventory tells."""


@dataclass(frozen=True)
class JobState:
    """What the service says of a job: `state` is InProgress, Succeeded or Failed; times are the service's, in UTC.

    `sha256_tree` is of the job's output, `archive_sha256_tree` of the whole archive that it brings back.
    """

    state: str
    size: int | None
    sha256_tree: str | None
    completed_at: str | None
    message: str
    asked_at: str
    archive_sha256_tree: str | None = None

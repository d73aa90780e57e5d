"""Bringing back blobs of Azure's Archive tier: they are moved to tier Hot, where they can be read, and stay there.

Source: Azure, "Blob rehydration from the archive tier"; Storage REST API, "Set Blob Tier" (x-ms-rehydrate-priority)
and "Get Blob Properties" (x-ms-access-tier, x-ms-archive-status).
"""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient, RehydratePriority, StandardBlobTier

from ecogvault.stores.azure_client import attempted, code_of, explained
from ecogvault.stores.thaw import Readiness, require_tier

ARCHIVE = "ARCHIVE"
TO = StandardBlobTier.HOT  # leaving Cool or Cold within their first weeks costs; Hot can be left at any time


def readiness(blob: BlobClient, where: str, key: str, version_id: str | None, attempts: int) -> Readiness:
    """Ask whether a blob can be read now. Raises NotFound, StoreError."""
    told: dict[str, str] = {}

    def keep(response: Any) -> None:
        told.update({name.lower(): value for name, value in response.http_response.headers.items()})

    with explained(where, key):
        found: Any = attempted(
            lambda: blob.get_blob_properties(raw_response_hook=keep, **_pinned(version_id)), attempts
        )
    now = _time(told.get("date"))
    if found.blob_tier != "Archive":
        return Readiness("here", "", now)
    return Readiness("asked" if found.archive_status else "archived", ARCHIVE, now)


def thaw(blob: BlobClient, where: str, key: str, version_id: str | None, *, tier: str, attempts: int) -> None:
    """Ask for a blob to be moved to tier Hot; see Thaws.thaw."""
    require_tier(ARCHIVE, tier, f"{key} in {where}")
    priority = RehydratePriority.HIGH if tier == "Expedited" else RehydratePriority.STANDARD
    with explained(where, key, needs="write"):
        try:
            attempted(
                lambda: blob.set_standard_blob_tier(TO, rehydrate_priority=priority, **_pinned(version_id)), attempts
            )
        except HttpResponseError as error:
            # Asked again with another priority or tier while it is under way.
            if code_of(error) != "BlobBeingRehydrated":
                raise


def _pinned(version_id: str | None) -> dict[str, Any]:
    return {"version_id": version_id} if version_id else {}


def _time(date: str | None) -> str:
    stamp = parsedate_to_datetime(date) if date else datetime.now(UTC)
    return stamp.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""Bringing back objects of S3's archive classes: RestoreObject, and what HEAD says of the temporary copy.

Sources: Amazon S3 API reference, RestoreObject (errors) and HeadObject (x-amz-restore, x-amz-archive-status).
"""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ecogvault.stores.errors import Archived
from ecogvault.stores.glacier_types import NoCapacity
from ecogvault.stores.s3_client import code_of, explained
from ecogvault.stores.s3_options import ARCHIVE_CLASSES
from ecogvault.stores.thaw import Readiness, require_tier

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_RESTORE = re.compile(r'ongoing-request="(true|false)"(?:, *expiry-date="([^"]+)")?')


def readiness_of(answer: Mapping[str, Any]) -> Readiness:
    """What an answer to HEAD says. Pure."""
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    now = _time(headers["date"])
    # Of intelligent tiering's objects only this header says that they are archived; coming back they stay.
    status = str(answer.get("ArchiveStatus") or "")
    storage = str(answer.get("StorageClass") or "")
    found = _RESTORE.search(str(answer.get("Restore") or ""))
    if status:
        return Readiness("asked" if found and found[1] == "true" else "archived", status, now)
    if storage not in ARCHIVE_CLASSES:
        return Readiness("here", "", now)
    if found is None:
        return Readiness("archived", storage, now)
    if found[1] == "true":
        return Readiness("asked", storage, now)
    until = _time(found[2]) if found[2] else None
    if until is not None and until <= now:
        return Readiness("archived", storage, now)
    return Readiness("here", storage, now, until)


def head(client: "S3Client", bucket: str, key: str, version_id: str | None) -> Readiness:
    """Ask whether an object can be read now. Raises NotFound, StoreError."""
    pinned: dict[str, Any] = {"VersionId": version_id} if version_id else {}
    with explained(bucket, key):
        return readiness_of(client.head_object(Bucket=bucket, Key=key, **pinned))


def thaw(
    client: "S3Client", bucket: str, key: str, version_id: str | None, *, storage_class: str, tier: str, days: int
) -> None:
    """Ask for a temporary copy of an object; see Thaws.thaw."""
    what = f"{key} in bucket {bucket}"
    require_tier(storage_class, tier, what)
    wanted: dict[str, Any] = {"GlacierJobParameters": {"Tier": tier}}
    if storage_class in ARCHIVE_CLASSES:
        wanted["Days"] = days
    pinned: dict[str, Any] = {"VersionId": version_id} if version_id else {}
    with explained(bucket, key):
        try:
            client.restore_object(Bucket=bucket, Key=key, RestoreRequest=wanted, **pinned)  # type: ignore[arg-type]
        except ClientError as error:
            code = code_of(error)
            if code == "RestoreAlreadyInProgress":
                return
            if code == "GlacierExpeditedRetrievalNotAvailable":
                raise NoCapacity(
                    f"{what}: Amazon has no capacity for Expedited retrievals now: run again later, or with "
                    "`--config tier=Standard`"
                ) from error
            if code == "ObjectAlreadyInActiveTierError":
                raise Archived(f"{what} is not archived any more, against what it said before: run again") from error
            raise


def _time(text: str) -> str:
    return parsedate_to_datetime(text).strftime("%Y-%m-%dT%H:%M:%SZ")

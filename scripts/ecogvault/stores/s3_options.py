"""How objects are kept in a bucket: storage class, server-side encryption, retention and tags.

Source: Amazon S3 API reference, PutObject and CreateMultipartUpload.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

# Objects of these classes cannot be read before they are brought back.
ARCHIVE_CLASSES = ("GLACIER", "DEEP_ARCHIVE")
# Reading and copying objects of these classes is charged by the byte (Amazon S3 pricing, "Requests & data retrievals").
CHARGED_CLASSES = ("STANDARD_IA", "ONEZONE_IA", "GLACIER_IR")
# An archived object is charged for 40 KiB more than it has (Amazon S3 pricing, "S3 Glacier"), and statements and
# manifests must be at hand: what is smaller than this stays in the bucket's usual class.
SMALL = 128 * 1024
# Without a type, services guess one from the first bytes, and take an age file, which begins with a line of text, for
# something to compress (SeaweedFS spends 3 ms a MiB on that).
_AGE = "application/x-age-encryption"


@dataclass(frozen=True)
class Options:
    """What a bucket's settings say of every object. `lock_mode` is GOVERNANCE or COMPLIANCE, `lock_days` in days."""

    storage_class: str | None = None
    sse: str | None = None
    kms_key_id: str | None = None
    lock_mode: str | None = None
    lock_days: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Options":
        """The options that a destination's settings name."""
        lock: Mapping[str, Any] = settings.get("object_lock") or {}
        return cls(
            storage_class=settings.get("storage_class"),
            sse=settings.get("sse"),
            kms_key_id=settings.get("kms_key_id"),
            lock_mode=str(lock["mode"]).upper() if lock else None,
            lock_days=int(lock.get("days", 0)),
            tags=dict(settings.get("tags") or {}),
        )

    def arguments(self, key: str, size: int) -> dict[str, Any]:
        """What the request that makes an object of `size` bytes says beside its content."""
        found: dict[str, Any] = {"ContentType": _AGE} if key.endswith(".age") else {}
        if self.storage_class and not (self.storage_class in ARCHIVE_CLASSES and size < SMALL):
            found["StorageClass"] = self.storage_class
        if self.sse:
            found["ServerSideEncryption"] = self.sse
        if self.kms_key_id:
            found["SSEKMSKeyId"] = self.kms_key_id
        if self.lock_mode:
            found["ObjectLockMode"] = self.lock_mode
            found["ObjectLockRetainUntilDate"] = datetime.now(UTC) + timedelta(days=self.lock_days)
        if self.tags:
            found["Tagging"] = urlencode(self.tags)
        return found

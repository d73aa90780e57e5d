"""Parts of an object that S3 copies from another object of the bucket, where they would else be sent.

Source: Amazon S3 API reference, UploadPartCopy: a byte range of one version, under the condition of its ETag and up to
5 GiB long (no part of ours is longer); CopyPartResult has the part's CRC64NVME where the upload was begun with it; what
is archived must be brought back first. SeaweedFS 4.48 does the same, and refuses another ETag or version.
"""

import logging
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ecogvault.stores.base import Derived, Origin, Source
from ecogvault.stores.s3_client import code_of, status_of

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import CopySourceTypeDef

_NOT_IMPLEMENTED = 501

_log = logging.getLogger(__name__)


class Copies:
    """Has the parts of one upload copied from `origin`, until the service refuses it for the first time."""

    def __init__(self, client: "S3Client", bucket: str, key: str, origin: Origin) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._origin = origin
        self._refused = False
        self._lock = threading.Lock()

    @classmethod
    def of(cls, client: "S3Client", bucket: str, key: str, source: Source) -> "Copies | None":
        """What can be copied for `source`, if anything can: from an object of the same bucket, and to its very end."""
        origin = source.origin if isinstance(source, Derived) else None
        if origin is None or origin.bucket != bucket or origin.size - origin.offset != source.size - origin.start:
            return None
        return cls(client, bucket, key, origin)

    def part(self, upload_id: str, number: int, offset: int, size: int) -> Mapping[str, Any] | None:
        """What the service answers (ETag, and ChecksumCRC64NVME if it says so) after it has copied a part.

        None for a part that is not copied but to be sent: not all of it is in the other object, or the service refuses.
        Raises ClientError when the upload has vanished, and when the service fails.
        """
        origin = self._origin
        if self._refused or offset < origin.start:
            return None
        first = offset - origin.start + origin.offset
        source: CopySourceTypeDef = {"Bucket": origin.bucket, "Key": origin.key}
        if origin.version_id:
            source["VersionId"] = origin.version_id
        try:
            answer = self._client.upload_part_copy(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=upload_id,
                PartNumber=number,
                CopySource=source,
                CopySourceRange=f"bytes={first}-{first + size - 1}",
                CopySourceIfMatch=f'"{origin.etag}"',
            )
        except ClientError as error:
            status = status_of(error)
            if code_of(error) == "NoSuchUpload" or not (400 <= status < 500 or status == _NOT_IMPLEMENTED):
                raise
            self.refuse(f"the service refuses it ({status} {code_of(error)})")
            return None
        return answer["CopyPartResult"]

    def refuse(self, why: str) -> None:
        """Have everything sent from now on."""
        with self._lock:
            first, self._refused = not self._refused, True
        if first:
            _log.warning(
                "%s in bucket %s is sent, not copied from %s: %s", self._key, self._bucket, self._origin.key, why
            )

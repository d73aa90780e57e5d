"""Multipart uploads that were begun in a bucket and neither completed nor ended. They are paid for."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from ecogvault.stores.base import Unfinished
from ecogvault.stores.s3_client import code_of, explained

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


def unfinished(client: "S3Client", bucket: str) -> Iterator[Unfinished]:
    """All of them, with the bytes that the service holds. Raises StoreError."""
    with explained(bucket):
        for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
            for one in page.get("Uploads", []):
                size = _size(client, bucket, one["Key"], one["UploadId"])
                if size is not None:
                    yield Unfinished(one["Key"], one["UploadId"], one["Initiated"], size)


def _size(client: "S3Client", bucket: str, key: str, upload_id: str) -> int | None:
    """The bytes of an upload's parts, or None when it has ended meanwhile."""
    sizes: dict[int, int] = {}
    try:
        for page in client.get_paginator("list_parts").paginate(Bucket=bucket, Key=key, UploadId=upload_id):
            sizes |= {part["PartNumber"]: part["Size"] for part in page.get("Parts", [])}
    except ClientError as error:
        if code_of(error) == "NoSuchUpload":
            return None
        raise
    return sum(sizes.values())

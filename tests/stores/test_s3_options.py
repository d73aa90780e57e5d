"""How objects are kept in a bucket: storage class, encryption at rest, retention, tags; and how fast they go there."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from awscrt.checksums import crc64nvme
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber
from content import META, pattern
from places import PART

from ecogvault.config import STORAGE_CLASSES
from ecogvault.stores import BytesSource, Present, UploadState
from ecogvault.stores.pace import Pace
from ecogvault.stores.pieces import MIB
from ecogvault.stores.s3 import S3Store
from ecogvault.stores.s3_client import code_of
from ecogvault.stores.s3_options import SMALL, Options
from ecogvault.stores.s3_upload import b64

SIZES = [SMALL, PART + 1]  # one request, parts


def store_with(server, bucket: str, options: Options, **rest) -> S3Store:
    return S3Store(
        "s3", bucket, endpoint_url=server.endpoint_url, region=server.region, part_size=PART, options=options, **rest
    )


def put(store: S3Store, key: str, data: bytes):
    return store.put(key, BytesSource(data), metadata=META, state=UploadState.in_memory())


@pytest.mark.parametrize("storage_class", sorted(set(STORAGE_CLASSES) - {"STANDARD"}))
def test_each_storage_class_is_what_the_object_is_kept_in(server, storage_class):
    bucket = server.bucket()
    put(store_with(server, bucket, Options(storage_class=storage_class)), "k", pattern(SMALL))
    assert server.client.head_object(Bucket=bucket, Key="k")["StorageClass"] == storage_class


def test_small_objects_stay_at_hand_where_large_ones_are_archived(server):
    bucket = server.bucket()
    store = store_with(server, bucket, Options(storage_class="DEEP_ARCHIVE"))
    for key, size in [("small", SMALL - 1), ("one", SMALL), ("parts", PART + 1)]:
        put(store, key, pattern(size))
    classes = {key: server.client.head_object(Bucket=bucket, Key=key).get("StorageClass") for key in ("small", "parts")}
    assert classes == {"small": None, "parts": "DEEP_ARCHIVE"}


@pytest.mark.parametrize("size", SIZES)
def test_encryption_and_tags_are_on_every_object(server, size):
    bucket = server.bucket()
    tags = {"project": "ecog & more", "a=b": "ä"}
    put(store_with(server, bucket, Options(sse="AES256", tags=tags)), "k", pattern(size))
    assert server.client.head_object(Bucket=bucket, Key="k")["ServerSideEncryption"] == "AES256"
    told = server.client.get_object_tagging(Bucket=bucket, Key="k")["TagSet"]
    assert {one["Key"]: one["Value"] for one in told} == tags


@pytest.mark.parametrize("size", SIZES)
def test_a_retained_object_cannot_be_removed_and_is_replaced_as_a_version(server, size):
    bucket = f"{server.bucket()}-lock"
    server.client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    store = store_with(server, bucket, Options(lock_mode="COMPLIANCE", lock_days=2))
    stored = put(store, "k", pattern(size))
    kept = server.client.get_object_retention(Bucket=bucket, Key="k")["Retention"]
    assert kept["Mode"] == "COMPLIANCE"
    assert abs(kept["RetainUntilDate"] - datetime.now(UTC) - timedelta(days=2)) < timedelta(minutes=5)
    with pytest.raises(ClientError) as refused:
        server.client.delete_object(Bucket=bucket, Key="k", VersionId=stored.version_id)
    assert code_of(refused.value) == "AccessDenied"
    newer = META | {"ecogvault-generation": "2"}
    store.put("k", BytesSource(b"new"), metadata=newer, state=UploadState.in_memory(), replace=stored.etag)
    assert b"".join(store.get("k", version_id=stored.version_id)) == pattern(size)


def test_a_kms_key_goes_with_the_request_and_its_etag_is_not_taken_for_an_md5(server):
    """Scripted answers: the local server has no KMS."""
    store = store_with(server, "any", Options(sse="aws:kms", kms_key_id="arn:aws:kms:us-west-2:1:key/k"))
    data = b"content"
    crc = b64(crc64nvme(data))
    with Stubber(store._client) as stub:
        stub.add_client_error("head_object", "404", http_status_code=404)
        stub.add_response("head_bucket", {})
        stub.add_response(
            "put_object",
            {"ETag": '"ffffffffffffffffffffffffffffffff"', "ChecksumCRC64NVME": crc},
            {
                "Bucket": "any",
                "Key": "k",
                "Body": ANY,
                "Metadata": META,
                "ChecksumCRC64NVME": crc,
                "ServerSideEncryption": "aws:kms",
                "SSEKMSKeyId": "arn:aws:kms:us-west-2:1:key/k",
                "IfNoneMatch": "*",
            },
        )
        stored = put(store, "k", data)
        stub.assert_no_pending_responses()
    assert (stored.crc64nvme, stored.md5) == (f"{crc64nvme(data):016x}", None)


@pytest.mark.parametrize("size", [3 * MIB, PART + MIB])
def test_uploads_and_downloads_keep_to_the_limit_of_bandwidth(server, tmp_path, size):
    bucket = server.bucket()
    pace = Pace(4 * MIB, tmp_path / "pace")
    store = store_with(server, bucket, Options(), pace=pace)
    began = time.monotonic()
    put(store, "k", pattern(size))
    assert time.monotonic() - began > size / (4 * MIB) - 0.55  # some turns are made up for
    began = time.monotonic()
    assert b"".join(store.get("k")) == pattern(size)
    assert time.monotonic() - began > size / (4 * MIB) - 0.55  # some turns are made up for
    assert isinstance(store.head("k"), Present)


def test_two_that_share_a_limit_are_together_no_faster(tmp_path):
    began = time.monotonic()

    def use() -> None:
        pace = Pace(1_000_000, tmp_path / "pace")
        for _ in range(10):
            pace.wait(50_000)

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began > 0.6

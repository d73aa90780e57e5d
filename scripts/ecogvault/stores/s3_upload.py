"""Sending one object to S3: one request when it is small, parts that can be resumed when it is not.

A part counts only when the service has confirmed its CRC64NVME (or its MD5); the whole is completed under its own
CRC64NVME. Source: Amazon S3 user guide, "Checking object integrity", full object checksums.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from awscrt.checksums import combine_crc64nvme, crc64nvme
from botocore.exceptions import ClientError

from ecogvault.records import canonical
from ecogvault.stores.base import PartDone, Source, Stored, UploadState, Whole
from ecogvault.stores.errors import WrongBytes
from ecogvault.stores.parts import all_of, buffer, check, part_size_for
from ecogvault.stores.pieces import TreeOfPieces
from ecogvault.stores.puts import SEND_ATTEMPTS, Again
from ecogvault.stores.s3_client import code_of, explained, status_of
from ecogvault.stores.s3_copy import Copies
from ecogvault.stores.s3_quick import QuickPuts

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

MAX_PARTS = 10_000

# Answers to a body that did not arrive as it was sent; nothing is stored then.
_BROKEN_ON_THE_WAY = {"BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"}

_T = TypeVar("_T")


@dataclass(frozen=True)
class Target:
    """Where an object goes, and under which condition the last request may succeed. `quick` is for small ones."""

    client: "S3Client"
    bucket: str
    key: str
    metadata: Mapping[str, str]
    extra: Mapping[str, Any]
    condition: Mapping[str, Any]
    quick: QuickPuts | None = None


def b64(crc: int) -> str:
    """A CRC64NVME as S3's headers write it."""
    return base64.b64encode(crc.to_bytes(8, "big")).decode()


def hex_of(checksum: str | None) -> str | None:
    """A checksum header's value in hex."""
    return base64.b64decode(checksum).hex() if checksum else None


def unquoted(etag: str | None) -> str | None:
    """An ETag without its quotes."""
    return etag.strip('"') if etag else None


def send_whole(target: Target, source: Source, progress: Callable[[int], None] | None) -> Stored:
    """Store a small source with one request."""
    body = bytearray(source.size)  # the client takes bytearrays as it takes bytes, without a copy
    if body:
        source.read_into(0, memoryview(body))
    check(source)
    tree = TreeOfPieces(len(body))
    tree.update_at(0, body)
    crc = crc64nvme(body)

    arguments = {"ChecksumCRC64NVME": b64(crc), **target.extra, **target.condition}

    def send() -> Any:
        quick = target.quick and target.quick.put(target.key, body, target.metadata, arguments)
        return quick or target.client.put_object(
            Bucket=target.bucket,
            Key=target.key,
            Body=cast(bytes, body),
            Metadata=dict(target.metadata),
            **arguments,
        )

    with explained(target.bucket, target.key):
        try:
            answer = _conditional(lambda: _whole_on_arrival(send))
        except Again as again:
            again.whole, again.sent = Whole(tree.hexdigest(), f"{crc:016x}"), len(body)
            raise
    confirmed_crc, confirmed_md5 = _confirmed(answer, body, crc, target)
    if progress:
        progress(len(body))
    return Stored(
        key=target.key,
        bucket=target.bucket,
        version_id=answer.get("VersionId"),
        etag=unquoted(answer.get("ETag")),
        size=len(body),
        part_size=None,
        crc64nvme=confirmed_crc,
        md5=confirmed_md5,
        sha256_tree=tree.hexdigest(),
        bytes_sent=len(body),
        adopted=False,
    )


def send_parts(
    target: Target,
    source: Source,
    *,
    state: UploadState,
    preferred: int,
    pool: Executor,
    progress: Callable[[int], None] | None,
) -> Stored:
    """Store a large source in parts, going on where `state` and the service say that an earlier call stopped.

    Each piece of the source is read once. A part that the service already has is not sent again if the bytes read now
    are the bytes it has, and one that it can copy from another object is copied there; see Copies.
    """
    known = _open_upload(target, source, state, preferred)
    upload_id, part_size = state.upload_id, state.part_size
    if upload_id is None or part_size is None:
        raise Again("the upload was ended by another thread")
    tree = TreeOfPieces(source.size)
    copies = Copies.of(target.client, target.bucket, target.key, source)

    def copied(number: int, body: bytearray, crc: int) -> PartDone | None:
        """The part as the service copied it, or None if it is to be sent."""
        if copies is None:
            return None
        offset = (number - 1) * part_size
        with explained(target.bucket, target.key):
            answer = _conditional(lambda: copies.part(upload_id, number, offset, len(body)))
        if answer is None:
            return None
        try:
            _, md5 = _confirmed(answer, body, crc, target)
        except WrongBytes:
            copies.refuse("the service does not confirm that its bytes are those of the new one: verify it")
            return None
        return PartDone(etag=unquoted(answer["ETag"]) or "", crc64nvme=f"{crc:016x}", md5=md5, size=len(body))

    def one(number: int) -> tuple[PartDone, int, int]:
        offset = (number - 1) * part_size
        size = min(part_size, source.size - offset)
        body = buffer(size)
        source.read_into(offset, memoryview(body))
        tree.update_at(offset, body)
        crc = crc64nvme(body)
        held = _held(known.get(number, []), state.parts.get(number), body, crc)
        if held is not None:
            return held, crc, 0
        part = copied(number, body, crc)
        if part is not None:
            state.acknowledge(number, part)
            return part, crc, 0

        def send() -> Any:
            return target.client.upload_part(
                Bucket=target.bucket,
                Key=target.key,
                UploadId=upload_id,
                PartNumber=number,
                Body=cast(bytes, body),
                ChecksumCRC64NVME=b64(crc),
            )

        with explained(target.bucket, target.key):
            answer = _conditional(lambda: _whole_on_arrival(send))
        _, md5 = _confirmed(answer, body, crc, target)
        part = PartDone(etag=unquoted(answer["ETag"]) or "", crc64nvme=f"{crc:016x}", md5=md5, size=size)
        state.acknowledge(number, part)
        return part, crc, size

    def advance(result: tuple[PartDone, int, int]) -> None:
        if progress:
            progress(result[0].size)

    done = all_of(pool, one, -(-source.size // part_size), advance)
    check(source)
    whole_crc = 0
    for number in sorted(done):
        part, crc, _ = done[number]
        whole_crc = combine_crc64nvme(whole_crc, crc, part.size)
    whole = Whole(sha256_tree=tree.hexdigest(), crc64nvme=f"{whole_crc:016x}")
    state.completing(whole)
    parts = [
        {"PartNumber": number, "ETag": done[number][0].etag, "ChecksumCRC64NVME": b64(done[number][1])}
        for number in sorted(done)
    ]
    bytes_sent = sum(sent for _, _, sent in done.values())
    try:
        answer = _complete(target, upload_id, parts, b64(whole_crc), source.size)
    except Again as again:
        again.whole, again.sent = whole, bytes_sent
        raise
    return Stored(
        key=target.key,
        bucket=target.bucket,
        version_id=answer.get("VersionId"),
        etag=unquoted(answer["ETag"]),
        size=source.size,
        part_size=part_size,
        crc64nvme=_confirmed_whole(target, answer, whole, source.size),
        md5=None,
        sha256_tree=whole.sha256_tree,
        bytes_sent=bytes_sent,
        adopted=False,
    )


def content_digest(target: Target, size: int) -> str:
    """What an unfinished upload is recognised by: the same key, size and metadata."""
    return hashlib.sha256(canonical([target.bucket, target.key, size, dict(target.metadata)])).hexdigest()


def abort(client: "S3Client", bucket: str, key: str, upload_id: str) -> None:
    """Remove an unfinished upload; one that is gone already is as good."""
    with explained(bucket, key):
        try:
            client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
        except ClientError as error:
            if code_of(error) != "NoSuchUpload":
                raise


def _open_upload(
    target: Target, source: Source, state: UploadState, preferred: int
) -> dict[int, list[Mapping[str, Any]]]:
    """Make sure that `state` names a live upload of this content; the parts that the service has, by number."""
    digest = content_digest(target, source.size)
    if state.upload_id is not None and state.digest != digest:
        abort(target.client, target.bucket, target.key, state.upload_id)
        state.forget()
    if state.upload_id is not None:
        known: dict[int, list[Mapping[str, Any]]] = {}
        pages = target.client.get_paginator("list_parts")
        with explained(target.bucket, target.key):
            try:
                for page in pages.paginate(Bucket=target.bucket, Key=target.key, UploadId=state.upload_id):
                    for part in page.get("Parts", []):
                        known.setdefault(part["PartNumber"], []).append(part)
                return known
            except ClientError as error:
                if code_of(error) != "NoSuchUpload":
                    raise
        state.forget()
    with explained(target.bucket, target.key):
        answer = target.client.create_multipart_upload(
            Bucket=target.bucket,
            Key=target.key,
            Metadata=dict(target.metadata),
            ChecksumAlgorithm="CRC64NVME",
            ChecksumType="FULL_OBJECT",
            **target.extra,
        )
    state.begin(answer["UploadId"], part_size_for(source.size, preferred, MAX_PARTS), digest)
    return {}


def _held(listed: list[Mapping[str, Any]], noted: PartDone | None, body: bytearray, crc: int) -> PartDone | None:
    """The listed part that holds exactly `body`, if there is one. A part may be listed twice."""
    for part in listed:
        if part["Size"] != len(body):
            continue
        etag = unquoted(part["ETag"]) or ""
        found = PartDone(etag=etag, crc64nvme=f"{crc:016x}", md5=None, size=len(body))
        checksum = part.get("ChecksumCRC64NVME")
        if checksum is not None:
            if checksum == b64(crc):
                return found
            continue
        confirmed_before = noted is not None and noted.etag == etag and noted.crc64nvme == found.crc64nvme
        if confirmed_before or hashlib.md5(body).hexdigest() == etag:
            return found
    return None


def _complete(
    target: Target, upload_id: str, parts: list[dict[str, Any]], checksum: str, size: int
) -> Mapping[str, Any]:
    def send() -> Any:
        return target.client.complete_multipart_upload(
            Bucket=target.bucket,
            Key=target.key,
            UploadId=upload_id,
            MultipartUpload={"Parts": parts},  # type: ignore[typeddict-item]
            ChecksumCRC64NVME=checksum,
            ChecksumType="FULL_OBJECT",
            MpuObjectSize=size,
            **target.condition,
        )

    with explained(target.bucket, target.key):
        try:
            answer: Mapping[str, Any] = _conditional(send)
        except ClientError as error:
            if code_of(error) in _BROKEN_ON_THE_WAY | {"InvalidPart", "InvalidPartOrder"}:
                raise WrongBytes(
                    f"{target.key} in bucket {target.bucket}: the service does not have the parts as they were sent "
                    f"({code_of(error)}), nothing was stored: run again"
                ) from error
            raise
    return answer


def _conditional(send: Callable[[], _T]) -> _T:
    """The answer to a request, or Again when its condition does not hold or its upload has vanished."""
    try:
        return send()
    except ClientError as error:
        if status_of(error) in (409, 412) or code_of(error) == "NoSuchUpload":
            raise Again(str(error)) from error
        raise


def _whole_on_arrival(send: Callable[[], _T]) -> _T:
    """The answer to a request whose body is sent again when it arrived broken."""
    for _ in range(SEND_ATTEMPTS - 1):
        try:
            return send()
        except ClientError as error:
            if code_of(error) not in _BROKEN_ON_THE_WAY:
                raise
    return send()


def _confirmed(answer: Mapping[str, Any], body: bytearray, crc: int, target: Target) -> tuple[str | None, str | None]:
    """The CRC64NVME, else the MD5, that the service says it has, in hex. Raises WrongBytes if it says neither."""
    if answer.get("ChecksumCRC64NVME") == b64(crc):
        return f"{crc:016x}", None
    md5 = hashlib.md5(body).hexdigest()
    if answer.get("ChecksumCRC64NVME") is None and unquoted(answer.get("ETag")) == md5:
        return None, md5
    raise WrongBytes(
        f"{target.key} in bucket {target.bucket}: the service does not confirm the bytes that were sent: "
        "check what stands between this machine and the service, then run again"
    )


def _confirmed_whole(target: Target, answer: Mapping[str, Any], whole: Whole, size: int) -> str | None:
    """The whole object's CRC64NVME if the service confirms it, None if it keeps none. Raises WrongBytes."""
    told = hex_of(answer.get("ChecksumCRC64NVME"))
    if told is None:
        with explained(target.bucket, target.key):
            head = target.client.head_object(Bucket=target.bucket, Key=target.key, ChecksumMode="ENABLED")
        told = hex_of(head.get("ChecksumCRC64NVME"))
        if head["ContentLength"] != size:
            told = "another size"
    if told not in (None, whole.crc64nvme):
        raise WrongBytes(
            f"{target.key} in bucket {target.bucket}: the service has put the parts together wrongly: "
            "do not rely on this object, and tell those who run the service"
        )
    return told

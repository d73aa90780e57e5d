"""Amazon S3, and services that speak its protocol."""

import hashlib
import logging
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from awscrt.checksums import crc64nvme
from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError

from ecogvault.config import Destination
from ecogvault.stores.base import (
    Absent,
    Finding,
    Listed,
    Presence,
    Present,
    Source,
    Stored,
    Unfinished,
    Unknown,
    UploadState,
    Whole,
    same_metadata,
)
from ecogvault.stores.errors import (
    BadKey,
    BadSettings,
    Denied,
    KeyTaken,
    NotFound,
    SourceChanged,
    StoreError,
    Unreachable,
    WrongBytes,
)
from ecogvault.stores.pace import Pace
from ecogvault.stores.pieces import MIB
from ecogvault.stores.puts import PUT_ATTEMPTS, Again, Ahead, achieved, step_back, taken
from ecogvault.stores.s3_client import code_of, explain, explained, make_client, status_of
from ecogvault.stores.s3_examine import examine, refuse_public
from ecogvault.stores.s3_options import Options
from ecogvault.stores.s3_quick import QuickPuts
from ecogvault.stores.s3_thaw import head as ask_readiness
from ecogvault.stores.s3_thaw import thaw
from ecogvault.stores.s3_unfinished import unfinished
from ecogvault.stores.s3_upload import Target, abort, hex_of, send_parts, send_whole, unquoted
from ecogvault.stores.thaw import Readiness

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

ATTEMPTS = 6  # per request, with backoff: about half a minute
GET_ATTEMPTS = 5  # without a byte of progress
CHUNK = MIB
SMALLEST_PART = 5 * MIB  # S3's own limit for all parts but the last

_log = logging.getLogger(__name__)


class S3Store:
    """One bucket. `connections` parts are under way at once, over all puts; each has a buffer of `part_size` bytes."""

    def __init__(
        self,
        name: str,
        bucket: str,
        *,
        endpoint_url: str | None = None,
        region: str | None = None,
        options: Options | None = None,
        pace: Pace | None = None,
        part_size: int = 16 * MIB,
        connections: int = 4,
        attempts: int = ATTEMPTS,
    ) -> None:
        if part_size < SMALLEST_PART or part_size % MIB:
            raise BadSettings(f"destinations.{name}.part_size_mib must be a whole number of MiB, 5 or more")
        self.name = name
        self.bucket = bucket
        self.part_size = part_size
        self._options = options or Options()
        self._pace = pace
        # Besides the parts, small objects are sent from the callers' own threads.
        self._client: S3Client = make_client(
            endpoint_url=endpoint_url, region=region, connections=connections + 16, attempts=attempts, pace=pace
        )
        self._pool = ThreadPoolExecutor(connections, thread_name_prefix=f"parts-{name}")
        self._bucket_seen = False
        self._versioned: bool | None = None
        self._ahead: Ahead | None = None
        self._quick: QuickPuts | None = None

    @classmethod
    def from_destination(cls, destination: Destination, kind: str) -> "S3Store":
        """The bucket where `destination` keeps units of `kind`."""
        settings = destination.settings
        return cls(
            destination.name,
            destination.bucket(kind),
            endpoint_url=settings.get("endpoint_url"),
            region=settings.get("region"),
            options=Options.of(settings),
            pace=Pace.of(destination.name, settings.get("bandwidth_mib")),
            part_size=int(settings.get("part_size_mib") or 16) * MIB,
            connections=int(settings.get("connections") or 4),
        )

    @property
    def where(self) -> str:
        """The bucket, for messages."""
        return f"bucket {self.bucket}"

    def preflight(self) -> None:
        """Ask for one key of a listing, the cheapest request whose failure says why, and refuse a public bucket."""
        with explained(self.bucket):
            self._client.list_objects_v2(Bucket=self.bucket, MaxKeys=1)
        self._bucket_seen = True
        doubt = refuse_public(self._client, self.bucket)
        if doubt:
            _log.info("bucket %s: cannot tell whether it is public (%s)", self.bucket, doubt)

    def examine(self) -> Iterator[Finding]:
        """What is right about the bucket, and what is not; see ecogvault.stores.s3_examine."""
        return examine(self._client, self.bucket, self._options)

    def unfinished(self) -> Iterator[Unfinished]:
        """All unfinished multipart uploads of the bucket."""
        return unfinished(self._client, self.bucket)

    def end(self, one: Unfinished) -> None:
        """Remove an unfinished multipart upload."""
        abort(self._client, self.bucket, one.key, one.upload_id)

    def stays(self, days: int) -> str:
        """What becomes of an object that was brought back; see Thaws."""
        return f"can be read for {days} days"

    def readiness(self, key: str, version_id: str | None) -> Readiness:
        """Whether an object can be read now; see Thaws."""
        return ask_readiness(self._client, self.bucket, key, version_id)

    def thaw(self, key: str, version_id: str | None, *, storage_class: str, tier: str, days: int) -> None:
        """Ask for a temporary copy of an archived object; see Thaws."""
        thaw(self._client, self.bucket, key, version_id, storage_class=storage_class, tier=tier, days=days)

    def head(self, key: str) -> Presence:
        """Whether `key` is there; Unknown when the service does not say."""
        try:
            return self._look(key)
        except StoreError as error:
            return Unknown(str(error))

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """All objects whose keys begin with `prefix`, 1,000 a request."""
        with explained(self.bucket):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                for item in page.get("Contents", []):
                    yield Listed(item["Key"], item["Size"], unquoted(item.get("ETag")))

    def look_ahead(self, prefix: str) -> None:
        """List once what is below `prefix`; see LooksAhead."""
        self._ahead = Ahead(prefix, frozenset(one.key for one in self.list(prefix)))
        if self._pace is None:
            self._quick = QuickPuts.of(self._client, self.bucket)

    def put(
        self,
        key: str,
        source: Source,
        *,
        metadata: Mapping[str, str],
        state: UploadState,
        replace: str | None = None,
        progress: Callable[[int], None] | None = None,
        same: Callable[[Present], bool] | None = None,
    ) -> Stored:
        """Store `source`, adopt an equal object, or raise KeyTaken; see Store.put."""
        if not key or key.startswith("/") or len(key.encode()) > 1024:
            raise BadKey(
                f"a key of bucket {self.bucket} is empty, absolute or longer than 1,024 bytes: correct 'layout'"
            )
        whole, sent = state.whole, 0
        for round_number in range(PUT_ATTEMPTS):
            unasked = round_number == 0 and replace is None and source.size <= self.part_size
            lacked = unasked and self._ahead is not None and self._ahead.lacks(key)
            found = Absent() if lacked else self._look(key)
            if isinstance(found, Present):
                if (same or same_metadata(metadata))(found):
                    self._drop(key, state)
                    if found.size > self.part_size:
                        self._tidy(key)
                    seen = whole is not None and found.checksum is not None and whole.crc64nvme == found.checksum
                    tree = whole.sha256_tree if whole and seen else ""
                    return achieved(key, self.bucket, found, adopted=True, sha256_tree=tree, sent=sent)
                if replace is None or replace != found.etag:
                    self._drop(key, state)
                    raise taken(key, self.where)
                self._require_versioning(key)
                condition = {"IfMatch": f'"{found.etag}"'}
            else:
                condition = {"IfNoneMatch": "*"}
            extra = self._options.arguments(key, source.size)
            target = Target(self._client, self.bucket, key, metadata, extra, condition, self._quick)
            try:
                if source.size <= self.part_size:
                    self._drop(key, state)
                    return send_whole(target, source, progress)
                stored = send_parts(
                    target, source, state=state, preferred=self.part_size, pool=self._pool, progress=progress
                )
            except Again as again:
                whole, sent = again.whole or whole, sent + again.sent
                step_back(round_number)
                continue
            except (SourceChanged, WrongBytes):
                self._drop(key, state)
                raise
            now = self._look(key)
            if isinstance(now, Present) and now.etag == stored.etag and now.version_id == stored.version_id:
                state.forget()
                self._tidy(key)
                return stored
            whole, sent = Whole(stored.sha256_tree, stored.crc64nvme), sent + stored.bytes_sent
            # Some services let two conditional completions pass that come in the same moment: only the last counts.
        raise Unreachable(
            f"{key} in bucket {self.bucket}: others keep writing this key: run again when they have ended"
        )

    def get(
        self, key: str, offset: int = 0, length: int | None = None, version_id: str | None = None
    ) -> Iterator[bytes]:
        """The object's bytes from `offset` on; see Store.get."""
        if length == 0:
            return
        pinned: dict[str, Any] = {"VersionId": version_id} if version_id else {}
        end = None if length is None else offset + length
        position, crc, md5 = offset, 0, hashlib.md5()
        expected: Mapping[str, Any] = {}
        failures = 0
        cause: BotoCoreError | None
        while True:
            before = position
            try:
                answer: Any = self._open(key, position, end, pinned)
                if not expected:
                    expected = answer
                    pinned["IfMatch"] = answer["ETag"]
                    total = _total(answer)
                    end = total if end is None else min(end, total)
                body = answer["Body"]
                while piece := body.read(CHUNK):
                    if self._pace:
                        self._pace.wait(len(piece))
                    position += len(piece)
                    crc = crc64nvme(piece, crc)
                    if not expected.get("ChecksumCRC64NVME"):
                        md5.update(piece)
                    yield piece
                cause = None
            except FlexibleChecksumError as error:
                raise self._received_wrong(key) from error
            except BotoCoreError as error:
                cause = error
            if end is not None and position >= end:
                break
            failures = 0 if position > before else failures + 1
            if failures >= GET_ATTEMPTS:
                if cause is not None:
                    raise explain(cause, self.bucket, key) from cause
                raise Unreachable(
                    f"{key} in bucket {self.bucket}: the connection ends too early each time: run again later"
                )
            threading.Event().wait(random.uniform(0, 0.2 * 2**failures))
        if offset == 0 and position == _total(expected):
            self._verify_read(key, expected, crc, md5.hexdigest())

    def abort_unfinished(self, key: str) -> int:
        """Remove all unfinished multipart uploads of exactly `key`."""
        found = []
        with explained(self.bucket, key):
            for page in self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=key):
                found += [upload["UploadId"] for upload in page.get("Uploads", []) if upload["Key"] == key]
        for upload_id in found:
            abort(self._client, self.bucket, key, upload_id)
        return len(found)

    def _look(self, key: str) -> Present | Absent:
        try:
            answer = self._client.head_object(Bucket=self.bucket, Key=key, ChecksumMode="ENABLED")
        except ClientError as error:
            if status_of(error) == 404:
                self._require_bucket()
                return Absent()
            if status_of(error) in (400, 403):
                # An answer to HEAD has no body, so it does not say why; a listing does.
                with explained(self.bucket, key):
                    self._client.list_objects_v2(Bucket=self.bucket, Prefix=key, MaxKeys=1)
            raise explain(error, self.bucket, key) from error
        except BotoCoreError as error:
            raise explain(error, self.bucket, key) from error
        self._bucket_seen = True
        full = answer.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"
        return Present(
            size=answer["ContentLength"],
            etag=unquoted(answer.get("ETag")),
            version_id=answer.get("VersionId"),
            metadata={name.lower(): value for name, value in answer.get("Metadata", {}).items()},
            checksum=hex_of(answer.get("ChecksumCRC64NVME")) if full else None,
        )

    def _require_bucket(self) -> None:
        # 404 to HEAD stands for a missing object and for a missing bucket alike.
        if not self._bucket_seen:
            with explained(self.bucket):
                self._client.head_bucket(Bucket=self.bucket)
            self._bucket_seen = True

    def _require_versioning(self, key: str) -> None:
        if self._versioned is None:
            with explained(self.bucket):
                self._versioned = self._client.get_bucket_versioning(Bucket=self.bucket).get("Status") == "Enabled"
        if not self._versioned:
            raise KeyTaken(
                f"{key} in bucket {self.bucket} has older content, and the bucket keeps no versions: enable versioning "
                "on the bucket, then run again"
            )

    def _open(self, key: str, position: int, end: int | None, pinned: Mapping[str, Any]) -> Any:
        wanted = "" if end is None else str(end - 1)
        asked: dict[str, Any] = {"Range": f"bytes={position}-{wanted}"}
        if not position and end is None:
            asked = {"ChecksumMode": "ENABLED"}  # a checksum of the whole says nothing of a range
        try:
            return self._client.get_object(Bucket=self.bucket, Key=key, **asked, **pinned)
        except ClientError as error:
            if status_of(error) == 412:
                raise WrongBytes(f"{key} in bucket {self.bucket} was replaced while it was read: run again") from error
            if code_of(error) == "InvalidRange":
                raise WrongBytes(
                    f"{key} in bucket {self.bucket} is shorter than {position} bytes: verify it"
                ) from error
            raise explain(error, self.bucket, key) from error

    def _verify_read(self, key: str, expected: Mapping[str, Any], crc: int, md5: str) -> None:
        told = hex_of(expected.get("ChecksumCRC64NVME"))
        etag = unquoted(expected.get("ETag")) or ""
        # Only the ETag of an object sent in one request, and not encrypted with a KMS key, is an MD5.
        is_md5 = len(etag) == 32 and expected.get("ServerSideEncryption") in (None, "AES256")
        if (told is not None and told != f"{crc:016x}") or (told is None and is_md5 and etag != md5):
            raise self._received_wrong(key)

    def _received_wrong(self, key: str) -> WrongBytes:
        return WrongBytes(
            f"{key} in bucket {self.bucket}: what was received is not what the service confirms: run again"
        )

    def _drop(self, key: str, state: UploadState) -> None:
        """End this caller's own unfinished upload of `key`, which is not needed any more."""
        if state.upload_id is not None:
            abort(self._client, self.bucket, key, state.upload_id)
            state.forget()

    def _tidy(self, key: str) -> None:
        """Remove unfinished uploads of a key that is complete: of no use to anybody, and paid for."""
        try:
            self.abort_unfinished(key)
        except (Denied, NotFound) as error:
            _log.warning("unfinished uploads may remain: %s", error)


def _total(answer: Mapping[str, Any]) -> int:
    """The whole object's size, from the answer to a whole or ranged request."""
    content_range = answer.get("ContentRange")
    return int(content_range.rpartition("/")[2]) if content_range else int(answer["ContentLength"])

"""Sending one archive to a vault in parts that can be resumed.

A part counts when the service has confirmed its tree hash; the whole is completed under its own. Source: Amazon
Glacier Developer Guide, "Uploading Large Archives in Parts (Multipart Upload)".
"""

import hashlib
import io
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from ecogvault.records import canonical
from ecogvault.stores.base import Checked, Hashing, PartDone, Source, UploadState, Whole
from ecogvault.stores.errors import WrongBytes
from ecogvault.stores.glacier_client import explained
from ecogvault.stores.glacier_types import Unsure, UploadForgotten
from ecogvault.stores.pieces import MIB, TreeOfPieces
from ecogvault.stores.puts import SEND_ATTEMPTS

if TYPE_CHECKING:
    from mypy_boto3_glacier.client import GlacierClient

MAX_PARTS = 10_000
MAX_PART = 4096 * MIB

_buffers = threading.local()


@dataclass(frozen=True)
class Arrived:
    """What the service said at the end: the archive's id, its tree hash, and its own time (UTC)."""

    archive_id: str
    sha256_tree: str
    at: str
    bytes_sent: int


@dataclass(frozen=True)
class Upload:
    """One archive on its way: where to, what for (`key`, for messages), and what stands beside it."""

    client: "GlacierClient"
    vault: str
    key: str
    description: str
    source: Source
    state: UploadState

    @property
    def digest(self) -> str:
        """What an unfinished upload is recognised by."""
        return hashlib.sha256(canonical([self.vault, self.key, self.source.size, self.description])).hexdigest()


def part_size_for(size: int, preferred: int) -> int:
    """The part size in bytes: `preferred` (MiB times a power of two), doubled until 10,000 parts are enough."""
    while -(-size // preferred) > MAX_PARTS and preferred < MAX_PART:
        preferred *= 2
    return preferred


def send(upload: Upload, *, preferred: int, pool: Executor, progress: Callable[[int], None] | None) -> Arrived:
    """Store an archive, going on where the service says that an earlier call stopped.

    Each piece of the source is read once; a part that the service has with the same tree hash is not sent again.
    Raises Unsure when nobody but an inventory can say whether an earlier call had been completed, StoreError,
    SourceChanged.
    """
    state = upload.state
    if state.upload_id is not None and state.digest != upload.digest:
        abort(upload.client, upload.vault, state.upload_id)
        state.forget()
    if state.whole is not None:
        done = _completed_before(upload)
        if done is not None:
            return done
    known = _open(upload, preferred)
    upload_id, part_size = state.upload_id, state.part_size
    assert upload_id is not None
    assert part_size is not None
    size = upload.source.size
    hashed = upload.source.tree if isinstance(upload.source, Hashing) else None
    tree = hashed or TreeOfPieces(size)

    def one(number: int) -> tuple[PartDone, int]:
        offset = (number - 1) * part_size
        length = min(part_size, size - offset)
        body = _buffer(length)
        upload.source.read_into(offset, memoryview(body))
        if hashed is None:
            tree.update_at(offset, body)
        digest = tree.root_of(offset, length)
        sent = 0
        if known.get(f"{offset}-{offset + length - 1}") != digest:
            _send_part(upload, upload_id, offset, body, digest)
            sent = length
        part = PartDone(etag=digest, crc64nvme=None, md5=None, size=length)
        state.acknowledge(number, part)
        return part, sent

    sent = _all_of(pool, one, -(-size // part_size), progress)
    if isinstance(upload.source, Checked):
        upload.source.check()
    whole = Whole(sha256_tree=tree.hexdigest(), crc64nvme=None)
    state.completing(whole)
    return _complete(upload, upload_id, whole, sent)


def abort(client: "GlacierClient", vault: str, upload_id: str) -> None:
    """Remove an unfinished upload; one that is gone already is as good."""
    try:
        with explained(vault):
            client.abort_multipart_upload(vaultName=vault, uploadId=upload_id)
    except UploadForgotten:
        return


def time_of(answer: Mapping[str, Any]) -> str:
    """The service's own time of an answer, `2026-03-02T09:10:11Z`: this machine's clock may be wrong."""
    stamp = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    return stamp.strftime("%Y-%m-%dT%H:%M:%SZ")


def _completed_before(upload: Upload) -> Arrived | None:
    """Complete once more what an earlier call was completing: the service answers with the same archive for a while.

    None when the service has the upload but not all of it. Source: "Complete Multipart Upload", on idempotence.
    """
    state = upload.state
    assert state.upload_id is not None
    assert state.whole is not None
    try:
        return _complete(upload, state.upload_id, state.whole, 0)
    except UploadForgotten:
        raise Unsure(
            f"{upload.key}: an earlier run was interrupted when its last request was under way, and vault "
            f"{upload.vault} has forgotten the upload since: only an inventory says whether the archive arrived"
        ) from None
    except WrongBytes:
        return None


def _open(upload: Upload, preferred: int) -> dict[str, str]:
    """Make sure that the state names a live upload of this content; the parts that the service has, by range."""
    state = upload.state
    if state.upload_id is not None:
        try:
            with explained(upload.vault, upload.key):
                pages = upload.client.get_paginator("list_parts").paginate(
                    vaultName=upload.vault, uploadId=state.upload_id, accountId="-"
                )
                return {part["RangeInBytes"]: part["SHA256TreeHash"] for page in pages for part in page["Parts"]}
        except UploadForgotten:
            state.forget()
    size = part_size_for(upload.source.size, preferred)
    with explained(upload.vault, upload.key):
        answer = upload.client.initiate_multipart_upload(
            vaultName=upload.vault, archiveDescription=upload.description, partSize=str(size)
        )
    state.begin(answer["uploadId"], size, upload.digest)
    return {}


def _send_part(upload: Upload, upload_id: str, offset: int, body: bytearray, digest: str) -> None:
    span = f"bytes {offset}-{offset + len(body) - 1}/*"
    for last in (False,) * (SEND_ATTEMPTS - 1) + (True,):
        try:
            with explained(upload.vault, upload.key):
                answer = upload.client.upload_multipart_part(
                    vaultName=upload.vault, uploadId=upload_id, range=span, checksum=digest, body=cast(Any, _Body(body))
                )
        except Exception as error:
            if last or not _broken_on_the_way(error.__cause__):
                raise
            continue
        if answer["checksum"] != digest:
            raise WrongBytes(
                f"{upload.key} in vault {upload.vault}: the service does not confirm the bytes that were sent: "
                "check what stands between this machine and the service, then run again"
            )
        return


def _broken_on_the_way(error: BaseException | None) -> bool:
    """Whether a part did not arrive as it was sent."""
    message = str(error.response.get("Error", {}).get("Message", "")) if isinstance(error, ClientError) else ""
    return "hecksum mismatch" in message or "does not match the body" in message


def _complete(upload: Upload, upload_id: str, whole: Whole, sent: int) -> Arrived:
    with explained(upload.vault, upload.key):
        try:
            answer = upload.client.complete_multipart_upload(
                vaultName=upload.vault,
                uploadId=upload_id,
                archiveSize=str(upload.source.size),
                checksum=whole.sha256_tree,
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "InvalidParameterValueException":
                raise WrongBytes(
                    f"{upload.key} in vault {upload.vault}: the service does not have the parts as they were sent, "
                    "nothing was stored: run again"
                ) from error
            raise
    if answer["checksum"] != whole.sha256_tree:
        raise WrongBytes(f"{upload.key} in vault {upload.vault}: the service confirms other bytes than were sent")
    return Arrived(answer["archiveId"], whole.sha256_tree, time_of(cast(Mapping[str, Any], answer)), sent)


def _all_of(
    pool: Executor,
    one: Callable[[int], tuple[PartDone, int]],
    count: int,
    progress: Callable[[int], None] | None,
) -> int:
    """Do every part, in ascending order of start; the first failure cancels what has not begun. Returns bytes sent."""
    futures: list[Future[tuple[PartDone, int]]] = [pool.submit(one, number) for number in range(1, count + 1)]
    total = 0
    try:
        for future in as_completed(futures):
            part, sent = future.result()
            total += sent
            if progress:
                progress(part.size)
    finally:
        # Those that run hold a buffer and may still acknowledge a part: they end before this call does.
        running = [future for future in futures if not future.cancel()]
        for future in running:
            future.exception()
    return total


class _Body(io.RawIOBase):
    """A part's bytes as the client reads them, without a copy of the whole."""

    def __init__(self, data: bytearray) -> None:
        self._view = memoryview(data)
        self._at = 0

    def __len__(self) -> int:
        return len(self._view)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._at, len(self._view))[whence]
        self._at = base + offset
        return self._at

    def read(self, size: int = -1) -> Any:
        end = len(self._view) if size is None or size < 0 else min(len(self._view), self._at + size)
        data = self._view[self._at : end]
        self._at = end
        return data


def _buffer(size: int) -> bytearray:
    """This thread's buffer of `size` bytes, used again by its next part."""
    held: bytearray | None = getattr(_buffers, "held", None)
    if held is None or len(held) != size:
        held = bytearray(size)
        _buffers.held = held
    return held

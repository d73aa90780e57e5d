"""Sending one object to Azure as a block blob: one request when it is small, blocks when it is not.

A block's name holds its number and the MD5 of its bytes, and the service takes a block only if the bytes that arrive
have the MD5 that came with them. So a block in the service's list of uncommitted blocks is known to hold its bytes,
whoever sent it and whatever was written down here, and an interrupted upload goes on by that list alone.
Source: Azure Storage REST API, "Put Block", "Put Block List", "Get Block List"; limits: "Scalability targets for Blob
Storage".
"""

import hashlib
import io
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, TypeVar

from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobBlock, BlobClient, BlockState, ContentSettings, StandardBlobTier

from ecogvault.records import canonical
from ecogvault.stores.azure_client import attempted, code_of, explained, status_of
from ecogvault.stores.base import PartDone, Source, Stored, UploadState, Whole
from ecogvault.stores.errors import StoreError, WrongBytes
from ecogvault.stores.pace import Pace, PacedBody
from ecogvault.stores.parts import all_of, buffer, check, part_size_for
from ecogvault.stores.pieces import TreeOfPieces
from ecogvault.stores.puts import SEND_ATTEMPTS, Again
from ecogvault.stores.sources import InOrder

MAX_BLOCKS = 50_000

# Answers to a body that did not arrive as it was sent; nothing is stored then.
_BROKEN_ON_THE_WAY = {"Md5Mismatch", "Crc64Mismatch"}
# Another writer has been here: the key is taken, or was replaced, or the blocks went with that writer's commit.
_OVERTAKEN = {"BlobAlreadyExists", "ConditionNotMet", "TargetConditionNotMet", "InvalidBlockList"}

_T = TypeVar("_T")


@dataclass(frozen=True)
class Target:
    """Where an object goes, and under which condition (as the client takes it) the last request may succeed."""

    blob: BlobClient
    where: str
    key: str
    metadata: Mapping[str, str]
    tier: StandardBlobTier | None
    condition: Mapping[str, Any]
    attempts: int
    pace: Pace | None = None

    def body(self, data: bytearray) -> Any:
        """What the client is given to send."""
        return PacedBody(data, self.pace) if self.pace else data

    def explained(self) -> Any:
        """Errors within the block are explained."""
        return explained(self.where, self.key, needs="write")


def to_azure(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata with names as Azure takes them: C# identifiers, so no hyphens."""
    return {name.replace("-", "_"): value for name, value in metadata.items()}


def from_azure(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """The other way round."""
    return {name.lower().replace("_", "-"): value for name, value in (metadata or {}).items()}


def unquoted(etag: str | None) -> str | None:
    """An ETag without its quotes."""
    return etag.strip('"') if etag else None


def blocks_of(key: str) -> str:
    """What an unfinished upload is called here: Azure gives it no name, and knows only blocks under a key."""
    return f"blocks of {key}"


def block_name(number: int, md5: str) -> str:
    """The name of block `number` (from 1) that holds bytes of this MD5 (hex). All names of a blob are of one length."""
    return f"{number:05d}-{md5}"


def send_whole(target: Target, source: Source, progress: Callable[[int], None] | None) -> Stored:
    """Store a small source with one request."""
    body = bytearray(source.size)
    if body:
        source.read_into(0, memoryview(body))
    check(source)
    tree = TreeOfPieces(len(body))
    tree.update_at(0, body)
    md5 = hashlib.md5(body)

    def send() -> Any:
        return target.blob.upload_blob(
            target.body(body) if target.pace else io.BytesIO(body),
            length=len(body),
            metadata=to_azure(target.metadata),
            # For an object sent as one, the service compares this with what has arrived.
            content_settings=_settings(md5.digest()),
            standard_blob_tier=target.tier,
            **target.condition,
        )

    with target.explained():
        try:
            answer = _conditional(lambda: _whole_on_arrival(target, send))
        except Again as again:
            again.whole, again.sent = Whole(tree.hexdigest(), None, md5.hexdigest()), len(body)
            raise
    _require_confirmed(target, answer, md5.digest())
    if progress:
        progress(len(body))
    return _stored(
        target,
        answer,
        size=len(body),
        part_size=None,
        md5=md5.hexdigest() if answer.get("content_md5") else None,
        tree=tree.hexdigest(),
        sent=len(body),
    )


def send_blocks(
    target: Target,
    source: Source,
    *,
    state: UploadState,
    preferred: int,
    pool: Executor,
    progress: Callable[[int], None] | None,
) -> Stored:
    """Store a large source in blocks, going on where the service says that an earlier call stopped.

    Each piece of the source is read once. A block that the service already has is not sent again.
    """
    part_size = _part_size(target, source, state, preferred)
    known = uncommitted(target)
    foreign = [name for name in known if len(name) != len(block_name(1, "0" * 32))]
    if foreign:
        raise StoreError(
            f"{target.key} in {target.where}: another program has left {len(foreign)} unfinished blocks under this "
            "key: have it finish, or wait a week, after which Azure removes them"
        )
    tree = TreeOfPieces(source.size)
    whole_md5 = InOrder(hashlib.md5)

    def one(number: int) -> tuple[str, int, int]:
        offset = (number - 1) * part_size
        size = min(part_size, source.size - offset)
        body = buffer(size)
        try:
            source.read_into(offset, memoryview(body))
        except BaseException:
            whole_md5.fail()
            raise
        tree.update_at(offset, body)
        whole_md5.update_at(offset, memoryview(body))
        md5 = hashlib.md5(body)
        name = block_name(number, md5.hexdigest())
        if known.get(name) == size:
            return name, size, 0

        def send() -> Any:
            return target.blob.stage_block(name, target.body(body), length=size, transactional_content_md5=md5.digest())

        with target.explained():
            answer = _conditional(lambda: _whole_on_arrival(target, send))
        _require_confirmed(target, answer, md5.digest())
        state.acknowledge(number, PartDone(etag="", crc64nvme=None, md5=md5.hexdigest(), size=size))
        return name, size, size

    def advance(result: tuple[str, int, int]) -> None:
        if progress:
            progress(result[1])

    done = all_of(pool, one, -(-source.size // part_size), advance)
    check(source)
    whole = Whole(sha256_tree=tree.hexdigest(), crc64nvme=None, md5=whole_md5.result()[1])
    state.completing(whole)
    blocks = [done[number][:2] for number in sorted(done)]
    bytes_sent = sum(sent for _, _, sent in done.values())
    try:
        answer = _commit(target, [name for name, _ in blocks], whole)
        _require_as_committed(target, answer, blocks, whole, source.size)
    except Again as again:
        again.whole, again.sent = whole, bytes_sent
        raise
    return _stored(
        target,
        answer,
        size=source.size,
        part_size=part_size,
        md5=whole.md5,  # the service keeps it, and never compares it: what it has confirmed is each block's
        tree=whole.sha256_tree,
        sent=bytes_sent,
    )


def uncommitted(target: Target) -> dict[str, int]:
    """Blocks that were sent under the target's key and are in no blob yet: sizes in bytes by name."""
    with target.explained():
        try:
            _, found = attempted(lambda: target.blob.get_block_list("all"), target.attempts)
        except HttpResponseError as error:
            if status_of(error) == 404 and code_of(error) != "ContainerNotFound":
                return {}
            raise
    return {str(block.id): int(block.size) for block in found}


def _part_size(target: Target, source: Source, state: UploadState, preferred: int) -> int:
    """The block size of the upload that `state` knows, if it is of this content, or of a new one."""
    digest = hashlib.sha256(canonical([target.where, target.key, source.size, dict(target.metadata)])).hexdigest()
    if state.upload_id is None or state.digest != digest or state.part_size is None:
        state.begin(blocks_of(target.key), part_size_for(source.size, preferred, MAX_BLOCKS), digest)
    return state.part_size or preferred


def _commit(target: Target, names: list[str], whole: Whole) -> Mapping[str, Any]:
    md5 = bytes.fromhex(whole.md5 or "")
    # Blocks of the blob that is being replaced are not used again, even under the same name: they may be damaged.
    blocks = [BlobBlock(name, state=BlockState.UNCOMMITTED) for name in names]

    def send() -> Mapping[str, Any]:
        return attempted(
            lambda: target.blob.commit_block_list(
                blocks,
                content_settings=_settings(md5),
                metadata=to_azure(target.metadata),
                validate_content=True,  # the list's own MD5 goes along
                standard_blob_tier=target.tier,
                **target.condition,
            ),
            target.attempts,
        )

    with target.explained():
        return _conditional(send)


def _require_as_committed(
    target: Target, answer: Mapping[str, Any], blocks: list[tuple[str, int]], whole: Whole, size: int
) -> None:
    """Raise WrongBytes unless the blob consists of exactly these blocks, in this order. Again if it is another's."""
    with target.explained():
        now = attempted(target.blob.get_blob_properties, target.attempts)
        if now.etag != answer["etag"]:
            raise Again("another writer has replaced it since")
        right = now.size == size and (now.content_settings.content_md5 or b"").hex() == whole.md5
        if right and target.tier is not StandardBlobTier.ARCHIVE:  # whose blocks cannot be listed
            found, _ = attempted(lambda: target.blob.get_block_list("committed"), target.attempts)
            right = [(str(block.id), int(block.size)) for block in found] == blocks
    if not right:
        raise WrongBytes(
            f"{target.key} in {target.where}: the service has put the blocks together wrongly: do not rely on this "
            "object, and tell those who run the service"
        )


def _conditional(send: Callable[[], _T]) -> _T:
    """The answer to a request, or Again when its condition does not hold or its blocks have vanished."""
    try:
        return send()
    except HttpResponseError as error:
        if code_of(error) in _OVERTAKEN:
            raise Again(code_of(error)) from None
        raise


def _whole_on_arrival(target: Target, send: Callable[[], _T]) -> _T:
    """The answer to a request whose body is sent again when it arrived broken. Raises WrongBytes if it always does."""
    for _ in range(SEND_ATTEMPTS):
        try:
            return attempted(send, target.attempts)
        except HttpResponseError as error:
            if code_of(error) not in _BROKEN_ON_THE_WAY:
                raise
    raise WrongBytes(
        f"{target.key} in {target.where}: what arrives is not what was sent, {SEND_ATTEMPTS} times in a row: check "
        "what stands between this machine and the service, then run again"
    )


def _require_confirmed(target: Target, answer: Mapping[str, Any], md5: bytes) -> None:
    """Raise WrongBytes if the service says that it has other bytes than those sent (Azurite says nothing of blocks)."""
    told = answer.get("content_md5")
    if told is not None and bytes(told) != md5:
        raise WrongBytes(
            f"{target.key} in {target.where}: the service does not confirm the bytes that were sent: check what stands "
            "between this machine and the service, then run again"
        )


def _settings(md5: bytes) -> ContentSettings:
    return ContentSettings(content_type="application/octet-stream", content_md5=bytearray(md5))


def _stored(
    target: Target,
    answer: Mapping[str, Any],
    *,
    size: int,
    part_size: int | None,
    md5: str | None,
    tree: str,
    sent: int,
) -> Stored:
    return Stored(
        key=target.key,
        bucket=target.blob.container_name,
        version_id=answer.get("version_id"),
        etag=unquoted(answer["etag"]),
        size=size,
        part_size=part_size,
        crc64nvme=None,
        md5=md5,
        sha256_tree=tree,
        bytes_sent=sent,
        adopted=False,
    )

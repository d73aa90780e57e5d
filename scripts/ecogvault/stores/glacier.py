"""One vault of Amazon Glacier.

A vault knows archives by ids that it makes, never by keys, and says what it holds only in inventories that are a day
old and take hours. So nothing here answers whether a key is there: ledgers know, and inventories (ecogvault.vault).
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError

from ecogvault.config import Destination
from ecogvault.digests import TreeHash
from ecogvault.stores.base import Listed, Present, Source, Stored, Unfinished, Unknown, UploadState
from ecogvault.stores.errors import BadKey, BadSettings, SourceChanged, StoreError, Unreachable, WrongBytes
from ecogvault.stores.glacier_client import explained, make_client
from ecogvault.stores.glacier_types import JobState, UploadForgotten
from ecogvault.stores.glacier_upload import MAX_PART, Upload, abort, part_size_for, send, time_of
from ecogvault.stores.pieces import MIB
from ecogvault.stores.vault_description import describe, parse

if TYPE_CHECKING:
    from mypy_boto3_glacier.client import GlacierClient

ATTEMPTS = 6
GET_ATTEMPTS = 5  # without a byte of progress
DEFAULT_PART = 64 * MIB
CHUNK = MIB


class VaultStore:
    """One vault. `connections` parts are under way at once; each has a buffer of `part_size` bytes."""

    def __init__(
        self,
        name: str,
        vault: str,
        *,
        endpoint_url: str | None = None,
        region: str | None = None,
        part_size: int = DEFAULT_PART,
        connections: int = 4,
        attempts: int = ATTEMPTS,
    ) -> None:
        count, rest = divmod(part_size, MIB)
        if rest or count < 1 or count & (count - 1) or part_size > MAX_PART:
            raise BadSettings(f"destinations.{name}.part_size_mib must be a power of two from 1 to 4096")
        self.name = name
        self.vault = vault
        self.part_size = part_size
        self._client: GlacierClient = make_client(
            endpoint_url=endpoint_url, region=region, connections=connections + 4, attempts=attempts
        )
        self._pool = ThreadPoolExecutor(connections, thread_name_prefix=f"parts-{name}")

    @classmethod
    def from_destination(cls, destination: Destination) -> "VaultStore":
        """The vault of a destination of type `glacier`."""
        settings = destination.settings
        return cls(
            destination.name,
            str(settings["vault"]),
            endpoint_url=settings.get("endpoint_url"),
            region=settings.get("region"),
            part_size=int(settings.get("part_size_mib") or 64) * MIB,
            connections=int(settings.get("connections") or 4),
        )

    @property
    def where(self) -> str:
        """The vault, for messages."""
        return f"vault {self.vault}"

    def preflight(self) -> None:
        """Ask what the vault is. Raises StoreError: missing, denied, unreachable."""
        self.described()

    def described(self) -> dict[str, Any]:
        """The vault as of its last inventory: `LastInventoryDate` (absent before the first), `NumberOfArchives`."""
        with explained(self.vault):
            return dict(self._client.describe_vault(vaultName=self.vault))

    def now(self) -> str:
        """The service's time, in UTC."""
        return time_of(self.described())

    # --- what other stores can and a vault cannot -------------------------------------------------------------------

    def head(self, key: str) -> Unknown:
        """A vault does not say whether it has a key."""
        return Unknown(f"vault {self.vault} says what it holds only in inventories")

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """A vault has no listing; its inventories come by `request_inventory`."""
        raise StoreError(
            f"vault {self.vault} has no listing: its inventory takes hours, and `snakemake verify` asks for it"
        )

    def get(
        self, key: str, offset: int = 0, length: int | None = None, version_id: str | None = None
    ) -> Iterator[bytes]:
        """A vault gives bytes to jobs alone."""
        raise StoreError(
            f"{key} in {self.where} takes hours to come back: `snakemake restore` with from={self.name} asks for it"
        )

    # --- storing ----------------------------------------------------------------------------------------------------

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
        """Store `source` as a new archive whose description names `key`; see Store.put.

        Nothing is ever adopted or replaced here: the caller knows, from its ledger and inventories, that the archive is
        not there yet. Raises Unsure when an earlier call may have stored it.
        """
        if not source.size:
            raise BadKey(f"{key} is empty, and a vault takes no empty archives")
        if source.size > MAX_PART * 10_000:
            raise BadKey(f"{key} has {source.size} bytes, more than a vault takes in one archive")
        upload = Upload(self._client, self.vault, key, describe(key, source.size, metadata), source, state)
        try:
            arrived = send(upload, preferred=self.part_size, pool=self._pool, progress=progress)
        except (SourceChanged, WrongBytes):
            if state.upload_id is not None:
                abort(self._client, self.vault, state.upload_id)
                state.forget()
            raise
        return Stored(
            key=key,
            bucket=self.vault,
            version_id=None,
            etag=None,
            size=source.size,
            part_size=state.part_size or part_size_for(source.size, self.part_size),
            crc64nvme=None,
            md5=None,
            sha256_tree=arrived.sha256_tree,
            bytes_sent=arrived.bytes_sent,
            adopted=False,
            archive_id=arrived.archive_id,
            at=arrived.at,
        )

    def abort_unfinished(self, key: str) -> int:
        """Remove all unfinished uploads whose description names exactly `key`; returns how many there were."""
        found = [one for one in self.unfinished() if one.key == key]
        for one in found:
            self.end(one)
        return len(found)

    def unfinished(self) -> Iterator[Unfinished]:
        """All unfinished uploads of the vault; the key of one that is not ours is its upload id."""
        with explained(self.vault):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(vaultName=self.vault, accountId="-")
            for upload in (upload for page in pages for upload in page["UploadsList"]):
                upload_id = upload["MultipartUploadId"]
                said = parse(upload.get("ArchiveDescription") or "")
                begun = datetime.fromisoformat(upload["CreationDate"]).astimezone(UTC)
                yield Unfinished(said.key if said else upload_id, upload_id, begun, self._arrived(upload_id))

    def end(self, one: Unfinished) -> None:
        """Remove an unfinished upload; one that is gone already is as good."""
        abort(self._client, self.vault, one.upload_id)

    def _arrived(self, upload_id: str) -> int:
        """The bytes that the vault has of an unfinished upload."""
        size = 0
        try:
            with explained(self.vault):
                pages = self._client.get_paginator("list_parts").paginate(
                    vaultName=self.vault, uploadId=upload_id, accountId="-"
                )
                for part in (part for page in pages for part in page["Parts"]):
                    first, _, last = part["RangeInBytes"].partition("-")
                    size += int(last) - int(first) + 1
        except UploadForgotten:
            return 0
        return size

    # --- jobs -------------------------------------------------------------------------------------------------------

    def request_inventory(self, description: str) -> tuple[str, str]:
        """Ask for the newest inventory; the job's id, and the service's time. Raises NoInventory, StoreError."""
        with explained(self.vault):
            answer = self._client.initiate_job(
                vaultName=self.vault,
                jobParameters={"Type": "inventory-retrieval", "Format": "JSON", "Description": description},
            )
        return answer["jobId"], time_of(answer)

    def request_archive(
        self, archive_id: str, description: str, *, tier: str, byte_range: tuple[int, int] | None = None
    ) -> tuple[str, str]:
        """Ask for an archive, or the inclusive MiB-aligned `byte_range` of it; the job's id, and the service's time.

        Raises ArchiveUnknown, PolicyForbids, NoCapacity, StoreError.
        """
        wanted: dict[str, Any] = {
            "Type": "archive-retrieval",
            "ArchiveId": archive_id,
            "Tier": tier,
            "Description": description,
        }
        if byte_range is not None:
            wanted["RetrievalByteRange"] = f"{byte_range[0]}-{byte_range[1]}"
        with explained(self.vault, description):
            answer = self._client.initiate_job(vaultName=self.vault, jobParameters=wanted)  # type: ignore[arg-type]
        return answer["jobId"], time_of(answer)

    def job(self, job_id: str, what: str) -> JobState:
        """How far a job is. Raises JobGone, StoreError."""
        with explained(self.vault, what):
            told = self._client.describe_job(vaultName=self.vault, jobId=job_id)
        size = told.get("InventorySizeInBytes")
        if told["Action"] == "ArchiveRetrieval":
            first, _, last = told["RetrievalByteRange"].partition("-")
            size = int(last) - int(first) + 1
        return JobState(
            told["StatusCode"],
            size,
            told.get("SHA256TreeHash"),
            told.get("CompletionDate"),
            told.get("StatusMessage") or "",
            time_of(told),
            told.get("ArchiveSHA256TreeHash"),
        )

    def unfinished_inventory(self, description: str) -> str | None:
        """The id of an inventory job with this description that was asked for and has not expired, if there is one."""
        with explained(self.vault):
            pages = self._client.get_paginator("list_jobs").paginate(vaultName=self.vault, accountId="-")
            for page in pages:
                for job in page["JobList"]:
                    ours = job["Action"] == "InventoryRetrieval" and job.get("JobDescription") == description
                    if ours and job["StatusCode"] != "Failed":
                        return job["JobId"]
        return None

    def described_output(self, job_id: str, what: str) -> str:
        """The description of the archive whose retrieval has ended. Raises JobGone, NotReady, StoreError."""
        with explained(self.vault, what):
            answer = self._client.get_job_output(vaultName=self.vault, jobId=job_id, range="bytes=0-0")
            answer["body"].read()
        return answer.get("archiveDescription") or ""

    def output(self, job_id: str, what: str, offset: int, size: int) -> Iterator[bytes]:
        """The bytes of a job's output from `offset` on, of `size` in all; a broken connection is taken up again.

        A stretch that comes with a tree hash is compared with it. Raises JobGone, NotReady, WrongBytes, StoreError.
        """
        position, failures = offset, 0
        while position < size:
            before = position
            try:
                with explained(self.vault, what):
                    answer = self._client.get_job_output(
                        vaultName=self.vault, jobId=job_id, range=f"bytes={position}-{size - 1}"
                    )
                body: Any = answer["body"]
                tree = TreeHash()
                while piece := body.read(CHUNK):
                    position += len(piece)
                    tree.update(piece)
                    yield piece
            except BotoCoreError as error:
                failures = 0 if position > before else failures + 1
                if failures >= GET_ATTEMPTS:
                    raise Unreachable(
                        f"{what} in vault {self.vault}: the connection ends too early each time: run again later"
                    ) from error
                continue
            if position == size and answer.get("checksum") not in (None, tree.hexdigest()):
                raise WrongBytes(
                    f"{what} in vault {self.vault}: what was received is not what the service confirms: run again"
                )
            if position == before:
                raise WrongBytes(f"{what} in vault {self.vault} is shorter than it says: run again")

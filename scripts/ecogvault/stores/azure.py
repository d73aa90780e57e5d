"""Azure Blob Storage: one container, whose objects are block blobs."""

import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, HttpResponseError
from azure.storage.blob import BlobClient, ContainerClient, StandardBlobTier

from ecogvault.config import Destination
from ecogvault.stores.azure_client import (
    ATTEMPTS,
    attempted,
    code_of,
    explain,
    explained,
    open_container,
    status_of,
)
from ecogvault.stores.azure_examine import examine, refuse_public, unfinished
from ecogvault.stores.azure_read import Reader
from ecogvault.stores.azure_thaw import readiness, thaw
from ecogvault.stores.azure_upload import (
    Target,
    from_azure,
    send_blocks,
    send_whole,
    to_azure,
    uncommitted,
    unquoted,
)
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
    same_metadata,
)
from ecogvault.stores.errors import BadKey, Denied, SourceChanged, StoreError, Unreachable, WrongBytes
from ecogvault.stores.pace import Pace
from ecogvault.stores.pieces import MIB
from ecogvault.stores.puts import PUT_ATTEMPTS, Again, Ahead, achieved, step_back, taken
from ecogvault.stores.thaw import Readiness

# What is smaller goes to the account's default tier, not to Archive: statements and manifests are asked for at any
# time, and bringing one back takes hours.
SMALLEST_ARCHIVED = 128 * 1024
# Stands under a key for a moment while blocks that are not wanted any more are removed; it counts as nothing.
_DISCARDED = {"ecogvault-discarded": "1"}
_NO_ETAG = '"0x0"'  # no blob ever has it

_log = logging.getLogger(__name__)


class AzureStore:
    """One container. `connections` blocks are under way at once, over all puts; each has a buffer of `part_size`."""

    def __init__(
        self,
        name: str,
        container: ContainerClient,
        *,
        tier: str | None = None,
        pace: Pace | None = None,
        page_size: int = 5000,
        part_size: int = 16 * MIB,
        connections: int = 4,
        attempts: int = ATTEMPTS,
    ) -> None:
        self.name = name
        self.part_size = part_size
        self._container = container
        self._tier = None if tier is None else StandardBlobTier(tier)
        self._pace = pace
        self._page_size = page_size
        self._attempts = attempts
        self._ahead: Ahead | None = None
        self._pool = ThreadPoolExecutor(connections, thread_name_prefix=f"blocks-{name}")

    @classmethod
    def from_destination(cls, destination: Destination, kind: str) -> "AzureStore":
        """The container where `destination` keeps units of `kind`. Raises BadSettings, NoCredentials."""
        settings = destination.settings
        connections = int(settings.get("connections") or 4)
        container = open_container(
            str(settings["account_url"]),
            destination.container(kind),
            name=destination.name,
            # Besides the blocks, small objects are sent from the callers' own threads.
            connections=connections + 16,
        )
        return cls(
            destination.name,
            container,
            tier=settings.get("tier"),
            pace=Pace.of(destination.name, settings.get("bandwidth_mib")),
            part_size=int(settings.get("part_size_mib") or 16) * MIB,
            connections=connections,
        )

    @property
    def where(self) -> str:
        """The container, for messages."""
        return f"container {self._container.container_name}"

    def preflight(self) -> None:
        """Ask for one name of a listing, the cheapest request whose failure says why, and refuse a public container."""
        self._require_container()
        doubt = refuse_public(self._container, self.where, attempts=self._attempts)
        if doubt:
            _log.info("%s: cannot tell whether it is public (%s)", self.where, doubt)

    def _require_container(self) -> None:
        with explained(self.where, needs="list"):
            attempted(lambda: next(self._container.list_blobs(results_per_page=1).by_page(), None), self._attempts)

    def examine(self) -> Iterator[Finding]:
        """What is right about the container, and what is not; see ecogvault.stores.azure_examine."""
        self._require_container()
        service = self._container._get_blob_service_client()
        key = f".ecogvault-{secrets.token_hex(8)}"
        return examine(self._container, service, self.where, lambda: self._may_delete(key), attempts=self._attempts)

    def unfinished(self) -> Iterator[Unfinished]:
        """Keys under which there are blocks and no blob."""
        return unfinished(self._container, self.where, attempts=self._attempts)

    def end(self, one: Unfinished) -> None:
        """Remove the blocks under one key. Raises Denied where these credentials may not: then Azure does, in time."""
        if not self.abort_unfinished(one.key) and not self._may_delete(one.key):
            raise Denied(
                f"{one.key} in {self.where}: these credentials may not delete: Azure removes the blocks itself, a week "
                "after the last one came"
            )

    def stays(self, days: int) -> str:
        """What becomes of a blob that was brought back; see Thaws."""
        return "stays in tier Hot, which is paid for, until you set its tier to Archive again"

    def readiness(self, key: str, version_id: str | None) -> Readiness:
        """Whether a blob can be read now; see Thaws."""
        return readiness(self._blob(key), self.where, key, version_id, self._attempts)

    def thaw(self, key: str, version_id: str | None, *, storage_class: str, tier: str, days: int) -> None:
        """Ask for an archived blob to be moved to tier Hot, where it stays; see Thaws."""
        thaw(self._blob(key), self.where, key, version_id, tier=tier, attempts=self._attempts)

    def head(self, key: str) -> Presence:
        """Whether `key` is there, in whichever tier; Unknown when the service does not say."""
        try:
            found = self._look(key)
        except StoreError as error:
            return Unknown(str(error))
        return Absent() if isinstance(found, Present) and _is_discarded(found) else found

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """All objects whose keys begin with `prefix`, 5,000 a request."""
        token: str | None = None
        while True:
            with explained(self.where, needs="list"):
                page, token = attempted(partial(self._page, prefix, token), self._attempts)
            yield from page
            if not token:
                return

    def _page(self, prefix: str, after: str | None) -> tuple[Iterable[Listed], str | None]:
        pages = self._container.list_blobs(name_starts_with=prefix or None, results_per_page=self._page_size).by_page(
            continuation_token=after
        )
        page = [Listed(str(one.name), int(one.size), unquoted(one.etag)) for one in next(pages, ())]
        return page, pages.continuation_token  # type: ignore[attr-defined]

    def look_ahead(self, prefix: str) -> None:
        """List once what is below `prefix`; see LooksAhead."""
        self._ahead = Ahead(prefix, frozenset(one.key for one in self.list(prefix)))

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
        self._require_key(key)
        whole, sent = state.whole, 0
        for round_number in range(PUT_ATTEMPTS):
            unasked = round_number == 0 and replace is None and source.size <= self.part_size
            lacked = unasked and self._ahead is not None and self._ahead.lacks(key)
            found = Absent() if lacked else self._look(key)
            condition: Mapping[str, Any] = {"match_condition": MatchConditions.IfMissing}
            if isinstance(found, Present):
                if not _is_discarded(found):
                    if (same or same_metadata(metadata))(found):
                        state.forget()
                        seen = whole is not None and found.md5 is not None and whole.md5 == found.md5
                        tree = whole.sha256_tree if whole and seen else ""
                        bucket = self._container.container_name
                        return achieved(key, bucket, found, adopted=True, sha256_tree=tree, sent=sent)
                    if replace is None or replace != found.etag:
                        state.forget()
                        raise taken(key, self.where)
                    self._keep_old(key, found)
                condition = {"etag": f'"{found.etag}"', "match_condition": MatchConditions.IfNotModified}
            target = self._target(key, metadata, source.size, condition)
            try:
                if source.size <= self.part_size:
                    stored = send_whole(target, source, progress)
                else:
                    stored = send_blocks(
                        target, source, state=state, preferred=self.part_size, pool=self._pool, progress=progress
                    )
            except Again as again:
                whole, sent = again.whole or whole, sent + again.sent
                step_back(round_number)
                continue
            except (SourceChanged, WrongBytes):
                self._drop(key, state)
                raise
            state.forget()
            return stored
        raise Unreachable(f"{key} in {self.where}: others keep writing this key: run again when they have ended")

    def get(
        self, key: str, offset: int = 0, length: int | None = None, version_id: str | None = None
    ) -> Iterator[bytes]:
        """The object's bytes from `offset` on; see Store.get. What is compared at the end is the MD5 kept with it."""
        if length == 0:
            return
        reader = Reader(self._blob(key), self.where, key, self._pool, self._attempts, version_id)
        for piece in reader.pieces(offset, length):
            if self._pace:
                self._pace.wait(len(piece))
            yield piece

    def abort_unfinished(self, key: str) -> int:
        """Remove the blocks that interrupted puts of `key` have left; 1 if there were any and they are gone.

        Azure has no request for this: an empty blob is put in their place and removed, where nothing stands under the
        key and these credentials may delete. Otherwise they stay, unseen, until Azure removes them a week after the
        last one came, or a blob is made under that key.
        """
        target = self._target(key, _DISCARDED, 0, {"match_condition": MatchConditions.IfMissing})
        found = self._look(key)
        if isinstance(found, Present) and _is_discarded(found):  # a call that was killed in the middle
            self._delete(key, found.etag or "")
            return 1
        if isinstance(found, Present) or not uncommitted(target) or not self._may_delete(key):
            return 0
        with explained(self.where, key, needs="write"):
            try:
                made = attempted(
                    lambda: target.blob.commit_block_list([], metadata=to_azure(_DISCARDED), **target.condition),
                    self._attempts,
                )
            except HttpResponseError as error:
                if code_of(error) in ("BlobAlreadyExists", "ConditionNotMet"):
                    return 0  # another writer has made it meanwhile, and with that the blocks are gone
                raise
        self._delete(key, unquoted(str(made["etag"])) or "")
        return 1

    # --- small steps --------------------------------------------------------------------------------------------------

    def _blob(self, key: str) -> BlobClient:
        return self._container.get_blob_client(key)

    def _target(self, key: str, metadata: Mapping[str, str], size: int, condition: Mapping[str, Any]) -> Target:
        cold = self._tier is StandardBlobTier.ARCHIVE and size < SMALLEST_ARCHIVED
        tier = None if cold else self._tier
        return Target(self._blob(key), self.where, key, metadata, tier, condition, self._attempts, self._pace)

    def _look(self, key: str) -> Present | Absent:
        try:
            found = attempted(self._blob(key).get_blob_properties, self._attempts)
        except AzureError as error:
            if status_of(error) == 404 and code_of(error) != "ContainerNotFound":
                # An answer to HEAD has no body; where it has no header either that says which, a listing does.
                if code_of(error) != "BlobNotFound":
                    self._require_container()
                return Absent()
            raise explain(error, self.where, key) from None
        md5 = found.content_settings.content_md5
        return Present(
            size=int(found.size),
            etag=unquoted(found.etag),
            version_id=getattr(found, "version_id", None),
            metadata=from_azure(found.metadata),
            checksum=None,
            md5=bytes(md5).hex() if md5 else None,
        )

    def _require_key(self, key: str) -> None:
        # Source: "Naming and referencing containers, blobs, and metadata".
        if not key or key.startswith("/") or len(key) > 1024 or key.endswith((".", "/")) or "//" in key:
            raise BadKey(
                f"a key of {self.where} is empty, absolute, longer than 1,024 characters, or a part of it is empty or "
                "ends in a dot: correct 'layout'"
            )

    def _keep_old(self, key: str, found: Present) -> None:
        """Have what is about to be replaced kept: by the account's versioning, or else as a snapshot."""
        if found.version_id is None:
            with explained(self.where, key, needs="write"):
                try:
                    attempted(
                        lambda: self._blob(key).create_snapshot(
                            etag=f'"{found.etag}"', match_condition=MatchConditions.IfNotModified
                        ),
                        self._attempts,
                    )
                except HttpResponseError as error:
                    if status_of(error) not in (404, 412):  # replaced since: the replacement will not succeed either
                        raise

    def _may_delete(self, key: str) -> bool:
        """Whether these credentials may delete, found out by asking for what can never be done."""
        try:
            with explained(self.where, key, needs="delete"):
                self._blob(key).delete_blob(etag=_NO_ETAG, match_condition=MatchConditions.IfNotModified)
        except Denied as error:
            _log.warning("unfinished blocks remain until Azure removes them, in a week: %s", error)
            return False
        except StoreError as error:
            _log.debug("nothing was deleted, as it should be: %s", error)
        return True

    def _delete(self, key: str, etag: str) -> None:
        """Remove the empty blob that stood in for unfinished blocks, if it is still that."""
        with explained(self.where, key, needs="delete"):
            try:
                attempted(
                    lambda: self._blob(key).delete_blob(
                        etag=f'"{etag}"', match_condition=MatchConditions.IfNotModified
                    ),
                    self._attempts,
                )
            except HttpResponseError as error:
                if status_of(error) not in (404, 412):
                    raise

    def _drop(self, key: str, state: UploadState) -> None:
        """End this caller's own unfinished upload of `key`, which is not needed any more."""
        if state.upload_id is not None:
            self.abort_unfinished(key)
            state.forget()


def _is_discarded(found: Present) -> bool:
    return found.size == 0 and all(found.metadata.get(name) == value for name, value in _DISCARDED.items())

"""A vault as a place for the registry's copies: what it has by our own notes and its newest inventory.

A copy is one archive, whose description holds the statement that lies beside the tarball elsewhere. What this machine
sent is noted in `results/registry/vault/{destination}.jsonl`, with the archive id, before anything else is done.
What an inventory does not list any more is noted there, too (`lost`), and is not known from then on.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecogvault.config import Config, Destination
from ecogvault.errors import Damaged
from ecogvault.files import replacing
from ecogvault.paths import Paths
from ecogvault.records import append_journal, read_journal, read_record, record_bytes, utc_now, write_record
from ecogvault.stores import Listed, Present, Source, Stored, StoreError, UploadState, open_vault
from ecogvault.stores.errors import NotFound
from ecogvault.stores.glacier_types import JobGone, Unsure
from ecogvault.vault import inventory
from ecogvault.vault.compare import Found, compare
from ecogvault.vault.statements import metadata_of, statement_in
from ecogvault.vault.waiting import Waiting, later

if TYPE_CHECKING:
    from ecogvault.stores.glacier import VaultStore

_SEALED, _STATEMENT = ".tar.zst.age", ".statement.json"


@dataclass(frozen=True)
class _Archive:
    archive_id: str
    size: int
    metadata: Mapping[str, str]


class Shelf:
    """The registry's copies in a vault, asked for as in every other store; see stores.Store."""

    def __init__(self, config: Config, destination: Destination) -> None:
        self._vault: VaultStore = open_vault(destination)
        self._config = config
        self._folder = Paths.of(config).vault_registry(destination.name)
        self._inventory = inventory.known_for(Paths.of(config), destination)
        self.name = destination.name

    @property
    def where(self) -> str:
        """The vault, for messages."""
        return self._vault.where

    def preflight(self) -> None:
        """Raise StoreError if nothing can be stored."""
        self._vault.preflight()

    def head(self, key: str) -> Any:
        """Whether a copy is known cannot be told of a single key."""
        return self._vault.head(key)

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """The copies that are known, each as a tarball and its statement."""
        for key, one in self._known().items():
            if key.startswith(prefix):
                yield Listed(key, one.size, None)
                if statement_in(one.metadata) is not None:
                    yield Listed(key.removesuffix(_SEALED) + _STATEMENT, 0, None)

    def get(
        self, key: str, offset: int = 0, length: int | None = None, version_id: str | None = None
    ) -> Iterator[bytes]:
        """A statement, or a tarball that `bring` has fetched. Raises NotFound, StoreError."""
        if key.endswith(_STATEMENT):
            one = self._known().get(key.removesuffix(_STATEMENT) + _SEALED)
            statement = statement_in(one.metadata) if one is not None else None
            if statement is None:
                raise NotFound(f"{key} is not known of {self.where}")
            yield record_bytes(statement)
            return
        if not self.fetched(key).exists():
            raise StoreError(f"{key} in {self.where} takes hours to come back, and was not fetched yet")
        with open(self.fetched(key), "rb") as stream:
            while data := stream.read(1 << 20):
                yield data

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
        """Store a tarball whose `metadata` hold its statement. A statement needs no sending: it is there already."""
        if key.endswith(_STATEMENT):
            return Stored(key, self._vault.vault, None, None, source.size, None, None, None, "", 0, adopted=True)
        try:
            stored = self._vault.put(key, source, metadata=metadata, state=state, progress=progress)
        except Unsure:
            # Two copies of the same registry do no harm, and it is small: nobody need wait for an inventory.
            state.forget()
            stored = self._vault.put(key, source, metadata=metadata, state=state, progress=progress)
        line = {"key": key, "archive_id": stored.archive_id, "size": stored.size, "metadata": dict(metadata)}
        self._note({**line, "at": stored.at})
        state.forget()
        return stored

    def abort_unfinished(self, key: str) -> int:
        """Remove what interrupted puts of `key` have left."""
        return 0 if key.endswith(_STATEMENT) else self._vault.abort_unfinished(key)

    def fetched(self, key: str) -> Path:
        """Where a tarball lies that was fetched."""
        return self._folder / key.rpartition("/")[2]

    def bring(self, key: str, *, tier: str) -> Waiting | None:
        """Ask for a tarball, or fetch it when it is ready; None when it is here. Raises StoreError, OSError."""
        if self.fetched(key).exists():
            return None
        one = self._known()[key]
        path = self._folder / "retrieval.json"
        job = _read(path)
        if job is not None and job["archive_id"] == one.archive_id:
            try:
                state = self._vault.job(job["job_id"], key)
                if state.state == "InProgress":
                    return Waiting(key, later(job["asked_at"], job["tier"]))
                if state.state == "Succeeded":
                    with replacing(self.fetched(key), mode=0o600) as stream:
                        for piece in self._vault.output(job["job_id"], key, 0, one.size):
                            stream.write(piece)
                    path.unlink()
                    return None
            except JobGone:
                path.unlink()
        job_id, asked_at = self._vault.request_archive(one.archive_id, key, tier=tier)
        self._folder.mkdir(parents=True, exist_ok=True)
        record = {"job_id": job_id, "archive_id": one.archive_id, "asked_at": asked_at, "tier": tier}
        write_record(path, record, mode=self._config.file_mode)
        return Waiting(key, later(asked_at, tier))

    @property
    def inventory_date(self) -> str:
        """The date of the newest inventory that is here; empty if there is none."""
        return self._inventory.date if self._inventory is not None else ""

    def compared(self, record: Mapping[str, Any]) -> Found:
        """What the newest inventory that is here says of the copy that a record names. Raises Damaged."""
        key = record["key"]
        one = self._known().get(key)
        sent = {line["key"]: line["at"] for line in self._notes() if not line.get("lost")}
        archive = {
            "key": key,
            "archive_id": one.archive_id if one is not None else "",
            "archived_at": sent.get(key, record["at"]),
            "size": record["size"],
            "sha256_tree": record["sha256_tree"],
        }
        return compare([archive], self._inventory)

    def lose(self, key: str) -> None:
        """Note that the vault does not have a copy any more as it was sent, so that it is not known from now on."""
        one = self._known().get(key)
        if one is not None:
            line = {"key": key, "archive_id": one.archive_id, "size": one.size, "metadata": dict(one.metadata)}
            self._note({**line, "at": utc_now(), "lost": True})

    def _note(self, line: Mapping[str, Any]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        append_journal(self._folder / "archives.jsonl", line, mode=self._config.file_mode)

    def _notes(self) -> Sequence[Mapping[str, Any]]:
        return read_journal(self._folder / "archives.jsonl")

    def _known(self) -> dict[str, _Archive]:
        found: dict[str, _Archive] = {}
        for one in self._inventory.archives if self._inventory is not None else ():
            if one.described is not None and one.described.key.startswith("registry/"):
                found[one.described.key] = _Archive(one.archive_id, one.size, one.described.metadata)
        for line in self._notes():
            if line.get("lost"):
                found.pop(line["key"], None)
                continue
            found[line["key"]] = _Archive(line["archive_id"], line["size"], line["metadata"])
        return found


def with_statement(metadata: Mapping[str, str], statement: Mapping[str, Any]) -> dict[str, str]:
    """What a vault is to be told of a copy: its metadata, and its statement."""
    return {**metadata, **metadata_of(statement)}


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return read_record(path)
    except (FileNotFoundError, Damaged):
        return None  # asking once more is all that a lost note costs

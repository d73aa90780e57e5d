"""Whole units out of a vault.

What was asked for is in `{unit}.retrieval.json`, what was fetched so far beside the place of the restore.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecogvault import audit, ledger
from ecogvault.age import FileSource, Identity
from ecogvault.config import Config, Destination
from ecogvault.files import lock, sweep_tree, without_empty_folders
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.restore import again
from ecogvault.restore.asked import otherwise
from ecogvault.restore.errors import NotWhatWasArchived
from ecogvault.restore.fetch import partial_path
from ecogvault.restore.proof import demand_manifest, note_restored, write_proof
from ecogvault.retrieve.archive import Item, ask, fetch, keep, poll, tree_of, waiting
from ecogvault.statement import StatementError, believed, verify_statement
from ecogvault.stores.errors import WrongBytes
from ecogvault.stores.glacier_types import JobGone, JobState
from ecogvault.stores.vault_description import parse
from ecogvault.tarball import open_sealed_tarball
from ecogvault.vault.statements import statement_in
from ecogvault.vault.waiting import Waiting

if TYPE_CHECKING:
    from ecogvault.stores.glacier import VaultStore


@dataclass(frozen=True)
class Wanted:
    """One unit that is to come back: its copy, the archive, and where everything about it lies."""

    unit: Unit
    copy: ledger.Copy
    archive: Mapping[str, Any]
    state: Path
    record: Path
    partial: Path

    @property
    def size(self) -> int:
        """The archive's size in bytes."""
        return int(self.archive["size"])

    @property
    def folder(self) -> Path:
        """Where its files are restored to."""
        return self.record.parent / str(self.unit)

    @property
    def item(self) -> Item:
        """The archive."""
        archive_id = str(self.archive["archive_id"])
        return Item(str(self.unit), self.unit.code, archive_id, self.size, self.state, self.partial)


def wanted_unit(config: Config, name: str, unit: Unit) -> Wanted:
    paths = Paths.of(config)
    copy = ledger.newest_copy(config, unit, name)
    (archive,) = copy.objects
    record = paths.restored_record(name, unit)
    partial = partial_path(record.parent, f"{unit}.g{copy.generation}.tar.zst.age")
    return Wanted(unit, copy, archive, paths.retrieval(name, unit), record, partial)


@dataclass
class VaultUnit:
    """The restore of one whole unit from a vault; a task of `follow`."""

    config: Config
    destination: Destination
    store: "VaultStore"
    one: Wanted
    keys: Sequence[Identity]
    _job: dict[str, Any] | None = None
    _state: JobState | None = None

    @property
    def what(self) -> str:
        """The unit."""
        return str(self.one.unit)

    def look(self) -> str | None:
        """Poll the job. Output can be had for a day after its job ended."""
        self._job, self._state = poll(self.store, self.one.item)
        ready = self._state is not None and self._state.state == "Succeeded"
        return str(self._state.completed_at) if ready and self._state else None

    def advance(self) -> Waiting | str:
        """Ask, go on waiting, or fetch and restore."""
        one = self.one
        one.folder.parent.mkdir(parents=True, exist_ok=True)
        what = f"the restore of {one.unit} from {self.destination.name}"
        with lock(one.folder.parent / f".{one.unit}.lock", what=what), without_empty_folders(one.folder):
            return self._advance()

    def _advance(self) -> Waiting | str:
        one, job = self.one, self._job
        if is_restored(one):
            return "restored already"
        if self._state is not None and job is not None:
            if self._state.state == "InProgress":
                return waiting(job)
            if "statement" not in job:
                job["statement"] = statement_of(self.config, self.store, self.destination, one, job)
                keep(self.config, one.item, job)
            try:
                fetch(self.store, one.item, job)
            except JobGone:
                job["job_id"] = None
            except WrongBytes:
                raise NotWhatWasArchived(
                    f"{one.archive['key']} from {self.destination.name} came twice with other bytes than the vault "
                    f"confirms: {otherwise(self.config, one.unit, self.destination.name)}"
                ) from None
        if one.item.have < one.size or job is None or "statement" not in job:
            kept = {"statement": job["statement"]} if job is not None and "statement" in job else {}
            return waiting(ask(self.config, self.store, one.item, kept))
        remark = _open(self.config, self.destination, one, job["statement"], self.keys)
        one.state.unlink(missing_ok=True)
        return remark


def is_restored(one: Wanted) -> bool:
    """Whether this very copy was restored already, and is all there. Raises OtherContent, OSError."""
    return again.missing(one.record, one.copy) == []


def statement_of(
    config: Config, store: "VaultStore", destination: Destination, one: Wanted, job: Mapping[str, Any]
) -> dict[str, Any]:
    """The signed statement in the archive's description, verified, before a byte of it is fetched."""
    where = f"{one.archive['key']} at {destination.name}"
    said = parse(store.described_output(job["job_id"], str(one.unit)))
    statement = statement_in(said.metadata) if said is not None else None
    if statement is None:
        raise StatementError(f"{where}: the archive's description holds no seal statement: restore from another place")
    try:
        return verify_statement(
            statement,
            believed(config),
            unit=str(one.unit),
            generation=one.copy.generation,
            form="tarball",
            manifest_sha256=one.copy.manifest_sha256,
        )
    except StatementError as error:
        raise StatementError(f"{where}: {error}") from None


def _open(
    config: Config, destination: Destination, one: Wanted, statement: dict[str, Any], keys: Sequence[Identity]
) -> str:
    """Compare the whole archive with its statement, open it, and write what was proven."""
    audit.record_here(config, "restore", one.unit.code, f"{one.unit} from {destination.name}")
    sweep_tree(one.folder)
    with open(one.partial, "rb", buffering=0) as stream:
        if tree_of(stream) != statement["sha256_tree"]:
            one.partial.unlink()
            one.state.unlink(missing_ok=True)
            raise NotWhatWasArchived(
                f"{one.archive['key']} from {destination.name} is not the object that its signed statement describes: "
                f"{otherwise(config, one.unit, destination.name)}"
            )
        opened = open_sealed_tarball(
            FileSource(stream.fileno()), keys, one.folder.parent, expect_unit=str(one.unit), threads=2
        )
    demand_manifest(opened.manifest, statement, one.unit, destination.name)
    write_proof(one.record, one.unit, destination.name, one.copy, folder=one.folder, entries=opened.manifest)
    note_restored(config, one.unit, destination.name, one.copy)
    one.partial.unlink()
    return f"{len(opened.manifest)} files restored and equal to their manifest"

"""Whole units out of a vault.

What was asked for is in `{unit}.retrieval.json`, what was fetched so far beside the place of the restore.
"""

import fcntl
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ecogvault import audit, ledger
from ecogvault.age import FileSource, Identity
from ecogvault.config import Config, Destination
from ecogvault.digests import LEAF, TreeHash
from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.files import lock, require_space, sweep_tree
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.records import read_record, write_record
from ecogvault.restore.errors import NotWhatWasArchived
from ecogvault.restore.fetch import partial_path
from ecogvault.restore.proof import demand_manifest, note_restored, write_proof
from ecogvault.statement import StatementError, read_signers, verify_statement
from ecogvault.stores.errors import WrongBytes
from ecogvault.stores.glacier_types import JobGone, JobState
from ecogvault.stores.vault_description import parse
from ecogvault.tarball import open_sealed_tarball
from ecogvault.vault.statements import statement_in
from ecogvault.vault.waiting import Waiting, later

if TYPE_CHECKING:
    from ecogvault.stores.glacier import VaultStore

SCHEMA = "ecogvault-retrieval 1"
Say = Callable[[str], None]
_READ = 1024 * 1024


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
    def have(self) -> int:
        """How many bytes of the archive are here."""
        return min(self.partial.stat().st_size, self.size) if self.partial.exists() else 0


def wanted_unit(config: Config, name: str, unit: Unit) -> Wanted:
    paths = Paths.of(config)
    copy = ledger.newest_copy(config, unit, name)
    (archive,) = copy.objects
    record = paths.restored_record(name, unit)
    partial = partial_path(record.parent, f"{unit}.g{copy.generation}.tar.zst.age")
    return Wanted(unit, copy, archive, paths.retrieval(name, unit), record, partial)


def advance_all(
    config: Config,
    destination: Destination,
    store: "VaultStore",
    left: Sequence[Wanted],
    keys: Sequence[Identity],
    failed: list[str],
    say: Say,
) -> dict[Unit, Waiting]:
    """Do what can be done now. What is ready comes first, and of that what expires first. Returns what waits."""
    polled: list[tuple[str, Wanted, dict[str, Any] | None, JobState | None]] = []
    waiting: dict[Unit, Waiting] = {}
    for one in left:
        try:
            job, state = _poll(store, one)
        except EcogvaultError as error:
            _failed(one, error, failed, say)
            continue
        ready = state is not None and state.state == "Succeeded"
        polled.append((str(state.completed_at) if ready and state else "~", one, job, state))
    for _, one, job, state in sorted(polled, key=lambda found: found[0]):
        what = f"the restore of {one.unit} from {destination.name}"
        try:
            one.folder.parent.mkdir(parents=True, exist_ok=True)
            with lock(one.folder.parent / f".{one.unit}.lock", what=what):
                found = _advance(config, destination, store, one, job, state, keys)
        except EcogvaultError as error:
            _failed(one, error, failed, say)
            continue
        if isinstance(found, Waiting):
            waiting[one.unit] = found
        else:
            say(f"{one.unit} from {destination.name}: {found}")
    return waiting


def _failed(one: Wanted, error: EcogvaultError, failed: list[str], say: Say) -> None:
    say(f"{one.unit} is not restored: {error}")
    failed.append(str(one.unit))


def _poll(store: "VaultStore", one: Wanted) -> tuple[dict[str, Any] | None, JobState | None]:
    """What was asked of the vault for this archive, and how far the job is; no job when there is none any more."""
    try:
        job = read_record(one.state)
    except (FileNotFoundError, Damaged):
        return None, None  # asking once more is all that a lost note costs
    if job.get("archive_id") != one.archive["archive_id"]:
        return None, None
    if not job["job_id"] or one.have == one.size:
        return job, None
    try:
        state = store.job(job["job_id"], str(one.unit))
    except JobGone:
        return job | {"job_id": None}, None
    return (job, state) if state.state != "Failed" else (job | {"job_id": None}, None)


def _advance(
    config: Config,
    destination: Destination,
    store: "VaultStore",
    one: Wanted,
    job: dict[str, Any] | None,
    state: JobState | None,
    keys: Sequence[Identity],
) -> Waiting | str:
    """One unit's next step: ask, go on waiting, or fetch and restore. Returns what waits, or a remark."""
    if is_restored(one):
        return "restored already"
    if state is not None and job is not None:
        if state.state == "InProgress":
            return _waiting(job)
        if "statement" not in job:
            job["statement"] = statement_of(config, store, destination, one, job)
            _keep(config, one, job)
        try:
            _fetch(store, one, job)
        except JobGone:
            job["job_id"] = None
    if one.have < one.size or job is None or "statement" not in job:
        return _waiting(_ask(config, store, one, job))
    remark = _open(config, destination, one, job["statement"], keys)
    one.state.unlink(missing_ok=True)
    return remark


def is_restored(one: Wanted) -> bool:
    """Whether this very copy was restored already, by the record of it."""
    try:
        done = read_record(one.record)
    except (FileNotFoundError, Damaged):
        return False
    same = (done["generation"], done["manifest_sha256"]) == (one.copy.generation, one.copy.manifest_sha256)
    return same and done.get("path") is None


def _waiting(job: Mapping[str, Any]) -> Waiting:
    return Waiting(f"a retrieval ({job['tier']})", later(job["asked_at"], job["tier"]))


def _ask(config: Config, store: "VaultStore", one: Wanted, job: dict[str, Any] | None) -> dict[str, Any]:
    """Ask for the archive, or for the rest of it, and remember that. A range begins at a whole MiB."""
    require_space(one.folder.parent, max(0, 2 * one.size - one.have), what=f"the tarball of {one.unit} and its files")
    tier = str(config["tier"] or "Standard")
    start = min(one.have, one.size - 1) // LEAF * LEAF
    wanted = None if start == 0 else (start, one.size - 1)
    audit.record_here(config, "restore", one.unit.code, f"{one.unit} asked of {store.where}, {tier}")
    archive_id = str(one.archive["archive_id"])
    job_id, asked_at = store.request_archive(archive_id, str(one.unit), tier=tier, byte_range=wanted)
    kept = {"statement": job["statement"]} if job is not None and "statement" in job else {}
    made = {"job_id": job_id, "asked_at": asked_at, "tier": tier, "start": start, "archive_id": archive_id} | kept
    _keep(config, one, made)
    return made


def _keep(config: Config, one: Wanted, job: Mapping[str, Any]) -> None:
    one.state.parent.mkdir(parents=True, exist_ok=True)
    write_record(one.state, {"schema": SCHEMA, **job}, mode=config.file_mode)


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
            read_signers(config.path("signers")),
            unit=str(one.unit),
            generation=one.copy.generation,
            form="tarball",
            manifest_sha256=one.copy.manifest_sha256,
        )
    except StatementError as error:
        raise StatementError(f"{where}: {error}") from None


def _fetch(store: "VaultStore", one: Wanted, job: Mapping[str, Any]) -> None:
    """Fetch what is lacking of the archive from a job that has ended, beside what is here."""
    descriptor = os.open(one.partial, os.O_RDWR | os.O_CREAT, 0o600)
    with open(descriptor, "r+b", buffering=0) as stream:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        start = int(job["start"])
        have = min(stream.seek(0, os.SEEK_END), one.size)
        if have < start:
            raise JobGone(f"{one.unit}: what was fetched before is not here any more")
        for last in (False, True):
            stream.seek(have)
            try:
                for piece in store.output(job["job_id"], str(one.unit), have - start, one.size - start):
                    stream.write(piece)
                break
            except WrongBytes:
                stream.truncate(have)  # a connection may have been at fault: what it brought is brought once more
                if last:
                    raise
        os.fsync(descriptor)


def _open(
    config: Config, destination: Destination, one: Wanted, statement: dict[str, Any], keys: Sequence[Identity]
) -> str:
    """Compare the whole archive with its statement, open it, and write what was proven."""
    audit.record_here(config, "restore", one.unit.code, f"{one.unit} from {destination.name}")
    sweep_tree(one.folder)
    with open(one.partial, "rb", buffering=0) as stream:
        if _tree_of(stream) != statement["sha256_tree"]:
            one.partial.unlink()
            one.state.unlink(missing_ok=True)
            raise NotWhatWasArchived(
                f"{one.archive['key']} from {destination.name} is not the object that its signed statement describes: "
                "restore from another destination, and have this copy replaced"
            )
        opened = open_sealed_tarball(
            FileSource(stream.fileno()), keys, one.folder.parent, expect_unit=str(one.unit), threads=2
        )
    demand_manifest(opened.manifest, statement, one.unit, destination.name)
    files = len(opened.manifest)
    write_proof(one.record, one.unit, destination.name, one.copy, folder=one.folder, files=files)
    note_restored(config, one.unit, destination.name, one.copy)
    one.partial.unlink()
    return f"{files} files restored and equal to their manifest"


def _tree_of(stream: BinaryIO) -> str:
    tree = TreeHash()
    while data := stream.read(_READ):
        tree.update(data)
    stream.seek(0)
    return tree.hexdigest()

"""Sealing the registry and having it at one destination. A kill at any moment leaves what the next run goes on from.

The picture and what is sealed wait in `private/transfer/registry/{destination}/` until the statement, which is sent
last, is there; a copy without one is not whole.
"""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ecogvault.archive import has_copies
from ecogvault.config import Config
from ecogvault.errors import Damaged
from ecogvault.keys import registry_recipients
from ecogvault.manifest import Manifest
from ecogvault.paths import Paths
from ecogvault.private import Private
from ecogvault.records import FIRST, read_record, record_bytes, utc_now, write_record
from ecogvault.registry_copy import UNIT
from ecogvault.registry_copy.contents import snapshot
from ecogvault.registry_copy.digest import record_path, state_path
from ecogvault.registry_copy.fetch import (
    PREFIX,
    RegistryCopy,
    copies_in,
    has_tree,
    newest_believed,
    newest_time,
    registry_store,
    statement_key,
    tarball_key,
)
from ecogvault.registry_copy.shelf import Shelf, with_statement
from ecogvault.send.shipment import tree_hash_of
from ecogvault.statement import read_signers, statement_sha256
from ecogvault.stores import BytesSource, Listed, Present, Store, file_source
from ecogvault.stores.errors import Archived, BucketMissing
from ecogvault.tarball import seal
from ecogvault.transfer import TransferState, transfer_state

SCHEMA = "ecogvault-registry-copy 1"
_TIME = "%Y%m%dT%H%M%SZ"
_SEALED, _STATEMENT = ".tar.zst.age", ".statement.json"


@dataclass(frozen=True)
class Kept:
    """A copy that is at a destination: when it was made, its size there, and its statement."""

    at: str
    size: int
    statement: Mapping[str, Any]


def keep_registry(config: Config, private: Private, name: str, digest: str, record: Path) -> str:
    """Have today's registry at destination `name`, and write its record. Returns a remark for the log.

    If the newest copy there has the same content and is not damaged, nothing is sent. Records for other digests are
    removed.
    Raises ConfigError, StoreError, Locked, age's errors, OSError as it comes.
    """
    paths = Paths.of(config)
    secrets_path = private.root / "transfer" / "registry" / f"{name}.json"
    with transfer_state(state_path(paths, name), secrets_path, what=f"the registry's copy to {name}") as state:
        store = registry_store(config, config.destinations[name])
        store.preflight()
        work = private.folder("transfer", "registry", name)
        try:
            seen = snapshot(config, private, work / "picture")
            kept, remark = _have(config, store, state, work, seen.manifest)
        finally:
            shutil.rmtree(work / "picture", ignore_errors=True)
        _write_record(record, name, digest, kept, config.file_mode)
        state.done()
        for path in work.glob("*Z.*"):
            path.unlink()
    for old in record.parent.glob(f"{name}.*.json"):
        if old != record:
            old.unlink()
    strange = f"; {seen.strange} things in private/ are left out: keys, links, odd names" if seen.strange else ""
    return f"registry of {kept.at}: {remark}{strange}"


def _have(config: Config, store: Store, state: TransferState, work: Path, manifest: Manifest) -> tuple[Kept, str]:
    """Have what `manifest` lists at the destination, sent or there already, with a remark on which it was."""
    listed = _listed(config, store)
    newest = newest_believed(store, copies_in(listed), _signers(config))
    before = newest[1] if newest else None
    why = ""
    if newest is not None and newest[1]["manifest_sha256"] == manifest.sha256:
        if _is_right(store, *newest):
            return Kept(newest[0].at, newest[0].size, newest[1]), "there already, nothing was sent"
        why = f"{newest[0].key} there is not what its statement says; "
    at = _waiting(work, state, store, manifest, before)
    if at is None:
        at = next_time(datetime.now(UTC), newest_time(listed))
        _seal(config, work, at, manifest, before)
    kept = _send(store, state, work, at)
    return kept, f"{why}{len(manifest)} files, {kept.size} bytes sent"


def _is_right(store: Store, copy: RegistryCopy, statement: Mapping[str, Any]) -> bool:
    """Whether a tarball is the one of its statement, as far as it can be read now. Raises StoreError."""
    if isinstance(store, Shelf):
        return True  # it takes hours to come back, and costs
    try:
        return has_tree(store, copy.key, str(statement["sha256_tree"]))
    except Archived:
        return True


def _listed(config: Config, store: Store) -> list[Listed]:
    """What the destination lists of the registry's copies; nothing in a folder that is new and has nothing in it yet.

    One to which copies of anything went is empty because it is not mounted. Raises BucketMissing, StoreError.
    """
    try:
        return list(store.list(PREFIX))
    except BucketMissing:
        earlier = record_path(Paths.of(config), store.name, "").parent.glob(f"{store.name}.*.json")
        if has_copies(config, store.name) or any(earlier):
            raise
        return []


def next_time(now: datetime, newest: str | None) -> str:
    """The time that a new copy is named by: now, but always after the newest copy's. Pure."""
    wanted = now.replace(microsecond=0)
    if newest is not None:
        wanted = max(wanted, datetime.strptime(newest, _TIME).replace(tzinfo=UTC) + timedelta(seconds=1))
    return wanted.strftime(_TIME)


def _seal(config: Config, work: Path, at: str, manifest: Manifest, before: Mapping[str, Any] | None) -> None:
    """Seal the picture under the time `at`, as the one that follows `before`."""
    seal(
        manifest,
        root=work / "picture",
        unit=UNIT,
        tarball=work / f"{at}{_SEALED}",
        index=work / f"{at}.index.json",
        statement=work / f"{at}{_STATEMENT}",
        recipients=registry_recipients(config),
        generation=before["generation"] + 1 if before else 1,
        previous_statement_sha256=statement_sha256(before) if before else FIRST,
        signing_key=config.signing_key,
        signers=config.path("signers"),
        mtime=int(time.time()),
        mode=0o600,
    )


def _waiting(
    work: Path, state: TransferState, store: Store, manifest: Manifest, before: Mapping[str, Any] | None
) -> str | None:
    """The time of what an interrupted run sealed, if it is today's registry and follows `before`; the rest goes."""
    previous = statement_sha256(before) if before else FIRST
    going_on = None
    for path in sorted(work.glob(f"*Z{_SEALED}"), reverse=True):
        at = path.name.removesuffix(_SEALED)
        said = _read(work / f"{at}{_STATEMENT}")
        fits = said is not None and (said["manifest_sha256"], said["previous"]) == (manifest.sha256, previous)
        if fits and going_on is None:
            going_on = at
        else:
            store.abort_unfinished(tarball_key(at))
            state.upload(tarball_key(at)).forget()
            path.unlink()
    return going_on


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return read_record(path)
    except (FileNotFoundError, Damaged):
        return None  # sealed anew


def _send(store: Store, state: TransferState, work: Path, at: str) -> Kept:
    statement = read_record(work / f"{at}{_STATEMENT}")
    metadata = {
        "ecogvault-unit": UNIT,
        "ecogvault-generation": str(statement["generation"]),
        "ecogvault-manifest-sha256": str(statement["manifest_sha256"]),
        "ecogvault-sha256-tree": str(statement["sha256_tree"]),
    }
    if isinstance(store, Shelf):
        metadata = with_statement(metadata, statement)
    key = tarball_key(at)

    def same_tarball(present: Present) -> bool:
        return tree_hash_of(store, key) == str(statement["sha256_tree"])

    with file_source(work / f"{at}{_SEALED}", what="the sealed registry") as source:
        stored = store.put(key, source, metadata=metadata, state=state.upload(key), same=same_tarball)
    data = record_bytes(statement)

    def same_statement(present: Present) -> bool:
        return b"".join(store.get(statement_key(at))) == data

    beside = statement_key(at)
    store.put(beside, BytesSource(data), metadata=metadata, state=state.upload(beside), same=same_statement)
    return Kept(at, stored.size, statement)


def _signers(config: Config) -> Sequence[str]:
    try:
        return read_signers(config.path("signers"))
    except FileNotFoundError:
        return ()  # nothing was ever sealed on this machine


def _write_record(record: Path, name: str, digest: str, kept: Kept, mode: int) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    write_record(
        record,
        {
            "schema": SCHEMA,
            "destination": name,
            "digest": digest,
            "key": tarball_key(kept.at),
            "size": kept.size,
            "generation": kept.statement["generation"],
            "manifest_sha256": kept.statement["manifest_sha256"],
            "sha256_tree": kept.statement["sha256_tree"],
            "at": utc_now(),
        },
        mode=mode,
    )

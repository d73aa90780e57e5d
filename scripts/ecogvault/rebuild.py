"""Ledgers made anew from what a destination holds: for a machine that was lost, or a second one without receipts.

Only what a trusted key has signed counts: each signed statement at the destination (in a vault: in an archive's
description) that no ledger here knows becomes a copy, with the objects that the listing shows. A tarball has to be the
one that its statement describes: by the metadata that the store keeps with it, or else by reading it. Nothing is sent,
opened or changed there, and no ledger line is ever taken back.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ecogvault import layout, ledger
from ecogvault.config import Config, Destination
from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.manifest import Manifest
from ecogvault.naming import CODE_PATTERN, KINDS, Unit
from ecogvault.paths import Paths
from ecogvault.records import parse_record
from ecogvault.restore.files import manifest_at
from ecogvault.send.shipment import tree_hash_of
from ecogvault.send.vault import archive_object
from ecogvault.statement import StatementError, believed, verify_statement
from ecogvault.stores import Listed, Present, Store, open_store
from ecogvault.stores.errors import Archived, WrongBytes
from ecogvault.vault import inventory
from ecogvault.vault.waiting import Waiting

Say = Callable[[str], None]
_STATEMENT = re.compile(
    rf"(?P<code>{CODE_PATTERN})/(?P<unit>(?P=code)_\d+_[a-z]+)\.g(?P<generation>\d+)\.statement\.json"
)


@dataclass
class Rebuilt:
    """What a rebuild found. `known` copies stood in a ledger already; `strange` is said by name, and why."""

    added: int = 0
    known: int = 0
    strange: list[str] = field(default_factory=list)

    def line(self, name: str) -> str:
        """The closing line."""
        strange = f"; {len(self.strange)} left alone: {'; '.join(self.strange)}" if self.strange else ""
        return f"{name}: {self.added} copies entered in ledgers, {self.known} known before{strange}"


@dataclass(frozen=True)
class _Copy:
    """One copy as a destination shows it."""

    unit: Unit
    statement: Mapping[str, Any]
    objects: tuple[Mapping[str, Any], ...]
    excluded: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()


def rebuild(config: Config, name: str, *, say: Say) -> Waiting | None:
    """Enter every copy at destination `name` that no ledger here knows. Says a line; returns what a vault waits for.

    `glacier_wait_hours` waits for a vault's inventory. Raises StoreError, SigningKeyError and FileNotFoundError for the
    list of signers, Damaged for a ledger, and for encrypted sets of files ConfigError without an age identity.
    """
    destination = config.destinations[name]
    result = Rebuilt()
    signers = believed(config)
    waiting = None
    if destination.type == "glacier":
        found, waiting = inventory.bring(config, destination, wait_hours=float(config["glacier_wait_hours"] or 0))
        if found is None:
            return waiting
        copies = _in_vault(config, destination, found, signers, result)
    else:
        copies = _in_store(config, destination, signers, result)
    for copy in copies:
        _enter(config, destination, copy, result)
    say(result.line(name))
    return waiting


def _enter(config: Config, destination: Destination, copy: _Copy, result: Rebuilt) -> None:
    paths = Paths.of(config)
    journal = paths.ledger(destination.name, copy.unit)
    generation, manifest_sha256 = int(copy.statement["generation"]), str(copy.statement["manifest_sha256"])
    with ledger.ledger_lock(paths, destination.name, copy.unit):
        known = ledger.copies(journal).get(generation)
        if known is not None and (known.evidence is not None or known.fault is not None):
            same = known.manifest_sha256 == manifest_sha256
            result.known += same
            if not same:
                result.strange.append(f"{copy.unit} generation {generation} is of other content than the ledger says")
            return
        events = [ledger.event("object", generation, manifest_sha256, object=dict(one)) for one in copy.objects]
        done = {"excluded": list(copy.excluded), "bytes_sent": 0}
        events.append(ledger.event("acknowledged", generation, manifest_sha256, **done))
        if copy.wrong:
            result.strange.append(
                f"{', '.join(copy.wrong)}: not what the statement describes, entered as wrong: `snakemake` or "
                "`snakemake repair` replaces it"
            )
            events.append(ledger.event("wrong", generation, manifest_sha256, keys=list(copy.wrong)))
        else:
            events.append(ledger.event("listed", generation, manifest_sha256))
        for line in events:
            ledger.append(journal, line, mode=config.file_mode, group=None)
    result.added += 1


def _in_vault(config: Config, destination: Destination, found: Any, signers: list[str], result: Rebuilt) -> list[_Copy]:
    """The copies that an inventory lists. Of two archives of the same content the one of the ledger counts, or the
    older one.
    """
    known_ids = ledger.archive_ids(Paths.of(config), destination.name)
    copies: dict[tuple[Unit, int], _Copy] = {}
    ours = [one for one in found.archives if one.described is not None and not str(one.key).startswith("registry/")]
    for one in sorted(ours, key=lambda one: (one.archive_id not in known_ids, one.created, one.archive_id)):
        try:
            statement = verify_statement(
                one.statement or {},
                signers,
                unit=one.described.metadata.get("ecogvault-unit", ""),
                sha256_tree=one.sha256_tree,
                form="tarball",
            )
            unit = Unit.parse(str(statement["unit"]))
        except EcogvaultError as error:
            result.strange.append(f"{one.key} ({one.archive_id[:12]}...): {error}")
            continue
        key = layout.tarball_key(destination, unit, int(statement["generation"]))
        if (unit, int(statement["generation"])) in copies:
            result.strange.append(f"{one.key} ({one.archive_id[:12]}...) is there twice")
            continue
        described = archive_object(one, key=key, vault=found.vault)
        copies[unit, int(statement["generation"])] = _Copy(unit, statement, (described,))
    return list(copies.values())


def _in_store(config: Config, destination: Destination, signers: list[str], result: Rebuilt) -> list[_Copy]:
    """The copies that listings show; of sets of files the newest generation, whose files lie under these keys."""
    stores: dict[str, tuple[Store, dict[str, Listed]]] = {}
    for kind in filter(destination.takes, KINDS):
        store = open_store(destination, kind)
        if store.where not in stores:
            stores[store.where] = store, {one.key: one for one in store.list()}
    copies: dict[tuple[Unit, int], _Copy] = {}
    for store, listed in stores.values():
        for key in sorted(listed):
            match = _STATEMENT.fullmatch(key)
            if match is None:
                continue
            try:
                unit, generation = Unit.parse(match["unit"]), int(match["generation"])
                data = b"".join(store.get(key))
                statement = verify_statement(
                    parse_record(data, what=f"{key} at {destination.name}"),
                    signers,
                    unit=str(unit),
                    generation=generation,
                    form=destination.form,
                )
                copies[unit, generation] = _copy_at(config, destination, store, listed, unit, statement)
            except (StatementError, Damaged, _Incomplete) as error:
                result.strange.append(f"{key}: {error}")
    if destination.form == "tarball":
        return list(copies.values())
    newest = {unit: max(number for one, number in copies if one == unit) for unit, _ in copies}
    return [copies[pair] for pair in newest.items()]


class _Incomplete(EcogvaultError):
    """Not all of a copy is there."""


def _copy_at(
    config: Config,
    destination: Destination,
    store: Store,
    listed: Mapping[str, Listed],
    unit: Unit,
    statement: Mapping[str, Any],
) -> _Copy:
    generation = int(statement["generation"])
    beside = layout.statement_key(unit, generation)
    if destination.form == "tarball":
        key = layout.tarball_key(destination, unit, generation)
        if key not in listed:
            raise _Incomplete("its tarball is not there")
        objects = [_object(store, listed[key], sha256_tree=statement["sha256_tree"]), _object(store, listed[beside])]
        wrong = () if _is_described(store, key, str(statement["sha256_tree"])) else (key,)
        return _Copy(unit, statement, tuple(objects), wrong=wrong)
    there = layout.manifest_key(unit, generation)
    if there not in listed:
        raise _Incomplete("its manifest is not there")
    manifest = manifest_at(config, store, unit, generation)
    if manifest.sha256 != statement["manifest_sha256"]:
        raise _Incomplete("its manifest is not the one that the statement describes")
    return _Copy(unit, statement, *_files(destination, store, listed, unit, generation, manifest))


def _is_described(store: Store, key: str, sha256_tree: str) -> bool:
    """Whether a tarball is the one of its statement: by what the store keeps with it, or else by all its bytes.

    A folder keeps nothing with a file, and who overwrites an object seldom keeps what was said of it. One that is
    archived cannot be read, and counts as far as its listing goes. Raises StoreError.
    """
    found = store.head(key)
    if isinstance(found, Present) and found.metadata.get("ecogvault-sha256-tree") == sha256_tree:
        return True
    try:
        return tree_hash_of(store, key) == sha256_tree
    except Archived:
        return True
    except WrongBytes:
        return False


def _files(
    destination: Destination,
    store: Store,
    listed: Mapping[str, Listed],
    unit: Unit,
    generation: int,
    manifest: Manifest,
) -> tuple[tuple[Mapping[str, Any], ...], tuple[str, ...], tuple[str, ...]]:
    """The objects of a set of files, the paths that are left out there, and the keys of what has an impossible size."""
    left_out = set(layout.excluded(destination, unit, manifest))
    objects = [_object(store, listed[key]) for key in _beside(unit, generation)]
    excluded, wrong = [], []
    encrypted = destination.encrypts(unit.kind)
    for entry in manifest:
        key = layout.file_key(destination, unit, generation, entry.path)
        if key in listed:
            objects.append(_object(store, listed[key]) | {"path": entry.path, "sha256": entry.sha256})
            size = listed[key].size
            wrong += [key] if size < entry.size or (size != entry.size and not encrypted) else []
        elif entry.path in left_out:
            excluded.append(entry.path)
        else:
            raise _Incomplete(f"{key} is not there")
    return tuple(objects), tuple(excluded), tuple(wrong)


def _beside(unit: Unit, generation: int) -> tuple[str, str]:
    return layout.manifest_key(unit, generation), layout.statement_key(unit, generation)


def _object(store: Store, one: Listed, *, sha256_tree: str | None = None) -> dict[str, Any]:
    """What the ledger says of an object that is listed; a tarball's version and checksum are asked for."""
    found = store.head(one.key) if sha256_tree is not None else None
    present = found if isinstance(found, Present) else None
    return {
        "key": one.key,
        "bucket": getattr(store, "bucket", None),
        "version_id": present.version_id if present else None,
        "etag": one.etag,
        "size": one.size,
        "part_size": None,
        "sha256_tree": sha256_tree,
        "crc64nvme": present.checksum if present else None,
        "md5": None,
    }

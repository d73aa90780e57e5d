"""Bringing a unit back from a destination, and proving that it is what was archived.

The signed statement is demanded first, then everything is compared with the manifest that it names. Files come below
`restored/{destination}/{unit}/`, 0700, and never over different ones.
"""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

from ecogvault import layout, ledger
from ecogvault.age import decrypt_stream
from ecogvault.config import Config, Destination
from ecogvault.digests import TreeHash
from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.files import lock, sweep, sweep_tree, temporary_beside
from ecogvault.keys import identities
from ecogvault.manifest import Entry, Manifest
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.pool import run_all, unless
from ecogvault.records import parse_record, utc_now, write_record
from ecogvault.statement import StatementError, read_signers, tree_of_files, verify_statement
from ecogvault.stores import Store, open_store
from ecogvault.tarball import open_sealed_tarball
from ecogvault.tarball.target import CheckedWriter, Target

SCHEMA = "ecogvault-restored 1"
Progress = Callable[[int], None]


class NotWhatWasArchived(EcogvaultError):
    """What came back is not what the statement and the manifest say."""


def restore_unit(config: Config, unit: Unit, name: str, record: Path, progress: Progress | None = None) -> str:
    """Restore one unit from destination `name`, and write what was proven. Returns a remark for the log.

    Raises NothingThere, NotWhatWasArchived, StatementError, StoreError, age's and tarball's errors, OSError.
    """
    copy = ledger.newest_copy(config, unit, name)
    destination = config.destinations[name]
    store = open_store(destination, unit.kind)
    statement = _statement(config, store, destination, unit, copy)
    folder = record.parent / str(unit)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with lock(folder.parent / f".{unit}.lock", what=f"the restore of {unit} from {name}"):
        sweep_tree(folder)
        if destination.form == "tarball":
            manifest = _restore_tarball(config, store, unit, copy, statement, folder, progress)
        else:
            manifest = _restore_files(config, store, destination, unit, copy, statement, folder, progress)
    write_record(
        record,
        {
            "schema": SCHEMA,
            "unit": str(unit),
            "destination": name,
            "generation": copy.generation,
            "manifest_sha256": manifest.sha256,
            "files": len(manifest) - len(copy.excluded),
            "excluded": list(copy.excluded),
            "folder": str(folder),
            "at": utc_now(),
        },
        mode=0o600,
    )
    _note_restored(config, unit, name, copy)
    left_out = f"; {len(copy.excluded)} files are not kept there: {', '.join(copy.excluded)}" if copy.excluded else ""
    return f"{len(manifest) - len(copy.excluded)} files restored and equal to their manifest{left_out}"


def _note_restored(config: Config, unit: Unit, name: str, copy: ledger.Copy) -> None:
    paths = Paths.of(config)
    with ledger.ledger_lock(paths, name, unit):
        line = ledger.event("restored", copy.generation, copy.manifest_sha256)
        ledger.append(paths.ledger(name, unit), line, mode=config.file_mode, group=None)


def _statement(config: Config, store: Store, destination: Destination, unit: Unit, copy: ledger.Copy) -> dict[str, Any]:
    key = layout.statement_key(unit, copy.generation)
    where = f"{key} at {destination.name}"
    record = parse_record(b"".join(store.get(key)), what=where)
    try:
        return verify_statement(
            record,
            read_signers(config.path("signers")),
            unit=str(unit),
            generation=copy.generation,
            form=destination.form,
            manifest_sha256=copy.manifest_sha256,
        )
    except StatementError as error:
        raise StatementError(f"{where}: {error}") from None


def _restore_tarball(
    config: Config,
    store: Store,
    unit: Unit,
    copy: ledger.Copy,
    statement: dict[str, Any],
    folder: Path,
    progress: Progress | None,
) -> Manifest:
    """Fetch the sealed tarball whole beside its target, compare its tree hash with the statement, and open it."""
    key = layout.tarball_key(config.destinations[store.name], unit, copy.generation)
    whole = folder.parent / f"{unit}.g{copy.generation}.tar.zst.age"
    sweep(whole.parent, whole.name)
    sealed = temporary_beside(whole)
    keys = identities(config)
    try:
        _fetch(store, key, sealed, statement["sha256_tree"], progress)
        opened = open_sealed_tarball(sealed, keys, folder.parent, expect_unit=str(unit), threads=2)
    finally:
        sealed.unlink(missing_ok=True)
    if opened.manifest.sha256 != statement["manifest_sha256"]:
        raise NotWhatWasArchived(
            f"the tarball of {unit} from {store.name} holds another manifest than its statement says"
        )
    return opened.manifest


def _fetch(store: Store, key: str, target: Path, sha256_tree: str, progress: Progress | None) -> None:
    tree = TreeHash()
    with open(target, "wb") as stream:
        target.chmod(0o600)
        for piece in store.get(key):
            tree.update(piece)
            stream.write(piece)
            if progress is not None:
                progress(len(piece))
    if tree.hexdigest() != sha256_tree:
        raise NotWhatWasArchived(
            f"{key} from {store.name} is not the object that its signed statement describes: "
            "restore from another destination, and have this copy replaced"
        )


def _restore_files(
    config: Config,
    store: Store,
    destination: Destination,
    unit: Unit,
    copy: ledger.Copy,
    statement: dict[str, Any],
    folder: Path,
    progress: Progress | None,
) -> Manifest:
    """Fetch each file, decrypt it where it was encrypted, and name it only when its SHA-256 is the manifest's."""
    manifest = _manifest(config, store, unit, copy)
    if manifest.sha256 != statement["manifest_sha256"] or statement["sha256_tree"] != tree_of_files(
        (entry.path, entry.sha256) for entry in manifest
    ):
        raise NotWhatWasArchived(f"the manifest of {unit} at {store.name} is not the one that its statement describes")
    keys = identities(config) if destination.encrypts(unit.kind) else []
    target = Target(folder)
    stopping = Event()
    excluded = set(copy.excluded)
    versions = {str(one["key"]): one["version_id"] for one in copy.objects}

    def fetch(entry: Entry) -> None:
        if target.has(entry.path, entry.size, entry.sha256):
            return
        key = layout.file_key(destination, unit, copy.generation, entry.path)
        writer = CheckedWriter(target)
        writer.begin(entry.path)
        try:
            pieces = _until(stopping, store.get(key, version_id=versions.get(key)))
            if keys:
                decrypt_stream(Pieces(pieces), keys, writer.add)
            else:
                for piece in pieces:
                    writer.add(memoryview(piece))
            right = writer.end(entry.sha256)
        finally:
            writer.discard()
        if not right:
            raise NotWhatWasArchived(
                f"{entry.path} from {store.name} is not what its manifest says: restore it from another destination, "
                "and have this copy replaced"
            )
        if progress is not None:
            progress(entry.size)

    try:
        run_all(fetch, (entry for entry in manifest if entry.path not in excluded), stopping=stopping)
        target.finish()
    finally:
        target.discard()
    return manifest


def _until(stopping: Event, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        unless(stopping)
        yield piece


def _manifest(config: Config, store: Store, unit: Unit, copy: ledger.Copy) -> Manifest:
    """The manifest of a set of files: the local one if it is of that content, else the encrypted one beside the set."""
    try:
        local = Manifest.read(Paths.of(config).manifest(unit))
        if local.sha256 == copy.manifest_sha256:
            return local
    except (FileNotFoundError, Damaged):
        pass  # the one at the destination is asked for below
    key = layout.manifest_key(unit, copy.generation)
    plain = io.BytesIO()
    decrypt_stream(Pieces(store.get(key)), identities(config), plain.write)
    return Manifest.parse(plain.getvalue(), what=f"{key} at {store.name}")


class Pieces:
    """Pieces of bytes as a stream to read from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._left = piece
        found, self._left = self._left[:size], self._left[size:]
        return found

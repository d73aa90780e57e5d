"""Sending a unit's objects to a store: a sealed tarball with its statement, or a set of files with theirs.

Beside what is archived lie, for each generation, the signed seal statement, and for files the encrypted manifest; a
plain HOW-TO-OPEN.txt stands at the root.
"""

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from ecogvault import chain, layout
from ecogvault.age import Envelope, Recipient, SealedView, Sealer, new_envelope
from ecogvault.config import Config, Destination
from ecogvault.digests import TreeHash
from ecogvault.ledger import Copy
from ecogvault.manifest import Entry, FileChanged, Manifest, sha256_of
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.pool import run_all
from ecogvault.private import Private
from ecogvault.records import parse_record, read_record, record_bytes, utc_now
from ecogvault.statement import make_statement, read_signers, signing_key, tree_of_files, verify_statement
from ecogvault.stores import (
    Absent,
    BytesSource,
    Present,
    Source,
    Store,
    Stored,
    StoreError,
    Unknown,
    file_source,
)
from ecogvault.stores import (
    FileSource as StoreFile,
)
from ecogvault.tarball import HOW_TO_OPEN
from ecogvault.transfer import Secret, TransferState, UploadState


# No store divides an object of up to this size (S3's smallest part).
SMALLEST_PART = 5 * 1024 * 1024


class StoreUnknown(StoreError):
    """A destination neither says that an object is there nor that it is not."""


@dataclass(frozen=True)
class Shipment:
    """One unit on its way to one destination. `note` is told of each confirmed object and the bytes sent for it."""

    config: Config
    private: Private
    destination: Destination
    unit: Unit
    generation: int
    manifest: Manifest
    recipients: Sequence[Recipient]
    known: Mapping[int, Copy]
    store: Store
    state: TransferState
    note: Callable[[dict[str, Any], int], None]
    progress: Callable[[int], None] | None = None

    @property
    def metadata(self) -> dict[str, str]:
        """What says of an object that it is ours, and of which content."""
        return {
            "ecogvault-unit": str(self.unit),
            "ecogvault-generation": str(self.generation),
            "ecogvault-manifest-sha256": self.manifest.sha256,
        }

    @property
    def here(self) -> Mapping[str, Mapping[str, Any]]:
        """Objects of this generation that the ledger already holds, by key: confirmed before an interruption."""
        copy = self.known.get(self.generation)
        if copy is None or copy.manifest_sha256 != self.manifest.sha256:
            return {}
        return {str(one["key"]): one for one in copy.objects}


def send_tarball(shipment: Shipment) -> None:
    """Have the sealed tarball and its statement at the destination. Raises StoreError, OSError."""
    _put_how_to_open(shipment)
    paths = Paths.of(shipment.config)
    unit = shipment.unit
    key = layout.tarball_key(shipment.destination, unit, shipment.generation)
    statement: Mapping[str, Any] = read_record(paths.statement(unit))
    metadata = shipment.metadata
    tree = {"ecogvault-sha256-tree": statement["sha256_tree"]}
    if key not in shipment.here:
        adopted: list[Mapping[str, Any]] = []

        def same(present: Present) -> bool:
            if present.metadata and not _holds(present, metadata):
                return False
            told = _statement_of(shipment, key, present, statement)
            if told is not None:
                adopted[:] = [told]
            return told is not None

        with file_source(paths.sealed(unit), what=f"the sealed tarball of {unit}") as source:
            stored = _put(shipment, key, source, metadata | tree, same)
        statement = adopted[0] if stored.adopted else statement
        shipment.note(_object(stored, sha256_tree=statement["sha256_tree"]), stored.bytes_sent)
    else:
        statement = _there(shipment, layout.statement_key(unit, shipment.generation)) or statement
    _put_statement(shipment, statement)


def send_files(shipment: Shipment) -> None:
    """Have each file of the manifest, the encrypted manifest and a statement there. Raises StoreError, OSError."""
    _put_how_to_open(shipment)
    left_out = set(layout.excluded(shipment.destination, shipment.unit, shipment.manifest))
    wanted = [entry for entry in shipment.manifest if entry.path not in left_out]
    noting = Lock()

    def send(entry: Entry) -> None:
        one, sent = _send_file(shipment, entry)
        if one is not None:
            with noting:
                shipment.note(one, sent)
            shipment.state.drop_secret(str(one["key"]))

    run_all(send, wanted)
    _put_manifest(shipment)
    _put_statement(shipment, _files_statement(shipment))


# --- one object -------------------------------------------------------------------------------------------------------


def _put(
    shipment: Shipment,
    key: str,
    source: Source,
    metadata: Mapping[str, str],
    same: Callable[[Present], bool] | None,
    replace: str | None = None,
    state: UploadState | None = None,
) -> Stored:
    return shipment.store.put(
        key,
        source,
        metadata=metadata,
        state=state or shipment.state.upload(key),
        replace=replace,
        progress=shipment.progress,
        same=same,
    )


def _holds(present: Present, metadata: Mapping[str, str]) -> bool:
    return all(present.metadata.get(name) == value for name, value in metadata.items())


def _object(stored: Stored, **more: Any) -> dict[str, Any]:
    """What ledger and receipt say of an object."""
    return {
        "key": stored.key,
        "bucket": stored.bucket,
        "version_id": stored.version_id,
        "etag": stored.etag,
        "size": stored.size,
        "part_size": stored.part_size,
        "sha256_tree": stored.sha256_tree or None,
        "crc64nvme": stored.crc64nvme,
        "md5": stored.md5,
    } | more


def _send_file(shipment: Shipment, entry: Entry) -> tuple[dict[str, Any] | None, int]:
    """Have one file there; returns what the ledger is to say, or nothing when it says so already."""
    key = layout.file_key(shipment.destination, shipment.unit, shipment.generation, entry.path)
    here = shipment.here.get(key)
    if here is not None and here["sha256"] == entry.sha256:
        return None, 0
    before = _before(shipment, key)
    if before is not None and before["sha256"] == entry.sha256:
        return dict(before), 0  # unchanged since an earlier generation
    path = Paths.of(shipment.config).subject(shipment.unit.code) / entry.path
    metadata = shipment.metadata | {"ecogvault-path-sha256": entry.sha256}
    ours = {name: metadata[name] for name in ("ecogvault-unit", "ecogvault-path-sha256")}

    def same(present: Present) -> bool:
        if shipment.destination.type == "folder":
            return _content_is(shipment.store, key, entry.sha256)
        plain = not shipment.destination.encrypts(shipment.unit.kind)
        return _holds(present, ours) and (not plain or present.size == entry.size)

    replace = str(before["etag"]) if before is not None and before["etag"] else None
    if not shipment.destination.encrypts(shipment.unit.kind):
        with file_source(path, what=entry.path, sha256=entry.sha256) as source:
            stored = _put(shipment, key, source, metadata, same, replace)
    else:
        by_content = None if shipment.destination.type == "folder" else same
        with encrypted_source(path, entry, _envelope(shipment, key, entry)) as sealed:
            stored = _put(shipment, key, sealed, metadata, by_content, replace)
    return _object(stored, path=entry.path, sha256=entry.sha256), stored.bytes_sent


def _before(shipment: Shipment, key: str) -> Mapping[str, Any] | None:
    """The object at `key` as the newest earlier generation that is complete left it."""
    for generation in sorted(shipment.known, reverse=True):
        copy = shipment.known[generation]
        if generation < shipment.generation:
            for one in copy.objects:
                if one["key"] == key:
                    return one if copy.evidence is not None else None
    return None


def _envelope(shipment: Shipment, key: str, entry: Entry) -> Envelope:
    """What encrypts one file on its way: that of an interrupted transfer of the same plaintext, or a new one.

    It is in `private/transfer/` before the first byte is sent, unless the file goes in one request: then nothing of it
    can be resumed. (In a folder it is the only thing that tells our own copy from another's, and is always kept.)
    """
    secret = shipment.state.secret(key, entry.sha256)
    if secret is not None:
        return Envelope.restore(secret.header, secret.file_key, secret.nonce)
    envelope = new_envelope(shipment.recipients)
    if entry.size > SMALLEST_PART or shipment.destination.type == "folder":
        shipment.state.keep_secret(key, Secret(envelope.header, envelope.file_key, envelope.nonce), entry.sha256)
    return envelope


def _content_is(store: Store, key: str, sha256: str) -> bool:
    digest = hashlib.sha256()
    for piece in store.get(key):
        digest.update(piece)
    return digest.hexdigest() == sha256


# --- what lies beside -------------------------------------------------------------------------------------------------


def _there(shipment: Shipment, key: str) -> dict[str, Any] | None:
    """The seal statement of this unit and content that lies at `key`, if there is one. Raises StoreError, Damaged."""
    presence = shipment.store.head(key)
    if isinstance(presence, Unknown):
        raise StoreUnknown(f"{shipment.store.where} does not say whether it has {key}: {presence.reason}")
    if isinstance(presence, Absent):
        return None
    record = parse_record(b"".join(shipment.store.get(key)), what=f"{key} at {shipment.store.name}")
    return verify_statement(
        record,
        read_signers(shipment.config.path("signers")),
        unit=str(shipment.unit),
        generation=shipment.generation,
        manifest_sha256=shipment.manifest.sha256,
        form=shipment.destination.form,
    )


def _statement_of(shipment: Shipment, key: str, present: Present, local: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The statement about the sealed tarball that is at `key` already, whichever ciphertext it is; None if none fits.

    The candidates are the statement beside it, the local one, and those of the chain; its tree hash is in its metadata,
    or (in a folder) is made anew.
    """
    tree = present.metadata.get("ecogvault-sha256-tree") or tree_hash_of(shipment.store, key)
    beside = _there(shipment, layout.statement_key(shipment.unit, shipment.generation))
    candidates = [beside, local, *chain.statements(shipment.private, shipment.unit)]
    for statement in candidates:
        if (
            statement is not None
            and statement["sha256_tree"] == tree
            and statement["manifest_sha256"] == shipment.manifest.sha256
            and statement["generation"] == shipment.generation
        ):
            return statement
    return None


def tree_hash_of(store: Store, key: str) -> str:
    """The SHA-256 tree hash of an object's bytes, read back."""
    tree = TreeHash()
    for piece in store.get(key):
        tree.update(piece)
    return tree.hexdigest()


def _files_statement(shipment: Shipment) -> dict[str, Any]:
    """The statement of a set of files: the one made before for this content, or a new one.

    Its tree hash is over path and SHA-256 of each file, so that it is the same wherever the set goes.
    """
    wanted = {
        "form": "files",
        "generation": shipment.generation,
        "manifest_sha256": shipment.manifest.sha256,
    }
    for known in reversed(chain.statements(shipment.private, shipment.unit)):
        if all(known[name] == value for name, value in wanted.items()):
            return dict(known)
    made = make_statement(
        unit=str(shipment.unit),
        generation=shipment.generation,
        form="files",
        manifest_sha256=shipment.manifest.sha256,
        sha256_tree=tree_of_files((entry.path, entry.sha256) for entry in shipment.manifest),
        recipients=[recipient.fingerprint for recipient in shipment.recipients],
        at=utc_now(),
        previous=chain.previous(shipment.private, shipment.unit),
        key=signing_key(shipment.config.signing_key, signers=shipment.config.path("signers")),
    )
    chain.keep(shipment.private, shipment.unit, made)
    return made


def _put_statement(shipment: Shipment, statement: Mapping[str, Any]) -> None:
    key = layout.statement_key(shipment.unit, shipment.generation)
    if key in shipment.here:
        return

    def same(present: Present) -> bool:
        return _there(shipment, key) is not None

    stored = _put(shipment, key, BytesSource(record_bytes(statement)), shipment.metadata, same)
    shipment.note(_object(stored), stored.bytes_sent)


def _put_manifest(shipment: Shipment) -> None:
    key = layout.manifest_key(shipment.unit, shipment.generation)
    if key in shipment.here:
        return
    sealed = io.BytesIO()
    sealer = Sealer(new_envelope(shipment.recipients), sealed.write)
    sealer.write(shipment.manifest.to_bytes())
    sealer.close()

    def same(present: Present) -> bool:
        # In a folder nothing tells the ciphertexts of two manifests apart; its name and the statement beside it do.
        return _holds(present, shipment.metadata) or shipment.destination.type == "folder"

    stored = _put(shipment, key, BytesSource(sealed.getvalue()), shipment.metadata, same)
    shipment.note(_object(stored), stored.bytes_sent)


def _put_how_to_open(shipment: Shipment) -> None:
    key = layout.HOW_TO_OPEN
    if isinstance(shipment.store.head(key), Present):
        return
    source = BytesSource(HOW_TO_OPEN.encode())
    # Another text of that name, or one that another job was faster to put there, is as good.
    _put(shipment, key, source, {}, lambda present: True, state=UploadState.in_memory())


class _Plain:
    """A file's bytes as age reads them."""

    def __init__(self, source: StoreFile) -> None:
        self._source = source
        self.size = source.size

    def read_into(self, offset: int, buffer: memoryview, /) -> int:
        count = max(0, min(len(buffer), self.size - offset))
        self._source.read_into(offset, buffer[:count])
        return count

    def read_at(self, offset: int, length: int, /) -> memoryview:
        buffer = memoryview(bytearray(max(0, min(length, self.size - offset))))
        self._source.read_into(offset, buffer)
        return buffer


class _Sealed:
    """The sealed bytes of a file, made as they are asked for."""

    def __init__(self, view: SealedView) -> None:
        self._view = view

    @property
    def size(self) -> int:
        return self._view.size

    def read_into(self, offset: int, buffer: memoryview) -> None:
        self._view.read_into(offset, buffer)


@contextmanager
def encrypted_source(path: Path, entry: Entry, envelope: Envelope) -> Iterator[_Sealed]:
    """The file at `path` encrypted on the way, without a copy on disk.

    It is hashed beforehand: what is sent is what the manifest lists. Raises FileChanged, and SourceChanged if it
    changes while it is sent.
    """
    with file_source(path, what=entry.path) as source:
        if sha256_of(path) != (entry.size, entry.sha256):
            raise FileChanged(f"{entry.path} is not what its manifest says: run again to de-identify it anew")
        yield _Sealed(SealedView(envelope, _Plain(source), entry.size))

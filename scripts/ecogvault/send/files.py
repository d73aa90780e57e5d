"""Sending a set of files, each as it is or encrypted on its way, with their manifest and statement."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from os.path import commonpath
from threading import Event, Lock
from typing import Any

from ecogvault import layout
from ecogvault.age import Envelope, new_envelope
from ecogvault.manifest import Entry
from ecogvault.paths import Paths
from ecogvault.pool import run_all, unless
from ecogvault.send.beside import files_statement, put_how_to_open, put_manifest, put_statement
from ecogvault.send.encrypted import encrypted_source
from ecogvault.send.shipment import Shipment, described, holds, put
from ecogvault.stores import (
    Absent,
    Finite,
    LooksAhead,
    Present,
    Store,
    file_source,
)
from ecogvault.transfer import Secret

# No store divides a file of up to this size, sealed or not (S3's smallest part is 5 MiB).
WHOLE = 4 * 1024 * 1024
# Of small files most of the time goes by in waiting for answers: fewer at once leave two cores idle.
SMALL_AT_ONCE = 12
# From so many new files on, one listing is cheaper than a question for each.
MANY = 8


def send_files(shipment: Shipment) -> None:
    """Have each file of the manifest, the encrypted manifest and a statement there. Raises StoreError, OSError."""
    put_how_to_open(shipment)
    left_out = set(layout.excluded(shipment.destination, shipment.unit, shipment.manifest))
    wanted = [entry for entry in shipment.manifest if entry.path not in left_out]
    _look_ahead(shipment, wanted)
    noting = Lock()
    stopping = Event()

    def advance(count: int) -> None:
        unless(stopping)
        if shipment.progress is not None:
            shipment.progress(count)

    stoppable = replace(shipment, progress=advance)

    def send(entry: Entry) -> None:
        one, sent = _send_file(stoppable, entry)
        if one is not None:
            with noting:
                shipment.note(one, sent)
            shipment.state.drop_secret(str(one["key"]))

    _require_room(shipment, wanted)
    # Large files keep several connections busy each, and more memory.
    run_all(send, [entry for entry in wanted if entry.size <= WHOLE], at_once=SMALL_AT_ONCE, stopping=stopping)
    run_all(send, [entry for entry in wanted if entry.size > WHOLE], stopping=stopping)
    put_manifest(shipment)
    put_statement(shipment, files_statement(shipment))


def _require_room(shipment: Shipment, wanted: Sequence[Entry]) -> None:
    """Raise NoSpace before the first byte, where a store can be full, unless all files that are not there yet fit."""
    if isinstance(shipment.store, Finite):
        keys = (
            (layout.file_key(shipment.destination, shipment.unit, shipment.generation, entry.path), entry.size)
            for entry in wanted
        )
        shipment.store.require_room(sum(size for key, size in keys if isinstance(shipment.store.head(key), Absent)))


def _look_ahead(shipment: Shipment, wanted: Sequence[Entry]) -> None:
    """Where many files are to be sent, have the store ask for all of them at once."""
    there = shipment.here.keys() | shipment.before.keys()
    keys = (layout.file_key(shipment.destination, shipment.unit, shipment.generation, one.path) for one in wanted)
    new = [key for key in keys if key not in there]
    if len(new) >= MANY and isinstance(shipment.store, LooksAhead):
        top = commonpath([key.rpartition("/")[0] for key in new])
        shipment.store.look_ahead(f"{top}/" if top else "")


def _send_file(shipment: Shipment, entry: Entry) -> tuple[dict[str, Any] | None, int]:
    """Have one file there; returns what the ledger is to say, or nothing when it says so already."""
    key = layout.file_key(shipment.destination, shipment.unit, shipment.generation, entry.path)
    here = shipment.here.get(key)
    if here is not None and here["sha256"] == entry.sha256:
        return None, 0
    before = shipment.before.get(key)
    if before is not None and before["sha256"] == entry.sha256:
        return dict(before), 0  # unchanged since an earlier generation
    path = Paths.of(shipment.config).subject(shipment.unit.code) / entry.path
    metadata = shipment.metadata | {"ecogvault-path-sha256": entry.sha256}
    ours = {name: metadata[name] for name in ("ecogvault-unit", "ecogvault-path-sha256")}

    def same(present: Present) -> bool:
        if shipment.destination.type == "folder":
            return content_is(shipment.store, key, entry.sha256)
        plain = not shipment.destination.encrypts(shipment.unit.kind)
        return holds(present, ours) and (not plain or present.size == entry.size)

    replaced = str(before["etag"]) if before is not None and before["etag"] else None
    if not shipment.destination.encrypts(shipment.unit.kind):
        with file_source(path, what=entry.path, sha256=entry.sha256) as source:
            stored = put(shipment, key, source, metadata, same, replaced)
    else:
        by_content = None if shipment.destination.type == "folder" else same
        once = entry.size <= WHOLE and shipment.destination.type in ("s3", "azure")
        with encrypted_source(path, entry, _envelope(shipment, key, entry), once=once) as sealed:
            stored = put(shipment, key, sealed, metadata, by_content, replaced)
    return described(stored, path=entry.path, sha256=entry.sha256), stored.bytes_sent


def _envelope(shipment: Shipment, key: str, entry: Entry) -> Envelope:
    """What encrypts one file on its way: that of an interrupted transfer of the same plaintext, or a new one.

    It is in `private/transfer/` before the first byte is sent, unless the file goes in one request: then nothing of it
    can be resumed. (In a folder it is the only thing that tells our own copy from another's, and is always kept.)
    """
    secret = shipment.state.secret(key, entry.sha256)
    if secret is not None:
        return Envelope.restore(secret.header, secret.file_key, secret.nonce)
    envelope = new_envelope(shipment.recipients)
    if entry.size > WHOLE or shipment.destination.type == "folder":
        shipment.state.keep_secret(key, Secret(envelope.header, envelope.file_key, envelope.nonce), entry.sha256)
    return envelope


def content_is(store: Store, key: str, sha256: str) -> bool:
    """Whether the bytes of an object, read back, have this SHA-256."""
    digest = hashlib.sha256()
    for piece in store.get(key):
        digest.update(piece)
    return digest.hexdigest() == sha256

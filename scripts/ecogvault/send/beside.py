"""What lies beside a unit at its destination: the signed statement, the encrypted manifest, HOW-TO-OPEN.txt."""

import io
from collections.abc import Mapping
from typing import Any

from ecogvault import chain, layout
from ecogvault.age import Sealer, new_envelope
from ecogvault.digests import tree_hash
from ecogvault.records import parse_record, record_bytes, utc_now
from ecogvault.send.shipment import Shipment, StoreUnknown, described, holds, put, tree_hash_of
from ecogvault.statement import believed, make_statement, signing_key, tree_of_files, verify_statement
from ecogvault.stores import Absent, BytesSource, KeyTaken, Present, Stored, Unknown
from ecogvault.tarball import HOW_TO_OPEN
from ecogvault.transfer import UploadState


def statement_at(shipment: Shipment, key: str) -> dict[str, Any] | None:
    """The seal statement of this unit and content that lies at `key`, if there is one. Raises StoreError, Damaged."""
    presence = shipment.store.head(key)
    if isinstance(presence, Unknown):
        raise StoreUnknown(f"{shipment.store.where} does not say whether it has {key}: {presence.reason}")
    if isinstance(presence, Absent):
        return None
    record = parse_record(b"".join(shipment.store.get(key)), what=f"{key} at {shipment.store.name}")
    return verify_statement(
        record,
        believed(shipment.config),
        unit=str(shipment.unit),
        generation=shipment.generation,
        manifest_sha256=shipment.manifest.sha256,
        form=shipment.destination.form,
    )


def statement_of(shipment: Shipment, key: str, present: Present, local: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The statement about the sealed tarball that is at `key` already, whichever ciphertext it is; None if none fits.

    The candidates are the statement beside it, the local one, and those of the chain; its tree hash is in its metadata,
    or (in a folder) is made anew.
    """
    tree = present.metadata.get("ecogvault-sha256-tree") or tree_hash_of(shipment.store, key)
    beside = statement_at(shipment, layout.statement_key(shipment.unit, shipment.generation))
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


def files_statement(shipment: Shipment) -> dict[str, Any]:
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


def put_statement(shipment: Shipment, statement: Mapping[str, Any]) -> None:
    """Have this very statement beside what it describes.

    One of the same unit and content may be there that describes another ciphertext, which was lost: it is replaced.
    Raises StoreError, StatementError, Damaged.
    """
    key = layout.statement_key(shipment.unit, shipment.generation)
    data = record_bytes(statement)
    there = shipment.here.get(key)
    if there is not None and there["sha256_tree"] == tree_hash(data):
        return

    def told() -> bool:
        found = statement_at(shipment, key)
        return found is not None and found["sha256_tree"] == statement["sha256_tree"]

    def send(replace: str | None) -> Stored:
        return put(shipment, key, BytesSource(data), shipment.metadata, lambda present: told(), replace)

    try:
        stored = send(there["etag"] if there is not None else None)
    except KeyTaken:
        outdated = shipment.store.head(key)
        if not isinstance(outdated, Present) or statement_at(shipment, key) is None:
            raise
        stored = send(outdated.etag)
    shipment.note(described(stored), stored.bytes_sent)


def put_manifest(shipment: Shipment) -> None:
    key = layout.manifest_key(shipment.unit, shipment.generation)
    if key in shipment.here:
        return
    sealed = io.BytesIO()
    sealer = Sealer(new_envelope(shipment.recipients), sealed.write)
    sealer.write(shipment.manifest.to_bytes())
    sealer.close()

    def same(present: Present) -> bool:
        # In a folder nothing tells the ciphertexts of two manifests apart; its name and the statement beside it do.
        return holds(present, shipment.metadata) or shipment.destination.type == "folder"

    stored = put(shipment, key, BytesSource(sealed.getvalue()), shipment.metadata, same)
    shipment.note(described(stored), stored.bytes_sent)


def put_how_to_open(shipment: Shipment) -> None:
    key = layout.HOW_TO_OPEN
    source = BytesSource(HOW_TO_OPEN.encode())
    # Another text of that name, or one that another job was faster to put there, is as good.
    put(shipment, key, source, {}, lambda present: True, state=UploadState.in_memory())

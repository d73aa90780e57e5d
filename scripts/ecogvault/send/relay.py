"""Sending what another destination holds, as it is: sealed bytes and their statement, without a key and without a copy
on this disk. What is read there is compared with its recorded digest before it counts as stored here.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from ecogvault import chain, layout
from ecogvault.config import Destination
from ecogvault.errors import EcogvaultError
from ecogvault.ledger import Copy, is_encrypted
from ecogvault.pool import run_all
from ecogvault.send.beside import files_statement, put_how_to_open, put_manifest, put_statement
from ecogvault.send.files import content_is
from ecogvault.send.shipment import Shipment, described, holds, put
from ecogvault.stores import Present, Store, StoreError
from ecogvault.stores.pieces import TreeOfPieces
from ecogvault.stores.sources import InOrder


class NoStatement(EcogvaultError):
    """The statement about a tarball is neither beside it nor known here."""


class OriginIsWrong(StoreError):
    """What was read from the other destination is not what its ledger says. `key` is the object's there."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True)
class Origin:
    """The copy that is sent on, the place it lies at, and its verified statement."""

    destination: Destination
    store: Store
    copy: Copy
    statement: Mapping[str, Any]


class Relayed:
    """An object of another destination as content to send (a Source that can be checked)."""

    def __init__(self, origin: Origin, one: Mapping[str, Any], sha256_tree: str | None, sha256: str | None) -> None:
        self._origin = origin
        self._key = str(one["key"])
        self._version_id = one["version_id"]
        self._sha256_tree = sha256_tree
        self._sha256 = sha256
        self.size = int(one["size"])
        self._tree = TreeOfPieces(self.size if sha256_tree else 0)
        self._seen = InOrder(hashlib.sha256)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` from `offset`. Raises StoreError."""
        done = 0
        try:
            if buffer:
                for piece in self._origin.store.get(self._key, offset, len(buffer), self._version_id):
                    buffer[done : done + len(piece)] = piece
                    done += len(piece)
            if done != len(buffer):
                raise self._wrong()
        except BaseException:
            self._seen.fail()
            raise
        if self._sha256_tree is not None:
            self._tree.update_at(offset, buffer)
        if self._sha256 is not None:
            self._seen.update_at(offset, buffer)

    def check(self) -> None:
        """Raise OriginIsWrong unless all was read and has the recorded digests."""
        if self._sha256_tree is not None and self._tree.hexdigest() != self._sha256_tree:
            raise self._wrong()
        if self._sha256 is not None and self._seen.result() != (self.size, self._sha256):
            raise self._wrong()

    def _wrong(self) -> OriginIsWrong:
        return OriginIsWrong(self._key, f"{self._key} at {self._origin.destination.name} is not what was archived")


def relayed_tarball(shipment: Shipment, origin: Origin) -> Relayed:
    """The sealed tarball of another destination as content to send, compared with its signed statement."""
    one = origin.copy.tarball(shipment.unit)
    return Relayed(origin, one, str(origin.statement["sha256_tree"]), None)


def relay_tarball(shipment: Shipment, origin: Origin) -> None:
    """Have the sealed tarball of another destination, and its statement, at this one. Raises StoreError."""
    put_how_to_open(shipment)
    key = layout.tarball_key(shipment.destination, shipment.unit, shipment.generation)
    if key not in shipment.here:
        source = relayed_tarball(shipment, origin)
        tree = str(origin.statement["sha256_tree"])
        stored = put(
            shipment,
            key,
            source,
            shipment.metadata | {"ecogvault-sha256-tree": tree},
            lambda present: present.metadata.get("ecogvault-sha256-tree") == tree and present.size == source.size,
        )
        shipment.note(described(stored, sha256_tree=tree), stored.bytes_sent)
        put_statement(shipment, origin.statement)
    else:
        # What stands there may be another ciphertext than the origin's: its own statement goes beside it.
        restate(shipment, origin.statement)


def restate(shipment: Shipment, *more: Mapping[str, Any]) -> None:
    """Have beside a copy that is whole what says so: its statement, and for a set of files the encrypted manifest.

    Raises NoStatement when neither the statements that are known here nor `more` are of the tarball that stands there.
    """
    if shipment.destination.form == "files":
        put_manifest(shipment)
        put_statement(shipment, files_statement(shipment))
        return
    key = layout.tarball_key(shipment.destination, shipment.unit, shipment.generation)
    tree = shipment.here[key]["sha256_tree"]
    for statement in [*chain.statements(shipment.private, shipment.unit), *more]:
        if (statement["generation"], statement["sha256_tree"]) == (shipment.generation, tree):
            put_statement(shipment, statement)
            return
    where = f"the tarball of {shipment.unit} at {shipment.destination.name}"
    raise NoStatement(f"neither private/ nor the other copy knows a statement about {where}")


def relay_files(shipment: Shipment, origin: Origin) -> None:
    """Have the files of another destination at this one, those that are missing here. Raises StoreError."""
    put_how_to_open(shipment)
    there = {str(one["path"]): one for one in origin.copy.objects if one.get("path")}
    left_out = set(layout.excluded(shipment.destination, shipment.unit, shipment.manifest))
    plain = not shipment.destination.encrypts(shipment.unit.kind)
    noting = Lock()

    def send(path: str) -> None:
        key = layout.file_key(shipment.destination, shipment.unit, shipment.generation, path)
        one = there[path]
        if key in shipment.here:
            return
        ours = {"ecogvault-unit": str(shipment.unit), "ecogvault-path-sha256": str(one["sha256"])}

        def same(present: Present) -> bool:
            if shipment.destination.type == "folder":
                return plain and content_is(shipment.store, key, str(one["sha256"]))
            return holds(present, ours) and present.size == int(one["size"])

        stored = put(
            shipment,
            key,
            Relayed(origin, one, one.get("sha256_tree"), str(one["sha256"]) if plain else None),
            shipment.metadata | ours,
            same,
        )
        with noting:
            shipment.note(described(stored, path=path, sha256=one["sha256"]), stored.bytes_sent)

    run_all(send, (entry.path for entry in shipment.manifest if entry.path not in left_out))
    put_manifest(shipment)
    same_generation = origin.statement["generation"] == shipment.generation
    put_statement(shipment, origin.statement if same_generation else files_statement(shipment))


def can_relay(target: Destination, copy: Copy, kind: str, left_out: set[str]) -> bool:
    """Whether a copy elsewhere can be sent on as it is to a destination that leaves `left_out` of its own out. Pure.

    Both are tarballs, or both are files that are alike encrypted or plain, of which the origin leaves no more out, and
    each of which has a digest that can be compared.
    """
    if target.form != copy.form:
        return False
    if copy.form == "tarball":
        return True
    files = [one for one in copy.objects if one.get("path")]
    plain = not target.encrypts(kind)
    return (
        all(is_encrypted(one) != plain for one in files)
        and set(copy.excluded) <= left_out
        and all(one.get("sha256_tree") or (plain and one.get("sha256")) for one in files)
    )

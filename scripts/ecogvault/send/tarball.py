"""Sending a sealed tarball and its statement."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecogvault import chain, layout
from ecogvault.errors import EcogvaultError
from ecogvault.paths import Paths
from ecogvault.records import read_record
from ecogvault.send.beside import put_how_to_open, put_statement, statement_of
from ecogvault.send.payload import origin_of
from ecogvault.send.shipment import Shipment, described, holds, put
from ecogvault.stores import Present, file_source


class SealedOtherwise(EcogvaultError):
    """The sealed tarball here is not of the generation that is to be sent."""


def send_tarball(shipment: Shipment) -> None:
    """Have the sealed tarball and its statement at the destination. Raises StoreError, OSError."""
    put_how_to_open(shipment)
    paths = Paths.of(shipment.config)
    unit = shipment.unit
    key = layout.tarball_key(shipment.destination, unit, shipment.generation)
    statement: Mapping[str, Any] = read_record(paths.statement(unit))
    metadata = shipment.metadata
    tree = {"ecogvault-sha256-tree": statement["sha256_tree"]}
    if key not in shipment.here:
        adopted: list[Mapping[str, Any]] = []

        def same(present: Present) -> bool:
            if present.metadata and not holds(present, metadata):
                return False
            told = statement_of(shipment, key, present, statement)
            if told is not None:
                adopted[:] = [told]
            return told is not None

        sealed = require_sealed(shipment, statement)
        origin = origin_of(shipment, statement, sealed.stat().st_size)
        with file_source(sealed, what=str(sealed), sha256_tree=statement["sha256_tree"], origin=origin) as source:
            stored = put(shipment, key, source, metadata | tree, same)
        statement = adopted[0] if stored.adopted else statement
        shipment.note(described(stored, sha256_tree=statement["sha256_tree"]), stored.bytes_sent)
    else:
        # Confirmed before an interruption, perhaps as another ciphertext than lies here now: its own statement goes.
        there = shipment.here[key]["sha256_tree"]
        made = chain.statements(shipment.private, unit)
        statement = next((one for one in made if one["sha256_tree"] == there), statement)
    put_statement(shipment, statement)


def require_sealed(shipment: Shipment, statement: Mapping[str, Any]) -> Path:
    """The unit's sealed tarball here, if `statement` says that it is of what is to be sent. Raises SealedOtherwise."""
    sealed = Paths.of(shipment.config).sealed(shipment.unit)
    if (statement["generation"], statement["manifest_sha256"]) != (shipment.generation, shipment.manifest.sha256):
        raise SealedOtherwise(
            f"{sealed} is of generation {statement['generation']}, but {shipment.unit} is at {shipment.generation}: if "
            "`ecogvault reseal` was interrupted, run it again; else remove the tarball, then run again"
        )
    return sealed

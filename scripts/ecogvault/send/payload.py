"""Which object at a destination ends in the payload of a resealed tarball, so that a service can copy it from there.

A reseal that keeps the file key makes a new header alone, and the chain of statements says which tarball it was made
from. Where the ledger knows a complete copy of that one, with its tree hash, its payload is that of the new one, byte
for byte.
"""

from collections.abc import Collection, Mapping
from typing import Any

from ecogvault import chain, layout
from ecogvault.config import Destination
from ecogvault.ledger import Copy
from ecogvault.naming import Unit
from ecogvault.send.shipment import Shipment
from ecogvault.stores import Origin
from ecogvault.stores.parts import part_size_for
from ecogvault.stores.pieces import MIB

_MOST_PARTS = 10_000


def origin_of(shipment: Shipment, statement: Mapping[str, Any], size: int) -> Origin | None:
    """The object that holds the payload of the sealed tarball of `statement`, of `size` bytes. Raises Damaged."""
    header, older = chain.same_payload(shipment.private, shipment.unit, statement["sha256_tree"])
    one = _with_payload(
        shipment.destination, shipment.unit, shipment.known, shipment.generation, shipment.manifest.sha256, older
    )
    if one is None or not one["bucket"] or not one["etag"]:
        return None
    offset = older[str(one["sha256_tree"])]
    if int(one["size"]) - offset != size - header:
        return None
    return Origin(
        bucket=str(one["bucket"]),
        key=str(one["key"]),
        version_id=one["version_id"],
        etag=str(one["etag"]),
        size=int(one["size"]),
        offset=offset,
        start=header,
    )


def to_copy(
    destination: Destination,
    unit: Unit,
    known: Mapping[int, Copy],
    manifest_sha256: str,
    trees: Collection[str],
    size: int,
) -> int:
    """About how many bytes of a tarball of `size` bytes with a new header are copied inside an S3 bucket.

    `trees` are the tree hashes of tarballs with its payload. What is in the first part is sent, and so is what fits in
    one part. 0 for other types of destination.
    """
    if destination.type != "s3":
        return 0
    preferred = int(destination.settings.get("part_size_mib") or 16) * MIB
    one = _with_payload(destination, unit, known, None, manifest_sha256, trees)
    if size <= preferred or one is None or one["bucket"] != destination.bucket(unit.kind):
        return 0
    return size - part_size_for(size, preferred, _MOST_PARTS)


def _with_payload(
    destination: Destination,
    unit: Unit,
    known: Mapping[int, Copy],
    below: int | None,
    manifest_sha256: str,
    trees: Collection[str],
) -> Mapping[str, Any] | None:
    """The sealed tarball of the newest complete copy, of a generation below `below`, whose tree hash is in `trees`."""
    for generation in sorted(known, reverse=True):
        copy = known[generation]
        if (below is not None and generation >= below) or copy.evidence is None:
            continue
        key = layout.tarball_key(destination, unit, generation)
        for one in copy.objects if copy.manifest_sha256 == manifest_sha256 else ():
            if one["key"] == key and one["sha256_tree"] in trees:
                return one
    return None

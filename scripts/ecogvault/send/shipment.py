"""One unit on its way to one destination, and what all its objects have in common."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ecogvault import layout
from ecogvault.age import Recipient
from ecogvault.config import Config, Destination
from ecogvault.digests import TreeHash
from ecogvault.ledger import Copy
from ecogvault.manifest import Manifest
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.private import Private
from ecogvault.stores import Present, Source, Store, Stored, StoreError, Unknown
from ecogvault.transfer import TransferState, UploadState


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

    @cached_property
    def metadata(self) -> dict[str, str]:
        """What says of an object that it is ours, and of which content."""
        return {
            "ecogvault-unit": str(self.unit),
            "ecogvault-generation": str(self.generation),
            "ecogvault-manifest-sha256": self.manifest.sha256,
        }

    @cached_property
    def here(self) -> Mapping[str, Mapping[str, Any]]:
        """Objects of this generation that the ledger already holds, by key: confirmed before an interruption."""
        copy = self.known.get(self.generation)
        if copy is None or copy.manifest_sha256 != self.manifest.sha256:
            return {}
        return {str(one["key"]): one for one in copy.objects}

    @cached_property
    def before(self) -> Mapping[str, Mapping[str, Any]]:
        """What earlier generations left, by key: each object as it was confirmed last."""
        earlier = sorted(generation for generation in self.known if generation < self.generation)
        return {str(one["key"]): one for generation in earlier for one in self.known[generation].objects}

    @cached_property
    def spoilt(self) -> Mapping[str, str | None]:
        """Objects of this generation that were found wrong: by key the ETag with which they were confirmed."""
        copy = self.known.get(self.generation)
        return {} if copy is None else copy.spoilt


def to_send(shipment: Shipment) -> int:
    """About how many bytes are still to be sent: what encryption adds is left out."""
    destination, unit, generation = shipment.destination, shipment.unit, shipment.generation
    if destination.form == "tarball":
        sealed = Paths.of(shipment.config).sealed(unit)
        there = layout.tarball_key(destination, unit, generation) in shipment.here
        return 0 if there or not sealed.exists() else sealed.stat().st_size
    left_out = set(layout.excluded(destination, unit, shipment.manifest))
    wanted = (entry for entry in shipment.manifest if entry.path not in left_out)
    return sum(
        entry.size
        for entry in wanted
        if not _known(shipment, layout.file_key(destination, unit, generation, entry.path), entry.sha256)
    )


def _known(shipment: Shipment, key: str, sha256: str) -> bool:
    known = shipment.here.get(key) or shipment.before.get(key)
    return known is not None and known["sha256"] == sha256


def put(
    shipment: Shipment,
    key: str,
    source: Source,
    metadata: Mapping[str, str],
    same: Callable[[Present], bool] | None,
    replace: str | None = None,
    state: UploadState | None = None,
) -> Stored:
    """Have one object there: sent, adopted where `same` says so, or in place of the one whose ETag is `replace`.

    Where an object of ours was found wrong, whatever stands there now is replaced as a changed file is: the store keeps
    it as an older version, or the like. What was confirmed, and has been damaged since, is not adopted whatever its
    metadata say.
    """
    spoilt = shipment.spoilt.get(key)
    judged = same
    if spoilt is not None:
        there = shipment.store.head(key)
        if isinstance(there, Unknown):
            raise StoreUnknown(f"{shipment.store.where} does not say whether it has {key}: {there.reason}")
        replace = there.etag if isinstance(there, Present) else None
        if same is not None:
            judged = lambda present: present.etag != spoilt and same(present)  # noqa: E731
    return shipment.store.put(
        key,
        source,
        metadata=metadata,
        state=state or shipment.state.upload(key),
        replace=replace,
        progress=shipment.progress,
        same=judged,
    )


def holds(present: Present, metadata: Mapping[str, str]) -> bool:
    """Whether an object has all of `metadata`."""
    return all(present.metadata.get(name) == value for name, value in metadata.items())


def described(stored: Stored, **more: Any) -> dict[str, Any]:
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


def tree_hash_of(store: Store, key: str) -> str:
    """The SHA-256 tree hash of an object's bytes, read back."""
    tree = TreeHash()
    for piece in store.get(key):
        tree.update(piece)
    return tree.hexdigest()

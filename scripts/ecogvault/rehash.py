"""Reading copies back, as far as a budget goes: the only way to find a flipped byte in an object that is still listed.

The copy whose content was last read longest ago comes first. A copy is read object by object, and what was read is in
the ledger, so that a large one is read in the course of several runs.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ecogvault import ledger
from ecogvault.config import Config, Destination
from ecogvault.digests import Crc64Nvme, TreeHash
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.pool import run_all
from ecogvault.sizes import fitting
from ecogvault.stores import Absent, Store, StoreError, Unknown, open_store
from ecogvault.stores.errors import Archived, NotFound, WrongBytes

GIB = 1 << 30


@dataclass(frozen=True)
class Budget:
    """How many bytes may be read, and until when (time.monotonic). None is no limit of that kind."""

    size: float | None
    until: float | None

    def allows(self, spent: int, size: int) -> bool:
        """Whether an object of `size` bytes may be read after `spent` bytes.

        The first one always may: an object that is larger than every budget would never be read otherwise.
        """
        if self.until is not None and time.monotonic() >= self.until:
            return False
        return self.size is None or spent == 0 or spent + size <= self.size


@dataclass
class Reading:
    """What was read back from one destination. `size` is in bytes; `left` copies were not read, or not to their end.

    `cold` copies are in an archive tier, `unproven` ones hold objects that no digest is known of.
    """

    copies: int = 0
    size: int = 0
    left: int = 0
    cold: int = 0
    unproven: int = 0
    faults: list[str] = field(default_factory=list)

    def line(self) -> str:
        """What the closing line of the destination says of it."""
        parts = [f"{self.copies} rehashed, {fitting(self.size, binary=True)} read"]
        parts += [f"{self.left} left for the next time"] if self.left else []
        parts += [f"{self.cold} in an archive tier, not read"] if self.cold else []
        parts += [f"{self.unproven} of which only a restore can tell"] if self.unproven else []
        return ", ".join(parts)


def rehash(config: Config, destination: Destination, units: Iterable[Unit], budget: Budget) -> Reading:
    """Read the newest copies of `units` back from a destination, oldest evidence first, and note what was found.

    Raises StoreError when the destination does not answer at all, Damaged, OSError.
    """
    paths = Paths.of(config)
    reading = Reading()
    copies = []
    for unit in units:
        copy = newest(ledger.copies(paths.ledger(destination.name, unit)))
        if copy is not None:
            copies.append((copy.read_at, copy.at, unit, copy))
    for *_, unit, copy in sorted(copies, key=lambda one: one[:3]):
        _read_copy(config, destination, unit, copy, budget, reading)
    return reading


@dataclass
class Asked:
    """What a service told of its objects' checksums: how many agree, and how many it keeps none of."""

    agree: int = 0
    kept_none: int = 0
    left: int = 0
    faults: list[str] = field(default_factory=list)

    def line(self) -> str:
        """What the closing line of the destination says of it."""
        parts = [f"{self.agree} checksums asked for and right"]
        parts += [f"{self.kept_none} objects without one"] if self.kept_none else []
        parts += [f"{self.left} copies left for the next time"] if self.left else []
        return ", ".join(parts)


def ask(config: Config, destination: Destination, units: Iterable[Unit], until: float | None = None) -> Asked:
    """Ask a destination for the checksum of each object of the newest copies of `units`, and compare.

    A service tells the checksum with which it took the object; it does not read the object for it. So this costs one
    request an object, also of what is archived, and is no reading back: the evidence stays what it is. Nothing more is
    asked after `until` (time.monotonic). Raises StoreError when the service does not say, Damaged, OSError.
    """
    paths = Paths.of(config)
    asked = Asked()
    for unit in units:
        copy = newest(ledger.copies(paths.ledger(destination.name, unit)))
        if copy is None:
            continue
        if until is not None and time.monotonic() >= until:
            asked.left += 1
            continue
        store = open_store(destination, unit.kind)
        told: dict[str, str] = {}

        def look(one: Mapping[str, Any], store: Store = store, told: dict[str, str] = told) -> None:
            told[str(one["key"])] = _told(store, one)

        run_all(look, copy.objects)
        wrong = {
            kind: [key for key, value in told.items() if value == kind]
            for kind in ledger.FAULTS
            if kind in told.values()
        }
        if _note(config, destination, unit, copy, set(), wrong):
            asked.faults += [f"{key} is {fault}" for fault, keys in wrong.items() for key in keys]
            asked.agree += sum(value == "right" for value in told.values())
            asked.kept_none += sum(value == "none" for value in told.values())
    return asked


def _told(store: Store, one: Mapping[str, Any]) -> str:
    """`right`, `none`, `missing` or `wrong`, by what the service tells of an object. Raises StoreError."""
    presence = store.head(str(one["key"]))
    if isinstance(presence, Unknown):
        raise StoreError(f"{store.where} does not say whether it has {one['key']}: {presence.reason}")
    if isinstance(presence, Absent):
        return "missing"
    if presence.size != one["size"]:
        return "wrong"
    for told, confirmed in ((presence.checksum, one.get("crc64nvme")), (presence.md5, one.get("md5"))):
        if told is not None and confirmed:
            return "right" if told == confirmed else "wrong"
    return "none"


def newest(known: Mapping[int, ledger.Copy]) -> ledger.Copy | None:
    """The newest complete copy, if there is one. Pure."""
    complete = [copy for copy in known.values() if copy.evidence is not None]
    return max(complete, key=lambda copy: copy.generation, default=None)


def _read_copy(
    config: Config, destination: Destination, unit: Unit, copy: ledger.Copy, budget: Budget, reading: Reading
) -> None:
    store = open_store(destination, unit.kind)
    right: set[str] = set()
    wrong: dict[str, list[str]] = {}
    unproven = False
    try:
        for one in sorted(copy.objects, key=lambda one: str(one["key"])):
            key = str(one["key"])
            if key in copy.read:
                continue
            expected = reference(one, plain=not ledger.is_encrypted(one))
            if expected is None:
                unproven = True
                continue
            if not budget.allows(reading.size, int(one["size"])):
                break
            try:
                fault = _fault(store, one, expected)
            except Archived:
                reading.cold += 1
                return
            except StoreError as error:
                store.preflight()  # says so when it is the destination, and not this object alone
                reading.faults.append(f"{key} cannot be read: {error}")
                continue
            reading.size += int(one["size"])
            if fault is None:
                right.add(key)
            else:
                wrong.setdefault(fault, []).append(key)
    finally:
        stands = _note(config, destination, unit, copy, right, wrong)
    if not stands:
        reading.left += 1
        return
    reading.faults += [f"{key} is {fault}" for fault, keys in wrong.items() for key in keys]
    if wrong:
        return
    if unproven:
        reading.unproven += 1
    elif len(copy.read | right) == len(copy.objects):
        reading.copies += 1
    else:
        reading.left += 1


def _note(
    config: Config,
    destination: Destination,
    unit: Unit,
    copy: ledger.Copy,
    right: set[str],
    wrong: Mapping[str, list[str]],
) -> bool:
    """Have the ledger say what was read. False, and nothing is said, when the copy was replaced while it was read."""
    paths = Paths.of(config)
    with ledger.ledger_lock(paths, destination.name, unit):
        now = newest(ledger.copies(paths.ledger(destination.name, unit)))
        if now is None or now.generation != copy.generation or now.objects != copy.objects:
            return False
        lines = [
            ledger.event(fault, copy.generation, copy.manifest_sha256, keys=sorted(keys))
            for fault, keys in wrong.items()
        ]
        if not wrong and len(copy.read | right) == len(copy.objects):
            lines.append(ledger.event("rehashed", copy.generation, copy.manifest_sha256))
        elif right:
            lines.insert(0, ledger.event("read", copy.generation, copy.manifest_sha256, keys=sorted(right)))
        ledger.find_out(paths, unit, destination.name, now, lines, mode=config.file_mode)
        return True


@dataclass(frozen=True)
class Reference:
    """What an object's bytes are compared with: a way to digest them, and the digest that was recorded (hex)."""

    start: Callable[[], Any]
    digest: str


def reference(one: Mapping[str, Any], *, plain: bool) -> Reference | None:
    """The digest that an object is compared with: tree hash, else CRC64NVME, MD5, or (`plain`) its file's SHA-256.

    None when none was recorded, as of an encrypted object that was adopted. Pure.
    """
    if one.get("sha256_tree"):
        return Reference(TreeHash, str(one["sha256_tree"]))
    if one.get("crc64nvme"):
        return Reference(Crc64Nvme, str(one["crc64nvme"]))
    if one.get("md5"):
        return Reference(hashlib.md5, str(one["md5"]))
    if plain and one.get("path") and one.get("sha256"):
        return Reference(hashlib.sha256, str(one["sha256"]))
    return None


def _fault(store: Store, one: Mapping[str, Any], expected: Reference) -> str | None:
    """`missing`, `wrong`, or None when the object's bytes are those that were confirmed.

    What was received otherwise than the service itself says is read once more: a connection may have been at fault.
    """
    for last in (False, True):
        digest = expected.start()
        size = 0
        try:
            for piece in store.get(str(one["key"]), version_id=one["version_id"]):
                digest.update(piece)
                size += len(piece)
        except NotFound:
            return "missing"
        except WrongBytes:
            if last:
                return "wrong"
            continue
        except FileNotFoundError:
            return "missing"
        return None if (size, digest.digest().hex()) == (one["size"], expected.digest) else "wrong"
    raise AssertionError

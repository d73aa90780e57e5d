"""The ledger: the append-only truth about a unit at a destination, and the receipt that is its newest state.

Events, one line each (see records, "journals"): `intent` before the first request; `object` for each object that the
destination confirmed; `acknowledged` when all are there; `listed`, `rehashed`, `restored` as evidence grows; `read`
when some of a copy's objects were read back and were right; `missing` or `wrong` when objects were found so. Source:
DESIGN, section 5, "Ledger".
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ecogvault import layout
from ecogvault.config import Config, ConfigError, Destination
from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.files import lock
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.records import append_journal, read_journal, read_record, utc_now, write_record

SCHEMA = "ecogvault-receipt 1"
FAULTS = ("missing", "wrong")
EVIDENCE = ("acknowledged", "listed", "rehashed", "restored")


class NothingThere(EcogvaultError):
    """No copy of the unit is known at the destination."""


@dataclass(frozen=True)
class Lost:
    """An object that was found `missing` or `wrong` (`fault`), as it was confirmed before, and when that was found."""

    fault: str
    at: str
    object: Mapping[str, Any]


@dataclass(frozen=True)
class Copy:
    """What the ledger knows of one generation at a destination.

    `objects` are records with key, bucket, version_id, etag, size, part_size, sha256_tree, crc64nvme and md5, for sets
    of files the `path` in the manifest and the plaintext's `sha256`, and in a vault the `archive_id` and, by the
    service's clock, the time `archived_at`. `evidence` is None while the copy is not complete, or after it was found
    missing or wrong (`fault` then says what). `lost` holds, by key, what was found so and has not been sent again
    since. `proven` says when each kind of evidence was last found. `read` are keys of objects that were read back and
    right since `read_at`, when the whole copy last was.
    """

    generation: int
    manifest_sha256: str
    objects: tuple[Mapping[str, Any], ...] = ()
    excluded: tuple[str, ...] = ()
    bytes_sent: int = 0
    evidence: str | None = None
    at: str = ""
    fault: str | None = None
    proven: Mapping[str, str] = field(default_factory=dict)
    lost: Mapping[str, Lost] = field(default_factory=dict)
    read: frozenset[str] = frozenset()
    read_at: str = ""

    @property
    def size(self) -> int:
        """Bytes of all its objects."""
        return sum(int(one["size"]) for one in self.objects)

    @property
    def spoilt(self) -> dict[str, str | None]:
        """What was found wrong: by key the ETag with which it was confirmed."""
        return {key: one.object["etag"] for key, one in self.lost.items() if one.fault == "wrong"}

    @property
    def form(self) -> str:
        """`files` or `tarball`, as it was sent: the configuration may say otherwise by now."""
        return "files" if any(one.get("path") for one in self.objects) else "tarball"

    def file(self, path: str) -> Mapping[str, Any]:
        """The object of a set that holds the file `path` of the manifest. Raises NothingThere."""
        try:
            found: Mapping[str, Any] = self._files[path]
        except KeyError:
            raise NothingThere(f"the ledger knows no object of {path}, generation {self.generation}") from None
        return found

    def tarball(self, unit: Unit) -> Mapping[str, Any]:
        """The object that is the sealed tarball. Raises NothingThere."""
        beside = layout.statement_key(unit, self.generation)
        for one in self.objects:
            if one["key"] != beside and not one.get("path"):
                return one
        raise NothingThere(f"the ledger knows no tarball of {unit}, generation {self.generation}")

    @cached_property
    def _files(self) -> dict[str, Mapping[str, Any]]:
        return {str(one["path"]): one for one in self.objects if one.get("path")}

    def faults(self) -> list[str]:
        """What is still missing or wrong of a copy that was complete once, each with its day; empty for any other."""
        if self.evidence is not None or self.fault is None:
            return []
        return [f"{key} is {one.fault} (found {one.at[:10]})" for key, one in sorted(self.lost.items())]


def is_encrypted(one: Mapping[str, Any]) -> bool:
    """Whether an object that holds a file is an age file: `.age` is appended to their keys (DESIGN, section 5)."""
    return str(one["key"]).endswith(".age") and not str(one.get("path") or "").endswith(".age")


def is_elsewhere(destination: Destination, kind: str, copy: Copy) -> bool:
    """Whether a copy is in another bucket than the configuration says by now. Pure."""
    return destination.type == "s3" and any(one["bucket"] != destination.bucket(kind) for one in copy.objects)


def highest(paths: Paths, unit: Unit) -> dict[int, str]:
    """The highest generation that any ledger knows of a unit, with the digest of its manifest; empty if none does."""
    found: dict[int, str] = {}
    for journal in paths.results.glob(f"{unit.code}/ledger/*/{unit}.jsonl"):
        try:
            known = copies(journal)
        except Damaged:
            continue  # who uses it is told
        found |= {copy.generation: copy.manifest_sha256 for copy in known.values() if copy.objects}
    return {max(found): found[max(found)]} if found else {}


def event(kind: str, generation: int, manifest_sha256: str, **more: Any) -> dict[str, Any]:
    """An event of now."""
    return {"event": kind, "at": utc_now(), "generation": generation, "manifest_sha256": manifest_sha256, **more}


def append(path: Path, line: Mapping[str, Any], *, mode: int, group: int | None) -> None:
    """Add an event and have it on disk before returning. The caller holds the ledger's lock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    append_journal(path, line, mode=mode, group=group)


def copies(path: Path) -> dict[int, Copy]:
    """What a ledger says of each generation. Raises Damaged, naming the line."""
    return fold(read_journal(path))


def fold(events: Sequence[Mapping[str, Any]]) -> dict[int, Copy]:
    """The state of each generation after `events`. Pure; takes time in proportion to them."""
    found: dict[int, Copy] = {}
    objects: dict[int, dict[str, Mapping[str, Any]]] = {}
    lost: dict[int, dict[str, Lost]] = {}
    for line in events:
        generation = int(line["generation"])
        manifest_sha256 = str(line["manifest_sha256"])
        copy = found.get(generation)
        if copy is None or copy.manifest_sha256 != manifest_sha256:
            if line["event"] == "intent" and objects.get(generation):
                continue  # what is there stays what is known of it, until something else has come
            copy = Copy(generation, manifest_sha256)
            objects[generation], lost[generation] = {}, {}
        here = objects[generation]
        if line["event"] == "object":
            here[str(line["object"]["key"])] = line["object"]
            lost[generation].pop(str(line["object"]["key"]), None)
        elif line["event"] == "acknowledged":
            lost[generation].clear()
        elif line["event"] in FAULTS:
            for key in line["keys"]:
                before = here.pop(key, None)
                if before is not None:
                    lost[generation][key] = Lost(str(line["event"]), str(line["at"]), before)
        found[generation] = _after(copy, line)
    return {
        generation: replace(copy, objects=tuple(objects[generation].values()), lost=lost[generation])
        for generation, copy in found.items()
    }


def _after(copy: Copy, line: Mapping[str, Any]) -> Copy:
    """The copy, but for its objects, after one event."""
    kind = str(line["event"])
    at = str(line["at"])
    if kind in ("intent", "object"):
        return replace(copy, at=at)
    if kind == "read":
        return replace(copy, read=copy.read | set(line["keys"]))
    if kind == "acknowledged":
        excluded = tuple(line.get("excluded", ()))
        return replace(
            copy,
            evidence=kind,
            fault=None,
            excluded=excluded,
            bytes_sent=int(line["bytes_sent"]),
            at=at,
            proven={kind: at},
        )
    if kind in FAULTS:
        return replace(copy, evidence=None, fault=kind, at=at, read=copy.read - set(line["keys"]), proven={})
    if kind in EVIDENCE:
        if copy.evidence is None:
            return copy
        if kind in ("rehashed", "restored"):
            copy = replace(copy, read=frozenset(), read_at=at)
        better = EVIDENCE.index(kind) >= EVIDENCE.index(copy.evidence)
        return replace(copy, evidence=kind if better else copy.evidence, at=at, proven={**copy.proven, kind: at})
    raise Damaged(f"a ledger holds an event of kind '{kind}', which this version does not know: use the newer version")


def generation_there(form: str, known: Mapping[int, Copy], generation: int, manifest_sha256: str) -> int:
    """The generation under which a destination has, or is to get, a unit's newest content. Pure.

    `generation` is the unit's own. A reseal raises it and changes no file, so a set of `files` stays what it is there:
    its keys, its statement and its receipt keep the generation that they have.
    """
    newest = max(known, default=generation)
    same = newest <= generation and newest in known and known[newest].manifest_sha256 == manifest_sha256
    return newest if form == "files" and same else generation


def newest_copy(config: Config, unit: Unit, name: str) -> Copy:
    """The newest complete copy of the unit that the ledger knows there. Raises NothingThere."""
    if name not in config.destinations:
        raise ConfigError(f"from: there is no destination '{name}'; known: {', '.join(config.destinations)}")
    known = copies(Paths.of(config).ledger(name, unit))
    complete = [copy for copy in known.values() if copy.evidence is not None]
    if not complete:
        raise NothingThere(f"the ledger knows no complete copy of {unit} at {name}")
    return max(complete, key=lambda copy: copy.generation)


def restorable(config: Config, unit: Unit, name: str) -> Copy:
    """The copy to restore from: the newest one if it is complete, or if a store with versions still has all of it.

    Such a store keeps what was confirmed when somebody deletes or overwrites it: these versions are among the `objects`
    then, and the `evidence` stays None. Older content is given only if `from` does not name this very destination.
    Raises NothingThere.
    """
    known = copies(Paths.of(config).ledger(name, unit))
    newest = max(known.values(), key=lambda copy: copy.generation, default=None)
    faults = newest.faults() if newest is not None else []
    complete = [copy for copy in known.values() if copy.evidence is not None]
    if newest is None or not faults or any(copy.manifest_sha256 == newest.manifest_sha256 for copy in complete):
        return newest_copy(config, unit, name)
    if all(one.object["version_id"] for one in newest.lost.values()):
        return replace(newest, objects=(*newest.objects, *(one.object for one in newest.lost.values())))
    if config["from"] == name or not complete:
        shown = "; ".join(faults[:3]) + ("; ..." if len(faults) > 3 else "")
        raise NothingThere(
            f"the copy of {unit} at {name} is not complete any more: {shown}: restore it with from=any, or have it "
            "replaced by `snakemake` or `snakemake repair`"
        )
    return newest_copy(config, unit, name)


def archive_ids(paths: Paths, destination: str) -> set[str]:
    """Every archive id in a vault that a ledger, or the list of the registry's copies, has ever named."""
    found: set[str] = set()
    for journal in paths.results.glob(f"*/ledger/{destination}/*.jsonl"):
        try:
            events = read_journal(journal)
        except Damaged:
            continue  # who verifies its unit is told
        found |= {str(line["object"]["archive_id"]) for line in events if "archive_id" in line.get("object", ())}
    copies_of_registry = read_journal(paths.vault_registry(destination) / "archives.jsonl")
    return found | {str(line["archive_id"]) for line in copies_of_registry}


def receipt(unit: Unit, destination: str, copy: Copy) -> dict[str, Any]:
    """The receipt of a complete copy."""
    return {
        "schema": SCHEMA,
        "unit": str(unit),
        "generation": copy.generation,
        "destination": destination,
        "manifest_sha256": copy.manifest_sha256,
        "objects": [dict(one) for one in sorted(copy.objects, key=lambda one: str(one["key"]))],
        "excluded": list(copy.excluded),
        "bytes_sent": copy.bytes_sent,
        "evidence": copy.evidence,
        "at": copy.at,
    }


def write_receipt(
    path: Path, unit: Unit, destination: str, copy: Copy, *, mode: int = 0o640, group: int | None = None
) -> None:
    """Write the receipt of a copy, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_record(path, receipt(unit, destination, copy), mode=mode, group=group)


def find_out(
    paths: Paths, unit: Unit, destination: str, copy: Copy, lines: Iterable[Mapping[str, Any]], *, mode: int
) -> None:
    """Note what was found out about a copy, and have its receipt say so. The caller holds the ledger's lock.

    The receipt of a copy that is not whole any more is removed. One that is there keeps its time, and one that is not,
    or is of another generation, is left alone: by these the next run knows what is still to be uploaded.
    """
    journal = paths.ledger(destination, unit)
    for line in lines:
        append(journal, line, mode=mode, group=None)
    path = paths.receipt(destination, unit)
    try:
        there, before = read_receipt(path), path.stat()
    except FileNotFoundError:
        return
    if there["generation"] != copy.generation:
        return
    now = copies(journal)[copy.generation]
    if now.evidence is None:
        path.unlink()
        return
    write_receipt(path, unit, destination, now, mode=mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def read_receipt(path: Path) -> dict[str, Any]:
    """A receipt. Raises Damaged (also for a record of another kind), and OSError as it comes."""
    record = read_record(path)
    if record.get("schema") != SCHEMA:
        raise Damaged(f"{path} is not a receipt of this version: remove it, and the next run writes it anew")
    return record


def ledger_lock(paths: Paths, destination: str, unit: Unit, *, wait: bool = True) -> AbstractContextManager[None]:
    """Serialises writers of one ledger."""
    place = paths.ledger(destination, unit)
    return lock(place.with_suffix(".lock"), what=f"the ledger of {unit} at {destination}", wait=wait)

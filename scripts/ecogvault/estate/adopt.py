"""Adopting what lies at a destination: old copies are entered in ledgers as what they are. Nothing is sent or changed.

Only a listing is asked for (of a vault: its newest inventory). What is in this program's own ledgers is left alone, and
what cannot be understood is counted and said by private id: a foreign key may hold a name.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ecogvault import layout, ledger, registry
from ecogvault.config import KINDS, Config, Destination
from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.estate.journal import Adopted, adopted, note
from ecogvault.naming import Unit
from ecogvault.oldnames import classify, codes_in
from ecogvault.paths import Paths
from ecogvault.place import Tree
from ecogvault.private import Private
from ecogvault.records import utc_now
from ecogvault.registry.existing import register_existing
from ecogvault.stores import open_store


class NothingListed(EcogvaultError):
    """The destination cannot be listed now."""


@dataclass
class Found:
    """What adopting found at a destination. `unknown` are private ids of keys that say nothing, `own` counts ours."""

    new: list[Adopted] = field(default_factory=list)
    known: int = 0
    own: int = 0
    gone: list[Adopted] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    codes: int = 0


@dataclass(frozen=True)
class _Listed:
    key: str
    archive_id: str | None
    bucket: str | None
    etag: str | None
    size: int


def adopt(config: Config, private: Private, name: str, *, plan: bool = False) -> Found:
    """Enter every old copy at destination `name`; with `plan` nothing is written. Raises NothingListed, StoreError."""
    paths = Paths.of(config)
    destination = config.destinations[name]
    found = Found()
    seen: dict[str, list[_Listed]] = {}
    codes: set[str] = set()
    own = _own(config, name)
    for one in _listing(config, destination):
        codes |= codes_in(one.key)
        if (one.archive_id or one.key) in own or _is_ours(one.key):
            found.own += 1
            continue
        old = classify(one.key)
        if old is None:
            found.unknown.append(private.private_id(one.key))
        else:
            seen.setdefault(old.code, []).append(one)
            codes.add(old.code)
    group = Tree.of(config).gid
    known_codes = {subject.code for subject in registry.load(private)}
    found.codes = len(codes - known_codes)
    if not plan:
        register_existing(private, [(code, None) for code in sorted(codes - known_codes)])
    for code in sorted({*seen, *_codes_with_journals(paths, name)}):
        before = {one.where: one for one in adopted(paths, code, name)}
        for listed in seen.get(code, []):
            copy = _adopted(code, name, listed)
            was = before.pop(copy.where, None)
            if was is not None and (was.size, was.etag) == (copy.size, copy.etag):
                found.known += 1
                continue
            found.new.append(copy)
            if not plan:
                note(paths, copy, "adopted", mode=config.file_mode, group=group)
        for lost in before.values():
            found.gone.append(lost)
            if not plan:
                note(paths, lost, "gone", mode=config.file_mode, group=group)
    return found


def _is_ours(key: str) -> bool:
    """Whether a key is one that only this program gives; `ecogvault rebuild` finds those that no ledger knows."""
    top = key.partition("/")[0]
    return key == layout.HOW_TO_OPEN or top in ("registry", "superseded") or key.endswith((".age", ".statement.json"))


def _adopted(code: str, name: str, listed: _Listed) -> Adopted:
    old = classify(listed.key)
    assert old is not None
    return Adopted(code, name, old, listed.key, listed.archive_id, listed.bucket, listed.etag, listed.size, utc_now())


def _codes_with_journals(paths: Paths, name: str) -> set[str]:
    return {path.parent.parent.name for path in paths.results.glob(f"*/legacy/{name}.jsonl")}


def _own(config: Config, name: str) -> set[str]:
    """Keys and archive ids of every object that this program's ledgers know at a destination."""
    known: set[str] = set()
    for path in Paths.of(config).results.glob(f"*/ledger/{name}/*.jsonl"):
        Unit.parse(path.stem)
        try:
            copies = ledger.copies(path)
        except Damaged:
            continue  # verify names it; its objects have names of their own kind, which are not old ones'
        for copy in copies.values():
            known |= {str(one.get("archive_id") or one["key"]) for one in copy.objects}
    return known


def _listing(config: Config, destination: Destination) -> Iterator[_Listed]:
    """Every object of a destination, in all its buckets."""
    if destination.type == "glacier":
        yield from _inventory(config, destination)
        return
    places: set[str] = set()
    for kind in KINDS:
        store = open_store(destination, kind)
        if store.where in places:
            continue
        places.add(store.where)
        bucket = destination.bucket(kind) if destination.type == "s3" else None
        for one in store.list():
            yield _Listed(one.key, None, bucket, one.etag, one.size)


def _inventory(config: Config, destination: Destination) -> Iterator[_Listed]:
    from ecogvault.vault.inventory import known_for

    found = known_for(Paths.of(config), destination)
    if found is None:
        raise NothingListed(
            f"{destination.name}: no inventory is here yet: `snakemake verify --config from={destination.name}` asks "
            "for one, which takes hours; then adopt again"
        )
    for one in found.archives:
        yield _Listed(one.key or one.old_name or one.archive_id, one.archive_id, None, None, one.size)

"""Verifying: what the destinations list, against the ledgers.

A copy whose every object is listed with the ledger's size and ETag is `listed`. One that is missing or another is said
by name, marked in the ledger, and its receipt is removed, so that the next run has it there again. A destination that
does not answer says nothing about its copies, and what a listing lacks is asked for by itself before it counts as
missing. With `ask_checksums` the checksums that the service keeps are compared, too; with `rehash_gib` or
`verify_hours`, copies that are listed are read back as far as that goes (see rehash). A vault is compared with its
newest inventory (see vault), which is asked for, waited for over several runs, and no failure while it is on its way.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ecogvault import ledger
from ecogvault.config import Config, Destination
from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.naming import Unit, require_code
from ecogvault.paths import Paths
from ecogvault.rehash import GIB, Asked, Budget, Reading, ask, newest, rehash
from ecogvault.stores import Absent, Listed, StoreError, Unknown, open_store
from ecogvault.vault import inventory
from ecogvault.vault.catalogue import Catalogue
from ecogvault.vault.compare import compare as against_inventory
from ecogvault.vault.compare import orphans
from ecogvault.vault.waiting import Waiting, parsed

Say = Callable[[str], None]


class CopiesAreWrong(EcogvaultError):
    """A destination lacks what the ledger says it has, or could not be asked."""


@dataclass
class Tally:
    """What verifying found at one destination. `units` are those whose newest copy is listed whole."""

    listed: int = 0
    units: list[Unit] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    unreachable: str | None = None
    reading: Reading | None = None
    notes: list[str] = field(default_factory=list)
    early: int = 0
    waiting: Waiting | None = None
    asked: Asked | None = None

    @property
    def listed_now(self) -> set[Unit]:
        """The units that the destination has just said it has: none while a newer inventory is waited for."""
        return set() if self.unreachable or self.waiting else set(self.units)

    @property
    def bad(self) -> bool:
        """Whether a person has to look at it."""
        return bool(self.faults or self.unreachable)

    def line(self, name: str, again: str) -> str:
        """The closing line of a destination; `again` is the command to type again when it waits."""
        if self.unreachable:
            return f"{name}: could not be asked: {self.unreachable}"
        faults = f"; {len(self.faults)} wrong: {'; '.join(self.faults)}" if self.faults else ""
        reading = f"; {self.reading.line()}" if self.reading else ""
        asked = f"; {self.asked.line()}" if self.asked else ""
        notes = "".join(f"; {note}" for note in self.notes)
        waiting = f"; {self.waiting.line(again)}" if self.waiting else ""
        return f"{name}: {self.listed} copies listed{asked}{reading}{notes}{faults}{waiting}"


def verify(config: Config, *, say: Say, again: str = "snakemake verify") -> None:
    """Compare every complete copy with its destination's listing, read copies back, and say one line per destination.

    `again` is the command of this run: what waits says it.

    `unit`, `subject`, `kind` and `from` in the configuration restrict it; `ask_checksums` compares the checksums that
    services keep, `rehash_gib` is how much is read back from each destination, `verify_hours` how long reading may take
    for all together. Raises CopiesAreWrong at the end when a copy is missing or another, or a destination could not be
    asked.
    """
    bad = [name for name, tally in look(config, say=say, again=again).items() if tally.bad]
    if bad:
        raise CopiesAreWrong(
            f"not all is well at {', '.join(bad)}: see the lines above; `snakemake` sends again what is missing"
        )


def look(config: Config, *, say: Say, again: str) -> dict[str, Tally]:
    """As verify, but whatever is found; what it was, by destination."""
    hours = config["verify_hours"]
    end = None if hours is None else time.monotonic() + 3600 * float(hours)
    names = [name for name in config.destinations if config["from"] in (None, name)]
    found = {}
    for place, name in enumerate(names):
        found[name] = _verify_destination(config, config.destinations[name], _budget(config, end, len(names) - place))
        say(found[name].line(name, again))
    return found


def _budget(config: Config, end: float | None, destinations: int) -> Budget | None:
    """What may be read back from the next one of so many destinations: an equal share of the time that is left."""
    size = config["rehash_gib"]
    if size is None and end is None:
        return None
    now = time.monotonic()
    until = None if end is None else now + (end - now) / destinations
    return Budget(None if size is None else float(size) * GIB, until)


def known_units(config: Config, name: str) -> list[Unit]:
    """Units with a ledger at destination `name`."""
    return sorted(Unit.parse(path.stem) for path in Paths.of(config).results.glob(f"*/ledger/{name}/*.jsonl"))


def chosen_units(config: Config, name: str) -> list[Unit]:
    """Units with a ledger at destination `name`, restricted by `unit`, `subject` and `kind` of the configuration."""
    subject = require_code(str(config["subject"])) if config["subject"] else None
    return [
        unit
        for unit in known_units(config, name)
        if config["unit"] in (None, str(unit)) and subject in (None, unit.code) and config["kind"] in (None, unit.kind)
    ]


def _verify_destination(config: Config, destination: Destination, budget: Budget | None) -> Tally:
    tally = Tally()
    listings: dict[tuple[str, str], dict[str, Listed]] = {}
    units = chosen_units(config, destination.name)
    vault = destination.type == "glacier"
    try:
        found = _inventory(config, destination, tally) if vault else None
        whole = []
        for unit in units:
            try:
                if vault:
                    listed = _verify_in_vault(config, destination, unit, found, tally)
                else:
                    listed = _verify_unit(config, destination, unit, listings, tally)
                whole += [unit] if listed else []
                tally.units += [unit] if listed else []
            except Damaged as error:  # a ledger: what it says of its own unit alone is in doubt
                tally.faults.append(str(error))
        if vault:
            # What it holds takes hours to come back, and costs: only `snakemake restore` brings it, and proves it.
            _say_of_vault(config, destination, found, tally)
            return tally
        if config["ask_checksums"]:
            tally.asked = ask(config, destination, whole, budget.until if budget else None)
            tally.faults += tally.asked.faults
        if budget is not None:
            tally.reading = rehash(config, destination, whole, budget)
            tally.faults += tally.reading.faults
    except StoreError as error:
        tally.unreachable = str(error)
    return tally


def _verify_unit(
    config: Config,
    destination: Destination,
    unit: Unit,
    listings: dict[tuple[str, str], dict[str, Listed]],
    tally: Tally,
) -> bool:
    """Compare one unit's newest complete copy with the listing. Whether there is one and it is listed whole."""
    paths = Paths.of(config)
    with ledger.ledger_lock(paths, destination.name, unit):
        _drop_damaged_receipt(paths, destination, unit, tally)
        known = ledger.copies(paths.ledger(destination.name, unit))
        tally.faults += _still(destination, unit, known)
        copy = newest(known)
        if copy is None:
            return False
        faults = compare(copy.objects, _listing(destination, unit, copy, listings))
        faults = [fault for fault in faults if _confirmed(destination, unit, copy, *fault)]
        tally.faults += [f"{key} is {kind}" for kind, key in faults]
        lines = [
            ledger.event(
                kind, copy.generation, copy.manifest_sha256, keys=[key for found, key in faults if found == kind]
            )
            for kind in sorted({kind for kind, _ in faults})
        ]
        if not faults:
            lines = [ledger.event("listed", copy.generation, copy.manifest_sha256)]
            tally.listed += 1
        ledger.find_out(paths, unit, destination.name, copy, lines, mode=config.file_mode)
    return not faults


def _still(destination: Destination, unit: Unit, known: Mapping[int, ledger.Copy]) -> list[str]:
    """What an earlier look found missing or wrong of the newest generation, and nobody has mended since. Pure."""
    copy = max(known.values(), key=lambda one: one.generation, default=None)
    return copy.faults() if copy is not None and destination.takes(unit.kind) else []


def verify_unit(config: Config, unit: Unit, name: str) -> list[str]:
    """Compare one unit's newest complete copy at a destination with a listing, and have the ledger say what was found.

    Returns what is missing or wrong. Raises StoreError, Damaged, OSError.
    """
    tally = Tally()
    _verify_unit(config, config.destinations[name], unit, {}, tally)
    return tally.faults


def superseded(destination: Destination, unit: Unit, copy: ledger.Copy) -> list[str]:
    """Objects of a copy that are not the current ones of their keys any more, as in a bucket that keeps versions.

    They can be read by their version ids, and a listing lacks them or has others. Raises StoreError.
    """
    if not any(one["version_id"] for one in copy.objects):
        return []
    faults = compare(copy.objects, _listing(destination, unit, copy, {}))
    return [f"{key} is {kind}" for kind, key in faults if _confirmed(destination, unit, copy, kind, key)]


def _inventory(config: Config, destination: Destination, tally: Tally) -> Catalogue | None:
    """The newest inventory of a vault that is to be had; what is waited for is in the tally."""
    found, tally.waiting = inventory.bring(config, destination, wait_hours=float(config["glacier_wait_hours"] or 0))
    return found


def _verify_in_vault(
    config: Config, destination: Destination, unit: Unit, found: Catalogue | None, tally: Tally
) -> bool:
    """Compare one unit's newest complete copy with a vault's inventory. Whether there is one and it is listed."""
    paths = Paths.of(config)
    with ledger.ledger_lock(paths, destination.name, unit):
        _drop_damaged_receipt(paths, destination, unit, tally)
        known = ledger.copies(paths.ledger(destination.name, unit))
        tally.faults += _still(destination, unit, known)
        copy = newest(known)
        if copy is None:
            return False
        judged = against_inventory(copy.objects, found)
        lines = []
        for kind, keys in (("missing", judged.missing), ("wrong", judged.wrong)):
            if keys:
                tally.faults += [f"{key} is {kind}" for key in keys]
                lines.append(ledger.event(kind, copy.generation, copy.manifest_sha256, keys=keys))
        tally.early += bool(judged.early)
        if judged.listed and found is not None:
            # It was there when the inventory was made, which may be long ago.
            at = parsed(found.date).strftime("%Y-%m-%dT%H:%M:%SZ")
            lines = [{**ledger.event("listed", copy.generation, copy.manifest_sha256), "at": at}]
            tally.listed += 1
        ledger.find_out(paths, unit, destination.name, copy, lines, mode=config.file_mode)
    return judged.listed


def _say_of_vault(config: Config, destination: Destination, found: Catalogue | None, tally: Tally) -> None:
    """What an inventory says beside the copies: its date, what is not in it yet, and what no ledger knows."""
    if tally.early:
        tally.notes.append(f"{tally.early} not yet listed")
    if found is None:
        return
    tally.notes.insert(0, f"inventory of {found.date}")
    strange = orphans(found, ledger.archive_ids(Paths.of(config), destination.name))
    if strange:
        named = ", ".join(f"{one.key} ({one.archive_id[:12]}...)" for one in strange)
        tally.notes.append(f"{len(strange)} of ours that no ledger knows: {named}")


def _drop_damaged_receipt(paths: Paths, destination: Destination, unit: Unit, tally: Tally) -> None:
    """Remove a receipt that is not what was written: the next run writes it anew from the ledger, and sends nothing."""
    receipt = paths.receipt(destination.name, unit)
    try:
        ledger.read_receipt(receipt)
    except FileNotFoundError:
        return
    except Damaged as error:
        tally.faults.append(f"a receipt was damaged and is removed: {error}")
        receipt.unlink()


def compare(objects: Iterable[Mapping[str, object]], found: Mapping[str, Listed]) -> list[tuple[str, str]]:
    """What is wrong with a copy: pairs of `missing` or `wrong` and the object's key. Pure."""
    faults = []
    for one in objects:
        key = str(one["key"])
        listed = found.get(key)
        if listed is None:
            faults.append(("missing", key))
        elif listed.size != one["size"] or (one["etag"] and listed.etag and listed.etag != one["etag"]):
            faults.append(("wrong", key))
    return faults


def _confirmed(destination: Destination, unit: Unit, copy: ledger.Copy, kind: str, key: str) -> bool:
    """Whether the store says so, too, when it is asked for this object alone. Raises StoreError if it does not say."""
    store = open_store(destination, unit.kind)
    presence = store.head(key)
    if isinstance(presence, Unknown):
        raise StoreError(f"{store.where} does not say whether it has {key}: {presence.reason}")
    if isinstance(presence, Absent):
        return True
    there = {key: Listed(key, presence.size, presence.etag)}
    return bool(compare([one for one in copy.objects if one["key"] == key], there))


def _listing(
    destination: Destination, unit: Unit, copy: ledger.Copy, listings: dict[tuple[str, str], dict[str, Listed]]
) -> dict[str, Listed]:
    """What is listed under the first parts of the copy's keys; each such prefix is listed once for all units."""
    store = open_store(destination, unit.kind)
    found: dict[str, Listed] = {}
    for prefix in {str(one["key"]).partition("/")[0] + "/" for one in copy.objects}:
        place = (store.where, prefix)
        if place not in listings:
            listings[place] = {one.key: one for one in store.list(prefix)}
        found |= listings[place]
    return found

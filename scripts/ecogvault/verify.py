"""Verifying: what the destinations list, against the ledgers.

A copy whose every object is listed with the ledger's size and ETag is `listed`. One that is missing or another is said
by name, marked in the ledger, and its receipt is removed, so that the next run has it there again. A destination that
does not answer says nothing about its copies.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ecogvault import ledger
from ecogvault.config import Config, Destination
from ecogvault.errors import EcogvaultError
from ecogvault.naming import Unit, require_code
from ecogvault.paths import Paths
from ecogvault.stores import Listed, StoreError, open_store

Say = Callable[[str], None]


class CopiesAreWrong(EcogvaultError):
    """A destination lacks what the ledger says it has, or could not be asked."""


@dataclass
class Tally:
    """What verifying found at one destination."""

    listed: int = 0
    faults: list[str] = field(default_factory=list)
    unreachable: str | None = None

    def line(self, name: str) -> str:
        """The closing line of a destination."""
        if self.unreachable:
            return f"{name}: could not be asked: {self.unreachable}"
        faults = f"; {len(self.faults)} wrong: {'; '.join(self.faults)}" if self.faults else ""
        return f"{name}: {self.listed} copies listed{faults}"


def verify(config: Config, *, say: Say) -> None:
    """Compare every complete copy with its destination's listing, and say one line per destination.

    `unit`, `subject`, `kind` and `from` in the configuration restrict it. Raises CopiesAreWrong at the end when a copy
    is missing or another, or a destination could not be asked.
    """
    tallies = {}
    for name, destination in config.destinations.items():
        if config["from"] in (None, name):
            tallies[name] = _verify_destination(config, destination)
            say(tallies[name].line(name))
    bad = [name for name, tally in tallies.items() if tally.faults or tally.unreachable]
    if bad:
        raise CopiesAreWrong(
            f"not all is well at {', '.join(bad)}: see the lines above; `snakemake` sends again what is missing"
        )


def chosen_units(config: Config, name: str) -> list[Unit]:
    """Units with a ledger at destination `name`, restricted by `unit`, `subject` and `kind` of the configuration."""
    paths = Paths.of(config)
    folders = paths.results.glob(f"*/ledger/{name}/*.jsonl")
    units = sorted(Unit.parse(path.stem) for path in folders)
    subject = require_code(str(config["subject"])) if config["subject"] else None
    return [
        unit
        for unit in units
        if config["unit"] in (None, str(unit)) and subject in (None, unit.code) and config["kind"] in (None, unit.kind)
    ]


def _verify_destination(config: Config, destination: Destination) -> Tally:
    tally = Tally()
    listings: dict[tuple[str, str], dict[str, Listed]] = {}
    for unit in chosen_units(config, destination.name):
        try:
            _verify_unit(config, destination, unit, listings, tally)
        except StoreError as error:
            tally.unreachable = str(error)
            break
    return tally


def _verify_unit(
    config: Config,
    destination: Destination,
    unit: Unit,
    listings: dict[tuple[str, str], dict[str, Listed]],
    tally: Tally,
) -> None:
    paths = Paths.of(config)
    journal = paths.ledger(destination.name, unit)
    with ledger.ledger_lock(paths, destination.name, unit):
        complete = [copy for copy in ledger.copies(journal).values() if copy.evidence is not None]
        if not complete:
            return
        copy = max(complete, key=lambda one: one.generation)
        found = _listing(destination, unit, copy, listings)
        faults = compare(copy.objects, found)
        if faults:
            kinds = {kind for kind, _ in faults}
            kind = "missing" if kinds == {"missing"} else "wrong"
            line = ledger.event(kind, copy.generation, copy.manifest_sha256, keys=[key for _, key in faults])
            tally.faults += [f"{key} is {kind}" for kind, key in faults]
            paths.receipt(destination.name, unit).unlink(missing_ok=True)
        else:
            line = ledger.event("listed", copy.generation, copy.manifest_sha256)
            tally.listed += 1
        ledger.append(journal, line, mode=config.file_mode, group=None)
        after = ledger.copies(journal)[copy.generation]
        if after.evidence is not None:
            ledger.write_receipt(
                paths.receipt(destination.name, unit), unit, destination.name, after, mode=config.file_mode
            )


def compare(objects: Iterable[Mapping[str, object]], found: Mapping[str, Listed]) -> list[tuple[str, str]]:
    """What is wrong with a copy: pairs of `missing` or `another` and the object's key. Pure."""
    faults = []
    for one in objects:
        key = str(one["key"])
        listed = found.get(key)
        if listed is None:
            faults.append(("missing", key))
        elif listed.size != one["size"] or (one["etag"] and listed.etag and listed.etag != one["etag"]):
            faults.append(("another", key))
    return faults


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

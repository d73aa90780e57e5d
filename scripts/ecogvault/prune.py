"""Pruning: local sealed tarballs go once every destination that takes them is known to list its copy.

The statement stays: it says what was sealed, and while it is there nothing is sealed again without need.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from ecogvault import ledger
from ecogvault.config import Config
from ecogvault.errors import Damaged
from ecogvault.files import Locked, sync_folder
from ecogvault.ledger import EVIDENCE, Copy
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.records import read_record
from ecogvault.sizes import fitting

SUFFIX = ".tar.zst.age"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Obstacle:
    """Why a tarball stays: the destination that holds it up (empty: none does), and what is missing there."""

    destination: str
    reason: str


def prune(config: Config, *, say: Say) -> None:
    """Remove the sealed tarballs that may go, and say a line for each destination that keeps some, and a last one.

    With `sealed.keep: always` nothing is removed. Raises Damaged for a ledger, and OSError as it comes.
    """
    if config["sealed"].get("keep") == "always":
        say("prune: sealed.keep is `always`: every sealed tarball stays")
        return
    freed = 0
    pruned = 0
    kept: list[tuple[Unit, Obstacle]] = []
    for unit in sealed_units(Paths.of(config)):
        obstacle, size = _prune_unit(config, unit)
        if obstacle is None:
            pruned += 1
            freed += size
        else:
            kept.append((unit, obstacle))
    for line in report(config.destinations, kept):
        say(line)
    say(f"prune: {pruned} sealed tarballs removed, {fitting(freed)} freed; {len(kept)} kept")


def sealed_units(paths: Paths) -> list[Unit]:
    """Every unit that has a sealed tarball here."""
    found = paths.sealed_root.glob(f"*/sealed/*{SUFFIX}")
    return sorted(Unit.parse(path.name.removesuffix(SUFFIX)) for path in found)


def obstacle_of(
    takers: Iterable[str], copies: Mapping[str, Mapping[int, Copy]], sealed: Mapping[str, Any]
) -> Obstacle | None:
    """What speaks against removing a tarball whose statement is `sealed`: the first destination that has no proof.

    `copies` are those that each destination's ledger knows, by generation. Without any destination there is no proof
    at all. Pure.
    """
    names = list(takers)
    if not names:
        return Obstacle("", "no destination takes it")
    for name in names:
        copy = copies[name].get(int(sealed["generation"]))
        if copy is None or copy.manifest_sha256 != sealed["manifest_sha256"]:
            return Obstacle(name, "it is not there")
        if copy.evidence is None:
            return Obstacle(name, f"it was found {copy.fault}" if copy.fault else "its upload is not complete")
        if EVIDENCE.index(copy.evidence) < EVIDENCE.index("listed"):
            return Obstacle(name, "it was not verified there yet: run `snakemake verify`")
    return None


def moved(config: Config, unit: Unit, copies: Mapping[str, Copy | None]) -> Obstacle | None:
    """The first destination whose copy is in another bucket than the configuration says by now. Pure."""
    for name, copy in copies.items():
        if copy is not None and ledger.is_elsewhere(config.destinations[name], unit.kind, copy):
            return Obstacle(name, "its copy is in another bucket than the configuration says: run `snakemake verify`")
    return None


def _by_content(form: str, known: dict[int, Copy], sealed: Mapping[str, Any]) -> dict[int, Copy]:
    """The copies with what has the sealed content under the sealed generation, whichever it has there. Pure."""
    generation = int(sealed["generation"])
    there = ledger.generation_there(form, known, generation, str(sealed["manifest_sha256"]))
    return known | {generation: known[there]} if there in known else known


def report(destinations: Iterable[str], kept: Iterable[tuple[Unit, Obstacle]]) -> list[str]:
    """One line for each destination that keeps tarballs here, with its first reason. Pure."""
    lines = []
    pairs = list(kept)
    for name in [*destinations, ""]:
        units = [unit for unit, obstacle in pairs if obstacle.destination == name]
        reasons = dict.fromkeys(obstacle.reason for _, obstacle in pairs if obstacle.destination == name)
        if reasons:
            first, *others = reasons
            more = f" (and {len(others)} other reasons)" if others else ""
            lines.append(f"{name or 'prune'}: {len(units)} kept, first {units[0]}: {first}{more}")
    return lines


def _prune_unit(config: Config, unit: Unit) -> tuple[Obstacle | None, int]:
    """Remove one tarball and its index, unless something speaks against it; the bytes that were freed."""
    paths = Paths.of(config)
    try:
        sealed = read_record(paths.statement(unit))
    except (FileNotFoundError, Damaged):
        return Obstacle("", "its statement is missing or damaged: remove the tarball to have it sealed anew"), 0
    takers = [one.name for one in config.destinations.values() if one.takes(unit.kind)]
    with ExitStack() as locks:
        try:
            # An upload that is under way reads the tarball, and holds this lock.
            for name in takers:
                locks.enter_context(ledger.ledger_lock(paths, name, unit, wait=False))
        except Locked:
            return Obstacle(name, "an upload is under way"), 0
        copies = {
            name: _by_content(config.destinations[name].form, ledger.copies(paths.ledger(name, unit)), sealed)
            for name in takers
        }
        sent = {name: known.get(int(sealed["generation"])) for name, known in copies.items()}
        obstacle = obstacle_of(takers, copies, sealed) or moved(config, unit, sent)
        if obstacle is not None:
            return obstacle, 0
        size = 0
        for path in (paths.sealed(unit), paths.index(unit)):
            if path.exists():
                size += path.stat().st_size
                path.unlink()
        sync_folder(paths.sealed(unit).parent)
    return None, size

"""`ecogvault find CODE`: where every copy of a subject or unit is, and how well it is proven."""

import argparse
from typing import TYPE_CHECKING

from ecogvault.errors import EcogvaultError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecogvault.config import Config
    from ecogvault.naming import Unit


class NothingFound(EcogvaultError):
    """No ledger knows what was looked for."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    parser = subparsers.add_parser(
        "find",
        help="show where the copies of a subject or unit are",
        description="Lists every copy that the ledgers know of a subject (df5c5206) or unit (df5c5206_3_vid), of all "
        "generations, with its evidence, and what `ecogvault adopt` found of it. For vaults the archive id stands "
        "below, and whether the newest inventory that is here lists it. Asks no destination anything.",
    )
    parser.add_argument("what", metavar="CODE", help="a subject's code, or a unit")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look through the ledgers, and print."""
    from ecogvault.config import load
    from ecogvault.naming import Unit, require_code

    config = load(args.config)
    wanted = Unit.parse(args.what) if "_" in args.what else None
    code = wanted.code if wanted else require_code(args.what)
    lines = [
        line
        for name in config.destinations
        for unit in _units(config, name, code, wanted)
        for line in _lines(config, name, unit)
    ]
    lines += _adopted(config, code, wanted)
    if not lines:
        raise NothingFound(
            f"no ledger here knows a copy of {args.what}: `ecogvault subjects` shows which codes there are"
        )
    print("\n".join(lines))
    return 0


def _units(config: "Config", name: str, code: str, wanted: "Unit | None") -> "list[Unit]":
    from ecogvault.naming import Unit
    from ecogvault.paths import Paths

    found = sorted(Unit.parse(path.stem) for path in Paths.of(config).subject(code).glob(f"ledger/{name}/*.jsonl"))
    return [unit for unit in found if wanted in (None, unit)]


def _lines(config: "Config", name: str, unit: "Unit") -> "Iterator[str]":
    """One line a generation, and one below it for each archive of a vault."""
    from ecogvault import ledger
    from ecogvault.paths import Paths
    from ecogvault.vault.inventory import known_for

    paths = Paths.of(config)
    destination = config.destinations[name]
    found = known_for(paths, destination) if destination.type == "glacier" else None
    for generation, copy in sorted(ledger.copies(paths.ledger(name, unit)).items()):
        if not copy.objects and copy.evidence is None and copy.fault is None:
            continue  # begun, and nothing confirmed yet
        said = copy.evidence or copy.fault or "not complete"
        first = str(copy.objects[0]["key"]) if len(copy.objects) == 1 else f"{len(copy.objects)} objects"
        yield f"{unit}  g{generation}  {name}  {said} {copy.at[:10]}  {copy.size} bytes  {first}"
        for one in copy.objects:
            if "archive_id" in one:
                listed = ""
                if found is not None:
                    there = "listed" if one["archive_id"] in found.by_id else "not listed"
                    listed = f"  (inventory of {found.date}: {there})"
                yield f"    archive id {one['archive_id']}{listed}"


def _adopted(config: "Config", code: str, wanted: "Unit | None") -> "list[str]":
    """One line for each old copy of a subject, or of what a unit is part of."""
    from ecogvault.estate.journal import all_adopted
    from ecogvault.paths import Paths

    return [
        f"{one.code}  old  {one.destination}  adopted {one.at[:10]}  {one.size} bytes  {one.old.name}"
        for one in all_adopted(Paths.of(config), code=code)
        if wanted is None or (one.old.kind == wanted.kind and one.old.session in (None, wanted.number))
    ]

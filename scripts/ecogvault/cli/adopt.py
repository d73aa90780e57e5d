"""`ecogvault adopt`: old copies at a destination, and the lab's spreadsheet, become known. Nothing is uploaded."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ecogvault.errors import EcogvaultError

if TYPE_CHECKING:
    from ecogvault.config import Config
    from ecogvault.estate.adopt import Found
    from ecogvault.estate.journal import Adopted
    from ecogvault.private import Private


class NothingToAdopt(EcogvaultError):
    """It was not said what to adopt."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    parser = subparsers.add_parser(
        "adopt",
        help="make old copies and the lab's spreadsheet known",
        description="Enters what the lab made before (openssl archives, files, NAS trees) in ledgers as what it is, "
        "from a destination's listing, and registers existing codes. Nothing is uploaded, opened or changed. Adopted "
        "copies come back with `snakemake restore`, are archived anew by `snakemake modernise`, and never count for "
        "the lab's policy (`copies:`).",
    )
    parser.add_argument("--from", dest="source", metavar="DEST", help="the destination to list")
    parser.add_argument(
        "--spreadsheet", type=Path, metavar="FILE", help="CSV or XLSX with the columns code and name: registers them"
    )
    parser.add_argument("--list", action="store_true", help="show what is adopted, and ask nothing")
    parser.add_argument("-n", "--dry-run", action="store_true", help="say what would be adopted")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Register, adopt, list."""
    from ecogvault import audit, config
    from ecogvault.private import open_private

    if not (args.source or args.spreadsheet or args.list):
        raise NothingToAdopt("adopt what? --from DEST, --spreadsheet FILE, or --list")
    settings = config.load(args.config)
    private = open_private(settings, create=True)
    audit.refuse_unless_writable(private)
    if args.spreadsheet:
        _spreadsheet(private, args.spreadsheet, plan=args.dry_run)
    if args.list:
        _list(settings, args.source)
    elif args.source:
        _adopt(settings, private, args.source, plan=args.dry_run)
    return 0


def _spreadsheet(private: "Private", path: Path, *, plan: bool) -> None:
    from ecogvault import audit
    from ecogvault.estate.spreadsheet import read_spreadsheet
    from ecogvault.registry.existing import register_existing

    rows = read_spreadsheet(path)
    if plan:
        print(f"{len(rows)} codes in the spreadsheet, {sum(row.person is not None for row in rows)} with a name")
        return
    codes, people = register_existing(private, [(row.code, row.person) for row in rows])
    audit.record(private, "adopt", None, f"spreadsheet: {codes} codes and {people} people are new")
    print(f"{len(rows)} codes in the spreadsheet: {codes} new codes, {people} new people registered, all closed")


def _adopt(settings: "Config", private: "Private", name: str, *, plan: bool) -> None:
    from ecogvault import audit
    from ecogvault.config import ConfigError
    from ecogvault.estate.adopt import adopt

    if name not in settings.destinations:
        raise ConfigError(f"there is no destination '{name}'; known: {', '.join(settings.destinations)}")
    found = adopt(settings, private, name, plan=plan)
    if not plan:
        audit.record(private, "adopt", None, f"{name}: {len(found.new)} old copies, {found.codes} codes")
    _show(found, name, plan=plan)


def _show(found: "Found", name: str, *, plan: bool) -> None:
    for one in found.new:
        print(_line(one))
    for one in found.gone:
        print(f"{one.code}  gone: {one.old.name} is not listed any more")
    would = "would be " if plan else ""
    print(
        f"{name}: {len(found.new)} old copies {would}adopted, {found.known} known before, {len(found.gone)} gone; "
        f"{found.own} objects are this program's own; {found.codes} new codes {would}registered",
        file=sys.stderr,
    )
    if found.unknown:
        some = ", ".join(found.unknown[:5])
        more = f" and {len(found.unknown) - 5} more" if len(found.unknown) > 5 else ""
        print(f"{name}: {len(found.unknown)} objects are not understood, and left alone: {some}{more}", file=sys.stderr)


def _list(settings: "Config", name: str | None) -> None:
    from ecogvault.estate.journal import all_adopted
    from ecogvault.paths import Paths

    for one in all_adopted(Paths.of(settings), name):
        print(_line(one))


def _line(one: "Adopted") -> str:
    sessions = f"session {one.old.session}" if one.old.session else "several sessions"
    part = f", part {one.old.part}" if one.old.part else ""
    opened = f", opened: {len(one.files)} files" if one.files is not None else ""
    return (
        f"{one.code}  {one.old.kind}  {one.destination}  {sessions}{part}, format {one.old.made}, {one.size} bytes"
        f"{opened}  {one.old.name}"
    )

"""`ecogvault registry-restore`: the registry comes back from one of its copies, also where no private folder is."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ecogvault.errors import EcogvaultError

if TYPE_CHECKING:
    from ecogvault.config import Config, Destination
    from ecogvault.registry_copy.shelf import Shelf
    from ecogvault.stores import Store


class RestoreRefused(EcogvaultError):
    """What is needed to restore the registry was not named, or is not there."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    parser = subparsers.add_parser(
        "registry-restore",
        help="bring the registry back from a destination",
        description="Fetches the newest copy of the registry from a destination, demands its signed statement, and "
        "opens it as DIR, which must be missing or empty; `-C private` puts a lost private folder back. The signing "
        "key, the audit log and running transfers are in no copy: a new signing key is made at the next need.",
    )
    parser.add_argument("--from", dest="destination", required=True, metavar="DEST", help="the destination")
    parser.add_argument("-i", "--identity", type=Path, metavar="KEY", help="age identity file of a registry recipient")
    parser.add_argument("-C", "--directory", type=Path, metavar="DIR", help="the folder that the registry becomes")
    parser.add_argument("--at", metavar="UTC", help="the copy of this time, as --list shows it (default: the newest)")
    parser.add_argument("--list", action="store_true", help="show which copies there are, open nothing")
    parser.add_argument(
        "--passphrase-file", type=Path, metavar="FILE", help="0600 file with the passphrase of KEY (default: a prompt)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List the copies, or bring one back."""
    from ecogvault import audit, config
    from ecogvault.cli.open import ask_identities
    from ecogvault.closing import cli_command
    from ecogvault.private import open_private
    from ecogvault.registry_copy import fetch
    from ecogvault.statement import believed

    settings = config.load(args.config)
    if args.destination not in settings.destinations:
        raise RestoreRefused(
            f"--from: there is no destination '{args.destination}'; known: {', '.join(settings.destinations)}"
        )
    destination = settings.destinations[args.destination]
    vault = destination.type == "glacier"
    again = cli_command(args.words)
    if vault and _waits_for_inventory(settings, destination, again):
        return 0
    store = fetch.registry_store(settings, destination)
    signers = believed(settings)
    if args.list:
        for line in _lines(store, signers):
            print(line)
        return 0
    if args.identity is None or args.directory is None:
        raise RestoreRefused("name the age identity file (-i KEY) and the folder to make (-C DIR), or say --list")
    fetch.require_empty(args.directory)
    if settings.private.is_dir() and any(settings.private.iterdir()):
        audit.refuse_unless_writable(open_private(settings))
    identities = ask_identities(args.identity, args.passphrase_file)
    copy = fetch.chosen(store, args.at)
    if vault and _waits_for_copy(settings, store, copy.key, again):
        return 0
    count = fetch.restore(store, copy, signers, identities, args.directory)
    audit.record_here(settings, "registry-restore", reason=f"{args.destination} {copy.at}")
    if vault:
        cast("Shelf", store).fetched(copy.key).unlink()
    print(f"{args.directory}: the registry of {copy.at}, {count} files, seal and SHA-256 checked")
    return 0


def _waits_for_inventory(config: "Config", destination: "Destination", again: str) -> bool:
    """Bring what a vault lists up to date; whether nothing is known of it yet, which is said then."""
    from ecogvault.paths import Paths
    from ecogvault.vault import inventory

    known, waiting = inventory.bring(config, destination)
    sent_from_here = (Paths.of(config).vault_registry(destination.name) / "archives.jsonl").exists()
    if waiting is not None:
        print(waiting.line(again))
    return known is None and not sent_from_here


def _waits_for_copy(config: "Config", store: "Store", key: str, again: str) -> bool:
    """Ask a vault for a copy, or fetch it; whether it has to be waited for, which is said then."""
    waiting = cast("Shelf", store).bring(key, tier=str(config["tier"] or "Standard"))
    if waiting is not None:
        print(waiting.line(again))
    return waiting is not None


def _lines(store: "Store", signers: Sequence[str]) -> Sequence[str]:
    """One line a copy, the newest first: time, size, and whether its seal can be believed."""
    from ecogvault.errors import Damaged
    from ecogvault.registry_copy import fetch
    from ecogvault.statement import StatementError

    lines = []
    for copy in fetch.copies(store):
        said = "not whole: it has no statement"
        if copy.has_statement:
            try:
                said = f"generation {fetch.statement_of(store, copy, signers)['generation']}"
            except (Damaged, StatementError) as error:
                said = f"not to be believed: {error}"
        lines.append(f"{copy.at}  {copy.size:>12}  {said}")
    return lines or ["there is no copy of the registry there"]

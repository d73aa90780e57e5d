"""`ecogvault rebuild --from DEST`: ledgers are made anew from what a destination holds."""

import argparse

from ecogvault.errors import EcogvaultError


class NoSuchDestination(EcogvaultError):
    """The destination is not in the configuration."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    parser = subparsers.add_parser(
        "rebuild",
        help="make ledgers anew from what a destination holds",
        description="For a machine that was lost, or a second one: enters in the ledgers here every copy at DEST that "
        "a key in signers.txt has signed and that no ledger knows, with archive ids, sizes and digests. Nothing is "
        "sent or changed there. From a vault it asks for the inventory, and says from when to run again.",
    )
    parser.add_argument("--from", dest="source", required=True, metavar="DEST", help="the destination to look at")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look at the destination, enter what is found, say what waits."""
    from ecogvault import audit
    from ecogvault.closing import cli_command
    from ecogvault.config import load
    from ecogvault.rebuild import rebuild

    config = load(args.config)
    if args.source not in config.destinations:
        raise NoSuchDestination(
            f"--from: there is no destination '{args.source}'; known: {', '.join(config.destinations)}"
        )
    waiting = rebuild(config, args.source, say=print)
    audit.record_here(config, "rebuild", reason=args.source)
    if waiting is not None:
        print(waiting.line(cli_command(args.words)))
    return 0

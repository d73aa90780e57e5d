"""`ecogvault reseal`: sealed tarballs become a new generation, encrypted to the recipients that are listed now."""

import argparse
import os
import sys
from pathlib import Path

from ecogvault.errors import EcogvaultError


class NotConfirmed(EcogvaultError):
    """Nobody said yes."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    parser = subparsers.add_parser(
        "reseal",
        help="encrypt sealed tarballs to the recipients that are listed now",
        description="Makes a new generation of sealed tarballs, encrypted to the recipients that recipients.txt lists"
        " now; the next snakemake sends it. The age header alone is made anew, unless --new-file-key is given; S3 then"
        " copies from the generation that it has, save the first part, and other destinations get all of it. Shows"
        " first what it costs at each destination and what it cannot undo. Files at destinations of form `files` stay"
        " as they are.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("what", nargs="?", metavar="UNIT|CODE", help="one unit, or a subject's")
    what.add_argument("--all", action="store_true", help="every unit")
    parser.add_argument("-i", "--identity", type=Path, required=True, metavar="KEY", help="age identity file")
    parser.add_argument(
        "--new-file-key",
        action="store_true",
        help="encrypt everything again, as after a key was compromised, also what has today's recipients already",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--passphrase-file", type=Path, metavar="FILE", help="0600 file with the passphrase of KEY (default: a prompt)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show the cost, ask, reseal. The status is 1 if a unit that was meant is left as it was."""
    from ecogvault import audit, closing, config
    from ecogvault.cli.open import ask_identities
    from ecogvault.files import lock
    from ecogvault.paths import Paths
    from ecogvault.private import open_private
    from ecogvault.reseal import chosen, cost, reseal_unit, survey
    from ecogvault.scripting import progress_bar

    settings = config.load(args.config)
    private = open_private(settings)
    paths = Paths.of(settings)
    audit.refuse_unless_writable(private)
    with lock(closing.RUN_LOCK, what="this folder", wait=False):
        found = survey(
            settings, private, chosen(private, paths, None if args.all else args.what), new_file_key=args.new_file_key
        )
        for unit, reason in found.left.items():
            print(f"{unit} stays as it is: {reason}")
        if found.done:
            print(f"{len(found.done)} unit(s) are encrypted to the recipients of today already")
        left, resealed = len(found.left), 0
        if found.ready:
            print(f"{len(found.ready)} unit(s) to reseal:")
            for line in cost(settings, private, found.ready, new_file_key=args.new_file_key):
                print(line)
            confirm(args.yes, "Reseal?")
            identities = ask_identities(args.identity, args.passphrase_file)
            progress = progress_bar(sum(paths.sealed(unit).stat().st_size for unit in found.ready), "reseal")
            for unit in found.ready:
                audit.record(private, "reseal", unit.code, f"{unit}{' new file key' if args.new_file_key else ''}")
                try:
                    done = reseal_unit(
                        settings,
                        private,
                        unit,
                        identities,
                        new_file_key=args.new_file_key,
                        threads=min(4, os.cpu_count() or 1),
                        progress=progress,
                    )
                except EcogvaultError as error:
                    left += 1
                    print(f"{unit} stays as it is: {error}", flush=True)
                else:
                    resealed += 1
                    print(f"{unit}: generation {done.generation}, {done.size} bytes", flush=True)
            if resealed:
                print("`snakemake` sends the new generations")
    return 1 if left else 0


def confirm(yes: bool, question: str) -> None:
    """Raises NotConfirmed unless a person at the terminal, or the command line, says yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise NotConfirmed("nothing was done: there is no terminal to ask at; --yes says that it is meant")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise NotConfirmed("nothing was done")

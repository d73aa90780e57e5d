"""`ecogvault fetch`: one blob from Azure by its address, such as an old copy that somebody has sent a link to."""

import argparse
import getpass
import re
import sys
from pathlib import Path

from ecogvault.errors import EcogvaultError
from ecogvault.sizes import part

_LONGEST_ADDRESS = 8192


class NoAddress(EcogvaultError):
    """There is no address, or no way to ask for it."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    parser = subparsers.add_parser(
        "fetch",
        help="fetch a blob from Azure by its address",
        description=(
            "Fetches one blob from Azure by its address with a SAS, as it is pasted for azcopy. The address is asked"
            " for at the terminal, or read from standard input (its first line): as an argument, the SAS would stay in"
            " the shell's history and show in process lists. Interrupted, it goes on where it was when it is given the"
            " same blob and FILE again, also with a newer SAS. The MD5 that Azure keeps is compared."
        ),
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", required=True, help="a new file (0600)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry the verb out; returns the exit status."""
    from ecogvault.stores.azure_fetch import fetch

    address = read_address()
    _note(args.config, args.output)
    fetched = fetch(address, args.output, progress=_show if sys.stderr.isatty() else None)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    kept = f", of which {fetched.kept} were here already" if fetched.kept else ""
    proof = (
        "the MD5 that Azure keeps is right" if fetched.md5 else "Azure keeps no MD5 of it: only its length was compared"
    )
    print(f"{args.output}: {fetched.size} bytes{kept}; {proof}")
    return 0


def read_address() -> str:
    """The address: what is typed at the terminal, unseen, or the first line of standard input. Raises NoAddress."""
    if sys.stdin.isatty():
        text = getpass.getpass("Address of the blob, with its SAS (not shown): ")
    else:
        text = sys.stdin.readline(_LONGEST_ADDRESS)
    address = text.strip().strip("\"'")
    if not address:
        raise NoAddress("no address was given: paste it at the prompt, or pass it on standard input")
    return address


def _show(there: int, size: int) -> None:
    print(f"\r{part(there, size)}", end="", file=sys.stderr, flush=True)


def _note(config_file: Path | None, target: Path) -> None:
    """Have it in the audit log, where this machine keeps one."""
    from ecogvault import audit, config
    from ecogvault.naming import CODE_PATTERN

    if (config_file or config.DEFAULT_CONFIG).exists():
        code = re.match(CODE_PATTERN, target.name)
        audit.record_here(config.load(config_file), "fetch", code[0] if code else None)


__all__ = ["NoAddress", "add", "read_address", "run"]

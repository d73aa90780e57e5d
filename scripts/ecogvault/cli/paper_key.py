"""`ecogvault paper-key`: an age identity as a page to print, and back from what was typed."""

import argparse
import sys
from pathlib import Path

from ecogvault.errors import EcogvaultError


class PaperRefused(EcogvaultError):
    """The command does not say what to make from what."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    from ecogvault.cli.keygen import one_line

    parser = subparsers.add_parser(
        "paper-key",
        help="an age identity as a page to print, and back",
        description="With KEY: writes the page, in groups of letters with a checksum on every line. A protected key is"
        " encrypted again with its passphrase, which the page does not hold. With --from-paper: makes the key file from"
        " what was typed; every line with a typing error is named.",
    )
    parser.add_argument("key", type=Path, nargs="?", metavar="KEY", help="the age identity file to put on paper")
    parser.add_argument(
        "--from-paper", type=Path, metavar="TYPED", help="what was typed from the paper; - reads standard input"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="the file to make; never overwritten"
    )
    parser.add_argument("--comment", metavar="TEXT", type=one_line, default="", help="a line of yours for the page")
    parser.add_argument(
        "--passphrase-file", type=Path, metavar="FILE", help="0600 file with the passphrase of KEY (default: a prompt)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the page, or the key file."""
    from ecogvault.age.keyfiles import write_new
    from ecogvault.cli.keygen import KeyExists

    if (args.key is None) == (args.from_paper is None):
        raise PaperRefused("name either the key to put on paper, or what was typed (--from-paper TYPED)")
    output: Path = args.output
    taken = f"{output} exists already, and a key is never overwritten: choose another name"
    if output.exists():
        raise KeyExists(taken)
    data, remark = _page(args) if args.key is not None else _typed(args.from_paper)
    try:
        write_new(output, data)
    except FileExistsError:
        raise KeyExists(taken) from None
    print(f"{output}: {remark}")
    return 0


def _page(args: argparse.Namespace) -> tuple[bytes, str]:
    from ecogvault.age.keyfiles import read_identities
    from ecogvault.age.paper import paper_text
    from ecogvault.cli.open import ask_passphrase, warn_if_exposed
    from ecogvault.records import utc_now

    asked: list[bytes] = []

    def ask() -> bytes:
        asked.append(ask_passphrase(args.passphrase_file))
        return asked[0]

    warn_if_exposed(args.key)
    keys = read_identities(args.key, ask)
    if len(keys) != 1:
        raise PaperRefused(f"{args.key} holds {len(keys)} keys: a page is of one")
    page = paper_text(keys[0], asked[0] if asked else None, made=utc_now()[:10], comment=args.comment)
    kind = "protected by the passphrase" if asked else "NOT protected: whoever reads the page has the key"
    return page.encode(), f"a page to print, {kind}; remove the file when it is printed"


def _typed(path: Path) -> tuple[bytes, str]:
    from ecogvault.age.paper import BadPaper, read_paper

    data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    try:
        typed = read_paper(data.decode())
    except UnicodeDecodeError:
        raise BadPaper("what was typed is not a plain text file (UTF-8)") from None
    which = f"the key of {typed.identity.recipient().fingerprint}" if typed.identity else "a protected key"
    return typed.file_bytes(), f"{which}; `ecogvault keycheck -i` proves it"

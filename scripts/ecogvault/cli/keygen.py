"""`ecogvault keygen`: make an age identity, protected by a passphrase, and if asked for its paper form."""

import argparse
import getpass
import sys
from pathlib import Path

from ecogvault.age import generate, read_passphrase_file, write_identity_file
from ecogvault.age.keyfiles import write_new
from ecogvault.age.paper import paper_text
from ecogvault.errors import EcogvaultError
from ecogvault.records import utc_now

MINIMUM_LENGTH = 12


class BadPassphrase(EcogvaultError):
    """A passphrase that must not protect a key, or no way to ask for one."""


class KeyExists(EcogvaultError):
    """There is a file under the name that the new key was to get."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    parser = subparsers.add_parser(
        "keygen",
        help="make an age identity (a secret key)",
        description="Make an age identity: a file with a secret key, which opens what is encrypted to its recipient."
        " The recipient (the public half) is printed, to be put into recipients.txt. The key is post-quantum unless"
        " --classic is given, and the file is protected by a passphrase unless --no-passphrase is given.",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, required=True, help="the file to make; never overwritten"
    )
    parser.add_argument(
        "--classic", action="store_true", help="an X25519 key (age1...), which versions of age before 1.3 can use"
    )
    parser.add_argument(
        "--comment",
        metavar="TEXT",
        type=one_line,
        help="print a line '# TEXT' before the recipient, for recipients.txt: what the key is for, where it is kept",
    )
    parser.add_argument(
        "--paper", metavar="FILE", type=Path, help="also write a page to print, as protected as the key itself"
    )
    protection = parser.add_mutually_exclusive_group()
    protection.add_argument(
        "--no-passphrase",
        action="store_true",
        help="leave the key unprotected: whoever can read the file can open everything",
    )
    protection.add_argument(
        "--passphrase-file",
        metavar="FILE",
        type=Path,
        help="take the passphrase from the first line of a file of mode 0600 instead of asking",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the key file and print its recipient."""
    output: Path = args.output
    for path in filter(None, (output, args.paper)):
        if path.exists():
            raise KeyExists(f"{path} exists already, and a key is never overwritten: choose another name")
    passphrase = None if args.no_passphrase else _passphrase(args.passphrase_file)
    identity = generate(classic=args.classic)
    page = ""
    if args.paper is not None:
        page = paper_text(identity, passphrase, made=utc_now()[:10], comment=args.comment or "")
    try:
        write_identity_file(output, identity, passphrase)
        if args.paper is not None:
            write_new(args.paper, page.encode())
    except FileExistsError as error:
        raise KeyExists(
            f"{error.filename} exists already, and a key is never overwritten: choose another name"
        ) from None
    if args.comment:
        print(f"# {args.comment}")
    print(identity.recipient())
    return 0


def one_line(text: str) -> str:
    """A comment: one line of printable text. Raises ValueError."""
    if not text.isprintable():
        raise ValueError
    return text.strip()


def _passphrase(path: Path | None) -> bytes:
    if path is not None:
        passphrase = read_passphrase_file(path)
        check_strength(passphrase)
        return passphrase
    if not sys.stdin.isatty():
        raise BadPassphrase(
            "there is no terminal to ask for a passphrase: run keygen in a terminal, or give --passphrase-file FILE, or"
            " --no-passphrase for an unprotected key"
        )
    passphrase = getpass.getpass("Passphrase for the new key: ").encode()
    check_strength(passphrase)
    if getpass.getpass("The same again: ").encode() != passphrase:
        raise BadPassphrase("the two passphrases differ: nothing was made, run keygen again")
    return passphrase


def check_strength(passphrase: bytes) -> None:
    """Raise BadPassphrase for one that is empty, or shorter than 12 characters, or one character repeated."""
    text = passphrase.decode(errors="replace")
    if not text.strip():
        raise BadPassphrase("an empty passphrase protects nothing: use several words, or --no-passphrase on purpose")
    if len(text) < MINIMUM_LENGTH or len(set(text)) == 1:
        raise BadPassphrase(
            f"this passphrase is too easy to guess: use at least {MINIMUM_LENGTH} characters, best several random words"
        )

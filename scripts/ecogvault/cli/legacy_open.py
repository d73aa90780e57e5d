"""`ecogvault legacy-open`: an archive that was made by `openssl enc`, as the lab made them before."""

import argparse
import getpass
import os
import re
import sys
from pathlib import Path

from ecogvault.age import read_passphrase_file
from ecogvault.errors import EcogvaultError
from ecogvault.legacy import CIPHERS, DIGESTS, PBKDF2_ITERATIONS, UNPROVEN, Made, Opened, open_legacy

NOT_PROVEN = 3
"""Exit status when the content was written, but nothing shows that it is right and whole."""

_LONGEST_PASSWORD = 4096


class NoPassword(EcogvaultError):
    """There is no password, or no way to ask for one."""


class NoDirectory(EcogvaultError):
    """It was not said where to."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    parser = subparsers.add_parser(
        "legacy-open",
        help="open an archive made by `openssl enc`",
        description=(
            "Opens an archive made by `openssl enc` (-des, -des3 or -aes-256-cbc): a tar, a tar in gzip, or a single"
            " file. Cipher, digest, salt and padding are found out from the content. Everything is unpacked into a"
            " hidden folder in DIR and gets its name when the end was right: gzip's CRC and length, and the tar to its"
            f" end. A single file that is no noise, but of no known format or without a whole end, is written with"
            f" {UNPROVEN} behind its name, and the exit status is {NOT_PROVEN}. One that is short or looks like noise"
            " cannot be told from what a wrong password gives: it is refused, unless --unproven is given. Links and"
            " devices are skipped by name. Nothing is ever overwritten."
        ),
    )
    parser.add_argument("archive", type=Path, metavar="FILE", help="the archive")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder to open it into (made if missing)")
    password = parser.add_mutually_exclusive_group()
    password.add_argument(
        "--password-fd", type=int, metavar="N", help="read the password from this open file descriptor, up to a newline"
    )
    password.add_argument(
        "--password-file", type=Path, metavar="FILE", help="0600 file with the password (default: a prompt)"
    )
    parser.add_argument("--list", action="store_true", help="read all of it and show sizes and paths, write nothing")
    parser.add_argument(
        "--keep-paths",
        action="store_true",
        help="keep all folders (default: those that lead to all files are left out, but for the last)",
    )
    parser.add_argument("--cipher", choices=tuple(CIPHERS), help="try this cipher alone")
    parser.add_argument("--digest", choices=DIGESTS, help="try this digest (-md) alone")
    parser.add_argument(
        "--pbkdf2",
        type=_iterations,
        nargs="?",
        const=PBKDF2_ITERATIONS,
        metavar="ITER",
        help=f"it was made with -pbkdf2 [-iter ITER] (default: {PBKDF2_ITERATIONS})",
    )
    parser.add_argument(
        "--nopad",
        action="store_true",
        help="it was made with -nopad: keep an end of a single file that looks like padding",
    )
    parser.add_argument(
        "--unproven",
        action="store_true",
        help=f"write a single file that is short or looks like noise, too, with {UNPROVEN} behind its name, if its"
        " padding fits: beware, so does that of every 250th wrong password for each cipher and digest",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Open the archive; returns 0, or NOT_PROVEN."""
    if args.output is None and not args.list:
        raise NoDirectory("where to? give -o DIR, or --list to see what is in it")
    _note(args.config, args.archive)
    made = Made(args.cipher, args.digest, args.pbkdf2, nopad=args.nopad, unproven=args.unproven)
    password = read_password(args.password_fd, args.password_file)
    opened = open_legacy(args.archive, password, None if args.list else args.output, made, keep_paths=args.keep_paths)
    _show(opened, listed=args.list)
    return 0 if opened.proven else NOT_PROVEN


def read_password(descriptor: int | None, file: Path | None) -> bytes:
    """The password: the first line of a descriptor or of a 0600 file, or what is typed at the terminal.

    Raises NoPassword, age.BadIdentity for a file that others may read, and OSError as it comes.
    """
    if file is not None:
        return read_passphrase_file(file)
    if descriptor is not None:
        try:
            with os.fdopen(descriptor, "rb", closefd=False) as stream:
                password = stream.readline(_LONGEST_PASSWORD).rstrip(b"\r\n")
        except OSError as error:
            raise NoPassword(f"file descriptor {descriptor} cannot be read: {error.strerror}") from None
    elif sys.stdin.isatty():
        password = getpass.getpass("Password of the archive: ").encode(errors="surrogateescape")
    else:
        raise NoPassword("there is no terminal to ask for the password: --password-file or --password-fd")
    if not password:
        raise NoPassword("the password is empty: nothing was opened")
    return password


def _show(opened: Opened, *, listed: bool) -> None:
    """What was found, for whoever has the password: paths in an archive are shown on standard output alone."""
    print(f"made by openssl enc -{opened.combination}, {'salted' if opened.salted else 'unsalted'}: {opened.content}")
    if listed:
        for path, size in opened.files:
            print(f"{size:>14}  {_printable(path)}")
    for path, what in opened.skipped:
        print(f"skipped ({what}): {_printable(path)}")
    for path in opened.twice:
        print(f"twice in the archive, of which the later one counts: {_printable(path)}")
    for place in opened.places:
        print(_printable(str(place)))
    count = len(opened.files) - len(opened.twice)
    files = f"{count} file{'' if count == 1 else 's'}"
    print(f"{files}: {opened.proof}" if opened.proven else f"{files}, not proven: {opened.proof}")


def _printable(path: str) -> str:
    """A path for a terminal: control characters and bytes that are no UTF-8 are written as escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in path
    )


def _iterations(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _note(config_file: Path | None, archive: Path) -> None:
    """Have it in the audit log, where this machine keeps one: plaintext is about to be made."""
    from ecogvault import audit, config
    from ecogvault.naming import CODE_PATTERN

    if (config_file or config.DEFAULT_CONFIG).exists():
        code = re.match(CODE_PATTERN, archive.name)
        audit.record_here(config.load(config_file), "legacy-open", code[0] if code else None)


__all__ = ["NOT_PROVEN", "NoDirectory", "NoPassword", "add", "read_password", "run"]

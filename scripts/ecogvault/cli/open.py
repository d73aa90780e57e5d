"""`ecogvault open`: a sealed tarball, some of its files, or a file that was encrypted by itself."""

import argparse
import getpass
import hashlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from ecogvault.age import (
    FileSource,
    Identity,
    KeyPair,
    decrypt_stream,
    open_sealed,
    read_identities,
    read_passphrase_file,
)
from ecogvault.errors import EcogvaultError
from ecogvault.tarball import Index, NoIndex, chosen_members, open_sealed_tarball, open_stream, read_index, read_part
from ecogvault.tarball.target import Target

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_SUFFIX = ".age"


class NoTerminal(EcogvaultError):
    """A passphrase is needed, but there is nobody to ask."""


class NotATarball(EcogvaultError):
    """What was asked for makes sense for a sealed tarball alone."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb `open` to the command line."""
    parser = subparsers.add_parser(
        "open",
        help="open a sealed tarball, some of its files, or an encrypted file",
        description=(
            "Opens a sealed tarball (UNIT.tar.zst.age) into DIR/UNIT, or a file encrypted by itself (x.avi.age) into"
            " DIR/x.avi. Every file is checked before it gets its name, and nothing is ever overwritten."
        ),
    )
    parser.add_argument("sealed", type=Path, metavar="SEALED", help="the sealed file; - reads it from standard input")
    parser.add_argument("-i", "--identity", type=Path, required=True, metavar="KEY", help="age identity file")
    parser.add_argument("-C", "--directory", type=Path, default=Path(), metavar="DIR", help="where to (default: here)")
    parser.add_argument(
        "--member",
        action="append",
        nargs="+",
        metavar="PATH",
        help="only these files, by path or pattern such as '*.avi'",
    )
    parser.add_argument(
        "--bytes",
        type=_range,
        metavar="FIRST+COUNT",
        help="only these bytes of the one file that --member names, to standard output: 0+256 is an EDF's first header",
    )
    parser.add_argument("--list", action="store_true", help="show size, SHA-256 and path of each file, open nothing")
    parser.add_argument(
        "--passphrase-file", type=Path, metavar="FILE", help="0600 file with the passphrase of KEY (default: a prompt)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry the verb out; returns the exit status."""
    sealed: Path = args.sealed
    directory: Path = args.directory
    members: list[str] | None = None if args.member is None else [name for names in args.member for name in names]
    threads = min(4, os.cpu_count() or 1)
    if args.bytes is not None and (members is None or len(members) != 1 or args.list or str(sealed) == "-"):
        raise NotATarball("--bytes needs one --member of a sealed tarball that is a file, and goes without --list")
    _note(args.config, sealed)
    identities = ask_identities(args.identity, args.passphrase_file)
    if args.bytes is not None and members is not None:
        first, count = args.bytes
        read_part(sealed, identities, members[0], first, count, sys.stdout.buffer.write)
        sys.stdout.buffer.flush()
        return 0
    if str(sealed) == "-":
        if members is not None or args.list:
            raise NotATarball("--member and --list need a file, not standard input: they read from its end")
        opened = open_stream(sys.stdin.buffer, identities, directory, threads=threads)
    elif not _holds_zstd(sealed, identities):
        if members is not None or args.list:
            raise NotATarball(f"{sealed.name} holds a single file: leave out --member and --list")
        print(open_single(sealed, identities, directory, threads=threads))
        return 0
    elif args.list:
        _print_list(read_index(sealed, identities), members)
        return 0
    else:
        try:
            opened = open_sealed_tarball(sealed, identities, directory, members=members, threads=threads)
        except NoIndex:
            # A tarball made by other means has no index, and is read from its beginning.
            if members is not None:
                raise
            with open(sealed, "rb", buffering=0) as stream:
                opened = open_stream(stream, identities, directory, threads=threads)
    count = len(opened.paths)
    print(f"{opened.folder}: {count} file{'' if count == 1 else 's'}, SHA-256 checked")
    return 0


def _range(text: str) -> tuple[int, int]:
    first, _, count = text.partition("+")
    if not (first.isdecimal() and count.isdecimal()):
        raise argparse.ArgumentTypeError("the first byte, counted from 0, a plus, and how many: 0+256")
    return int(first), int(count)


def open_single(sealed: Path, identities: Sequence[Identity], directory: Path, *, threads: int = 1) -> Path:
    """Decrypt a file that is no tarball into `directory`, under its name without `.age`; returns its path.

    It gets its name (0600) when the last chunk was authentic. A file that is there with equal content is left as it is.
    Raises OtherContent, UnsafePath, NotATarball when the name does not end in .age, age's errors, and OSError.
    """
    if not sealed.name.endswith(_SUFFIX) or sealed.name == _SUFFIX:
        raise NotATarball("an encrypted file needs a name that ends in .age, which is its name once opened: rename it")
    target = Target(directory)
    file = target.create(sealed.name.removesuffix(_SUFFIX))
    try:
        digest = hashlib.sha256()

        def take(view: memoryview) -> None:
            digest.update(view)
            file.write(view)

        with open(sealed, "rb", buffering=0) as stream:
            size = decrypt_stream(stream, identities, take, threads=threads)
        if not target.has(file.path, size, digest.hexdigest()):
            target.keep(file)
            target.finish()
    finally:
        file.discard()
    return directory / file.path


def _note(config_file: Path | None, sealed: Path) -> None:
    """Have it in the audit log, where this machine keeps one: plaintext is about to be made."""
    from ecogvault import audit, config
    from ecogvault.naming import CODE_PATTERN

    if (config_file or config.DEFAULT_CONFIG).exists():
        code = re.match(CODE_PATTERN, sealed.name)
        audit.record_here(config.load(config_file), "open", code[0] if code else None)


def ask_identities(path: Path, passphrase_file: Path | None) -> list[KeyPair]:
    """The age identities in `path`; the passphrase comes from a 0600 file or from whoever sits at the terminal.

    Raises NoTerminal, age.BadIdentity, and OSError as it comes.
    """

    return read_identities(path, lambda: ask_passphrase(passphrase_file))


def ask_passphrase(passphrase_file: Path | None) -> bytes:
    """The passphrase of an age identity file. Raises NoTerminal, age.BadIdentity, and OSError as it comes."""
    if passphrase_file is not None:
        return read_passphrase_file(passphrase_file)
    if not sys.stderr.isatty():
        raise NoTerminal("the age identity file needs its passphrase, and there is no terminal: --passphrase-file")
    return getpass.getpass("Passphrase of the age identity file: ").encode()


def _holds_zstd(sealed: Path, identities: Sequence[Identity]) -> bool:
    with open(sealed, "rb", buffering=0) as stream:
        return open_sealed(FileSource(stream.fileno()), identities).read_at(0, 4) == ZSTD_MAGIC


def _print_list(index: Index, members: list[str] | None) -> None:
    for member in chosen_members(index, members):
        print(f"{member.size:>14}  {member.sha256}  {member.path}")


__all__ = ["NoTerminal", "NotATarball", "add", "ask_identities", "ask_passphrase", "open_single", "run"]

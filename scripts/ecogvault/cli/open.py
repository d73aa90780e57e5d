"""`ecogvault open`: a sealed tarball, some of its files, or a file that was encrypted by itself."""

import argparse
import getpass
import hashlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ecogvault.age import (
    FileSource,
    Identity,
    KeyPair,
    PayloadError,
    Plain,
    decrypt_stream,
    first_damage,
    is_exposed,
    open_sealed,
    read_identities,
    read_passphrase_file,
)
from ecogvault.age.source import Readable
from ecogvault.errors import EcogvaultError
from ecogvault.tarball import (
    Index,
    NoIndex,
    NotZstd,
    Opened,
    UnsafePath,
    check_range,
    chosen_members,
    open_sealed_tarball,
    open_stream,
    read_index,
    read_part,
)
from ecogvault.tarball.frames import MAGIC as ZSTD_MAGIC
from ecogvault.tarball.target import Target

_SUFFIX = ".age"
_STEP = 1024 * 1024


class NoTerminal(EcogvaultError):
    """A passphrase is needed, but there is nobody to ask."""


class NotATarball(EcogvaultError):
    """What was asked for does not fit what the sealed file holds: a tarball, or a single file."""


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
        "--name",
        help="open SEALED as a file encrypted by itself, into DIR/NAME (default: SEALED's name without .age)",
    )
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
        help=(
            "only these bytes of the one file that --member names, or of a file encrypted by itself, to standard"
            " output: 0+256 is an EDF's first header"
        ),
    )
    parser.add_argument("--list", action="store_true", help="show size, SHA-256 and path of each file, open nothing")
    parser.add_argument(
        "--passphrase-file", type=Path, metavar="FILE", help="0600 file with the passphrase of KEY (default: a prompt)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry the verb out; returns the exit status."""
    sealed: Path = args.sealed
    members: list[str] | None = None if args.member is None else [name for names in args.member for name in names]
    threads = min(4, os.cpu_count() or 1)
    _check_words(args, members)
    _note(args.config, sealed)
    identities = ask_identities(args.identity, args.passphrase_file)
    if args.bytes is not None:
        with _first_damage_said(sealed, identities, threads):
            _print_bytes(sealed, identities, members, *args.bytes)
    elif args.list:
        with _first_damage_said(sealed, identities, threads):
            _refuse_single(sealed, identities)
            _print_list(read_index(sealed, identities), members)
    elif args.name is not None or (str(sealed) != "-" and not _holds_zstd(sealed, identities, threads)):
        if members is not None:
            raise NotATarball(f"{sealed.name} holds a single file: leave out --member")
        print(open_single(sealed, identities, args.directory, name=args.name, threads=threads))
    else:
        opened = _open_tarball(sealed, identities, args.directory, members, threads)
        count = len(opened.paths)
        print(f"{opened.folder}: {count} file{'' if count == 1 else 's'}, SHA-256 checked")
    return 0


def _check_words(args: argparse.Namespace, members: list[str] | None) -> None:
    partial = members is not None or args.list or args.bytes is not None
    if partial and str(args.sealed) == "-":
        raise NotATarball("--member, --list and --bytes need a file, not standard input: they read from its end")
    if partial and args.name is not None:
        raise NotATarball("--name opens all of a single file, and goes without --member, --list and --bytes")
    if args.bytes is not None and args.list:
        raise NotATarball("--bytes prints a part of one file, and goes without --list")
    if args.name is not None and "/" in args.name:
        raise UnsafePath("--name is the name of a file, without a folder: that is what -C is for")


def _open_tarball(
    sealed: Path, identities: Sequence[Identity], directory: Path, members: list[str] | None, threads: int
) -> Opened:
    if str(sealed) == "-":
        try:
            return open_stream(sys.stdin.buffer, identities, directory, threads=threads)
        except NotZstd:
            raise NotATarball(
                "standard input holds no sealed tarball but a file encrypted by itself, and its name does not come with"
                " it: give it one with --name NAME"
            ) from None
    try:
        with _first_damage_said(sealed, identities, threads):
            return open_sealed_tarball(sealed, identities, directory, members=members, threads=threads)
    except NoIndex:
        # A tarball made by other means has no index, and is read from its beginning.
        if members is not None:
            raise
        with open(sealed, "rb", buffering=0) as stream:
            return open_stream(stream, identities, directory, threads=threads)


@contextmanager
def _first_damage_said(sealed: Path, identities: Sequence[Identity], threads: int) -> Iterator[None]:
    """For reading by range, which begins at the end: what is wrong there may have begun long before."""
    try:
        yield
    except PayloadError as error:
        with open(sealed, "rb", buffering=0) as stream:
            raise first_damage(stream, identities, threads=threads) or error from None


def _range(text: str) -> tuple[int, int]:
    first, _, count = text.partition("+")
    if not (first.isdecimal() and count.isdecimal()):
        raise argparse.ArgumentTypeError("the first byte, counted from 0, a plus, and how many: 0+256")
    return int(first), int(count)


def open_single(
    sealed: Path, identities: Sequence[Identity], directory: Path, *, name: str | None = None, threads: int = 1
) -> Path:
    """Decrypt a file that is no tarball into `directory`, as `name` or its own without `.age`; returns its path.

    It gets its name (0600) when the last chunk was authentic. A file that is there with equal content is left as it is.
    A `sealed` of - is standard input. Raises OtherContent, UnsafePath, NotATarball when there is no name for it, age's
    errors, and OSError.
    """
    if name is None:
        if not sealed.name.endswith(_SUFFIX) or sealed.name == _SUFFIX:
            raise NotATarball("an encrypted file needs a name that ends in .age, or one for what is in it: --name NAME")
        name = sealed.name.removesuffix(_SUFFIX)
    if str(sealed) == "-":
        return _open_single(sys.stdin.buffer, identities, directory, name, threads)
    with open(sealed, "rb", buffering=0) as stream:
        return _open_single(stream, identities, directory, name, threads)


def _open_single(reader: Readable, identities: Sequence[Identity], directory: Path, name: str, threads: int) -> Path:
    target = Target(directory)
    file = target.create(name)
    try:
        digest = hashlib.sha256()

        def take(view: memoryview) -> None:
            digest.update(view)
            file.write(view)

        size = decrypt_stream(reader, identities, take, threads=threads)
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
    warn_if_exposed(path)
    return read_identities(path, lambda: ask_passphrase(passphrase_file))


def warn_if_exposed(path: Path) -> None:
    """Say on standard error that others may read an unprotected secret key. It opens all the same, as with age itself.

    To refuse it would protect nothing, and could stand between a lab and its data on the day of the escrow key: a
    memory stick's file system often has no modes. OSError as it comes.
    """
    if is_exposed(path):
        print(
            f"ecogvault: warning: {path} is a secret key without a passphrase, and others may read it:"
            f" chmod 600 {path}",
            file=sys.stderr,
        )


def ask_passphrase(passphrase_file: Path | None) -> bytes:
    """The passphrase of an age identity file. Raises NoTerminal, age.BadIdentity, and OSError as it comes."""
    if passphrase_file is not None:
        return read_passphrase_file(passphrase_file)
    if not sys.stderr.isatty():
        raise NoTerminal("the age identity file needs its passphrase, and there is no terminal: --passphrase-file")
    return getpass.getpass("Passphrase of the age identity file: ").encode()


@contextmanager
def _content(sealed: Path, identities: Sequence[Identity]) -> Iterator[Plain]:
    with open(sealed, "rb", buffering=0) as stream:
        yield open_sealed(FileSource(stream.fileno()), identities)


def _holds_zstd(sealed: Path, identities: Sequence[Identity], threads: int) -> bool:
    with _first_damage_said(sealed, identities, threads), _content(sealed, identities) as plain:
        return plain.read_at(0, len(ZSTD_MAGIC)) == ZSTD_MAGIC


def _refuse_single(sealed: Path, identities: Sequence[Identity]) -> None:
    with _content(sealed, identities) as plain:
        if plain.read_at(0, len(ZSTD_MAGIC)) != ZSTD_MAGIC:
            raise NotATarball(f"{sealed.name} holds a single file: leave out --member and --list")


def _print_bytes(
    sealed: Path, identities: Sequence[Identity], members: list[str] | None, first: int, count: int
) -> None:
    out = sys.stdout.buffer
    if members is not None:
        _refuse_single(sealed, identities)
        if len(members) != 1:
            raise NotATarball(f"--bytes are of one file, and {len(members)} are named: leave one --member")
        read_part(sealed, identities, members[0], first, count, out.write)
    else:
        with _content(sealed, identities) as plain:
            if plain.read_at(0, len(ZSTD_MAGIC)) == ZSTD_MAGIC and _is_indexed(sealed, identities):
                raise NotATarball(f"{sealed.name} is a sealed tarball: name one file of it with --member")
            check_range("the file", plain.size, first, count)
            for start in range(first, first + count, _STEP):
                out.write(plain.read_at(start, min(_STEP, first + count - start)))
    out.flush()


def _is_indexed(sealed: Path, identities: Sequence[Identity]) -> bool:
    try:
        read_index(sealed, identities)
    except NoIndex:
        return False
    return True


def _print_list(index: Index, members: list[str] | None) -> None:
    for member in chosen_members(index, members):
        print(f"{member.size:>14}  {member.sha256}  {member.path}")


__all__ = [
    "NoTerminal",
    "NotATarball",
    "add",
    "ask_identities",
    "ask_passphrase",
    "open_single",
    "run",
    "warn_if_exposed",
]

"""Files that hold recipients (`recipients.txt`) and age identities (as `age-keygen` writes them)."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ecogvault.age.armor import armor, looks_armored
from ecogvault.age.envelope import new_envelope
from ecogvault.age.errors import AgeError, BadIdentity, BadRecipient, NoMatchingIdentity, NoRecipients
from ecogvault.age.keys import HybridIdentity, Recipient, X25519Identity, parse_identity, parse_recipient
from ecogvault.age.opening import open_sealed
from ecogvault.age.passphrase import Passphrase
from ecogvault.age.sealing import Sealer
from ecogvault.age.source import BytesSource
from ecogvault.files import replacing
from ecogvault.records import utc_now

_SIZE_LIMIT = 16 * 1024 * 1024

KeyPair = X25519Identity | HybridIdentity


@dataclass(frozen=True)
class Listed:
    """A recipient as a file lists it: on which line, and the comment (`# ...`) on the lines right above it, if any."""

    recipient: Recipient
    line: int
    comment: str


def read_recipients(path: Path) -> list[Recipient]:
    """The recipients in `path`: one a line; empty lines and lines that begin with '#' are passed over.

    Raises BadRecipient, naming file and line but never repeating the line (it may be a secret key), also for a
    recipient that stands there twice (two lines promise two keys); NoRecipients when there is none; OSError.
    """
    return [one.recipient for one in listed_recipients(path)]


def listed_recipients(path: Path) -> list[Listed]:
    """The same, each with its line and comment. Raises as read_recipients does."""
    found: list[Listed] = []
    comments: list[str] = []
    for number, text in enumerate(_text(path.read_bytes(), path, BadRecipient).splitlines(), start=1):
        line = text.strip()
        if not line or line.startswith("#"):
            comments = [*comments, line.lstrip("# ")] if line else []
            continue
        try:
            recipient = parse_recipient(line)
        except BadRecipient as error:
            raise BadRecipient(f"{path}, line {number}: {error}") from None
        if any(one.recipient == recipient for one in found):
            raise BadRecipient(f"{path}, line {number}: this recipient is already on an earlier line; remove one")
        found.append(Listed(recipient, number, " ".join(filter(None, comments))))
        comments = []
    if not found:
        raise NoRecipients(f"{path} has no recipient: it needs at least one age1... line")
    return found


def read_identities(path: Path, passphrase: Callable[[], bytes] | None = None) -> list[KeyPair]:
    """The age identities in `path`, which may be encrypted with a passphrase, armored or not.

    `passphrase` is asked only when it is needed. Raises BadIdentity, naming file and line; OSError as it comes.
    """
    data = path.read_bytes()
    if _is_protected(data):
        if passphrase is None:
            raise BadIdentity(f"{path} is protected by a passphrase, and there is nowhere to get it from here")
        data = _unprotected(data, path, passphrase())
    identities: list[KeyPair] = []
    for number, line in _lines(_text(data, path, BadIdentity)):
        try:
            identities.append(parse_identity(line))
        except BadIdentity as error:
            raise BadIdentity(f"{path}, line {number}: {error}") from None
    if not identities:
        raise BadIdentity(f"{path} has no age identity in it")
    return identities


def is_exposed(path: Path) -> bool:
    """Whether others than the owner may read an age identity file that no passphrase protects. OSError as it comes.

    A pipe is not: what was read of it would be missing afterwards.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or not status.st_mode & 0o077:
        return False
    return not _is_protected(path.read_bytes())


def _is_protected(data: bytes) -> bool:
    return looks_armored(data[:4096]) or data.startswith(b"age-encryption.org/")


def _unprotected(data: bytes, path: Path, passphrase: bytes) -> bytes:
    try:
        content = open_sealed(BytesSource(data), [Passphrase(passphrase)])
        if content.size > _SIZE_LIMIT:
            raise BadIdentity("it is far too large for an age identity file")
        return content.read_at(0, content.size)
    except NoMatchingIdentity:
        raise BadIdentity(f"{path}: the passphrase does not open this age identity file") from None
    except AgeError as error:
        raise BadIdentity(f"{path} cannot be used as an age identity file: {error}") from None


def _text(data: bytes, path: Path, kind: type[AgeError]) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise kind(f"{path} is not a text file") from None


def _lines(text: str) -> list[tuple[int, str]]:
    numbered = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    return [(number, line) for number, line in numbered if line and not line.startswith("#")]


def identity_file_text(identity: KeyPair) -> str:
    """The three lines that `age-keygen` writes: when it was made, the recipient, the secret."""
    return f"# created: {utc_now()}\n# public key: {identity.recipient()}\n{identity.secret_text()}\n"


def write_identity_file(path: Path, identity: KeyPair, passphrase: bytes | None) -> None:
    """Write an age identity file with mode 0600, encrypted (and armored) when a passphrase is given.

    Raises FileExistsError if there is a file already: a key is never overwritten. Other OSErrors as they come.
    """
    data = identity_file_text(identity).encode()
    write_new(path, data if passphrase is None else protected(data, passphrase))


def protected(data: bytes, passphrase: bytes) -> bytes:
    """`data` encrypted with a passphrase, in armor, as the age tool protects an age identity file."""
    parts: list[bytes] = []
    with Sealer(new_envelope([Passphrase(passphrase)]), lambda view: parts.append(bytes(view))) as sealer:
        sealer.write(data)
    return armor(b"".join(parts))


def write_new(path: Path, data: bytes) -> None:
    """Write a file with mode 0600 under a name that is free. Raises FileExistsError, and OSError as it comes."""
    # The empty file holds the name against every other program; the whole one then takes its place.
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with replacing(path, mode=0o600) as stream:
            stream.write(data)
    except BaseException:
        path.unlink(missing_ok=True)
        raise

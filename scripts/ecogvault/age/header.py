"""The header of an age file: stanzas that each wrap the file key, and a MAC over all of them.

Source: C2SP age.md v1, "Header" and its ABNF. Parsing is as strict as the specification demands: what
render_header() would not write is refused.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ecogvault.age.encoding import decode_base64, encode_base64
from ecogvault.age.errors import HeaderError, HeaderMacError

VERSION_LINE = b"age-encryption.org/v1\n"
COLUMNS = 64
HEADER_LIMIT = 1 << 20
WRAPPED_KEY_SIZE = 32  # a file key of 16 bytes and a Poly1305 tag

_ARGUMENT = re.compile(rb"[\x21-\x7e]+")


class HeaderIncomplete(HeaderError):
    """The bytes end before the header does: with more of the file it may still be whole."""


@dataclass(frozen=True)
class Stanza:
    """One recipient stanza: its type, its further arguments and its body."""

    kind: str
    arguments: tuple[bytes, ...]
    body: bytes


@dataclass(frozen=True)
class Header:
    """A parsed header. `raw` is every byte of it, including the line feed of the MAC line."""

    stanzas: tuple[Stanza, ...]
    mac: bytes
    raw: bytes


def derive(key: bytes, *, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256 to 32 bytes, as everywhere in age."""
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(key)


def _mac(file_key: bytes, covered: bytes) -> HMAC:
    mac = HMAC(derive(file_key, salt=b"", info=b"header"), SHA256())
    mac.update(covered)
    return mac


def render_header(stanzas: Sequence[Stanza], file_key: bytes) -> bytes:
    """The header for `stanzas`, with the MAC that `file_key` gives."""
    lines = [VERSION_LINE]
    for stanza in stanzas:
        lines.append(b" ".join([b"->", stanza.kind.encode(), *stanza.arguments]) + b"\n")
        body = encode_base64(stanza.body)
        # A body that fills its last line is followed by an empty one: the stanza ends at the first short line.
        lines += [body[start : start + COLUMNS] + b"\n" for start in range(0, len(body) + 1, COLUMNS)]
    covered = b"".join(lines) + b"---"
    return covered + b" " + encode_base64(_mac(file_key, covered).finalize()) + b"\n"


def check_mac(header: Header, file_key: bytes) -> None:
    """Raises HeaderMacError unless `header` was made by somebody who had `file_key`."""
    try:
        _mac(file_key, header.raw[: header.raw.rindex(b"--- ") + 3]).verify(header.mac)
    except InvalidSignature:
        raise HeaderMacError("the age header was changed after it was made (its MAC does not match)") from None


def parse_header(data: bytes) -> Header:
    """The header that `data` begins with; what follows it is not looked at.

    Raises HeaderIncomplete when `data` ends too early, and HeaderError for anything the specification does not allow.
    """
    known = data[: len(VERSION_LINE)]
    if known != VERSION_LINE[: len(known)]:
        if data.startswith(b"age-encryption.org/") and not data.startswith(VERSION_LINE[:-1] + b"\r"):
            raise HeaderError("this is an age file of another version than 1")
        raise HeaderError("this is not an age file: it does not begin with the age version line")
    position = len(VERSION_LINE)
    stanzas: list[Stanza] = []
    while True:
        start = data[position : position + 3]
        line, after = _line(data, position, limit=HEADER_LIMIT)
        if start == b"---":
            break
        if not line.startswith(b"-> "):
            raise HeaderError("a line of the age header begins neither with '-> ' nor with '--- '")
        arguments = line[3:].split(b" ")
        if not all(_ARGUMENT.fullmatch(argument) for argument in arguments):
            raise HeaderError("a stanza of the age header has an empty argument or one that is not printable ASCII")
        body, position = _body(data, after)
        stanzas.append(Stanza(arguments[0].decode(), tuple(arguments[1:]), body))
    if not line.startswith(b"--- "):
        raise HeaderError("the MAC line of the age header is malformed")
    mac = _decode(line[4:], "the MAC of the age header")
    if len(mac) != 32:
        raise HeaderError("the MAC of the age header has the wrong length")
    if not stanzas:
        raise HeaderError("the age header has no recipient stanza")
    _check_native(stanzas)
    return Header(tuple(stanzas), mac, data[:after])


def _line(data: bytes, position: int, *, limit: int) -> tuple[bytes, int]:
    end = data.find(b"\n", position, position + limit + 1)
    if end < 0:
        if len(data) - position > limit:
            raise HeaderError("a line of the age header is too long")
        raise HeaderIncomplete("the age header is cut off")
    return data[position:end], end + 1


def _body(data: bytes, position: int) -> tuple[bytes, int]:
    parts: list[bytes] = []
    while True:
        line, position = _line(data, position, limit=COLUMNS)
        parts.append(line)
        if len(line) < COLUMNS:
            return _decode(b"".join(parts), "a stanza of the age header"), position


def _decode(text: bytes, what: str) -> bytes:
    try:
        return decode_base64(text)
    except ValueError:
        raise HeaderError(f"{what} is not in canonical base64") from None


def _share(size: int) -> Callable[[Stanza], bool]:
    def check(stanza: Stanza) -> bool:
        return len(stanza.arguments) == 1 and len(decode_base64(stanza.arguments[0])) == size

    return check


def _scrypt(stanza: Stanza) -> bool:
    if len(stanza.arguments) != 2 or len(decode_base64(stanza.arguments[0])) != 16:
        return False
    return re.fullmatch(rb"[1-9][0-9]{0,9}", stanza.arguments[1]) is not None


_NATIVE: dict[str, Callable[[Stanza], bool]] = {
    "X25519": _share(32),
    "mlkem768x25519": _share(1120),
    "scrypt": _scrypt,
}


def _check_native(stanzas: Sequence[Stanza]) -> None:
    """Refuse a native stanza with a wrong form, whether or not it is for us (age.md, "Native recipient types")."""
    for stanza in stanzas:
        check = _NATIVE.get(stanza.kind)
        if check is None:
            continue
        try:
            right = check(stanza) and len(stanza.body) == WRAPPED_KEY_SIZE
        except ValueError:
            right = False
        if not right:
            raise HeaderError(f"a stanza of type {stanza.kind} in the age header is malformed")
        if stanza.kind == "scrypt" and len(stanzas) > 1:
            raise HeaderError("the age header has a passphrase stanza beside others, which age forbids")

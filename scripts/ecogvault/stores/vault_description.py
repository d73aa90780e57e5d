"""What stands beside an archive in a vault: its description, from which the catalogue can be made again. Pure.

A vault keeps no names and no metadata, only up to 1,024 printable ASCII characters per archive. Ours are words:
`ecogvault 1 key=KEY size=BYTES name=value ...`, names being those of the metadata without `ecogvault-`. In a value a
blank, `%`, `:` and what is not printable ASCII are percent-encoded; 32 bytes or more in hex are `:` and base64url.
Source of the limit: Amazon Glacier Developer Guide, "Upload Archive (POST archive)".
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from ecogvault.stores.errors import BadSettings

HEAD = "ecogvault 1"
MOST = 1024
PREFIX = "ecogvault-"

_HEX = re.compile("(?:[0-9a-f]{2}){32,}")
_SAFE = "".join(chr(code) for code in range(33, 127) if chr(code) not in "%:")


@dataclass(frozen=True)
class Described:
    """What a description of ours says: the object's key, its size in bytes, and its metadata."""

    key: str
    size: int
    metadata: Mapping[str, str]


def describe(key: str, size: int, metadata: Mapping[str, str]) -> str:
    """The description of an archive. Raises BadSettings if it does not fit."""
    words = [HEAD, f"key={quote(key, safe=_SAFE)}", f"size={size}"]
    words += [f"{name.removeprefix(PREFIX)}={_packed(value)}" for name, value in sorted(metadata.items())]
    text = " ".join(words)
    if len(text) > MOST:
        raise BadSettings(
            f"what a vault has to say of {key} takes {len(text)} characters, and a description has {MOST}: "
            "use fewer recipients"
        )
    return text


def parse(text: str) -> Described | None:
    """What a description says; None if it is not one of ours."""
    if not text.startswith(f"{HEAD} "):
        return None
    pairs = [word.partition("=") for word in text[len(HEAD) + 1 :].split(" ")]
    values = {name: value for name, sign, value in pairs if sign}
    key, size = values.pop("key", ""), values.pop("size", "")
    if not key or not size.isdigit():
        return None
    try:
        metadata = {f"{PREFIX}{name}": _unpacked(value) for name, value in values.items()}
    except ValueError:
        return None
    return Described(unquote(key), int(size), metadata)


def _packed(value: str) -> str:
    if _HEX.fullmatch(value):
        return ":" + base64.urlsafe_b64encode(bytes.fromhex(value)).decode().rstrip("=")
    return quote(value, safe=_SAFE)


def _unpacked(value: str) -> str:
    if value.startswith(":"):
        text = value[1:]
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).hex()
    return unquote(value)

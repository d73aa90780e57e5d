"""The two text encodings of age: unpadded canonical base64, and Bech32 without a length limit.

Sources: C2SP age.md v1, "Conventions used in this document"; RFC 4648, sections 3.5 and 4; BIP 173, "Bech32".
"""

import base64
import re

_BASE64 = re.compile(rb"[A-Za-z0-9+/]*")
BECH32_CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES = {character: value for value, character in enumerate(BECH32_CHARSET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def encode_base64(data: bytes) -> bytes:
    """`data` in standard base64 without padding."""
    return base64.b64encode(data).rstrip(b"=")


def decode_base64(text: bytes) -> bytes:
    """The bytes of unpadded base64. Raises ValueError unless `text` is exactly what encode_base64 makes."""
    if not _BASE64.fullmatch(text) or len(text) % 4 == 1:
        raise ValueError("not unpadded base64")
    data = base64.b64decode(text + b"=" * (-len(text) % 4))
    if encode_base64(data) != text:
        raise ValueError("not canonical base64")
    return data


def _polymod(values: list[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            if top >> bit & 1:
                checksum ^= generator
    return checksum


def _expand(prefix: str) -> list[int]:
    return [ord(character) >> 5 for character in prefix] + [0] + [ord(character) & 31 for character in prefix]


def _regroup(values: bytes | list[int], old: int, new: int, *, pad: bool) -> list[int]:
    accumulator = bits = 0
    out: list[int] = []
    for value in values:
        accumulator = accumulator << old | value
        bits += old
        while bits >= new:
            bits -= new
            out.append(accumulator >> bits)
            accumulator &= (1 << bits) - 1
    if pad:
        if bits:
            out.append(accumulator << (new - bits))
    elif bits >= old or accumulator:
        raise ValueError("the padding bits are not zero")
    return out


def encode_bech32(prefix: str, data: bytes) -> str:
    """`data` as a lower-case Bech32 text with the human-readable part `prefix` (lower case)."""
    values = _regroup(data, 8, 5, pad=True)
    checksum = _polymod([*_expand(prefix), *values, 0, 0, 0, 0, 0, 0]) ^ 1
    values += [checksum >> 5 * (5 - place) & 31 for place in range(6)]
    return prefix + "1" + "".join(BECH32_CHARSET[value] for value in values)


def decode_bech32(text: str) -> tuple[str, bytes]:
    """The human-readable part, in the case in which it is written, and the data. Raises ValueError."""
    if text not in (text.lower(), text.upper()):
        raise ValueError("upper and lower case are mixed")
    prefix, separator, rest = text.rpartition("1")
    if not separator or not prefix or len(rest) < 6 or not all(33 <= ord(character) <= 126 for character in prefix):
        raise ValueError("not Bech32")
    try:
        values = [_VALUES[character] for character in rest.lower()]
    except KeyError:
        raise ValueError("a character that Bech32 does not have") from None
    if _polymod(_expand(prefix.lower()) + values) != 1:
        raise ValueError("the checksum does not match: a character is wrong or missing")
    return prefix, bytes(_regroup(values[:-6], 5, 8, pad=False))

"""What decrypted bytes are, judged by their beginning: how a right password is told from a wrong one.

A wrong password gives noise. The marks below are at least 40 bits long, so that noise has one less than once in 10^12.
"""

import codecs
import re
import tarfile
from dataclasses import dataclass
from enum import IntEnum

BLOCK = 512
_GZIP = re.compile(rb"\x1f\x8b\x08[\x00-\x1f]", re.DOTALL)  # RFC 1952, 2.3.1: deflate, reserved flags zero
_USTAR = slice(257, 262)
_LEAST_TEXT = 64
_LEAST_COUNTED = 1024
# For noise chi-square over 256 values is 255 with a deviation of 23.
_NO_NOISE = 600

_FORMS = {
    "AVI": rb"RIFF....AVI ",
    "WAVE": rb"RIFF....WAVE",
    "EDF": rb"0       [ -~]{8}",
    "BDF": rb"\xffBIOSEMI",
    "PDF": rb"%PDF-[12]\.",
    "MP4": rb"\0\0\0.ftyp[ -~]{4}",
    "Windows Media": rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c",
    "MATLAB": rb"MATLAB [57]\.[0-9] MAT-file",
    "HDF5": rb"\x89HDF\r\n\x1a\n",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff[\xe0\xe1]..(JFIF|Exif)\0",
    "Microsoft Office": rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "ZIP": rb"PK\x03\x04[\x0a\x14\x2d]\0",
    "7-Zip": rb"7z\xbc\xaf\x27\x1c",
    "RAR": rb"Rar!\x1a\x07",
    "xz": rb"\xfd7zXZ\0",
    "bzip2": rb"BZh[1-9]1AY&SY",
}
_PATTERNS = {form: re.compile(pattern, re.DOTALL) for form, pattern in _FORMS.items()}


class Sign(IntEnum):
    """How much the beginning says, the more the greater."""

    NOTHING = 0
    NO_NOISE = 1
    FORM = 2
    STRUCTURE = 3


@dataclass(frozen=True)
class Kind:
    """`content` is gzip, tar or single; `form` is the file format of a single file where it is known."""

    sign: Sign
    content: str
    form: str | None = None


def judge(plain: bytes) -> Kind:
    """What a plaintext is that begins with `plain`: some kilobytes, or all of it without its padding."""
    if _GZIP.match(plain):
        return Kind(Sign.STRUCTURE, "gzip")
    if begins_tar(plain):
        return Kind(Sign.STRUCTURE, "tar")
    for form, pattern in _PATTERNS.items():
        if pattern.match(plain):
            return Kind(Sign.FORM, "single", form)
    if _is_text(plain):
        return Kind(Sign.FORM, "single", "text")
    return Kind(Sign.NOTHING if looks_like_noise(plain) else Sign.NO_NOISE, "single")


def begins_tar(plain: bytes) -> bool:
    """Whether a tar begins here, be it one with a damaged first header or one without members."""
    block = plain[:BLOCK]
    if len(block) < BLOCK:
        return False
    if block[_USTAR] == b"ustar" or plain[: 2 * BLOCK] == bytes(2 * BLOCK):
        return True
    try:
        tarfile.TarInfo.frombuf(block, "latin-1", "strict")
    except tarfile.HeaderError:
        return False
    return True


def looks_like_noise(plain: bytes) -> bool:
    """Whether the bytes are spread as evenly as a cipher spreads them, or too few to tell."""
    if len(plain) < _LEAST_COUNTED:
        return True
    expected = len(plain) / 256
    return sum((plain.count(value) - expected) ** 2 for value in range(256)) / expected < _NO_NOISE


def _is_text(plain: bytes) -> bool:
    if len(plain) < _LEAST_TEXT:
        return False
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(plain)
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\t\r\n\f" for character in text)

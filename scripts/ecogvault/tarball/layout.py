"""The plain tar stream of a unit: which bytes stand where, and which zstd frame holds them. Pure.

The stream is a pax tar (POSIX.1-2001, "pax Interchange Format") of regular files only: a folder has no content of its
own here, and tar makes the folders that a member's name asks for. Source of the frame rules: DESIGN, section 5.
"""

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ecogvault.errors import EcogvaultError

BLOCK = 512
TRAILER = b"\0" * (2 * BLOCK)
OWN_FRAME = 8 * 1024 * 1024
"""A member of this size or more begins a frame of its own; smaller ones share frames of up to this size."""

PIECE = 4 * 1024 * 1024
"""How much of a large member one frame holds: all buffers of a frame on its way fit in a processor's cache."""

HEADER_LIMIT = 64 * 1024
FRAME_LIMIT = OWN_FRAME + HEADER_LIMIT
"""No frame holds more plain bytes than this."""


class NameTooLong(EcogvaultError):
    """A path is longer than any file system takes."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the tar. `path` is without the unit's folder; `data` is set for what is not read from disk."""

    path: str
    size: int
    sha256: str
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes `start` to `start + length` of the member with this position in the list. An empty member has one, too."""

    member: int
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Frame:
    """What one zstd frame holds: `length` bytes of the tar from `plain` on, made of bytes and pieces of members."""

    plain: int
    length: int
    parts: tuple[bytes | Piece, ...]


def header(name: str, size: int, mtime: int, *, mode: int = 0o644) -> bytes:
    """The header blocks of a regular file; with pax records where a name or a size (8 GiB and more) needs them."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.mtime = mtime
    info.mode = mode
    blocks = info.tobuf(tarfile.PAX_FORMAT, encoding="utf-8", errors="strict")
    if len(blocks) > HEADER_LIMIT - len(TRAILER) - BLOCK:
        raise NameTooLong(f"a path of {len(name)} characters cannot be sealed: shorten {name[:60]}...")
    return blocks


def padding(size: int) -> bytes:
    """The zeros that fill a member's last block."""
    return b"\0" * (-size % BLOCK)


def frames_of(unit: str, members: Sequence[Member], mtime: int) -> Iterator[Frame]:
    """All frames of the tar stream, in order. Every byte of the stream is in exactly one."""
    plain = 0
    parts: list[bytes | Piece] = []
    length = 0

    def cut() -> Frame:
        nonlocal plain, parts, length
        frame = Frame(plain, length, tuple(parts))
        plain += length
        parts, length = [], 0
        return frame

    def add(part: bytes | Piece) -> None:
        nonlocal length
        parts.append(part)
        length += part.length if isinstance(part, Piece) else len(part)

    for position, member in enumerate(members):
        blocks = header(f"{unit}/{member.path}", member.size, mtime)
        fill = padding(member.size)
        large = member.size >= OWN_FRAME
        # Room for the end of the tar is always left, so that it never needs a frame of its own.
        # Manifest and instructions have a frame to themselves: reading them fetches no recordings.
        texts_end = position > 0 and members[position - 1].data is not None and member.data is None
        if parts and (large or texts_end or length + len(blocks) + member.size + len(fill) > OWN_FRAME - len(TRAILER)):
            yield cut()
        add(blocks)
        if large:
            for start in range(0, member.size, PIECE):
                if start:
                    yield cut()
                add(Piece(position, start, min(PIECE, member.size - start)))
        else:
            add(Piece(position, 0, member.size))
        add(fill)
        if large and position + 1 < len(members):
            yield cut()
    add(TRAILER)
    yield cut()

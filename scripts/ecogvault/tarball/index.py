"""The index of a sealed tarball: where each member stands, so that one can be read without the rest.

One JSON object in canonical form with its `self_sha256`, then a newline; the same bytes stand in the tarball's last
frame and in `{unit}.index.json`:

    schema    "ecogvault-index 1"
    unit      the unit, which is also the folder that all members are in
    plain     size of the tar in bytes
    packed    size of all zstd frames before the index frame
    members   in the tar's order: path (without the unit's folder), size, sha256, offset (of its first byte in the tar),
              frames: [plain offset, offset, length] of each zstd frame that holds some of it (an empty member: its
              header); offset and length count bytes of the compressed stream
"""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecogvault.age import ReadAt
from ecogvault.errors import Damaged
from ecogvault.manifest import is_safe
from ecogvault.records import canonical, check_digest, with_digest
from ecogvault.tarball.frames import INDEX_MARK, INDEX_TAIL, SKIPPABLE, SKIPPABLE_HEADER

SCHEMA = "ecogvault-index 1"
FRAME_MAXIMUM = 64 * 1024 * 1024


class NoIndex(Damaged):
    """The content ends without an index: it is not a sealed tarball of ours, or not all of one."""


@dataclass(frozen=True, slots=True)
class IndexedFrame:
    """One zstd frame: where its content begins in the tar, and where it stands in the compressed stream."""

    plain: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class IndexedMember:
    """One file: `offset` is that of its first byte in the tar, `frames` are all that hold some of it."""

    path: str
    size: int
    sha256: str
    offset: int
    frames: tuple[IndexedFrame, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """All members in the tar's order; `plain` and `packed` are the sizes of the tar and of its frames."""

    unit: str
    plain: int
    packed: int
    members: tuple[IndexedMember, ...]

    def to_bytes(self) -> bytes:
        """The index as it is stored."""
        members = [
            {
                "path": member.path,
                "size": member.size,
                "sha256": member.sha256,
                "offset": member.offset,
                "frames": [[frame.plain, frame.offset, frame.length] for frame in member.frames],
            }
            for member in self.members
        ]
        record = {"schema": SCHEMA, "unit": self.unit, "plain": self.plain, "packed": self.packed, "members": members}
        return canonical(with_digest(record)) + b"\n"

    def frames(self) -> list[tuple[IndexedFrame, int]]:
        """Every frame once, in order, with the size of its content."""
        unique = sorted({frame for member in self.members for frame in member.frames}, key=lambda frame: frame.plain)
        ends = [*(frame.plain for frame in unique[1:]), self.plain]
        return [(frame, end - frame.plain) for frame, end in zip(unique, ends, strict=True)]


def parse_index(data: bytes, *, what: str) -> Index:
    """An index from its bytes. Raises Damaged unless it is exactly what Index.to_bytes writes and makes sense."""
    try:
        record = check_digest(json.loads(data), what=what)
        if canonical(record) + b"\n" != data or record.get("schema") != SCHEMA:
            raise Damaged(f"{what} is not an index of schema '{SCHEMA}'")
        index = Index(record["unit"], record["plain"], record["packed"], tuple(map(_member, record["members"])))
        sound = _is_sound(index)
    except (ValueError, KeyError, TypeError):
        raise Damaged(f"{what} is not a readable index") from None
    if not sound:
        raise Damaged(f"{what} contradicts itself")
    return index


def read_index_file(path: Path) -> Index:
    """The index in `{unit}.index.json`. Raises Damaged, and OSError as it comes."""
    return parse_index(path.read_bytes(), what=str(path))


def index_of(content: ReadAt, *, what: str) -> Index:
    """The index at the end of the decrypted content of a sealed tarball. Raises NoIndex, Damaged, and age's errors."""
    tail = bytes(content.read_at(max(0, content.size - INDEX_TAIL), INDEX_TAIL))
    if len(tail) != INDEX_TAIL or not tail.endswith(INDEX_MARK):
        raise NoIndex(f"{what} does not end with the index of a sealed tarball")
    length: int = struct.unpack("<Q", tail[:8])[0]
    start = content.size - length - SKIPPABLE_HEADER
    if start < 0 or length < INDEX_TAIL:
        raise Damaged(f"{what}: the length of the index is impossible")
    frame = bytes(content.read_at(start, length + SKIPPABLE_HEADER))
    if frame[:SKIPPABLE_HEADER] != struct.pack("<II", SKIPPABLE, length):
        raise Damaged(f"{what}: the index does not stand in a frame of its own")
    index = parse_index(frame[SKIPPABLE_HEADER:-INDEX_TAIL], what=f"{what}: the index")
    if index.packed != start:
        raise Damaged(f"{what}: the index is not that of these frames")
    return index


def _member(record: dict[str, Any]) -> IndexedMember:
    frames = tuple(IndexedFrame(*frame) for frame in record["frames"])
    return IndexedMember(record["path"], record["size"], record["sha256"], record["offset"], frames)


def _is_sound(index: Index) -> bool:
    if not is_safe(index.unit) or "/" in index.unit:
        return False
    plain = packed = 0
    frames = index.frames()
    for frame, size in frames:
        if frame.offset != packed or not 0 < size <= FRAME_MAXIMUM or frame.length <= 0 or frame.plain < plain:
            return False
        packed += frame.length
        plain = frame.plain + size
    if not frames or frames[0][0].plain != 0 or (plain, packed) != (index.plain, index.packed):
        return False
    sizes = {frame.plain: size for frame, size in frames}
    if len({member.path for member in index.members}) != len(index.members):
        return False
    return all(_stands(member, sizes) for member in index.members)


def _stands(member: IndexedMember, sizes: dict[int, int]) -> bool:
    if not member.frames or not is_safe(member.path) or member.size < 0:
        return False
    follows = all(
        before.plain + sizes[before.plain] == after.plain
        for before, after in zip(member.frames, member.frames[1:], strict=False)
    )
    last = member.frames[-1]
    end = last.plain + sizes[last.plain]
    return follows and member.frames[0].plain <= member.offset and member.offset + member.size <= end

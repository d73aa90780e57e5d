"""Where members should stand in a sealed tarball, by an index that was kept apart from it: no byte of it is read."""

from collections.abc import Sequence

from ecogvault.age.chunks import CHUNK, TAG, chunk_count
from ecogvault.tarball.frames import INDEX_TAIL, SKIPPABLE_HEADER
from ecogvault.tarball.index import Index
from ecogvault.tarball.open import chosen_members
from ecogvault.tarball.seal import MANIFEST_NAME

_HEADER_MOST = 64 * 1024  # of age's header and nonce; a post-quantum recipient takes about 1.6 KiB


def expected_ranges(index: Index, sealed: int, members: Sequence[str]) -> list[tuple[int, int]]:
    """[first, end) of header, index, manifest and `members` in a sealed file of `sealed` bytes, as far as can be known.

    Nothing where the index cannot be that of a file of this size. Pure. Raises NoSuchMember.
    Format: C2SP age.md v1, "Payload": header, nonce of 16 bytes, chunks of 64 KiB with a tag of 16 bytes each.
    """
    plain = index.packed + SKIPPABLE_HEADER + len(index.to_bytes()) + INDEX_TAIL
    start = sealed - plain - chunk_count(plain) * TAG
    if not 0 < start <= _HEADER_MOST:
        return []

    def chunks(first: int, end: int) -> tuple[int, int]:
        step = CHUNK + TAG
        return start + first // CHUNK * step, min(start + -(-end // CHUNK) * step, sealed)

    chosen = {MANIFEST_NAME, *(member.path for member in chosen_members(index, members))}
    frames = {frame for member in index.members if member.path in chosen for frame in member.frames}
    found = [chunks(frame.offset, frame.offset + frame.length) for frame in sorted(frames, key=lambda one: one.offset)]
    return [(0, start), *found, chunks(index.packed, plain)]

"""The tar stream and where its frames are cut, without a byte of data: sizes beyond 8 GiB and 100,000 members too."""

import io
import subprocess
import tarfile
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecogvault.tarball.layout import FRAME_LIMIT, OWN_FRAME, PIECE, Member, NameTooLong, Piece, frames_of, header

UNIT = "df5c5206_3_vid"
GIB = 1024**3


def members(*sizes: int) -> list[Member]:
    return [Member("MANIFEST.tsv", 9, "", b"manifest\n"), *(Member(f"vid/{n:06}", s, "") for n, s in enumerate(sizes))]


@pytest.mark.parametrize("size", [0, 1, 8 * GIB - 1, 8 * GIB, 50 * GIB, 9000 * GIB])
def test_a_header_says_the_size_also_beyond_what_ustar_can(size: int) -> None:
    blocks = header(f"{UNIT}/vid/a.avi", size, 0)
    assert (b" size=%d\n" % size in blocks) == (size >= 8 * GIB)
    with tarfile.open(fileobj=io.BytesIO(blocks), mode="r|") as python:
        assert next(iter(python)).size == size
    # GNU tar lists what the header says before it misses the content.
    gnu = subprocess.run(["tar", "tvf", "-", "--numeric-owner"], input=blocks, capture_output=True)
    assert gnu.stdout.split()[2:][:1] == [b"%d" % size]


def test_a_header_has_nobody_s_name_and_the_given_time() -> None:
    info = tarfile.TarInfo.frombuf(header("a", 5, 1_700_000_000), "ascii", "strict")
    assert (info.uid, info.gid, info.uname, info.gname, info.mode) == (0, 0, "", "", 0o644)
    assert (info.mtime, info.type) == (1_700_000_000, tarfile.REGTYPE)


def test_a_path_beyond_all_reason_is_refused() -> None:
    assert len(header("a/" * 2000 + "b", 1, 0)) % 512 == 0
    with pytest.raises(NameTooLong):
        header("a" * 70_000, 1, 0)


@given(st.lists(st.one_of(st.integers(0, 100_000), st.integers(0, 3 * OWN_FRAME)), max_size=30))
def test_frames_cover_the_tar_and_keep_their_limits(sizes: list[int]) -> None:
    listed = members(*sizes)
    frames = list(frames_of(UNIT, listed, 0))
    assert frames[0].plain == 0
    assert all(before.plain + before.length == after.plain for before, after in pairwise(frames))
    assert (frames[-1].plain + frames[-1].length) % 512 == 0
    read = [0] * len(listed)
    for frame in frames:
        assert 0 < frame.length <= FRAME_LIMIT
        pieces = [part for part in frame.parts if isinstance(part, Piece)]
        parts = [part.length if isinstance(part, Piece) else len(part) for part in frame.parts]
        assert sum(parts) == frame.length
        large = [piece for piece in pieces if listed[piece.member].size >= OWN_FRAME]
        assert not large or len(pieces) == 1
        assert large or frame.length <= OWN_FRAME or len(pieces) == 1
        for piece in pieces:
            assert piece.start == read[piece.member]
            read[piece.member] += piece.length
    assert read == [member.size for member in listed]


def test_small_members_share_frames() -> None:
    frames = list(frames_of(UNIT, members(*[100_000] * 200), 0))
    assert len(frames) == 4


def test_a_hundred_thousand_members_and_one_of_ten_gib_are_laid_out() -> None:
    frames = list(frames_of(UNIT, members(10 * GIB, *[10] * 100_000), 0))
    assert sum(isinstance(part, Piece) for frame in frames for part in frame.parts) == 100_001 + 10 * GIB // PIECE
    assert max(frame.length for frame in frames) <= FRAME_LIMIT


def test_the_manifest_shares_its_frame_with_no_recording() -> None:
    first, second = list(frames_of(UNIT, members(5, 5), 0))
    assert [part.member for part in first.parts if isinstance(part, Piece)] == [0]
    assert [part.member for part in second.parts if isinstance(part, Piece)] == [1, 2]

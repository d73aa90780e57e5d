"""zstd frames: noise is stored where it was read to, all else is packed, and any zstd reads both."""

import os
import random
import subprocess

import pytest

from ecogvault.tarball.frames import bound, compress_into, decompress_into, is_noise, raw_places, stored

MIB = 1024 * 1024
BLOCK = 128 * 1024
SIZES = [1, 65536, 65537, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 4 * MIB - 512, 4 * MIB, 8 * MIB + 3]


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def text(size: int) -> bytes:
    return (b"a line of the same text\n" * (size // 24 + 1))[:size]


def frame_of(content: bytes) -> bytes:
    packed = memoryview(bytearray(bound(len(content))))
    return bytes(packed[: compress_into(memoryview(bytearray(content)), packed)])


def placed_frame_of(content: bytes) -> bytes:
    """The same made of content that was read to where a stored frame has it."""
    packed = memoryview(bytearray(bound(len(content))))
    start = 0
    for place in raw_places(packed, len(content)):
        place[:] = content[start : start + len(place)]
        start += len(place)
    assert start == len(content)
    room = memoryview(bytearray(len(content)))
    return bytes(packed[: compress_into(room, packed, placed=len(content))])


def unpacked(frame: bytes, size: int) -> bytes:
    target = memoryview(bytearray(size))
    assert decompress_into(memoryview(frame), target) == size
    return bytes(target)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", [noise, text])
def test_a_frame_is_the_same_wherever_its_content_was_read_to(make, size: int) -> None:
    content = make(size)
    frame = frame_of(content)
    assert placed_frame_of(content) == frame
    assert unpacked(frame, size) == content
    assert len(frame) <= bound(size)
    blocks = stored(memoryview(frame), size)
    assert (blocks is not None) == (make is noise and size > 65536)
    if blocks is not None:
        assert b"".join(blocks) == content
        assert {len(block) for block in blocks[:-1]} <= {BLOCK}


def test_zstd_itself_reads_stored_and_packed_frames_in_a_row() -> None:
    contents = [make(size) for size in (65537, 3 * BLOCK + 5, 5 * MIB) for make in (noise, text)]
    stream = b"".join(map(frame_of, contents))
    done = subprocess.run(["zstd", "-d", "-q"], input=stream, capture_output=True, check=True)
    assert done.stdout == b"".join(contents)


@pytest.mark.parametrize("size", [65537, 2 * BLOCK + 9])
def test_a_changed_bit_in_any_header_of_a_stored_frame_is_noticed(size: int) -> None:
    frame = bytearray(frame_of(noise(size)))
    blocks = range(9, len(frame), BLOCK + 3)
    # Magic, descriptor and size; and the header of each block. What is inside blocks is for SHA-256 to find.
    for position in [*range(9), *(start + byte for start in blocks for byte in range(3))]:
        for bit in range(8):
            frame[position] ^= 1 << bit
            assert stored(memoryview(frame), size) is None
            frame[position] ^= 1 << bit
    assert stored(memoryview(frame), size) is not None


@pytest.mark.parametrize("size", [65536, 65538, 3 * BLOCK])
def test_a_frame_that_holds_another_size_is_not_taken_for_stored(size: int) -> None:
    frame = memoryview(frame_of(noise(65537)))
    assert stored(frame, size) is None
    assert stored(frame[:-1], 65537) is None


@pytest.mark.parametrize("size", [100_000, 1_000_000, 4 * MIB])
def test_noise_is_told_from_what_compresses(size: int) -> None:
    def blocks(content: bytes) -> list[memoryview]:
        return [memoryview(content)[start : start + BLOCK] for start in range(0, len(content), BLOCK)]

    assert is_noise(blocks(os.urandom(size)))
    assert not is_noise(blocks(text(size)))
    assert not is_noise(blocks(os.urandom(size // 2) + bytes(size // 2)))
    assert not is_noise(blocks(os.urandom(1000)))


def test_a_frame_without_content_is_refused() -> None:
    with pytest.raises(ValueError, match="content"):
        frame_of(b"")

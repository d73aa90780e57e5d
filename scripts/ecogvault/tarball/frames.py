"""zstd frames: made into buffers that are used again, and the skippable frame that holds the index.

What does not compress is stored: a frame of raw blocks alone. Where such a frame is expected, its content is read to
where it will stand, between the blocks' headers, and is not copied at all.

Source: RFC 8878, "Zstandard Frames" (3.1.1), "Blocks" (3.1.1.2) and "Skippable Frames" (3.1.2).
"""

import struct
import threading
from collections.abc import Sequence

import zstandard

from ecogvault.errors import Damaged

LEVEL = 1
MAGIC = b"\x28\xb5\x2f\xfd"
SKIPPABLE = 0x184D2A5E  # one of the sixteen magic numbers 0x184D2A50 to 0x184D2A5F
SKIPPABLE_HEADER = 8
INDEX_MARK = b"EGVI"
INDEX_TAIL = 12

# A frame with its content's size in four bytes, in a single segment (3.1.1.1.1): the window is the content.
_RAW_DESCRIPTOR = b"\xa0"
_RAW_HEADER = len(MAGIC) + len(_RAW_DESCRIPTOR) + 4
_BLOCK = 128 * 1024
_BLOCK_HEADER = 3

_SAMPLES = 4
_SAMPLE = 16 * 1024
_WORTH = 0.97  # a sample that shrinks by less than this is noise
_SMALL = 64 * 1024
_local = threading.local()


def bound(size: int) -> int:
    """Room that a frame of `size` plain bytes needs at most (zstd.h, ZSTD_COMPRESSBOUND, plus a header)."""
    return size + (size >> 8) + 1024


def raw_places(packed: memoryview, size: int) -> list[memoryview]:
    """Where the content of a stored frame stands that is made in `packed`, block after block, `size` bytes in all."""
    starts = range(0, size, _BLOCK)
    step = _BLOCK + _BLOCK_HEADER
    first = _RAW_HEADER + _BLOCK_HEADER
    return [packed[first + n * step :][: min(_BLOCK, size - start)] for n, start in enumerate(starts)]


def is_noise(blocks: Sequence[memoryview]) -> bool:
    """Whether samples of a content, given in blocks, do not compress. Video, encrypted files and archives do not."""
    if sum(map(len, blocks)) <= _SMALL:
        return False
    chosen = [blocks[round(i * (len(blocks) - 1) / (_SAMPLES - 1))] for i in range(_SAMPLES)]
    if len(blocks) == 1:
        step = (len(blocks[0]) - _SAMPLE) // (_SAMPLES - 1)
        chosen = [blocks[0][i * step :] for i in range(_SAMPLES)]
    samples = [block[:_SAMPLE] for block in chosen]
    packed = sum(len(_compressor().compress(sample)) for sample in samples)
    return packed > _WORTH * sum(map(len, samples))


def compress_into(plain: memoryview, packed: memoryview, *, placed: int | None = None) -> int:
    """Write one frame into `packed`, of at least bound(size) bytes. Returns its length.

    Its content is all of `plain`; or, with `placed`, that many bytes that stand in raw_places of `packed`: `plain`, of
    at least this size, is then room to work in. The frame depends only on the content and the version of zstd.
    """
    size = len(plain) if placed is None else placed
    if not size:  # the compressor would wait for a first byte for ever
        raise ValueError("a frame needs content")
    blocks = [plain[start : start + _BLOCK] for start in range(0, size, _BLOCK)]
    places = raw_places(packed, size)
    if is_noise(blocks if placed is None else places):
        if placed is None:
            _copy(blocks, places)
        return _frame_around(places, packed)
    if placed is not None:
        _copy(places, blocks)
    reader = _compressor().stream_reader(plain[:size], size=size)
    done = 0
    while count := reader.readinto(packed[done:]):
        done += count
    return done


def _frame_around(places: Sequence[memoryview], packed: memoryview) -> int:
    size = sum(map(len, places))
    packed[:_RAW_HEADER] = MAGIC + _RAW_DESCRIPTOR + struct.pack("<I", size)
    end = _RAW_HEADER
    for number, place in enumerate(places):
        last = number + 1 == len(places)
        packed[end : end + _BLOCK_HEADER] = (len(place) << 3 | last).to_bytes(_BLOCK_HEADER, "little")
        end += _BLOCK_HEADER + len(place)
    return end


def _copy(sources: Sequence[memoryview], targets: Sequence[memoryview]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target[: len(source)] = source


def stored(frame: memoryview, size: int) -> list[memoryview] | None:
    """The blocks of a frame that compress_into stored, without a copy; None when `frame` is of another form.

    Then decompress_into reads it, or says what is wrong with it.
    """
    if size <= _SMALL or len(frame) != _RAW_HEADER + size + _BLOCK_HEADER * -(-size // _BLOCK):
        return None
    if frame[:_RAW_HEADER] != MAGIC + _RAW_DESCRIPTOR + struct.pack("<I", size):
        return None
    places = raw_places(frame, size)
    for number, place in enumerate(places):
        at = _RAW_HEADER + number * (_BLOCK + _BLOCK_HEADER)
        last = number + 1 == len(places)
        if frame[at : at + _BLOCK_HEADER] != (len(place) << 3 | last).to_bytes(_BLOCK_HEADER, "little"):
            return None
    return places


def decompress_into(frame: memoryview, target: memoryview) -> int:
    """Unpack one whole frame into `target`; returns how many bytes it held.

    Raises Damaged when `frame` is not one whole frame, or holds more than `target` takes.
    """
    # A frame that says how much it holds is checked before its content is made.
    decompressor = _decompressor()
    try:
        declared = zstandard.frame_content_size(frame)
        if declared > len(target):
            raise Damaged("it holds more than its index says")
        reader = decompressor.stream_reader(frame)
        done = 0
        while count := reader.readinto(target[done:]):
            done += count
        if done == len(target) and reader.read(1):
            raise Damaged("it holds more than its index says")
    except zstandard.ZstdError:
        raise Damaged("it is not a zstd frame") from None
    if declared not in (-1, done):
        raise Damaged("it holds less than it says")
    return done


def skippable(payload: bytes) -> bytes:
    """The index frame around `payload`: magic, length, payload, and, as its last 12 bytes, that length and EGVI.

    The length, here and in the tail, is that of the frame's content: `payload` and the tail.
    """
    length = len(payload) + INDEX_TAIL
    return struct.pack("<II", SKIPPABLE, length) + payload + struct.pack("<Q", length) + INDEX_MARK


def _compressor() -> zstandard.ZstdCompressor:
    # One per thread: a compressor's memory is used again, and must not be shared.
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=False, write_content_size=True)
    compressor: zstandard.ZstdCompressor = _local.compressor
    return compressor


def _decompressor() -> zstandard.ZstdDecompressor:
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    decompressor: zstandard.ZstdDecompressor = _local.decompressor
    return decompressor

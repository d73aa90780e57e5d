"""zstd frames: made into buffers that are used again, and the skippable frame that holds the index.

Source: RFC 8878, "Zstandard Frames" (3.1.1) and "Skippable Frames" (3.1.2).
"""

import struct
import threading

import zstandard

from ecogvault.errors import Damaged

LEVEL = 1
STORE = -131072  # the fastest level there is: bytes that do not repeat become raw blocks at the speed of a copy
SKIPPABLE = 0x184D2A5E  # one of the sixteen magic numbers 0x184D2A50 to 0x184D2A5F
SKIPPABLE_HEADER = 8
INDEX_MARK = b"EGVI"
INDEX_TAIL = 12

_SAMPLES = 4
_SAMPLE = 16 * 1024
_WORTH = 0.97  # a sample that shrinks by less than this is noise
_SMALL = 64 * 1024
_local = threading.local()


def bound(size: int) -> int:
    """Room that a frame of `size` plain bytes needs at most (zstd.h, ZSTD_COMPRESSBOUND, plus a header)."""
    return size + (size >> 8) + 1024


def is_noise(view: memoryview) -> bool:
    """Whether samples of `view` do not compress. Video, encrypted files and archives do not."""
    if len(view) <= _SMALL:
        return False
    step = (len(view) - _SAMPLE) // (_SAMPLES - 1)
    packed = sum(len(_compressor(LEVEL).compress(view[i * step : i * step + _SAMPLE])) for i in range(_SAMPLES))
    return packed > _WORTH * _SAMPLES * _SAMPLE


def compress_into(view: memoryview, target: memoryview) -> int:
    """Write one frame that holds `view` into `target`, of at least bound(len(view)) bytes. Returns its length.

    The bytes depend only on `view` and the version of zstd.
    """
    compressor = _compressor(STORE if is_noise(view) else LEVEL)
    reader = compressor.stream_reader(view, size=len(view))
    done = 0
    while count := reader.readinto(target[done:]):
        done += count
    return done


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


def _compressor(level: int) -> zstandard.ZstdCompressor:
    # One per thread: a compressor's memory is used again, and must not be shared.
    known: dict[int, zstandard.ZstdCompressor] = _local.__dict__.setdefault("compressors", {})
    if level not in known:
        known[level] = zstandard.ZstdCompressor(level=level, write_checksum=False, write_content_size=True)
    return known[level]


def _decompressor() -> zstandard.ZstdDecompressor:
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    decompressor: zstandard.ZstdDecompressor = _local.decompressor
    return decompressor

"""A small AVI file with one uncompressed video stream, playable by any player.

Format: Microsoft, "AVI RIFF File Reference" (AVIMAINHEADER, AVISTREAMHEADER, BITMAPINFOHEADER, `idx1`); RIFF chunks
are padded to an even size, a DIB's rows to four bytes and stored bottom up.
"""

import random
import struct

WIDTH = 64
HEIGHT = 48
FRAME_BYTES = WIDTH * HEIGHT * 3

_HAS_INDEX = 0x10
_KEY_FRAME = 0x10


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _list(kind: bytes, data: bytes) -> bytes:
    return _chunk(b"LIST", kind + data)


def _frame(number: int, background: bytes) -> bytes:
    """A grey noise picture with a white bar that moves one step per frame."""
    rows = []
    bar = (number * 5) % (WIDTH - 4)
    for row in range(HEIGHT):
        grey = background[row * WIDTH : (row + 1) * WIDTH]
        line = bytearray(value for value in grey for _ in range(3))
        line[bar * 3 : (bar + 4) * 3] = b"\xff" * 12
        rows.append(bytes(line))
    return b"".join(rows)


def avi_bytes(generator: random.Random, *, frames: int = 10, frames_per_second: int = 5) -> bytes:
    """A whole AVI file of `frames` pictures of 64 x 48 pixels, 24 bits each: about 9.3 kB a frame."""
    background = generator.randbytes(WIDTH * HEIGHT)
    main = struct.pack(
        "<14I",
        1_000_000 // frames_per_second,  # microseconds per frame
        FRAME_BYTES * frames_per_second,
        0,
        _HAS_INDEX,
        frames,
        0,
        1,  # streams
        FRAME_BYTES,
        WIDTH,
        HEIGHT,
        *(0, 0, 0, 0),
    )
    stream = struct.pack(
        "<4s4sIHHIIIIIIII4H",
        b"vids",
        b"DIB ",
        *(0, 0, 0, 0),
        1,  # scale: frames per second is rate / scale
        frames_per_second,
        0,
        frames,
        FRAME_BYTES,
        0xFFFFFFFF,  # quality: the driver's default
        0,
        *(0, 0, WIDTH, HEIGHT),
    )
    picture = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, 24, 0, FRAME_BYTES, 0, 0, 0, 0)
    headers = _list(b"hdrl", _chunk(b"avih", main) + _list(b"strl", _chunk(b"strh", stream) + _chunk(b"strf", picture)))
    pictures = [_chunk(b"00db", _frame(number, background)) for number in range(frames)]
    # An index entry's offset counts from the list's kind, `movi`, to the chunk's name.
    offsets = [4 + number * len(pictures[0]) for number in range(frames)]
    index = b"".join(struct.pack("<4sIII", b"00db", _KEY_FRAME, offset, FRAME_BYTES) for offset in offsets)
    return _chunk(b"RIFF", b"AVI " + headers + _list(b"movi", b"".join(pictures)) + _chunk(b"idx1", index))

"""Compound files (.doc, .epo) made byte by byte, with streams that lie scattered, as in files that were edited often.

Format: Microsoft, MS-CFB: 512-byte sectors; a header, a table of sectors (FAT), a directory of 128-byte entries, and
streams of 4096 bytes or more as chains of sectors.
"""

import struct
from collections.abc import Mapping

SECTOR = 512
SMALLEST = 4096
_FREE, _END, _FAT, _NONE = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD, 0xFFFFFFFF


def _entry(name: str, kind: int, *, child: int = _NONE, right: int = _NONE, start: int = _END, size: int = 0) -> bytes:
    encoded = (name + "\0").encode("utf-16-le")
    return encoded.ljust(64, b"\0") + struct.pack(
        "<HBBIII16sIQQIQ", len(encoded), kind, 1, _NONE, right, child, b"", 0, 0, 0, start, size
    )


def compound(streams: Mapping[str, bytes]) -> bytes:
    """A compound file with these streams; each sector lies before the one that comes before it in its stream."""
    padded = {name: data.ljust(SMALLEST, b"\0") for name, data in streams.items()}
    pieces = [
        (name, number, data[at : at + SECTOR].ljust(SECTOR, b"\0"))
        for name, data in padded.items()
        for number, at in enumerate(range(0, len(data), SECTOR))
    ]
    directory_sectors = (len(streams) + 1 + 3) // 4
    fat_sectors = 1
    while fat_sectors * 128 < fat_sectors + directory_sectors + len(pieces):
        fat_sectors += 1
    first = fat_sectors + directory_sectors
    placed = {(name, number): first + at for at, (name, number, _) in enumerate(reversed(pieces))}
    fat = [_FAT] * fat_sectors + [*range(fat_sectors + 1, first), _END]
    fat += [placed.get((name, number + 1), _END) for name, number, _ in reversed(pieces)]
    fat += [_FREE] * (fat_sectors * 128 - len(fat))
    names = sorted(padded, key=lambda name: (len(name), name.upper()))
    entries = [_entry("Root Entry", 5, child=1)]
    for number, name in enumerate(names, start=2):
        right = number if number <= len(names) else _NONE
        entries.append(_entry(name, 2, right=right, start=placed[name, 0], size=len(padded[name])))
    directory = b"".join(entries).ljust(directory_sectors * SECTOR, b"\0")
    header = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16) + struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<IIIIIIIII", 0, fat_sectors, fat_sectors, 0, SMALLEST, _END, 0, _END, 0)
    header += struct.pack("<109I", *range(fat_sectors), *[_FREE] * (109 - fat_sectors))
    sectors = b"".join(data for _, _, data in reversed(pieces))
    return header + struct.pack(f"<{len(fat)}I", *fat) + directory + sectors

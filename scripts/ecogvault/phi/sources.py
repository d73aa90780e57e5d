"""What is scanned: an open file, or bytes. Both are read at offsets, so that one scan can look at several places."""

import io
import os
from dataclasses import dataclass
from typing import Any, Protocol


class Source(Protocol):
    """Bytes of a known size."""

    size: int

    def into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset` on, as far as there is something; returns the number of bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on, fewer at the end."""


@dataclass
class OpenFile:
    """A file that somebody holds open. OSError as it comes."""

    descriptor: int
    size: int = 0

    def __post_init__(self) -> None:
        """Take the size that the file has now."""
        self.size = os.fstat(self.descriptor).st_size

    def into(self, buffer: memoryview, offset: int) -> int:
        """As Source says. A file that became shorter gives fewer bytes than asked for."""
        done = 0
        while done < len(buffer) and (count := os.preadv(self.descriptor, [buffer[done:]], offset + done)):
            done += count
        return done

    def read(self, offset: int, length: int) -> bytes:
        """As Source says."""
        return os.pread(self.descriptor, length, offset)


class Bytes:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data = data

    def into(self, buffer: memoryview, offset: int) -> int:
        """As Source says."""
        piece = self._data[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)

    def read(self, offset: int, length: int) -> bytes:
        """As Source says."""
        return self._data[offset : offset + length]


class Stream(io.RawIOBase):
    """A Source as a binary stream for parsers that seek: olefile, zipfile. Reads are never short before the end."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As io.IOBase has it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._source.size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """As io.RawIOBase has it."""
        count = self._source.into(memoryview(buffer).cast("B"), self._at)
        self._at += count
        return count

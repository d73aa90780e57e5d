"""Content to send, for tests: every mebibyte differs, and reading can be made to fail."""

import os
import signal
from collections.abc import Callable

from ecogvault.digests import TreeHash
from ecogvault.stores.pieces import MIB

META = {"ecogvault-unit": "df5c5206_3_vid", "ecogvault-generation": "1", "ecogvault-path-sha256": "ab" * 32}


def pattern(size: int, seed: int = 0) -> bytes:
    """`size` bytes, not compressible into one repeated leaf."""
    block = bytes(range(256)) * (MIB // 256)
    parts = [(seed * 1_000_003 + leaf).to_bytes(8, "big") + block[8:] for leaf in range(-(-size // MIB))]
    return b"".join(parts)[:size]


def tree(data: bytes) -> str:
    """The tree hash in hex, made sequentially."""
    digest = TreeHash()
    digest.update(data)
    return digest.hexdigest()


class Recorded:
    """A source that counts what is read of it, and calls `at` before each read."""

    def __init__(self, data: bytes, at: Callable[[int], None] | None = None) -> None:
        self.data = data
        self.reads: list[tuple[int, int]] = []
        self._at = at

    @property
    def size(self) -> int:
        return len(self.data)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        if self._at:
            self._at(offset)
        self.reads.append((offset, len(buffer)))
        buffer[:] = self.data[offset : offset + len(buffer)]


def killing(after: int) -> Callable[[int], None]:
    """Ends this process, as a power cut would, at the first read at or behind `after`."""

    def at(offset: int) -> None:
        if offset >= after:
            os.kill(os.getpid(), signal.SIGKILL)

    return at

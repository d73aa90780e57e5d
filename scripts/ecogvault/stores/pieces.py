"""The SHA-256 tree hash of an object that is read in pieces, in any order and by several threads."""

import hashlib

from ecogvault.digests import LEAF, Buffer, tree_of_leaves

MIB = LEAF


class TreeOfPieces:
    """The tree hash (see ecogvault.digests) of `size` bytes. Takes 32 bytes of memory for each MiB."""

    def __init__(self, size: int) -> None:
        self.size = size
        count = -(-size // LEAF)
        self._leaves = bytearray(32 * count)
        self._missing = bytearray(b"\x01") * count

    def update_at(self, offset: int, data: Buffer) -> None:
        """Take the bytes at `offset`: whole leaves, save the last of the object. Raises ValueError for others."""
        view = memoryview(data)
        end = offset + len(view)
        if offset % LEAF or (end % LEAF and end != self.size) or end > self.size:
            raise ValueError("a piece must hold whole leaves of 1 MiB")
        for start in range(0, len(view), LEAF):
            leaf = (offset + start) // LEAF
            self._leaves[32 * leaf : 32 * leaf + 32] = hashlib.sha256(view[start : start + LEAF]).digest()
            self._missing[leaf] = 0

    def root_of(self, offset: int, length: int) -> str:
        """The tree hash in hex of `length` bytes at `offset`, whole leaves that were seen. Raises ValueError."""
        first, last = offset // LEAF, -(-(offset + length) // LEAF)
        if offset % LEAF or any(self._missing[first:last]):
            raise ValueError("not all leaves of this piece have been seen")
        return tree_of_leaves([bytes(self._leaves[32 * at : 32 * at + 32]) for at in range(first, last)]).hex()

    def hexdigest(self) -> str:
        """The tree hash in hex. Raises ValueError while a leaf is missing."""
        if any(self._missing):
            raise ValueError("not all leaves have been seen")
        return tree_of_leaves([bytes(self._leaves[at : at + 32]) for at in range(0, len(self._leaves), 32)]).hex()

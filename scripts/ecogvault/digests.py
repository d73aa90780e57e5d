"""Digests that are made while bytes pass: Glacier's SHA-256 tree hash and S3's CRC64NVME.

Both take any buffer without copying it. The tree hash is defined in the Amazon Glacier Developer Guide, "Computing
Checksums": SHA-256 of each 1 MiB leaf, then of each pair of neighbours, level by level; an odd one goes up as it is.
CRC64NVME is S3's full-object checksum, written as base64 of eight bytes, most significant first.
"""

import base64
import hashlib
from collections.abc import Sequence

LEAF = 1024 * 1024

Buffer = bytes | bytearray | memoryview


def tree_of_leaves(leaves: Sequence[bytes]) -> bytes:
    """The tree hash (32 bytes) over the SHA-256 digests of consecutive leaves; that of no leaves is SHA-256 of nothing.

    Digests of whole parts that are a power of two of MiB long may stand for their leaves: Glacier's part hashes do.
    """
    if not leaves:
        return hashlib.sha256().digest()
    level = list(leaves)
    while len(level) > 1:
        paired = [hashlib.sha256(level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return level[0]


class TreeHash:
    """An incremental SHA-256 tree hash. 32 bytes of memory for each MiB that has passed."""

    def __init__(self) -> None:
        self._leaves: list[bytes] = []
        self._leaf = hashlib.sha256()
        self._filled = 0

    def update(self, buffer: Buffer) -> None:
        """Take the next bytes."""
        view = memoryview(buffer)
        while view:
            piece = view[: LEAF - self._filled]
            self._leaf.update(piece)
            self._filled += len(piece)
            view = view[len(piece) :]
            if self._filled == LEAF:
                self._leaves.append(self._leaf.digest())
                self._leaf = hashlib.sha256()
                self._filled = 0

    @property
    def leaves(self) -> list[bytes]:
        """Digests of the leaves so far, the unfinished last one among them."""
        return [*self._leaves, self._leaf.digest()] if self._filled else list(self._leaves)

    @property
    def size(self) -> int:
        """Bytes taken so far."""
        return len(self._leaves) * LEAF + self._filled

    def digest(self) -> bytes:
        """The tree hash of all bytes so far, 32 bytes. More may follow."""
        return tree_of_leaves(self.leaves)

    def hexdigest(self) -> str:
        """The tree hash of all bytes so far, in hex. More may follow."""
        return self.digest().hex()


def tree_hash(data: bytes) -> str:
    """The tree hash of `data`, in hex."""
    tree = TreeHash()
    tree.update(data)
    return tree.hexdigest()


class Crc64Nvme:
    """An incremental CRC64NVME."""

    def __init__(self) -> None:
        # Loading it takes 50 ms, which commands that make no such checksum need not spend.
        from awscrt import checksums

        self._value = 0
        self._crc = checksums.crc64nvme

    def update(self, buffer: Buffer) -> None:
        """Take the next bytes."""
        self._value = self._crc(buffer, self._value)

    def digest(self) -> bytes:
        """The checksum of all bytes so far: eight bytes, most significant first."""
        return self._value.to_bytes(8, "big")

    def base64(self) -> str:
        """The checksum as S3's `x-amz-checksum-crc64nvme` has it."""
        return base64.b64encode(self.digest()).decode()

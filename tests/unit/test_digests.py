"""Glacier's tree hash and S3's CRC64NVME, incremental and without copies."""

import base64
import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecogvault.digests import LEAF, Crc64Nvme, TreeHash, tree_of_leaves

DATA = bytes(range(256)) * (4096 * 5) + b"tail"  # 5 MiB and 4 bytes


def recursive_tree_hash(data: bytes) -> bytes:
    """The definition, from the top: the left child is the largest power of two of leaves below the whole."""
    if len(data) <= LEAF:
        return hashlib.sha256(data).digest()
    left = LEAF
    while left * 2 < len(data):
        left *= 2
    return hashlib.sha256(recursive_tree_hash(data[:left]) + recursive_tree_hash(data[left:])).digest()


@pytest.mark.parametrize("size", [0, 1, LEAF - 1, LEAF, LEAF + 1, 2 * LEAF, 3 * LEAF, 4 * LEAF + 7, len(DATA)])
def test_the_tree_hash_is_the_one_of_the_definition(size: int) -> None:
    tree = TreeHash()
    tree.update(DATA[:size])
    assert tree.digest() == recursive_tree_hash(DATA[:size])
    assert tree.size == size


@given(st.lists(st.integers(0, len(DATA)), max_size=6))
def test_the_tree_hash_does_not_depend_on_how_the_bytes_arrive(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(DATA)]
    tree = TreeHash()
    for start, end in itertools.pairwise(edges):
        tree.update(memoryview(DATA)[start:end])
    assert tree.hexdigest() == recursive_tree_hash(DATA).hex()


def test_the_tree_of_nothing_is_the_digest_of_nothing() -> None:
    assert tree_of_leaves([]) == hashlib.sha256(b"").digest()


def test_a_digest_may_be_asked_for_on_the_way() -> None:
    tree = TreeHash()
    tree.update(DATA[:100])
    assert tree.digest() == recursive_tree_hash(DATA[:100])
    tree.update(DATA[100:])
    assert tree.digest() == recursive_tree_hash(DATA)


def test_crc64nvme_has_the_check_value_of_its_definition() -> None:
    # NVM Express NVM Command Set Specification, "64b CRC": check value of the nine digits.
    crc = Crc64Nvme()
    crc.update(b"123456789")
    assert crc.digest().hex() == "ae8b14860a799888"
    assert base64.b64decode(crc.base64()) == crc.digest()


@given(st.integers(0, len(DATA)))
def test_crc64nvme_does_not_depend_on_how_the_bytes_arrive(cut: int) -> None:
    whole, parts = Crc64Nvme(), Crc64Nvme()
    whole.update(DATA)
    parts.update(memoryview(DATA)[:cut])
    parts.update(bytearray(DATA[cut:]))
    assert parts.digest() == whole.digest()

"""Bytes in which nobody's name is: random ones, and samples as of a recording; and names to look for in them."""

import random
from collections.abc import Callable, Iterator

import numpy as np

from ecogvault.person import Person
from ecogvault.phi import Names, Region
from ecogvault.phi.scanner import ByteScanner
from ecogvault.phi.variants import LONG

BLOCK = 16 * 1024 * 1024


def surnames(count: int) -> list[Person]:
    """Invented surnames of 5 to 9 letters: syllables in a fixed random order."""
    chance = random.Random(5)
    names: set[str] = set()
    while len(names) < count:
        syllables = "".join(chance.choice("bcdfghjklmnprstvwz") + chance.choice("aeiou") for _ in range(5))
        names.add(syllables[: chance.randint(LONG, 9)].title())
    return [Person(name) for name in sorted(names)]


def random_bytes(size: int, seed: int) -> Iterator[bytes]:
    """Ciphertext, as far as a scanner can tell."""
    generator = np.random.default_rng(seed)
    for start in range(0, size, BLOCK):
        yield generator.bytes(min(BLOCK, size - start))


def recordings(size: int, seed: int) -> Iterator[bytes]:
    """16-bit samples, each block of another amplitude: drifting, quiet enough to be letters, with mains hum on them."""
    generator = np.random.default_rng(seed)
    for number, start in enumerate(range(0, size, BLOCK)):
        count = min(BLOCK, size - start) // 2
        steps = generator.standard_normal(count, dtype=np.float32) * (4, 12, 40, 200)[number % 4]
        drift = np.cumsum(steps[: count // 1024 * 1024].reshape(-1, 1024), axis=1)
        drift -= drift.mean(axis=1, keepdims=True)
        hum = (0, 60, 300)[number % 3] * np.sin(np.arange(1024, dtype=np.float32) * (2 * np.pi * 60 / 512))
        yield (drift + hum).round().clip(-32768, 32767).astype("<i2").tobytes()


def false_positives(names: Names, region: Region, blocks: Iterator[bytes]) -> tuple[int, int]:
    """(how many names are found, in how many bytes)."""
    found = size = 0
    with ByteScanner(names, region) as scanner:
        for block in blocks:
            found += len(scanner.feed(memoryview(block)))
            size += len(block)
        found += len(scanner.finish())
    return found, size


NOISES: dict[str, tuple[Region, Callable[[int, int], Iterator[bytes]]]] = {
    "random bytes as video or ciphertext": (Region.BINARY, random_bytes),
    "random bytes as samples": (Region.SAMPLES, random_bytes),
    "samples of a recording": (Region.SAMPLES, recordings),
}

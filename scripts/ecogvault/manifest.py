"""The manifest: path, size and SHA-256 of every file of a unit.

A manifest is a table (see records) named `manifest`, sorted by path; paths are relative to `results/{code}/`, use `/`,
and are printable ASCII. `manifest_sha256`, the digest of the manifest file itself, stands for the unit's whole content.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.files import replacing
from ecogvault.records import parse_table, table_bytes

COLUMNS = ("path", "size", "sha256")
_CHUNK = 1024 * 1024
_SIZE = re.compile("0|[1-9][0-9]{0,18}")
_SHA256 = re.compile("[0-9a-f]{64}")


class FileChanged(EcogvaultError):
    """A file is not, or no longer, what its manifest says."""


@dataclass(frozen=True, order=True)
class Entry:
    """One file: path below `results/{code}/`, size in bytes, SHA-256 in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The files of a unit, sorted by path."""

    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> "Manifest":
        """A manifest of `entries` in any order. Raises ValueError for a doubled or unsafe path."""
        ordered = tuple(sorted(entries))
        paths = [entry.path for entry in ordered]
        if len(set(paths)) != len(paths):
            raise ValueError("a path stands twice in a manifest")
        for path in paths:
            if not is_safe(path):
                raise ValueError("a path in a manifest is not a plain relative path in printable ASCII")
        return cls(ordered)

    @classmethod
    def read(cls, path: Path | str) -> "Manifest":
        """Read a manifest file. Raises Damaged, and OSError as it comes."""
        return cls.parse(Path(path).read_bytes(), what=str(path))

    @classmethod
    def parse(cls, data: bytes, *, what: str) -> "Manifest":
        """A manifest from its bytes. Raises Damaged."""
        rows = parse_table(data, "manifest", COLUMNS, what=what)
        if not all(_SIZE.fullmatch(row["size"]) and _SHA256.fullmatch(row["sha256"]) for row in rows):
            raise Damaged(f"{what} holds a size or a digest that is none: restore it from a copy")
        try:
            manifest = cls.of(Entry(row["path"], int(row["size"]), row["sha256"]) for row in rows)
        except ValueError as error:
            raise Damaged(f"{what}: {error}") from None
        if manifest.to_bytes() != data:
            raise Damaged(f"{what} is not written as this program writes it: restore it from a copy")
        return manifest

    def to_bytes(self) -> bytes:
        """The manifest file's bytes."""
        rows = ({"path": e.path, "size": str(e.size), "sha256": e.sha256} for e in self.entries)
        return table_bytes("manifest", COLUMNS, rows)

    def write(self, path: Path, *, mode: int = 0o640, group: int | None = None) -> None:
        """Write the manifest file, whole or not at all."""
        with replacing(path, mode=mode, group=group) as stream:
            stream.write(self.to_bytes())

    @cached_property
    def sha256(self) -> str:
        """`manifest_sha256`: the SHA-256 of the manifest file, hex."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @cached_property
    def total_size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def is_safe(path: str) -> bool:
    """Whether `path` is a relative path, in printable ASCII, that stays below its root on every system."""
    parts = path.split("/")
    return (
        path.isascii()
        and path.isprintable()
        and "\\" not in path
        and all(part not in ("", ".", "..") for part in parts)
        and PurePosixPath(path).as_posix() == path
    )


def sha256_of(path: Path) -> tuple[int, str]:
    """Size in bytes and SHA-256 in hex of a file, read once through a reused buffer."""
    digest = hashlib.sha256()
    size = 0
    with open(path, "rb", buffering=0) as stream:
        # For a small file no large one: making it takes longer than all the rest.
        buffer = bytearray(min(_CHUNK, os.fstat(stream.fileno()).st_size + 1))
        view = memoryview(buffer)
        while count := stream.readinto(buffer):
            digest.update(view[:count])
            size += count
    return size, digest.hexdigest()


def entry_of(root: Path, path: str) -> Entry:
    """The entry of the file `root/path`."""
    size, sha256 = sha256_of(root / path)
    return Entry(path, size, sha256)


def check(root: Path, manifest: Manifest) -> None:
    """Raise FileChanged, naming the file, unless every file below `root` is there and is what `manifest` says."""
    for entry in manifest:
        try:
            size, sha256 = sha256_of(root / entry.path)
        except FileNotFoundError:
            raise FileChanged(f"{entry.path} is missing, but the manifest lists it") from None
        if (size, sha256) != (entry.size, entry.sha256):
            raise FileChanged(f"{entry.path} is not what its manifest says ({size} bytes, {entry.size} expected)")

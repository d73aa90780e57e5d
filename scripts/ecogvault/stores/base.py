"""The interface of every store: what can be asked of it, and what it answers.

A store never takes "I do not know" for "it is not there", never overwrites other content, and never says that
something is stored before the service has confirmed the bytes.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from ecogvault.stores.pieces import TreeOfPieces
from ecogvault.stores.state import PartDone, UploadState, Whole

__all__ = [
    "Absent",
    "Checked",
    "Derived",
    "Examined",
    "Finding",
    "Finite",
    "Hashing",
    "KeepsUnfinished",
    "Listed",
    "LooksAhead",
    "Mounted",
    "Origin",
    "PartDone",
    "Presence",
    "Present",
    "Source",
    "Store",
    "Stored",
    "Unfinished",
    "Unknown",
    "UploadState",
    "Whole",
    "same_metadata",
]


@dataclass(frozen=True)
class Present:
    """The object is there. `size` in bytes; `etag` without quotes; `checksum` is its CRC64NVME in hex, if known.

    `md5` is the MD5 (hex) that is kept with it, by whoever stored it, where the store keeps one (Azure). `metadata` has
    lower-case keys, and is empty in a folder.
    """

    size: int
    etag: str | None
    version_id: str | None
    metadata: Mapping[str, str]
    checksum: str | None
    md5: str | None = None


@dataclass(frozen=True)
class Absent:
    """The store says that there is no such object."""


@dataclass(frozen=True)
class Unknown:
    """The store did not say: unreachable, denied, archived. Never to be treated as absent."""

    reason: str


Presence = Present | Absent | Unknown


@dataclass(frozen=True)
class Listed:
    """One object as a listing names it. `size` in bytes; `etag` without quotes."""

    key: str
    size: int
    etag: str | None


class Source(Protocol):
    """Content to send. It may be read again, in any order and by several threads."""

    @property
    def size(self) -> int:
        """The number of bytes, known beforehand."""

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` wholly with the bytes at `offset`, or raise."""


@runtime_checkable
class Hashing(Protocol):
    """A source that makes the tree hash of what is read of it, while it is read."""

    @property
    def tree(self) -> TreeOfPieces | None:
        """The hash so far; None if it makes none after all."""


@runtime_checkable
class Checked(Protocol):
    """A source that can say, after its last byte was read and before it counts as stored, whether all was right.

    A store reads such a source's pieces in ascending order (several may be under way at once) and each of them once,
    then calls `check`.
    """

    def check(self) -> None:
        """Raise SourceChanged if what was read is not what was promised."""


@dataclass(frozen=True)
class Origin:
    """An object of `size` bytes that ends as other content does: its bytes from `offset` on are those from `start` on.

    `bucket` is where it lies, `etag` (without quotes) and `version_id` say which of the objects under `key` is meant.
    """

    bucket: str
    key: str
    version_id: str | None
    etag: str
    size: int
    offset: int
    start: int


@runtime_checkable
class Derived(Protocol):
    """A source whose end the service may have already. A store that has its service copy need not send that.

    What is copied counts under the same conditions as what is sent: the service confirms the bytes of the source.
    """

    @property
    def origin(self) -> Origin | None:
        """The object that has them; None if there is none after all."""


@runtime_checkable
class LooksAhead(Protocol):
    """A store that can be spared the question for each key whether it is there, before many small objects are put."""

    def look_ahead(self, prefix: str) -> None:
        """List once what is below `prefix`: a key that is not listed is put without being asked for.

        It is put under the condition that it is not there, so that a listing that is out of date overwrites nothing.
        """


@dataclass(frozen=True)
class Finding:
    """One thing that was found out about a place where copies go. Nothing is sent where one is `refused`."""

    level: Literal["ok", "warning", "refused"]
    text: str


@dataclass(frozen=True)
class Unfinished:
    """An upload that was begun and neither completed nor ended. `size` in bytes, as far as the service has them."""

    key: str
    upload_id: str
    begun: datetime
    size: int


@runtime_checkable
class Mounted(Protocol):
    """A store that may be away without anything to see of it but that it is empty."""

    def require_mounted(self) -> None:
        """Raise BucketMissing if it looks as if it were away. To be asked when it is known to hold something."""


@runtime_checkable
class Finite(Protocol):
    """A store that can be full."""

    def require_room(self, size: int) -> None:
        """Raise NoSpace unless `size` more bytes fit."""


@runtime_checkable
class Examined(Protocol):
    """A store whose settings can be looked at."""

    def examine(self) -> Iterator[Finding]:
        """What is right about the place, and what is not. Raises StoreError when it cannot be reached."""


@runtime_checkable
class KeepsUnfinished(Protocol):
    """A store that keeps what interrupted uploads have left until somebody removes it."""

    def unfinished(self) -> Iterator[Unfinished]:
        """All of them, whoever began them."""

    def end(self, one: Unfinished) -> None:
        """Remove one; one that is gone already is as good."""


@dataclass(frozen=True)
class Stored:
    """What a put has achieved. Digests are hex.

    `crc64nvme` and `md5` are what the service confirmed (None: it did not). `sha256_tree` is over the bytes stored; it
    is empty for an adopted object whose bytes nobody here has seen. `part_size` is None for an object sent as one.
    `bytes_sent` counts content sent in this call; `adopted` says that an equal object of ours was there already.
    A vault gives an `archive_id` and the time (UTC, by its own clock) `at` which the archive was there.
    """

    key: str
    bucket: str | None
    version_id: str | None
    etag: str | None
    size: int
    part_size: int | None
    crc64nvme: str | None
    md5: str | None
    sha256_tree: str
    bytes_sent: int
    adopted: bool
    archive_id: str | None = None
    at: str | None = None


class Store(Protocol):
    """A place where objects are kept under keys. Every method raises StoreError, explained."""

    @property
    def name(self) -> str:
        """The destination's name in the configuration."""

    @property
    def where(self) -> str:
        """The bucket or folder, for messages."""

    def preflight(self) -> None:
        """Raise StoreError if nothing can be stored: no bucket, no credentials, denied, unreachable."""

    def head(self, key: str) -> Presence:
        """Whether `key` is there."""

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """All objects whose keys begin with `prefix`."""

    def put(
        self,
        key: str,
        source: Source,
        *,
        metadata: Mapping[str, str],
        state: UploadState,
        replace: str | None = None,
        progress: Callable[[int], None] | None = None,
        same: Callable[[Present], bool] | None = None,
    ) -> Stored:
        """Store `source` under `key`, or adopt what is there if it is `same`, or raise KeyTaken.

        `metadata` is ASCII, `replace` the ETag of the object that may be replaced; `progress` is called, in the calling
        thread, with the number of bytes newly done. `state` lets a later call go on after an interruption.
        """

    def get(
        self, key: str, offset: int = 0, length: int | None = None, version_id: str | None = None
    ) -> Iterator[bytes]:
        """The object's bytes in pieces; a broken connection is taken up where it broke.

        Raises WrongBytes at the end if the whole was read and is not what the service confirms.
        """

    def abort_unfinished(self, key: str) -> int:
        """Remove what interrupted puts of `key` have left; returns how many there were."""


def same_metadata(metadata: Mapping[str, str]) -> Callable[[Present], bool]:
    """Whether an object has all of `metadata`; no object has an empty one."""

    def same(present: Present) -> bool:
        return bool(metadata) and all(present.metadata.get(key.lower()) == value for key, value in metadata.items())

    return same

"""A file as age encrypts it on its way, without a copy on disk."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ecogvault.age import Envelope, SealedView
from ecogvault.manifest import Entry, FileChanged, sha256_of
from ecogvault.stores import FileSource, file_source


class _Plain:
    """A file's bytes as age reads them."""

    def __init__(self, source: FileSource) -> None:
        self._source = source
        self.size = source.size

    def read_into(self, offset: int, buffer: memoryview, /) -> int:
        count = max(0, min(len(buffer), self.size - offset))
        self._source.read_into(offset, buffer[:count])
        return count

    def read_at(self, offset: int, length: int, /) -> memoryview:
        buffer = memoryview(bytearray(max(0, min(length, self.size - offset))))
        self._source.read_into(offset, buffer)
        return buffer


class _Sealed:
    """The sealed bytes of a file, made as they are asked for; `check` is the plain file's own."""

    def __init__(self, view: SealedView, check: Callable[[], None]) -> None:
        self._view = view
        self.check = check

    @property
    def size(self) -> int:
        return self._view.size

    def read_into(self, offset: int, buffer: memoryview) -> None:
        self._view.read_into(offset, buffer)


@contextmanager
def encrypted_source(path: Path, entry: Entry, envelope: Envelope, *, once: bool = False) -> Iterator[_Sealed]:
    """The file at `path` encrypted on the way, without a copy on disk.

    It is hashed beforehand: what is sent is what the manifest lists, and nothing else is ever encrypted with this
    envelope. With `once`, of a file that goes whole in one request under an envelope that is used for it alone, it is
    hashed as it is read, and what differs is not sent. Raises FileChanged, and SourceChanged if it changes while it is
    sent.
    """
    with file_source(path, what=entry.path, sha256=entry.sha256 if once else None) as source:
        if not once and sha256_of(path) != (entry.size, entry.sha256):
            raise FileChanged(f"{entry.path} is not what its manifest says: run again to de-identify it anew")
        yield _Sealed(SealedView(envelope, _Plain(source), entry.size), source.check)

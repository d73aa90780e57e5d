"""Opening a sealed tarball from beginning to end, from a source that cannot go back: Glacier, a pipe."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, cast

import zstandard

from ecogvault.age import Identity, decrypt_stream
from ecogvault.age.source import Readable
from ecogvault.errors import EcogvaultError
from ecogvault.manifest import Entry, Manifest
from ecogvault.tarball.frames import MAGIC
from ecogvault.tarball.open import Opened, TarballDamaged, WrongUnit
from ecogvault.tarball.seal import HOW_TO_NAME, MANIFEST_NAME
from ecogvault.tarball.target import CheckedWriter, Target
from ecogvault.tarball.untar import Untar

_STEP = 1024 * 1024
_NOT_ZSTD = "the content is no sealed tarball: it does not begin with a zstd frame"
_TEXT_LIMITS = {MANIFEST_NAME: 256 * 1024 * 1024, HOW_TO_NAME: 1024 * 1024}


class NotOurs(EcogvaultError):
    """A tar that opens, but is not of a unit of ours."""


class NotZstd(NotOurs, TarballDamaged):
    """Content that does not begin as a sealed tarball does, such as a file that was encrypted by itself."""


class _Unit:
    """The files of a sealed tarball as they come by: the manifest first, then what it lists, in its order."""

    def __init__(self, target: Path, expect_unit: str | None) -> None:
        self._target = target
        self._expected = expect_unit
        self.unit = ""
        self.manifest: Manifest | None = None
        self.done: list[str] = []
        self._waiting: dict[str, Entry] = {}
        self._goal: Target | None = None
        self._writer: CheckedWriter | None = None
        self._path = ""
        self._text = bytearray()

    def begin(self, path: str, size: int) -> None:
        unit, _, self._path = path.partition("/")
        if not self.unit:
            self._start(unit)
        elif unit != self.unit:
            raise NotOurs(f"a sealed tarball of {self.unit} holds something outside its folder")
        self._text.clear()
        if self._path in _TEXT_LIMITS:
            if size > _TEXT_LIMITS[self._path]:
                raise TarballDamaged(f"{self._path} in {self.unit} has an impossible size")
            return
        entry = self._waiting.get(self._path)
        if entry is None or entry.size != size or self._goal is None or self._writer is None:
            raise TarballDamaged(f"{self._path} is not in the manifest of {self.unit}, or not with {size} bytes")
        self._writer.begin(self._path, write=not self._goal.has(entry.path, entry.size, entry.sha256))

    def add(self, view: memoryview) -> None:
        if self._path in self._waiting and self._writer is not None:
            self._writer.add(view)
        else:
            self._text += view

    def end(self) -> None:
        if self._path in _TEXT_LIMITS:
            self._end_text()
        elif self._writer is not None and not self._writer.end(self._waiting.pop(self._path).sha256):
            raise TarballDamaged(f"{self._path} does not have its SHA-256")
        self.done.append(self._path)

    def finish(self) -> Manifest:
        """Raises TarballDamaged unless everything that the manifest lists came by."""
        if self.manifest is None:
            raise NotOurs(f"the tar is empty: a sealed tarball begins with {MANIFEST_NAME}")
        if self._waiting:
            raise TarballDamaged(f"{len(self._waiting)} files are missing, the first is {min(self._waiting)}")
        if self._goal is not None:
            self._goal.finish()
        return self.manifest

    def discard(self) -> None:
        if self._writer is not None:
            self._writer.discard()
        if self._goal is not None:
            self._goal.discard()

    def _start(self, unit: str) -> None:
        if self._path != MANIFEST_NAME:
            raise NotOurs(
                f"the tar does not begin with {MANIFEST_NAME}: it is no unit of ours; open it with age, zstd and tar"
            )
        if self._expected not in (None, unit):
            raise WrongUnit(f"the sealed tarball holds unit {unit}, but {self._expected} was asked for")
        self.unit = unit
        self._goal = Target(self._target, unit)
        self._writer = CheckedWriter(self._goal)

    def _end_text(self) -> None:
        if self._path == MANIFEST_NAME:
            if self.manifest is not None:
                raise TarballDamaged(f"{MANIFEST_NAME} stands twice in {self.unit}")
            self.manifest = Manifest.parse(bytes(self._text), what=f"{MANIFEST_NAME} in {self.unit}")
            self._waiting = {entry.path: entry for entry in self.manifest}
        _place(self._goal, self._path, bytes(self._text))


def _place(goal: Target | None, path: str, text: bytes) -> None:
    digest = hashlib.sha256(text).hexdigest()
    if goal is not None and not goal.has(path, len(text), digest):
        file = goal.create(path)
        file.write(memoryview(text))
        goal.keep(file)


def open_stream(
    reader: Readable,
    identities: Sequence[Identity],
    target: Path,
    *,
    expect_unit: str | None = None,
    threads: int = 1,
    progress: Callable[[int], object] | None = None,
) -> Opened:
    """Open all of a sealed tarball that is read from `reader` from beginning to end, into `target/{unit}/`.

    The tar itself is read here, strictly; the index is passed over. Every file's SHA-256 is checked against the first
    member, MANIFEST.tsv, before it gets its name. Memory is bounded by a few MiB and the manifest. `progress` is told
    of decrypted bytes.

    Raises TarballDamaged, NotATar, NotOurs (NotZstd among them), WrongUnit, OtherContent, UnsafePath, age's errors, and
    OSError as it comes.
    """
    unit = _Unit(target, expect_unit)
    untar = Untar(unit)
    unpacker = zstandard.ZstdDecompressor().stream_writer(cast(IO[bytes], _Feeding(untar)), write_size=_STEP)
    released = 0

    def unpack(view: memoryview) -> None:
        nonlocal released
        if not released and view[: len(MAGIC)] != MAGIC:
            raise NotZstd(_NOT_ZSTD)
        try:
            unpacker.write(view)
        except zstandard.ZstdError:
            raise TarballDamaged(f"no zstd frame where one should be, near byte {released} of the content") from None
        released += len(view)
        if progress is not None:
            progress(len(view))

    try:
        if not decrypt_stream(reader, identities, unpack, threads=threads):
            raise NotZstd(_NOT_ZSTD)
        untar.finish()
        manifest = unit.finish()
    finally:
        unit.discard()
    return Opened(unit.unit, target / unit.unit, manifest, tuple(unit.done))


class _Feeding:
    """A tar reader as the writer that a decompressor wants."""

    def __init__(self, untar: Untar) -> None:
        self._untar = untar

    def write(self, data: bytes) -> int:
        self._untar.feed(memoryview(data))
        return len(data)

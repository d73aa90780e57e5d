"""Opening a sealed tarball by its index: everything, or chosen members by the frames that hold them."""

import fnmatch
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ecogvault.age import (
    CHUNK,
    SEALED_CHUNK,
    BytesSource,
    FileSource,
    Identity,
    Plain,
    ReadAt,
    Sink,
    dearmor,
    open_sealed,
)
from ecogvault.age.armor import looks_armored
from ecogvault.age.chunks import NONCE_SIZE, chunk_count, open_chunks
from ecogvault.age.source import reading_into
from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.manifest import Manifest
from ecogvault.tarball.frames import decompress_into, stored
from ecogvault.tarball.index import Index, IndexedFrame, IndexedMember, index_of
from ecogvault.tarball.pipeline import Stage, run
from ecogvault.tarball.seal import HOW_TO_NAME, MANIFEST_NAME
from ecogvault.tarball.target import OpenedFile, Target

_STEP = 1024 * 1024
_SLOTS_AHEAD = 2
_MOST_SLOTS = 10
_ARMOR_HEAD = 4096
_ARMORED_LIMIT = 256 * 1024 * 1024


class TarballDamaged(Damaged):
    """A sealed tarball is not what was sealed; the message says where: frame, bytes, member."""


class WrongUnit(EcogvaultError):
    """The unit inside, or its content, is not the one that was asked for."""


class NoSuchMember(EcogvaultError):
    """Nothing in the tarball has a name that was asked for."""


class BeyondEnd(EcogvaultError):
    """Bytes were asked for that a file does not have."""


@dataclass(frozen=True)
class Opened:
    """What was opened: the unit, its manifest, and the paths (as in the manifest) that are now below `folder`."""

    unit: str
    folder: Path
    manifest: Manifest
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """Where a frame's content belongs: `length` bytes from `position` on, to the member from its byte `start` on."""

    member: IndexedMember
    position: int
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class _Job:
    number: int
    frame: IndexedFrame
    size: int
    parts: tuple[_Part, ...]

    @property
    def where(self) -> str:
        named = f", in {self.parts[0].member.path}" if self.parts else ""
        return f"frame {self.number} (bytes {self.frame.offset} to {self.frame.offset + self.frame.length}){named}"


class _Slot:
    """One frame on its way, in buffers that grow to the largest frame and are used again."""

    def __init__(self) -> None:
        self.sealed = self.packed = self.plain = memoryview(b"")
        self.job = _Job(0, IndexedFrame(0, 0, 0), 0, ())
        self.blocks: list[memoryview] = []

    def fit(self, chunks: int, plain: int) -> None:
        if len(self.sealed) < chunks * SEALED_CHUNK:
            self.sealed = memoryview(bytearray(chunks * SEALED_CHUNK))
            self.packed = memoryview(bytearray(chunks * CHUNK))
        if len(self.plain) < plain:
            self.plain = memoryview(bytearray(plain))


class _Frames:
    """Frames of one sealed tarball, fetched, decrypted and unpacked into a slot; any thread may ask."""

    def __init__(self, source: ReadAt, content: Plain) -> None:
        self._read = reading_into(source)
        self._size = source.size
        self._start = len(content.envelope.header) + NONCE_SIZE
        self._aead = content.envelope.payload_aead()
        self._chunks = chunk_count(content.size)

    def extent(self, frame: IndexedFrame) -> tuple[int, int]:
        """Offset and length in the sealed file of the chunks that hold a frame."""
        first, end = frame.offset // CHUNK, -(-(frame.offset + frame.length) // CHUNK)
        start = self._start + first * SEALED_CHUNK
        return start, min(self._start + end * SEALED_CHUNK, self._size) - start

    def unpack(self, slot: _Slot) -> None:
        """Have the frame's content in slot.blocks, all of one size but the last.

        Raises TarballDamaged, and what the source raises.
        """
        job = slot.job
        first, skip = divmod(job.frame.offset, CHUNK)
        end = -(-(job.frame.offset + job.frame.length) // CHUNK)
        slot.fit(end - first, job.size)
        start, length = self.extent(job.frame)
        sealed = slot.sealed[:length]
        if self._read(start, sealed) != len(sealed):
            raise TarballDamaged(f"cut off, or changed while it was read: {job.where}")
        done, error = open_chunks(self._aead, first, sealed, slot.packed, end >= self._chunks)
        if error is not None:
            raise TarballDamaged(f"{error}: {job.where}")
        packed = slot.packed[skip : min(done, skip + job.frame.length)]
        blocks = stored(packed, job.size)
        if blocks is not None:
            slot.blocks = blocks
            return
        try:
            size = decompress_into(packed, slot.plain[: job.size])
        except Damaged as error:
            raise TarballDamaged(f"{job.where}: {error}") from None
        if size != job.size:
            raise TarballDamaged(f"{job.where}: it holds {size} bytes, {job.size} expected")
        slot.blocks = [slot.plain[: job.size]]


@contextmanager
def _source(source: Path | ReadAt) -> Iterator[ReadAt]:
    if isinstance(source, Path):
        with open(source, "rb", buffering=0) as stream:
            yield _dearmored(FileSource(stream.fileno()))
    else:
        yield _dearmored(source)


def _dearmored(source: ReadAt) -> ReadAt:
    # Nobody seals a tarball with armor, but age would open one.
    if source.size > _ARMORED_LIMIT or not looks_armored(bytes(source.read_at(0, _ARMOR_HEAD))):
        return source
    return BytesSource(dearmor(bytes(source.read_at(0, source.size))))


def read_index(source: Path | ReadAt, identities: Sequence[Identity]) -> Index:
    """The index of a sealed tarball; reads its header and its end alone.

    Raises NoIndex when it is an age file but no sealed tarball, Damaged, and age's errors.
    """
    with _source(source) as sealed:
        return index_of(open_sealed(sealed, identities), what="the sealed tarball")


def open_sealed_tarball(
    source: Path | ReadAt,
    identities: Sequence[Identity],
    target: Path,
    *,
    members: Sequence[str] | None = None,
    expect_unit: str | None = None,
    expect_manifest: str | None = None,
    threads: int = 1,
    progress: Callable[[int], object] | None = None,
) -> Opened:
    """Open a sealed tarball into `target/{unit}/`: everything, or the `members` named by path or pattern (fnmatch).

    A path is as in the manifest, with or without the unit's folder before it. For chosen members only their own frames
    are read, beside header, index and manifest. Every file's SHA-256 is checked against MANIFEST.tsv before it gets its
    name; files that are there already with equal content are left as they are. `expect_manifest` is the SHA-256 (hex)
    that MANIFEST.tsv must have, as a signed statement says. Memory is bounded by `threads` + 2
    frames, three times. `progress` is told of plain bytes as they are done.

    Raises TarballDamaged (what was checked before stays, nothing else has a name), NoIndex, WrongUnit, NoSuchMember,
    OtherContent, UnsafePath, age's errors, and OSError as it comes.
    """
    with _source(source) as sealed:
        content = open_sealed(sealed, identities)
        index = index_of(content, what="the sealed tarball")
        if expect_unit is not None and index.unit != expect_unit:
            raise WrongUnit(f"the sealed tarball holds unit {index.unit}, but {expect_unit} was asked for")
        frames = _Frames(sealed, content)
        manifest = _manifest(frames, index)
        if expect_manifest not in (None, manifest.sha256):
            raise WrongUnit(
                f"the sealed tarball of {index.unit} holds another manifest than the one that was asked for"
            )
        chosen = chosen_members(index, members)
        goal = Target(target, index.unit)
        there = {member.path for member in chosen if goal.has(member.path, member.size, member.sha256)}
        jobs = _jobs(index, {member.path for member in chosen}, everything=members is None)
        _carry_out(frames, jobs, goal, there, threads, progress)
    return Opened(index.unit, target / index.unit, manifest, tuple(member.path for member in chosen))


def sealed_ranges(source: ReadAt, identities: Sequence[Identity], members: Sequence[str]) -> list[tuple[int, int]]:
    """Offset and length in the sealed file of every frame that opening `members` needs, the manifest's among them.

    For sources whose ranges are dear: only header and index are read for it. Raises as open_sealed_tarball does.
    """
    content = open_sealed(source, identities)
    index = index_of(content, what="the sealed tarball")
    wanted = {MANIFEST_NAME, *(member.path for member in chosen_members(index, members))}
    frames = _Frames(source, content)
    return [frames.extent(job.frame) for job in _jobs(index, wanted, everything=False)]


def read_part(
    source: Path | ReadAt, identities: Sequence[Identity], path: str, first: int, length: int, sink: Sink
) -> int:
    """Hand bytes `first` to `first + length` of one member to `sink`; returns how many there were.

    Only the frames that hold them are read, beside header and index. Nothing is handed out that age did not
    authenticate; the member's SHA-256, which is over all of it, cannot be compared.

    Raises NoSuchMember also when `path` names several, BeyondEnd before anything is handed out, TarballDamaged,
    NoIndex, age's errors, and OSError as it comes.
    """
    with _source(source) as sealed:
        content = open_sealed(sealed, identities)
        index = index_of(content, what="the sealed tarball")
        chosen = chosen_members(index, [path])
        if len(chosen) != 1:
            raise NoSuchMember(f"{len(chosen)} files in {index.unit} fit {path}: bytes are of one")
        check_range(chosen[0].path, chosen[0].size, first, length)
        frames = _Frames(sealed, content)
        slot = _Slot()
        done = 0
        for job in _jobs(index, {chosen[0].path}, everything=False):
            for part in job.parts:
                start, stop = max(part.start, first), min(part.start + part.length, first + length)
                if start < stop:
                    slot.job = job
                    frames.unpack(slot)
                    skip = start - part.start
                    for view in _steps(slot, _Part(part.member, part.position + skip, start, stop - start)):
                        sink(view)
                        done += len(view)
    return done


def check_range(what: str, size: int, first: int, length: int) -> None:
    """Raises BeyondEnd unless `what`, of `size` bytes, has all bytes from `first` to `first + length`."""
    if first + length > size:
        raise BeyondEnd(f"{what} has {size} bytes, and {first}+{length} goes beyond them: ask for fewer")


def chosen_members(index: Index, members: Sequence[str] | None) -> list[IndexedMember]:
    """The members that `members` names, in the tar's order; all for None. Raises NoSuchMember."""
    if members is None:
        return list(index.members)
    chosen: set[str] = set()
    paths = {member.path for member in index.members}
    for wanted in (name.removeprefix(f"{index.unit}/") for name in members):
        found = {wanted} & paths or set(fnmatch.filter(paths, wanted))
        if not found:
            raise NoSuchMember(f"nothing in {index.unit} is called {wanted}: --list shows what there is")
        chosen |= found
    return [member for member in index.members if member.path in chosen]


def _jobs(index: Index, chosen: set[str], *, everything: bool) -> list[_Job]:
    parts: dict[int, list[_Part]] = {}
    frames = index.frames()
    sizes = {frame.plain: size for frame, size in frames}
    for member in index.members:
        if member.path not in chosen:
            continue
        for frame in member.frames:
            start = max(frame.plain, member.offset)
            stop = min(frame.plain + sizes[frame.plain], member.offset + member.size)
            part = _Part(member, start - frame.plain, start - member.offset, stop - start)
            parts.setdefault(frame.plain, []).append(part)
    return [
        _Job(number, frame, size, tuple(parts.get(frame.plain, ())))
        for number, (frame, size) in enumerate(frames)
        if everything or frame.plain in parts
    ]


def _manifest(frames: _Frames, index: Index) -> Manifest:
    """The manifest inside, which must say of every file what the index says."""
    first = index.members[0] if index.members else None
    if first is None or first.path != MANIFEST_NAME:
        raise TarballDamaged(f"{index.unit} has no {MANIFEST_NAME} as its first member")
    data = bytearray()
    slot = _Slot()
    for job in _jobs(index, {MANIFEST_NAME}, everything=False):
        slot.job = job
        frames.unpack(slot)
        for part in job.parts:
            for view in _steps(slot, part):
                data += view
    if hashlib.sha256(data).hexdigest() != first.sha256:
        raise TarballDamaged(f"{MANIFEST_NAME} in {index.unit} is not the one that was sealed")
    manifest = Manifest.parse(bytes(data), what=f"{MANIFEST_NAME} in {index.unit}")
    listed = {(member.path, member.size, member.sha256) for member in index.members[1:] if member.path != HOW_TO_NAME}
    if listed != {(entry.path, entry.size, entry.sha256) for entry in manifest}:
        raise TarballDamaged(f"{MANIFEST_NAME} in {index.unit} and its index list different files")
    return manifest


def _carry_out(
    frames: _Frames,
    jobs: Sequence[_Job],
    target: Target,
    there: set[str],
    threads: int,
    progress: Callable[[int], object] | None,
) -> None:
    """Unpack on all threads; hash, then write, in order. A file gets its name when its last byte was right."""
    waiting = iter(jobs)
    digest = hashlib.sha256()
    file: OpenedFile | None = None

    def begin(slot: _Slot) -> bool:
        job = next(waiting, None)
        if job is None:
            return False
        slot.job = job
        return True

    def check(slot: _Slot) -> None:
        nonlocal digest
        for part in slot.job.parts:
            if not part.start:
                digest = hashlib.sha256()
            for view in _steps(slot, part):
                digest.update(view)
            if part.start + part.length == part.member.size and digest.hexdigest() != part.member.sha256:
                raise TarballDamaged(f"{part.member.path} does not have its SHA-256: {slot.job.where}")

    def write(slot: _Slot) -> None:
        nonlocal file
        for part in slot.job.parts:
            if part.member.path in there:
                continue
            if not part.start:
                file = target.create(part.member.path)
            if file is not None:
                for view in _steps(slot, part):
                    file.write(view)
                if part.start + part.length == part.member.size:
                    target.keep(file)
                    file = None
        if progress is not None:
            progress(slot.job.size)

    slots = [_Slot() for _ in range(min(threads + _SLOTS_AHEAD, _MOST_SLOTS) if threads > 1 else 1)]
    try:
        run(begin, [Stage(frames.unpack, ordered=False), Stage(check), Stage(write)], slots, threads=threads)
        target.finish()
    finally:
        if file is not None:
            file.discard()
        target.discard()


def _steps(slot: _Slot, part: _Part) -> Iterator[memoryview]:
    """The part's content, in pieces that a core's cache holds."""
    size = len(slot.blocks[0])
    position, end = part.position, part.position + part.length
    while position < end:
        number, skip = divmod(position, size)
        piece = slot.blocks[number][skip : skip + min(_STEP, end - position)]
        yield piece
        position += len(piece)


__all__ = [
    "BeyondEnd",
    "NoSuchMember",
    "Opened",
    "TarballDamaged",
    "WrongUnit",
    "check_range",
    "chosen_members",
    "open_sealed_tarball",
    "read_index",
    "read_part",
]

"""Sealing: the files of a manifest become one tar, in zstd frames, in one age file, in one pass."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from ecogvault.age import CHUNK, Envelope, Recipient, new_envelope
from ecogvault.age.chunks import TAG, seal_chunks
from ecogvault.digests import Crc64Nvme, TreeHash
from ecogvault.files import replacing
from ecogvault.manifest import FileChanged, Manifest
from ecogvault.records import record_bytes, utc_now
from ecogvault.statement import make_statement
from ecogvault.statement import signing_key as load_signing_key
from ecogvault.tarball import frames
from ecogvault.tarball.index import Index, IndexedFrame, IndexedMember
from ecogvault.tarball.layout import FRAME_LIMIT, HEADER_LIMIT, PIECE, Frame, Member, Piece, frames_of
from ecogvault.tarball.pipeline import Stage, run

MANIFEST_NAME = "MANIFEST.tsv"
HOW_TO_NAME = "HOW-TO-OPEN.txt"
HOW_TO_OPEN = """\
This folder is one unit of an archive of recordings. MANIFEST.tsv lists path, size in bytes and SHA-256 of each file.
Paths are coded, but the vendor's own binary files in session folders may still hold a patient's name: treat them so.

The archive is one tar, compressed with zstd, encrypted with age (https://age-encryption.org, C2SP age.md version 1).
With an age identity file (it has a line that begins with AGE-SECRET-KEY-) it opens without the program that made it:

    age -d -i KEY UNIT.tar.zst.age | zstd -d | tar x

Keys of type AGE-SECRET-KEY-PQ- need age 1.3 or newer. An identity file that is itself encrypted asks for its
passphrase. To check the files afterwards, in the folder of this text:

    grep -v '^#' MANIFEST.tsv | tail -n +2 | awk -F '\\t' '{print $3 "  " $1}' | sha256sum -c

The last zstd frame is a skippable one (RFC 8878, 3.1.2). It holds an index in JSON: for each file its path, size,
SHA-256, offset in the tar, and the zstd frames that hold it, each as [offset in the tar, offset, length]; the last two
count bytes of the decrypted, still compressed stream. The frame's content ends with its own length (64 bits, least
byte first) and the letters EGVI.
"""

_STEP = 1024 * 1024
_SLOTS_AHEAD = 2
_MOST_SLOTS = 10
_ROOMS = (_STEP, PIECE + HEADER_LIMIT, FRAME_LIMIT)


@dataclass(frozen=True)
class Digests:
    """Of the sealed bytes: size, SHA-256 tree hash (hex), CRC64NVME (base64, as S3 writes it)."""

    size: int
    sha256_tree: str
    crc64nvme: str


class _Slot:
    """One frame on its way: plain, compressed and encrypted, in buffers that the next frame uses again."""

    def __init__(self) -> None:
        self.plain = self.packed = self.sealed = memoryview(b"")
        self.frame = Frame(0, 0, ())
        self.placed: int | None = None
        self.packed_length = 0
        self.sealed_length = 0

    def take(self, frame: Frame) -> None:
        """Make room for `frame`: buffers grow to the largest that comes by, and stay."""
        self.frame = frame
        if len(self.plain) < frame.length:
            room = next(size for size in _ROOMS if size >= frame.length)
            self.plain = memoryview(bytearray(room))
            self.packed = memoryview(bytearray(frames.bound(room)))
            self.sealed = memoryview(bytearray(_sealed_bound(len(self.packed))))


def _sealed_bound(length: int) -> int:
    return length + CHUNK + TAG * (length // CHUNK + 2)


class _Encryptor:
    """The payload of an age file as it grows. The last chunk given waits: it may be the file's last."""

    def __init__(self, aead: ChaCha20Poly1305) -> None:
        self._aead = aead
        self._number = 0
        self._kept = memoryview(bytearray(CHUNK))
        self._filled = 0

    def encrypt(self, view: memoryview, out: memoryview) -> int:
        """Encrypt `view` into `out` but for its end; returns the bytes written."""
        written = 0
        if self._filled:
            count = min(CHUNK - self._filled, len(view))
            self._kept[self._filled : self._filled + count] = view[:count]
            self._filled += count
            view = view[count:]
            if not view:
                return 0
            written = self._seal(self._kept, out, final=False)
            self._filled = 0
        whole = max(0, (len(view) - 1) // CHUNK * CHUNK)
        if whole:
            written += self._seal(view[:whole], out[written:], final=False)
        self._filled = len(view) - whole
        self._kept[: self._filled] = view[whole:]
        return written

    def finish(self, out: memoryview) -> int:
        """Encrypt what waits, as the end of the file; returns the bytes written."""
        return self._seal(self._kept[: self._filled], out, final=True)

    def _seal(self, view: memoryview, out: memoryview, *, final: bool) -> int:
        written = seal_chunks(self._aead, self._number, view, out, final)
        self._number += -(-len(view) // CHUNK)
        return written


@dataclass
class _Output:
    """Sealed bytes: hashed and written, a piece that a core's cache holds at a time."""

    descriptor: int
    tree: TreeHash = field(default_factory=TreeHash)
    crc: Crc64Nvme = field(default_factory=Crc64Nvme)

    def put(self, sealed: memoryview) -> None:
        for start in range(0, len(sealed), _STEP):
            piece = sealed[start : start + _STEP]
            self.tree.update(piece)
            self.crc.update(piece)
            while piece:
                piece = piece[os.write(self.descriptor, piece) :]

    def digests(self) -> Digests:
        return Digests(self.tree.size, self.tree.hexdigest(), self.crc.base64())


class _Input:
    """The members' bytes, read once, in order, and checked against the manifest."""

    def __init__(self, root: Path, members: Sequence[Member]) -> None:
        self._root = root
        self._members = members
        self._descriptor = -1
        self._digest = hashlib.sha256()

    def place(self, piece: Piece, places: Sequence[memoryview]) -> None:
        """Write a piece into `places`, one after the other. Raises as fill does."""
        start = piece.start
        for view in places:
            self._read(self._members[piece.member], Piece(piece.member, start, len(view)), view)
            start += len(view)

    def fill(self, frame: Frame, view: memoryview) -> None:
        """Write the frame's content into `view`. Raises FileChanged by name, and OSError as it comes."""
        position = 0
        for part in frame.parts:
            if isinstance(part, bytes):
                view[position : position + len(part)] = part
                position += len(part)
            else:
                self._read(self._members[part.member], part, view[position : position + part.length])
                position += part.length

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self, member: Member, piece: Piece, view: memoryview) -> None:
        if member.data is not None:
            view[:] = member.data[piece.start : piece.start + piece.length]
            return
        if not piece.start:
            self._open(member)
        done = 0
        while done < len(view):
            count = os.readv(self._descriptor, [view[done : done + _STEP]])
            if not count:
                raise _changed(member, f"ended after {piece.start + done} of {member.size} bytes")
            self._digest.update(view[done : done + count])
            done += count
        if piece.start + piece.length == member.size:
            if os.read(self._descriptor, 1):
                raise _changed(member, f"has grown beyond its {member.size} bytes")
            self.close()
            if self._digest.hexdigest() != member.sha256:
                raise _changed(member, "has another SHA-256 than its manifest says")

    def _open(self, member: Member) -> None:
        self.close()
        try:
            self._descriptor = os.open(self._root / member.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise FileChanged(f"{member.path} is missing, but the manifest lists it") from None
        self._digest = hashlib.sha256()
        size = os.fstat(self._descriptor).st_size
        if size != member.size:
            raise _changed(member, f"has {size} bytes, {member.size} expected")


def _changed(member: Member, what: str) -> FileChanged:
    return FileChanged(f"{member.path} {what}: it changed since it was listed; run again to list it anew")


def members_of(manifest: Manifest) -> list[Member]:
    """What a sealed tarball holds, in order: manifest, instructions, and the manifest's files."""
    texts = ((MANIFEST_NAME, manifest.to_bytes()), (HOW_TO_NAME, HOW_TO_OPEN.encode()))
    if {name for name, _ in texts} & {entry.path for entry in manifest}:
        raise ValueError("a file of the manifest has the name of one that each tarball has")
    first = [Member(name, len(data), hashlib.sha256(data).hexdigest(), data) for name, data in texts]
    return [*first, *(Member(entry.path, entry.size, entry.sha256) for entry in manifest)]


def seal(
    manifest: Manifest,
    *,
    root: Path,
    unit: str,
    tarball: Path,
    index: Path,
    statement: Path,
    recipients: Sequence[Recipient],
    generation: int,
    previous_statement_sha256: str,
    signing_key: Path,
    mtime: int,
    threads: int = 1,
    mode: int = 0o640,
    group: int | None = None,
    signers: Path | None = None,
    progress: Callable[[int], object] | None = None,
) -> Digests:
    """Write the files of `manifest`, which lie below `root`, as one tar, in zstd frames, encrypted to `recipients`.

    Nothing appears under `tarball`, `index` or `statement` unless the whole of all three is on disk. Memory is bounded
    by `threads` + 2 frames (10 at most), three times 4 to 8 MiB each. `mtime` (seconds since 1970) is that of all
    members: the plain content depends on manifest, unit, mtime and the version of zstd alone. `signers` is where a new
    signing key is pinned. `progress` is told of plain bytes as they are done.

    Raises FileChanged if a file's SHA-256 is not the manifest's (it changed while it was read), NoRecipients,
    MixedRecipients, SigningKeyError, and OSError as it comes.
    Format: DESIGN, section 5; age: C2SP age.md v1; pax: POSIX.1-2001, section "pax Interchange Format".
    """
    key = load_signing_key(signing_key, signers=signers)
    envelope = new_envelope(recipients)
    with ExitStack() as outputs:
        # The tarball is entered first and so renamed last: whoever sees it finds the other two.
        sealed, listed, stated = (
            outputs.enter_context(replacing(path, mode=mode, group=group)) for path in (tarball, index, statement)
        )
        digests, index_bytes = _write(sealed, envelope, manifest, root, unit, mtime, threads, progress)
        listed.write(index_bytes)
        record = make_statement(
            unit=unit,
            generation=generation,
            form="tarball",
            manifest_sha256=manifest.sha256,
            sha256_tree=digests.sha256_tree,
            recipients=[recipient.fingerprint for recipient in recipients],
            at=utc_now(),
            previous=previous_statement_sha256,
            key=key,
        )
        stated.write(record_bytes(record))
        for stream in (sealed, listed, stated):
            stream.flush()
            os.fsync(stream.fileno())
    return digests


def _write(
    stream: BinaryIO,
    envelope: Envelope,
    manifest: Manifest,
    root: Path,
    unit: str,
    mtime: int,
    threads: int,
    progress: Callable[[int], object] | None,
) -> tuple[Digests, bytes]:
    members = members_of(manifest)
    output = _Output(stream.fileno())
    encryptor = _Encryptor(envelope.payload_aead())
    reader = _Input(root, members)
    offsets = [0] * len(members)
    placed: list[list[IndexedFrame]] = [[] for _ in members]
    plain = packed = 0
    noisy = -1

    def begin(slot: _Slot) -> bool:
        frame = next(waiting, None)
        if frame is None:
            return False
        slot.take(frame)
        slot.placed = None
        only = frame.parts[0] if len(frame.parts) == 1 else None
        if isinstance(only, Piece) and only.member == noisy:
            slot.placed = frame.length
            reader.place(only, frames.raw_places(slot.packed, frame.length))
        else:
            reader.fill(frame, slot.plain)
        return True

    def compress(slot: _Slot) -> None:
        nonlocal noisy
        plain = slot.plain[: slot.frame.length]
        slot.packed_length = frames.compress_into(plain, slot.packed, placed=slot.placed)
        # Where noise begins, it goes on: what follows in this member is read to where it will be stored.
        pieces = [part.member for part in slot.frame.parts if isinstance(part, Piece)]
        noisy = pieces[-1] if slot.packed_length > len(plain) else -1

    def encrypt(slot: _Slot) -> None:
        nonlocal plain, packed
        here = IndexedFrame(slot.frame.plain, packed, slot.packed_length)
        for offset, piece in _pieces(slot.frame):
            placed[piece.member].append(here)
            if not piece.start:
                offsets[piece.member] = offset
        slot.sealed_length = encryptor.encrypt(slot.packed[: slot.packed_length], slot.sealed)
        packed += slot.packed_length
        plain += slot.frame.length

    def put(slot: _Slot) -> None:
        output.put(slot.sealed[: slot.sealed_length])
        if progress is not None:
            progress(slot.frame.length)

    output.put(memoryview(envelope.header + envelope.nonce))
    waiting = frames_of(unit, members, mtime)
    slots = [_Slot() for _ in range(min(threads + _SLOTS_AHEAD, _MOST_SLOTS) if threads > 1 else 1)]
    try:
        run(begin, [Stage(compress, ordered=False), Stage(encrypt), Stage(put)], slots, threads=threads)
    finally:
        reader.close()
    index_bytes = Index(unit, plain, packed, tuple(map(_indexed, members, offsets, placed))).to_bytes()
    last = memoryview(frames.skippable(index_bytes))
    out = memoryview(bytearray(_sealed_bound(_STEP)))
    for start in range(0, len(last), _STEP):
        output.put(out[: encryptor.encrypt(last[start : start + _STEP], out)])
    output.put(out[: encryptor.finish(out)])
    return output.digests(), index_bytes


def _indexed(member: Member, offset: int, placed: list[IndexedFrame]) -> IndexedMember:
    return IndexedMember(member.path, member.size, member.sha256, offset, tuple(placed))


def _pieces(frame: Frame) -> Iterator[tuple[int, Piece]]:
    """The pieces of members in a frame, each with its offset in the tar."""
    offset = frame.plain
    for part in frame.parts:
        if isinstance(part, Piece):
            yield offset, part
            offset += part.length
        else:
            offset += len(part)


__all__ = ["HOW_TO_NAME", "HOW_TO_OPEN", "MANIFEST_NAME", "Digests", "members_of", "seal"]

"""Opens an archive made by `openssl enc`: finds out how it was made, unpacks it, and says how far it is proven."""

import os
from dataclasses import dataclass, field, replace
from io import FileIO
from pathlib import Path

from ecogvault.files import require_space
from ecogvault.legacy.ciphers import (
    BASE64_START,
    LARGEST_BLOCK,
    SALT_END,
    Combination,
    combinations,
    decryptor,
    padding_of,
    salt_of,
)
from ecogvault.legacy.content import Gunzip, Single, Sink, TarOrSingle
from ecogvault.legacy.errors import LegacyDamaged, NoCombination
from ecogvault.legacy.kinds import Kind, Sign, judge, looks_like_noise
from ecogvault.legacy.unpack import Contents, Unpacked
from ecogvault.legacy.untar import Untar

_HEAD = 4096
_PIECE = 256 * 1024
_ENCRYPTED_SUFFIXES = (".enc", ".des", ".des3", ".aes", ".aes256", ".openssl")
_PACKED_SUFFIXES = {".gz": "", ".tgz": ".tar"}
UNPROVEN = ".unproven"


@dataclass(frozen=True)
class Made:
    """What is known about how an archive was made; None is tried out.

    `nopad`: made with -nopad, so that an end that looks like padding is content. `unproven`: write a single file whose
    content cannot be told from noise, if its padding fits.
    """

    cipher: str | None = None
    digest: str | None = None
    iterations: int | None = None
    nopad: bool = False
    unproven: bool = False


@dataclass(frozen=True)
class Opened:
    """What was opened. `proof` is a sentence; `proven` is False when nothing shows that the content is whole.

    `files` (path, size), `skipped` (path, what it is) and `twice` are named as in the archive, `places` as on disk.
    """

    combination: Combination
    salted: bool
    content: str
    proof: str
    proven: bool
    files: list[tuple[str, int]]
    skipped: list[tuple[str, str]]
    twice: list[str]
    places: list[Path]


def open_legacy(
    archive: Path, password: bytes, directory: Path | None, made: Made | None = None, *, keep_paths: bool = False
) -> Opened:
    """Open `archive` into `directory`, or only read all of it when that is None.

    gzip is proven by its CRC and length, a tar by the walk to its end; a single file only if padding and a known mark
    at its beginning agree, else it gets `.unproven` behind its name. Everything is unpacked into a hidden folder of
    `directory` and named when the end was right; nothing is overwritten. Memory is bounded, but for the list of files.

    Raises NoCombination, LegacyDamaged, Unsupported, UnsafePath, OtherContent, NoSpace, and OSError as it comes.
    """
    made = made or Made()
    with open(archive, "rb", buffering=0) as stream:
        source = _look(archive.name, stream, password)
        combination, kind = _choose(source, made)
        surplus = source.size % combination.block
        if surplus:
            raise LegacyDamaged(f"{archive.name} is cut off: its last block has {surplus} of {combination.block} bytes")
        if directory is None:
            return _read(source, combination, kind, made, Contents())
        unpacked = Unpacked(directory, archive.name)
        try:
            require_space(directory, source.size, what=f"opening {archive.name}")
            opened = _read(source, combination, kind, made, unpacked)
            return replace(opened, places=unpacked.settle(keep_paths=keep_paths))
        finally:
            unpacked.discard()


@dataclass(frozen=True)
class _Source:
    """An archive: its ciphertext begins at `start` and has `size` bytes; `head` and `end` are the first and last."""

    name: str
    stream: FileIO
    password: bytes = field(repr=False)
    salt: bytes
    start: int
    size: int
    head: bytes
    end: bytes


def _look(name: str, stream: FileIO, password: bytes) -> _Source:
    size = os.fstat(stream.fileno()).st_size
    head = os.pread(stream.fileno(), _HEAD + SALT_END, 0)
    salt = salt_of(head)
    start = SALT_END if salt else 0
    if head.startswith(BASE64_START):
        raise NoCombination(f"{name} is in base64 (`openssl enc -a`): decode it first, with `openssl base64 -d`")
    if size <= start:
        raise NoCombination(f"{name} holds nothing that could be decrypted")
    end = os.pread(stream.fileno(), 2 * LARGEST_BLOCK, max(start, size - 2 * LARGEST_BLOCK))
    return _Source(name, stream, password, salt, start, size - start, head[start:], end)


def _choose(source: _Source, made: Made) -> tuple[Combination, Kind]:
    """How the archive was made, and what it holds. Raises NoCombination."""
    tried = list(combinations(made.cipher, made.digest, made.iterations))
    kinds = {combination: _judge(source, combination, made) for combination in tried}
    best = max(tried, key=lambda combination: kinds[combination].sign)
    if kinds[best].sign > Sign.NOTHING:
        return best, kinds[best]
    if not made.unproven:
        raise NoCombination(
            f"no combination of cipher and digest fits this password: it is wrong, or {source.name} is not an `openssl"
            " enc` archive, or its beginning is damaged (a single file that is short or looks like noise cannot be told"
            " from a wrong password: --unproven writes it all the same)"
        )
    fitting = [one for one in tried if not source.size % one.block]
    if not made.nopad:
        fitting = [one for one in fitting if _ends_with_padding(source, one)]
    if not fitting:
        raise NoCombination(
            f"no combination of cipher and digest fits this password, not even at the end of {source.name}: the"
            " password may be wrong, or the archive is cut off, or it was made with other options (--pbkdf2, --nopad)"
        )
    if len(fitting) > 1:
        raise NoCombination(
            f"{len(fitting)} combinations of cipher and digest have an end that fits this password, and nothing else"
            f" tells which is right: the password may be wrong; if you are sure of it and of {source.name}, give"
            " --cipher and --digest"
        )
    return fitting[0], kinds[fitting[0]]


def _judge(source: _Source, combination: Combination, made: Made) -> Kind:
    plain = _decrypt(source, combination, source.head)
    if source.size <= len(source.head) and not made.nopad:
        padding = padding_of(plain, combination.block)
        plain = plain[: len(plain) - padding]
        if padding and not plain:
            return Kind(Sign.FORM, "single", "an empty file")
    kind = judge(plain)
    # Bytes that repeat decrypt to bytes that repeat; what a cipher made is itself noise.
    if kind.sign is Sign.NO_NOISE and not looks_like_noise(source.head):
        return replace(kind, sign=Sign.NOTHING)
    return kind


def _ends_with_padding(source: _Source, combination: Combination) -> bool:
    # In CBC a block depends on the one before it alone, so that the first block here is wrong and the last is right.
    return padding_of(_decrypt(source, combination, source.end), combination.block) > 0


def _decrypt(source: _Source, combination: Combination, text: bytes) -> bytes:
    whole = len(text) - len(text) % combination.block
    return decryptor(combination, source.password, source.salt).update(text[:whole])


def _read(source: _Source, combination: Combination, kind: Kind, made: Made, contents: Contents) -> Opened:
    """Everything from beginning to end. Raises as open_legacy."""
    name = _plain_name(source.name, packed=kind.content == "gzip")
    inner: TarOrSingle | None = None
    sink: Sink
    if kind.content == "gzip":
        inner = TarOrSingle(contents, name)
        sink = Gunzip(inner, combination.block)
    elif kind.content == "tar":
        sink = Untar(contents, combination.block)
    else:
        sink = Single(contents, name, 0 if made.nopad else combination.block)
    _push(source, combination, sink)
    content, proven = kind.form or "a single file", True
    if inner is not None:
        content = "tar in gzip" if inner.is_tar else "a single file in gzip"
        proof = "gzip's CRC and length are right" + (", and the tar is whole to its end" if inner.is_tar else "")
    elif isinstance(sink, Single):
        proof, proven = _proof(kind, padded=sink.padded)
    else:
        content = "tar"
        proof = "the tar is whole to its end; without gzip, nothing shows a change inside its files"
    if not proven:
        contents.rename(name, name + UNPROVEN)
    return Opened(
        combination, bool(source.salt), content, proof, proven, contents.files, contents.skipped, contents.twice, []
    )


def _proof(kind: Kind, *, padded: bool) -> tuple[str, bool]:
    if kind.form is not None and padded:
        return f"{kind.form} and the padding agree; nothing shows a change between beginning and end", True
    if kind.form is not None:
        return (
            f"it begins as {kind.form}, but does not end in padding: it was made with -nopad, or its end is missing",
            False,
        )
    if kind.sign is Sign.NO_NOISE:
        return "it is no noise, so the password seems right, but nothing shows that it is whole", False
    return "the password may be wrong, since nothing tells this from what a wrong one gives", False


def _push(source: _Source, combination: Combination, sink: Sink) -> None:
    """Decrypt all of the ciphertext into `sink`."""
    context = decryptor(combination, source.password, source.salt)
    piece = memoryview(bytearray(_PIECE))
    plain = memoryview(bytearray(_PIECE + LARGEST_BLOCK))
    position = source.start
    source.stream.seek(position)
    try:
        while count := source.stream.readinto(piece):
            position += count
            sink.feed(plain[: context.update_into(piece[:count], plain)])
        if position != source.start + source.size:
            raise LegacyDamaged("it grew or shrank while it was read")
        sink.finish()
    except LegacyDamaged as error:
        near = max(source.start, position - _PIECE)
        raise LegacyDamaged(
            f"{source.name} is damaged between bytes {near} and {position}, or before: {error}; nothing of it was kept"
        ) from None


def _plain_name(name: str, *, packed: bool) -> str:
    """What a single file is called once it is opened."""
    for suffix in _ENCRYPTED_SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            name = name[: -len(suffix)]
            break
    for suffix, instead in _PACKED_SUFFIXES.items() if packed else ():
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)] + instead
    return name

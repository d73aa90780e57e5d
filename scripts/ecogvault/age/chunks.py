"""The payload of an age file: 64 KiB chunks, each with a Poly1305 tag, numbered, the last one marked as last.

Source: C2SP age.md v1, "Payload" (the STREAM construction).
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from ecogvault.age.errors import PayloadError

CHUNK = 64 * 1024
TAG = 16
SEALED_CHUNK = CHUNK + TAG
NONCE_SIZE = 16
BATCH_CHUNKS = 16
"""Chunks that are worked on at once: 1 MiB stays in a core's cache until it has been hashed and written as well."""
BATCH = BATCH_CHUNKS * CHUNK
SEALED_BATCH = BATCH_CHUNKS * SEALED_CHUNK

_Result = TypeVar("_Result")


def sealed_size(header_length: int, plain_size: int) -> int:
    """The size of an age file with a header of `header_length` bytes around `plain_size` bytes of content."""
    return header_length + NONCE_SIZE + plain_size + TAG * chunk_count(plain_size)


def chunk_count(plain_size: int) -> int:
    """How many chunks `plain_size` bytes make; no content makes one empty chunk."""
    return max(1, -(-plain_size // CHUNK))


def plain_size(header_length: int, sealed_size: int) -> int:
    """The inverse of sealed_size. Raises PayloadError when no content has that sealed size."""
    body = sealed_size - header_length - NONCE_SIZE
    chunks, rest = divmod(body, SEALED_CHUNK)
    if body < TAG or 0 < rest < TAG or (rest == TAG and chunks):
        raise PayloadError("the age file is cut off: no content makes a file of this size")
    return body - TAG * (chunks + bool(rest))


def chunk_nonce(number: int, final: bool) -> bytes:
    """The nonce of chunk `number` (from 0): 11 bytes of counter, and one that says whether the chunk is the last."""
    return (number << 8 | final).to_bytes(12, "big")


def seal_chunks(aead: ChaCha20Poly1305, first: int, plain: memoryview, out: memoryview, final: bool) -> int:
    """Encrypt `plain` into `out` as the chunks from number `first` on; returns the bytes written.

    `plain` has whole chunks, unless `final`: then its end is the end of the content.
    """
    position = 0
    for number, start in enumerate(range(0, len(plain) or 1, CHUNK), start=first):
        piece = plain[start : start + CHUNK]
        end = position + len(piece) + TAG
        nonce = chunk_nonce(number, final and start + CHUNK >= len(plain))
        aead.encrypt_into(nonce, piece, None, out[position:end])
        position = end
    return position


def open_chunks(
    aead: ChaCha20Poly1305, first: int, sealed: memoryview, plain: memoryview, final: bool
) -> tuple[int, PayloadError | None]:
    """Decrypt `sealed`, the chunks from number `first` on, into `plain`.

    `sealed` has whole chunks, unless `final`: then its end is the end of the file. Returns how many bytes of `plain`
    are authentic, and what is wrong with the chunk after them, if anything; bytes after those mean nothing.
    """
    done = 0
    for number, start in enumerate(range(0, len(sealed) or 1, SEALED_CHUNK), start=first):
        piece = sealed[start : start + SEALED_CHUNK]
        last = final and start + SEALED_CHUNK >= len(sealed)
        size = len(piece) - TAG
        if size < 0 or (size == 0 and number):
            return done, PayloadError(f"the age file is cut off in {_place(number)}")
        if not _open(aead, chunk_nonce(number, last), piece, plain[done : done + size]):
            # Only a whole chunk can be authentic and in the wrong place: a short one is always the last.
            if size < CHUNK or not _open(aead, chunk_nonce(number, not last), piece, plain[done : done + size]):
                # A part of a chunk and a damaged short chunk look the same.
                what = "cut off or damaged" if size < CHUNK else "damaged"
                return done, PayloadError(f"the age file is {what} in {_place(number)}")
            # The chunk itself is authentic, so it is released; where it stands is what is wrong.
            what = "is cut off before" if last else "has something added after its last chunk, from"
            return done + size, PayloadError(f"the age file {what} {_place(number + 1)}{'' if last else ' on'}")
        done += size
    return done, None


def _place(number: int) -> str:
    return f"chunk {number} (from byte {number * CHUNK} of its content)"


def _open(aead: ChaCha20Poly1305, nonce: bytes, sealed: memoryview, plain: memoryview) -> bool:
    try:
        aead.decrypt_into(nonce, sealed, None, plain)
    except InvalidTag:
        return False
    return True


class InOrder(Generic[_Result]):
    """Runs calls on `threads` threads and hands their results to `done`, in order, on the caller's thread.

    With one thread a call runs at once. Otherwise at most `threads` calls are under way after submit() returns.
    """

    def __init__(self, threads: int, done: Callable[[_Result], object]) -> None:
        self._pool = ThreadPoolExecutor(threads, "age") if threads > 1 else None
        self._threads = threads
        self._done = done
        self._running: deque[Future[_Result]] = deque()

    def submit(self, call: Callable[[], _Result]) -> None:
        """Start `call`; may first wait for earlier ones and hand out their results."""
        if self._pool is None:
            self._done(call())
            return
        while len(self._running) >= self._threads:
            self._done(self._running.popleft().result())
        self._running.append(self._pool.submit(call))

    def drain(self) -> None:
        """Wait for all calls and hand out their results."""
        while self._running:
            self._done(self._running.popleft().result())

    def __enter__(self) -> "InOrder[_Result]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the threads, after what they are doing; results that were not handed out are dropped."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

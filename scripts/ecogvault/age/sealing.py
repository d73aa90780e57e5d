"""Writing age files: from beginning to end, or any part of one by itself."""

from collections.abc import Callable
from functools import partial
from types import TracebackType

from ecogvault.age.chunks import (
    BATCH,
    BATCH_CHUNKS,
    CHUNK,
    NONCE_SIZE,
    SEALED_BATCH,
    SEALED_CHUNK,
    InOrder,
    chunk_count,
    seal_chunks,
    sealed_size,
)
from ecogvault.age.envelope import Envelope
from ecogvault.age.source import ReadAt, Sink, reading_into
from ecogvault.errors import EcogvaultError


class SourceChanged(EcogvaultError):
    """Content that is being encrypted on the way ended before its announced size."""


class Sealer:
    """Encrypts what is written and hands the age file, piece by piece, to `sink`.

    Buffers are reused: `sink` must be done with its view when it returns. Large writes (over 1 MiB) are encrypted
    from where they are, without a copy; with `threads`, the batches of 1 MiB of one write are encrypted in parallel,
    while `sink` runs on the caller's thread. Nothing but close() makes the file whole: leaving a `with` block by an
    exception does not.
    """

    def __init__(self, envelope: Envelope, sink: Sink, *, threads: int = 1) -> None:
        self._aead = envelope.payload_aead()
        self._sink = sink
        self._batches: InOrder[memoryview] = InOrder(threads, sink)
        self._out = [memoryview(bytearray(SEALED_BATCH)) for _ in range(threads + 1 if threads > 1 else 1)]
        self._turn = 0
        self._chunk = 0
        self._pending = memoryview(bytearray(BATCH * threads))
        self._filled = 0
        self._closed = False
        sink(memoryview(envelope.header + envelope.nonce))

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Encrypt `data`; returns its length. `data` is not used any more when this returns."""
        if self._closed:
            raise ValueError("write to a closed Sealer")
        view = memoryview(data).cast("B")
        total = len(view)
        while view:
            if not self._filled and len(view) > BATCH:
                # The last chunk of a write always waits: it may be the last of the file, which is marked as such.
                whole = (len(view) - 1) // CHUNK * CHUNK
                self._seal(view[:whole], final=False)
                view = view[whole:]
            elif self._filled == len(self._pending) or (len(view) > BATCH and self._filled % CHUNK == 0):
                self._seal(self._pending[: self._filled], final=False)
                self._filled = 0
            else:
                room = len(self._pending) - self._filled
                take = min(len(view), -self._filled % CHUNK if len(view) > BATCH else room)
                self._pending[self._filled : self._filled + take] = view[:take]
                self._filled += take
                view = view[take:]
        return total

    def _seal(self, plain: memoryview, *, final: bool) -> None:
        for start in range(0, len(plain) or 1, BATCH):
            piece = plain[start : start + BATCH]
            out = self._out[self._turn]
            self._turn = (self._turn + 1) % len(self._out)
            self._batches.submit(partial(self._batch, self._chunk, piece, out, final and start + BATCH >= len(plain)))
            self._chunk += BATCH_CHUNKS if len(piece) == BATCH else chunk_count(len(piece))
        self._batches.drain()

    def _batch(self, first: int, plain: memoryview, out: memoryview, final: bool) -> memoryview:
        return out[: seal_chunks(self._aead, first, plain, out, final)]

    def close(self) -> None:
        """Encrypt what is left, with the mark of the last chunk. A second call does nothing."""
        if not self._closed:
            self._closed = True
            try:
                self._seal(self._pending[: self._filled], final=True)
            finally:
                self._batches.close()

    def __enter__(self) -> "Sealer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._closed = True
            self._batches.close()


def seal_range(
    envelope: Envelope,
    read_into: Callable[[int, memoryview], int],
    start_chunk: int,
    chunks: int,
    total_plain_size: int,
    *,
    out: bytearray | memoryview | None = None,
) -> memoryview:
    """The sealed bytes of `chunks` chunks from number `start_chunk` on (fewer at the end), without header and nonce.

    `read_into(offset, buffer)` fills a buffer with content from `offset` and returns how much it could. `out`, at least
    `chunks` * 65,552 bytes, is used if given, else a new buffer. The content must be what it was at every earlier call
    with this envelope: the caller checks its digest (a nonce is never used for two contents).

    Raises SourceChanged when the content is shorter than `total_plain_size`, ValueError when there is no such chunk.
    """
    if not 0 <= start_chunk < chunk_count(total_plain_size):
        raise ValueError(f"chunk {start_chunk} of a file of {chunk_count(total_plain_size)}")
    chunks = min(chunks, chunk_count(total_plain_size) - start_chunk)
    sealed = memoryview(bytearray(chunks * SEALED_CHUNK) if out is None else out)
    plain = memoryview(bytearray(min(BATCH, chunks * CHUNK)))
    aead = envelope.payload_aead()
    end = min(total_plain_size, (start_chunk + chunks) * CHUNK)
    position = 0
    for offset in range(start_chunk * CHUNK, max(end, start_chunk * CHUNK + 1), BATCH):
        piece = plain[: min(BATCH, end - offset)]
        if piece and read_into(offset, piece) != len(piece):
            raise SourceChanged(
                f"the content ended before byte {offset + len(piece)} of {total_plain_size}: it changed while it was"
                " read; run again"
            )
        final = offset + len(piece) >= total_plain_size
        position += seal_chunks(aead, offset // CHUNK, piece, sealed[position:], final)
    return sealed[:position]


class SealedView:
    """An age file that is encrypted while it is read, in any order and as often as needed, always to the same bytes.

    The content must not change between reads: see seal_range.
    """

    def __init__(self, envelope: Envelope, plain: ReadAt, plain_size: int | None = None) -> None:
        self._envelope = envelope
        self._head = envelope.header + envelope.nonce
        self._plain_size = plain.size if plain_size is None else plain_size
        self._read = reading_into(plain)
        self.size = sealed_size(len(envelope.header), self._plain_size)

    def read_into(self, offset: int, buffer: memoryview, /) -> int:
        """Fill `buffer` with the sealed bytes from `offset`; fewer only at the end. Raises SourceChanged."""
        length = max(0, min(len(buffer), self.size - offset))
        done = min(length, max(0, len(self._head) - offset))
        buffer[:done] = self._head[offset : offset + done]
        while done < length:
            first, skip = divmod(offset + done - len(self._head), SEALED_CHUNK)
            wanted = min(length - done, SEALED_BATCH - skip)
            chunks = -(-(skip + wanted) // SEALED_CHUNK)
            if skip == 0 and wanted == chunks * SEALED_CHUNK:
                target = buffer[done : done + wanted]
                done += len(seal_range(self._envelope, self._read, first, chunks, self._plain_size, out=target))
            else:
                sealed = seal_range(self._envelope, self._read, first, chunks, self._plain_size)
                buffer[done : done + wanted] = sealed[skip : skip + wanted]
                done += wanted
        return done

    def read_at(self, offset: int, length: int, /) -> memoryview:
        """`length` sealed bytes from `offset`, fewer only at the end."""
        buffer = memoryview(bytearray(max(0, min(length, self.size - offset))))
        self.read_into(offset, buffer)
        return buffer


def chunks_of_range(header_length: int, offset: int, length: int) -> tuple[int, int, int]:
    """Which chunks the sealed bytes `offset` to `offset + length` touch: first, count, and bytes to skip in the first.

    For a range that begins in the header or nonce, the skip is negative: so many bytes come before chunk 0.
    """
    start = offset - header_length - NONCE_SIZE
    first = max(0, start // SEALED_CHUNK)
    end = start + length
    return first, max(0, -(-end // SEALED_CHUNK) - first), start - first * SEALED_CHUNK

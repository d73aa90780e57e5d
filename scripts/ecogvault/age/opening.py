"""Reading age files: from beginning to end with bounded memory, or any range by its own chunks alone."""

from collections.abc import Sequence
from functools import partial

from ecogvault.age.armor import dearmor, dearmoring, looks_armored
from ecogvault.age.chunks import (
    BATCH,
    BATCH_CHUNKS,
    CHUNK,
    NONCE_SIZE,
    SEALED_BATCH,
    SEALED_CHUNK,
    InOrder,
    chunk_count,
    open_chunks,
    plain_size,
)
from ecogvault.age.envelope import Envelope, Identity, open_envelope
from ecogvault.age.errors import ArmorError, HeaderError, PayloadError
from ecogvault.age.header import HEADER_LIMIT, Header, HeaderIncomplete, parse_header
from ecogvault.age.source import BytesSource, Fill, Readable, ReadAt, Sink, filling, filling_after, reading_into, take

_HEAD = 16 * 1024
_ARMORED_LIMIT = 256 * 1024 * 1024
_SPAN_CHUNKS = 4 * BATCH_CHUNKS


def decrypt_stream(reader: Readable, identities: Sequence[Identity], sink: Sink, *, threads: int = 1) -> int:
    """Decrypt an age file, armored or not, read from `reader`, and hand its content to `sink`; returns its size.

    Every byte that `sink` gets is authentic, but only the return of this function says that the content is whole.
    Buffers are reused: `sink` must be done with its view when it returns. Memory: 3 MiB, and 2 MiB for each thread.

    Raises HeaderError, HeaderMacError, NoMatchingIdentity, PayloadError, ArmorError; what `reader` and `sink` raise.
    """
    header, fill = _read_header(filling(reader))
    nonce = take(fill, NONCE_SIZE)
    if len(nonce) != NONCE_SIZE:
        raise HeaderError("the age file is cut off after its header")
    envelope = open_envelope(header, nonce, identities)
    return _decrypt_payload(envelope, fill, sink, threads)


def _read_header(fill: Fill) -> tuple[Header, Fill]:
    head = take(fill, _HEAD)
    if looks_armored(head):
        fill = dearmoring(filling_after(head, fill))
        head = take(fill, _HEAD)
    while True:
        try:
            header = parse_header(head)
        except HeaderIncomplete:
            if len(head) >= HEADER_LIMIT:
                raise HeaderError("the age header is longer than 1 MiB") from None
            more = take(fill, 3 * len(head))
            if not more:
                raise
            head += more
        else:
            return header, filling_after(head[len(header.raw) :], fill)


def _decrypt_payload(envelope: Envelope, fill: Fill, sink: Sink, threads: int) -> int:
    aead = envelope.payload_aead()
    total = 0

    def batch(first: int, sealed: memoryview, plain: memoryview, final: bool) -> tuple[memoryview, PayloadError | None]:
        size, error = open_chunks(aead, first, sealed, plain, final)
        return plain[:size], error

    def release(opened: tuple[memoryview, PayloadError | None]) -> None:
        nonlocal total
        content, error = opened
        if content:
            sink(content)
            total += len(content)
        if error is not None:
            raise error

    # One slot is read ahead, to know whether the slot before it ends the file; the others are being decrypted.
    slots = threads + 2 if threads > 1 else 2
    sealed = [memoryview(bytearray(SEALED_BATCH)) for _ in range(slots)]
    plain = [memoryview(bytearray(BATCH)) for _ in range(slots if threads > 1 else 1)]
    with InOrder(threads, release) as batches:
        turn = first = 0
        size = fill(sealed[0])
        final = False
        while not final:
            following = (turn + 1) % slots
            next_size = fill(sealed[following]) if size == SEALED_BATCH else 0
            final = next_size == 0
            batches.submit(partial(batch, first, sealed[turn][:size], plain[turn % len(plain)], final))
            turn, size = following, next_size
            first += BATCH_CHUNKS
        batches.drain()
    return total


def first_damage(reader: Readable, identities: Sequence[Identity], *, threads: int = 1) -> PayloadError | None:
    """What is wrong with the first chunk that is not as it was sealed; None when all are.

    Reading by range meets the last chunk first, and says what is wrong with that one: this reads from the beginning.
    Raises as decrypt_stream does, but for PayloadError.
    """
    try:
        decrypt_stream(reader, identities, lambda _view: None, threads=threads)
    except PayloadError as error:
        return error
    return None


class Plain:
    """The content of an age file, read by range: only the 64 KiB chunks of a range are fetched and decrypted.

    `size` is proven: the last chunk was authenticated as the last when the file was opened.
    """

    def __init__(self, source: ReadAt, envelope: Envelope) -> None:
        self.envelope = envelope
        self._source = source
        self._read = reading_into(source)
        self._start = len(envelope.header) + NONCE_SIZE
        self._aead = envelope.payload_aead()
        self.size = plain_size(len(envelope.header), source.size)
        self._chunks = chunk_count(self.size)
        self._kept = (-1, memoryview(b""))
        self._chunk(self._chunks - 1)

    def _open(self, first: int, sealed: memoryview, plain: memoryview) -> int:
        """Fetch as many chunks from number `first` on as `sealed` holds, and decrypt them into `plain`."""
        start = self._start + first * SEALED_CHUNK
        expected = min(len(sealed), self._source.size - start)
        if self._read(start, sealed[:expected]) != expected:
            raise PayloadError(f"the age file ended before byte {start + expected}: it was cut off while it was read")
        final = start + expected == self._source.size
        size, error = open_chunks(self._aead, first, sealed[:expected], plain, final)
        if error is not None:
            raise error
        return size

    def _chunk(self, number: int) -> memoryview:
        """The content of one chunk. The last one asked for is kept, for small reads in a row."""
        kept = self._kept
        if kept[0] != number:
            plain = memoryview(bytearray(CHUNK))
            size = self._open(number, memoryview(bytearray(SEALED_CHUNK)), plain)
            kept = self._kept = (number, plain[:size])
        return kept[1]

    def read_at(self, offset: int, length: int, /) -> bytes:
        """`length` bytes of content from `offset`, fewer only at the end. Raises PayloadError."""
        buffer = bytearray(max(0, min(length, self.size - offset)))
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def read_into(self, offset: int, buffer: memoryview, /) -> int:
        """Fill `buffer` from `offset`; returns how many bytes, fewer only at the end.

        Raises PayloadError when a chunk is not authentic; what is in `buffer` then means nothing.
        """
        length = max(0, min(len(buffer), self.size - offset))
        done = 0
        scratch: memoryview | None = None
        while done < length:
            first, skip = divmod(offset + done, CHUNK)
            whole = min(_SPAN_CHUNKS, (length - done) // CHUNK)
            if skip or whole < 2:
                content = self._chunk(first)[skip:][: length - done]
                buffer[done : done + len(content)] = content
                done += len(content)
            else:
                scratch = memoryview(bytearray(whole * SEALED_CHUNK)) if scratch is None else scratch
                done += self._open(first, scratch[: whole * SEALED_CHUNK], buffer[done : done + whole * CHUNK])
        return done


def open_sealed(source: ReadAt, identities: Sequence[Identity]) -> Plain:
    """Open an age file, armored or not, for reading by range. An armored one (at most 256 MiB) is read whole.

    Reads the header and the last chunk. Raises HeaderError, HeaderMacError, NoMatchingIdentity, PayloadError and
    ArmorError.
    """
    head = bytes(source.read_at(0, min(_HEAD, source.size)))
    if looks_armored(head):
        if source.size > _ARMORED_LIMIT:
            raise ArmorError("this armored age file is too large to read by range: decrypt it from beginning to end")
        source = BytesSource(dearmor(bytes(source.read_at(0, source.size))))
        head = bytes(source.read_at(0, min(_HEAD, source.size)))
    header, _ = _read_header(filling_after(head, _rest(source, len(head))))
    nonce = bytes(source.read_at(len(header.raw), NONCE_SIZE))
    if len(nonce) != NONCE_SIZE:
        raise HeaderError("the age file is cut off after its header")
    return Plain(source, open_envelope(header, nonce, identities))


def _rest(source: ReadAt, position: int) -> Fill:
    def fill(buffer: memoryview) -> int:
        nonlocal position
        data = source.read_at(position, min(len(buffer), source.size - position))
        buffer[: len(data)] = data
        position += len(data)
        return len(data)

    return fill

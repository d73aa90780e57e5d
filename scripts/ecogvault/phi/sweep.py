"""One file, looked at in one pass together with hashing: header, contents, annotations, and what lies inside it.

Reading and matching take one core, hashing another; both release the interpreter lock. While a buffer is hashed, the
next is read.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256

from ecogvault.edf import BadRecording, annotation_places, parse_header
from ecogvault.errors import EcogvaultError
from ecogvault.phi.inside import Unreadable, inside
from ecogvault.phi.own_words import HEADER_WORDS, OWN_WORDS
from ecogvault.phi.patterns import Region
from ecogvault.phi.regions import Reader, Span, is_recording, regions_of
from ecogvault.phi.scanner import ByteScanner, Hit, Names
from ecogvault.phi.sources import Bytes, Source

BUFFER = 1024 * 1024
UNREADABLE = "unreadable"
"""The kind of a finding about a compound file that cannot be looked into."""

Found = Callable[[Span, Sequence[Hit], Reader], None]
"""What is told of hits: in which span they are, and where the bytes around them can be read by the hits' offsets."""


class Changed(EcogvaultError):
    """A file is not what its manifest says, or changed while it was read."""


def sweep(
    source: Source,
    coded: str,
    *,
    everyone: Names,
    person: Names | None,
    found: Found,
    label: str = "a file",
    path_words: Collection[str] = OWN_WORDS,
    progress: Callable[[int], None] | None = None,
) -> str | None:
    """Look at one file, tell `found` of every hit, and return the SHA-256 in hex if all of it was read.

    Headers of recordings are looked at for `everyone`, all other bytes for `person`, and not at all if that is None.
    `coded` is the coded path, which decides what the bytes are. Raises Changed if the source is shorter than its size.
    """
    spans = regions_of(coded, source.read, source.size)
    wanted = [span for span in spans if span.place == "header" or person is not None]
    notes = _Notes.of(source, coded, spans, person, HEADER_WORDS | set(path_words), found) if person else None
    digest = sha256()
    with ThreadPoolExecutor(1) as pool:
        for span in wanted:
            is_header = span.place == "header" or person is None
            words = HEADER_WORDS if is_header else HEADER_WORDS | set(path_words)
            names = everyone if is_header or person is None else person
            with ByteScanner(names, span.region, own_words=words, origin=span.start) as scanner:
                for at, data in _buffers(source, span, pool, digest.update, label):
                    hits = scanner.feed(data)
                    if notes and not is_header:
                        notes.feed(data, at)
                        hits = [hit for hit in hits if not notes.hold(hit)]
                    found(span, hits, source.read)
                    if progress is not None:
                        progress(len(data))
                hits = scanner.finish()
                found(span, [hit for hit in hits if not (notes and not is_header and notes.hold(hit))], source.read)
    if person is None:
        return None
    if notes:
        notes.finish()
    sha = digest.hexdigest()
    _look_inside(source, person, HEADER_WORDS | set(path_words), found, sha)
    return sha


def _buffers(
    source: Source, span: Span, pool: ThreadPoolExecutor, hashed: Callable[[memoryview], None], label: str
) -> Iterator[tuple[int, memoryview]]:
    """(offset, bytes) of a span, one buffer after the other; each is hashed while the caller looks at it."""
    size = min(BUFFER, span.end - span.start)
    spare, buffer = memoryview(bytearray(size)), memoryview(bytearray(size))
    hashing: Future[None] | None = None
    at = span.start
    while at < span.end:
        wanted = min(size, span.end - at)
        if source.into(buffer[:wanted], at) != wanted:
            raise Changed(f"{label} became shorter while it was scanned: see who writes to it")
        before, hashing = hashing, pool.submit(hashed, buffer[:wanted])
        yield at, buffer[:wanted]
        at += wanted
        if before is not None:
            before.result()
        buffer, spare = spare, buffer
    if hashing is not None:
        hashing.result()


def _look_inside(source: Source, person: Names, words: Collection[str], found: Found, sha: str) -> None:
    try:
        for inner in inside(source):
            hits = person.in_bytes(inner.data, region=inner.region, own_words=words)
            found(Span(0, len(inner.data), inner.region, part=inner.part), hits, Bytes(inner.data).read)
    except Unreadable:
        # The digest stands for the text around a match: who has looked at this very file may waive it.
        about = sha.encode()
        found(Span(0, len(about), Region.BINARY), [Hit(0, UNREADABLE, "", 0, len(about))], Bytes(about).read)


# --- annotations ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AnnotationSignals:
    """Where the annotation signals of a recording are: `places` in each data record as (offset, length) in bytes.

    `first` is where the first data record begins, `record` the size of each.
    """

    first: int
    record: int
    places: tuple[tuple[int, int], ...]

    def gathered(self, data: memoryview, at: int) -> bytes:
        """The bytes of annotation signals in `data`, which begins at byte `at` of the file, in the file's order."""
        import numpy as np

        end = at + len(data)
        whole = range(-((self.first - at) // self.record), (end - self.first) // self.record)
        if not whole:
            return self._between(data, at, at, end)
        middle, tail = (self.first + self.record * number for number in (whole.start, whole.stop))
        records = np.frombuffer(data[middle - at : tail - at], dtype=np.uint8).reshape(len(whole), self.record)
        columns = [records[:, offset : offset + length] for offset, length in self.places]
        inner = (columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)).tobytes()
        return self._between(data, at, at, middle) + inner + self._between(data, at, tail, end)

    def _between(self, data: memoryview, at: int, low: int, high: int) -> bytes:
        """The same for bytes `low` to `high` of the file, which are in one or two records."""
        pieces = []
        start = self.first + (low - self.first) // self.record * self.record
        while start < high:
            for offset, length in self.places:
                begin, end = max(start + offset, low), min(start + offset + length, high)
                if begin < end:
                    pieces.append(bytes(data[begin - at : end - at]))
            start += self.record
        return b"".join(pieces)

    def offset(self, position: int) -> int:
        """Where in the file byte `position` of all that was gathered from `first` on is."""
        number, within = divmod(position, sum(length for _, length in self.places))
        for offset, length in self.places:
            if within < length:
                return self.first + number * self.record + offset + within
            within -= length
        raise ValueError("no such position")

    def hold(self, hit: Hit) -> bool:
        """Whether a hit lies wholly in an annotation signal."""
        within = (hit.offset - self.first) % self.record
        return hit.offset >= self.first and any(
            offset <= within and within + hit.length <= offset + length for offset, length in self.places
        )


class _Notes:
    """Reads the annotation signals as text, beside the scanner that takes everything behind the header for samples."""

    def __init__(self, signals: AnnotationSignals, scanner: ByteScanner, read: Reader, found: Found) -> None:
        self.hold = signals.hold
        self._signals, self._scanner, self._read, self._found = signals, scanner, read, found
        self._span = Span(signals.first, signals.first, Region.NOTES, part="annotation")

    @classmethod
    def of(
        cls, source: Source, coded: str, spans: Sequence[Span], person: Names, words: Collection[str], found: Found
    ) -> "_Notes | None":
        """None where there are no annotation signals, or no header that says where they are."""
        contents = next((span.start for span in spans if span.place == "contents"), source.size)
        if not is_recording(coded):
            return None
        try:
            header = parse_header(source.read(0, contents))
        except BadRecording:
            return None  # no reader finds annotations in there either; samples are looked at all the same
        places = tuple(place for place in annotation_places(header) if place[1])
        if not places:
            return None
        signals = AnnotationSignals(header.size, header.record_bytes, places)
        notes = cls(signals, ByteScanner(person, Region.NOTES, own_words=words), source.read, found)
        if header.size < contents:  # a wrong header length: what it takes for header is data
            notes.feed(memoryview(source.read(header.size, contents - header.size)), header.size)
        return notes

    def feed(self, data: memoryview, at: int) -> None:
        """The next buffer of contents."""
        self._tell(self._scanner.feed(memoryview(self._signals.gathered(data, at))))

    def finish(self) -> None:
        """The end of the contents."""
        self._tell(self._scanner.finish())

    def _tell(self, hits: Sequence[Hit]) -> None:
        placed = [replace(hit, offset=self._signals.offset(hit.offset)) for hit in hits]
        self._found(self._span, placed, self._read)

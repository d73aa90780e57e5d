"""The scanner: where, in a text or in bytes, a registered person's identifiers are.

The engine is Hyperscan: it reports every match, overlapping ones too, and works without the interpreter lock. Its block
mode is used, with the borders between buffers looked at apart: the Python binding's streams do not own their callbacks.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self, cast

import hyperscan

from ecogvault.person import Person
from ecogvault.phi.own_words import OWN_WORDS
from ecogvault.phi.patterns import LONG_IN_SAMPLES_UTF16, Pattern, Region, patterns_of
from ecogvault.phi.variants import LONG, Variant, variants
from ecogvault.phi.words import CONTEXT, counts, is_readable, is_serial, surroundings

LONG_NUMBER = 7
"""From this many digits on a number between other bytes is no chance."""

FOREIGN = "\u0250"
"""The first letter behind the Latin ones."""

_GROUP = 2000  # patterns in one engine: beyond this the time to compile it grows with the square

__all__ = ["ByteScanner", "Hit", "Names", "Region"]


@dataclass(frozen=True, order=True)
class Hit:
    """A match, without its text: offset (bytes; in `in_text` characters), kind, encoding, the person's index.

    `length` is in bytes, and of no account when hits are compared.
    """

    offset: int
    kind: str
    encoding: str
    person: int
    length: int = field(default=0, compare=False)


@dataclass(frozen=True, repr=False)
class _Compiled:
    patterns: tuple[Pattern, ...]
    databases: tuple[hyperscan.Database, ...]
    longest: int


class Names:
    """The compiled identifiers of some people. Shows nothing of them when printed."""

    def __init__(self, spellings: tuple[frozenset[Variant], ...]) -> None:
        self._spellings = spellings
        self._compiled: dict[bool, _Compiled] = {}

    @classmethod
    def of(cls, persons: Iterable[Person]) -> "Names":
        """The names of `persons`; a Hit's `person` is the position in this order."""
        return cls(tuple(variants(person) for person in persons))

    def __repr__(self) -> str:
        """How many people, and nothing else."""
        return f"Names({len(self._spellings)})"

    def in_text(self, text: str, *, own_words: Collection[str] = OWN_WORDS) -> list[Hit]:
        """Matches in a path, a key, a header field or a line of a log. Offsets count characters of `text`.

        Bytes of a file name that are not UTF-8 (as os.fsdecode gives them) are looked at as Latin-1 and CP1252.
        """
        data = text.encode("utf-8", "surrogateescape")
        hits = self.in_bytes(data, region=Region.TEXT, own_words=own_words)
        return [replace(hit, offset=len(data[: hit.offset].decode("utf-8", "surrogateescape"))) for hit in hits]

    def in_bytes(
        self, data: bytes | bytearray | memoryview, *, region: Region, own_words: Collection[str] = OWN_WORDS
    ) -> list[Hit]:
        """Matches in `data`, by offset."""
        with ByteScanner(self, region, own_words=own_words) as scanner:
            return sorted(scanner.feed(memoryview(data)) + scanner.finish())

    def compiled(self, region: Region) -> _Compiled:
        """The patterns and their engine for one kind of region, made at the first need."""
        if region.is_text not in self._compiled:
            patterns: dict[tuple[bytes, bool], Pattern] = {}
            for person, spellings in enumerate(self._spellings):
                for pattern in patterns_of(person, spellings, text=region.is_text):
                    patterns.setdefault((pattern.expression, pattern.any_case), pattern)
            self._compiled[region.is_text] = _compile(tuple(patterns.values()))
        return self._compiled[region.is_text]

    def longer(self, pattern: Pattern) -> list[str]:
        """The same person's spellings that hold this one and are long enough to count in samples as UTF-16."""
        spellings = self._spellings[pattern.person]
        return [v.text for v in spellings if len(v.text) >= LONG_IN_SAMPLES_UTF16 and pattern.text in v.text]


def _compile(patterns: tuple[Pattern, ...]) -> _Compiled:
    groups = [list(range(first, min(first + _GROUP, len(patterns)))) for first in range(0, len(patterns), _GROUP)]
    return _Compiled(
        patterns,
        tuple(_engine(patterns, group) for group in groups),
        max((pattern.length for pattern in patterns), default=0),
    )


def _engine(patterns: tuple[Pattern, ...], numbers: list[int]) -> hyperscan.Database:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[patterns[number].expression for number in numbers],
        ids=numbers,
        elements=len(numbers),
        flags=[hyperscan.HS_FLAG_CASELESS if patterns[number].any_case else 0 for number in numbers],
    )
    return database


class ByteScanner:
    """Looks for names in a stream of buffers of any size, in one region; offsets are absolute.

    Use as a context manager: `feed` each buffer, then `finish`. A match is reported when the bytes behind it that
    decide whether it counts have been fed. One scanner serves one thread; many may share one Names.
    """

    def __init__(
        self, names: Names, region: Region, *, own_words: Collection[str] = OWN_WORDS, origin: int = 0
    ) -> None:
        self._names = names
        compiled = names.compiled(region)
        self._patterns, self._longest = compiled.patterns, compiled.longest
        self._engines = [(database, hyperscan.Scratch(database)) for database in compiled.databases]
        self._region = region
        self._own_words = own_words
        self._origin = origin
        self._fed = 0
        self._kept = b""  # the last bytes fed: what a match across the border, and the context of a match, may need
        self._waiting: list[tuple[int, Pattern]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._engines = []

    def feed(self, data: memoryview) -> list[Hit]:
        """Look at the next buffer. Returns what is certain by now."""
        if not self._engines or not data:
            return []
        return self._in_context(self._across_the_border(data) + self._matches(data, self._fed), data)

    def finish(self) -> list[Hit]:
        """The end of the stream: returns the matches that were still waiting for bytes behind them."""
        return self._in_context([], memoryview(b""), last=True)

    def _matches(self, data: memoryview, offset: int) -> list[tuple[int, Pattern]]:
        """(absolute offset, pattern) of all matches in `data`, which begins at `offset`."""
        found: list[tuple[int, Pattern]] = []

        def match(number: int, _start: int, end: int, _flags: int, _context: object) -> None:
            pattern = self._patterns[number]
            found.append((offset + end - pattern.length, pattern))

        for database, scratch in self._engines:
            database.scan(cast(bytes, data), match_event_handler=match, scratch=scratch)
        return found

    def _across_the_border(self, data: memoryview) -> list[tuple[int, Pattern]]:
        """The matches that begin in the bytes fed before and end in `data`."""
        reach = self._longest - 1
        before = self._kept[max(len(self._kept) - reach, 0) :]
        if not before:
            return []
        seam = memoryview(before + bytes(data[:reach]))
        found = self._matches(seam, self._fed - len(before))
        return [(at, pattern) for at, pattern in found if at < self._fed < at + pattern.length]

    def _keep(self, data: memoryview, length: int) -> None:
        self._kept = (self._kept + bytes(data[-length:]))[-length:]
        self._fed += len(data)

    def _hits(self, found: Iterable[tuple[int, Pattern]]) -> list[Hit]:
        return [
            Hit(self._origin + at, pattern.kind, pattern.encoding, pattern.person, pattern.length)
            for at, pattern in found
        ]

    def _in_context(self, found: list[tuple[int, Pattern]], data: memoryview, *, last: bool = False) -> list[Hit]:
        """Of the matches found, those that count; the ones too near to the end wait, unless this is the last."""
        border = self._fed
        kept, first = self._kept, self._fed - len(self._kept)

        def at_hand(low: int, high: int) -> bytes:
            early = kept[max(low - first, 0) : max(high - first, 0)]
            return early + bytes(data[max(low - border, 0) : max(high - border, 0)])

        self._keep(data, 2 * CONTEXT + self._longest)
        counted, waiting = [], []
        for at, pattern in self._waiting + found:
            end = at + pattern.length
            if not last and end + CONTEXT > self._fed:
                waiting.append((at, pattern))
                continue
            if self._counts(pattern, at_hand(at - CONTEXT, at), at_hand(end, end + CONTEXT)):
                counted.append((at, pattern))
        self._waiting = waiting
        return self._hits(counted)

    def _counts(self, pattern: Pattern, before_bytes: bytes, after_bytes: bytes) -> bool:
        """Whether a match counts in this region, given the bytes on both sides."""
        is_long = len(pattern.text) >= (LONG_IN_SAMPLES_UTF16 if pattern.is_wide else 0)
        if self._region is Region.BINARY or (self._region is Region.SAMPLES and is_long):
            return True
        before, after = surroundings(before_bytes, after_bytes, encoding=pattern.encoding)
        if self._region is Region.SAMPLES:
            around = unicodedata.normalize("NFD", f"{before}{pattern.text}{after}").lower()
            return any(unicodedata.normalize("NFD", longer) in around for longer in self._names.longer(pattern))
        if self._region is Region.STRINGS and pattern.is_wide and max(pattern.text) < FOREIGN:
            # Chance bytes read as UTF-16 are letters of other scripts, and would make one word with the name.
            before, after = (re.sub(f"[{FOREIGN}-\U0010ffff]", "\0", text) for text in (before, after))
        if not counts(before, pattern.text, after, own_words=self._own_words):
            return False
        if pattern.serial and (self._region is Region.TEXT or not is_serial(before, after)):
            return False
        is_certain = len(pattern.text) >= (LONG_NUMBER if pattern.text.isdigit() else LONG)
        return self._region is not Region.STRINGS or is_certain or is_readable(before, pattern.text, after)

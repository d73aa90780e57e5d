"""What decrypted bytes go through on their way to files: gzip, tar or a single file. Each is fed and then finished."""

import zlib
from typing import Protocol

from ecogvault.legacy.ciphers import padding_of
from ecogvault.legacy.errors import LegacyDamaged
from ecogvault.legacy.kinds import BLOCK, begins_tar
from ecogvault.legacy.untar import Files, Tail, Untar

_GZIP_MAGIC = b"\x1f\x8b\x08"
_MOST_AT_ONCE = 1024 * 1024


class Sink(Protocol):
    """Something that takes a stream. Both methods raise LegacyDamaged, and OSError as it comes."""

    def feed(self, view: memoryview) -> None:
        """The next bytes, valid during the call alone."""

    def finish(self) -> None:
        """The stream has ended; returns if that was where it should end."""

    def where(self) -> str:
        """Which part is being read."""


class Single:
    """One file. `block` is that of the cipher whose padding may end it, 0 when there is none."""

    def __init__(self, files: Files, name: str, block: int) -> None:
        self._files = files
        self._block = block
        self._last = b""
        self.padded = False
        files.begin(name, None, 0)

    def where(self) -> str:
        """There is one file alone."""
        return "in its single file"

    def feed(self, view: memoryview) -> None:
        """The next bytes; the last block is held back, since it may be padding."""
        if self._block:
            data = memoryview(self._last + view)
            cut = max(0, len(data) - self._block)
            self._last = bytes(data[cut:])
            view = data[:cut]
        if view:
            self._files.add(view)

    def finish(self) -> None:
        """Write the last block without its padding; `padded` says whether there was any."""
        count = padding_of(self._last, self._block)
        self.padded = bool(count)
        self._files.add(memoryview(self._last)[: len(self._last) - count])
        self._files.end()


class TarOrSingle:
    """What was inside gzip: a tar, or one file."""

    def __init__(self, files: Files, name: str) -> None:
        self._files = files
        self._name = name
        self._head = b""
        self._sink: Sink | None = None

    @property
    def is_tar(self) -> bool:
        """Known once the first blocks went through."""
        return isinstance(self._sink, Untar)

    def where(self) -> str:
        """Which part is being read."""
        return "at its beginning" if self._sink is None else self._sink.where()

    def feed(self, view: memoryview) -> None:
        """The next bytes."""
        if self._sink is not None:
            self._sink.feed(view)
            return
        self._head += view
        if len(self._head) >= 2 * BLOCK:
            self._decide().feed(memoryview(self._head))
            self._head = b""

    def finish(self) -> None:
        """The end of what gzip held."""
        if self._sink is None:
            self._decide().feed(memoryview(self._head))
        assert self._sink is not None
        self._sink.finish()

    def _decide(self) -> Sink:
        tar = begins_tar(self._head)
        self._sink = Untar(self._files, 0) if tar else Single(self._files, self._name, 0)
        return self._sink


class Gunzip:
    """Inflates a gzip stream of one or more members; zlib compares each one's CRC-32 and length (RFC 1952, 2.3.1)."""

    def __init__(self, sink: Sink, block: int) -> None:
        self._sink = sink
        self._tail = Tail(block)
        self._inflater = zlib.decompressobj(wbits=31)
        self._between: bytes | None = None
        self._ended = False

    def where(self) -> str:
        """Which part of the content is being read."""
        return self._sink.where()

    def feed(self, view: memoryview) -> None:
        """The next bytes; at most 1 MiB is inflated at once, whatever the ratio."""
        data: bytes | memoryview = view
        while data:
            if self._ended:
                self._tail.feed(memoryview(data))
                return
            if self._between is not None:
                data = self._between + bytes(data)
                if len(data) < len(_GZIP_MAGIC) and _GZIP_MAGIC.startswith(data):
                    self._between = data
                    return
                self._between = None
                self._ended = not data.startswith(_GZIP_MAGIC)
                self._inflater = zlib.decompressobj(wbits=31)
                continue
            data = self._inflate(data)

    def finish(self) -> None:
        """Raises LegacyDamaged unless gzip and what it holds ended where they should."""
        if self._between:
            self._tail.feed(memoryview(self._between))
        elif not self._ended and self._between is None:
            raise LegacyDamaged(f"the gzip stream ends before its end, {self.where()}: the archive is cut off")
        self._tail.zeros()
        self._sink.finish()

    def _inflate(self, data: bytes | memoryview) -> bytes:
        try:
            plain = self._inflater.decompress(data, _MOST_AT_ONCE)
        except zlib.error as error:
            text = str(error)
            if "incorrect data check" in text:
                raise LegacyDamaged("gzip's CRC is wrong: a byte in front of it was changed") from None
            if "incorrect length check" in text:
                raise LegacyDamaged("gzip's length is wrong: bytes in front of it were changed or lost") from None
            raise LegacyDamaged(f"gzip cannot be inflated any further, {self.where()}: a byte was changed") from None
        if plain:
            self._sink.feed(memoryview(plain))
        if self._inflater.eof:
            self._between = b""
            return self._inflater.unused_data
        return self._inflater.unconsumed_tail

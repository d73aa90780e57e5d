"""A strict reader of tar streams that are pushed into it: regular files and folders only.

Source: POSIX.1-2001, "ustar Interchange Format" and "pax Interchange Format".
"""

import re
import tarfile
from typing import Protocol

from ecogvault.errors import Damaged
from ecogvault.manifest import is_safe
from ecogvault.tarball.layout import BLOCK
from ecogvault.tarball.target import UnsafePath

_PAX_LIMIT = 1024 * 1024
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE)
_PAX_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ([^=\n]+)=")
_REDIRECTING = ("linkpath", "hdrcharset")


class NotATar(Damaged):
    """The content is not a tar, or not a whole one."""


class Files(Protocol):
    """What the files of a tar are handed to. Views are valid during the call alone."""

    def begin(self, path: str, size: int) -> None:
        """A file of `size` bytes follows."""

    def add(self, view: memoryview) -> None:
        """Its next bytes."""

    def end(self) -> None:
        """It is complete."""


class Untar:
    """Takes a tar stream piece by piece and hands its files on.

    Raises UnsafePath for anything but regular files and folders with plain relative paths, and NotATar.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._block = bytearray()
        self._pax: dict[str, str] = {}
        self._pax_text: bytearray | None = None
        self._left = 0
        self._padding = 0
        self._ended = False
        self._offset = 0

    def feed(self, view: memoryview) -> None:
        """The next bytes of the stream."""
        while view:
            used = self._feed(view)
            self._offset += used
            view = view[used:]

    def finish(self) -> None:
        """Raises NotATar unless the stream ended where a tar ends."""
        if not self._ended or self._left or self._block:
            raise NotATar(f"the tar ends in the middle, after {self._offset} bytes")

    def _feed(self, view: memoryview) -> int:
        if self._left:
            piece = view[: self._left]
            if self._pax_text is None:
                self._files.add(piece)
            else:
                self._pax_text += piece
            self._left -= len(piece)
            if not self._left:
                self._end()
            return len(piece)
        if self._padding:
            used = min(self._padding, len(view))
            self._padding -= used
            return used
        piece = view[: BLOCK - len(self._block)]
        self._block += piece
        if len(self._block) == BLOCK:
            block = bytes(self._block)
            self._block.clear()
            self._header(block)
        return len(piece)

    def _header(self, block: bytes) -> None:
        if not any(block):
            self._ended = True
            return
        if self._ended:
            raise NotATar(f"something follows the end of the tar, at byte {self._offset}")
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError):
            raise NotATar(f"no tar header where one should be, near byte {self._offset}") from None
        size = info.size
        if info.type == tarfile.XHDTYPE and not self._pax:
            if not 0 < size <= _PAX_LIMIT:
                raise NotATar("a pax header of an impossible size")
            self._pax_text = bytearray()
        else:
            path = self._pax.get("path", info.name)
            size = int(self._pax.get("size", size)) if info.type in _REGULAR else size
            self._pax = {}
            if info.type == tarfile.DIRTYPE and is_safe(path.rstrip("/")) and not size:
                return
            if info.type not in _REGULAR:
                raise UnsafePath("the tar holds something that is neither a file nor a folder: nothing of it is opened")
            if not is_safe(path):
                raise UnsafePath("a member's path leads out of its folder, or is not printable ASCII")
            if size < 0:
                raise NotATar("a file of an impossible size")
            self._files.begin(path, size)
        self._left = size
        self._padding = -size % BLOCK
        if not size:
            self._end()

    def _end(self) -> None:
        if self._pax_text is None:
            self._files.end()
            return
        self._pax = _records(bytes(self._pax_text))
        self._pax_text = None
        if any(key in _REDIRECTING or key.startswith("GNU.sparse") for key in self._pax):
            raise UnsafePath("the tar holds a link or a sparse file: nothing of it is opened")


def _records(text: bytes) -> dict[str, str]:
    """The records of a pax header: each is its own length in decimal, a space, key=value and a newline."""
    records: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _PAX_RECORD.match(text, position)
        end = position + int(match[1]) if match else 0
        if match is None or end <= match.end() or text[end - 1 : end] != b"\n":
            raise NotATar("a malformed pax header")
        try:
            records[match[2].decode()] = text[match.end() : end - 1].decode()
        except UnicodeDecodeError:
            raise NotATar("a malformed pax header") from None
        position = end
    if not records.get("size", "0").isdecimal():
        raise NotATar("a malformed pax header")
    return records

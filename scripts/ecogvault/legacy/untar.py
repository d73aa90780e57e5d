"""A reader of the tars of the past, pushed into it piece by piece: v7, ustar, GNU and pax, with raw names.

Source: POSIX.1-2001, "ustar Interchange Format" and "pax Interchange Format"; GNU tar manual, "Basic Tar Format".
"""

import os
import re
import sys
import tarfile
from typing import Protocol

from ecogvault.legacy.ciphers import LARGEST_BLOCK, padding_of
from ecogvault.legacy.errors import LegacyDamaged, Unsupported
from ecogvault.legacy.kinds import BLOCK
from ecogvault.tarball.target import UnsafePath

_EXTENSION_LIMIT = 1024 * 1024
_PAX = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_LONG = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
# Without content, whatever the size in their header says.
_SPECIAL = {
    tarfile.LNKTYPE: "hard link",
    tarfile.SYMTYPE: "symbolic link",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.FIFOTYPE: "named pipe",
}
_LABEL = b"V"
_PAX_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ([^=\n]+)=")


class Files(Protocol):
    """What members are handed to. Paths are relative, without `.` and `..`; views are valid during the call alone."""

    def folder(self, path: str) -> None:
        """A folder."""

    def begin(self, path: str, size: int | None, mtime: float) -> None:
        """A file of `size` bytes follows (None: not known yet)."""

    def add(self, view: memoryview) -> None:
        """Its next bytes."""

    def end(self) -> None:
        """It is complete."""

    def skip(self, path: str, what: str) -> None:
        """A member that is neither file nor folder, and is left out."""


class Tail:
    """What stands behind the end of a gzip stream or a tar: zeros, then padding of the cipher, or nothing."""

    def __init__(self, block: int) -> None:
        self._block = block
        self._size = 0
        self._last = b""

    def feed(self, view: memoryview) -> None:
        """The next bytes. Raises LegacyDamaged."""
        data = self._last + view
        cut = max(0, len(data) - LARGEST_BLOCK)
        if data[:cut].strip(b"\0"):
            raise LegacyDamaged("something other than zeros follows the end of the content")
        self._size += len(view)
        self._last = data[cut:]

    def zeros(self) -> int:
        """How many zeros there were, at the end of the stream. Raises LegacyDamaged when other bytes were there."""
        rest = self._last.lstrip(b"\0")
        if rest and padding_of(rest, self._block) != len(rest):
            raise LegacyDamaged("what follows the end of the content is neither zeros nor the cipher's padding")
        return self._size - len(rest)


class Untar:
    """Takes a tar stream and hands its members on; `block` is that of a cipher whose padding may follow it, else 0.

    Raises LegacyDamaged, UnsafePath for a path that leads out of its folder, and Unsupported.
    """

    def __init__(self, files: Files, block: int) -> None:
        self._files = files
        self._tail = Tail(block)
        self._block = bytearray()
        self._extension: bytearray | None = None
        self._extending = b""
        self._local: dict[str, bytes] = {}
        self._global: dict[str, bytes] = {}
        self._left = 0
        self._padding = 0
        self._writing = False
        self._ended = False
        self._number = 0

    def where(self) -> str:
        """Which member is being read, by its number: a path may hold a name."""
        if self._ended:
            return "after the last member"
        if self._left or self._padding:
            return f"in member {max(self._number, 1)}"
        return f"at the header behind member {self._number}" if self._number else "at the first header"

    def feed(self, view: memoryview) -> None:
        """The next bytes of the stream."""
        while view:
            if self._ended:
                self._tail.feed(view)
                return
            view = view[self._feed(view) :]

    def finish(self) -> None:
        """Raises LegacyDamaged unless the stream ended where a tar ends: two blocks of zeros."""
        if not self._ended or self._tail.zeros() < BLOCK:
            raise LegacyDamaged(f"the tar ends before its end, {self.where()}")

    def _feed(self, view: memoryview) -> int:
        if self._left:
            piece = view[: self._left]
            if self._extension is not None:
                self._extension += piece
            elif self._writing:
                self._files.add(piece)
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
        try:
            info = tarfile.TarInfo.frombuf(block, sys.getfilesystemencoding(), "surrogateescape")
        except tarfile.HeaderError:
            raise LegacyDamaged(f"no tar header where one should be, {self.where()}") from None
        size = info.size
        if info.type in _PAX or info.type in _LONG:
            if not 0 < size <= _EXTENSION_LIMIT:
                raise LegacyDamaged(f"a tar extension header of an impossible size, {self.where()}")
            self._extension = bytearray()
            self._extending = info.type
        else:
            self._number += 1
            size = self._member(info)
        self._left = size
        self._padding = -size % BLOCK
        if not size:
            self._end()

    def _member(self, info: tarfile.TarInfo) -> int:
        """Start a member; returns the size of its content."""
        known = self._global | self._local
        self._local = {}
        if info.type in (tarfile.GNUTYPE_SPARSE, b"M") or any(key.startswith("GNU.sparse") for key in known):
            raise Unsupported(
                f"member {self._number} is a sparse file, or part of one: use `openssl enc -d` and GNU tar"
            )
        try:
            size = int(known.get("size", info.size))
            mtime = float(known.get("mtime", info.mtime))
        except ValueError:
            raise LegacyDamaged(f"a malformed pax header, at member {self._number}") from None
        if size < 0:
            raise LegacyDamaged(f"member {self._number} has an impossible size")
        name = os.fsdecode(known["path"]) if "path" in known else info.name
        if info.type == _LABEL:
            return 0
        path = self._inside(name, folder=info.type == tarfile.DIRTYPE)
        if info.type == tarfile.DIRTYPE:
            if path:
                self._files.folder(path)
            return 0
        if info.type in _SPECIAL:
            self._files.skip(path, _SPECIAL[info.type])
            return 0
        if info.type in _REGULAR:
            self._files.begin(path, size, mtime)
            self._writing = True
        else:
            self._files.skip(path, "of an unknown kind")
        return size

    def _inside(self, name: str, *, folder: bool) -> str:
        """The path without `.` parts. Raises UnsafePath for one that leads out of the folder."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or ".." in parts or "\0" in name or not (parts or folder):
            raise UnsafePath(
                f"the path of member {self._number} is absolute or leads out of its folder: nothing of it is opened"
            )
        return "/".join(parts)

    def _end(self) -> None:
        if self._extension is None:
            if self._writing:
                self._files.end()
            self._writing = False
            return
        text = bytes(self._extension)
        self._extension = None
        if self._extending == tarfile.GNUTYPE_LONGNAME:
            self._local["path"] = text.split(b"\0", 1)[0]
        elif self._extending == tarfile.XGLTYPE:
            self._global |= self._records(text)
        elif self._extending != tarfile.GNUTYPE_LONGLINK:
            self._local |= self._records(text)

    def _records(self, text: bytes) -> dict[str, bytes]:
        """The records of a pax header: each is its own length in decimal, a space, key=value and a newline."""
        records: dict[str, bytes] = {}
        position = 0
        while position < len(text):
            match = _PAX_RECORD.match(text, position)
            end = position + int(match[1]) if match else 0
            if match is None or end <= match.end() or text[end - 1 : end] != b"\n":
                raise LegacyDamaged(f"a malformed pax header, {self.where()}")
            records[match[2].decode(errors="replace")] = text[match.end() : end - 1]
            position = end
        return records

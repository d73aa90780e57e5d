"""A limit of bandwidth that all processes of one user on one machine share, per destination.

The turn of the next byte stands in a small file; whoever sends takes the turns of some bytes under a lock and waits
for them.
"""

import fcntl
import os
import struct
import tempfile
import threading
import time
from pathlib import Path

from ecogvault.stores.errors import BadSettings

_TURN = struct.Struct("<d")
_GRAIN = 64 * 1024  # bytes whose turns are taken at once
_UNUSED = 0.25  # seconds of turns that nobody took and that may be made up for


class Pace:
    """`rate` bytes a second for all who share `file`."""

    def __init__(self, rate: float, file: Path) -> None:
        self._rate = rate
        self._file = file

    @classmethod
    def of(cls, name: str, mib_a_second: float | None) -> "Pace | None":
        """The pace of destination `name`; None when there is no limit."""
        if mib_a_second is None:
            return None
        file = Path(tempfile.gettempdir()) / f"ecogvault-{os.geteuid()}-{name}.pace"
        return cls(float(mib_a_second) * 1024 * 1024, file)

    def wait(self, count: int) -> None:
        """Return when it is the turn of the next `count` bytes. Raises BadSettings for a file that is not ours."""
        pause = self._take(count / self._rate) - time.monotonic()
        if pause > 0:
            threading.Event().wait(pause)

    def _take(self, seconds: float) -> float:
        """Take turns that last so long; returns when they begin (time.monotonic, which begins with the machine)."""
        try:
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise BadSettings(f"bandwidth_mib: {self._file} cannot be used ({error.strerror}): remove it") from error
        try:
            if os.fstat(descriptor).st_uid != os.geteuid():
                raise BadSettings(f"bandwidth_mib: {self._file} is another user's: remove it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            known = os.pread(descriptor, _TURN.size, 0)
            now = time.monotonic()
            turn = _TURN.unpack(known)[0] if len(known) == _TURN.size else 0.0
            # A turn far ahead is one from before the machine was started again.
            begins = max(turn, now - _UNUSED) if turn < now + 3600 else now
            os.pwrite(descriptor, _TURN.pack(begins + seconds), 0)
            return begins
        finally:
            os.close(descriptor)


class PacedBody:
    """A request's body that is read no faster than its pace."""

    def __init__(self, body: bytes | bytearray, pace: Pace) -> None:
        self._body = memoryview(body)
        self._pace = pace
        self._at = self._granted = 0

    def __len__(self) -> int:
        return len(self._body)

    def read(self, size: int = -1) -> bytes:
        """The next `size` bytes, when it is their turn."""
        end = len(self._body) if size < 0 else min(len(self._body), self._at + size)
        while self._granted < end:
            grain = min(_GRAIN, len(self._body) - self._granted)
            self._pace.wait(grain)
            self._granted += grain
        piece = bytes(self._body[self._at : end])
        self._at = end
        return piece

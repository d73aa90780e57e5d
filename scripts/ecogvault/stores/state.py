"""How far one upload has come. Kept in memory here; ecogvault.transfer keeps it on disk."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from threading import RLock
from time import monotonic
from typing import Any

SAVE_EVERY = 1.0  # seconds


@dataclass(frozen=True)
class PartDone:
    """A part that the service has acknowledged. `crc64nvme` and `md5` are hex; `size` is in bytes."""

    etag: str
    crc64nvme: str | None
    md5: str | None
    size: int


@dataclass(frozen=True)
class Whole:
    """The digests, in hex, of the whole object about to be completed."""

    sha256_tree: str
    crc64nvme: str | None
    md5: str | None = None


class UploadState:
    """One key's unfinished upload. Safe to use from several threads.

    `upload_id` is the service's (S3), the temporary file's name (folder), or says only that blocks were sent (Azure).
    `digest` stands for the content: an upload is only resumed for the same. A part that was acknowledged after the last
    save is found again by asking the service, so that parts are saved at most once a second; begin, completing and
    forget are saved at once.
    """

    def __init__(
        self,
        save: Callable[[], None],
        record: Mapping[str, Any] | None = None,
        *,
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        self._save = save
        self._lock = lock or RLock()  # shared by all states that are saved together
        self._saved = 0.0
        known = record or {}
        self.upload_id: str | None = known.get("upload_id")
        self.part_size: int | None = known.get("part_size")
        self.digest: str | None = known.get("digest")
        self.parts: dict[int, PartDone] = {int(n): PartDone(**part) for n, part in known.get("parts", {}).items()}
        self.whole: Whole | None = Whole(**known["whole"]) if known.get("whole") else None

    @classmethod
    def in_memory(cls) -> "UploadState":
        """A state that is kept nowhere."""
        return cls(lambda: None)

    def begin(self, upload_id: str, part_size: int, digest: str) -> None:
        """Start afresh under `upload_id`."""
        with self._lock:
            self.upload_id, self.part_size, self.digest = upload_id, part_size, digest
            self.parts, self.whole = {}, None
            self._save_now()

    def acknowledge(self, number: int, part: PartDone) -> None:
        """Note that the service has part `number` (from 1)."""
        with self._lock:
            self.parts[number] = part
            if monotonic() - self._saved >= SAVE_EVERY:
                self._save_now()

    def completing(self, whole: Whole) -> None:
        """Note, before the last request, what the whole object will be."""
        with self._lock:
            self.whole = whole
            self._save_now()

    def forget(self) -> None:
        """Nothing of this key is unfinished any more."""
        with self._lock:
            known = self.upload_id is not None
            self.upload_id = self.part_size = self.digest = self.whole = None
            self.parts = {}
            if known:
                self._save_now()

    def record(self) -> dict[str, Any] | None:
        """The state as JSON values, or None when there is nothing to remember."""
        with self._lock:
            if self.upload_id is None:
                return None
            return {
                "upload_id": self.upload_id,
                "part_size": self.part_size,
                "digest": self.digest,
                "parts": {str(number): asdict(part) for number, part in sorted(self.parts.items())},
                "whole": asdict(self.whole) if self.whole else None,
            }

    def _save_now(self) -> None:
        self._save()
        self._saved = monotonic()

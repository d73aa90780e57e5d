"""Resumable state of a unit's transfer to one destination, under a lock.

Two files: `{code}/transfer/{destination}/{unit}.json` says how far each upload has come; the other, below the private
folder, keeps what encrypts a file on its way until the receipt is written. Source: DESIGN, section 5.
"""

import base64
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from time import monotonic
from typing import Any

from ecogvault.errors import Damaged
from ecogvault.files import lock, sweep, sync_folder
from ecogvault.records import read_record, utc_now, write_record
from ecogvault.stores.state import SAVE_EVERY, PartDone, UploadState

__all__ = ["PartDone", "Secret", "TransferState", "UploadState", "transfer_state"]

SCHEMA = 1
RATE_OVER = 15.0  # seconds


@dataclass(frozen=True)
class Secret:
    """What one file is encrypted with on its way: the age header as sent, the file key (16 bytes) and the nonce."""

    header: bytes
    file_key: bytes = field(repr=False)
    nonce: bytes = field(repr=False)


class Position:
    """How far a transfer is: bytes done of `total`, and its rate over the last seconds."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self._seen: deque[tuple[float, int]] = deque([(monotonic(), 0)])
        self._said = 0.0

    def advance(self, count: int) -> bool:
        """So many more bytes are done. Whether it is time to say so."""
        now = monotonic()
        self.done += count
        self._seen.append((now, self.done))
        while len(self._seen) > 2 and self._seen[0][0] < now - RATE_OVER:
            self._seen.popleft()
        if now - self._said < SAVE_EVERY:
            return False
        self._said = now
        return True

    def record(self) -> dict[str, Any]:
        """As JSON values; `rate` in bytes a second."""
        began, before = self._seen[0]
        rate = (self.done - before) / max(monotonic() - began, 0.001)
        return {"total": self.total, "done": self.done, "rate": round(rate), "at": utc_now()}


class TransferState:
    """The state of one unit at one destination. Made by `transfer_state`; safe to use from several threads."""

    def __init__(self, path: Path, secrets_path: Path) -> None:
        self._path = path
        self._secrets_path = secrets_path
        self._lock = RLock()
        uploads = _read(
            path, "uploads", f"{path} is damaged: remove it, then run again; unfinished uploads start afresh"
        )
        self._uploads = {key: UploadState(self._save, known, lock=self._lock) for key, known in uploads.items()}
        self._position: Position | None = None
        self._secrets: dict[str, Any] = _read(
            secrets_path,
            "secrets",
            f"{secrets_path} is damaged: remove it, then run again; unfinished encrypted uploads start afresh",
        )

    def expect(self, total: int) -> None:
        """So many bytes are to be brought there, as far as is known beforehand."""
        with self._lock:
            self._position = Position(total)

    def advance(self, count: int) -> None:
        """So many more bytes are there. The state on disk says so at most once a second."""
        with self._lock:
            if self._position is not None and self._position.advance(count):
                self._save()

    def upload(self, key: str) -> UploadState:
        """The state of one object's upload. Nothing is written before it begins."""
        with self._lock:
            return self._uploads.setdefault(key, UploadState(self._save, lock=self._lock))

    @property
    def unfinished(self) -> list[str]:
        """Keys of uploads that were begun and not ended."""
        with self._lock:
            return [key for key, state in self._uploads.items() if state.upload_id is not None]

    def secret(self, key: str, plaintext_sha256: str) -> Secret | None:
        """What `key` was being encrypted with, only if its plaintext (SHA-256 in hex) is still the same.

        For another plaintext the old secret is forgotten: a nonce is never used for two contents.
        """
        with self._lock:
            known = self._secrets.get(key)
            if known is None:
                return None
            if known["plaintext_sha256"] != plaintext_sha256:
                del self._secrets[key]
                self._save_secrets()
                return None
            return Secret(*(base64.b64decode(known[name]) for name in ("header", "file_key", "nonce")))

    def keep_secret(self, key: str, secret: Secret, plaintext_sha256: str) -> None:
        """Have `secret` on disk (0600) before this returns: to be called before the first byte is sent."""
        with self._lock:
            self._secrets[key] = {
                "plaintext_sha256": plaintext_sha256,
                "header": base64.b64encode(secret.header).decode(),
                "file_key": base64.b64encode(secret.file_key).decode(),
                "nonce": base64.b64encode(secret.nonce).decode(),
            }
            self._save_secrets()

    def drop_secret(self, key: str) -> None:
        """The object is confirmed and in the ledger: what encrypted it is forgotten."""
        with self._lock:
            if self._secrets.pop(key, None) is not None:
                self._save_secrets()

    def done(self) -> None:
        """The receipt is written: remove the state and the secrets."""
        with self._lock:
            self._uploads.clear()
            self._secrets.clear()
            for path in (self._secrets_path, self._path):
                if path.exists():
                    path.unlink()
                    sync_folder(path.parent)

    def flush(self) -> None:
        """Write what has not been written yet."""
        with self._lock:
            if self._path.exists() or any(state.upload_id is not None for state in self._uploads.values()):
                self._save()

    def _save(self) -> None:
        with self._lock:
            uploads = {key: record for key, state in self._uploads.items() if (record := state.record()) is not None}
            self._path.parent.mkdir(parents=True, exist_ok=True)
            whole: dict[str, Any] = {"schema": SCHEMA, "uploads": uploads}
            if self._position is not None:
                whole["position"] = self._position.record()
            write_record(self._path, whole)

    def _save_secrets(self) -> None:
        _make_private(self._secrets_path.parent)
        write_record(self._secrets_path, {"schema": SCHEMA, "secrets": self._secrets}, mode=0o600)


def position(path: Path) -> dict[str, Any] | None:
    """How far the transfer with this state on disk is or was (total, done, rate, at), if that is known.

    Raises Damaged, saying what to do.
    """
    try:
        return dict(read_record(path).get("position") or {}) or None
    except FileNotFoundError:
        return None


def unfinished_uploads(path: Path) -> list[str]:
    """The upload ids that a state on disk knows, whoever has its lock. Raises Damaged, saying what to do."""
    uploads = _read(path, "uploads", f"{path} is damaged: remove it, then run again; unfinished uploads start afresh")
    return [str(one["upload_id"]) for one in uploads.values()]


@contextmanager
def transfer_state(path: Path, secrets_path: Path, *, what: str, wait: bool = True) -> Iterator[TransferState]:
    """Open the state of a transfer under an exclusive lock on `{path}` with the suffix `.lock`.

    `what` is how messages call the transfer, such as "the upload of df5c5206_3_vid to s3". With `wait=False` raises
    Locked, naming the process that has it. Raises Damaged, saying what to do.
    """
    with lock(path.with_suffix(".lock"), what=what, wait=wait):
        for each in (path, secrets_path):
            sweep(each.parent, each.name)
        state = TransferState(path, secrets_path)
        try:
            yield state
        finally:
            state.flush()


def _read(path: Path, name: str, damaged: str) -> dict[str, Any]:
    try:
        record = read_record(path)
    except FileNotFoundError:
        return {}
    except Damaged as error:
        raise Damaged(damaged) from error
    if record.get("schema") != SCHEMA:
        raise Damaged(f"{path} is of version {record.get('schema')}, this program reads version {SCHEMA}: update it")
    return dict(record[name])


def _make_private(folder: Path) -> None:
    """Make `folder` and what is missing above it, readable by this user alone."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        os.makedirs(each, mode=0o700, exist_ok=True)

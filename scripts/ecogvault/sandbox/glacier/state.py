"""The service's state on disk and its clock. Below `root`: `clock.json` and a folder for each vault."""

import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from ecogvault.sandbox.glacier.errors import bad, not_found

Record = dict[str, Any]
PAGE = 50
"""Items a page of a listing holds at most ("List Parts", "List Jobs", "List Multipart Uploads": `limit`)."""


class State:
    """All vaults, under one lock. Times are seconds since 1970 by the movable clock."""

    def __init__(self, root: Path, *, region: str, account: str) -> None:
        self.root = root
        self.region = region
        self.account = account
        self.lock = threading.RLock()
        (root / "vaults").mkdir(parents=True, exist_ok=True)
        (root / "arriving").mkdir(exist_ok=True)
        for left in (root / "arriving").iterdir():
            left.unlink()

    def now(self) -> float:
        """The time by the movable clock."""
        return time.time() + float(self.clock()["ahead"])

    def clock(self) -> Record:
        """How many seconds the movable clock is ahead, and how wrong the machine's clock is taken to be."""
        return read(self.root / "clock.json") or {"ahead": 0.0, "skew": 0.0}

    def set_clock(self, **changes: float) -> None:
        """Move the clock."""
        write(self.root / "clock.json", self.clock() | changes)

    def arriving(self) -> Path:
        """A new file for a body that is being received."""
        return self.root / "arriving" / secrets.token_hex(8)

    def folder(self, vault: str) -> Path:
        """The folder of a vault that exists. Raises Refused."""
        folder = self.root / "vaults" / vault
        if not (folder / "vault.json").exists():
            raise not_found(f"Vault not found for ARN: {self.arn(vault)}: vault")
        return folder

    def arn(self, vault: str) -> str:
        """The vault's name among all of Amazon's."""
        return f"arn:aws:glacier:{self.region}:{self.account}:vaults/{vault}"

    def path_of(self, vault: str, collection: str, name: str) -> Path:
        """Where one archive, upload or job of a vault is kept."""
        return self.folder(vault) / collection / name


def read(path: Path) -> Record | None:
    """A JSON file, or None if there is none."""
    try:
        found: Record = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return found


def write(path: Path, record: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}~")
    temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
    os.replace(temporary, path)


def records(folder: Path) -> list[Record]:
    """All JSON files of a folder, by name."""
    return [found for path in sorted(folder.glob("*.json")) if (found := read(path)) is not None]


def new_id(length: int) -> str:
    """An opaque, URL-safe id: 138 characters for an archive, 92 for an upload or a job ("Data model", examples)."""
    return secrets.token_urlsafe(length)[:length].replace("-", "_")


def iso(seconds: float) -> str:
    """A time as the service writes it: `2012-03-20T17:03:43.221Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def page(
    items: list[Record], query: Mapping[str, str], name_of: Callable[[Record], str], *, most: int = PAGE
) -> tuple[list[Record], str | None]:
    """One page of a listing, and the marker of the next one. Raises Refused for a wrong `limit` or `marker`."""
    text = query.get("limit", str(most))
    limit = int(text) if text.isdigit() else 0
    if not 1 <= limit <= most:
        raise bad(f"Invalid limit: {text}: it must be from 1 to {most}")
    marker = query.get("marker")
    start = 0
    if marker:
        names = [name_of(item) for item in items]
        if marker not in names:
            raise bad(f"Invalid marker: {marker[:100]}")
        start = names.index(marker)
    following = items[start + limit] if start + limit < len(items) else None
    return items[start : start + limit], name_of(following) if following else None


class Segments:
    """The bytes of an archive, which lie in one file per part, in order."""

    def __init__(self, folder: Path, segments: list[tuple[str, int]]) -> None:
        self._folder = folder
        self._segments = segments

    def pieces(self, start: int, end: int, *, step: int = 1 << 20) -> Iterator[bytes]:
        """The bytes of the inclusive range, in pieces of at most `step`."""
        position = 0
        for name, size in self._segments:
            first, last = max(start, position), min(end + 1, position + size)
            if first < last:
                with open(self._folder / name, "rb") as stream:
                    stream.seek(first - position)
                    yield from _some(stream, last - first, step)
            position += size


def _some(stream: BinaryIO, count: int, step: int) -> Iterator[bytes]:
    while count:
        data = stream.read(min(step, count))
        if not data:
            raise OSError("an archive on disk is shorter than it was")
        count -= len(data)
        yield data

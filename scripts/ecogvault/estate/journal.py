"""The ledger of adopted copies: `results/{code}/legacy/{destination}.jsonl`, one line for each old object.

A line is `adopted` (what it is, as its name and the listing say), `restored` (it was opened, and which files came out)
or `gone` (a later listing lacks it). Lines are never rewritten. Nothing in it is evidence for the lab's policy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecogvault.oldnames import Old
from ecogvault.paths import Paths
from ecogvault.records import append_journal, read_journal, utc_now


@dataclass(frozen=True)
class Adopted:
    """One old object at a destination. `files` are those that came out of it (path, size, sha256), if it was opened."""

    code: str
    destination: str
    old: Old
    key: str
    archive_id: str | None
    bucket: str | None
    etag: str | None
    size: int
    at: str
    files: tuple[Mapping[str, Any], ...] | None = None

    @property
    def where(self) -> str:
        """What it is known by."""
        return self.archive_id or self.key


def journal_path(paths: Paths, code: str, destination: str) -> Path:
    """Where the adopted copies of a subject at a destination are listed."""
    return paths.subject(code) / "legacy" / f"{destination}.jsonl"


def adopted(paths: Paths, code: str, destination: str) -> list[Adopted]:
    """The old objects of a subject at a destination, in the order of adoption. Raises Damaged."""
    found: dict[str, Adopted] = {}
    for line in read_journal(journal_path(paths, code, destination)):
        where = str(line["archive_id"] or line["key"])
        if line["event"] == "adopted":
            old = Old(code, line["kind"], line["session"], line["part"], line["format"], line["name"])
            found[where] = Adopted(
                code,
                destination,
                old,
                line["key"],
                line["archive_id"],
                line["bucket"],
                line["etag"],
                int(line["size"]),
                str(line["at"]),
            )
        elif line["event"] == "restored" and where in found:
            one = found[where]
            found[where] = Adopted(**{**vars(one), "files": tuple(line["files"])})
        elif line["event"] == "gone":
            found.pop(where, None)
    return list(found.values())


def all_adopted(paths: Paths, destination: str | None = None, code: str | None = None) -> list[Adopted]:
    """The old objects that are known, of every subject and destination or of one. Raises Damaged."""
    found = []
    for path in sorted(paths.results.glob(f"{code or '*'}/legacy/{destination or '*'}.jsonl")):
        found += adopted(paths, path.parent.parent.name, path.stem)
    return found


def note(paths: Paths, one: Adopted, event: str, *, mode: int, group: int | None, **more: Any) -> None:
    """Add a line about an old object, on disk before this returns."""
    line = {
        "event": event,
        "at": utc_now(),
        "key": one.key,
        "archive_id": one.archive_id,
        "bucket": one.bucket,
        "etag": one.etag,
        "size": one.size,
        "format": one.old.format,
        "kind": one.old.kind,
        "session": one.old.session,
        "part": one.old.part,
        "name": one.old.name,
        **more,
    }
    path = journal_path(paths, one.code, one.destination)
    path.parent.mkdir(parents=True, exist_ok=True)
    append_journal(path, line, mode=mode, group=group)

"""One archive out of a vault: asked for, remembered, and fetched beside what is here already.

What was asked for is in a record, so that any later run goes on; a job that is gone before all was fetched is asked for
again, for the rest alone.
"""

import fcntl
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ecogvault import audit
from ecogvault.config import Config
from ecogvault.digests import LEAF, TreeHash
from ecogvault.errors import Damaged
from ecogvault.files import require_space
from ecogvault.records import read_record, write_record
from ecogvault.stores.errors import WrongBytes
from ecogvault.stores.glacier_types import JobGone, JobState
from ecogvault.vault.waiting import Waiting, later

if TYPE_CHECKING:
    from ecogvault.stores.glacier import VaultStore

SCHEMA = "ecogvault-retrieval 1"
_READ = 1024 * 1024


@dataclass(frozen=True)
class Item:
    """An archive of `size` bytes that is to come back; `what` it is called, `code` whose it is.

    What was asked for is noted in `state`; what was fetched is in `partial`.
    """

    what: str
    code: str
    archive_id: str
    size: int
    state: Path
    partial: Path

    @property
    def have(self) -> int:
        """How many bytes of the archive are here."""
        return min(self.partial.stat().st_size, self.size) if self.partial.exists() else 0


def poll(store: "VaultStore", item: Item) -> tuple[dict[str, Any] | None, JobState | None]:
    """What was asked of the vault for this archive, and how far the job is; no job when there is none any more."""
    try:
        job = read_record(item.state)
    except (FileNotFoundError, Damaged):
        return None, None  # asking once more is all that a lost note costs
    if job.get("archive_id") != item.archive_id:
        return None, None
    if not job["job_id"] or item.have == item.size:
        return job, None
    try:
        state = store.job(job["job_id"], item.what)
    except JobGone:
        return job | {"job_id": None}, None
    return (job, state) if state.state != "Failed" else (job | {"job_id": None}, None)


def ask(config: Config, store: "VaultStore", item: Item, kept: Mapping[str, Any]) -> dict[str, Any]:
    """Ask for the archive, or for the rest of it, and remember that, with `kept`. A range begins at a whole MiB."""
    require_space(
        item.partial.parent, max(0, 2 * item.size - item.have), what=f"the archive of {item.what} and its files"
    )
    tier = str(config["tier"] or "Standard")
    start = min(item.have, item.size - 1) // LEAF * LEAF
    wanted = None if start == 0 else (start, item.size - 1)
    audit.record_here(config, "restore", item.code, f"{item.what} asked of {store.where}, {tier}")
    job_id, asked_at = store.request_archive(item.archive_id, item.what, tier=tier, byte_range=wanted)
    job = {"job_id": job_id, "asked_at": asked_at, "tier": tier, "start": start, "archive_id": item.archive_id}
    return keep(config, item, job | dict(kept))


def keep(config: Config, item: Item, job: Mapping[str, Any]) -> dict[str, Any]:
    """Write down what was asked for."""
    item.state.parent.mkdir(parents=True, exist_ok=True)
    write_record(item.state, {"schema": SCHEMA, **job}, mode=config.file_mode)
    return dict(job)


def waiting(job: Mapping[str, Any]) -> Waiting:
    """Until when a job should be done."""
    return Waiting(f"a retrieval ({job['tier']})", later(job["asked_at"], job["tier"]))


def fetch(store: "VaultStore", item: Item, job: Mapping[str, Any]) -> None:
    """Fetch what is lacking of the archive from a job that has ended, beside what is here.

    Raises JobGone, WrongBytes, StoreError.
    """
    descriptor = os.open(item.partial, os.O_RDWR | os.O_CREAT, 0o600)
    with open(descriptor, "r+b", buffering=0) as stream:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        start = int(job["start"])
        have = min(stream.seek(0, os.SEEK_END), item.size)
        if have < start:
            raise JobGone(f"{item.what}: what was fetched before is not here any more")
        for last in (False, True):
            stream.seek(have)
            try:
                for piece in store.output(job["job_id"], item.what, have - start, item.size - start):
                    stream.write(piece)
                break
            except WrongBytes:
                stream.truncate(have)  # a connection may have been at fault: what it brought is brought once more
                if last:
                    raise
        os.fsync(descriptor)


def tree_of(stream: BinaryIO) -> str:
    """The tree hash (hex) of a stream from where it stands; leaves it at its beginning."""
    tree = TreeHash()
    while data := stream.read(_READ):
        tree.update(data)
    stream.seek(0)
    return tree.hexdigest()

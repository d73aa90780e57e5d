"""Old copies from where nothing can be read at once: a vault's jobs, or objects of an archive class, over several runs.

What comes is opened as any old copy is. A vault knows the tree hash of an old archive, and it is compared first.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecogvault import audit, costs, retrieve
from ecogvault.config import Config
from ecogvault.errors import Damaged
from ecogvault.estate.journal import Adopted, all_adopted
from ecogvault.estate.restore import (
    digest_of,
    keep_proof,
    left_aside,
    old_asked,
    open_old,
    opened_folder,
    record_path,
    restore_old,
    store_of,
)
from ecogvault.files import lock
from ecogvault.paths import Paths
from ecogvault.records import read_record
from ecogvault.restore.errors import NotWhatWasArchived
from ecogvault.retrieve.archive import Item, ask, fetch, keep, poll, tree_of, waiting
from ecogvault.retrieve.tasks import Say, Task, follow
from ecogvault.retrieve.thawed import Object, Thawing, thaws
from ecogvault.stores import open_vault
from ecogvault.stores.errors import Archived, WrongBytes
from ecogvault.stores.glacier_types import JobGone, JobState
from ecogvault.vault.waiting import Waiting

if TYPE_CHECKING:
    from ecogvault.stores.glacier import VaultStore

ALREADY = "restored already"


def restore_asked(config: Config, *, say: Say, again: str | None = None) -> None:
    """Restore what is asked for from where nothing can be read at once, be it this program's own or an old copy.

    Raises as retrieve.restore_asked does, and ConfigError without the old password.
    """
    name = str(config["from"])
    found = old_asked(config, name)
    if not found:
        for old in left_aside(config).get(name, [])[:1]:
            say(f"{name} has adopted copies of {old.code}, too: adopted=yes in the same command asks for these alone")
        retrieve.restore_asked(config, say=say, again=again)
        return
    destination = config.destinations[name]
    tasks: list[Task]
    if destination.type == "glacier":
        fresh = [one.size for one in found if not _state(config, one).exists() and not is_here(config, one)]
        costs.require_affordable_retrieval(config, fresh, str(config["tier"] or "Standard"))
        store = open_vault(destination)
        tasks = [OldArchive(config, store, one) for one in found]
    else:
        tasks = [OldObject.of(config, one, say) for one in found]
    follow(config, name, tasks, say=say, again=again)


def is_here(config: Config, one: Adopted) -> bool:
    """Whether an old copy was restored and what came out is where it was put."""
    path = record_path(Paths.of(config), one)
    try:
        read_record(path)
    except (FileNotFoundError, Damaged):
        return False
    return opened_folder(one, path.parent).is_dir()


@dataclass
class OldArchive:
    """The restore of an old archive from a vault; a task of `follow`."""

    config: Config
    store: "VaultStore"
    one: Adopted
    _job: dict[str, Any] | None = None
    _state: JobState | None = None

    @property
    def what(self) -> str:
        """Its old name."""
        return self.one.old.name

    @property
    def item(self) -> Item:
        """The archive; what is fetched of it lies under its own name, by which it is opened."""
        one = self.one
        place = record_path(Paths.of(self.config), one).parent / f".{digest_of(one)}"
        return Item(self.what, one.code, one.where, one.size, _state(self.config, one), place / one.old.name)

    def look(self) -> str | None:
        """Poll the job."""
        if is_here(self.config, self.one):
            return None
        self._job, self._state = poll(self.store, self.item)
        ready = self._state is not None and self._state.state == "Succeeded"
        return str(self._state.completed_at) if ready and self._state else None

    def advance(self) -> Waiting | str:
        """Ask, go on waiting, or fetch, compare and open."""
        item, record = self.item, record_path(Paths.of(self.config), self.one)
        if is_here(self.config, self.one):
            return ALREADY
        item.partial.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with lock(record.with_suffix(".lock"), what=f"the restore of an old copy of {self.one.code}"):
            job = self._job
            if self._state is not None and job is not None:
                if self._state.state == "InProgress":
                    return waiting(job)
                if "tree" not in job:
                    job = keep(self.config, item, job | {"tree": self._state.archive_sha256_tree})
                try:
                    fetch(self.store, item, job)
                except JobGone:
                    job["job_id"] = None
                except WrongBytes:
                    raise NotWhatWasArchived(
                        f"{self.what} from {self.one.destination} came twice with other bytes than the vault confirms: "
                        f"{_otherwise(self.config, self.one)}"
                    ) from None
            if item.have < item.size or job is None or "tree" not in job:
                kept = {"tree": job["tree"]} if job is not None and "tree" in job else {}
                return waiting(ask(self.config, self.store, item, kept))
            return self._open(item, job["tree"])

    def _open(self, item: Item, tree: str | None) -> str:
        audit.record_here(self.config, "restore", self.one.code, f"old copy {self.what} from {self.one.destination}")
        with open(item.partial, "rb", buffering=0) as stream:
            if tree is not None and tree_of(stream) != tree:
                item.partial.unlink()
                item.state.unlink(missing_ok=True)
                raise NotWhatWasArchived(
                    f"{self.what} from {self.one.destination} is not what the vault keeps the tree hash of: "
                    f"{_otherwise(self.config, self.one)}"
                )
        came = open_old(self.config, self.one, item.partial, record_path(Paths.of(self.config), self.one).parent)
        keep_proof(self.config, self.one, came)
        item.partial.unlink()
        item.partial.parent.rmdir()
        item.state.unlink(missing_ok=True)
        return str(came)


@dataclass
class OldObject:
    """The restore of an old object of an archive class; a task of `follow`."""

    config: Config
    one: Adopted
    thawing: Thawing

    @classmethod
    def of(cls, config: Config, one: Adopted, say: Say) -> "OldObject":
        """What has to be done for it. Makes no request. Raises BadSettings, ConfigError."""
        store = thaws(store_of(config.destinations[one.destination], one))
        content = f"{one.where} {one.size} {one.etag}"
        return cls(config, one, Thawing(config, store, _state(config, one), one.old.name, one.code, content, say))

    @property
    def what(self) -> str:
        """Its old name."""
        return self.one.old.name

    def look(self) -> str | None:
        """Ask how far the object is, or for it."""
        if is_here(self.config, self.one):
            return None
        record = record_path(Paths.of(self.config), self.one)
        record.parent.mkdir(parents=True, exist_ok=True)
        self.thawing.look([Object(self.one.key, None, self.one.size, None)], record.parent)
        return self.thawing.until

    def advance(self) -> Waiting | str:
        """Fetch and open it once it can be read."""
        if is_here(self.config, self.one):
            return ALREADY
        if self.thawing.waits:
            return self.thawing.waiting()
        audit.record_here(self.config, "restore", self.one.code, f"old copy {self.what} from {self.one.destination}")
        try:
            came = restore_old(self.config, self.one)
        except Archived:
            self.look()  # the temporary copy ended in the middle
            if not self.thawing.waits:
                raise
            return self.thawing.waiting()
        self.thawing.forget()
        return str(came)


def _otherwise(config: Config, one: Adopted) -> str:
    """What to do when an old archive is damaged: where the same is adopted from, as far as names tell."""
    same = (one.old.kind, one.old.session, one.old.part)
    others = sorted(
        {
            other.destination
            for other in all_adopted(Paths.of(config), code=one.code)
            if (other.old.kind, other.old.session, other.old.part) == same and other.destination != one.destination
        }
    )
    if others:
        return f"this copy is damaged, take another one: from={others[0]}"
    return (
        "this copy is damaged, and no other adopted copy of it is known: adopt what other places have "
        "(`ecogvault adopt --from DEST`)"
    )


def _state(config: Config, one: Adopted) -> Path:
    return Paths.of(config).old_retrieval(one.destination, one.code, digest_of(one))

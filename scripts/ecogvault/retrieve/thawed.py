"""Units, or one file of one, out of S3's archive classes and Azure's Archive tier.

An object is brought back whole, and within the store: once it can be read it is restored as from anywhere else. A set
of files is fetched as its objects become readable, so that nothing ends before all of them are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from ecogvault import audit, ledger
from ecogvault.config import Config
from ecogvault.errors import Damaged
from ecogvault.files import require_space
from ecogvault.paths import Paths
from ecogvault.pool import run_all
from ecogvault.records import read_record, write_record
from ecogvault.restore import again, asked, restore_file, restore_unit
from ecogvault.restore.fetch import partial_path
from ecogvault.restore.suspect import judged
from ecogvault.restore.unit import restore_some
from ecogvault.retrieve.tasks import Say
from ecogvault.stores import open_store
from ecogvault.stores.errors import Archived, BadSettings
from ecogvault.stores.thaw import HOURS, Readiness, Thaws
from ecogvault.vault.waiting import Waiting, plus

SCHEMA = "ecogvault-thaw 1"
AT_ONCE = 8  # requests
DAYS = 7  # that temporary copies stay, unless the configuration says otherwise
LATE = 1.0  # hours after which to look again for what should have been there


@dataclass(frozen=True)
class Object:
    """One object of `size` bytes; `path` is that of its file in the manifest, None for what lies beside the files."""

    key: str
    version_id: str | None
    size: int
    path: str | None


@dataclass
class Thawing:
    """What is asked of a store so that some objects can be read, and what of them was fetched; on disk in `state`."""

    config: Config
    store: Thaws
    state: Path
    what: str
    code: str
    content: str
    say: Say
    ready: list[Object] = field(default_factory=list)
    waits: dict[str, str] = field(default_factory=dict)
    until: str | None = None

    def look(self, objects: Sequence[Object], here: Path) -> None:
        """Ask how far each object is that was not fetched, and for those that nobody asked for yet.

        Afterwards `ready` can be read (until `until` at least), and `waits` has when each other should be there.
        `here` is the folder that must have room for what comes. Raises StoreError, NoSpace.
        """
        note = self._read()
        wanted = [one for one in objects if one.key not in note["have"]]
        seen: dict[str, Readiness] = {}

        def see(one: Object) -> None:
            seen[one.key] = self.store.readiness(one.key, one.version_id)

        run_all(see, wanted, at_once=AT_ONCE)
        self.ready = [one for one in wanted if seen[one.key].state == "here"]
        self.until = min((seen[one.key].until or "~" for one in self.ready), default=None)
        archived = [one for one in wanted if seen[one.key].state == "archived"]
        if archived:
            require_space(here, sum(one.size for one in wanted), what=f"restoring {self.what}")
            self._ask(note, archived, seen)
        self.waits = {one.key: self._due(note, one, seen[one.key]) for one in wanted if seen[one.key].state != "here"}

    def _ask(self, note: dict[str, Any], archived: Sequence[Object], seen: dict[str, Readiness]) -> None:
        tier, days = str(self.config["tier"] or "Standard"), int(self.config["days"] or DAYS)
        size = sum(one.size for one in archived)
        count = f"{len(archived)} objects" if len(archived) > 1 else archived[0].key
        audit.record_here(self.config, "restore", self.code, f"{self.what} asked of {self.store.where}, {tier}")
        noting = Lock()

        def ask(one: Object) -> None:
            found = seen[one.key]
            self.store.thaw(one.key, one.version_id, storage_class=found.storage_class, tier=tier, days=days)
            with noting:
                note["asked"][one.key] = plus(found.now, HOURS[found.storage_class][tier])

        try:
            run_all(ask, archived, at_once=AT_ONCE)
        finally:
            self._write(note)
        self.say(
            f"{self.what}: {count}, {size} bytes, asked of {self.store.where} ({tier}): an object comes back whole, "
            f"and {self.store.stays(days)}"
        )
        if self.config["max_cost"] is not None:
            self.say(f"{self.what}: max_cost is not compared with that: the file of prices knows vaults alone")

    def _due(self, note: dict[str, Any], one: Object, found: Readiness) -> str:
        """When an object that was asked for should be there, whoever asked for it."""
        hours = HOURS[found.storage_class]
        due = str(note["asked"].get(one.key) or plus(found.now, hours.get(str(self.config["tier"]), hours["Standard"])))
        return due if due > found.now else plus(found.now, LATE)

    def fetched(self, objects: Iterable[Object]) -> None:
        """Note that these are here: they are not asked for again."""
        note = self._read()
        note["have"] = sorted({*note["have"], *(one.key for one in objects)})
        self._write(note)

    def forget(self) -> None:
        """Remove the note."""
        self.state.unlink(missing_ok=True)

    def waiting(self) -> Waiting:
        """What is waited for."""
        return Waiting(f"{len(self.waits)} objects", max(self.waits.values()))

    def _read(self) -> dict[str, Any]:
        try:
            note = read_record(self.state)
        except (FileNotFoundError, Damaged):
            note = {}
        same = note.get("content") == self.content
        return {"have": note["have"], "asked": dict(note["asked"])} if same else {"have": [], "asked": {}}

    def _write(self, note: dict[str, Any]) -> None:
        self.state.parent.mkdir(parents=True, exist_ok=True)
        write_record(self.state, {"schema": SCHEMA, "content": self.content, **note}, mode=self.config.file_mode)


@dataclass
class ThawedUnit:
    """The restore of one unit, or of its one file `path`; a task of `follow`."""

    config: Config
    wanted: asked.Wanted
    copy: ledger.Copy
    record: Path
    thawing: Thawing

    @classmethod
    def of(cls, config: Config, wanted: asked.Wanted, say: Say) -> "ThawedUnit":
        """What has to be done for a unit or file. Makes no request. Raises NothingThere, BadSettings, ConfigError."""
        paths = Paths.of(config)
        name, unit = wanted.destination, wanted.unit
        copy = ledger.newest_copy(config, unit, name)
        record = paths.restored_record(name, unit, wanted.path)
        state = paths.retrieval(name, unit).with_name(f"{record.stem}.thaw.json")
        store = thaws(open_store(config.destinations[name], unit.kind))
        content = f"{copy.generation} {copy.manifest_sha256}"
        thawing = Thawing(config, store, state, wanted.path or str(unit), unit.code, content, say)
        return cls(config, wanted, copy, record, thawing)

    @property
    def what(self) -> str:
        """The unit, or the file by its path in the manifest."""
        return self.thawing.what

    def look(self) -> str | None:
        """Ask how far the objects are, and for those that nobody asked for."""
        if self._is_restored():
            return None
        self.record.parent.mkdir(parents=True, exist_ok=True)
        self.thawing.look(self._objects(), self.record.parent)
        return self.thawing.until

    def advance(self) -> Waiting | str:
        """Fetch what can be read, and restore once all can be."""
        if self._is_restored():
            return "restored already"
        thawing = self.thawing
        try:
            if not thawing.waits:
                remark = self._restore()
                thawing.forget()
                return remark
            paths = [one.path for one in thawing.ready if one.path is not None]
            beside = {one.key for one in self._objects() if one.path is None}
            if self._form == "files" and paths and not beside & thawing.waits.keys():
                restore_some(self.config, self.wanted.unit, self.wanted.destination, paths, self.record)
                thawing.fetched(one for one in thawing.ready if one.path is not None)
        except Archived:
            # A temporary copy ended in the middle, or what was noted as fetched is not here any more.
            thawing.forget()
            self.look()
            if not thawing.waits:
                raise
        return thawing.waiting()

    @property
    def _form(self) -> str:
        return self.copy.form

    def _restore(self) -> str:
        one = self.wanted
        audit.record_here(self.config, "restore", one.unit.code, f"{self.what} from {one.destination}")
        if one.path is not None:
            return restore_file(self.config, one.unit, one.destination, one.path, self.record)
        with judged(self.config, one.unit, one.destination):
            return restore_unit(self.config, one.unit, one.destination, self.record)

    def _is_restored(self) -> bool:
        """Whether this very copy was restored already, and is all there. Raises OtherContent, OSError."""
        return again.missing(self.record, self.copy, self.wanted.path) == []

    def _objects(self) -> list[Object]:
        """The objects that have to be read: all, or the one file's; not a tarball that is here already."""
        tarball = f"{self.wanted.unit}.g{self.copy.generation}.tar.zst.age"
        partial = partial_path(self.record.parent, tarball)
        have = partial.stat().st_size if partial.exists() else None
        return [
            Object(str(one["key"]), one["version_id"], int(one["size"]), one.get("path"))
            for one in self.copy.objects
            if self.wanted.path is None or one.get("path") in (None, self.wanted.path)
            if not (have == one["size"] and str(one["key"]).endswith(".age") and self._form == "tarball")
        ]


def thaws(store: object) -> Thaws:
    """The store as one whose objects may be archived. Raises BadSettings for one that has none."""
    if not isinstance(store, Thaws):
        raise BadSettings("tier: only copies in S3, Azure and vaults can be asked for: leave it out here")
    return store

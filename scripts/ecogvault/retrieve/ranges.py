"""One file of a unit out of a vault: only header, index, manifest and the file's own frames are asked for, by range.

Where the unit's index is here, one round asks for all of it. Otherwise the first asks for the archive's beginning and
end, the second for what the index then names. Ranges are whole MiB. One that is a node of the archive's tree comes with
a tree hash, and is widened to one where that is not much more;
any other is proven by age's own authentication of each chunk and by the file's SHA-256. What came lies in a file with
holes beside the place of the restore until the file is there.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ecogvault import audit, costs
from ecogvault.age import Identity
from ecogvault.age.errors import HeaderError, HeaderMacError, PayloadError
from ecogvault.config import Config, Destination
from ecogvault.digests import LEAF
from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.files import lock, require_space, sweep_tree, without_empty_folders
from ecogvault.ledger import NothingThere
from ecogvault.paths import Paths
from ecogvault.records import read_record, write_record
from ecogvault.restore import again
from ecogvault.restore.asked import otherwise
from ecogvault.restore.errors import NotWhatWasArchived
from ecogvault.restore.nothing import no_such_file
from ecogvault.restore.proof import write_proof
from ecogvault.retrieve.whole import Wanted, statement_of
from ecogvault.stores.errors import WrongBytes
from ecogvault.stores.glacier_types import JobGone
from ecogvault.tarball import NoSuchMember, expected_ranges, open_sealed_tarball, read_index_file, sealed_ranges
from ecogvault.vault.waiting import Waiting, later

if TYPE_CHECKING:
    from ecogvault.stores.glacier import VaultStore

SCHEMA = "ecogvault-ranges 1"
ENDS = LEAF  # what of each end is asked for first: age's header is far smaller, and most indexes are
MUCH = 1.25  # a range is widened to a node of the tree if that is at most so many times as long, or a MiB longer

Range = tuple[int, int]  # [first, end) in bytes


class Lacking(EcogvaultError):
    """Bytes of the archive that were not fetched yet are needed."""

    def __init__(self, first: int, end: int) -> None:
        super().__init__(f"bytes {first} to {end} of the archive were not fetched yet")
        self.span = (first, end)


@dataclass(frozen=True)
class Window:
    """The ranges of an archive of `size` bytes that are here, as a source for opening it."""

    descriptor: int
    size: int
    have: Sequence[Range]

    def read_at(self, offset: int, length: int, /) -> bytes:
        """`length` bytes from `offset`, fewer only at the end. Raises Lacking."""
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        if not covers(self.have, (offset, end)):
            raise Lacking(offset, end)
        return os.pread(self.descriptor, end - offset, offset)


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Ranges in order, those that touch or overlap as one. Pure."""
    found: list[Range] = []
    for first, end in sorted(ranges):
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((first, end))
    return found


def covers(have: Iterable[Range], wanted: Range) -> bool:
    """Whether all of `wanted` is in one of `have`, which are merged. Pure."""
    return any(first <= wanted[0] and wanted[1] <= end for first, end in have)


def to_ask(needed: Iterable[Range], have: Iterable[Range], size: int) -> list[Range]:
    """What to ask a vault for: whole MiB, merged, widened to nodes of the tree where that is not much more. Pure.

    Ranges that are apart by less than a MiB are one.
    """
    known = merged(have)
    lacking = [one for one in needed if not covers(known, one)]
    whole = [(first // LEAF * LEAF, min(-(-end // LEAF) * LEAF, size)) for first, end in lacking]
    return [widened(one, size) for one in merged(whole)]


def widened(wanted: Range, size: int) -> Range:
    """The smallest node of the archive's tree around a range of whole MiB, if it is not much longer. Pure.

    Source: Developer Guide, "Receiving Checksums When Downloading Data".
    """
    first, end = wanted
    length = 1
    while True:
        begin = first // LEAF // length * length * LEAF
        stop = min(begin + length * LEAF, size)
        if stop >= end:
            break
        length *= 2
    return (begin, stop) if stop - begin <= max(MUCH * (end - first), end - first + LEAF) else wanted


def advance_file(
    config: Config,
    destination: Destination,
    store: "VaultStore",
    one: Wanted,
    path: str,
    keys: Sequence[Identity],
    say: Callable[[str], None],
) -> Waiting | str:
    """Do what can be done now for one file, by its `path` in the manifest. Returns what waits, or a remark.

    Raises StoreError, StatementError, NothingThere, Damaged, age's and tarball's errors, OSError.
    """
    record = Paths.of(config).restored_record(destination.name, one.unit, path)
    if again.missing(record, one.copy, path) == []:
        return "restored already"
    one.folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        lock(one.folder.parent / f".{one.unit}.lock", what=f"the restore of {one.unit} from {destination.name}"),
        without_empty_folders(one.folder),
    ):
        sweep_tree(one.folder)
        job = _Retrieval(config, store, one, path)
        with open(os.open(job.holes, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0) as stream:
            try:
                job.fetch(destination, stream.fileno())
            except WrongBytes as error:
                advice = otherwise(config, one.unit, destination.name, path)
                raise NotWhatWasArchived(f"{str(error).removesuffix(': run again')}: {advice}") from None
            if job.pending:
                return job.waiting()
            try:
                if "statement" not in job.state:
                    size = one.size
                    raise Lacking(0, min(ENDS, size))
                window = Window(stream.fileno(), one.size, job.have)
                needed = [(first, first + length) for first, length in sealed_ranges(window, keys, [path])]
                wanted = to_ask(needed, job.have, one.size)
                if wanted:
                    return job.ask(wanted)
                opened = open_sealed_tarball(
                    window,
                    keys,
                    one.folder.parent,
                    members=[path],
                    expect_unit=str(one.unit),
                    expect_manifest=job.state["statement"]["manifest_sha256"],
                )
            except Lacking as lacking:
                ends = []
                if not job.have:
                    expected = _expected(config, one, path)
                    ends = [(max(0, one.size - ENDS), one.size), *expected]
                    if not expected:
                        say(
                            f"{path}: where it stands is not known here and asked for first, the file in a second round"
                        )
                return job.ask(to_ask([lacking.span, *ends], job.have, one.size))
            except NoSuchMember:
                raise NothingThere(no_such_file(config, one.unit, path)) from None
            except (Damaged, PayloadError, HeaderError, HeaderMacError) as error:
                job.forget()  # what came may be at fault: the next run asks for it anew
                advice = otherwise(config, one.unit, destination.name, path)
                raise NotWhatWasArchived(f"{path} from {destination.name}: {error}; {advice}") from None
        entries = [entry for entry in opened.manifest if entry.path == path]
        write_proof(record, one.unit, destination.name, one.copy, folder=one.folder, entries=entries, path=path)
        job.forget()
        fetched = sum(end - first for first, end in job.have)
        return f"restored and equal to the manifest of {opened.unit}; {fetched} of {one.size} bytes were fetched"


def _expected(config: Config, one: Wanted, path: str) -> list[Range]:
    """What will be needed, by the unit's index, if one is here and fits: a wrong guess costs another round."""
    try:
        return expected_ranges(read_index_file(Paths.of(config).index(one.unit)), one.size, [path])
    except (FileNotFoundError, Damaged, NoSuchMember):
        return []  # the archive's own index decides


@dataclass(frozen=True)
class VaultFile:
    """The restore of one file by its `path` in the manifest; a task of `follow`."""

    config: Config
    destination: Destination
    store: "VaultStore"
    one: Wanted
    path: str
    keys: Sequence[Identity]
    say: Callable[[str], None]

    @property
    def what(self) -> str:
        """The file."""
        return self.path

    def look(self) -> None:
        """Its ranges are looked at when they are fetched: they are few."""

    def advance(self) -> Waiting | str:
        """See advance_file."""
        return advance_file(self.config, self.destination, self.store, self.one, self.path, self.keys, self.say)


class _Retrieval:
    """What was asked of the vault for one file, and what of it is here; on disk after each step."""

    def __init__(self, config: Config, store: "VaultStore", one: Wanted, path: str) -> None:
        self._config = config
        self._store = store
        self._one = one
        digest = Paths.of(config).restored_record("-", one.unit, path).stem.rpartition(".")[2]
        self._path = one.state.with_name(f"{one.unit}.{digest}.ranges.json")
        self.holes = one.partial.with_name(f"{one.partial.name}.{digest}")
        self.state = self._read()

    def _read(self) -> dict[str, Any]:
        empty: dict[str, Any] = {"archive_id": self._one.archive["archive_id"], "jobs": [], "have": []}
        try:
            known = read_record(self._path)
        except (FileNotFoundError, Damaged):
            return empty
        same = known.get("archive_id") == empty["archive_id"] and self.holes.exists()
        return {key: value for key, value in known.items() if key != "self_sha256"} if same else empty

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_record(self._path, {"schema": SCHEMA, **self.state}, mode=self._config.file_mode)

    @property
    def have(self) -> list[Range]:
        """The ranges that are here, merged."""
        return merged((first, end) for first, end in self.state["have"])

    @property
    def pending(self) -> bool:
        """Whether something was asked for and has not come."""
        return bool(self.state["jobs"])

    def waiting(self) -> Waiting:
        """What is waited for."""
        until = max(later(job["asked_at"], job["tier"]) for job in self.state["jobs"])
        return Waiting(f"{len(self.state['jobs'])} ranges", until)

    def ask(self, ranges: Sequence[Range]) -> Waiting:
        """Ask for ranges, and remember each at once."""
        one, tier = self._one, str(self._config["tier"] or "Standard")
        size = sum(end - first for first, end in ranges)
        require_space(one.folder.parent, 2 * size, what=f"a part of {one.unit} and its files")
        costs.require_affordable_retrieval(self._config, [end - first for first, end in ranges], tier)
        audit.record_here(self._config, "restore", one.unit.code, f"a file of {one.unit} asked of {self._store.where}")
        for first, end in ranges:
            span = None if (first, end) == (0, one.size) else (first, end - 1)
            archive_id = str(one.archive["archive_id"])
            job_id, asked_at = self._store.request_archive(archive_id, str(one.unit), tier=tier, byte_range=span)
            job = {"job_id": job_id, "asked_at": asked_at, "tier": tier, "first": first, "end": end}
            self.state["jobs"].append(job)
            self._write()
        return self.waiting()

    def fetch(self, destination: Destination, descriptor: int) -> None:
        """Fetch what has come. A job that is gone is dropped, and asked for again where its bytes are still needed."""
        for job in list(self.state["jobs"]):
            first, end = int(job["first"]), int(job["end"])
            try:
                state = self._store.job(job["job_id"], str(self._one.unit))
                if state.state == "InProgress":
                    continue
                if state.state == "Succeeded":
                    if "statement" not in self.state:
                        self.state["statement"] = statement_of(self._config, self._store, destination, self._one, job)
                    self._take(job["job_id"], first, end, descriptor)
                    self.state["have"] = [list(one) for one in merged([*self.have, (first, end)])]
            except JobGone:
                pass
            self.state["jobs"].remove(job)
            self._write()

    def _take(self, job_id: str, first: int, end: int, descriptor: int) -> None:
        for last in (False, True):
            position = first
            try:
                for piece in self._store.output(job_id, str(self._one.unit), 0, end - first):
                    position += os.pwrite(descriptor, piece, position)
                break
            except WrongBytes:  # a connection may have been at fault: what it brought is brought once more
                if last:
                    raise
        if position != end:
            raise WrongBytes(f"{self._one.unit}: a range came with another length than was asked for: run again")
        os.fsync(descriptor)

    def forget(self) -> None:
        """Remove what was fetched, and what was noted of it."""
        self._path.unlink(missing_ok=True)
        self.holes.unlink(missing_ok=True)

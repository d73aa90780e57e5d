"""Bringing an old copy back: fetched, opened as `openssl enc` made it, hashed, and compared with what is known here.

What comes out lies below `restored/{destination}/{code}_old/{name}/`, 0700, and never over different files. Of files
whose own names are not made of codes, results and messages hold sizes and digests alone.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecogvault.age import read_passphrase_file
from ecogvault.config import KINDS, Config, ConfigError, Destination
from ecogvault.errors import EcogvaultError
from ecogvault.estate.journal import Adopted, all_adopted, note
from ecogvault.files import lock, require_space, without_empty_folders
from ecogvault.legacy import open_legacy
from ecogvault.manifest import Manifest, sha256_of
from ecogvault.oldnames import OPENSSL, classify
from ecogvault.paths import Paths
from ecogvault.place import Tree
from ecogvault.records import utc_now, write_record
from ecogvault.restore.asked import ANY, agree, named_unit
from ecogvault.restore.fetch import fetched
from ecogvault.stores import Store, open_store
from ecogvault.tarball.target import Target
from ecogvault.verify import chosen_units

SCHEMA = "ecogvault-old-restored 1"
Progress = Callable[[int], None]
_STEP = 1024 * 1024


class NotProven(EcogvaultError):
    """A file came out of which nothing shows that it is right."""


@dataclass(frozen=True)
class Came:
    """What came out of an old copy: `files` with path (below `folder`), size and SHA-256; how many are known here."""

    folder: Path
    files: tuple[dict[str, Any], ...]
    equal: int
    other: int
    proof: str

    def __str__(self) -> str:
        known = f"{self.equal} equal to what is archived here" if self.equal or self.other else "none known here yet"
        other = f", {self.other} of a known name but other content" if self.other else ""
        return f"{len(self.files)} files, {known}{other}; {self.proof}"


def digest_of(one: Adopted) -> str:
    """What tells old copies apart in names of records: 12 hex digits."""
    return hashlib.sha256(one.where.encode()).hexdigest()[:12]


def record_path(paths: Paths, one: Adopted) -> Path:
    """The record of an old copy's restore."""
    return paths.restored / one.destination / f"{one.code}.old.{digest_of(one)}.json"


def find(config: Config, destination: str, code: str, digest: str) -> Adopted:
    """The old copy that a record's name stands for. Raises ConfigError when none is known (any more)."""
    for one in all_adopted(Paths.of(config), destination, code):
        if digest_of(one) == digest:
            return one
    raise ConfigError(f"no old copy of {code} at {destination} is known by that digest: `ecogvault adopt --list`")


def asked(config: Config, name: str) -> list[Adopted]:
    """The old copies at a destination that `subject`, `unit` (or the unit of `file`) and `kind` ask for."""
    unit = named_unit(config)
    code = unit.code if unit else str(config["subject"])
    kind = unit.kind if unit else config["kind"]
    return [
        one
        for one in all_adopted(Paths.of(config), name, code)
        if kind in (None, one.old.kind) and (unit is None or one.old.session in (None, unit.number))
    ]


def old_asked(config: Config, name: object) -> list[Adopted]:
    """The old copies that a restore from `name` is to bring back: where there is no copy of this program's own that is
    asked for, or with `adopted` in the configuration. Raises ConfigError, NotACode.
    """
    only_old = config["adopted"] == "yes"
    if name in config.destinations and (config["unit"] or config["subject"]):
        agree(config)
        found = [] if chosen_units(config, str(name)) and not only_old else asked(config, str(name))
        if found or not only_old:
            return found
    if only_old:
        raise ConfigError(
            "adopted: no adopted copy of what is asked for is known there: name the subject and from=DEST as in "
            "`ecogvault adopt --list`"
        )
    return []


def left_aside(config: Config) -> dict[str, list[Adopted]]:
    """Old copies of the subject or unit that is asked for, by destination, which a restore as it is asked for does not
    take: it takes them from a named destination alone, and there only where nothing else is. Raises as old_asked does.
    """
    if not (config["unit"] or config["subject"] or config["file"]):
        return {}
    agree(config)
    name = config["from"] if config["from"] != ANY else None
    places = [name] if name in config.destinations and chosen_units(config, str(name)) else list(config.destinations)
    return {place: found for place in places if (found := asked(config, place))}


def restore_old(config: Config, one: Adopted, *, root: Path | None = None, progress: Progress | None = None) -> Came:
    """Fetch and open one old copy, write what was found, and note it in its ledger. `root` is where it comes instead.

    Raises ConfigError without a password, StoreError, legacy's errors, NoSpace, NotProven, OSError.
    """
    destination = config.destinations[one.destination]
    store = store_of(destination, one)
    record = record_path(Paths.of(config), one)
    record.parent.mkdir(parents=True, exist_ok=True)
    with lock(record.with_suffix(".lock"), what=f"the restore of an old copy of {one.code}"):
        waiting = record.parent / f".{digest_of(one)}"
        with without_empty_folders(waiting):
            waiting.mkdir(mode=0o700, exist_ok=True)
            require_space(record.parent, 2 * one.size, what=f"the old copy {one.old.name} and its files")
            with fetched(store, one.key, waiting / one.old.name, size=one.size, progress=progress):
                came = open_old(config, one, waiting / one.old.name, root or record.parent)
        waiting.rmdir()
    keep_proof(config, one, came)
    return came


def open_old(config: Config, one: Adopted, content: Path, root: Path) -> Came:
    """Open what was fetched of an old copy (under its own name) into its folder below `root`."""
    folder = opened_folder(one, root)
    with without_empty_folders(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if one.old.format == OPENSSL:
            opened = open_legacy(content, password(config), folder)
            if not opened.proven:
                raise NotProven(f"{one.old.name} was opened, but nothing proves it: {opened.proof}")
            proof = opened.proof
        else:
            _place(Target(folder), content, one.old.name)
            proof = "it was never encrypted, and is as it lay there"
    return compared(config, one.code, folder, proof)


def opened_folder(one: Adopted, root: Path) -> Path:
    """Where below `root` the files of an old copy come."""
    return root / f"{one.code}_old" / one.old.name.partition(".")[0]


def copy_restored(config: Config, one: Adopted, root: Path) -> Came:
    """Have what was restored of an old copy below `root`, too, as it came out. Raises NotProven, NoSpace, OSError."""
    source = opened_folder(one, record_path(Paths.of(config), one).parent)
    paths = sorted(path for path in source.rglob("*") if path.is_file() and not path.is_symlink())
    root.mkdir(parents=True, exist_ok=True)
    require_space(root, sum(path.stat().st_size for path in paths), what=f"the files of {one.old.name}")
    said = sorted((int(each["size"]), str(each["sha256"])) for each in one.files or ())
    if sorted(sha256_of(path) for path in paths) != said:
        raise NotProven(f"{source} holds other files than came out of {one.old.name}: remove it, and restore again")
    target = Target(opened_folder(one, root))
    for path in paths:
        _place(target, path, str(path.relative_to(source)))
    target.finish()
    return compared(config, one.code, target.folder, "as it was restored")


def _place(target: Target, source: Path, path: str) -> None:
    """Have a copy of `source` at `path` of a target, unless it is there already."""
    if target.has(path, *sha256_of(source)):
        return
    file = target.create(path)
    try:
        with open(source, "rb") as stream:
            while data := stream.read(_STEP):
                file.write(memoryview(data))
        target.keep(file)
        target.finish()
    finally:
        file.discard()


def compared(config: Config, code: str, folder: Path, proof: str) -> Came:
    """Hash every file that came out, and look for it, by its own name, in the manifests of this subject."""
    known = _known(config, code)
    files = []
    equal = other = 0
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        size, sha256 = sha256_of(path)
        files.append({"path": str(path.relative_to(folder)), "size": size, "sha256": sha256})
        digests = known.get(path.name.casefold())
        if digests is not None:
            equal += sha256 in digests
            other += sha256 not in digests
    return Came(folder, tuple(files), equal, other, proof)


def keep_proof(config: Config, one: Adopted, came: Came) -> None:
    """Write the record of a restore, and the line in the ledger of old copies."""
    paths = Paths.of(config)
    said = [{**each, "path": each["path"] if classify(each["path"]) else None} for each in came.files]
    note(paths, one, "restored", mode=config.file_mode, group=Tree.of(config).gid, files=said)
    write_record(
        record_path(paths, one),
        {
            "schema": SCHEMA,
            "code": one.code,
            "destination": one.destination,
            "name": one.old.name,
            "format": one.old.format,
            "files": said,
            "equal": came.equal,
            "other": came.other,
            "proof": came.proof,
            "folder": str(came.folder),
            "at": utc_now(),
        },
        mode=0o600,
    )


def store_of(destination: Destination, one: Adopted) -> Store:
    """The store that an old copy lies in: of a destination with several buckets, the one it was listed in."""
    for kind in (one.old.kind, *KINDS):
        if destination.type != "s3" or destination.bucket(kind) == one.bucket:
            return open_store(destination, kind)
    raise ConfigError(f"destinations.{destination.name}.bucket names the old bucket no more: adopt again")


def password(config: Config) -> bytes:
    """The password of the old archives. Raises ConfigError, age.BadIdentity for a file that others may read."""
    path = config["legacy_password_file"]
    if path is None:
        raise ConfigError(
            "legacy_password_file is not set: old archives need the path of a 0600 file with the password"
        )
    try:
        return read_passphrase_file(Path(path))
    except FileNotFoundError:
        raise ConfigError(f"legacy_password_file: there is no file {path}") from None


def _known(config: Config, code: str) -> dict[str, set[str]]:
    """SHA-256 of the files of all manifests of a subject, by their own names, case folded."""
    found: dict[str, set[str]] = {}
    entries: Iterable[Any] = (
        entry for path in sorted(Paths.of(config).subject(code).glob("manifest/*.tsv")) for entry in Manifest.read(path)
    )
    for entry in entries:
        found.setdefault(entry.path.rpartition("/")[2].casefold(), set()).add(entry.sha256)
    return found

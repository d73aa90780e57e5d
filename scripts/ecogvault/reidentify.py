"""The way back: a subject's files under their original names and with their original bytes, for the vendor's viewer.

Taken are the coded files in the results, or else those of a restore, and what de-identification changed in them is
undone from the record in `private/`. Before anything is named, all files of a unit together must give the very manifest
that `private/{code}/units.tsv` has of it: so what comes out is, byte for byte, what went in.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecogvault import natus, registry
from ecogvault.config import Config
from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.files import require_space, temporary_beside
from ecogvault.intake.assignment import UnitState, read_units
from ecogvault.intake.slip import Name, read_names, undo_of
from ecogvault.manifest import Entry, Manifest, sha256_of
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.private import Private, PrivateRefused, refuse_unless_ignored

# A viewer may write into what it opens, but not into videos.
_VIDEOS = (".avi", ".mp4", ".mpg", ".mpeg", ".mov", ".wmv", ".mkv")
_CHUNK = 1024 * 1024
_FOLDER_MODE, _FILE_MODE = 0o700, 0o600
Progress = Callable[[int], None]


class CannotReidentify(EcogvaultError):
    """The files of a unit are not there, or not as they were archived, or may not be written to the folder given."""


@dataclass(frozen=True)
class Done:
    """How many units and files were written, and how many of the files are links to videos."""

    units: int
    files: int
    links: int


def reidentify(
    config: Config,
    private: Private,
    code: str,
    folder: Path,
    *,
    session: int | None = None,
    link: bool = False,
    progress: Progress | None = None,
) -> Done:
    """Write the files of `code`, or of one session of theirs, into `folder`: new or empty, 0700, files 0600.

    Their paths are those in the raw folder, below `part2/` and so on where there are several raw folders. With `link`,
    videos are symbolic links to the coded files. Nothing is left in `folder` when it fails. Raises CannotReidentify,
    RegistryRefused for an unknown code, Damaged, NoSpace, OSError.
    """
    registry.subject(private, code)
    paths = Paths.of(config)
    _refuse_folder(config, private, folder)
    units = _units(paths, code, session)
    names = {unit: read_names(paths, unit) for unit in units}
    bases = {unit: _base(paths, unit, names[unit]) for unit in units}
    if not link:
        coded = [bases[unit] / name.coded for unit in units for name in names[unit] if not name.offset]
        needed = sum(file.stat().st_size for file in coded)
        require_space(folder.parent, needed, what="writing the files under their original names")
    several = len({name.part for some in names.values() for name in some}) > 1
    building = temporary_beside(folder)
    building.mkdir(mode=_FOLDER_MODE)
    try:
        written: set[str] = set()
        links = 0
        for unit, state in units.items():
            entries = []
            changes = undo_of(names[unit])
            for name in names[unit]:
                if name.offset:
                    continue
                undo = changes.get(name.coded, [])
                raw = f"part{name.part}/{name.raw}" if several else name.raw
                target = _inside(building, raw, unit)
                source = bases[unit] / name.coded
                if raw in written:  # a table of the session folder, of which a text was made
                    entries.append(Entry(name.coded, *sha256_of(source)))
                    continue
                written.add(raw)
                if link and not undo and target.suffix.casefold() in _VIDEOS:
                    links += 1
                    target.symlink_to(os.path.abspath(source))
                    entries.append(Entry(name.coded, *sha256_of(source)))
                else:
                    entries.append(_write(source, name.coded, target, undo))
                if progress is not None:
                    progress(entries[-1].size)
            if Manifest.of(entries).sha256 != state.manifest_sha256:
                raise CannotReidentify(_what_differs(paths, unit, entries))
        if folder.is_dir():
            folder.rmdir()
        building.rename(folder)
    except BaseException:
        shutil.rmtree(building)
        raise
    return Done(len(units), len(written), links)


def _refuse_folder(config: Config, private: Private, folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CannotReidentify("the folder for the files is not empty: give a new or an empty one")
    if not folder.parent.is_dir():
        raise CannotReidentify("the folder in which the files' folder is to lie does not exist: make it first")
    paths = Paths.of(config)
    refused = {str(other): other for other in (paths.results, paths.restored, paths.sealed_root, paths.private)}
    for name, destination in config.destinations.items():
        if destination.type == "folder":
            refused[f"destination {name}"] = Path(destination.settings["path"])
    for part in registry.load_parts(private):
        refused[f"a raw folder of {part.code} ({private.private_id(part.path)})"] = part.path
    place = folder.resolve()
    for name, other in refused.items():
        if other.resolve() in (place, *place.parents):
            raise CannotReidentify(f"names may not lie in {name}: give a folder elsewhere")
    try:
        refuse_unless_ignored(folder, probes=("x",))
    except PrivateRefused:
        raise CannotReidentify(
            "names may not lie in a git work tree where they are not ignored: give a folder elsewhere"
        ) from None


def _units(paths: Paths, code: str, session: int | None) -> dict[Unit, UnitState]:
    """The units that were made, session folders first. Raises CannotReidentify when there are none."""
    states = read_units(paths, code)
    made = [unit for unit, state in states.items() if state.generation and session in (None, unit.number)]
    if not made:
        which = f"session {session} of {code}" if session is not None else code
        raise CannotReidentify(f"nothing of {which} was de-identified: `ecogvault order {code}` shows what there is")
    return {unit: states[unit] for unit in sorted(made, key=lambda unit: (unit.kind != "vid", unit))}


def _base(paths: Paths, unit: Unit, names: Sequence[Name]) -> Path:
    """The folder that holds all coded files of a unit: the results, or a restore."""
    restores = sorted(paths.restored.glob(f"*/{unit}"))
    wanted = [name.coded for name in names if not name.offset]
    missing = []
    for base in (paths.subject(unit.code), *restores):
        missing = [coded for coded in wanted if not (base / coded).is_file()]
        if not missing:
            return base
    raise CannotReidentify(
        f"{missing[0]} is neither in the results nor in a restore (nor {len(missing) - 1} others of {unit}): "
        f"snakemake restore --config unit={unit} from=DESTINATION"
    )


def _inside(folder: Path, raw: str, unit: Unit) -> Path:
    """Where a raw path comes below `folder`, whose folders are made."""
    parts = raw.split("/")
    if not raw or any(part in ("", ".", "..") for part in parts):
        raise Damaged(f"private/{unit.code}/names/{unit}.tsv holds a path that leads elsewhere: restore it from a copy")
    here = folder
    for part in parts[:-1]:
        here = here / part
        here.mkdir(mode=_FOLDER_MODE, exist_ok=True)
    return here / parts[-1]


def _write(source: Path, coded: str, target: Path, undo: Sequence[Name]) -> Entry:
    """Write the original of one coded file, and say what the coded one is."""
    whole = next((bytes.fromhex(one.original) for one in undo if one.offset == "*"), None)
    places = [(int(one.offset), bytes.fromhex(one.original)) for one in undo if one.offset != "*"]
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK))
    size = 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
    with open(source, "rb", buffering=0) as stream, os.fdopen(descriptor, "wb") as out:
        while count := stream.readinto(buffer):
            digest.update(buffer[:count])
            natus.overlay(buffer[:count], size, places)
            if whole is None:
                out.write(buffer[:count])
            size += count
        if whole is not None:
            out.write(whole)
    return Entry(coded, size, digest.hexdigest())


def _what_differs(paths: Paths, unit: Unit, entries: Sequence[Entry]) -> str:
    """Which coded file of a unit is not as it was archived, where the manifest is there to say it."""
    advice = f"snakemake restore --config unit={unit} from=DESTINATION, with its files in the results moved away"
    try:
        archived = {entry.path: entry for entry in Manifest.read(paths.manifest(unit))}
    except (FileNotFoundError, Damaged):
        archived = {}
    wrong = next((entry.path for entry in entries if archived and archived.get(entry.path) != entry), None)
    return f"{wrong or f'a file of {unit}'} is not as it was archived: {advice}"

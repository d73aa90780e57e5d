"""Raw files with new sizes or times, compared with what was archived of them.

A hospital's copy made without its times (`cp` without `-p`) looks changed, and is not. What is equal to the unit's
manifest keeps its fingerprint, so that nothing is made or sent again; see intake.refreshed.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecogvault import edf, natus, registry, review
from ecogvault.config import Config
from ecogvault.errors import Damaged
from ecogvault.intake.assignment import UnitState, read_sessions, read_units
from ecogvault.intake.find import RawFile, item_files
from ecogvault.intake.order import Row
from ecogvault.intake.plan import fingerprint
from ecogvault.intake.refreshed import note_refreshed, standing
from ecogvault.intake.settings import DEFAULTS, Settings, made_with, settings_of
from ecogvault.intake.slip import Name, read_names, undo_of
from ecogvault.manifest import Manifest, sha256_of
from ecogvault.naming import RECORDING_KINDS, Unit
from ecogvault.paths import Paths
from ecogvault.private import Private
from ecogvault.registry import Subject

_CHUNK = 1024 * 1024
EQUAL, DIFFERS, UNKNOWN = "equal", "differs", "unknown"
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Moved:
    """A unit whose raw files are not those of its recorded fingerprint by sizes and times. `size` is in bytes."""

    unit: Unit
    state: UnitState
    stat: str
    rows: tuple[Row, ...]
    size: int


@dataclass(frozen=True)
class Finding:
    """What comparing a unit gave (`equal`, `differs`, `unknown`), and a line about it."""

    outcome: str
    line: str


def find_moved(config: Config, private: Private, subject: Subject) -> tuple[list[Moved], int]:
    """The units to compare, and how many are as recorded. Units whose raw files are gone are neither."""
    paths = Paths.of(config)
    states = read_units(paths, subject.code)
    members: dict[Unit, list[Row]] = {}
    for row in read_sessions(paths, subject.code):
        members.setdefault(row.unit, []).append(row)
    moved: list[Moved] = []
    unchanged = 0
    for unit, rows in sorted(members.items()):
        found = _files(private, rows)
        if found is None or unit not in states:
            continue
        stat = fingerprint(private, found, settings_of(config, private, unit))
        if standing(paths, unit, stat) == states[unit].fingerprint:
            unchanged += 1
        else:
            size = sum(one.size for _, some in found for one in some)
            moved.append(Moved(unit, states[unit], stat, tuple(rows), size))
    return moved, unchanged


def refresh_unit(config: Config, private: Private, moved: Moved, progress: Progress | None = None) -> Finding:
    """Read a unit's raw files and compare them; if they are equal to what was archived, remember that.

    Raises Damaged, and OSError as it comes.
    """
    paths = Paths.of(config)
    manifest = _archived(paths, moved)
    if manifest is None:
        return Finding(UNKNOWN, "cannot be told: its manifest is not in the results; the next run makes it anew")
    settings = settings_of(config, private, moved.unit)
    if made_with(paths, moved.unit.code).get(moved.unit, DEFAULTS) != settings:
        return Finding(DIFFERS, "is to be made otherwise (dates or natus): the next run makes a new generation")
    rows = read_names(paths, moved.unit)
    names = [name for name in rows if not name.offset]
    if _raw_paths(private, moved.rows) != {(name.part, name.raw) for name in names}:
        return Finding(DIFFERS, "differs: files were added or taken away; the next run makes a new generation")
    folders = {part.part: part.path for part in registry.parts(private, moved.unit.code)}
    called = {name.raw.rpartition("/")[2]: name.coded.rpartition("/")[2] for name in names}
    archived = {entry.path: entry.sha256 for entry in manifest}
    changes = undo_of(rows)
    for name in names:
        undo = changes.get(name.coded, [])
        source = folders[name.part] / name.raw
        policy, digest, told = edf.read_policy(config["policy"]), archived.get(name.coded), progress or _no_progress
        if not _is_archived(private, source, moved.unit, settings, digest, undo, called, policy, told):
            return Finding(DIFFERS, f"differs in {name.coded}; the next run makes a new generation")
    found = _files(private, moved.rows)
    if found is None or fingerprint(private, found, settings) != moved.stat:
        return Finding(UNKNOWN, "cannot be told: its raw files changed while they were read; run again at rest")
    note_refreshed(private, paths, moved.unit, moved.stat, moved.state.fingerprint)
    return Finding(EQUAL, "new times, old content: nothing is made or sent again")


def _no_progress(count: int) -> None:
    """Tell nobody."""


def _archived(paths: Paths, moved: Moved) -> Manifest | None:
    """The manifest of the unit's newest content, if the results hold it."""
    try:
        manifest = Manifest.read(paths.manifest(moved.unit))
    except (FileNotFoundError, Damaged):
        return None  # said in the finding
    return manifest if manifest.sha256 == moved.state.manifest_sha256 else None


def _files(private: Private, rows: Sequence[Row]) -> list[tuple[str, tuple[RawFile, ...]]] | None:
    """Roles and files of a unit's items as they are now, or None when one is gone."""
    folders = {part.part: part.path for part in registry.parts(private, rows[0].unit.code)}
    try:
        return [(row.role, item_files(folders[row.part], row.role, row.item)) for row in rows]
    except FileNotFoundError:
        return None


def _raw_paths(private: Private, rows: Sequence[Row]) -> set[tuple[int, str]]:
    found = _files(private, rows) or []
    paths = set()
    for row, (_, some) in zip(rows, found, strict=True):
        for one in some:
            inside = one.path if row.item == "." else f"{row.item}/{one.path}"
            paths.add((row.part, row.item if one.path == "." else inside))
    return paths


def _is_archived(
    private: Private,
    source: Path,
    unit: Unit,
    settings: Settings,
    expected: str | None,
    undo: Sequence[Name],
    called: Mapping[str, str],
    policy: edf.Policy,
    progress: Progress,
) -> bool:
    """Whether a raw file is the one that gave the coded file of SHA-256 `expected`.

    `undo` are the records of what de-identification changed: a recording must have had those very bytes in its header,
    a text must be, whole, the one that was coded. `called` are the coded names of a session folder's files.
    """
    if unit.kind in RECORDING_KINDS:
        try:
            edits = review.redaction_edits(private, unit, source)
            digest, changes = edf.scrubbed_sha256(
                source,
                unit.code,
                policy=policy,
                edits=edits,
                shift_days=settings.shift_days,
                where=str(unit),
                progress=progress,
            )
        except edf.BadRecording:
            return False  # no longer a whole recording
        return digest == expected and {(one.offset, one.original) for one in undo} == {
            (str(change.offset), change.before.hex()) for change in changes
        }
    if unit.kind == "vid" and undo:
        return _is_patched(source, unit, expected, undo, called, progress)
    size, digest = sha256_of(source)
    progress(size)
    if unit.kind == "vid":
        return digest == expected
    return [hashlib.sha256(bytes.fromhex(one.original)).hexdigest() for one in undo] == [digest]


def _is_patched(
    source: Path, unit: Unit, expected: str | None, undo: Sequence[Name], called: Mapping[str, str], progress: Progress
) -> bool:
    """Whether a vendor file, with the names in its slots rewritten, is the one of SHA-256 `expected`."""
    try:
        patches = natus.patches(source, unit.session, called)
    except natus.BadNatusFile:
        return False  # no longer a file with known slots
    if {(str(one.offset), one.before.hex()) for one in patches} != {(one.offset, one.original) for one in undo}:
        return False
    places = [(one.offset, one.after) for one in patches]
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK))
    offset = 0
    with source.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            natus.overlay(buffer[:count], offset, places)
            digest.update(buffer[:count])
            offset += count
            progress(count)
    return digest.hexdigest() == expected

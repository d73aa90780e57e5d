"""De-identification of one unit: raw files in, coded files and their manifest out.

The manifest is written last, after the unit's generation was noted: what has a manifest is whole.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

from ecogvault import edf, natus, registry, review, synctext
from ecogvault.config import Config
from ecogvault.errors import EcogvaultError
from ecogvault.files import lock, replacing, require_space, sweep
from ecogvault.intake.assignment import NOTHING_SENT, note_manifest, read_sessions, unit_state
from ecogvault.intake.find import stem
from ecogvault.intake.headers import folder_names_another, names_another
from ecogvault.intake.settings import Settings, settings_of
from ecogvault.intake.slip import Name, RawChanged, read_names, read_slip, write_names
from ecogvault.kept import MadeBy, has_raw, made_in_format
from ecogvault.manifest import Entry, FileChanged, Manifest, entry_of
from ecogvault.naming import RECORDING_KINDS, Unit
from ecogvault.paths import Paths
from ecogvault.place import Change, Tree, make_folder, place_all
from ecogvault.private import Private
from ecogvault.records import write_record

Progress = Callable[[int], None]
RECORD_SCHEMA = "ecogvault-deidentified 1"


class NotThePerson(EcogvaultError):
    """A recording or a session folder names somebody else in its headers."""


def deidentify(
    config: Config,
    private: Private,
    unit: Unit,
    slip: Path,
    manifest: Path,
    progress: Progress | None = None,
    form: int = 1,
    archived: Mapping[int, str] = NOTHING_SENT,
) -> list[str]:
    """Make the unit's coded files and its manifest. Returns remarks for the log. `form` is the rule's format.

    `archived` is the highest generation that was sent anywhere, with its manifest's digest (see note_manifest).
    Where raw files are gone and the coded files are those that were archived, they stay as they are.

    A recording's header is scrubbed, a session folder's files come under coded names, and text outputs get coded names
    inside, or are made of the session folder's own tables. Where dates are shifted, they are everywhere but inside the
    vendor's binary files. Raises NotThePerson, RawChanged, what edf.scrub_file, place_all, synctext.recode and
    synctext.generated raise, and OSError.
    """
    tree = Tree.of(config)
    with tree_lock(config, unit):
        entries = _as_they_were(config, private, unit)
        if entries:
            Manifest.of(entries).write(manifest, mode=tree.file_mode, group=tree.gid)
            return ["its raw files are not there: the coded files stay as they were archived"]
        entries, remarks = _make(config, private, unit, slip, tree, progress, form)
        # Still under the lock: the orphan of a killed run must not note older content after a later run's.
        content = Manifest.of(entries)
        settings = settings_of(config, private, unit)
        generation = note_manifest(private, Paths.of(config), unit, content.sha256, settings, archived)
        content.write(manifest, mode=tree.file_mode, group=tree.gid)
    return [*remarks, f"{len(content)} files, {content.total_size} bytes, generation {generation}"]


def ensure_tree(config: Config, private: Private, unit: Unit, manifest: Manifest) -> None:
    """Make a unit's coded files again where one is missing, for a job that needs them.

    Raises FileChanged when what the raw files give today is not what the manifest says.
    """
    paths = Paths.of(config)
    root = paths.subject(unit.code)
    with tree_lock(config, unit):
        if all((root / entry.path).is_file() for entry in manifest):
            return
        slip = paths.slip(unit, unit_state(paths, unit).fingerprint)
        form = made_in_format(paths, unit)
        entries, _ = _make(config, private, unit, slip, Tree.of(config), None, form)
        if Manifest.of(entries) != manifest:
            raise FileChanged(f"the coded files of {unit} were gone, and the raw files give other ones now: run again")


def tree_lock(config: Config, unit: Unit) -> AbstractContextManager[None]:
    """Serialises whoever makes, reads or removes the coded files of a unit."""
    place = Paths.of(config).subject(unit.code) / "manifest" / f".{unit}.lock"
    return lock(place, what=f"the tree of {unit}")


def _as_they_were(config: Config, private: Private, unit: Unit) -> list[Entry]:
    """The coded files of a unit whose raw files are gone, if together they are what was archived; else none."""
    paths = Paths.of(config)
    root = paths.subject(unit.code)
    state = unit_state(paths, unit)
    coded = [name.coded for name in read_names(paths, unit) if not name.offset]
    if not state.generation or has_raw(paths, private, unit) or not all((root / one).is_file() for one in coded):
        return []
    entries = [entry_of(root, one) for one in coded]
    return entries if Manifest.of(entries).sha256 == state.manifest_sha256 else []


def _make(
    config: Config,
    private: Private,
    unit: Unit,
    slip: Path,
    tree: Tree,
    progress: Progress | None,
    form: int,
) -> tuple[list[Entry], list[str]]:
    paths = Paths.of(config)
    sources = _sources(paths, private, unit, slip)
    root = paths.subject(unit.code)
    make_folder(root, tree, root.parent)
    settings = settings_of(config, private, unit)
    rows = [row for row in read_sessions(paths, unit.code) if row.unit.number == unit.number]
    offset = settings.offset(rows[0].start, config.zone)
    if unit.kind in RECORDING_KINDS:
        return _recording(config, private, unit, sources, tree, settings.shift_days, form)
    if unit.kind == "vid":
        _refuse_foreign_files(paths, private, unit)
        return _folder(paths, private, unit, sources, tree, settings, offset, progress)
    return _texts(paths, private, unit, sources, tree, [row.stem for row in rows], offset)


def _folder(
    paths: Paths,
    private: Private,
    unit: Unit,
    sources: list[tuple[Path, Name]],
    tree: Tree,
    settings: Settings,
    offset: timedelta,
    progress: Progress | None,
) -> tuple[list[Entry], list[str]]:
    """A session folder's files under coded names; with `natus: patch` without the names in their known slots."""
    called = {name.raw.rpartition("/")[2]: name.coded.rpartition("/")[2] for _, name in sources}
    seconds = int(offset.total_seconds())
    changes = {}
    names = [name for _, name in sources]
    remarks = []
    others: set[str] = set()
    for source, name in sources:
        if not natus.slotted(name.raw):
            others.add(name.coded.rpartition(".")[2].casefold())
            continue
        try:
            patches = natus.patches(source, unit.session, called, name.coded)
        except natus.BadNatusFile as error:
            if settings.patches_natus:
                remarks.append(f"left as it is: {error}")
            continue
        if patches and settings.patches_natus:
            after = tuple((one.offset, one.after) for one in patches)
            changes[name.coded] = Change(seconds, after, after)
            names += [Name(name.part, name.raw, name.coded, str(one.offset), one.before.hex()) for one in patches]
        elif patches:
            changes[name.coded] = Change(seconds, (), tuple((one.offset, one.before) for one in patches))
    if settings.patches_natus:
        # Before the files: what undoes a change is there when the change is.
        write_names(private, paths, unit, names)
        remarks.append(f"names rewritten in {sum(bool(one.patches) for one in changes.values())} files")
        if others:
            remarks.append(f"left as they are, since no slots of theirs are known: .{', .'.join(sorted(others))}")
    entries, counts = place_all(
        {name.coded: source for source, name in sources},
        paths.subject(unit.code),
        f"vid/{unit.session}",
        tree,
        changes=changes,
        default=Change(seconds),
        progress=progress,
    )
    return entries, [*remarks, *(f"{count} files {how}" for how, count in sorted(counts.items()))]


def _refuse_foreign_files(paths: Paths, private: Private, unit: Unit) -> None:
    """Raise NotThePerson when a session folder has files of somebody else's, which may have come after acceptance."""
    person = registry.subject(private, unit.code).person
    folders = {part.part: part.path for part in registry.parts(private, unit.code)}
    for row in read_sessions(paths, unit.code):
        if row.unit == unit and folder_names_another(folders[row.part] / row.item, person):
            raise NotThePerson(f"{unit} has files that name another person: take them out, or correct the registry")


def _recording(
    config: Config,
    private: Private,
    unit: Unit,
    sources: list[tuple[Path, Name]],
    tree: Tree,
    shift_days: int,
    form: int,
) -> tuple[list[Entry], list[str]]:
    paths = Paths.of(config)
    source, name = sources[0]
    policy = edf.read_policy(config["policy"])
    if names_another(source, registry.subject(private, unit.code).person, str(unit)):
        raise NotThePerson(f"{unit} names another person in its header: leave it out, or correct the registry")
    root = paths.subject(unit.code)
    target = root / name.coded
    make_folder(target.parent, tree, root.parent)
    sweep(target.parent, target.name)
    require_space(target.parent, source.stat().st_size, what=f"the copy of {name.coded}")
    redactions = review.redaction_digest(private, unit)
    edits = review.redaction_edits(private, unit, source)
    done = edf.scrub_file(
        source,
        target,
        unit.code,
        policy=policy,
        shift_days=shift_days,
        edits=edits,
        reflink=tree.link != "copy",
        mode=tree.file_mode,
        group=tree.gid,
        where=str(unit),
    )
    undo = [Name(name.part, name.raw, name.coded, str(one.offset), one.before.hex()) for one in done.changes]
    write_names(private, paths, unit, [name, *undo])
    make_folder(paths.record(unit).parent, tree, root.parent)
    made_by = MadeBy(policy.digest, redactions, form)
    write_record(paths.record(unit), _record(unit, policy, made_by, done), mode=tree.file_mode, group=tree.gid)
    changed = (
        ", ".join(dict.fromkeys(change.name for change in done.changes[: len(done.changes) - len(edits)])) or "nothing"
    )
    redacted = [f"annotations redacted: {len(edits)}"] if edits else []
    return (
        [Entry(name.coded, done.size, done.sha256)],
        [f"changed in the header: {changed}", *redacted, *(f"noticed: {one}" for one in done.deviations)],
    )


def _record(unit: Unit, policy: edf.Policy, made_by: MadeBy, done: edf.Scrubbed) -> dict[str, Any]:
    """What was met and done in a recording, without any field's content: that stands in the names in `private/`."""
    return {
        "schema": RECORD_SCHEMA,
        "unit": str(unit),
        "policy": {"name": policy.name, "digest": policy.digest},
        "redactions": made_by.redactions,
        "format": made_by.format,
        "changes": [
            {"field": one.name, "signal": one.signal, "offset": one.offset, "length": len(one.after)}
            for one in done.changes
        ],
        "deviations": [
            {"field": one.field, "signal": one.signal, "what": one.what, "mended": one.mended}
            for one in done.deviations
        ],
    }


def _texts(
    paths: Paths,
    private: Private,
    unit: Unit,
    sources: list[tuple[Path, Name]],
    tree: Tree,
    stems: list[str],
    offset: timedelta,
) -> tuple[list[Entry], list[str]]:
    person = registry.subject(private, unit.code).person
    root = paths.subject(unit.code)
    names = []
    entries = []
    made = 0
    for source, name in sources:
        data = source.read_bytes()
        role = name.coded.partition("/")[0]
        where = f"{role} text of {unit}"
        if synctext.is_table(name.raw, role):
            text = synctext.generated(data, role, unit.session, where=f"the .{role} file of {unit}", shift=offset)
            made += 1
        else:
            own = [stem(role, name.raw), *stems]
            text = synctext.recode(data, own, unit.session, person, where=where, shift=offset)
        target = root / name.coded
        make_folder(target.parent, tree, root.parent)
        sweep(target.parent, target.name)
        with replacing(target, mode=tree.file_mode, group=tree.gid) as stream:
            stream.write(text)
        names += [name, Name(name.part, name.raw, name.coded, "*", data.hex())]
        entries.append(entry_of(root, name.coded))
    write_names(private, paths, unit, names)
    return entries, [f"{len(entries)} text outputs, {made} of them made from the session folder's own tables"]


def _sources(paths: Paths, private: Private, unit: Unit, slip: Path) -> list[tuple[Path, Name]]:
    """Each raw file of the unit with its names, as the slip lists them. Raises RawChanged when one is gone."""
    folders = {part.part: part.path for part in registry.parts(private, unit.code)}
    listed = {str(file["path"]) for file in read_slip(slip)["files"]}
    names = [name for name in read_names(paths, unit) if not name.offset]
    if {name.coded for name in names} != listed:
        raise RawChanged(f"the names of {unit} in private/ are not those of its order slip: remove the slip, run again")
    found = [(folders[name.part] / name.raw, name) for name in names]
    for source, name in found:
        if not os.path.isfile(source):
            raise RawChanged(f"the raw file of {name.coded} is not there: mount or copy the raw export again")
    return found

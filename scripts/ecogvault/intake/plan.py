"""What the graph is made of: the units of every open subject, and the fingerprint of each one's raw files.

The main process of a run looks at the raw folders (`look`) and freezes what it saw before the first job (`freeze`).
Jobs, on any node, only read what was frozen (`recorded`): a session that arrives while they wait cannot shift a number.
Source: DESIGN, section 4, "Parse time".
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ecogvault import registry
from ecogvault.config import Config
from ecogvault.errors import EcogvaultError
from ecogvault.intake.assignment import (
    note_fingerprints,
    read_sessions,
    read_units,
    subject_lock,
    write_sessions,
)
from ecogvault.intake.find import RawFile, item_files
from ecogvault.intake.order import Left, Row
from ecogvault.intake.refreshed import read_refreshed
from ecogvault.intake.settings import DEFAULTS, Settings, made_with, settings_with, subject_shift
from ecogvault.intake.survey import survey
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.private import Private
from ecogvault.records import canonical, utc_now
from ecogvault.registry import Subject

FINGERPRINT_DIGITS = 12


class OrderChanged(EcogvaultError):
    """Another process accepted an order for a subject between the planning of a run and its start."""


@dataclass(frozen=True)
class SubjectPlan:
    """What one subject brings to the graph.

    `units` maps each unit to its fingerprint; `new` are rows that this run freezes; `problem` says why the subject is
    stopped; `waiting` counts rows that wait to be accepted; `left` are items that get no number; `outdated` are units
    that were made with other settings and cannot be made anew, since their raw files are gone.
    """

    code: str
    units: Mapping[Unit, str] = field(default_factory=dict)
    new: tuple[Row, ...] = ()
    problem: str | None = None
    waiting: int = 0
    left: tuple[Left, ...] = ()
    outdated: tuple[Unit, ...] = ()


def look(config: Config, private: Private) -> list[SubjectPlan]:
    """The plan of every subject that is neither closed nor erased. Reads the raw folders; writes nothing.

    What is wrong with one subject's export becomes its `problem`, and leaves the others alone.
    """
    plans = []
    for subject in registry.load(private):
        if subject.status in ("closed", "erased"):
            continue
        try:
            plans.append(_plan(config, private, subject))
        except EcogvaultError as error:
            plans.append(SubjectPlan(subject.code, problem=str(error)))
        except OSError as error:
            plans.append(SubjectPlan(subject.code, problem=_unreadable(private, subject.code, error)))
    return plans


def _unreadable(private: Private, code: str, error: OSError) -> str:
    """What an OSError says of a raw path, by private id: its own text holds the path."""
    where = f"{private.private_id(error.filename)} in " if isinstance(error.filename, str | bytes) else ""
    return (
        f"{where}the raw export of {code}: {error.strerror or type(error).__name__}: make it readable, then run again"
    )


def recorded(config: Config, private: Private) -> list[SubjectPlan]:
    """The same as the main process saw it when it froze the order, from `private/` alone."""
    paths = Paths.of(config)
    plans = []
    for subject in registry.load(private):
        if subject.status not in ("closed", "erased"):
            states = read_units(paths, subject.code)
            plans.append(SubjectPlan(subject.code, {unit: state.fingerprint for unit, state in states.items()}))
    return plans


def freeze(config: Config, private: Private, plans: Iterable[SubjectPlan]) -> None:
    """Write what a run was planned with: new rows of the assignment, and every unit's fingerprint.

    Raises OrderChanged when another process accepted rows for a subject in the meantime.
    """
    paths = Paths.of(config)
    for plan in plans:
        if plan.new:
            accept(private, paths, plan.code, plan.new)
        if plan.units:
            note_fingerprints(private, paths, plan.code, dict(plan.units))


def accept(private: Private, paths: Paths, code: str, rows: Sequence[Row]) -> None:
    """Add proposed rows to the assignment, for good, and open the subject. Raises OrderChanged."""
    with subject_lock(private, code):
        before = read_sessions(paths, code)
        if not _fits(before, rows):
            raise OrderChanged(f"the order of {code} was accepted by somebody else in the meantime: run again")
        now = utc_now()
        write_sessions(private, paths, code, [*before, *(replace(row, accepted=now) for row in rows)])
    if registry.subject(private, code).status != "erased":
        registry.set_status(private, code, "open")


def _fits(before: Sequence[Row], rows: Sequence[Row]) -> bool:
    """Whether `rows` were proposed for the assignment `before`: nothing of them stands there yet, and each number is
    either new or that of the same session. New numbers follow each other, but for those that items bear already."""
    taken = {(row.part, row.item, row.role) for row in before}
    slots = {(row.unit, row.role) for row in before}
    starts = {row.unit.number: row.start for row in before}
    borne = {row.unit.number for row in rows if row.stem == row.unit.session}
    last = max(starts.keys() | borne, default=0)
    new = {row.unit.number for row in rows} - starts.keys() - borne
    return new == set(range(last + 1, last + 1 + len(new))) and not any(
        (row.part, row.item, row.role) in taken
        or (row.unit, row.role) in slots
        or starts.get(row.unit.number, row.start) != row.start
        for row in rows
    )


def fingerprints(config: Config, private: Private, subject: Subject, rows: Sequence[Row]) -> dict[Unit, str]:
    """The fingerprint of each unit that `rows` make up.

    12 hex digits of a keyed hash over role, path within the item, size and mtime (ns) of its raw files, and whatever of
    the configuration says how it is made and is not the default. Where raw
    files are gone, the fingerprint recorded last stands; where they were refreshed, that of their content. If none
    was recorded, it is the fingerprint of no files: making that slip fails and says that they are gone, where leaving
    the unit out would lose it in silence.
    """
    paths = Paths.of(config)
    folders = {part.part: part.path for part in registry.parts(private, subject.code)}
    shift = subject_shift(config, private, subject.code)
    members: dict[Unit, list[Row]] = {}
    for row in rows:
        members.setdefault(row.unit, []).append(row)
    states = read_units(paths, subject.code)
    refreshed = read_refreshed(paths, subject.code)
    found: dict[Unit, str] = {}
    for unit, unit_rows in members.items():
        try:
            files = [(row.role, item_files(folders[row.part], row.role, row.item)) for row in unit_rows]
        except FileNotFoundError:
            known = states.get(unit)
            found[unit] = known.fingerprint if known else fingerprint(private, ())
            continue
        stat = fingerprint(private, files, settings_with(config, unit, shift))
        found[unit] = refreshed.get((str(unit), stat), stat)
    return found


def fingerprint(private: Private, files: Iterable[tuple[str, Sequence[RawFile]]], settings: Settings = DEFAULTS) -> str:
    """The fingerprint of one unit from its items' roles and files, and from how it is to be made."""
    facts: list[object] = [[role, [[one.path, one.size, one.mtime_ns] for one in some]] for role, some in sorted(files)]
    if settings.facts:
        facts.append(settings.facts)
    return private.keyed_hash(canonical(facts), FINGERPRINT_DIGITS)


def _plan(config: Config, private: Private, subject: Subject) -> SubjectPlan:
    seen = survey(config, private, subject)
    minutes = config["settle_minutes"]
    settled = not minutes or seen.newest_ns <= time.time_ns() - round(minutes * 60_000_000_000)
    new = seen.proposed if config["accept"] == "auto" and settled else ()
    return SubjectPlan(
        subject.code,
        fingerprints(config, private, subject, [*seen.accepted, *new]),
        new,
        waiting=0 if new else len(seen.proposed),
        left=seen.left,
        outdated=_outdated(config, private, subject, seen.accepted),
    )


def _outdated(config: Config, private: Private, subject: Subject, rows: Sequence[Row]) -> tuple[Unit, ...]:
    """Units that dates or vendor files should be made otherwise of, and that have no raw files any more."""
    paths = Paths.of(config)
    made = made_with(paths, subject.code)
    shift = subject_shift(config, private, subject.code)
    folders = {part.part: part.path for part in registry.parts(private, subject.code)}
    found = set()
    for unit, state in read_units(paths, subject.code).items():
        if state.generation and made.get(unit, DEFAULTS) != settings_with(config, unit, shift):
            items = [(folders[row.part] / row.item) for row in rows if row.unit == unit]
            if not all(item.exists() for item in items):
                found.add(unit)
    return tuple(sorted(found))

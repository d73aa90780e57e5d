"""What was accepted: `sessions.tsv` (which raw item is which session) and `units.tsv` (what each unit's content is).

Both lie in `private/{code}/` and are written whole, under the subject's lock. Source: DESIGN, sections 4 and 5.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType

from ecogvault.errors import Damaged
from ecogvault.files import lock
from ecogvault.intake.order import Row
from ecogvault.intake.settings import DEFAULTS, Settings, made_with, note_made
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.private import Private
from ecogvault.records import read_table, write_table

SESSION_COLUMNS = ("unit", "role", "part", "item", "start", "end", "out_of_order", "accepted")
NOTHING_SENT: Mapping[int, str] = MappingProxyType({})
UNIT_COLUMNS = ("unit", "fingerprint", "generation", "manifest_sha256")


@dataclass(frozen=True)
class UnitState:
    """What a unit's content is. Generation 0 and an empty digest: it was not made yet."""

    unit: Unit
    fingerprint: str
    generation: int = 0
    manifest_sha256: str = ""


@contextmanager
def subject_lock(private: Private, code: str) -> Iterator[None]:
    """Serialises writers of one subject's private files."""
    with lock(private.folder(code) / ".assignment.lock", what=f"the assignment of {code}"):
        yield


def read_sessions(paths: Paths, code: str) -> list[Row]:
    """The accepted rows of a subject, none if nothing was accepted. Raises Damaged."""
    try:
        rows = read_table(paths.sessions(code), "sessions", SESSION_COLUMNS)
    except FileNotFoundError:
        return []
    return [
        Row(
            Unit.parse(row["unit"]),
            row["role"],
            int(row["part"]),
            row["item"],
            _time(row["start"]),
            _time(row["end"]) if row["end"] else None,
            row["out_of_order"] == "yes",
            row["accepted"],
        )
        for row in rows
    ]


def write_sessions(private: Private, paths: Paths, code: str, rows: Iterable[Row]) -> None:
    """Write the accepted rows. The caller holds the subject's lock."""
    ordered = sorted(rows, key=lambda row: (row.unit, row.role))
    write_table(
        paths.sessions(code),
        "sessions",
        SESSION_COLUMNS,
        (
            {
                "unit": str(row.unit),
                "role": row.role,
                "part": str(row.part),
                "item": row.item,
                "start": _text(row.start),
                "end": _text(row.end) if row.end else "",
                "out_of_order": "yes" if row.out_of_order else "",
                "accepted": row.accepted,
            }
            for row in ordered
        ),
        **private.modes,
    )


def read_units(paths: Paths, code: str) -> dict[Unit, UnitState]:
    """The state of each unit of a subject. Raises Damaged."""
    try:
        rows = read_table(paths.units(code), "units", UNIT_COLUMNS)
    except FileNotFoundError:
        return {}
    states = (
        UnitState(Unit.parse(row["unit"]), row["fingerprint"], int(row["generation"]), row["manifest_sha256"])
        for row in rows
    )
    return {state.unit: state for state in states}


def unit_state(paths: Paths, unit: Unit) -> UnitState:
    """The state of one unit. Raises Damaged when its subject's table does not hold it."""
    state = read_units(paths, unit.code).get(unit)
    if state is None:
        raise Damaged(f"{unit} does not stand in private/{unit.code}/units.tsv: restore private/ from its copy")
    return state


def write_units(private: Private, paths: Paths, code: str, states: Iterable[UnitState]) -> None:
    """Write the states of a subject's units. The caller holds the subject's lock."""
    write_table(
        paths.units(code),
        "units",
        UNIT_COLUMNS,
        (
            {
                "unit": str(state.unit),
                "fingerprint": state.fingerprint,
                "generation": str(state.generation),
                "manifest_sha256": state.manifest_sha256,
            }
            for state in sorted(states, key=lambda state: state.unit)
        ),
        **private.modes,
    )


def note_fingerprints(private: Private, paths: Paths, code: str, fingerprints: dict[Unit, str]) -> None:
    """Remember the fingerprints that a run was planned with, for jobs that never look at the raw folder."""
    with subject_lock(private, code):
        states = read_units(paths, code)
        wanted = dict(states)
        for unit, fingerprint in fingerprints.items():
            wanted[unit] = replace(states.get(unit, UnitState(unit, "")), fingerprint=fingerprint)
        if wanted != states:
            write_units(private, paths, code, wanted.values())


def note_manifest(
    private: Private,
    paths: Paths,
    unit: Unit,
    manifest_sha256: str,
    settings: Settings = DEFAULTS,
    archived: Mapping[int, str] = NOTHING_SENT,
) -> int:
    """Remember a unit's content and return its generation: other content than before is the next one.

    So is the same content with dates shifted otherwise: its tarball has other times. `archived` is the highest
    generation that was sent anywhere, with the digest of its manifest: after a loss, private/ may be older than that.
    Called before the manifest appears under its name, so that no manifest is ever without a generation.
    """
    with subject_lock(private, unit.code):
        states = read_units(paths, unit.code)
        state = states.get(unit, UnitState(unit, ""))
        shifted = made_with(paths, unit.code).get(unit, DEFAULTS).shift_days
        newest = max(archived, default=0)
        newer = newest > state.generation and archived[newest] != manifest_sha256
        if state.manifest_sha256 != manifest_sha256 or shifted != settings.shift_days or newer:
            if newest > state.generation and archived[newest] == manifest_sha256:
                generation = newest
            else:
                generation = max(state.generation, newest) + 1
            state = replace(state, generation=generation, manifest_sha256=manifest_sha256)
            states[unit] = state
            write_units(private, paths, unit.code, states.values())
        # Afterwards: a crash in between costs a generation, the other way round it would keep the old dates' one.
        note_made(private, paths, unit, settings)
    return state.generation


def raise_generation(private: Private, paths: Paths, state: UnitState) -> int:
    """Give a unit whose state is `state` the next generation for the same content: it was sealed anew.

    Raises Damaged when its state is another one by now.
    """
    with subject_lock(private, state.unit.code):
        states = read_units(paths, state.unit.code)
        if states.get(state.unit) != state:
            raise Damaged(f"{state.unit} changed in private/{state.unit.code}/units.tsv meanwhile: run again")
        states[state.unit] = replace(state, generation=state.generation + 1)
        write_units(private, paths, state.unit.code, states.values())
    return state.generation + 1


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))

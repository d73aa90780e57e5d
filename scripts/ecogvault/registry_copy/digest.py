"""What the registry's copy is called in the graph: it has another name whenever something changed that a plan knows.

Only what no job changes counts, so that the name is the same before and after a run; what jobs change in the private
folder comes with a manifest, which is an input of the copy.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ecogvault import registry
from ecogvault.config import Config, Destination
from ecogvault.intake import SubjectPlan
from ecogvault.intake.assignment import read_sessions
from ecogvault.intake.order import Row
from ecogvault.intake.refreshed import read_refreshed
from ecogvault.manifest import sha256_of
from ecogvault.paths import Paths
from ecogvault.phi.waivers import FILE as WAIVERS
from ecogvault.private import Private
from ecogvault.records import canonical
from ecogvault.registry import RawPart, Subject
from ecogvault.review.decisions import ACCEPTED, REDACTIONS

DIGITS = 12


def destinations(config: Config) -> list[Destination]:
    """The destinations that take the registry's copy."""
    return [one for one in config.destinations.values() if one.settings.get("registry")]


def record_path(paths: Paths, destination: str, digest: str) -> Path:
    """The record of the newest copy at a destination, the file target of the rule."""
    return paths.results / "registry" / f"{destination}.{digest}.json"


def state_path(paths: Paths, destination: str) -> Path:
    """How far sending the registry's copy to a destination has come; its lock is beside it."""
    return paths.results / "registry" / "transfer" / f"{destination}.json"


def digest(config: Config, private: Private, plans: Iterable[SubjectPlan]) -> str:
    """12 hex digits of the keyed hash of people, raw folders, assignment, refreshed fingerprints, and decisions.

    `plans` are those of the run: rows that it will accept count as accepted, and their subjects as open.
    Raises Damaged, and OSError as it comes.
    """
    paths = Paths.of(config)
    new = {plan.code: plan.new for plan in plans if plan.new}
    subjects = [replace(one, status="open") if one.code in new else one for one in registry.load(private)]
    rows = {one.code: [*read_sessions(paths, one.code), *new.get(one.code, ())] for one in subjects}
    refreshed = {one.code: read_refreshed(paths, one.code) for one in subjects}
    decided = _decided(private, [one.code for one in subjects])
    known = facts(subjects, registry.load_parts(private), rows, refreshed, decided)
    return private.keyed_hash(canonical(known), DIGITS)


def _decided(private: Private, codes: Iterable[str]) -> dict[str, str]:
    """SHA-256 of each file in which people's decisions about what was found stand, as far as there are any."""
    names = [ACCEPTED, *(f"{code}/{name}" for code in codes for name in (ACCEPTED, REDACTIONS, WAIVERS))]
    return {name: sha256_of(private.root / name)[1] for name in names if (private.root / name).exists()}


def facts(
    subjects: Sequence[Subject],
    parts: Sequence[RawPart],
    rows: dict[str, list[Row]],
    refreshed: dict[str, dict[tuple[str, str], str]],
    decided: dict[str, str],
) -> dict[str, Any]:
    """What the digest is made over, as JSON. When a row was accepted does not count. Pure."""
    known: dict[str, Any] = {
        "subjects": [asdict(one) for one in subjects],
        "raw": [asdict(one) | {"path": str(one.path)} for one in parts],
        "sessions": {code: sorted(map(_row, some), key=canonical) for code, some in rows.items()},
        "refreshed": {code: sorted([*key, value] for key, value in some.items()) for code, some in refreshed.items()},
    }
    return known | ({"decided": decided} if decided else {})


def _row(row: Row) -> list[Any]:
    end = row.end.isoformat() if row.end else None
    return [str(row.unit), row.role, row.part, row.item, row.start.isoformat(), end, row.out_of_order]

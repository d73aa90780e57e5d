"""The order slip: what unit n is, without a raw name. Its own name holds the fingerprint of the raw files.

Making it also writes `private/{code}/names/{unit}.tsv`, the only place where raw and coded names of a unit meet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ecogvault import registry
from ecogvault.config import Config
from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.intake.assignment import read_sessions
from ecogvault.intake.clocks import differences
from ecogvault.intake.find import item_files
from ecogvault.intake.order import Row, remarks
from ecogvault.intake.plan import fingerprint
from ecogvault.intake.refreshed import standing
from ecogvault.intake.settings import settings_of
from ecogvault.intake.survey import IntakeError, collision_text
from ecogvault.naming import NameCollision, Unit, coded_tree
from ecogvault.paths import Paths
from ecogvault.private import Private
from ecogvault.records import read_record, read_table, write_record, write_table

SCHEMA = "ecogvault-slip 1"
NAME_COLUMNS = ("part", "raw", "coded", "offset", "original")


class RawChanged(EcogvaultError):
    """The raw files are not those that the run was planned with, or are gone."""


@dataclass(frozen=True)
class Name:
    """A raw file and its coded path, or one change to it.

    `raw` is relative to the raw folder of `part`, `coded` to `results/{code}/`. In a row that undoes a change, `offset`
    is where `original` (bytes in hex) stood; `*` stands for the whole file.
    """

    part: int
    raw: str
    coded: str
    offset: str = ""
    original: str = ""


def coded_paths(unit: Unit, role: str, files: Sequence[str], previous: Mapping[str, str]) -> dict[str, str]:
    """Coded path below `results/{code}/` for each file of an item, `.` for an item that is one file."""
    if role == "vid":
        prefix = f"vid/{unit.session}/"
        known = {raw: coded.removeprefix(prefix) for raw, coded in previous.items()}
        return {raw: prefix + coded for raw, coded in coded_tree(files, unit.session, known).items()}
    suffix = "txt" if role in ("snc", "vtc") else role
    return {".": f"{role}/{unit.session}.{suffix}"}


def make_slip(config: Config, private: Private, unit: Unit, wanted: str, *, mode: int, group: int | None) -> None:
    """Write the unit's slip for the fingerprint `wanted`, and its names; older slips of the unit are removed.

    Its times are shifted where dates are.

    Raises RawChanged when the raw files have another fingerprint by now, or are gone; IntakeError when two of them
    would get one name; OSError.
    """
    paths = Paths.of(config)
    assignment = read_sessions(paths, unit.code)
    rows = [row for row in assignment if row.unit == unit]
    if not rows:
        raise Damaged(f"{unit} does not stand in private/{unit.code}/sessions.tsv: restore private/ from its copy")
    folders = {part.part: part.path for part in registry.parts(private, unit.code)}
    known = read_names(paths, unit)
    found = []
    names: list[Name] = []
    files: list[dict[str, Any]] = []
    for row in rows:
        try:
            some = item_files(folders[row.part], row.role, row.item)
        except FileNotFoundError:
            raise RawChanged(f"the raw files of {unit} are not there: mount or copy the raw export again") from None
        found.append((row.role, some))
        previous = {_within(row, name.raw): name.coded for name in known if not name.offset and _holds(row, name)}
        try:
            coded = coded_paths(unit, row.role, [one.path for one in some], previous)
        except NameCollision as collision:
            place = folders[row.part] / row.item
            raise IntakeError(collision_text(private, unit.code, place, collision)) from None
        for one in some:
            raw = row.item if one.path == "." else _below(row.item, one.path)
            names.append(Name(row.part, raw, coded[one.path]))
            files.append({"path": coded[one.path], "size": one.size})
    settings = settings_of(config, private, unit)
    if standing(paths, unit, fingerprint(private, found, settings)) != wanted:
        raise RawChanged(f"the raw files of {unit} changed after this run was planned: run again when they are at rest")
    write_names(private, paths, unit, names)
    offset = settings.offset(rows[0].start, config.zone)
    clocks = differences(folders, [row for row in assignment if row.unit.number == unit.number])
    write_record(
        paths.slip(unit, wanted),
        {
            "schema": SCHEMA,
            "unit": str(unit),
            "fingerprint": wanted,
            "start": _text(rows[0].start + offset),
            "end": _text(rows[0].end + offset) if rows[0].end else None,
            "remarks": [*remarks(assignment)[unit.number], *clocks.values()],
            "files": sorted(files, key=lambda file: str(file["path"])),
        },
        mode=mode,
        group=group,
    )
    for old in paths.slips(unit.code).glob(f"{unit}.*.json"):
        if old != paths.slip(unit, wanted):
            old.unlink()


def _text(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def read_slip(path: Path) -> dict[str, Any]:
    """A slip as it was written. Raises Damaged."""
    return read_record(path)


def read_names(paths: Paths, unit: Unit) -> list[Name]:
    """The raw and coded names of a unit, none if it was never ordered. Raises Damaged."""
    try:
        rows = read_table(paths.names(unit), "names", NAME_COLUMNS)
    except FileNotFoundError:
        return []
    return [Name(int(row["part"]), row["raw"], row["coded"], row["offset"], row["original"]) for row in rows]


def undo_of(names: Sequence[Name]) -> dict[str, list[Name]]:
    """What undoes the changes to each coded file, by its coded path; files that were not changed are left out."""
    found: dict[str, list[Name]] = {}
    for name in names:
        if name.offset:
            found.setdefault(name.coded, []).append(name)
    return found


def write_names(private: Private, paths: Paths, unit: Unit, names: Sequence[Name]) -> None:
    """Write the raw and coded names of a unit, and what undoes its changes."""
    private.folder(unit.code, "names")
    write_table(
        paths.names(unit),
        "names",
        NAME_COLUMNS,
        (
            {
                "part": str(name.part),
                "raw": name.raw,
                "coded": name.coded,
                "offset": name.offset,
                "original": name.original,
            }
            for name in sorted(names, key=lambda name: (name.coded, name.offset))
        ),
        **private.modes,
    )


def _below(item: str, path: str) -> str:
    return path if item == "." else f"{item}/{path}"


def _holds(row: Row, name: Name) -> bool:
    return name.part == row.part and (name.raw == row.item or row.item == "." or name.raw.startswith(row.item + "/"))


def _within(row: Row, raw: str) -> str:
    if raw == row.item:
        return "."
    return raw if row.item == "." else raw.removeprefix(row.item + "/")

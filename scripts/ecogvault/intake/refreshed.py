"""`private/{code}/refreshed.tsv`: raw files whose times are new and whose content is old keep their fingerprint.

Each row says of a unit that files with this keyed hash over sizes and times (`stat`, see plan.fingerprint) were read,
and are what the recorded `fingerprint` stands for.
"""

from ecogvault.intake.assignment import subject_lock
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.private import Private
from ecogvault.records import read_table, write_table

COLUMNS = ("unit", "stat", "fingerprint")


def read_refreshed(paths: Paths, code: str) -> dict[tuple[str, str], str]:
    """The recorded fingerprint for each unit (as text) and hash of today's sizes and times. Raises Damaged."""
    try:
        rows = read_table(paths.refreshed(code), "refreshed", COLUMNS)
    except FileNotFoundError:
        return {}
    return {(row["unit"], row["stat"]): row["fingerprint"] for row in rows}


def standing(paths: Paths, unit: Unit, stat: str) -> str:
    """The fingerprint of a unit whose raw files have sizes and times of hash `stat`. Raises Damaged."""
    return read_refreshed(paths, unit.code).get((str(unit), stat), stat)


def note_refreshed(private: Private, paths: Paths, unit: Unit, stat: str, fingerprint: str) -> None:
    """Remember that raw files with `stat` are those of `fingerprint`."""
    with subject_lock(private, unit.code):
        known = read_refreshed(paths, unit.code)
        known[(str(unit), stat)] = fingerprint
        rows = [dict(zip(COLUMNS, (*key, value), strict=True)) for key, value in sorted(known.items())]
        write_table(paths.refreshed(unit.code), "refreshed", COLUMNS, rows, **private.modes)

"""What the configuration says of how a unit is made, and what its content was made with.

Whatever is not the default goes into the unit's fingerprint: changing it makes the unit's slip a missing one, so that
the next run makes the unit again and a dry run shows it. What a content was made with is in
`private/{code}/settings.tsv`, where a row stands for a unit made with anything but the defaults.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from ecogvault import registry
from ecogvault.config import Config
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.private import Private
from ecogvault.records import read_table, write_table

COLUMNS = ("unit", "shift_days", "natus")


@dataclass(frozen=True)
class Settings:
    """`shift_days` is added to all dates (0: they are kept); with `patches_natus` names in vendor files are rewritten.

    The repr does not show the number of days.
    """

    shift_days: int = 0
    patches_natus: bool = False

    def __repr__(self) -> str:
        return f"Settings(shifts={bool(self.shift_days)}, patches_natus={self.patches_natus})"

    @property
    def facts(self) -> list[str]:
        """What goes into a fingerprint: nothing for the defaults."""
        shift = [f"shift {self.shift_days}"] if self.shift_days else []
        return [*shift, *(["patch"] if self.patches_natus else [])]

    def offset(self, start: datetime, zone: ZoneInfo) -> timedelta:
        """What is added to every time of a session that begins at `start`, in whole seconds.

        Local dates move by whole days, and times of day stay. So in UTC it may be an hour more or less, where clocks
        were changed between; within a session it is one span, and its EDF's local start still fits its texts' UTC.
        """
        local = start.astimezone(zone)
        moved = (local + timedelta(days=self.shift_days)).replace(fold=local.fold)
        offsets = moved.utcoffset(), local.utcoffset()
        assert offsets[0] is not None
        assert offsets[1] is not None
        return timedelta(days=self.shift_days) - (offsets[0] - offsets[1])


DEFAULTS = Settings()


def settings_of(config: Config, private: Private, unit: Unit) -> Settings:
    """How `unit` is to be made. Raises RegistryRefused for an unknown code, Damaged, OSError."""
    return settings_with(config, unit, subject_shift(config, private, unit.code))


def subject_shift(config: Config, private: Private, code: str) -> int:
    """The days by which the dates of `code` are to be shifted: 0 where the configuration keeps dates."""
    return registry.shift_days(private, registry.subject(private, code)) if config.shifts_dates else 0


def settings_with(config: Config, unit: Unit, shift_days: int) -> Settings:
    """How `unit` is to be made, where the shift is known."""
    return Settings(shift_days, config.patches_natus and unit.kind == "vid")


def made_with(paths: Paths, code: str) -> dict[Unit, Settings]:
    """What the contents of a subject's units were made with, the defaults left out. Raises Damaged."""
    try:
        rows = read_table(paths.settings(code), "settings", COLUMNS)
    except FileNotFoundError:
        return {}
    return {Unit.parse(row["unit"]): Settings(int(row["shift_days"]), row["natus"] == "patch") for row in rows}


def note_made(private: Private, paths: Paths, unit: Unit, settings: Settings) -> None:
    """Remember what a unit's content was made with. The caller holds the subject's lock."""
    known = made_with(paths, unit.code)
    wanted = {**known, unit: settings}
    if settings == DEFAULTS:
        del wanted[unit]
    if wanted != known:
        rows = (
            {
                "unit": str(one),
                "shift_days": str(made.shift_days),
                "natus": "patch" if made.patches_natus else "exact",
            }
            for one, made in sorted(wanted.items())
        )
        write_table(paths.settings(unit.code), "settings", COLUMNS, rows, **private.modes)

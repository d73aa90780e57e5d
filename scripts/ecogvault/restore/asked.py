"""What `snakemake restore --config unit= subject= kind= file= date= from=` ask for: units, files, and from where."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from ecogvault import evidence, ledger
from ecogvault.config import Config, ConfigError
from ecogvault.errors import Damaged
from ecogvault.intake.assignment import read_sessions
from ecogvault.intake.order import Row
from ecogvault.ledger import NothingThere
from ecogvault.naming import CODE_PATTERN, NUMBER_PATTERN, RECORDING_KINDS, Unit, require_code
from ecogvault.paths import Paths
from ecogvault.restore.choose import Candidate, best, is_cold, place_of, reason
from ecogvault.verify import chosen_units

ANY = "any"
_FILE = re.compile(rf"(?:(edf|bdf|vid|snc|vtc)/)?(({CODE_PATTERN})_({NUMBER_PATTERN}))(/.+|\.edf|\.bdf|\.txt)")
_HOW = (
    "restore needs to know what: snakemake restore --config unit=df5c5206_3_vid from=s3 (or subject=df5c5206, with or "
    "without kind=vid; or file=df5c5206_3/df5c5206_3_0007.avi; or date=2026-03-02; from=any takes the best copy)"
)


@dataclass(frozen=True)
class Wanted:
    """One unit, or one file of it by its manifest's `path`, from a destination. `why` is empty where it was named."""

    unit: Unit
    destination: str
    path: str | None = None
    why: str = ""


def wanted(config: Config) -> list[Wanted]:
    """Everything that is asked for. Raises ConfigError, NothingThere, Damaged."""
    name = str(config["from"] or ANY)
    if name != ANY and name not in config.destinations:
        raise ConfigError(f"from: there is no destination '{name}'; known: {', '.join(config.destinations)}, any")
    if config["file"]:
        unit, path = named_file(str(config["file"]))
        return [_from(config, unit, name, path)]
    if not (config["unit"] or config["subject"] or config["date"]):
        raise ConfigError(_HOW)
    places = config.destinations if name == ANY else [name]
    units = sorted({unit for place in places for unit in chosen_units(config, place)})
    if config["date"]:
        units = _covering(config, units, named_date(str(config["date"])))
    if not units:
        raise NothingThere(f"no ledger{'' if name == ANY else f' of {name}'} knows a unit that was asked for")
    return [_from(config, unit, name, None) for unit in units]


def named_file(text: str) -> tuple[Unit, str]:
    """The unit and the path in its manifest that a coded file name stands for. Pure. Raises ConfigError."""
    match = _FILE.fullmatch(text)
    if match:
        top, session, code, number, rest = match.groups()
        if rest.startswith("/") and top in (None, "vid"):
            return Unit(code, int(number), "vid"), f"vid/{session}{rest}"
        if rest[1:] in RECORDING_KINDS and top in (None, rest[1:]):
            return Unit(code, int(number), rest[1:]), f"{rest[1:]}/{session}{rest}"
        if rest == ".txt" and top in ("snc", "vtc"):
            return Unit(code, int(number), "sync"), f"{top}/{session}{rest}"
    raise ConfigError(
        f"file: '{text}' is no coded file: write df5c5206_3/df5c5206_3_0007.avi, df5c5206_3.edf or snc/df5c5206_3.txt"
    )


def named_date(text: str) -> date:
    """The day that `date=` names. Raises ConfigError."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"date: '{text}' is no day: write year-month-day, such as 2026-03-02") from None


def covers(rows: Iterable[Row], day: date, config: Config) -> bool:
    """Whether a session with these rows goes on at some time of `day`, in the recorders' time zone. Pure."""
    return any(
        row.start.astimezone(config.zone).date() <= day <= (row.end or row.start).astimezone(config.zone).date()
        for row in rows
    )


def _covering(config: Config, units: Iterable[Unit], day: date) -> list[Unit]:
    paths = Paths.of(config)
    if not config.private.is_dir():
        raise ConfigError("date: when sessions were is in private/, which is not here: name the unit or the subject")
    found = []
    rows: dict[str, list[Row]] = {}
    for unit in units:
        if unit.code not in rows:
            rows[unit.code] = read_sessions(paths, unit.code)
        if covers([row for row in rows[unit.code] if row.unit.session == unit.session], day, config):
            found.append(unit)
    if not found:
        raise ConfigError(f"date: no archived session of those asked for covers {day}")
    return found


def _from(config: Config, unit: Unit, name: str, path: str | None) -> Wanted:
    if name != ANY:
        copy = ledger.newest_copy(config, unit, name)
        if path is not None and path in copy.excluded:
            raise NothingThere(f"{name} leaves {path} out (exclude:): restore it from another destination")
        return Wanted(unit, name, path)
    found = best(_candidates(config, unit), have_key=config["age_identity"] is not None, path=path)
    if found is None:
        raise NothingThere(f"no ledger knows a complete copy of {path or unit}")
    if is_cold(found.destination):
        name, place = found.destination.name, place_of(found.destination)[1]
        raise NothingThere(f"the best copy of {unit} is {place}: restore it with from={name}, which asks for it")
    return Wanted(unit, found.destination.name, path, reason(found))


def _candidates(config: Config, unit: Unit) -> list[Candidate]:
    now = datetime.now(UTC)
    found = []
    for name, destination in config.destinations.items():
        try:
            copy = ledger.newest_copy(config, unit, name)
        except (NothingThere, Damaged):
            continue  # a damaged ledger speaks for no copy; verify names it
        grade, at = evidence.grade(copy, now, max_age_days=evidence.max_age_days(config))
        found.append(Candidate(destination, unit.kind, copy, grade, at))
    return found


__all__ = ["ANY", "Wanted", "covers", "named_date", "named_file", "require_code", "wanted"]

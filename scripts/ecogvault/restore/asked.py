"""What `snakemake restore --config unit= subject= kind= file= date= from=` ask for: units, files, and from where."""

import re
from collections.abc import Iterable
from contextlib import suppress
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
from ecogvault.restore import nothing
from ecogvault.restore.choose import ANY, Candidate, best, is_cold, merits, place_of, reason

_SOME = 3
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


def wanted(config: Config) -> tuple[list[Wanted], list[str]]:
    """What of that which is asked for can come, and why the rest of it cannot.

    Raises ConfigError, Damaged, and NothingThere if nothing of it can come.
    """
    name = str(config["from"] or ANY)
    if name != ANY and name not in config.destinations:
        raise ConfigError(f"from: there is no destination '{name}'; known: {', '.join(config.destinations)}, any")
    agree(config)
    if config["file"]:
        unit, path = named_file(str(config["file"]))
        if not nothing.at(Config({**config.values, "unit": str(unit)}), name):
            raise NothingThere(f"file={config['file']}: {nothing.why(config, name, unit)}")
        return [_from(config, unit, name, path)], []
    if not (config["unit"] or config["subject"] or config["date"]):
        raise ConfigError(_HOW)
    units = nothing.at(config, name)
    if not units:
        raise NothingThere(nothing.why(config, name, named_unit(config)))
    if config["date"]:
        units = _covering(config, units, named_date(str(config["date"])))
    found, lacking = [], []
    for unit in units:
        try:
            found.append(_from(config, unit, name, None))
        except NothingThere as error:
            lacking.append(str(error))
    if not found:
        raise NothingThere("; ".join(lacking))
    return found, lacking


def named_unit(config: Config) -> Unit | None:
    """The unit that `unit=` or `file=` names. Raises NotACode, ConfigError."""
    if config["unit"]:
        return Unit.parse(str(config["unit"]))
    return named_file(str(config["file"]))[0] if config["file"] else None


def agree(config: Config) -> None:
    """Raise ConfigError when two of `file`, `unit`, `subject` and `kind` cannot both be meant, NotACode for no code."""
    unit = named_unit(config)
    subject = require_code(str(config["subject"])) if config["subject"] else None
    if unit is None:
        return
    given = f"unit={unit}" if config["unit"] else f"file={config['file']}"
    if config["unit"] and config["file"] and named_file(str(config["file"]))[0] != unit:
        raise ConfigError(f"file={config['file']} is not in {given}: leave one of them out")
    if subject not in (None, unit.code):
        raise ConfigError(f"{given} is not of subject={subject}: leave one of them out")
    if config["kind"] not in (None, unit.kind):
        raise ConfigError(f"{given} is of kind {unit.kind}, not kind={config['kind']}: leave one of them out")


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
    theirs: list[Row] = []
    for unit in units:
        if unit.code not in rows:
            rows[unit.code] = read_sessions(paths, unit.code)
        own = [row for row in rows[unit.code] if row.unit.session == unit.session]
        theirs += own
        if covers(own, day, config):
            found.append(unit)
    if not found:
        raise NothingThere(f"date: no archived session of those asked for covers {day}: {_days(theirs, rows, config)}")
    return found


def _days(rows: Iterable[Row], codes: Iterable[str], config: Config) -> str:
    """From when to when sessions are, and how to see each of them."""
    ends = [(row.start.astimezone(config.zone), (row.end or row.start).astimezone(config.zone)) for row in rows]
    how = f"`ecogvault order {' or '.join(sorted(codes)[:_SOME])}` shows each"
    if not ends:
        return f"it is not known here when they were; {how}"
    return f"they go from {min(one for one, _ in ends):%Y-%m-%d} to {max(end for _, end in ends):%Y-%m-%d}; {how}"


def _from(config: Config, unit: Unit, name: str, path: str | None) -> Wanted:
    if name != ANY:
        copy = ledger.restorable(config, unit, name)
        if path is not None and path in copy.excluded:
            raise NothingThere(f"{name} leaves {path} out (exclude:): restore it from another destination")
        nothing.require_file(config, unit, copy, path)
        return Wanted(unit, name, path)
    known, have_key = candidates(config, unit), config["age_identity"] is not None
    found = best(known, have_key=have_key, path=path)
    if found is None:
        raise NothingThere(f"no ledger knows a complete copy of {path or unit}")
    better = ""
    if is_cold(found.destination):
        name, place = found.destination.name, place_of(found.destination)[1]
        warm = best(_warm(known, found), have_key=have_key, path=path)
        if warm is None:
            raise NothingThere(f"the best copy of {unit} is {place}: restore it with from={name}, which asks for it")
        found, better = warm, f"; {name} has a better one, {place}"
    nothing.require_file(config, unit, found.copy, path)
    return Wanted(unit, found.destination.name, path, reason(found) + better + _older(config, unit, found))


def _warm(known: Iterable[Candidate], found: Candidate) -> list[Candidate]:
    """The copies of the same content that can be read at once. Pure."""
    same = found.copy.manifest_sha256
    return [one for one in known if one.copy.manifest_sha256 == same and not is_cold(one.destination)]


def _older(config: Config, unit: Unit, found: Candidate) -> str:
    """What is to be said of a copy of older content, when no complete one of the newest is left."""
    known = [found.copy]
    for name in config.destinations:
        with suppress(Damaged):
            known += [copy for copy in ledger.copies(Paths.of(config).ledger(name, unit)).values() if copy.fault]
    newest = max(known, key=lambda copy: copy.generation)
    if newest.manifest_sha256 == found.copy.manifest_sha256:
        return ""
    return f": generation {found.copy.generation}, since no complete copy of generation {newest.generation} is left"


def candidates(config: Config, unit: Unit) -> list[Candidate]:
    """The complete copies of a unit, each destination's newest."""
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


def otherwise(config: Config, unit: Unit, name: str, path: str | None = None) -> str:
    """What to do when the copy of a unit at `name` is damaged each time it is fetched: which other one to take."""
    others = [one for one in candidates(config, unit) if one.destination.name != name]
    found = best(others, have_key=config["age_identity"] is not None, path=path)
    if found is not None:
        return f"this copy is damaged, take another one: from={found.destination.name} ({merits(found)})"
    how = f"`ecogvault find {unit}` shows older generations"
    if path is None:
        how = f"files that the damage does not touch come back one by one, with file= in place of unit=; {how}"
    return f"this copy is damaged, and no other destination is known to have one: keep what is here of it; {how}"


__all__ = [
    "ANY",
    "Wanted",
    "agree",
    "candidates",
    "covers",
    "named_date",
    "named_file",
    "named_unit",
    "otherwise",
    "require_code",
    "wanted",
]

"""What a recording was made by, which it keeps where it cannot be made anew since its raw file is gone.

The job would fail, and Snakemake has removed the coded recording by then. So its rule is given what it was given
before.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from ecogvault import edf, registry, review
from ecogvault.config import Config
from ecogvault.errors import Damaged
from ecogvault.intake.slip import read_names
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.private import Private
from ecogvault.records import read_record

_FIRST_FORMAT = 1  # of records that do not say which


@dataclass(frozen=True)
class MadeBy:
    """The digest of the policy, that of the redactions (empty without any), and the rule's format."""

    policy: str
    redactions: str
    format: int


def asked_for(config: Config, private: Private, unit: Unit, form: int | None = None) -> MadeBy:
    """What a recording is to be made by, as its rule is given it; `form` is the rule's format today.

    Raises PolicyError, Damaged, and OSError as it comes.
    """
    policy = edf.read_policy(config["policy"]).digest
    today = MadeBy(policy, review.redaction_digest(private, unit), form or _FIRST_FORMAT)
    before = _before(Paths.of(config), unit, today)
    if form is None:
        before = replace(before, format=today.format)
    return today if before == today or has_raw(Paths.of(config), private, unit) else before


def is_outdated(config: Config, private: Private, unit: Unit) -> bool:
    """Whether a recording keeps another policy or other redactions than those of today."""
    kept = asked_for(config, private, unit)
    policy = edf.read_policy(config["policy"]).digest
    return (kept.policy, kept.redactions) != (policy, review.redaction_digest(private, unit))


def has_raw(paths: Paths, private: Private, unit: Unit) -> bool:
    """Whether every raw file of a unit is there. Raises Damaged, and OSError as it comes."""
    return all(path.is_file() for path in raw_files(paths, private, unit))


def raw_files(paths: Paths, private: Private, unit: Unit) -> list[Path]:
    """Where the raw files of a unit are, or were; none if it was never ordered."""
    folders = {part.part: part.path for part in registry.parts(private, unit.code)}
    return [folders[name.part] / name.raw for name in read_names(paths, unit) if not name.offset]


def made_in_format(paths: Paths, unit: Unit) -> int:
    """The format that a recording's record names."""
    return _before(paths, unit, MadeBy("", "", _FIRST_FORMAT)).format


def _before(paths: Paths, unit: Unit, today: MadeBy) -> MadeBy:
    """What the record says; what it does not tell counts as unchanged."""
    try:
        record = read_record(paths.record(unit))
    except (FileNotFoundError, Damaged):
        return today
    was_redacted = any(change["field"] == "annotation" for change in record["changes"])
    return MadeBy(
        str(record["policy"]["digest"]),
        str(record.get("redactions", today.redactions if was_redacted else "")),
        int(record.get("format", _FIRST_FORMAT)),
    )

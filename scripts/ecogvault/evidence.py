"""How well a unit's copies are proven, by the lab's own policy `copies:`: which units fall short, and why.

A copy counts with the best evidence that is not older than `max_age_days`; that the destination once acknowledged it
does not age, and is the least there is. Source: DESIGN, section 2, "evidence".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ecogvault import ledger
from ecogvault.config import Config
from ecogvault.errors import Damaged
from ecogvault.intake.assignment import UnitState, read_units
from ecogvault.ledger import EVIDENCE, Copy
from ecogvault.naming import Unit
from ecogvault.paths import Paths


@dataclass(frozen=True)
class Policy:
    """At least `minimum` copies of each unit proven to `grade`, at those of `destinations` (None: at any).

    `max_age_days`: evidence that is older does not count; None: it never ages.
    """

    minimum: int
    grade: str = "listed"
    destinations: tuple[str, ...] | None = None
    max_age_days: float | None = None

    @classmethod
    def of(cls, config: Config) -> "Policy | None":
        """What the configuration asks for, None when it asks for nothing."""
        values = config["copies"]
        if not values:
            return None
        named = values.get("destinations")
        return cls(
            int(values.get("minimum", 1)),
            str(values.get("grade", "listed")),
            tuple(named) if named is not None else None,
            values.get("max_age_days"),
        )


@dataclass(frozen=True)
class Shortfall:
    """A unit with fewer proven copies than the policy asks for; `missing` says of each place what it lacks."""

    unit: Unit
    proven: int
    minimum: int
    grade: str
    missing: tuple[str, ...]

    def __str__(self) -> str:
        lacks = f": {'; '.join(self.missing)}" if self.missing else ""
        return f"{self.unit} has {self.proven} of {self.minimum} copies that are {self.grade} or better{lacks}"


def max_age_days(config: Config) -> float | None:
    """After how many days evidence does not count any more, by the configuration."""
    policy = Policy.of(config)
    return policy.max_age_days if policy else None


def grade(copy: Copy, now: datetime, *, max_age_days: float | None) -> tuple[str, str]:
    """The best evidence of a complete copy that is not too old, and since when. Pure."""
    for kind in reversed(EVIDENCE[1:]):
        at = copy.proven.get(kind)
        if at is not None and _is_young(at, now, max_age_days):
            return kind, at
    return EVIDENCE[0], copy.proven.get(EVIDENCE[0], copy.at)


def shortfall(unit: Unit, copies: Mapping[str, Copy | None], policy: Policy, now: datetime) -> Shortfall | None:
    """What a unit lacks; `copies` are those of its newest content, by destination, None where there is none. Pure."""
    proven = 0
    missing = []
    for name, copy in copies.items():
        if policy.destinations is not None and name not in policy.destinations:
            continue
        if copy is None or copy.evidence is None:
            missing.append(f"{name} {copy.fault or 'is not complete' if copy else 'has none'}")
            continue
        found, at = grade(copy, now, max_age_days=policy.max_age_days)
        if EVIDENCE.index(found) >= EVIDENCE.index(policy.grade):
            proven += 1
        else:
            missing.append(f"{name} {found} {at[:10]}")
    if proven >= policy.minimum:
        return None
    return Shortfall(unit, proven, policy.minimum, policy.grade, tuple(missing))


def shortfalls(config: Config, units: Mapping[Unit, object] | list[Unit]) -> list[Shortfall]:
    """The units among `units` that fall short of the policy; none without a policy. Raises Damaged for units.tsv."""
    policy = Policy.of(config)
    if policy is None:
        return []
    paths = Paths.of(config)
    now = datetime.now(UTC)
    states: dict[str, dict[Unit, UnitState]] = {}
    found = []
    for unit in units:
        if unit.code not in states:
            states[unit.code] = read_units(paths, unit.code)
        state = states[unit.code].get(unit)
        copies = {
            name: _known_content(paths, name, unit, state)
            for name, destination in config.destinations.items()
            if destination.takes(unit.kind)
        }
        short = shortfall(unit, copies, policy, now)
        if short is not None:
            found.append(short)
    return found


def newest_content(paths: Paths, name: str, unit: Unit, state: UnitState | None) -> Copy | None:
    """The copy of a unit's newest content at a destination; None if its ledger knows none. Raises Damaged."""
    known = ledger.copies(paths.ledger(name, unit))
    fit = [copy for copy in known.values() if state is None or copy.manifest_sha256 == state.manifest_sha256]
    return max(fit, key=lambda copy: copy.generation, default=None)


def _known_content(paths: Paths, name: str, unit: Unit, state: UnitState | None) -> Copy | None:
    try:
        return newest_content(paths, name, unit, state)
    except Damaged:
        return None  # verify names it


def _is_young(at: str, now: datetime, max_age_days: float | None) -> bool:
    return max_age_days is None or now - datetime.fromisoformat(at) <= timedelta(days=max_age_days)

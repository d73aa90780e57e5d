"""What is being transferred now and how fast, what was interrupted, and how well each subject's copies are proven.

All of it is read from the results; nothing is asked of a destination.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecogvault import ledger
from ecogvault.config import Config
from ecogvault.errors import Damaged
from ecogvault.files import holder
from ecogvault.naming import NotACode, Unit
from ecogvault.paths import Paths
from ecogvault.rehash import newest
from ecogvault.sizes import fitting, part
from ecogvault.transfer import position


@dataclass(frozen=True)
class Transfer:
    """An upload that runs (`by`: which process, where) or was interrupted. `total` and `done` in bytes, None: unknown.

    `rate` in bytes a second; `at` is when that was.
    """

    unit: str
    destination: str
    by: str | None
    total: int | None = None
    done: int = 0
    rate: int = 0
    at: str = ""

    def line(self) -> str:
        """One line for a person."""
        what = f"{self.unit} to {self.destination}"
        if self.total is None:
            return f"{what}: nothing is sent yet ({self.by})" if self.by else f"{what}: interrupted"
        done = min(self.done, self.total)
        share = 100 * done // self.total if self.total else 100
        where = f"{share:3} %  {part(done, self.total)}"
        if self.by is None:
            return f"{what}  {where}  interrupted at {self.at}; the next run goes on"
        left = f"  {_span((self.total - done) / self.rate)} left" if self.rate else ""
        return f"{what}  {where}  {fitting(self.rate)}/s{left}  ({self.by})"


def transfers(config: Config) -> Iterator[Transfer]:
    """Running uploads first, then interrupted ones, sorted by unit and destination."""
    found = []
    for lock in Paths.of(config).results.glob("*/transfer/*/*.lock"):
        state, name = lock.with_suffix(".json"), lock.parent.name
        by = holder(lock)
        if by is None and not state.exists():
            continue
        where: dict[str, Any] = {}
        with suppress(Damaged):  # the next upload says so, and what to do
            where = position(state) or {}
        found.append(Transfer(state.stem, name, by, **where))
    yield from sorted(found, key=lambda one: (one.by is None, one.unit, one.destination))


class Evidence:
    """How well copies are proven, by subject and destination; a ledger is read again only when it has changed."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._known: dict[Path, tuple[tuple[int, int], tuple[str, int]]] = {}

    def lines(self) -> Iterator[str]:
        """For each subject its code, and a line for each destination.

        Units are those that were made here, and those of which a ledger knows a copy though they were not, as after
        `ecogvault rebuild`.
        """
        paths = Paths.of(self._config)
        for folder in sorted(paths.results.glob("*")):
            try:
                made = {Unit.parse(path.stem) for path in folder.glob("manifest/*.tsv")}
                units = sorted(made | {Unit.parse(path.stem) for path in folder.glob("ledger/*/*.jsonl")})
            except NotACode:
                continue  # a folder of somebody else's
            if not units:
                continue
            yield f"{folder.name}: {len(units)} units"
            for name, destination in self._config.destinations.items():
                wanted = [unit for unit in units if destination.takes(unit.kind)]
                if wanted:
                    yield f"  {name:<12}{self._line(paths, name, wanted, made)}"

    def _line(self, paths: Paths, name: str, units: list[Unit], made: Collection[Unit]) -> str:
        states = [self._state(paths.ledger(name, unit), unit in made) for unit in units]
        counts = Counter(state for state, _ in states)
        parts = [f"{counts[state]} {state}" for state in (*reversed(ledger.EVIDENCE), *_WITHOUT) if counts[state]]
        return f"{', '.join(parts)}; {fitting(sum(size for _, size in states))}"

    def _state(self, path: Path, made: bool) -> tuple[str, int]:
        """The evidence of the newest copy, or why there is none, and its size in bytes."""
        try:
            status = path.stat()
        except FileNotFoundError:
            return ("not there yet" if made else "not known here"), 0
        mark = (status.st_mtime_ns, status.st_size)
        if path not in self._known or self._known[path][0] != mark:
            self._known[path] = (mark, _read(path))
        return self._known[path][1]


_WITHOUT = ("not complete", *ledger.FAULTS, "damaged ledger", "not there yet", "not known here")


def _read(path: Path) -> tuple[str, int]:
    try:
        known = ledger.copies(path)
    except Damaged:
        return "damaged ledger", 0
    copy = newest(known)
    if copy is not None and copy.evidence is not None:
        return copy.evidence, copy.size
    last = known[max(known)] if known else None
    return (last.fault if last and last.fault else "not complete"), 0


def _span(seconds: float) -> str:
    """A length of time as a person says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

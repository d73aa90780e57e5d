"""Following what is brought back from where nothing can be read at once, over hours and several runs.

Each thing that was asked for is a task. In every round all of them are looked at first (which asks for what is not
under way yet), then what is ready is fetched, and of that first what can be had the shortest. Waiting is no failure.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from ecogvault.config import Config
from ecogvault.errors import EcogvaultError
from ecogvault.vault.waiting import Waiting

Say = Callable[[str], None]
_POLL_SECONDS = 300.0
_LAST = "~"  # after every time


class NotAllRestored(EcogvaultError):
    """Something that was asked for could not be restored; the lines above say why."""


class Task(Protocol):
    """One unit, file or old copy that is to come back."""

    @property
    def what(self) -> str:
        """Its name in messages."""

    def look(self) -> str | None:
        """Find out how far it is; until when what is ready can be had (UTC), None when nothing is ready for a while."""

    def advance(self) -> Waiting | str:
        """Do what can be done now. Returns what is waited for, or a remark on what was restored."""


def follow(
    config: Config,
    name: str,
    tasks: Sequence[Task],
    *,
    say: Say,
    again: str | None = None,
    lacking: Sequence[str] = (),
) -> None:
    """Bring each task as far as can be, from destination `name`, and say what came back and what waits.

    `again` is the command of this run, by default the one that asks for the same with nothing else said; `lacking` says
    what else was asked for and cannot come. `glacier_wait_hours` is how long to wait. Raises NotAllRestored at the end,
    after a line for each that failed.
    """
    end = time.monotonic() + 3600 * float(config["glacier_wait_hours"] or 0)
    failed = list(lacking)
    left = list(tasks)
    while True:
        waits = _round(left, name, failed, say)
        left = [task for task in left if task.what in waits]
        now = time.monotonic()
        if not waits or now >= end:
            break
        threading.Event().wait(min(end - now, _POLL_SECONDS, max(1.0, (end - now) / 10)))
    if waits:
        last = max(waits.values(), key=lambda one: one.until)
        say(f"{name}: {Waiting(', '.join(waits), last.until).line(again or _command(config))}")
    if failed:
        raise NotAllRestored(
            f"{len(failed)} of the units that were asked for could not be restored: {'; '.join(failed)}"
        )


def _round(left: Sequence[Task], name: str, failed: list[str], say: Say) -> dict[str, Waiting]:
    ready: list[tuple[str, Task]] = []
    waits: dict[str, Waiting] = {}
    for task in left:
        try:
            ready.append((task.look() or _LAST, task))
        except EcogvaultError as error:
            _failed(task, error, failed, say)
    for _, task in sorted(ready, key=lambda one: one[0]):
        try:
            found = task.advance()
        except EcogvaultError as error:
            _failed(task, error, failed, say)
            continue
        if isinstance(found, Waiting):
            waits[task.what] = found
        else:
            say(f"{task.what} from {name}: {found}")
    return waits


def _failed(task: Task, error: EcogvaultError, failed: list[str], say: Say) -> None:
    say(f"{task.what} is not restored: {error}")
    failed.append(task.what)


def _command(config: Config) -> str:
    given = ("unit", "subject", "kind", "date", "file", "from", "adopted", "tier", "days")
    return f"snakemake --cores 1 restore --config {' '.join(f'{key}={config[key]}' for key in given if config[key])}"

"""What a run says to the person who started it: at its end what was done, what failed and what to do next; and at its
start, when another run was killed or is still going.
"""

import re
import shlex
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecogvault.errors import EcogvaultError
from ecogvault.files import holder

LOGS = Path("logs")
FAILED = "FAILED: "
"""What begins the line of a job's log, after its time, that says why the job failed."""

SNAKEMAKE_LOCKS = Path(".snakemake/locks")
SNAKEMAKE_LOGS = Path(".snakemake/log")
RUN_LOCK = Path(".snakemake/ecogvault.lock")
UNLOCK = "--unlock"

_ERROR = re.compile(r"^Error in \w+ (\S+):\n((?:    .*\n)+)", re.MULTILINE)
# Stands just before the job's error when a signal ended it while it was still loading its modules.
_INTERRUPTED = re.compile(r"died with <Signals\.SIG(?:INT|TERM): \d+>\.\n(?:\[.*\]\n)?\Z")
_ASIDE = re.compile(r" ?(Detailed failure reason unavailable|For further error details).*")
# Without the job's number, which the log's name holds: many jobs that ended alike are one line.
_SLURM = re.compile(r"SLURM-job '\d+' failed, SLURM status is: '(\w+)'\.")


class StillRunning(EcogvaultError):
    """The lock of a run that is going on was to be taken away."""


@dataclass(frozen=True)
class Failure:
    """A job whose newest attempt failed: what it was, the one line that matters, and its log."""

    job: str
    line: str
    log: Path


def failures(since: float, logs: Path = LOGS) -> list[Failure]:
    """The jobs that failed since a time (seconds since 1970), from their logs. A log is begun anew by each attempt."""
    found = []
    for log in sorted(logs.rglob("*.log")):
        if log.stat().st_mtime < since:
            continue
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            if FAILED in line:
                job = " ".join(log.relative_to(logs).with_suffix("").parts)
                found.append(Failure(job, line.partition(FAILED)[2], log))
                break
    own = max(SNAKEMAKE_LOGS.glob("*.log"), key=lambda log: log.stat().st_mtime, default=None)
    if own is not None and own.stat().st_mtime >= since:
        found += unexplained(own.read_text(encoding="utf-8", errors="replace"), {one.log for one in found}, logs)
    return found


def unexplained(told: str, explained: Collection[Path], logs: Path = LOGS) -> list[Failure]:
    """The failed jobs that Snakemake's own log `told` of and whose logs are not among those `explained`. Pure.

    Such a job was ended before it could say why: by a cluster, by the system when memory was short, or by hand.
    """
    found = []
    for error in _ERROR.finditer(told):
        facts = dict(re.findall(r"^    (\w+): (.*)$", error[2], re.MULTILINE))
        named = [Path(one) for one in facts.get("log", "").partition(" (check ")[0].split(", ") if one]
        again = re.compile(rf"^Finished jobid: {facts.get('jobid')} ", re.MULTILINE).search(told, error.end())
        if again or not named or named[0] in explained:
            continue
        job = " ".join(named[0].relative_to(logs).with_suffix("").parts) if named[0].is_relative_to(logs) else error[1]
        said = _SLURM.sub(r"the cluster ended it: \1", _ASIDE.sub("", facts.get("message", "None")))
        if said == "None":
            interrupted = _INTERRUPTED.search(told[max(0, error.start() - 200) : error.start()])
            said = "interrupted" if interrupted else "it ended without a word"
        found.append(Failure(job, said, named[-1]))
    return found


def summary(
    *,
    there: int,
    wanted: int,
    failed: Sequence[Failure],
    waiting: Iterable[str],
    succeeded: bool,
    command: str,
    named: Iterable[str] = (),
) -> list[str]:
    """The closing lines of a run. `named` are units in which a name was found. Pure."""
    lines = [f"done: {there} of {wanted} copies have a receipt"]
    lines += [f"a name was found: {one}" for one in named]
    # One cause often fails many jobs, as when a destination is down: it is said once.
    causes: dict[str, list[Failure]] = {}
    for one in failed:
        causes.setdefault(one.line, []).append(one)
    for line, alike in causes.items():
        more = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
        lines.append(f"failed: {alike[0].job}{more}: {line} (log: {alike[0].log})")
    lines += [f"waiting: {one}" for one in waiting]
    if not succeeded:
        lines.append(f"next: {'mend what failed, then ' if failed else ''}{command}")
    return lines


def say(text: str) -> None:
    """One line to the person who started the run."""
    print(f"ecogvault: {text}", file=sys.stderr)


def own_command(arguments: Sequence[str] | None = None, **changes: str | None) -> str:
    """The command line of this run, as it can be typed again; with `changes` to what stands behind --config.

    None takes a key away. (`from` is a word of Python's: give it as `**{"from": name}`.)
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    return shlex.join(["snakemake", *(_configured(words, changes) if changes else words)])


def cli_command(arguments: Sequence[str]) -> str:
    """The command line of `ecogvault` with these words, as it can be typed again."""
    return shlex.join(["ecogvault", *arguments])


def _configured(words: Sequence[str], changes: Mapping[str, str | None]) -> list[str]:
    """The words of a command line of Snakemake with other values behind its --config. Pure."""
    kept = [word for word in words if word.partition("=")[0] not in changes]
    new = [f"{key}={value}" for key, value in changes.items() if value is not None]
    place = next((number for number, word in enumerate(kept, 1) if word in ("--config", "-C")), None)
    if place is None:
        new = ["--config", *new]
        place = kept.index("--") if "--" in kept else len(kept)
    return [*kept[:place], *new, *kept[place:]]


def lock_advice(arguments: Sequence[str] | None = None) -> str | None:
    """What to say when the working folder is locked: who runs there, or the exact command that unlocks it.

    None when it is not locked, or is about to be unlocked. Writes nothing. Raises StillRunning when a lock that is in
    use is about to be taken away.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if not any(SNAKEMAKE_LOCKS.glob("*")):
        return None
    running = holder(RUN_LOCK)
    if running is not None:
        if UNLOCK in given:
            raise StillRunning(f"another run is going on here: {running}; its lock stays: wait for that run to end")
        return f"another run is going on here: {running}; wait for it to end, then run again"
    if UNLOCK in given:
        return None
    words = [word for word in given if word not in ("-n", "--dry-run")]
    command = shlex.join(["snakemake", *words, UNLOCK])
    return f"an earlier run was killed here and has left its lock: run `{command}`, then `{own_command(words)}`"

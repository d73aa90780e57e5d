"""What every rule script shares: its log, its errors as one line, its progress, its paths.

    with job(snakemake) as rule:
        ...

Tracebacks go to the rule's log and nowhere else; stderr gets one line that says what is wrong, where and what to do.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ecogvault.closing import FAILED
from ecogvault.config import Config
from ecogvault.errors import EcogvaultError, safe_traceback
from ecogvault.files import is_full, sweep
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.place import open_folders
from ecogvault.private import open_private

log = logging.getLogger("ecogvault")

_INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Rule:
    """A running rule: its files as paths, its wildcards and params, and the configuration."""

    config: Config
    paths: Paths
    input: SimpleNamespace
    output: SimpleNamespace
    params: SimpleNamespace
    wildcards: SimpleNamespace
    threads: int

    @property
    def unit(self) -> Unit:
        """The unit that the wildcards name."""
        return Unit(self.wildcards.code, int(self.wildcards.n), self.wildcards.kind)

    def say(self, text: str) -> None:
        """A line for the log."""
        log.info("%s", text)

    def tell(self, text: str) -> None:
        """A line for the log, and for the person who started the run."""
        self.say(text)
        print(f"ecogvault: {text}", file=sys.stderr)


@contextmanager
def job(snakemake: Any) -> Iterator[Rule]:
    """Run a rule's work: errors of ours end the script with one clear line, others with a line that names the log."""
    config = Config(snakemake.config)
    # New files of ours are never readable by more people than the configured tree.
    os.umask(0o777 & ~config.folder_mode)
    target = Path(snakemake.log[0]) if snakemake.log else None
    handler: logging.Handler = logging.StreamHandler()
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(target, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    # Being told to end is an interruption: what is open is closed, and nothing half-written stays.
    signal.signal(signal.SIGTERM, _interrupt)
    what = " ".join([snakemake.rule, *(str(value) for value in snakemake.wildcards)])
    for path in map(Path, snakemake.output):
        sweep(path.parent, path.name)
    paths = Paths.of(config)
    try:
        # One that came while the modules were loaded was held back until here: see `workflow.answer_interrupts`.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTIONS)
        open_folders(config, _written(paths, snakemake))
        yield Rule(
            config,
            paths,
            _files(snakemake.input),
            _files(snakemake.output),
            SimpleNamespace(**dict(snakemake.params.items())),
            SimpleNamespace(**dict(snakemake.wildcards.items())),
            snakemake.threads,
        )
    except EcogvaultError as error:
        _fail(error, what, str(error), target)
    except KeyboardInterrupt as error:
        _fail(error, what, "interrupted; what was done is kept, run again to go on", target)
    except OSError as error:
        advice = "make room, then run again" if is_full(error) else "mend that, then run again"
        _fail(error, what, f"{_place(error, config)}{error.strerror or type(error).__name__}: {advice}", target)
    except Exception as error:
        _fail(error, what, "a fault in ecogvault itself: the log holds the traceback", target)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _fail(error: BaseException, what: str, message: str, target: Path | None) -> None:
    log.error("%s%s\n%s", FAILED, message, safe_traceback(error))
    where = f" (log: {target})" if target else ""
    print(f"ecogvault: {what}: {message}{where}", file=sys.stderr)
    sys.exit(1)


def _written(paths: Paths, snakemake: Any) -> list[Path]:
    """What a job writes: its outputs, and beside a receipt the ledger and the state of the transfer."""
    found = [Path(path) for path in snakemake.output]
    values = dict(snakemake.wildcards.items())
    if {"code", "n", "kind", "destination"} <= values.keys():
        unit = Unit(values["code"], int(values["n"]), values["kind"])
        if paths.receipt(values["destination"], unit) in found:
            found += [paths.ledger(values["destination"], unit), paths.transfer(values["destination"], unit)]
    return found


def _place(error: OSError, config: Config) -> str:
    """The path that an OSError is about if it is one of the results; any other may be raw, and goes by private id."""
    name = error.filename
    if not isinstance(name, str | bytes):
        return ""
    if Path(os.path.abspath(os.fsdecode(name))).is_relative_to(os.path.abspath(config.results)):
        return f"{os.fsdecode(name)}: "
    try:
        return f"{open_private(config).private_id(name)}: "
    except (EcogvaultError, OSError):
        return ""


def _files(names: Any) -> SimpleNamespace:
    return SimpleNamespace(
        **{key: Path(value) if isinstance(value, str) else [Path(one) for one in value] for key, value in names.items()}
    )


def progress_bar(total: int, what: str) -> Callable[[int], None]:
    """A bar on a terminal, nothing elsewhere; call it with the number of bytes that were done."""
    from tqdm import tqdm

    bar = tqdm(total=total, desc=what, unit="B", unit_scale=True, disable=None, leave=False)

    def advance(count: int) -> None:
        bar.update(count)

    return advance

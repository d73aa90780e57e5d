"""A run from its plan to its last word: as the Snakefile is read, before the first job, after the last."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from ecogvault import closing, edf, intake, registry
from ecogvault.config import Config, check
from ecogvault.errors import EcogvaultError, safe_traceback
from ecogvault.files import lock, sweep_tree
from ecogvault.private import open_private
from ecogvault.workflow import told
from ecogvault.workflow.targets import Plan

# What is held until the process ends; the system lets go of it even after `kill -9`.
_RUN = ExitStack()

_STRICT = "set -euo pipefail; "  # what Snakemake puts before each command by itself
_HOLD_BACK = ["env", "--block-signal=INT", "--block-signal=TERM"]


def answer_interrupts(shell: Any) -> None:
    """Have Ctrl-C answered in words at any moment, by the run and by its jobs. `shell` is Snakemake's.

    A job loads its modules for half a second, in which Python has but a traceback to say: the signal is held back until
    `scripting.job` can answer it. Snakemake itself lets one that comes at a bad moment pass to Python.
    """
    shell.prefix(_STRICT + _held_back())
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if issubclass(kind, KeyboardInterrupt):
            closing.say("interrupted; what was done is kept, run again to go on")
        else:
            before(kind, error, trace)

    sys.excepthook = hook


@cache
def _held_back() -> str:
    """What holds signals back for the command after it; nothing where `env` cannot (GNU coreutils before 8.31)."""
    try:
        able = subprocess.run([*_HOLD_BACK, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        able = False
    return " ".join([*_HOLD_BACK, ""]) if able else ""


def plan(values: Mapping[str, Any], *, main_process: bool) -> Plan:
    """The plan of a run. The main process checks the configuration and looks at the raw folders; jobs do neither.

    Raises EcogvaultError. Writes nothing.
    """
    if not main_process:
        config = Config(values)
        private = open_private(config) if config.private.is_dir() else None
        return Plan(config, private, tuple(intake.recorded(config, private)) if private else ())
    config = check(values)
    policy = edf.read_policy(config["policy"], check=True)
    if config.shifts_dates:
        policy.require_shifts()
    if not config.private.exists():
        told.announce(Plan(config, None, ()))
        return Plan(config, None, ())
    private = open_private(config)
    registry.refuse_raw_destinations(config, private)
    made = Plan(config, private, tuple(intake.look(config, private)))
    told.announce(made)
    if made.units or made.registry_records:
        from ecogvault import keys

        if made.units:
            keys.recipients(config)
        if made.registry_records:
            keys.registry_recipients(config)
    return made


@contextmanager
def explained(kind: type[Exception]) -> Iterator[None]:
    """Turn our errors into `kind`, which the caller shows as a line and not as a traceback.

    A foreign error may hold a raw path in its text: only its class and place are said.
    """
    try:
        yield
    except EcogvaultError as error:
        raise kind(str(error)) from None
    except OSError as error:
        raise kind(f"a file cannot be read or written: {error.strerror}\n{safe_traceback(error)}") from None
    except Exception as error:
        raise kind(f"a fault in ecogvault itself:\n{safe_traceback(error)}") from None


def freeze(made: Plan, kind: type[Exception]) -> None:
    """Before the first job: write what the run was planned with, and hold the run's lock to its end. Raises `kind`."""
    _RUN.enter_context(lock(closing.RUN_LOCK, what="this folder"))
    if made.private is not None:
        sweep_tree(made.config.private)
        with explained(kind):
            intake.freeze(made.config, made.private, made.subjects)


def close(made: Plan, *, succeeded: bool) -> None:
    """After the last job: what was done, what failed and why, what waits, and the next command."""
    for mark in made.paths.restored.glob("*/*.again"):
        mark.unlink(missing_ok=True)
    wanted = made.receipts
    for line in closing.summary(
        there=sum(Path(receipt).exists() for receipt in wanted),
        wanted=len(wanted),
        failed=closing.failures(made.began),
        waiting=[*told.waiting(made), *told.to_review(made), *([] if succeeded else told.registry_waits(made))],
        named=told.named(made),
        succeeded=succeeded,
        command=closing.own_command(),
    ):
        closing.say(line)
    for line in [*told.came_back(made), *told.shortfalls(made)]:
        closing.say(line)

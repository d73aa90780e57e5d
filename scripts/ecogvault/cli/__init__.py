"""The command `ecogvault`: one file per verb, each with `add(subparsers)` that sets `run`, a function to a status.

Everything that goes wrong is one line on standard error and exit status 1 (2 for a command line that makes no sense,
130 after an interrupt). No line holds a raw path or a name; `ECOGVAULT_DEBUG=1` shows tracebacks, which may.
"""

import argparse
import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ecogvault import __version__
from ecogvault.errors import EcogvaultError

# In the order in which a lab uses them, as `--help` shows them.
VERBS = (
    "register",
    "subjects",
    "preflight",
    "order",
    "review",
    "refresh",
    "keygen",
    "paper-key",
    "keycheck",
    "reseal",
    "statement",
    "find",
    "plan",
    "rebuild",
    "adopt",
    "open",
    "legacy-open",
    "fetch",
    "registry-restore",
    "status",
    "cleanup",
    "sandbox",
    "reidentify",
    "audit",
)

_INTERRUPTED = 130
_WRITTEN_TO_NOBODY = 141


class _Parser(argparse.ArgumentParser):
    """Refuses unknown words without repeating them: what somebody types beside a verb may be a name."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        known, extra = self.parse_known_args(args, namespace)
        options = [word.partition("=")[0] for word in extra if word.startswith("--")]
        if options:
            self.error(f"there is no option {', '.join(options)}: see --help")
        if extra:
            self.error(f"{len(extra)} word(s) more than this verb takes: see --help")
        return known


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status. `argv` is the command line without the program's name."""
    words = list(sys.argv[1:] if argv is None else argv)
    # Whatever a verb makes without naming a mode is its user's alone.
    os.umask(0o077)
    args = argparse.Namespace(words=words)  # for verbs that say what to type again
    try:
        _parser(words).parse_args(words, args)
        status: int = args.run(args)
        sys.stdout.flush()
    except SystemExit as ending:  # argparse has said what it had to say
        return ending.code if isinstance(ending.code, int) else 2
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            print(file=sys.stderr)  # behind the ^C that the terminal shows
        return _say("interrupted", _INTERRUPTED)
    except BrokenPipeError:
        # Nobody reads any more, as in `ecogvault subjects | head`; the interpreter must not try once again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _WRITTEN_TO_NOBODY
    except EcogvaultError as error:
        return _say(str(error), 1)
    except OSError as error:
        return _say(_explain(error, args), 1)
    except (
        Exception
    ) as error:  # a fault in the program: its text may hold anything, so only its kind and place are said
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}, line {place.lineno}"
        return _say(f"a fault in the program ({type(error).__name__} in {where}): ECOGVAULT_DEBUG=1 shows more", 1)
    return status


def _parser(words: Sequence[str]) -> _Parser:
    """The parser for this command line: with the one verb it names, or with all of them to list them."""
    parser = _Parser(
        prog="ecogvault",
        allow_abbrev=False,
        description="Hospital exports in; numbered, de-identified, encrypted and proven copies out (with snakemake).",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration (default: config/config.yaml)")
    parser.add_argument("--version", action="version", version=f"ecogvault {__version__}")
    subparsers = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verb = _verb(words)
    if verb is not None and verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(VERBS)}"
        parser.error(f"there is no such verb; {hint}")
    for name in VERBS if verb is None else (verb,):
        importlib.import_module(f"ecogvault.cli.{name.replace('-', '_')}").add(subparsers)
    return parser


def _verb(words: Iterable[str]) -> str | None:
    """The first word that is neither an option of the command itself nor that option's value."""
    remaining = iter(words)
    for word in remaining:
        if word == "--config":
            next(remaining, None)
        elif not word.startswith("-"):
            return word
    return None


def _explain(error: OSError, args: argparse.Namespace) -> str:
    """An OSError without its path, unless that holds codes only or was given to a verb that takes no names."""
    reason = error.strerror or type(error).__name__
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else None
    if name is None:
        return f"{reason}: see `ecogvault --help`"
    given = [] if getattr(args, "verb", None) == "register" else vars(args).values()
    if _is_coded(name, args) or any(isinstance(value, str | Path) and os.fspath(value) == name for value in given):
        return f"{reason}: {name}"
    return f"{reason} (a path that is not shown, since it may hold a name; ECOGVAULT_DEBUG=1 shows it)"


def _is_coded(name: str, args: argparse.Namespace) -> bool:
    """Whether a path lies below the results, where everything is named by code."""
    from ecogvault.config import load

    try:
        results = load(getattr(args, "config", None)).results
    except (EcogvaultError, OSError):
        return False
    return Path(os.path.abspath(results)) in Path(os.path.abspath(name)).parents


def _say(message: str, status: int) -> int:
    if os.environ.get("ECOGVAULT_DEBUG") == "1" and sys.exc_info()[0] is not None:
        traceback.print_exc()
    print(f"ecogvault: {' '.join(message.split())}", file=sys.stderr)
    return status

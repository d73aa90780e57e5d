"""`ecogvault status`: running and interrupted transfers, and how well each subject's copies are proven."""

import argparse
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecogvault.config import Config
    from ecogvault.status import Evidence

WATCH_EVERY = 1.0  # seconds


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    parser = subparsers.add_parser(
        "status",
        help="show running transfers, and how well copies are proven",
        description="Shows every running upload with position, rate and time left, the interrupted ones, and per"
        " subject and destination how many units are proven how well. Nothing is asked of a destination: `snakemake"
        " verify` does that. What counts is what the ledgers say.",
    )
    parser.add_argument("--watch", action="store_true", help="go on showing it, until Ctrl-C")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show it, once or again and again."""
    from ecogvault import config
    from ecogvault.status import Evidence

    settings = config.load(args.config)
    evidence = Evidence(settings)
    pause = threading.Event()
    try:
        while True:
            text = "\n".join(lines(settings, evidence))
            if args.watch and sys.stdout.isatty():
                text = f"\x1b[H\x1b[J{text}"  # from the top of the screen, and nothing of before
            print(text, flush=True)
            if not args.watch:
                return 0
            pause.wait(WATCH_EVERY)
    except KeyboardInterrupt:
        if args.watch:
            return 0
        raise


def lines(settings: "Config", evidence: "Evidence") -> list[str]:
    """What is shown."""
    from ecogvault.status import transfers

    found = list(transfers(settings))
    running = [one.line() for one in found if one.by is not None]
    interrupted = [one.line() for one in found if one.by is None]
    shown = ["running:", *(f"  {line}" for line in running)] if running else ["no transfer is running"]
    if interrupted:
        shown += ["interrupted:", *(f"  {line}" for line in interrupted)]
    return shown + (list(evidence.lines()) or ["no unit is made yet"])

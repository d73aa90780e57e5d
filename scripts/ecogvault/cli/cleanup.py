"""`ecogvault cleanup`: what interrupted uploads have left at the destinations; with --remove, remove it."""

import argparse
from datetime import UTC, datetime, timedelta


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    parser = subparsers.add_parser(
        "cleanup",
        help="show unfinished uploads that nobody goes on with, and remove them",
        description="Lists the unfinished uploads at the destinations with size and cost. What the next run goes on"
        " with, what is running, and what is not ours is counted and left alone. With --remove, the abandoned ones are"
        " ended, after a question. No object is ever removed.",
    )
    parser.add_argument("destination", nargs="*", metavar="DESTINATION", help="by default all")
    parser.add_argument("--remove", action="store_true", help="end the abandoned uploads")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--older-than",
        type=float,
        default=24.0,
        metavar="HOURS",
        help="an upload of ours that no state here knows may be another machine's; it counts as abandoned after so"
        " many hours (default: 24)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List, ask, remove."""
    from ecogvault import cleanup, config
    from ecogvault.cleanup import Fate
    from ecogvault.cli.preflight import chosen
    from ecogvault.cli.reseal import confirm

    settings = config.load(args.config)
    found = list(
        cleanup.survey(settings, chosen(settings, args.destination), older_than=timedelta(hours=args.older_than))
    )
    abandoned = [one for one in found if one.fate is Fate.ABANDONED]
    now = datetime.now(UTC)
    for one in abandoned:
        hours = (now - one.upload.begun).total_seconds() / 3600
        print(f"{one.destination}: {one.upload.key} in {one.where}: {one.upload.size} bytes, begun {hours:.0f} h ago")
    for fate in (Fate.RUNNING, Fate.WAITING, Fate.YOUNG, Fate.FOREIGN):
        others = [one for one in found if one.fate is fate]
        if others:
            print(f"left alone ({fate.value}): {cleanup.cost(settings, others)}")
    if not abandoned:
        print("no abandoned uploads")
        return 0
    print(f"abandoned: {cleanup.cost(settings, abandoned)}")
    if not args.remove:
        print("--remove ends them")
        return 0
    confirm(args.yes, f"Remove {len(abandoned)} unfinished uploads?")
    for one in abandoned:
        one.store.end(one.upload)
    print(f"{len(abandoned)} removed")
    return 0

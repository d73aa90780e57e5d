"""`ecogvault audit`: who did what with names and plaintext, after the log's chain was checked."""

import argparse


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    parser = subparsers.add_parser("audit", help="check the audit log and show it")
    parser.add_argument("--code", metavar="CODE", help="only what was done to this subject")
    parser.add_argument("--last", type=int, metavar="N", help="only the last N lines")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check all lines, show those asked for."""
    from ecogvault import audit
    from ecogvault.cli.subjects import layout
    from ecogvault.config import load
    from ecogvault.private import open_private

    lines = audit.check(open_private(load(args.config)))
    shown = [line for line in lines if args.code in (None, line["code"])]
    if args.last is not None:
        shown = shown[len(shown) - max(0, min(args.last, len(shown))) :]
    if shown:
        rows = [{column: line[column] or "" for column in audit.COLUMNS} for line in shown]
        print(layout(audit.COLUMNS, rows))
    print(f"{len(lines)} line(s), none changed and none missing between them")
    return 0

"""`ecogvault reidentify CODE`: a subject's files under their original names, for the vendor's viewer."""

import argparse
import sys
from pathlib import Path


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    parser = subparsers.add_parser(
        "reidentify",
        help="write a subject's files under their original names (noted in the audit log)",
        description="Writes the files of a subject, or of one session, under their original names and byte for byte as "
        "they came from the hospital, into a folder that only you can read. They are taken from the results or from a "
        "restore. Remove the folder when you are done: it names the patient.",
    )
    parser.add_argument("code", metavar="CODE", help="the subject")
    parser.add_argument("--session", type=int, metavar="N", help="only this session")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", required=True, help="a new or empty folder")
    parser.add_argument("--link", action="store_true", help="videos are links to the coded files instead of copies")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Note it, do it, and say how much it was."""
    from ecogvault import audit, config, registry
    from ecogvault.naming import require_code
    from ecogvault.private import open_private
    from ecogvault.reidentify import reidentify

    settings = config.load(args.config)
    private = open_private(settings)
    code = registry.subject(private, require_code(args.code)).code
    what = "all sessions" if args.session is None else f"session {args.session}"
    audit.record(private, "reidentify", code, what)
    done = reidentify(settings, private, code, args.output, session=args.session, link=args.link)
    links = f", {done.links} of them links to videos" if done.links else ""
    print(f"{done.files} files of {done.units} units, {what} of {code}{links}", file=sys.stderr)
    print("they name the patient: remove the folder when you are done", file=sys.stderr)
    return 0

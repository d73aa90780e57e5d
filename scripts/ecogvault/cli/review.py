"""`ecogvault review CODE`: free text in annotations, and names that were found, for a person to decide about."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ecogvault.errors import EcogvaultError

if TYPE_CHECKING:
    from ecogvault.config import Config
    from ecogvault.private import Private
    from ecogvault.reviewing import Item

_QUESTION = "[a]ccept for this person, accept for the [l]ab, [r]edact, [w]aive, [s]kip, [q]uit: "


class NothingRevealed(EcogvaultError):
    """What was asked for is not possible without a terminal, or without --reveal."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    parser = subparsers.add_parser(
        "review",
        help="decide about free text in annotations and about names that were found",
        description="Shows what keeps a subject's units from leaving plain: free text in the annotations of recordings,"
        " and names that the scan found. On a terminal it asks about one after the other; elsewhere it lists ids, and"
        " decides what the options say. An accepted text may leave from now on, wherever it stands. A redacted one is"
        " overwritten in the coded copy, which the next snakemake makes anew. A waiver lets one pass in one unit, with"
        " a reason that is kept.",
    )
    parser.add_argument("code", metavar="CODE", help="the subject")
    parser.add_argument("--session", type=int, metavar="N", help="only this session's")
    parser.add_argument(
        "--reveal", action="store_true", help="show the texts though this is no terminal (noted in the audit log)"
    )
    ids = {"metavar": "ID", "nargs": "+", "action": "extend", "default": []}
    parser.add_argument("--accept", **ids, help="these texts may leave, in all units of the subject")  # type: ignore[arg-type]
    parser.add_argument("--lab", action="store_true", help="with --accept or --undo: for all units of all subjects")
    parser.add_argument("--redact", **ids, help="overwrite these texts in the coded recordings")  # type: ignore[arg-type]
    parser.add_argument("--waive", **ids, help="let these pass where they are")  # type: ignore[arg-type]
    parser.add_argument(
        "--reason-file", metavar="FILE", help="with --waive: file with the reason, - for standard input"
    )
    parser.add_argument("--undo", **ids, help="take back what was decided about these")  # type: ignore[arg-type]
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Decide what the options say, or show and ask. The status is 0 whether or not anything is left."""
    from ecogvault import audit, config, registry
    from ecogvault.naming import require_code
    from ecogvault.private import open_private
    from ecogvault.reviewing import decide, items, undo

    settings = config.load(args.config)
    private = open_private(settings)
    code = registry.find(registry.load(private), require_code(args.code)).code
    if args.lab and not (args.accept or args.undo):
        raise NothingRevealed("--lab goes with --accept or --undo")
    reason = _reason(args.reason_file) if args.waive else ""
    asked = bool(args.accept or args.redact or args.waive)
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    shown = args.reveal or (sys.stdout.isatty() and not asked and not args.undo)
    if shown or asked or args.undo:
        audit.refuse_unless_writable(private)
    if args.undo:
        for line in undo(private, code, args.undo, args.session, lab=args.lab):
            print(line)
    found, left_out = items(settings, private, code, args.session)
    if asked:
        wanted = {"lab" if args.lab else "accept": args.accept, "redact": args.redact, "waive": args.waive}
        for line in decide(settings, private, code, found, wanted, reason):
            print(line)
        found, left_out = items(settings, private, code, args.session)
    for line in left_out:
        print(line, file=sys.stderr)
    if shown and found:
        audit.record(private, "review --reveal", code)
    if on_terminal and not asked and not args.undo and not args.reveal:
        return _ask(settings, private, code, found)
    for item in found:
        print(item.line(reveal=shown))
    if not found:
        print(f"nothing of {code} waits to be decided")
    elif not shown:
        print("texts are shown on a terminal, or with --reveal", file=sys.stderr)
    return 0


def _reason(given: str | None) -> str:
    """The reason of a waiver, which is never on a command line: it may hold a name."""
    if given is None:
        raise NothingRevealed("--waive needs a reason: --reason-file FILE, or - to read it from standard input")
    try:
        text = sys.stdin.read() if given == "-" else Path(given).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise NothingRevealed("the reason is not UTF-8 text") from None
    if not text.strip():
        raise NothingRevealed("the reason is empty: say why these may pass")
    return " ".join(text.split())


def _ask(config: "Config", private: "Private", code: str, found: "Sequence[Item]") -> int:
    """Show one item after the other and ask. What was answered counts at once, also after an interrupt.

    The end of the input is an answer, too: the rest is left for another time.
    """
    try:
        _ask_about_each(config, private, code, found)
    except EOFError:
        print()
    if not found:
        print(f"nothing of {code} waits to be decided")
    return 0


def _ask_about_each(config: "Config", private: "Private", code: str, found: "Sequence[Item]") -> None:
    from ecogvault.reviewing import decide

    for number, item in enumerate(found, start=1):
        print(f"\n{number} of {len(found)}: {item.line(reveal=True)}")
        while True:
            answer = input(_QUESTION).strip().lower()[:1]
            if answer == "q":
                return
            if answer == "s":
                break
            verb = {"a": "accept", "l": "lab", "r": "redact", "w": "waive"}.get(answer)
            if verb is None:
                continue
            reason = " ".join(input("reason: ").split()) if verb == "waive" else ""
            try:
                for line in decide(config, private, code, found, {verb: [item.id]}, reason):
                    print(line)
            except EcogvaultError as error:
                print(error)
                continue
            break

"""`ecogvault order CODE`: the sessions by start time, as they are accepted and as they would be."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from ecogvault.config import Config
from ecogvault.errors import EcogvaultError
from ecogvault.paths import Paths
from ecogvault.private import Private


class NothingToAccept(EcogvaultError):
    """No item waits to be accepted, or none goes by the private id that was given."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    parser = subparsers.add_parser(
        "order",
        help="show a subject's sessions by start time, and accept their numbers",
        description="Shows the sessions of a subject with their numbers: those that are accepted, and those that are "
        "proposed for what has arrived since. --accept gives the proposed ones their numbers for good.",
    )
    parser.add_argument("code", metavar="CODE", help="the subject")
    parser.add_argument("--accept", action="store_true", help="give the proposed sessions their numbers, for good")
    parser.add_argument(
        "--exclude",
        metavar="ID",
        nargs="+",
        action="extend",
        default=[],
        help="leave out items by their private ids (i and 8 digits)",
    )
    parser.add_argument(
        "--reveal", action="store_true", help="show which raw paths the private ids stand for (noted in the audit log)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exclude, show, reveal or accept, in this order."""
    from ecogvault import audit, config, intake, registry
    from ecogvault.naming import require_code
    from ecogvault.private import open_private

    settings = config.load(args.config)
    private = open_private(settings)
    subject = registry.find(registry.load(private), require_code(args.code))
    if args.accept and subject.status == "erased":
        raise NothingToAccept(f"{subject.code} was erased: nothing of it is accepted any more")
    if args.accept or args.reveal or args.exclude:
        audit.refuse_unless_writable(private)
    if args.exclude:
        _exclude(private, Paths.of(settings), subject.code, args.exclude)
        audit.record(private, "order --exclude", subject.code)
    if args.reveal:
        audit.record(private, "order --reveal", subject.code)
        for private_id, path in _raw_paths(private, subject.code):
            print(f"{private_id}  {_printable(path)}")
        return 0
    seen = intake.survey(settings, private, subject)
    print(_table(settings, private, subject, seen))
    if settings.shifts_dates:
        print("these are the true dates, for you alone: what is archived has shifted ones", file=sys.stderr)
    if args.accept:
        if not seen.proposed:
            raise NothingToAccept(f"nothing new waits to be accepted for {subject.code}")
        intake.accept(private, Paths.of(settings), subject.code, seen.proposed)
        audit.record(private, "order --accept", subject.code)
        numbers = {row.unit.number for row in seen.proposed}
        print(f"accepted: {len(numbers)} sessions; next: snakemake -n", file=sys.stderr)
    elif seen.proposed:
        print(f"to accept the proposed: ecogvault order {subject.code} --accept", file=sys.stderr)
    return 0


def _table(settings: Config, private: Private, subject: object, seen: object) -> str:
    """One line a session, then what gets no number. Dates are those of the raw export, shifted or not."""
    from ecogvault import registry
    from ecogvault.intake import Survey
    from ecogvault.intake.clocks import differences
    from ecogvault.intake.find import extension
    from ecogvault.intake.order import remarks
    from ecogvault.intake.unfinished import unfinished
    from ecogvault.registry import Subject

    assert isinstance(seen, Survey)
    assert isinstance(subject, Subject)
    rows = [*seen.accepted, *seen.proposed]
    notes = remarks(rows)
    folders = {part.part: part.path for part in registry.parts(private, subject.code)}
    for found in (differences(folders, rows), unfinished(folders, rows)):
        for number, words in found.items():
            notes[number].append(words)
    items = {(item.part, item.path, item.role): item for item in seen.items}
    lines = ["n    state     start                    length    EDF  video     text     remarks"]
    for number in sorted(notes):
        members = [row for row in rows if row.unit.number == number]
        roles = {row.role for row in members}
        states = {"accepted" if row.accepted else "proposed" for row in members}
        folder = next((items.get((row.part, row.item, row.role)) for row in members if row.role == "vid"), None)
        clips = sum(extension(file.path) == "avi" for file in folder.files) if folder else 0
        first = members[0]
        if "vid" not in roles and _is_repeated(first.start, settings.zone):
            notes[number].append("begins in the hour that clocks repeat: look whether its place is right")
        lines.append(
            "  ".join(
                [
                    f"{number:<3}",
                    f"{'+'.join(sorted(states)):<8}",
                    f"{first.start.astimezone(settings.zone).strftime('%Y-%m-%d %H:%M:%S.%f')[:-3]}",
                    f"{_length(first.end - first.start) if first.end else '?':<8}",
                    f"{'+'.join(sorted(roles & {'edf', 'bdf'})) or 'no':<3}",
                    f"{(f'{clips} AVI' if clips else 'folder') if 'vid' in roles else 'no':<8}",
                    f"{'+'.join(sorted(roles & {'snc', 'vtc'})) or 'no':<7}",
                    ", ".join(notes[number]),
                ]
            ).rstrip()
        )
    for one in seen.left:
        where = private.private_id(folders[one.item.part] / one.item.path)
        lines.append(f"-    {one.reason:<8}  {where} ({one.item.role})")
    lines.append(f"{seen.unmatched} other items in the raw folders are not this subject's, or are left out")
    return "\n".join(lines)


def _printable(path: Path) -> str:
    """A raw path on one line, whatever its bytes: a terminal must show it, and never act on it."""
    signs = (sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in str(path))
    return "".join(signs)


def _is_repeated(moment: datetime, zone: ZoneInfo) -> bool:
    """Whether a time lies in the hour that clocks have twice, so that a recorder's local time does not say which."""
    local = moment.astimezone(zone)
    return local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()


def _length(span: timedelta) -> str:
    minutes, seconds = divmod(round(span.total_seconds()), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def _exclude(private: Private, paths: Paths, code: str, wanted: Sequence[str]) -> None:
    """Leave out items by their private ids: all of them, or none if one is unknown or has its number already."""
    from ecogvault import registry
    from ecogvault.intake.assignment import read_sessions
    from ecogvault.intake.find import find

    parts = registry.parts(private, code)
    folders = {part.part: part.path for part in parts}
    accepted = {private.private_id(folders[row.part] / row.item): str(row.unit) for row in read_sessions(paths, code)}
    here = {
        part.part: {private.private_id(part.path / item.path) for item in find(part.path, part.part)} & {*wanted}
        for part in parts
        if part.path.is_dir()
    }
    unknown = sorted({*wanted}.difference(*here.values()))
    if unknown:
        raise NothingToAccept(
            f"no item of {code} goes by {', '.join(unknown)}: `ecogvault order {code} --reveal` lists them"
        )
    for private_id in wanted:
        if private_id in accepted:
            raise NothingToAccept(f"{private_id} is part of {accepted[private_id]}, and accepted numbers never change")
    for part, found in here.items():
        if found:
            registry.exclude(private, code, part, sorted(found))


def _raw_paths(private: Private, code: str) -> Iterator[tuple[str, Path]]:
    """Every item of the subject's raw folders with its private id, and the files of its session folders."""
    from ecogvault import registry
    from ecogvault.intake.find import find

    for part in registry.parts(private, code):
        for item in find(part.path, part.part) if part.path.is_dir() else ():
            yield private.private_id(part.path / item.path), part.path / item.path
            if item.role == "vid":
                for file in item.files:
                    path = part.path / item.path / file.path
                    yield private.private_id(path), path

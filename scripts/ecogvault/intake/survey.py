"""One subject's raw folders as they are today: what lies there, whose it is, and what would be numbered."""

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from ecogvault import edf, natus, registry, synctext
from ecogvault.config import Config
from ecogvault.errors import EcogvaultError
from ecogvault.intake.assignment import read_sessions
from ecogvault.intake.find import Item, find
from ecogvault.intake.headers import Timed, bears_surname, is_foreign, timed
from ecogvault.intake.order import Left, Row, propose
from ecogvault.naming import CODE_PATTERN, NUMBER_PATTERN, RECORDING_KINDS, NameCollision, coded_tree
from ecogvault.paths import Paths
from ecogvault.person import Person, fold
from ecogvault.private import Private
from ecogvault.registry import RawPart, Subject

EVERYTHING = "*"
SURNAME = "@surname"
UNDECIDED = "auto"


class IntakeError(EcogvaultError):
    """A subject's raw export cannot be taken as it is; the message names items by private id."""


@dataclass(frozen=True)
class Survey:
    """What lies in a subject's raw folders.

    `accepted` are the rows of the assignment, `proposed` those that would be added, `left` items that get no number,
    `items` all that matches, and `unmatched` how many items there do not.
    """

    accepted: tuple[Row, ...]
    proposed: tuple[Row, ...]
    left: tuple[Left, ...]
    items: tuple[Item, ...]
    unmatched: int

    @property
    def newest_ns(self) -> int:
        """When the newest file of a proposed row was last changed, ns since 1970; 0 if nothing is proposed."""
        proposed = {(row.part, row.item, row.role) for row in self.proposed}
        return max((i.newest_ns for i in self.items if (i.part, i.path, i.role) in proposed), default=0)


def survey(config: Config, private: Private, subject: Subject) -> Survey:
    """Find, match, check and time what lies in the raw folders of `subject`. Writes nothing.

    Raises IntakeError for what stops the subject: a raw folder that is missing before anything was accepted, an item
    of somebody else's, an empty session folder, two names that would become one, two different items of one stem;
    edf.BadRecording for a recording that is unreadable or truncated; OSError as it comes.
    """
    accepted = read_sessions(Paths.of(config), subject.code)
    known = {(row.part, row.item, row.role) for row in accepted}
    found: list[Timed] = []
    unmatched = 0
    for part in registry.parts(private, subject.code):
        if not part.path.is_dir():
            if any(row.part == part.part for row in accepted):
                continue  # archived and taken away: the assignment is used
            if accepted:
                found.append(Timed(Item(part.part, "missing", ".", ()), None, None))
                continue
            raise IntakeError(
                f"raw folder {part.part} of {subject.code} is not there: mount it, or copy the export to it again"
            )
        items = find(part.path, part.part)
        pattern = decide_match(part.path, subject.person, items) if part.match == UNDECIDED else part.match
        if pattern == UNDECIDED:
            pattern = EVERYTHING  # so that what cannot be read is named
        for item in items:
            where = private.private_id(str(part.path / item.path))
            if (item.part, item.path, item.role) in known:
                found.append(Timed(item, None, None))
            elif _is_excluded(private, part, item, where) or not matches(pattern, item, subject.person, subject.code):
                unmatched += 1
            else:
                found.append(_examine(config, private, subject, part, item, where))
    tops = {part.part: part.path.name for part in registry.parts(private, subject.code)}
    window = timedelta(minutes=config["sync_window_minutes"])
    coded = frozenset(part.part for part in registry.parts(private, subject.code) if part.match == registry.CODED)
    proposal = propose(subject.code, accepted, found, tops, window, coded)
    _refuse_conflicts(private, subject, proposal.left)
    return Survey(tuple(accepted), proposal.rows, proposal.left, tuple(one.item for one in found), unmatched)


def _is_excluded(private: Private, part: RawPart, item: Item, where: str) -> bool:
    """Whether an item of private id `where` is left out, or the session folder of a table is."""
    return where in part.exclude or (
        item.home is not None and private.private_id(str(part.path / item.home)) in part.exclude
    )


def matches(pattern: str, item: Item, person: Person, code: str = "") -> bool:
    """Whether an item is one of the person's by its path: everything, the surname or the code in it, or a glob.

    Case and accents are folded.
    """
    if pattern == EVERYTHING:
        return True
    if pattern == registry.CODED:
        return re.fullmatch(f"{code}_{NUMBER_PATTERN}", item.stem) is not None
    if pattern == SURNAME:
        return bears_surname(item.path, person)
    wanted = fold(pattern)
    return any(fnmatch.fnmatchcase(fold(part), wanted) for part in (item.path, *item.path.split("/")))


def coded_in(root: Path) -> list[str]:
    """The codes that recordings and session folders below `root` bear, with a session number. Raises OSError."""
    stems = (re.fullmatch(f"({CODE_PATTERN})_{NUMBER_PATTERN}", item.stem) for item in find(root, 0))
    return sorted({match[1] for match in stems if match})


def decide_match(root: Path, person: Person, items: Sequence[Item] | None = None) -> str:
    """The match for a raw folder when none is given.

    Everything, if all its recordings and session folders name this person or nobody; else what has the surname in its
    name; undecided while the folder holds nothing, or something that is still being copied and nothing foreign.
    """
    items = find(root, 0) if items is None else items
    telling = [item for item in items if item.role in (*RECORDING_KINDS, "vid", "snc", "vtc")]
    unreadable = not telling
    for item in telling:
        try:
            if is_foreign(root, item, person, "an item of the raw folder"):
                return SURNAME
        except edf.BadRecording:
            unreadable = True
    return UNDECIDED if unreadable else EVERYTHING


def _examine(config: Config, private: Private, subject: Subject, part: RawPart, item: Item, where: str) -> Timed:
    """Check one item that is not accepted yet, and time it."""
    if item.role == "empty":
        raise IntakeError(
            f"session folder {where} of {subject.code} is empty: copy it again, or leave it out: "
            f"ecogvault order {subject.code} --exclude {where}"
        )
    if is_foreign(part.path, item, subject.person, f"item {where} of {subject.code}"):
        raise IntakeError(
            f"item {where} of {subject.code} names another person in its header: {subject.code} is stopped; leave the "
            f"item out (ecogvault order {subject.code} --exclude {where}) or narrow the match with register"
        )
    if item.home is not None:
        item = _readable(part.path, item)
    if item.role == "vid":
        try:
            coded_tree([file.path for file in item.files], f"{subject.code}_0")
        except NameCollision as collision:
            raise IntakeError(collision_text(private, subject.code, part.path / item.path, collision)) from None
    return timed(part.path, item, config.zone, f"recording {where} of {subject.code}")


def _readable(root: Path, item: Item) -> Item:
    """A table of a session folder, or the same as `unread` if no text can be made of all of it.

    What is accepted keeps its place for good, so this is asked beforehand.
    """
    if item.role == "unread":
        return item
    try:
        synctext.generated((root / item.path).read_bytes(), item.role, "")
    except natus.UnknownSchema as error:
        return replace(item, role="unread", note=f"unknown: {error.what}")
    except (natus.BadNatusFile, synctext.BadSyncText):
        return replace(item, role="unread", note=f"no text can be made of this .{item.role}")
    return item


def collision_text(private: Private, code: str, folder: Path, collision: NameCollision) -> str:
    """What is wrong when two files of the session folder `folder` would get one name, by private ids."""
    first, second = (private.private_id(str(folder / name)) for name in (collision.first, collision.second))
    return (
        f"files {first} and {second} of {code} would get one coded name: rename one of them, or take it out of the "
        f"session folder (ecogvault order {code} --reveal shows which they are)"
    )


def _refuse_conflicts(private: Private, subject: Subject, left: Sequence[Left]) -> None:
    paths = {part.part: part.path for part in registry.parts(private, subject.code)}
    for one in left:
        if one.reason == "conflict":
            where = private.private_id(str(paths[one.item.part] / one.item.path))
            raise IntakeError(
                f"item {where} of {subject.code} has the same stem as another one but is not a copy of it: leave one "
                f"of them out: ecogvault order {subject.code} --exclude {where}"
            )

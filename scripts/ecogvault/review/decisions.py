"""What people have decided about annotations, in the private folder: accepted phrases, and texts to be redacted.

`accepted.tsv` lies in `private/` for phrases that the lab accepts from everybody, and in `private/{code}/` for one
person's. `private/{code}/redactions.tsv` says what is to be redacted in which unit. A text stands there as a keyed hash
of its very bytes (`text_id`), so that no decision reaches further than what was looked at. What was let pass with a
reason is a waiver (phi.waivers) of the place PLACE.

Accepted phrases and waivers count when bytes are about to leave, so that nothing is made or scanned again for them, and
withdrawing one counts at once. A redaction changes the unit, which is de-identified again.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ecogvault import audit, edf
from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.intake.assignment import subject_lock
from ecogvault.naming import NotACode, Unit
from ecogvault.phi import Verdict, Waiver, content_id
from ecogvault.private import Private
from ecogvault.records import read_table, utc_now, write_table

PLACE, KIND = "annotation", "text"
ACCEPTED, REDACTIONS = "accepted.tsv", "redactions.tsv"
ACCEPTED_COLUMNS = ("content", "by", "added")
REDACTION_COLUMNS = ("unit", "content", "by", "added")


class NotDecided(EcogvaultError):
    """A decision that cannot be: about an unknown annotation, or one that must not be decided so."""


@dataclass(frozen=True)
class Decisions:
    """What holds for one subject: accepted texts (the person's and the lab's), and redacted ones by unit."""

    person: frozenset[str]
    lab: frozenset[str]
    redacted: dict[Unit, frozenset[str]]

    @property
    def accepted(self) -> frozenset[str]:
        """What needs no decision any more, whatever unit it is in."""
        return self.person | self.lab

    def settle(self, verdict: Verdict, waivers: Iterable[Waiver]) -> Verdict:
        """The verdict without the annotations that are accepted or waived, with the outcome that follows."""
        if not verdict.annotations:
            return verdict
        waived = {one.content for one in waivers if one.place == PLACE and one.unit == verdict.unit}
        left = tuple(one for one in verdict.annotations if one not in self.accepted and one not in waived)
        return replace(verdict, annotations=left, outcome=verdict.outcome if verdict.count or left else "clean")


def text_id(key: bytes, data: bytes) -> str:
    """24 hex digits for the bytes of an annotation's text, keyed with the private key."""
    return content_id(key, PLACE, data.decode("latin-1"))


def read_decisions(private: Private, code: str) -> Decisions:
    """The decisions about a subject's annotations. Raises Damaged, and OSError as it comes."""
    path = private.root / code / REDACTIONS
    redacted: dict[Unit, set[str]] = {}
    for row in _rows(path, "redactions", REDACTION_COLUMNS):
        try:
            redacted.setdefault(Unit.parse(row["unit"]), set()).add(row["content"])
        except NotACode:
            raise Damaged(f"{path} names something that is no unit: restore it from a copy") from None
    return Decisions(
        frozenset(row["content"] for row in _rows(private.root / code / ACCEPTED, "accepted", ACCEPTED_COLUMNS)),
        frozenset(row["content"] for row in _rows(private.root / ACCEPTED, "accepted", ACCEPTED_COLUMNS)),
        {unit: frozenset(contents) for unit, contents in redacted.items()},
    )


def accept(private: Private, code: str, contents: Iterable[str], *, lab: bool = False) -> None:
    """Accept texts of a person, or with `lab` of everybody. Raises Damaged, and OSError as it comes."""
    row = {"by": audit.account(), "added": utc_now()}
    new = [{"content": content, **row} for content in contents]
    with private.lock() if lab else subject_lock(private, code):
        _add(private, private.root if lab else private.folder(code), ACCEPTED, ACCEPTED_COLUMNS, new)


def redact(private: Private, code: str, wanted: Iterable[tuple[Unit, str]]) -> None:
    """Have texts of units redacted from now on. Raises Damaged, and OSError as it comes."""
    row = {"by": audit.account(), "added": utc_now()}
    new = [{"unit": str(unit), "content": content, **row} for unit, content in wanted]
    with subject_lock(private, code):
        _add(private, private.folder(code), REDACTIONS, REDACTION_COLUMNS, new)


def undo(private: Private, code: str, contents: Collection[str], units: Collection[Unit] | None = None) -> None:
    """Take back a person's acceptances, and redactions in `units` (None: in all). The lab's stay.

    Raises Damaged, and OSError as it comes.
    """
    names = None if units is None else {str(unit) for unit in units}
    with subject_lock(private, code):
        folder = private.folder(code)
        for name, columns in ((ACCEPTED, ACCEPTED_COLUMNS), (REDACTIONS, REDACTION_COLUMNS)):
            rows = _rows(folder / name, Path(name).stem, columns)
            kept = [
                row
                for row in rows
                if row["content"] not in contents or (names is not None and "unit" in row and row["unit"] not in names)
            ]
            if kept != rows:
                write_table(folder / name, Path(name).stem, columns, kept, **private.modes)


def undo_lab(private: Private, contents: Collection[str]) -> None:
    """Take back what was accepted for the lab. Raises Damaged, and OSError as it comes."""
    with private.lock():
        rows = _rows(private.root / ACCEPTED, "accepted", ACCEPTED_COLUMNS)
        kept = [row for row in rows if row["content"] not in contents]
        write_table(private.root / ACCEPTED, "accepted", ACCEPTED_COLUMNS, kept, **private.modes)


def redaction_digest(private: Private, unit: Unit) -> str:
    """12 hex digits that change when the redactions in a unit do, for a rule's parameters; empty without any."""
    wanted = read_decisions(private, unit.code).redacted.get(unit)
    return private.keyed_hash("\n".join(["redactions", *sorted(wanted)]).encode(), 12) if wanted else ""


def redaction_edits(private: Private, unit: Unit, source: Path) -> list[edf.Change]:
    """The changes that redact in a unit's raw recording what is to be redacted. Raises BadRecording, OSError."""
    wanted = read_decisions(private, unit.code).redacted.get(unit)
    if not wanted:
        return []
    key = private.key
    return edf.redactions(source, lambda data: text_id(key, data) in wanted, where=str(unit))


def _rows(path: Path, name: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        return read_table(path, name, columns)
    except FileNotFoundError:
        return []


def _add(private: Private, folder: Path, name: str, columns: tuple[str, ...], new: list[dict[str, str]]) -> None:
    """Add rows to a table, which keeps the older one of two about the same."""
    about = columns[:-2]
    rows = {tuple(row[column] for column in about): row for row in new}
    rows |= {tuple(row[column] for column in about): row for row in _rows(folder / name, Path(name).stem, columns)}
    write_table(folder / name, Path(name).stem, columns, [rows[key] for key in sorted(rows)], **private.modes)

"""The verdict on a unit: what was found, what follows from it, and who may act on it.

A verdict is a record (see records) with `"schema": "ecogvault-verdict 1"`. It names findings by coded path, place,
offset and kind, never by their text.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.naming import Unit
from ecogvault.person import Person
from ecogvault.records import canonical, read_record, write_record

SCHEMA = "ecogvault-verdict 1"
KEPT = 100
"""So many findings are written down; all of them are counted."""

Outcome = Literal["block", "review", "clean"]
_BLOCKING = ("path", "key", "header")


class Refused(EcogvaultError):
    """The gate is closed: a name would leave, or nobody has looked."""


@dataclass(frozen=True, order=True)
class Finding:
    """One place where a name is. `path` is relative to `results/{code}/`, or says which of the paths or keys it is.

    `place` is path, key, header or contents; `offset` counts characters in a path or key and bytes in a file, or in the
    `part` of it that is named (a stream of a Word file). In headers and contents the same words found again are the
    same finding: `content` is their waivers.content_id, `offset` the first one's, `times` how many there are.
    """

    path: str
    place: str
    offset: int
    kind: str
    encoding: str
    content: str = ""
    times: int = 1
    part: str = ""

    def __str__(self) -> str:
        """What a message says of it."""
        place = f"{self.place} ({self.part})" if self.part else self.place
        what = f"{self.kind}, {self.encoding}" if self.encoding else self.kind
        return f"{self.path}, {place}, offset {self.offset} ({what})"


@dataclass(frozen=True)
class Verdict:
    """What the scan of a unit found. `identifiers` is the keyed hash of what was looked for (identifiers_hash).

    `annotations` are ids of free texts in a recording's annotations that are on no list of harmless phrases; None where
    nobody looked for any. `phrases` is the digest of the lab's own list of them.
    """

    unit: Unit
    manifest_sha256: str
    identifiers: str
    contents: bool
    outcome: Outcome
    findings: tuple[Finding, ...]
    count: int
    annotations: tuple[str, ...] | None = None
    phrases: str = ""


PATTERNS = 3
"""Raised when more is looked for, or in more places: every unit is scanned again, and none sealed or sent again."""


def identifiers_hash(key: bytes, person: Person, patterns: int = PATTERNS) -> str:
    """24 hex digits that change when one of this person's identifiers does, or `patterns`, so that the unit is scanned
    again.

    HMAC-SHA-256 under the private 32-byte key, so that it may stand in a rule's parameters and in a verdict. The
    identifiers of other people are left out on purpose: registering a patient must not scan everybody else's units
    again. Raises ValueError for a key of another length.
    """
    if len(key) != 32:
        raise ValueError("the key of identifiers' hashes has 32 bytes")
    names = [patterns, person.surname, person.given, sorted(person.other_names), person.mrn, person.birth_date]
    return hmac.new(key, b"ecogvault identifiers\n" + canonical(names), hashlib.sha256).hexdigest()[:24]


def decide(findings: Iterable[Finding], annotations: Sequence[str] | None = None) -> Outcome:
    """`block` for a name in a path, key or header, `review` for one in contents only or for free text, else `clean`."""
    places = {finding.place for finding in findings}
    if places & set(_BLOCKING):
        return "block"
    return "review" if places or annotations else "clean"


def with_annotations(verdict: Verdict, annotations: Sequence[str], phrases: str = "") -> Verdict:
    """The verdict after annotations were looked at, too, and compared with the lab's own `phrases`."""
    outcome: Outcome = "review" if annotations and verdict.outcome == "clean" else verdict.outcome
    return replace(verdict, annotations=tuple(annotations), phrases=phrases, outcome=outcome)


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """What blocks first, then by path and offset: the order in which findings are kept and shown."""
    return sorted(findings, key=lambda finding: (finding.place not in _BLOCKING, finding))


def require_current(verdict: Verdict, *, manifest_sha256: str, identifiers: str) -> None:
    """Raise Refused if the verdict is about another content or other identifiers than today's."""
    if verdict.manifest_sha256 != manifest_sha256:
        raise Refused(f"{verdict.unit}: the verdict is about another content than the manifest's: scan the unit again")
    if verdict.identifiers != identifiers:
        raise Refused(f"{verdict.unit}: the person's identifiers have changed since the scan: scan the unit again")


def permits(verdict: Verdict, *, leaves_plain_outside: bool) -> None:
    """Raise Refused unless the unit may be copied.

    `block` is refused everywhere; `review`, and a verdict made without looking at contents, where the unit leaves the
    building unencrypted.
    """
    if verdict.outcome == "block":
        raise Refused(
            f"{verdict.unit}: refused everywhere, a registered name is in {shown(verdict)}: "
            "remove it and de-identify the unit again"
        )
    if not leaves_plain_outside:
        return
    if not verdict.contents:
        raise Refused(f"{verdict.unit}: its contents were never scanned, and it would leave plain: scan it again")
    if verdict.count:
        raise Refused(
            f"{verdict.unit}: would leave plain, and the scan found {shown(verdict)}: "
            f"look at it with `ecogvault review {verdict.unit.code}`, or encrypt this kind at the destination"
        )
    if verdict.outcome == "review":
        raise Refused(
            f"{verdict.unit}: would leave plain, and {free_texts(verdict)} wait to be looked at: "
            f"`ecogvault review {verdict.unit.code}`, or encrypt this kind at the destination"
        )


def free_texts(verdict: Verdict) -> str:
    """How many annotations of a verdict are free text."""
    count = len(verdict.annotations or ())
    return f"{count} free text{'' if count == 1 else 's'} in its annotations"


def shown(verdict: Verdict) -> str:
    """The first finding, and how many more there are."""
    first = str(verdict.findings[0]) if verdict.findings else "a place that the verdict does not list"
    return first if verdict.count <= 1 else f"{first} and {verdict.count - 1} more"


def write_verdict(path: Path, verdict: Verdict, *, mode: int = 0o640, group: int | None = None) -> None:
    """Write a verdict, whole or not at all."""
    record = {
        "schema": SCHEMA,
        "unit": str(verdict.unit),
        "manifest_sha256": verdict.manifest_sha256,
        "identifiers": verdict.identifiers,
        "contents": verdict.contents,
        "outcome": verdict.outcome,
        "count": verdict.count,
        "findings": [asdict(finding) for finding in verdict.findings],
        "annotations": None if verdict.annotations is None else list(verdict.annotations),
        "phrases": verdict.phrases,
    }
    write_record(path, record, mode=mode, group=group)


def read_verdict(path: Path) -> Verdict:
    """Read a verdict. Raises Damaged (also for a record of another kind), and OSError as it comes."""
    record = read_record(path)
    if record.get("schema") != SCHEMA:
        raise Damaged(f"{path} is not a verdict of this version: remove it and scan the unit again")
    return Verdict(
        Unit.parse(record["unit"]),
        record["manifest_sha256"],
        record["identifiers"],
        record["contents"],
        record["outcome"],
        tuple(Finding(**finding) for finding in record["findings"]),
        record["count"],
        None if record.get("annotations") is None else tuple(record["annotations"]),
        record.get("phrases", ""),
    )


def verdict_of(
    unit: Unit, *, manifest_sha256: str, identifiers: str, contents: bool, findings: Sequence[Finding], count: int
) -> Verdict:
    """The verdict that follows from `findings`, of which there were `count`."""
    kept = tuple(ordered(findings)[:KEPT])
    return Verdict(unit, manifest_sha256, identifiers, contents, decide(findings), kept, count)

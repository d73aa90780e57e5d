"""Waivers: what a person has looked at and declared to be no identifier, in `private/{code}/waivers.tsv`.

A waiver names content and no place in a file: a keyed hash of the identifier's kind and of the text around the match
(`content_id`). So it holds for the same words elsewhere in the unit and after a redaction beside them, and never for
other words. It is honoured when bytes are about to leave, not when they are scanned: a waiver scans nothing again, and
one that is withdrawn counts at once. Paths and object keys cannot be waived: this program makes them.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.naming import Unit
from ecogvault.phi.verdict import Finding, Verdict, decide
from ecogvault.private import Private
from ecogvault.records import read_table, write_table

FILE = "waivers.tsv"
COLUMNS = ("unit", "place", "kind", "content", "reason", "by", "added", "manifest_sha256")
PLACES = ("header", "contents", "annotation")
"""The places of findings that can be waived."""


class WaiverRefused(EcogvaultError):
    """A waiver that may not be: of a path, of nothing in particular, or without a reason."""


@dataclass(frozen=True)
class Waiver:
    """One decision. `content` is a Finding's; `by` is an account, `added` UTC, `manifest_sha256` what was looked at."""

    unit: Unit
    place: str
    kind: str
    content: str
    reason: str
    by: str
    added: str
    manifest_sha256: str

    @property
    def about(self) -> tuple[Unit, str, str, str]:
        """What it holds for."""
        return self.unit, self.place, self.kind, self.content


def content_id(key: bytes, kind: str, text: str) -> str:
    """24 hex digits for a kind of identifier and the text around it: HMAC-SHA-256 under the private 32-byte key."""
    message = f"ecogvault finding\n{kind}\n{text}".encode("utf-8", "surrogatepass")
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:24]


def read_waivers(private: Private, code: str) -> list[Waiver]:
    """The waivers of a subject, oldest first. Raises Damaged, and OSError as it comes."""
    path = private.root / code / FILE
    try:
        rows = read_table(path, "waivers", COLUMNS)
    except FileNotFoundError:
        return []
    try:
        return [Waiver(**(row | {"unit": Unit.parse(row["unit"])})) for row in rows]  # type: ignore[arg-type]
    except ValueError:
        raise Damaged(f"{path} names something that is no unit: restore it from a copy") from None


def add_waivers(private: Private, code: str, waivers: Sequence[Waiver]) -> None:
    """Write waivers of a subject beside the ones there are. A later one about the same replaces the earlier.

    Takes the lock `waivers` of the private folder. Raises WaiverRefused, Damaged, and OSError as it comes.
    """
    for waiver in waivers:
        if waiver.place not in PLACES or not waiver.content:
            raise WaiverRefused(
                f"{waiver.unit}: what was found in a {waiver.place} cannot be waived: scan the unit again"
            )
        if not waiver.reason.strip():
            raise WaiverRefused(f"{waiver.unit}: a waiver needs a reason")
        if waiver.unit.code != code:
            raise WaiverRefused(f"{waiver.unit} is no unit of {code}")
    with private.lock("waivers"):
        kept = {waiver.about: waiver for waiver in (*read_waivers(private, code), *waivers)}
        _write(private, code, kept.values())


def withdraw(private: Private, code: str, waivers: Sequence[Waiver]) -> None:
    """Remove waivers of a subject, under the same lock. Raises Damaged, and OSError as it comes."""
    with private.lock("waivers"):
        gone = {waiver.about for waiver in waivers}
        _write(private, code, (waiver for waiver in read_waivers(private, code) if waiver.about not in gone))


def _write(private: Private, code: str, waivers: Iterable[Waiver]) -> None:
    rows = ({name: str(getattr(waiver, name)) for name in COLUMNS} for waiver in waivers)
    write_table(private.folder(code) / FILE, "waivers", COLUMNS, rows, **private.modes)


def is_waived(finding: Finding, unit: Unit, waivers: Iterable[Waiver]) -> bool:
    """Whether one of `waivers` is about this finding."""
    about = (unit, finding.place, finding.kind, finding.content)
    return finding.place in PLACES and bool(finding.content) and any(waiver.about == about for waiver in waivers)


def honoured(verdict: Verdict, waivers: Sequence[Waiver]) -> Verdict:
    """The verdict as the waivers leave it: without what they are about, with the outcome that follows from the rest.

    A verdict that could not list everything it counted keeps its outcome, whatever is waived.
    """
    left = tuple(finding for finding in verdict.findings if not is_waived(finding, verdict.unit, waivers))
    count = verdict.count - sum(finding.times for finding in verdict.findings) + sum(finding.times for finding in left)
    listed = verdict.count == sum(finding.times for finding in verdict.findings)
    return replace(
        verdict, findings=left, count=count, outcome=decide(left, verdict.annotations) if listed else verdict.outcome
    )

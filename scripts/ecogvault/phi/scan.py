"""Scanning a unit: paths and keys, headers, and the bytes of what leaves plain, in one pass together with hashing."""

from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ecogvault.naming import Unit
from ecogvault.person import Person
from ecogvault.phi.own_words import OWN_WORDS
from ecogvault.phi.patterns import Region
from ecogvault.phi.regions import PATIENT_FIELD, Reader, Span, is_recording
from ecogvault.phi.scanner import Hit, Names
from ecogvault.phi.sources import OpenFile
from ecogvault.phi.sweep import Changed, sweep
from ecogvault.phi.verdict import KEPT, Finding, Verdict, verdict_of
from ecogvault.phi.waivers import content_id
from ecogvault.phi.words import CONTEXT, passage


@dataclass(frozen=True)
class FileScan:
    """What is in one file: the first findings of each place, how many there are, and its SHA-256 if it was read."""

    findings: tuple[Finding, ...]
    count: int
    sha256: str | None


def scan_file(
    path: Path,
    *,
    label: str,
    coded: str,
    everyone: Names,
    person: Names | None,
    key: bytes,
    keeps_birth_date: bool = False,
    progress: Callable[[int], None] | None = None,
) -> FileScan:
    """Look for names in one file.

    A recording's whole header is looked at for `everyone`; all other bytes, for `person`, and not at all if that is
    None (then only the header is read). `coded` is the coded path, which decides what the bytes are; `label` is what
    findings call it; `key` keys their content_id. With `keeps_birth_date` a birth date in a recording's patient field
    is meant to be there. `progress` is given the bytes done after each buffer. Memory: two buffers of 1 MiB, and a
    compound file's largest stream. Raises Changed if the file becomes shorter meanwhile, and
    OSError as it comes.
    """
    tally = _Tally(label, key, PATIENT_FIELD if keeps_birth_date and is_recording(coded) else range(0))
    with open(path, "rb", buffering=0) as stream:
        sha256 = sweep(
            OpenFile(stream.fileno()),
            coded,
            everyone=everyone,
            person=person,
            found=tally.add,
            label=label,
            progress=progress,
        )
    return FileScan(tally.findings, tally.count, sha256)


class _Tally:
    """Counts the hits of a file by what they say, and keeps so many different ones of each place as memory is given."""

    def __init__(self, label: str, key: bytes, birth_date: range) -> None:
        """`birth_date`: the bytes of the header in which one is meant to be."""
        self.count = 0
        self._birth_date = birth_date
        self._label, self._key = label, key
        self._found: dict[tuple[str, str, str], Finding] = {}
        self._kept: dict[str, int] = {}

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found, in the order in which it was told."""
        return tuple(self._found.values())

    def add(self, span: Span, hits: Sequence[Hit], read: Reader) -> None:
        for hit in sorted(hits):
            if hit.kind == "birth_date" and span.place == "header" and hit.offset in self._birth_date:
                continue
            self.count += 1
            content = self._content(hit, read)
            about = (span.place, hit.kind, content)
            if about in self._found:
                self._found[about] = replace(self._found[about], times=self._found[about].times + 1)
            elif self._kept.get(span.place, 0) < KEPT:
                self._kept[span.place] = self._kept.get(span.place, 0) + 1
                self._found[about] = Finding(
                    self._label, span.place, hit.offset, hit.kind, hit.encoding, content, part=span.part
                )

    def _content(self, hit: Hit, read: Reader) -> str:
        before = read(max(hit.offset - CONTEXT, 0), min(hit.offset, CONTEXT))
        match = read(hit.offset, hit.length)
        text = passage(before, match, read(hit.offset + hit.length, CONTEXT), encoding=hit.encoding)
        return content_id(self._key, hit.kind, text)


def scan_unit(
    *,
    unit: Unit,
    files: Sequence[tuple[str, Path]],
    keys: Sequence[str],
    person: Person,
    everyone: Sequence[Person],
    contents: bool,
    manifest_sha256: str,
    identifiers: str,
    key: bytes,
    own_words: Collection[str] = OWN_WORDS,
    expected: Mapping[str, str] | None = None,
    keeps_birth_date: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Verdict:
    """The verdict on a unit: DESIGN, section 6, "The gate". Always a verdict, whatever is found.

    `files` are (coded path, where it is), `keys` the object keys at all destinations. Paths, keys and headers are
    looked at for everyone registered (other people's birth dates excepted: one may be the day of this recording);
    with `contents`, all bytes of every file for this person. `expected` gives SHA-256 in hex by coded path, compared
    in the same pass for files that are read whole. `key` keys the findings' content_id,
    `keeps_birth_date` is scan_file's. A path or key with a name in
    it is called by its place in the list.
    Raises Changed if a file is not what `expected` says, and OSError as it comes.
    """
    others = [replace(other, birth_date="") for other in everyone if other != person]
    registered = Names.of([person, *others])
    own = Names.of([person]) if contents else None
    findings: list[Finding] = []
    count = 0
    labels = [coded for coded, _ in files]
    for place, texts in (("path", labels.copy()), ("key", list(keys))):
        for number, hit in _in_lines(registered, texts, own_words):
            label = f"{place} number {number + 1}"
            findings.append(Finding(label, place, hit.offset, hit.kind, hit.encoding))
            count += 1
            if place == "path":
                labels[number] = label
    for (coded, path), label in zip(files, labels, strict=True):
        scan = scan_file(
            path,
            label=label,
            coded=coded,
            everyone=registered,
            person=own,
            key=key,
            keeps_birth_date=keeps_birth_date,
            progress=progress,
        )
        findings += scan.findings
        count += scan.count
        if expected is not None and scan.sha256 is not None and scan.sha256 != expected[coded]:
            raise Changed(f"{label} is not what its manifest says: see what changed it, then de-identify it again")
    return verdict_of(
        unit,
        manifest_sha256=manifest_sha256,
        identifiers=identifiers,
        contents=contents,
        findings=findings,
        count=count,
    )


def _in_lines(names: Names, texts: Sequence[str], own_words: Collection[str]) -> list[tuple[int, Hit]]:
    """Matches in many short texts at once: (index of the text, hit with an offset in characters).

    A line break delimits words and is in no spelling, so that the texts do not touch each other.
    """
    lines = [text.encode("utf-8", "surrogateescape").replace(b"\n", b"\0") for text in texts]
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    found = []
    for hit in names.in_bytes(b"\n".join(lines), region=Region.TEXT, own_words=own_words):
        number = bisect_right(starts, hit.offset) - 1
        before = lines[number][: hit.offset - starts[number]]
        found.append((number, replace(hit, offset=len(before.decode("utf-8", "surrogateescape")))))
    return found

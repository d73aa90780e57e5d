"""What of a subject waits for a person to decide: free text in annotations, and names that the scan found.

Everything here is found anew from the coded recordings and the verdicts, so that it can be asked for at any time.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ecogvault import audit, gate, kept, registry, review
from ecogvault.config import Config
from ecogvault.errors import Damaged
from ecogvault.intake.assignment import read_units, unit_state
from ecogvault.naming import RECORDING_KINDS, Unit
from ecogvault.paths import Paths
from ecogvault.phi import Finding, Names, Waiver, add_waivers, read_verdict, read_waivers, withdraw
from ecogvault.phi.waivers import PLACES
from ecogvault.private import Private
from ecogvault.records import utc_now
from ecogvault.review.decisions import KIND, PLACE

DIGITS = 12
_IN_THE_FILE = ("", PLACE)  # parts of findings whose offsets are the file's own
_AROUND = 40  # bytes on each side of a finding that are shown with it


@dataclass(frozen=True)
class Item:
    """One text or finding: its id (`a` for annotations, `f` for findings, and the beginning of `content`).

    `findings` are those that are within the text, by unit: what is decided about it holds for them. `first` says where
    it stands first. `named` says that a registered person's identifier is in it.
    """

    id: str
    content: str
    place: str
    kind: str
    units: tuple[Unit, ...]
    times: int
    first: str
    broken: bool
    named: bool
    text: str = field(repr=False)
    findings: tuple[tuple[Unit, Finding], ...] = ()

    def line(self, *, reveal: bool) -> str:
        """What is shown of it; the text itself only with `reveal`."""
        sessions = ", ".join(str(unit.number) for unit in self.units)
        notes = [
            f"{self.place}: {self.kind}" if self.place != PLACE else "annotation",
            f"{self.times} time{'' if self.times == 1 else 's'} in session {sessions}",
            self.first,
            *(["not as the format asks for"] if self.broken else []),
            *(["HOLDS A REGISTERED NAME"] if self.named else []),
        ]
        return f"{self.id}  {', '.join(notes)}: " + (printable(self.text) if reveal else f"{len(self.text)} characters")


def printable(text: str) -> str:
    """A text between quotes on one line, whatever it holds: a terminal must show it, and never act on it."""
    shown = (sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
    return f'"{"".join(shown)}"'


def items(config: Config, private: Private, code: str, session: int | None = None) -> tuple[list[Item], list[str]]:
    """What waits to be decided, in the order of sessions, and lines about units that could not be looked at.

    Raises Damaged, BadPhrases, BadRecording, and OSError as it comes.
    """
    paths = Paths.of(config)
    names = Names.of(registry.persons(private))
    phrases = review.load(config)
    found: dict[tuple[str, str, str], Item] = {}
    notes: list[str] = []
    for unit in sorted(read_units(paths, code)):
        if session not in (None, unit.number) or not gate.scans_contents(config, unit.kind):
            continue
        some, more = _of_unit(paths, private, unit, phrases, names)
        notes += more
        for item in some:
            about = (item.place, item.kind, item.content)
            known = found.get(about)
            if known is not None:
                item = replace(
                    known,
                    units=(*known.units, unit),
                    times=known.times + item.times,
                    findings=known.findings + item.findings,
                )
            found[about] = item
    return list(found.values()), notes


def _of_unit(
    paths: Paths, private: Private, unit: Unit, phrases: review.Phrases, names: Names
) -> tuple[list[Item], list[str]]:
    decisions = review.read_decisions(private, unit.code)
    waived = {one.content for one in read_waivers(private, unit.code) if one.place == PLACE and one.unit == unit}
    redacted = decisions.redacted.get(unit, frozenset())
    findings = list(_findings(paths, private, unit))
    found: list[Item] = []
    notes: list[str] = []
    if unit.kind in RECORDING_KINDS:
        path = paths.subject(unit.code) / unit.kind / f"{unit.session}.{unit.kind}"
        if not path.is_file():
            return [], [f"{unit} is not de-identified here: `snakemake -- deidentify`, then look again"]
        texts, whole = review.texts_of(path, private.key, phrases, str(unit))
        if not whole:
            notes.append(f"{unit} has more texts than anybody looks through: encrypt this kind at the destination")
        for text in texts:
            within = [one for one in findings if text.offset <= one.offset < text.offset + len(text.data)]
            if text.content in redacted:
                findings = [one for one in findings if one not in within]
                continue
            # A name that was registered since, in what somebody has accepted, is to be decided again.
            if not within and (text.content in waived or text.content in decisions.accepted):
                continue
            findings = [one for one in findings if one not in within]
            found.append(
                Item(
                    f"a{text.content[:DIGITS]}",
                    text.content,
                    PLACE,
                    KIND,
                    (unit,),
                    text.times,
                    f"first at {text.onset} s" if text.onset else f"first at byte {text.offset}",
                    text.broken,
                    bool(within or names.in_text(text.text)),
                    text.text,
                    tuple((unit, one) for one in within),
                )
            )
    root = paths.subject(unit.code)
    found += [
        Item(
            f"f{one.content[:DIGITS]}",
            one.content,
            one.place,
            one.kind,
            (unit,),
            one.times,
            f"first at byte {one.offset}{'' if one.part in _IN_THE_FILE else f' of {one.part}'}",
            broken=False,
            named=True,
            text=_around(root / one.path, one),
        )
        for one in findings
    ]
    return found, notes


def _findings(paths: Paths, private: Private, unit: Unit) -> Iterable[Finding]:
    """The findings of a unit's verdict that are not waived and can be. A verdict that is not there has none."""
    try:
        verdict = gate.standing(private, read_verdict(paths.verdict(unit)))
    except (FileNotFoundError, Damaged):
        return ()  # the next scan makes it
    return (one for one in verdict.findings if one.content and one.place in PLACES)


def _around(path: Path, finding: Finding) -> str:
    """The bytes around a finding as text; nothing where they are part of something else, such as a Word file."""
    if finding.part not in _IN_THE_FILE or not path.is_file():
        return ""
    with open(path, "rb") as stream:
        stream.seek(max(0, finding.offset - _AROUND))
        data = stream.read(2 * _AROUND + min(_AROUND, finding.offset))
    wide = finding.encoding.startswith("utf-16")
    start = finding.offset % 2 if wide else 0
    return data[start:].decode(finding.encoding[:9] if wide else "latin-1", "replace")


# --- deciding ---------------------------------------------------------------------------------------------------------


def decide(
    config: Config,
    private: Private,
    code: str,
    found: Sequence[Item],
    wanted: Mapping[str, Sequence[str]],
    reason: str = "",
) -> list[str]:
    """Do what is `wanted`: ids by `accept`, `lab` (accept for everybody), `redact` and `waive`; all of it or nothing.

    Returns what was done, one line a verb. Raises NotDecided, WaiverRefused, Damaged, and OSError as it comes.
    """
    by_id = {item.id: item for item in found}
    chosen = {verb: [_one(by_id, code, verb, one) for one in dict.fromkeys(ids)] for verb, ids in wanted.items() if ids}
    ids = [item.id for some in chosen.values() for item in some]
    twice = {one for one in ids if ids.count(one) > 1}
    if twice:
        raise review.NotDecided(f"{', '.join(sorted(twice))}: one decision at a time")
    _require_raw(config, private, chosen.get("redact", []))
    if chosen.get("waive") and not reason.strip():
        raise review.NotDecided("a waiver needs a reason")
    lines = []
    for verb, some in chosen.items():
        units = sorted({unit for item in some for unit in item.units})
        audit.record(private, f"review --{verb}", code, f"{len(some)} in {', '.join(map(str, units))}")
        if verb in ("accept", "lab"):
            review.accept(private, code, [item.content for item in some], lab=verb == "lab")
            lines.append(f"accepted {'for the lab' if verb == 'lab' else f'for {code}'}: {_ids(some)}")
        elif verb == "redact":
            review.redact(private, code, [(unit, item.content) for item in some for unit in item.units])
            made = ", ".join(map(str, units))
            lines.append(f"redacted: {_ids(some)}; the next snakemake makes anew: {made}")
        else:
            add_waivers(private, code, _waivers(config, some, reason))
            lines.append(f"waived: {_ids(some)}")
    return lines


def _one(by_id: Mapping[str, Item], code: str, verb: str, wanted: str) -> Item:
    """The item that goes by an id, if `verb` can be done to it. Raises NotDecided."""
    item = by_id.get(wanted)
    if item is None:
        raise review.NotDecided(f"nothing undecided of {code} goes by that id: `ecogvault review {code}` lists the ids")
    if verb in ("accept", "lab") and (item.named or item.place != PLACE):
        raise review.NotDecided(
            f"{item.id} holds a registered name, and is not accepted for good: redact it, or waive it with a reason"
        )
    if verb == "redact" and item.place != PLACE:
        raise review.NotDecided(
            f"{item.id} is no annotation, and cannot be redacted: waive it with a reason, or encrypt this kind"
        )
    return item


def _require_raw(config: Config, private: Private, some: Sequence[Item]) -> None:
    """Raise NotDecided where a recording cannot be made anew without the texts: its raw file is gone."""
    for unit in sorted({unit for item in some for unit in item.units}):
        if not kept.has_raw(Paths.of(config), private, unit):
            raise review.NotDecided(
                f"the raw file of {unit} is not there, so that nothing can be redacted in it: mount or copy the raw "
                "export again, or encrypt this kind at the destination"
            )


def _waivers(config: Config, some: Sequence[Item], reason: str) -> list[Waiver]:
    """The waivers of items, and of the findings within them."""
    paths = Paths.of(config)
    by, added = audit.account(), utc_now()
    found = []
    for item in some:
        about = [(unit, item.place, item.kind, item.content) for unit in item.units]
        about += [(unit, one.place, one.kind, one.content) for unit, one in item.findings]
        found += [Waiver(*one, reason, by, added, unit_state(paths, one[0]).manifest_sha256) for one in about]
    return found


def undo(
    private: Private, code: str, ids: Sequence[str], session: int | None = None, *, lab: bool = False
) -> list[str]:
    """Take back acceptances, redactions and waivers of a subject by their ids, of one session or of all.

    With `lab`, take back what was accepted for the lab instead. Raises NotDecided when an id was not decided about,
    Damaged, and OSError as it comes.
    """
    decisions = review.read_decisions(private, code)
    if lab:
        accepted = {f"a{content[:DIGITS]}": content for content in decisions.lab}
        _require_known(accepted, ids, "the lab")
        audit.record(private, "review --undo --lab", code, f"{len(ids)}")
        review.undo_lab(private, {accepted[one] for one in ids})
        return [f"taken back for the lab: {', '.join(ids)}"]
    waivers = [one for one in read_waivers(private, code) if session in (None, one.unit.number)]
    redacted = {
        (unit, content)
        for unit, some in decisions.redacted.items()
        for content in some
        if session in (None, unit.number)
    }
    texts = {content for _, content in redacted} | decisions.person
    known = {f"a{content[:DIGITS]}": content for content in texts}
    known |= {f"{'a' if one.place == PLACE else 'f'}{one.content[:DIGITS]}": one.content for one in waivers}
    _require_known(known, ids, code)
    contents = {known[one] for one in ids}
    units = None if session is None else {unit for unit, content in redacted if content in contents}
    audit.record(private, "review --undo", code, f"{len(contents)}")
    review.undo(private, code, contents, units)
    withdraw(private, code, [one for one in waivers if one.content in contents])
    anew = sorted({str(unit) for unit, content in redacted if content in contents})
    return [f"taken back: {', '.join(ids)}" + (f"; the next snakemake makes anew: {', '.join(anew)}" if anew else "")]


def _require_known(known: Mapping[str, str], ids: Sequence[str], whose: str) -> None:
    if not known.keys() >= {*ids}:
        raise review.NotDecided(f"an id that was given stands for nothing that was decided for {whose}")


def _ids(some: Collection[Item]) -> str:
    return ", ".join(item.id for item in some)

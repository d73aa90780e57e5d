"""`ecogvault review`: what it lists, shows, asks and decides, and that it names nobody unasked. All names made up."""

import io
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from edf_builder import header
from intake_lab import Lab

from ecogvault import archive, audit, edf, gate, review
from ecogvault.cli import main
from ecogvault.config import check
from ecogvault.deidentify import deidentify
from ecogvault.edf import annotations
from ecogvault.manifest import Manifest
from ecogvault.naming import Unit
from ecogvault.phi import Refused, read_verdict, read_waivers
from ecogvault.refresh import DIFFERS, EQUAL, find_moved, refresh_unit
from ecogvault.registry.tables import save
from ecogvault.reidentify import reidentify
from ecogvault.workflow import Plan

NURSE, SISTER, NAMED = "Nurse Wimblequist in", "sister Ottabeth calls", "Quellmotz asks for tea"


class ReviewLab(Lab):
    """Three recordings: 1 with two free texts, 2 with one of them and a name, 3 with phrases alone; `out` gets them."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        out = {"type": "folder", "zone": "outside", "form": "files", "path": str(folder / "out"), "kinds": ["edf"]}
        super().__init__(folder, destinations={"out": {**out, "encrypt": False}})
        (folder / "out").mkdir()
        self.capsys = capsys
        self.refusal = ""
        self.file = folder / "config.yaml"
        self.file.write_text(yaml.safe_dump(dict(self.config.values)))
        for hour, texts in ((17, (NURSE, SISTER, NURSE)), (18, (NURSE, NAMED)), (19, ("Seizure onset",))):
            lists = b"+0\x14\x14\0" + b"".join(f"+{at}.5\x14{text}\x14\0".encode() for at, text in enumerate(texts))
            head = header(patient="00812 F X Quellmotz_Mirx", starttime=f"{hour}.05.11", samples=(100, 100), records=1)
            (self.raw / f"Quellmotz {hour}.edf").write_bytes(head + bytes(200) + lists.ljust(200, b"\0"))
        self.units = sorted(self.frozen())
        for unit in self.units:
            self.make(unit)

    def make(self, unit: Unit) -> None:
        """De-identify and scan a unit as the rules do."""
        manifest, verdict = self.paths.manifest(unit), self.paths.verdict(unit)
        for path in (manifest, verdict):
            path.parent.mkdir(parents=True, exist_ok=True)
        deidentify(self.config, self.private, unit, self.slip(unit, self.frozen()[unit]), manifest)
        generation = archive.current_generation(self.paths, unit, Manifest.read(manifest))
        gate.scan(
            self.config,
            self.private,
            unit,
            generation=generation,
            manifest=manifest,
            verdict=verdict,
            contents=True,
        )

    def coded(self, unit: Unit) -> Path:
        return self.paths.subject(self.code) / f"edf/{unit.session}.edf"

    def may_leave(self, unit: Unit) -> bool:
        listed = Manifest.read(self.paths.manifest(unit))
        out = self.config.destinations["out"]
        gate.require(self.config, self.private, unit, listed, self.paths.verdict(unit), None)
        try:
            gate.require(self.config, self.private, unit, listed, self.paths.verdict(unit), out)
        except Refused as refusal:
            self.refusal = str(refusal)
            return False
        return True

    def run(self, *words: str, status: int = 0, reveal: bool = False) -> list[str]:
        """What the command says; without `reveal` no text of an annotation is among it."""
        assert main(["--config", str(self.file), "review", self.code, *words]) == status
        told = self.capsys.readouterr()
        for word in ("Wimblequist", "Ottabeth", "Quellmotz", "tea"):
            assert word not in told.err
            assert reveal or word not in told.out
        return told.out.splitlines() + told.err.splitlines()

    def id(self, text: str) -> str:  # type: ignore[override]
        return "a" + review.text_id(self.private.key, text.encode())[:12]

    def verbs(self) -> list[str]:
        return [line["verb"] for line in audit.check(self.private)]


@pytest.fixture
def lab(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> ReviewLab:
    return ReviewLab(tmp_path, capsys)


def test_texts_are_listed_once_with_where_they_stand_and_shown_only_when_asked_for(lab: ReviewLab) -> None:
    assert [read_verdict(lab.paths.verdict(unit)).outcome for unit in lab.units] == ["review", "review", "clean"]
    assert [lab.may_leave(unit) for unit in lab.units] == [False, False, True]
    assert f"ecogvault review {lab.code}" in lab.refusal
    told = lab.run()
    assert told[:3] == [
        f"{lab.id(NURSE)}  annotation, 3 times in session 1, 2, first at +0.5 s: {len(NURSE)} characters",
        f"{lab.id(SISTER)}  annotation, 1 time in session 1, first at +1.5 s: {len(SISTER)} characters",
        f"{lab.id(NAMED)}  annotation, 1 time in session 2, first at +1.5 s, HOLDS A REGISTERED NAME: "
        f"{len(NAMED)} characters",
    ]
    assert lab.verbs() == []
    shown = lab.run("--reveal", reveal=True)
    assert [line.rpartition(": ")[2] for line in shown] == [f'"{text}"' for text in (NURSE, SISTER, NAMED)]
    assert lab.verbs() == ["review --reveal"]
    assert len(lab.run("--session", "1")) == 3
    assert lab.run("--session", "3") == [f"nothing of {lab.code} waits to be decided"]


def test_each_answer_frees_what_it_is_about_and_no_more(lab: ReviewLab, tmp_path: Path) -> None:
    one, two, _ = lab.units
    reason = tmp_path / "reason"
    reason.write_text("sister of a nurse,\nsays Ottabeth\n")
    lab.run("--accept", lab.id(NURSE), "--waive", lab.id(SISTER), "--reason-file", str(reason))
    assert (lab.may_leave(one), lab.may_leave(two)) == (True, False)
    (waiver,) = read_waivers(lab.private, lab.code)
    assert (waiver.unit, waiver.reason) == (one, "sister of a nurse, says Ottabeth")
    before = Manifest.read(lab.paths.manifest(two)).sha256
    lab.run("--redact", lab.id(NAMED))
    assert lab.run() == [f"nothing of {lab.code} waits to be decided"]
    assert not lab.may_leave(two)  # not before it is made anew
    lab.make(two)
    assert lab.may_leave(two)
    assert Manifest.read(lab.paths.manifest(two)).sha256 != before
    assert [text.data for text in annotations(lab.coded(two))] == [NURSE.encode(), b"X" * len(NAMED)]
    # What was redacted is redacted in the coded copy alone: the way back gives the very files of the hospital.
    reidentify(lab.config, lab.private, lab.code, tmp_path / "back")
    for raw in lab.raw.iterdir():
        assert (tmp_path / "back" / raw.name).read_bytes() == raw.read_bytes()
    # And back.
    lab.run("--undo", lab.id(NAMED), lab.id(NURSE), lab.id(SISTER))
    assert not lab.may_leave(one)
    lab.make(two)
    assert Manifest.read(lab.paths.manifest(two)).sha256 == before
    assert lab.verbs() == ["review --accept", "review --waive", "review --redact", "review --undo"]
    assert "Ottabeth" not in str(audit.check(lab.private))


def test_new_times_of_raw_files_do_not_hide_that_a_redacted_recording_is_the_same(lab: ReviewLab) -> None:
    one, *_ = lab.units
    lab.run("--redact", lab.id(SISTER))
    lab.make(one)
    os.utime(lab.raw / "Quellmotz 17.edf", (1, 1))
    (moved,), _ = find_moved(lab.config, lab.private, lab.subject)
    assert refresh_unit(lab.config, lab.private, moved).outcome == EQUAL
    lab.run("--undo", lab.id(SISTER))  # and that it is another one than would be made now
    os.utime(lab.raw / "Quellmotz 17.edf", (2, 2))
    (moved,), _ = find_moved(lab.config, lab.private, lab.subject)
    assert refresh_unit(lab.config, lab.private, moved).outcome == DIFFERS


def test_only_recordings_that_leave_plain_depend_on_the_labs_phrases(lab: ReviewLab, tmp_path: Path) -> None:
    own = tmp_path / "phrases.txt"
    own.write_text("Nurse Wimblequist in\n")
    with_own = check({**lab.config.values, "annotation_phrases": str(own)})
    inside = {"nas": {"type": "folder", "zone": "inside", "form": "files", "path": str(tmp_path)}}
    assert Plan(with_own, lab.private, ()).phrases("edf") != ""
    assert Plan(with_own, lab.private, ()).phrases("vid") == Plan(lab.config, lab.private, ()).phrases("edf") == ""
    assert Plan(check({**with_own.values, "destinations": inside}), lab.private, ()).phrases("edf") == ""
    lab.config = with_own
    lab.make(lab.units[0])
    assert read_verdict(lab.paths.verdict(lab.units[0])).annotations == (
        review.text_id(lab.private.key, SISTER.encode()),
    )


def test_a_registered_name_is_waived_together_with_what_the_scan_found_in_it_or_not_at_all(
    lab: ReviewLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, two, _ = lab.units
    for words in (("--accept", lab.id(NAMED)), ("--accept", lab.id(NAMED), "--lab")):
        assert "holds a registered name" in lab.run(*words, status=1)[0]
    lab.run("--accept", lab.id(NURSE))
    assert "--reason-file" in lab.run("--waive", lab.id(NAMED), status=1)[0]
    monkeypatch.setattr(sys, "stdin", io.StringIO(" \n"))
    assert "empty" in lab.run("--waive", lab.id(NAMED), "--reason-file", "-", status=1)[0]
    assert not lab.may_leave(two)
    monkeypatch.setattr(sys, "stdin", io.StringIO("the person agreed in writing"))
    lab.run("--waive", lab.id(NAMED), "--reason-file", "-")
    assert {waiver.place for waiver in read_waivers(lab.private, lab.code)} >= {"annotation", "contents"}
    assert lab.may_leave(two)


def test_what_the_lab_accepts_holds_until_it_is_taken_back_for_the_lab(lab: ReviewLab) -> None:
    one, *_ = lab.units
    lab.run("--accept", lab.id(NURSE), lab.id(SISTER), "--lab")
    assert lab.may_leave(one)
    lab.run("--undo", lab.id(NURSE), status=1)
    assert lab.may_leave(one)
    lab.run("--undo", lab.id(NURSE), "--lab")
    assert not lab.may_leave(one)
    assert [line.split()[0] for line in lab.run("--session", "1")][:1] == [lab.id(NURSE)]


def test_nothing_is_decided_when_one_id_is_wrong(lab: ReviewLab) -> None:
    for words in (
        ("--accept", lab.id(NURSE), "a000000000000"),
        ("--accept", lab.id(NURSE), "--redact", lab.id(NURSE)),
        ("--redact", "Nobody's"),
        ("--undo", lab.id(NURSE)),
        ("--lab",),
    ):
        lab.run(*words, status=1)
    assert len(lab.run()) == 4
    assert not list((lab.private.root / lab.code).glob("accepted.tsv"))


def test_on_a_terminal_it_asks_about_one_after_the_other(lab: ReviewLab, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, _ = lab.units
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    answers = iter(["?", "a", "w", "", "w", "no patient's sister", "l", "r"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(answers))
    told = lab.run(reveal=True)
    assert list(answers) == []
    assert sum("1 of 3" in line or "2 of 3" in line or "3 of 3" in line for line in told) == 3
    assert lab.may_leave(one)
    lab.make(two)
    assert lab.may_leave(two)
    assert lab.verbs() == ["review --reveal", "review --accept", "review --waive", "review --redact"]


def test_whoever_leaves_in_the_middle_keeps_what_was_answered(lab: ReviewLab, monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    for answers in (["a", "q"], ["s"]):
        given = iter(answers)

        def typed(prompt: str) -> str:
            try:
                return next(given)  # noqa: B023 - used up before the next round
            except StopIteration:
                raise EOFError from None

        monkeypatch.setattr("builtins.input", typed)
        lab.run(reveal=True)
    assert [line.split()[0] for line in lab.run("--reveal", reveal=True)] == [lab.id(SISTER), lab.id(NAMED)]


def test_a_name_outside_annotations_is_listed_to_be_waived_and_not_to_be_redacted(lab: ReviewLab) -> None:
    one, *_ = lab.units
    raw = lab.raw / "Quellmotz 17.edf"
    data = bytearray(raw.read_bytes())
    data[256 * 3 + 20 : 256 * 3 + 29] = b"Quellmotz"
    raw.write_bytes(data)
    lab.make(one)
    lab.run("--accept", lab.id(NURSE), lab.id(SISTER))
    (line,) = [line for line in lab.run() if line.startswith("f")]
    assert "contents: surname" in line
    found = line.split()[0]
    assert "cannot be redacted" in lab.run("--redact", found, status=1)[0]
    assert "Quellmotz" in "".join(lab.run("--reveal", reveal=True))


def test_control_characters_never_reach_the_terminal(lab: ReviewLab) -> None:
    raw = lab.raw / "Quellmotz 17.edf"
    raw.write_bytes(raw.read_bytes().replace(SISTER.encode(), b"sister \x1b[2J\x07abeth calls"))
    lab.make(lab.units[0])
    shown = "\n".join(lab.run("--reveal", reveal=True))
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert r"\x1b[2J\x07" in shown


def test_ids_after_the_same_word_twice_all_count(lab: ReviewLab) -> None:
    lab.run("--redact", lab.id(NURSE), "--redact", lab.id(SISTER))
    redacted = review.read_decisions(lab.private, lab.code).redacted
    assert redacted[lab.units[0]] == {review.text_id(lab.private.key, text.encode()) for text in (NURSE, SISTER)}


def test_a_recording_whose_raw_file_is_gone_keeps_its_redactions_and_takes_no_new_ones(lab: ReviewLab) -> None:
    unit = lab.units[0]
    lab.run("--redact", lab.id(SISTER))
    lab.make(unit)

    def asked() -> tuple[str, list[Unit]]:
        made = Plan(lab.config, lab.private, (lab.look(),))
        return made.redactions(lab.code, "1", "edf"), made.outdated

    before, outdated = asked()
    assert before == review.redaction_digest(lab.private, unit) != ""
    assert outdated == []
    (lab.raw / "Quellmotz 17.edf").unlink()
    told = lab.run("--redact", lab.id(NURSE), status=1)
    assert any(f"the raw file of {unit} is not there" in line for line in told)
    lab.run("--undo", lab.id(SISTER))
    assert review.redaction_digest(lab.private, unit) == ""
    assert asked() == (before, [unit])
    assert SISTER.encode() not in lab.coded(unit).read_bytes()


def test_a_verdict_that_was_made_with_other_phrases_lets_nothing_leave_plain(lab: ReviewLab, tmp_path: Path) -> None:
    own = tmp_path / "phrases.txt"
    own.write_text(f"{NURSE}\n{SISTER}\n")
    plain = lab.config
    lab.config = check({**plain.values, "annotation_phrases": str(own)})
    lab.make(lab.units[0])
    assert lab.may_leave(lab.units[0])
    own.write_text(f"{SISTER}\n")
    assert not lab.may_leave(lab.units[0])
    assert "the lab's phrases have changed since the scan" in lab.refusal
    lab.make(lab.units[0])
    assert not lab.may_leave(lab.units[0])
    assert "1 free text" in lab.refusal


def test_a_limited_data_set_keeps_the_birth_date_and_passes_the_gate(lab: ReviewLab) -> None:
    person = replace(lab.subject.person, birth_date="1969-06-30")
    save(lab.private, [replace(lab.subject, person=person)])
    unit, raw = lab.units[2], lab.raw / "Quellmotz 19.edf"
    head = raw.read_bytes()
    raw.write_bytes(head[:8] + b"00812 F 30-JUN-1969 Quellmotz_Mirx".ljust(80) + head[88:])
    lab.config = check({**lab.config.values, "policy": "limited-dataset"})
    lab.make(unit)
    assert edf.identification(lab.coded(unit)).patient_field == f"{lab.code} F 30-JUN-1969 X"
    assert lab.may_leave(unit)
    # What another policy left there is no more than a name.
    lab.config = check({**lab.config.values, "policy": "lab"})
    gate.scan(
        lab.config,
        lab.private,
        unit,
        generation=1,
        manifest=lab.paths.manifest(unit),
        verdict=lab.paths.verdict(unit),
        contents=True,
    )
    with pytest.raises(Refused, match="birth_date"):
        lab.may_leave(unit)

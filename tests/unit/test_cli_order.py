"""`ecogvault order`: what it shows, accepts, leaves out and reveals, and that it names nobody. All names made up."""

import os
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from edf_builder import recording

from ecogvault import audit, registry
from ecogvault.cli import main
from ecogvault.config import load
from ecogvault.intake.assignment import read_sessions
from ecogvault.paths import Paths
from ecogvault.private import open_private
from ecogvault.registry import make_person
from ecogvault.sandbox import made_natus
from ecogvault.sandbox.made_natus import header_bytes

PERSON = make_person("Quellmotz", "Mirx", mrn="00812")
NAME = re.compile("quell|mirx|00812|trellw|hask", re.IGNORECASE)


class Lab:
    """A configuration, a registered person, and an export."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.file = folder / "config.yaml"
        self.file.write_text(
            f"private: {folder}/private\nresults: {folder}/results\n"
            f"destinations: {{nas: {{type: folder, zone: inside, form: files, path: {folder}/nas}}}}\n"
        )
        self.config = load(self.file)
        self.private = open_private(self.config, create=True)
        self.raw = folder / "Quellmotz export"
        self.raw.mkdir()
        self.code = registry.register(self.private, PERSON, self.raw, "*", decide_match=lambda *_: "*")

    def edf(self, name: str, day: str = "02.03.21", clock: str = "17.05.11", patient: str = "X X X X") -> Path:
        path = self.raw / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(recording(patient=patient, recording="X", startdate=day, starttime=clock))
        return path

    def session(self, name: str, created: datetime = datetime(2021, 3, 3, 3, tzinfo=UTC)) -> Path:
        folder = self.raw / name
        folder.mkdir()
        header = header_bytes("eeg", PERSON, created, random.Random(1))
        (folder / f"{name}.eeg").write_bytes(header)
        (folder / f"{name}_0001.avi").write_bytes(b"RIFF")
        return folder

    def run(self, *words: str, status: int = 0) -> tuple[list[str], str]:
        """Lines on standard output, and standard error; neither ever names anybody unless asked to."""
        assert main(["--config", str(self.file), "order", self.code, *words]) == status
        told = self.capsys.readouterr()
        assert not NAME.search(told.err)
        assert "--reveal" in words or not NAME.search(told.out)
        return told.out.splitlines(), told.err

    def id(self, path: Path) -> str:
        return self.private.private_id(path)

    def accepted(self) -> dict[str, str]:
        return {row.item: str(row.unit) for row in read_sessions(Paths.of(self.config), self.code)}

    def verbs(self) -> list[str]:
        return [line["verb"] for line in audit.check(self.private)]


@pytest.fixture
def lab(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Lab:
    return Lab(tmp_path, capsys)


def test_the_proposed_order_is_shown_and_nothing_is_written(lab: Lab) -> None:
    lab.edf("Quellmotz b.edf", clock="19.00.00")
    lab.edf("Quellmotz a.edf", clock="21.00.00")
    lab.session("Quellmotz b")
    (lab.raw / "Quellmotz report.pdf").write_bytes(b"x")
    lines, told = lab.run()
    assert lines[0].split() == ["n", "state", "start", "length", "EDF", "video", "text", "remarks"]
    assert lines[1].split() == ["1", "proposed", "2021-03-02", "19:00:00.000", "0:00:03", "edf", "1", "AVI", "no"]
    assert lines[2].startswith("2    proposed  2021-03-02 21:00:00.000")
    assert "no video, 1 h 59 min after session 1 ended" in lines[2]
    assert lines[3] == f"-    no session  {lab.id(lab.raw / 'Quellmotz report.pdf')} (other)"
    assert told == f"to accept the proposed: ecogvault order {lab.code} --accept\n"
    assert lab.accepted() == {}
    assert lab.verbs() == []


def test_a_recording_whose_clock_is_not_natus_s_is_remarked_when_proposed_and_when_accepted(lab: Lab) -> None:
    for name, clock, seconds in (("a", "01.00.00", 2), ("b", "03.00.00", 3), ("c", "05.00.00", -3600)):
        lab.edf(f"{name}.edf", day="03.03.21", clock=clock)
        lab.session(name, datetime(2021, 3, 3, 9 + 2 * (ord(name) - 97), tzinfo=UTC) - timedelta(seconds=seconds))
    for words in ((), ("--accept",), ()):
        lines, _ = lab.run(*words)
        assert "Natus" not in lines[1]
        assert "the recording starts 0 min 03 s after Natus' time of creation" in lines[2]
        assert "the recording starts 1 h 00 min before Natus' time of creation" in lines[3]


@pytest.mark.parametrize(("hour", "shown"), [(8, "01:30:00.000"), (9, "01:30:00.000")])
def test_in_the_hour_that_clocks_repeat_natus_tells_which_is_meant(lab: Lab, hour: int, shown: str) -> None:
    lab.edf("b.edf", day="07.11.21", clock="01.30.00")
    lab.session("b", datetime(2021, 11, 7, hour, 30, tzinfo=UTC))
    lab.edf("a.edf", day="07.11.21", clock="01.10.00")
    lab.session("a", datetime(2021, 11, 7, 9, 10, tzinfo=UTC))
    lab.run("--accept")
    starts = {row.item: row.start for row in read_sessions(Paths.of(lab.config), lab.code) if row.role == "edf"}
    assert starts == {
        "a.edf": datetime(2021, 11, 7, 9, 10, tzinfo=UTC),
        "b.edf": datetime(2021, 11, 7, hour, 30, tzinfo=UTC),
    }
    # 01:30 before 01:10, or behind it: by the clock on the wall nobody could tell.
    assert lab.accepted()["b.edf"] == f"{lab.code}_{1 if hour == 8 else 2}_edf"
    lines, _ = lab.run()
    assert shown in lines[1 if hour == 8 else 2]
    assert not any("repeat" in line or "Natus" in line for line in lines)


def test_without_natus_the_first_of_two_hours_is_taken_and_said(lab: Lab) -> None:
    lab.edf("b.edf", day="07.11.21", clock="01.30.00")
    lines, _ = lab.run("--accept")
    assert "begins in the hour that clocks repeat" in lines[1]
    (row,) = read_sessions(Paths.of(lab.config), lab.code)
    assert row.start == datetime(2021, 11, 7, 8, 30, tzinfo=UTC)


def test_a_recording_whose_last_record_is_cut_short_is_pointed_out(lab: Lab) -> None:
    path = lab.edf("Quellmotz 1.edf")
    lab.edf("Quellmotz 2.edf", clock="18.05.11")
    os.truncate(path, path.stat().st_size - 7)
    for words in ((), ("--accept",), ()):
        lines, _ = lab.run(*words)
        assert ["lacks 7 bytes: is its copy complete?" in line for line in lines[1:3]] == [True, False]


def test_a_table_of_which_no_text_can_be_made_is_named_and_never_accepted(lab: Lab) -> None:
    start = datetime(2021, 3, 3, 3, tzinfo=UTC)
    tables = {
        "a": made_natus.vtc_bytes([("Quellmotz_001.avi", start)], 5),  # a number that the lab's reader cannot take
        "b": made_natus.vtc_bytes([], 5),
        "c": made_natus.vtc_bytes([("Quellmotz_0001.avi", datetime(1980, 1, 1, tzinfo=UTC))], 5),
        "d": made_natus.vtc_bytes([("Quellmotz_0001.avi", start)], 5),
    }
    for name, data in tables.items():
        (lab.session(name, start + timedelta(days=ord(name))) / "Quellmotz.vtc").write_bytes(data)
    lines, _ = lab.run("--accept")
    said = [line for line in lines if line.startswith("-")]
    where = [lab.id(lab.raw / name / "Quellmotz.vtc") for name in "abc"]
    assert said == [f"-    no text can be made of this .vtc  {one} (unread)" for one in where]
    assert {item for item in lab.accepted() if "/" in item} == {"d/Quellmotz.vtc"}
    assert "vtc made from the session folder's own" in lines[4]
    _, told = lab.run("--accept", status=1)
    assert "nothing new waits" in told


def test_true_dates_are_shown_and_said_to_be_so(lab: Lab) -> None:
    lab.edf("a.edf")
    _, told = lab.run()
    assert "true dates" not in told
    lab.file.write_text(lab.file.read_text() + "dates: shift\n")
    lines, told = lab.run()
    assert "2021-03-02 17:05:11" in lines[1]
    assert "true dates, for you alone" in told


def test_accepting_gives_numbers_for_good(lab: Lab) -> None:
    lab.edf("b.edf", clock="19.00.00")
    _, told = lab.run("--accept")
    assert "accepted: 1 sessions; next: snakemake -n" in told
    lab.edf("a.edf", clock="18.00.00")
    lines, _ = lab.run()
    assert [line.split()[:2] for line in lines[1:3]] == [["1", "accepted"], ["2", "proposed"]]
    assert "out of order" in lines[2]
    lab.run("--accept")
    assert lab.accepted() == {"b.edf": f"{lab.code}_1_edf", "a.edf": f"{lab.code}_2_edf"}
    _, told = lab.run("--accept", status=1)
    assert "nothing new waits to be accepted" in told
    assert lab.verbs() == ["order --accept", "order --accept"]


def test_an_item_is_left_out_by_its_private_id(lab: Lab) -> None:
    lab.edf("a.edf")
    foreign = lab.edf("b.edf", clock="19.00.00", patient="77 M X Trellwick_Hask")
    _, told = lab.run(status=1)
    assert f"--exclude {lab.id(foreign)}" in told
    lines, _ = lab.run("--exclude", lab.id(foreign))
    assert lines[1].startswith("1    proposed")
    assert lines[-1].startswith("1 other items")


def test_of_several_ids_all_are_left_out_or_none(lab: Lab) -> None:
    one, two = lab.edf("a.edf"), lab.edf("b.edf", clock="19.00.00")
    _, told = lab.run("--exclude", lab.id(one), "i00000000", status=1)
    assert "no item of" in told
    assert "i00000000" in told
    assert len(lab.run()[0]) == 4
    lab.run("--exclude", lab.id(one), lab.id(two))
    assert len(lab.run()[0]) == 2


def test_what_has_its_number_is_not_left_out_any_more(lab: Lab) -> None:
    path = lab.edf("a.edf")
    lab.run("--accept")
    _, told = lab.run("--exclude", lab.id(path), status=1)
    assert f"{lab.id(path)} is part of {lab.code}_1_edf" in told


def test_names_are_revealed_only_when_asked_for_and_never_act_on_the_terminal(lab: Lab) -> None:
    folder = lab.session("Quellmotz s")
    odd = Path(os.fsdecode(os.fsencode(folder) + b"/Mirx\xff\x1b[2J\n.doc"))
    odd.write_bytes(b"x")
    lines, _ = lab.run("--reveal")
    assert lines[0] == f"{lab.id(folder)}  {folder}"
    assert f"{lab.id(odd)}  {folder}/Mirx\\udcff\\x1b[2J\\n.doc" in lines
    assert len(lines) == 4
    assert lab.verbs() == ["order --reveal"]


def test_a_start_in_the_hour_that_clocks_repeat_is_pointed_out(lab: Lab) -> None:
    lab.edf("a.edf", "07.11.21", "01.30.00")
    lab.edf("b.edf", "07.11.21", "02.30.00")
    lines, _ = lab.run()
    assert "begins in the hour that clocks repeat" in lines[1]
    assert "repeat" not in lines[2]


def test_nobody_who_was_erased_gets_numbers(lab: Lab) -> None:
    lab.edf("a.edf")
    registry.set_status(lab.private, lab.code, "erased")
    _, told = lab.run("--accept", status=1)
    assert "was erased" in told
    assert lab.accepted() == {}


def test_an_unknown_code_is_refused_without_repeating_a_name(lab: Lab) -> None:
    for text in ("Quellmotz", "a0000000"):
        assert main(["--config", str(lab.file), "order", text]) == 1
        assert "uellmotz" not in lab.capsys.readouterr().err

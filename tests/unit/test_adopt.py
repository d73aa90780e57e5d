"""Adopting: what the lab made before is entered as what it is; nothing is sent, changed, or taken for more."""

import csv
from pathlib import Path

import pytest
from archive_lab import ArchiveLab

from ecogvault import evidence, registry
from ecogvault.cli import main
from ecogvault.config import check
from ecogvault.estate.adopt import adopt
from ecogvault.estate.journal import adopted, all_adopted
from ecogvault.registry import make_person

OLD = {
    "df5c5206_vid.tar.gz.enc": b"Salted__ and so on",
    "df5c5206_pt2_edf.tar.gz.enc": b"another",
    "ec761078/ec761078_1/ec761078_1_0001.avi.enc": b"one clip",
    "edf/df5c5206/df5c5206_1.edf": b"a recording",
    "Blorptwill~ Jexamine/x.avi": b"somebody's",
}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArchiveLab:
    """A lab with this program's own copies in `nas`, and what it made before beside them."""
    monkeypatch.chdir(tmp_path)
    made = ArchiveLab(tmp_path, {"nas": {"form": "files"}}).archived()
    for key, content in OLD.items():
        path = tmp_path / "nas" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return made


def test_old_copies_are_entered_once_as_what_they_are_and_ours_are_left_alone(lab: ArchiveLab) -> None:
    before = {path: path.stat().st_mtime_ns for path in (lab.folder / "nas").rglob("*")}
    planned = adopt(lab.config, lab.private, "nas", plan=True)
    assert all_adopted(lab.paths) == []
    found = adopt(lab.config, lab.private, "nas")
    assert [one.old for one in found.new] == [one.old for one in planned.new]
    assert {(one.code, one.old.kind, one.old.session, one.old.part, one.old.format) for one in found.new} == {
        ("df5c5206", "vid", None, None, "openssl-des"),
        ("df5c5206", "edf", None, 2, "openssl-des"),
        ("ec761078", "vid", 1, None, "openssl-des"),
        ("df5c5206", "edf", 1, None, "plain"),
    }
    assert len(found.unknown) == 1
    assert found.own == sum(len(lab.copies(unit, "nas")[1].objects) for unit in lab.units) + 1  # HOW-TO-OPEN.txt
    again = adopt(lab.config, lab.private, "nas")
    assert (again.new, again.known, again.codes) == ([], 4, 0)
    assert {path: path.stat().st_mtime_ns for path in (lab.folder / "nas").rglob("*")} == before


def test_people_are_not_told_a_cipher_that_nobody_knows_yet(
    lab: ArchiveLab, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--config", str(lab.config_file), "adopt"]
    assert main([*command, "--from", "nas"]) == 0
    said = capsys.readouterr().out
    assert main([*command, "--list"]) == 0
    assert capsys.readouterr().out == said
    assert said.count("format openssl (its cipher is found when it is opened), ") == 3
    assert said.count("format plain, ") == 1
    assert "des" not in said


def test_find_shows_adopted_copies_also_where_there_are_no_others(
    lab: ArchiveLab, capsys: pytest.CaptureFixture[str]
) -> None:
    adopt(lab.config, lab.private, "nas")

    def found(what: str) -> list[str]:
        assert main(["--config", str(lab.config_file), "find", what]) == 0
        return [line.split()[-1] for line in capsys.readouterr().out.splitlines() if "  old  nas  adopted 20" in line]

    assert found("ec761078") == ["ec761078_1_0001.avi.enc"]
    assert found("df5c5206_7_vid") == ["df5c5206_vid.tar.gz.enc"]
    assert len(found("df5c5206")) == 3
    assert found(lab.units[0].code) == []


def test_existing_codes_are_registered_closed_and_new_ones_avoid_them(lab: ArchiveLab) -> None:
    assert adopt(lab.config, lab.private, "nas").codes == 2
    subjects = {subject.code: subject for subject in registry.load(lab.private)}
    assert {subjects[code].status for code in ("df5c5206", "ec761078")} == {"closed"}
    assert len({subject.code for subject in subjects.values()}) == len(subjects)


def test_a_copy_that_was_replaced_or_is_gone_is_noticed(lab: ArchiveLab) -> None:
    adopt(lab.config, lab.private, "nas")
    (lab.folder / "nas" / "df5c5206_vid.tar.gz.enc").write_bytes(b"longer than it was before")
    (lab.folder / "nas" / "edf/df5c5206/df5c5206_1.edf").unlink()
    found = adopt(lab.config, lab.private, "nas")
    assert [one.old.name for one in found.new] == ["df5c5206_vid.tar.gz.enc"]
    assert [one.old.name for one in found.gone] == ["df5c5206_1.edf"]
    assert len(adopted(lab.paths, "df5c5206", "nas")) == 2


def test_adopted_copies_never_satisfy_a_policy(lab: ArchiveLab) -> None:
    policy = check({**lab.config.values, "copies": {"minimum": 1, "grade": "listed"}})
    before = [str(one) for one in evidence.shortfalls(policy, lab.units)]
    adopt(lab.config, lab.private, "nas")
    assert [str(one) for one in evidence.shortfalls(policy, lab.units)] == before
    assert len(before) == len(lab.units)


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_the_labs_spreadsheet_is_registered_once_and_names_no_code_twice(
    lab: ArchiveLab, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [["Code", "Name", "notes"], ["df5c5206", "Blorptwill, Jexamine", ""], ["ec761078", "Mibbet Snorvaxen", "x"]]
    path = lab.folder / f"sheet{suffix}"
    if suffix == ".csv":
        with open(path, "w", newline="") as stream:
            csv.writer(stream).writerows(rows)
    else:
        import pandas as pd

        pd.DataFrame(rows[1:], columns=rows[0]).to_excel(path, index=False)
    words = ["--config", str(lab.config_file), "adopt", "--spreadsheet", str(path)]
    assert main(words) == 0
    assert "2 codes in the spreadsheet: 2 new codes, 2 new people registered" in capsys.readouterr().out
    subjects = {subject.code: subject.person for subject in registry.load(lab.private)}
    assert subjects["df5c5206"] == make_person("Blorptwill", "Jexamine")
    assert subjects["ec761078"] == make_person("Snorvaxen", "Mibbet")
    assert main(words) == 0
    assert "0 new codes, 0 new people" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("code,notes\ndf5c5206,x\n", "needs a column `code`, and `name`"),
        ("code,name\nBlorptwill,x\n", "row 2, column code: it is no code"),
        ("code,name\ndf5c5206,Blorptwill\ndf5c5206,Snorvaxen\n", "row 3: the code of row 2 again"),
        ("code,name\ndf5c5206,Blorptwill Jexamine\nec761078,Blorptwill Jexamine\n", "one person has one code"),
    ],
)
def test_a_bad_spreadsheet_is_refused_by_row_and_registers_nobody(
    lab: ArchiveLab, rows: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = lab.folder / "sheet.csv"
    # The last case needs somebody of the same MRN or birth date: without either, two people may share a name.
    path.write_text(rows.replace("code,name", "code,name,mrn").replace("Jexamine\n", "Jexamine,4711\n"))
    before = registry.load(lab.private)
    assert main(["--config", str(lab.config_file), "adopt", "--spreadsheet", str(path)]) != 0
    error = capsys.readouterr().err
    assert said in error
    assert "Blorptwill" not in error
    assert registry.load(lab.private) == before

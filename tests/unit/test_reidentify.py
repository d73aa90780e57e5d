"""The way back is the identity: what was de-identified comes out under its own names, byte for byte. Names made up."""

import os
import random
import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from edf_builder import recording
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from intake_lab import CREATED, NAME, PERSON, Lab
from test_deidentify import make
from test_naming import trees

from ecogvault import audit, registry
from ecogvault.cli import main
from ecogvault.config import Config
from ecogvault.intake import IntakeError
from ecogvault.intake.assignment import read_sessions
from ecogvault.naming import NameCollision, coded_tree
from ecogvault.reidentify import CannotReidentify, Done, reidentify
from ecogvault.sandbox import made_natus

SETTINGS = ({}, {"natus": "patch"}, {"dates": "shift"}, {"dates": "shift", "natus": "patch", "link": "copy"})


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def vendor(folder: Path, stem: str) -> None:
    """The tables of a session folder, and a header, in real layouts."""
    generator = random.Random(stem)
    (folder / f"{stem}.eeg").write_bytes(made_natus.file_bytes("eeg", PERSON, CREATED, generator, size=99))
    (folder / f"{stem}.snc").write_bytes(
        made_natus.snc_bytes(PERSON, CREATED, generator, rows=3, samples_per_second=256)
    )
    (folder / f"{stem}.stc").write_bytes(made_natus.stc_bytes(PERSON, CREATED, generator, [stem, f"{stem}_001"], 5))
    (folder / f"{stem}.vtc").write_bytes(made_natus.vtc_bytes([(f"{stem}_0001.avi", CREATED)], 60))


def full_lab(folder: Path, **more: object) -> Lab:
    """Session 1: recording, folder, SNC text, and a VTC table; session 2: a folder alone."""
    lab = Lab(folder, **more)
    lab.edf("Quellmotz 1.edf", "12.00.00").write_bytes(
        recording(patient="00812 F X Quellmotz_Mirx", starttime="12.00.00")
    )
    for name in ("Quellmotz 1", "Quellmotz 2"):
        created = CREATED if name.endswith("1") else datetime(2002, 3, 4, tzinfo=UTC)
        session = lab.session(name, created)
        vendor(session, name)
        (session / f"{name}.eeg").write_bytes(made_natus.header_bytes("eeg", PERSON, created, random.Random(1)) + b"x")
        (session / "decimated").mkdir()
        (session / "decimated" / f"{name}_0001.avi").write_bytes(b"RIFF small")
        (session / "Quellmotz re\u0301sume\u0301.doc").write_bytes(b"report")
        notes = made_natus.header_bytes("ent", PERSON, created, random.Random(1)) + b"notes"
        (session / f"{name}.ent.old").write_bytes(notes)
    (lab.raw / "monday").mkdir()
    text = "\ufeff" + "\r\n" * 8 + f"0\tQuellmotz 1\t{made_natus.filetime(CREATED)}\r\n"
    (lab.raw / "monday" / "snc of Mirx.txt").write_bytes(text.encode("utf-16-le"))
    for unit in lab.frozen():
        make(lab, unit)
    return lab


@pytest.mark.parametrize("more", SETTINGS)
def test_everything_comes_back_under_its_name_and_byte_for_byte(tmp_path: Path, more: dict[str, str]) -> None:
    lab = full_lab(tmp_path, **more)
    shown = content(lab.paths.subject(lab.code))
    assert not any(NAME.search(path) for path in shown)
    done = reidentify(lab.config, lab.private, lab.code, tmp_path / "out")
    assert content(tmp_path / "out") == content(lab.raw)
    assert done == Done(5, len(content(lab.raw)), 0)
    for path in [tmp_path / "out", *(tmp_path / "out").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees, st.sampled_from(SETTINGS), st.data())
def test_the_way_back_is_the_identity_for_every_tree_or_the_tree_was_refused(
    tmp_path: Path, tree: set[str], more: dict[str, str], data: st.DataObject
) -> None:
    folder = tmp_path / os.urandom(8).hex()
    folder.mkdir()
    lab = Lab(folder, **more)
    session = lab.raw / "Quellmotz"
    session.mkdir()
    vendor(session, "Mirx Quellmotz")
    for path in sorted(tree):
        place = session / path
        # Recordings are units of their own, and so is what another test is about.
        if not place.exists() and not path.casefold().endswith((".edf", ".bdf", ".snc", ".vtc", ".eeg", ".txt")):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data.draw(st.binary(max_size=400)))
    whole = sorted(content(session))
    try:
        coded_tree(whole, "a0000000_1")
    except NameCollision:
        with pytest.raises(IntakeError, match="would get one coded name"):
            lab.frozen()
        return
    for unit in lab.frozen():
        make(lab, unit)
    done = reidentify(lab.config, lab.private, lab.code, folder / "out")
    litter = {path for path in whole if path.rpartition("/")[2].startswith("._")}
    assert set(content(folder / "out" / "Quellmotz")) == set(whole) - litter
    assert content(folder / "out" / "Quellmotz").items() <= content(session).items()
    assert done.files == len(whole) - len(litter)
    shutil.rmtree(folder)


def test_one_session_of_several_raw_folders_comes_back_by_its_part(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.session("Quellmotz 1")
    second = tmp_path / "more"
    second.mkdir()
    registry.register(lab.private, PERSON, second, None, decide_match=lambda *_: registry.EVERYTHING)
    (second / "Quellmotz 1.edf").write_bytes(recording(patient="X X X X", starttime="12.00.00"))
    for unit in lab.frozen():
        make(lab, unit)
    assert {row.part for row in read_sessions(lab.paths, lab.code)} == {1, 2}
    reidentify(lab.config, lab.private, lab.code, tmp_path / "out", session=1)
    assert set(content(tmp_path / "out")) == {
        "part1/Quellmotz 1/Quellmotz 1.eeg",
        "part1/Quellmotz 1/Quellmotz 1_0000.avi",
        "part1/Quellmotz 1/Quellmotz 1_0001.avi",
        "part2/Quellmotz 1.edf",
    }


def test_with_links_only_videos_are_links_and_nothing_else_can_be_written_through(tmp_path: Path) -> None:
    lab = full_lab(tmp_path)
    done = reidentify(lab.config, lab.private, lab.code, tmp_path / "out", session=2, link=True)
    links = {path.name for path in (tmp_path / "out").rglob("*") if path.is_symlink()}
    assert done.links == 3
    assert links == {"Quellmotz 2_0000.avi", "Quellmotz 2_0001.avi"}
    assert content(tmp_path / "out" / "Quellmotz 2") == content(lab.raw / "Quellmotz 2")


def test_what_is_only_in_a_restore_comes_back_from_there(tmp_path: Path) -> None:
    lab = full_lab(tmp_path, restored=str(tmp_path / "restored"))
    place = tmp_path / "restored" / "nas" / f"{lab.code}_2_vid" / "vid"
    place.mkdir(parents=True)
    shutil.move(lab.paths.subject(lab.code) / "vid" / f"{lab.code}_2", place)
    reidentify(lab.config, lab.private, lab.code, tmp_path / "out", session=2)
    assert content(tmp_path / "out" / "Quellmotz 2") == content(lab.raw / "Quellmotz 2")


def damage(lab: Lab) -> None:
    place = lab.paths.subject(lab.code) / "vid" / f"{lab.code}_2" / f"{lab.code}_2_0001.avi"
    data = place.read_bytes()
    place.unlink()
    place.write_bytes(bytes([data[0] ^ 1]) + data[1:])


def take_away(lab: Lab) -> None:
    (lab.paths.subject(lab.code) / "vid" / f"{lab.code}_2" / f"{lab.code}_2_0001.avi").unlink()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (damage, "vid/{code}_2/{code}_2_0001.avi is not as it was archived"),
        (take_away, "vid/{code}_2/{code}_2_0001.avi is neither in the results nor in a restore"),
    ],
)
def test_what_is_damaged_or_gone_is_named_by_code_and_nothing_is_left_half_written(
    tmp_path: Path, change, words: str
) -> None:
    lab = full_lab(tmp_path)
    change(lab)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CannotReidentify) as caught:
        reidentify(lab.config, lab.private, lab.code, tmp_path / "out")
    assert words.format(code=lab.code) in str(caught.value)
    assert not NAME.search(str(caught.value))
    assert sorted(tmp_path.iterdir()) == before


def test_names_lie_neither_among_results_nor_over_other_files_nor_in_git(tmp_path: Path) -> None:
    lab = full_lab(tmp_path)
    (tmp_path / "git" / ".git").mkdir(parents=True)
    (tmp_path / "nas").mkdir()
    (tmp_path / "link").symlink_to("nas")
    for folder, words in (
        (lab.paths.results / "x", "names may not lie in"),
        (lab.config.private / "x", "names may not lie in"),
        (lab.raw, "not empty"),
        (tmp_path / "no" / "such", "does not exist"),
        (tmp_path / "git" / "x", "git"),
        (tmp_path / "nas" / "x", "names may not lie in destination nas: give a folder elsewhere"),
        (tmp_path / "nas", "names may not lie in destination nas"),
        (tmp_path / "link" / "x", "names may not lie in destination nas"),
        (lab.raw / "x", rf"names may not lie in a raw folder of {lab.code} \({lab.id(lab.raw)}\): give"),
    ):
        with pytest.raises(CannotReidentify, match=words) as caught:
            reidentify(lab.config, lab.private, lab.code, folder)
        assert not NAME.search(str(caught.value))
    with pytest.raises(CannotReidentify, match=f"nothing of session 7 of {lab.code}"):
        reidentify(lab.config, lab.private, lab.code, tmp_path / "out", session=7)


def test_the_command_does_it_names_nobody_and_is_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = full_lab(tmp_path)
    monkeypatch.setattr("ecogvault.config.load", lambda path: Config(lab.config.values))
    out = str(tmp_path / "out")
    assert main(["reidentify", lab.code, "--session", "2", "-o", out]) == 0
    told = capsys.readouterr()
    assert f"9 files of 2 units, session 2 of {lab.code}\n" in told.err
    assert not NAME.search(told.err + told.out)
    assert [(line["verb"], line["code"], line["reason"]) for line in audit.check(lab.private)] == [
        ("reidentify", lab.code, "session 2")
    ]
    assert main(["reidentify", lab.code, "-o", out]) == 1
    assert "not empty" in capsys.readouterr().err

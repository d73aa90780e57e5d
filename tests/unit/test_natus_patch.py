"""`natus: patch`: the names in known slots of vendor files are rewritten in place, and can be undone. Names made up."""

import random
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from intake_lab import CREATED, NAME, PERSON, Lab
from test_dates import reconfigure, remake
from test_deidentify import make, raw_facts
from test_reidentify import full_lab

from ecogvault.intake.slip import read_names
from ecogvault.natus import overlay, parse_snc, parse_stc, parse_vtc, read_generic_header
from ecogvault.sandbox.made_natus import header_bytes

SLOTS = ((32, 80), (112, 80), (192, 80), (272, 80))


def placed(lab: Lab) -> Path:
    return lab.paths.subject(lab.code) / "vid" / f"{lab.code}_1"


def test_slots_are_rewritten_and_everything_else_stays_where_it_was(tmp_path: Path) -> None:
    lab = full_lab(tmp_path, natus="patch")
    before = raw_facts(lab)
    _, remarks = make(lab, lab.unit(1, "vid"))
    assert "names rewritten in 5 files" in remarks
    assert "left as they are, since no slots of theirs are known: .avi, .doc" in remarks
    assert PERSON.surname.encode() not in (placed(lab) / f"{lab.code}_1_x001.old").read_bytes()
    assert raw_facts(lab) == before
    session = f"{lab.code}_1"
    for extension in ("eeg", "snc", "stc"):
        raw = (lab.raw / "Quellmotz 1" / f"Quellmotz 1.{extension}").read_bytes()
        coded = (placed(lab) / f"{session}.{extension}").read_bytes()
        assert len(raw) == len(coded)
        assert not NAME.search(coded.decode("latin-1"))
        header = read_generic_header(placed(lab) / f"{session}.{extension}")
        assert (header.last_name, header.first_name, header.middle_name, header.mrn) == (lab.code, "X", "", "X")
        assert header.creation_time == CREATED
        rest = bytearray(coded)
        for offset, size in SLOTS:
            rest[offset : offset + size] = raw[offset : offset + size]
        if extension == "stc":
            assert [one.name for one in parse_stc(coded)] == [session, f"{session}_001"]
            for number in range(2):
                start = 408 + 272 * number
                rest[start : start + 256] = raw[start : start + 256]
        assert rest == raw
    vtc = (placed(lab) / f"{session}.vtc").read_bytes()
    assert [one.name for one in parse_vtc(vtc)] == [f"{session}_0001.avi"]
    assert (placed(lab) / parse_vtc(vtc)[0].name).is_file()
    assert vtc[281:] == (lab.raw / "Quellmotz 1" / "Quellmotz 1.vtc").read_bytes()[281:]
    assert len(parse_snc((placed(lab) / f"{session}.snc").read_bytes())) == 3


def test_what_was_in_the_slots_is_in_private_alone(tmp_path: Path) -> None:
    lab = full_lab(tmp_path, natus="patch")
    undo = {
        (name.coded, name.offset): bytes.fromhex(name.original)
        for name in read_names(lab.paths, lab.unit(1, "vid"))
        if name.offset
    }
    eeg = f"vid/{lab.code}_1/{lab.code}_1.eeg"
    assert undo[eeg, "32"] == b"Quellmotz".ljust(80, b"\0")
    assert (eeg, "192") not in undo  # an empty slot is none
    reconfigure(lab, natus="exact")
    remake(lab)
    assert not any(name.offset for name in read_names(lab.paths, lab.unit(1, "vid")))


@pytest.mark.parametrize("link", ["auto", "copy"])
def test_changing_ones_mind_makes_session_folders_anew_and_nothing_else(tmp_path: Path, link: str) -> None:
    lab = full_lab(tmp_path, link=link)
    exact = {path.name: path.read_bytes() for path in placed(lab).glob("*.*") if path.is_file()}
    reconfigure(lab, natus="patch")
    assert remake(lab) == {"edf1": 1, "sync1": 1, "sync2": 1, "vid1": 2, "vid2": 2}
    patched = {path.name: path.read_bytes() for path in placed(lab).glob("*.*") if path.is_file()}
    assert {name.rpartition(".")[2] for name in exact if exact[name] != patched[name]} == {
        "eeg",
        "old",
        "snc",
        "stc",
        "vtc",
    }
    reconfigure(lab, natus="exact")
    assert remake(lab) == {"edf1": 1, "sync1": 1, "sync2": 1, "vid1": 3, "vid2": 3}
    assert {path.name: path.read_bytes() for path in placed(lab).glob("*.*") if path.is_file()} == exact


def test_what_is_not_known_is_named_and_left_alone(tmp_path: Path) -> None:
    lab = full_lab(tmp_path, natus="patch")
    folder = lab.raw / "Quellmotz 1"
    snc = folder / "Quellmotz 1.stc"
    snc.write_bytes(snc.read_bytes()[:16] + struct.pack("<H", 7) + snc.read_bytes()[18:])
    (folder / "Quellmotz 1.etc").write_bytes(b"\xff" * 400)
    (folder / "Quellmotz 1_001.erd").write_bytes(header_bytes("erd", PERSON, CREATED, random.Random(2)) + b"data")
    lab.frozen()
    _, remarks = make(lab, lab.unit(1, "vid"))
    said = " ".join(remarks)
    assert f"left as it is: vid/{lab.code}_1/{lab.code}_1.stc: schema 7 of .stc is not known" in said
    assert f"left as it is: vid/{lab.code}_1/{lab.code}_1.etc: its base schema 65535 is not known" in said
    assert (placed(lab) / f"{lab.code}_1.stc").read_bytes() == snc.read_bytes()
    assert b"Quellmotz" not in (placed(lab) / f"{lab.code}_1_001.erd").read_bytes()


@given(
    st.binary(min_size=1, max_size=200),
    st.lists(st.tuples(st.integers(0, 180), st.binary(min_size=1, max_size=40)), max_size=4),
    st.integers(1, 50),
)
def test_bytes_are_laid_over_a_file_wherever_its_pieces_end(
    data: bytes, places: list[tuple[int, bytes]], step: int
) -> None:
    places = [(offset, some) for offset, some in places if offset + len(some) <= len(data)]
    expected = bytearray(data)
    for offset, some in places:
        expected[offset : offset + len(some)] = some
    got = b""
    for start in range(0, len(data), step):
        buffer = bytearray(data[start : start + step])
        overlay(memoryview(buffer), start, places)
        got += buffer
    assert got == expected

"""The made-up hospital export: real file formats, the traps a real export has, and the same bytes for the same seed."""

import hashlib
import stat
import struct
import unicodedata
from datetime import UTC, datetime, timedelta

import numpy as np
import pyedflib
import pytest
import yaml

from ecogvault import natus
from ecogvault.cli import sandbox as cli
from ecogvault.sandbox import made_avi, made_natus
from ecogvault.sandbox.export import (
    EXTRA_PATIENTS,
    HARD_NAME,
    PLAIN_NAME,
    STRANGER,
    TIMEZONE,
    ExportExists,
    make_export,
    packaged_recording,
    write_person_files,
)

SMALL = {"seconds": 20, "clip_frames": 2, "vendor_bytes": 1000}


def snapshot(folder):
    """Every path with mode, mtime and content."""
    return {
        str(path.relative_to(folder)): (
            stat.S_IMODE(path.stat().st_mode),
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None,
        )
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    return make_export(tmp_path_factory.mktemp("export"))


def edf_start(path):
    with pyedflib.EdfReader(str(path)) as reader:
        whole = reader.getStartdatetime().replace(microsecond=0, tzinfo=TIMEZONE)
        # In units of 100 ns; the microseconds of getStartdatetime are a tenth of the truth in pyedflib 0.1.42.
        return (whole + timedelta(microseconds=reader.starttime_subsecond / 10)).astimezone(UTC)


def test_the_same_seed_gives_the_same_bytes_modes_and_times_and_another_does_not(tmp_path):
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        make_export(tmp_path / name, seed=seed, **SMALL)
    assert snapshot(tmp_path / "a") == snapshot(tmp_path / "b")
    assert set(snapshot(tmp_path / "a")) != set(snapshot(tmp_path / "c"))


def test_the_export_is_of_the_size_of_a_demo(export):
    assert 5e6 < sum(path.stat().st_size for path in export.folder.rglob("*") if path.is_file()) < 20e6


def test_three_people_with_three_sessions_each_lie_in_one_flat_folder(export):
    assert export.patients == (HARD_NAME, PLAIN_NAME)
    assert export.stranger == STRANGER
    for person in (*export.patients, export.stranger):
        assert len(export.of(person)) == 3
    assert all(session.edf.parent == export.folder for session in export.sessions if session.edf)
    assert all(session.folder.parent == export.folder for session in export.sessions if session.folder)


def test_the_first_patients_name_has_everything_that_breaks_programs():
    assert "'" in HARD_NAME.surname
    assert "-" in HARD_NAME.surname
    assert not HARD_NAME.surname.isascii()
    assert len(HARD_NAME.given.split()) == 2


def test_no_patients_name_order_is_the_time_order(export):
    for person in (*export.patients, export.stranger):
        by_time = [session.edf for session in export.of(person) if session.edf]
        assert len(by_time) > 1
        assert by_time != sorted(by_time)


def test_every_recording_opens_in_pyedflib_at_its_start_with_its_patient(export):
    for session in export.sessions:
        if session.edf is None:
            continue
        assert abs(edf_start(session.edf) - session.start) < timedelta(microseconds=1)
        with pyedflib.EdfReader(str(session.edf)) as reader:
            assert reader.getPatientName().split(",")[0].isascii()
            assert session.person.mrn == reader.getPatientCode()
            assert reader.getBirthdate(string=False).date().isoformat() == session.person.birth_date
            assert len(np.unique(reader.readSignal(1))) > 4
            assert len(reader.readAnnotations()[0]) >= 2


def test_some_recordings_start_between_two_seconds_and_name_their_technician(export):
    starts = [session.start.microsecond for session in export.sessions if session.edf]
    assert 0 in starts
    assert any(starts)
    with pyedflib.EdfReader(str(export.of(HARD_NAME)[0].edf)) as reader:
        assert "Wobblethorpe" in reader.getTechnician()


def test_one_recording_is_pyedflibs_own_with_another_patient_field(export):
    session = export.of(PLAIN_NAME)[0]
    made, packaged = session.edf.read_bytes(), packaged_recording().read_bytes()
    assert made[:8] + made[88:] == packaged[:8] + packaged[88:]
    assert PLAIN_NAME.surname.encode() in made[8:88]
    assert PLAIN_NAME.mrn.encode() in made[8:88]


def test_one_session_has_no_recording_one_no_folder_and_one_folder_another_case(export):
    assert [session.edf is None for session in export.of(HARD_NAME)] == [False, True, False]
    assert [session.folder is None for session in export.of(PLAIN_NAME)] == [False, False, True]
    names = [(session.folder.name, session.stem) for session in export.sessions if session.folder]
    assert any(name != stem for name, stem in names)
    assert all(name.casefold() == stem.casefold() for name, stem in names)


def test_natus_headers_hold_names_and_creation_time_where_natus_has_them(export):
    session = export.of(HARD_NAME)[1]
    for extension in set(made_natus.EXTENSIONS) - {"vtc"}:  # which has none
        header = (session.folder / f"{session.stem}.{extension}").read_bytes()[: made_natus.HEADER_BYTES]
        fields = [header[at : at + 80].partition(b"\0")[0].decode("latin-1") for at in (32, 112, 192, 272)]
        assert fields == ["O'Zzyx-Fährlund", "Quillé", "Amaranth", HARD_NAME.mrn]
        (created,) = struct.unpack_from("<I", header, 20)
        assert datetime.fromtimestamp(created, UTC) == session.start.replace(microsecond=0)
    assert (session.folder / f"{session.stem}_002.erd").exists()


def test_a_session_folder_s_own_tables_tell_the_same_as_the_vendor_s_texts(export):
    for session in export.sessions:
        if session.folder is None:
            continue
        points = natus.parse_snc((session.folder / f"{session.stem}.snc").read_bytes())
        videos = natus.parse_vtc((session.folder / f"{session.stem}.vtc").read_bytes())
        segments = natus.parse_stc((session.folder / f"{session.stem}.stc").read_bytes())
        assert {f"{one.name}.erd" for one in segments} == {path.name for path in session.folder.glob("*.erd")}
        assert sorted(one.name for one in videos) == sorted(path.name for path in session.folder.glob("*.avi"))
        assert natus.time_of(points[0].filetime) == natus.time_of(videos[0].start) == session.start
        if session.snc is not None:
            rows = [line.split("\t") for line in session.snc.read_text().splitlines()[8:]]
            assert [(int(row[0]), int(row[-1])) for row in rows] == [(one.stamp, one.filetime) for one in points]


def test_the_report_of_a_session_names_the_patient_in_its_text(export):
    session = export.of(HARD_NAME)[0]
    content = (session.folder / f"{session.stem}.doc").read_bytes()
    assert HARD_NAME.surname.encode("utf-16-le") in content
    assert HARD_NAME.surname.encode("latin-1") in content


def chunks(data):
    """(name, content) of each RIFF chunk of `data`, which must hold nothing else."""
    found = []
    while data:
        name, size = struct.unpack_from("<4sI", data)
        assert len(data) >= 8 + size
        found.append((name, data[8 : 8 + size]))
        data = data[8 + size + size % 2 :]
    return found


def test_video_clips_are_whole_riff_avi_files_whose_index_finds_every_frame(export):
    clips = sorted(export.of(STRANGER)[0].folder.glob("*.avi"))
    assert [clip.stem[-5:] for clip in clips] == ["_0001", "_0002", "_0003"]
    for clip in clips:
        data = clip.read_bytes()
        assert 50e3 < len(data) < 200e3
        ((riff, body),) = chunks(data)
        assert (riff, body[:4]) == (b"RIFF", b"AVI ")
        parts = chunks(body[4:])
        assert [name for name, _ in parts] == [b"LIST", b"LIST", b"idx1"]
        headers, movie, index = (content for _, content in parts)
        assert (headers[:4], movie[:4]) == (b"hdrl", b"movi")
        (_, main), (_, stream) = chunks(headers[4:])
        (rate, _, _, flags, frames, _, streams, _, width, height) = struct.unpack_from("<10I", main)
        assert (rate, flags & 0x10, streams, width, height) == (200_000, 0x10, 1, made_avi.WIDTH, made_avi.HEIGHT)
        (_, kind), (_, picture) = chunks(stream[4:])
        assert (len(kind), kind[:8]) == (56, b"vidsDIB ")
        assert struct.unpack_from("<IiiHHI", picture) == (40, made_avi.WIDTH, made_avi.HEIGHT, 1, 24, 0)
        pictures = chunks(movie[4:])
        assert len(pictures) == frames == len(index) // 16
        for number, (name, content) in enumerate(pictures):
            entry, _, offset, size = struct.unpack_from("<4sIII", index, 16 * number)
            assert (entry, size) == (name, len(content)) == (b"00db", made_avi.FRAME_BYTES)
            assert movie[offset : offset + 4] == b"00db"
            assert movie[offset + 8 : offset + 8 + size] == content


def test_vtc_text_lists_the_clips_of_the_folder_in_utc_behind_ten_lines(export):
    for session in export.sessions:
        if session.vtc is None:
            continue
        rows = session.vtc.read_text().splitlines()[10:]
        names, moments = zip(*(row[:-1].split(" [") for row in rows), strict=True)
        assert list(names) == sorted(path.name for path in session.folder.glob("*.avi"))
        first = datetime.strptime(moments[0], "%d/%m/%Y %H:%M:%S.%f").replace(tzinfo=UTC)
        assert first == session.start


def test_snc_text_begins_at_the_sessions_start_behind_eight_lines(export):
    for session in export.sessions:
        if session.snc is None:
            continue
        rows = [row.split("\t") for row in session.snc.read_text().splitlines()[8:]]
        assert [int(row[0]) for row in rows] == [2560 * number for number in range(len(rows))]
        start = datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(rows[0][-1]) / 10)
        assert start == session.start
    texts = [(session.snc is None, session.vtc is None) for session in export.sessions]
    assert {(False, False), (False, True), (True, True)} == set(texts)
    assert any(session.folder is not None and session.snc is None for session in export.sessions)


def test_options_add_hard_names_lower_case_folders_and_decomposed_file_names(tmp_path):
    export = make_export(
        tmp_path / "x", extra_patients=EXTRA_PATIENTS, stranger=False, lower_folders=True, nfd=True, sessions=2, **SMALL
    )
    assert export.patients[2:] == EXTRA_PATIENTS
    assert export.stranger is None
    assert len(export.sessions) == 8
    assert all(session.folder.name == session.folder.name.lower() for session in export.sessions if session.folder)
    assert all(unicodedata.is_normalized("NFD", session.stem) for session in export.sessions)
    assert not all(unicodedata.is_normalized("NFC", session.stem) for session in export.sessions)
    assert any(session.stem.startswith("van der Zwoop~ Ylfi_") for session in export.sessions)


def test_options_put_names_where_programs_do_not_look_for_them(tmp_path):
    plain = make_export(tmp_path / "plain", **SMALL).of(HARD_NAME)[0].edf.read_bytes()
    odd = make_export(tmp_path / "odd", accents_in_headers=True, name_in_annotations=True, **SMALL)
    content = odd.of(HARD_NAME)[0].edf.read_bytes()
    assert "O'Zzyx-Fährlund".encode("latin-1") in content[8:88]
    assert b"o'zzyx-fahrlund" in content[256:]
    assert b"zzyx" not in plain[256:]


def test_an_existing_export_is_never_written_into(tmp_path):
    make_export(tmp_path, **SMALL)
    before = snapshot(tmp_path)
    with pytest.raises(ExportExists, match="not empty"):
        make_export(tmp_path)
    assert snapshot(tmp_path) == before


def test_nothing_that_is_printed_of_an_export_names_a_patient(export):
    shown = repr(export.sessions) + repr(export.patients)
    assert not any(person.surname in shown for person in (HARD_NAME, PLAIN_NAME, STRANGER))


def test_person_files_are_private_and_hold_what_register_asks_for(tmp_path):
    paths = write_person_files(tmp_path / "persons")
    assert [stat.S_IMODE(path.stat().st_mode) for path in paths] == [0o600, 0o600]
    known = yaml.safe_load(paths[0].read_text())
    assert known == {
        "surname": "O'Zzyx-Fährlund",
        "given": "Quillé Amaranth",
        "other_names": [],
        "mrn": "90417733",
        "birth_date": "1987-04-09",
    }
    assert yaml.safe_load(paths[1].read_text())["other_names"] == ["Quorvley"]


def test_the_command_writes_the_export_and_prints_no_name(tmp_path, capsys):
    parser = cli.argparse.ArgumentParser()
    cli.add(parser.add_subparsers())
    raw, persons = tmp_path / "raw", tmp_path / "persons"
    args = parser.parse_args(["sandbox", "export", "--dir", str(raw), "--seed", "3", "--persons", str(persons)])
    assert args.run(args) == 0
    said = capsys.readouterr().out
    assert "9 sessions" in said
    assert "lorptwill" not in said
    assert len(list(persons.iterdir())) == 2
    assert len(list(raw.glob("*.edf"))) == 8

"""Whole recordings scrubbed: equal samples, proven bytes, bounded memory, an untouched source."""

import hashlib
import os
import subprocess
import sys
from datetime import date
from importlib import import_module
from pathlib import Path

import edfio
import numpy as np
import pyedflib
import pytest
from edf_builder import header, recording
from test_edf_header import packaged

from ecogvault.edf import BadRecording, NotProven, SourceChanged, WouldOverwrite, identification, scrub, scrub_file
from ecogvault.edf.scrub import CHUNK

CODE = "df5c5206"
MODULE = import_module("ecogvault.edf.scrub")  # the package has a function of that name
PACKAGED = [
    "data/test_generator.edf",
    "tests/data/test_generator.edf",
    "tests/data/test_generator.bdf",
    "tests/data/test_generator_datarec_generator_0_5.bdf",
    "tests/data/test_legacy.edf",
    "tests/data/test_subsecond.edf",
]


def trace(path: Path) -> tuple[object, ...]:
    status = path.stat()
    return path.read_bytes(), status.st_mode, status.st_mtime_ns, status.st_uid, status.st_gid


def pyedflib_content(path: Path) -> tuple[object, ...]:
    with pyedflib.EdfReader(str(path)) as reader:
        samples = [reader.readSignal(i, digital=True).tobytes() for i in range(reader.signals_in_file)]
        notes = [list(part) for part in reader.readAnnotations()]
        # Texts that the policy blanks.
        headers = [
            one | {"transducer": "", "prefilter": one["prefilter"].replace("pre1", "")}
            for one in reader.getSignalHeaders()
        ]
        return samples, notes, reader.getStartdatetime(), headers, reader.file_duration


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_recordings_open_with_equal_samples_and_annotations(tmp_path: Path, name: str):
    source, target = tmp_path / "Haagse.edf", tmp_path / f"{CODE}_1.edf"
    source.write_bytes(packaged(name).read_bytes())
    before = trace(source)
    result = scrub_file(source, target, CODE, mode=0o640)
    assert trace(source) == before
    written = target.read_bytes()
    size = 256 * (int(written[252:256]) + 1)
    assert written[size:] == source.read_bytes()[size:]
    assert result.size == len(written)
    assert result.sha256 == hashlib.sha256(written).hexdigest()
    assert target.stat().st_mode & 0o777 == 0o640
    assert identification(target).patient_field == f"{CODE} X X X"
    assert repr(pyedflib_content(target)) == repr(pyedflib_content(source))


@pytest.mark.parametrize(
    ("file_type", "suffix"), [(pyedflib.FILETYPE_EDFPLUS, "edf"), (pyedflib.FILETYPE_BDFPLUS, "bdf")]
)
def test_recordings_that_pyedflib_wrote_open_with_equal_samples(tmp_path: Path, file_type: int, suffix: str):
    source, target = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    rng = np.random.default_rng(7)
    with pyedflib.EdfWriter(str(source), 2, file_type) as writer:
        writer.setPatientName("Haagse_Harriet")
        writer.setPatientCode("0234567")
        writer.setTechnician("Somebody_Else")
        writer.setSignalHeaders(pyedflib.highlevel.make_signal_headers(["LA1", "LA2"], sample_frequency=64))
        writer.writeSamples([rng.uniform(-190, 190, 64 * 5) for _ in range(2)])
        writer.writeAnnotation(1.5, 2, "stimulus")
    scrub_file(source, target, CODE)
    assert repr(pyedflib_content(target)) == repr(pyedflib_content(source))
    assert b"Haagse" not in target.read_bytes()
    assert b"Somebody" not in target.read_bytes()


@pytest.mark.parametrize("seconds", [1, 300])
def test_recordings_that_edfio_wrote_open_with_equal_samples(tmp_path: Path, seconds: int):
    source, target = tmp_path / "a.edf", tmp_path / "b.edf"
    rng = np.random.default_rng(11)
    edfio.Edf(
        [edfio.EdfSignal(rng.normal(size=5000 * seconds), 5000, label=f"LA{i}") for i in range(2)],
        patient=edfio.Patient(code="0234567", name="Haagse_Harriet", birthdate=date(1951, 5, 2)),
        recording=edfio.Recording(startdate=date(2021, 7, 3), hospital_administration_code="EMG561"),
        annotations=[edfio.EdfAnnotation(0.25, None, "seizure")],
    ).write(source)
    assert seconds == 1 or source.stat().st_size > 2 * CHUNK
    scrub_file(source, target, CODE)
    before, after = edfio.read_edf(source), edfio.read_edf(target)
    for one, other in zip(before.signals, after.signals, strict=True):
        np.testing.assert_array_equal(one.digital, other.digital)
    assert before.annotations == after.annotations
    assert (after.patient.code, after.patient.name, after.recording.startdate) == (CODE, "X", date(2021, 7, 3))


@pytest.mark.parametrize(
    "change",
    [
        {"records": -1},
        {"header_bytes": 512},
        {"patient": b"\0" * 80, "recording": b"\0"},
        {"patient": "Müller".encode("latin-1"), "recording": "Žák".encode()},
        {"patient": "", "recording": ""},
        {"recording": "Startdate 02-mar-2002 nurse"},
        {"startdate": "00.00.00", "starttime": "99:99:99"},
        {"startdate": "2/3/2002", "starttime": "17:05:11"},
        {"reserved": "EDF+D"},
        {"reserved": ""},
        {"version": b"\xffBIOSEMI", "width": 3, "reserved": "24BIT"},
    ],
)
def test_what_real_files_have_is_scrubbed_and_all_behind_the_header_stays(tmp_path: Path, change: dict[str, object]):
    source, target = tmp_path / "a.edf", tmp_path / "b.edf"
    source.write_bytes(recording(**change))
    scrub_file(source, target, CODE)
    assert target.read_bytes()[168:] == source.read_bytes()[168:]
    assert identification(target).patient_field == f"{CODE} X X X"


@pytest.mark.parametrize("data", [recording()[:-260], recording()[:700], b"", b"not a recording" * 100])
def test_a_bad_recording_leaves_nothing_behind(tmp_path: Path, data: bytes):
    source = tmp_path / "Haagse.edf"
    source.write_bytes(data)
    with pytest.raises(BadRecording) as error:
        scrub_file(source, tmp_path / "out.edf", CODE, where="i0000abcd")
    assert str(error.value).startswith("i0000abcd: ")
    assert "Haagse" not in str(error.value)
    assert list(tmp_path.iterdir()) == [source]


def test_a_source_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = tmp_path / "a.edf"
    source.write_bytes(recording())
    real = os.preadv

    def touching(fd: int, buffers: list[memoryview], offset: int) -> int:
        os.utime(source, ns=(1, 1))
        return real(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", touching)
    with pytest.raises(SourceChanged, match="i0000abcd"):
        scrub_file(source, tmp_path / "out.edf", CODE, where="i0000abcd")
    assert list(tmp_path.iterdir()) == [source]


def test_a_source_that_grows_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = tmp_path / "a.edf"
    source.write_bytes(recording())
    real = os.posix_fadvise

    def growing(*arguments: int) -> None:
        if source.stat().st_size == len(recording()):
            with source.open("ab") as stream:
                stream.write(b"more")
        real(*arguments)

    monkeypatch.setattr(os, "posix_fadvise", growing)
    with pytest.raises(SourceChanged):
        scrub_file(source, tmp_path / "out.edf", CODE)
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("position", [0, 200, 768, 1400])
def test_a_byte_that_flips_on_its_way_to_the_disk_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, position: int
):
    source = tmp_path / "a.edf"
    source.write_bytes(recording())
    real = os.fsync
    flipped = []

    def flipping(fd: int) -> None:
        if not flipped:
            flipped.append(os.pwrite(fd, bytes([os.pread(fd, 1, position)[0] ^ 1]), position))
        real(fd)

    monkeypatch.setattr(os, "fsync", flipping)
    with pytest.raises(NotProven, match="i0000abcd"):
        scrub_file(source, tmp_path / "out.edf", CODE, where="i0000abcd")
    assert flipped
    assert list(tmp_path.iterdir()) == [source]


def test_the_source_is_never_its_own_target(tmp_path: Path):
    source = tmp_path / "a.edf"
    source.write_bytes(recording())
    os.link(source, tmp_path / "b.edf")
    for target in (source, tmp_path / "b.edf"):
        with pytest.raises(WouldOverwrite):
            scrub_file(source, target, CODE)
    assert source.read_bytes() == recording()


def test_a_source_that_nobody_may_write_is_scrubbed_as_it_is(tmp_path: Path):
    source = tmp_path / "a.edf"
    source.write_bytes(recording())
    source.chmod(0o400)
    assert scrub_file(source, tmp_path / "b.edf", CODE).size == len(recording())
    assert source.stat().st_mode & 0o777 == 0o400


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = tmp_path / "a.edf"
    source.write_bytes(recording())
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, data[:100], offset))
    with (tmp_path / "b.edf").open("w+b") as stream:
        scrub(source, stream, CODE)
    assert (tmp_path / "b.edf").read_bytes()[768:] == recording()[768:]


def share_by_copying(source: int, target: int) -> bool:
    """What a file system that shares blocks does, seen from above."""
    data = os.pread(source, os.fstat(source).st_size, 0)
    assert os.pwrite(target, data, 0) == len(data)
    return True


def test_where_blocks_are_shared_only_what_changes_is_written_and_the_copy_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    source = tmp_path / "a.edf"
    source.write_bytes(recording())
    copied = scrub_file(source, tmp_path / "b.edf", CODE, reflink=False)
    monkeypatch.setattr(MODULE, "share_blocks", share_by_copying)
    written: list[int] = []
    real = os.pwrite

    def noting(fd: int, data: memoryview, offset: int) -> int:
        written.append(len(data))
        return real(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", noting)
    shared = scrub_file(source, tmp_path / "c.edf", CODE)
    assert shared == copied
    assert (tmp_path / "c.edf").read_bytes() == (tmp_path / "b.edf").read_bytes()
    assert written[1:] == [len(change.after) for change in shared.changes]


@pytest.mark.parametrize("position", [200, 1400])
def test_shared_blocks_that_are_not_the_sources_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, position: int
):
    source = tmp_path / "a.edf"
    source.write_bytes(recording())

    def wrongly(one: int, other: int) -> bool:
        share_by_copying(one, other)
        return os.pwrite(other, bytes([os.pread(one, 1, position)[0] ^ 1]), position) == 1

    monkeypatch.setattr(MODULE, "share_blocks", wrongly)
    with pytest.raises(NotProven):
        scrub_file(source, tmp_path / "b.edf", CODE)
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("position", [100, 3_000_000, -1])
def test_a_long_recording_is_read_back_while_it_is_written_and_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, position: int
):
    source = tmp_path / "a.edf"
    source.write_bytes(header(records=20_000) + bytes(range(256)) * 20_000 + bytes(4) * 20_000)
    monkeypatch.setattr(MODULE, "_STRIDE", CHUNK)
    flushed: list[int] = []
    real = os.fsync

    def counting(fd: int) -> None:
        flushed.append(os.fstat(fd).st_size)
        real(fd)

    monkeypatch.setattr(os, "fsync", counting)
    done = scrub_file(source, tmp_path / "b.edf", CODE, reflink=False)
    assert done.sha256 == hashlib.sha256((tmp_path / "b.edf").read_bytes()).hexdigest()
    assert len(flushed) > 5
    place = position % source.stat().st_size

    def flipping(fd: int) -> None:
        if os.fstat(fd).st_size > place and not flipped:
            flipped.append(os.pwrite(fd, bytes([os.pread(fd, 1, place)[0] ^ 1]), place))
        real(fd)

    flipped: list[int] = []
    monkeypatch.setattr(os, "fsync", flipping)
    with pytest.raises(NotProven):
        scrub_file(source, tmp_path / "c.edf", CODE, reflink=False)
    assert flipped


PEAK = """
import sys
from pathlib import Path
from ecogvault.edf import scrub_file
result = scrub_file(Path(sys.argv[1]), Path(sys.argv[2]), "df5c5206")
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(result.size, peak.split()[1])
"""


def test_a_recording_of_one_gibibyte_is_scrubbed_in_under_48_mebibytes(tmp_path: Path):
    records = (1 << 30) // 260
    source, target = tmp_path / "a.edf", tmp_path / "b.edf"
    source.write_bytes(header(records=records))
    os.truncate(source, 768 + records * 260)
    scripts = str(Path(__file__).parents[2] / "scripts")
    command = [sys.executable, "-c", PEAK, str(source), str(target)]
    try:
        done = subprocess.run(command, env={"PYTHONPATH": scripts}, capture_output=True, text=True, check=True)
        size, peak_kib = (int(word) for word in done.stdout.split())
        assert size == source.stat().st_size == target.stat().st_size
        assert peak_kib < 48 * 1024
    finally:
        target.unlink(missing_ok=True)

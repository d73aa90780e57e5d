"""The corpus: files of several writers and what real files have that no writer of today would write.

Each is scrubbed, or refused with a reason. Every byte that the policy does not name is equal, and what a reader could
open, it still opens, with equal samples and annotations. All names are made up.
"""

from collections.abc import Callable
from datetime import date
from importlib import resources
from pathlib import Path

import edfio
import mne
import numpy as np
import pyedflib
import pytest
from edf_builder import header, recording
from edf_readers import READERS, content
from hypothesis import given
from hypothesis import strategies as st

from ecogvault.edf import BadRecording, parse_header, read_policy, scrub_file, shipped
from ecogvault.edf.header import FIXED_PLACES, signal_places

CODE = "df5c5206"
WHERE = "i0000abcd"
NAMED = ("Haagse", "Harriet", "0234567", "Wimblequist")
# What neither shipped policy ever touches.
UNTOUCHED = ("version", "starttime", "header_bytes", "data_records", "duration_of_data_record", "number_of_signals")
Change = Callable[[bytes], bytes]


def packaged() -> list[Path]:
    root = Path(str(resources.files("pyedflib")))
    return sorted(path for path in root.rglob("*") if path.suffix in (".edf", ".bdf"))


def require_equal_readings(source: Path, target: Path) -> list[str]:
    """Compare what each reader makes of both; the readers that could open the source."""
    able = []
    for reader in READERS:
        before = content(reader, source)
        if before is not None:
            able.append(reader)
            after = content(reader, target)
            # By repr: equal not-a-numbers count as equal.
            assert repr(after) == repr(before), reader
    return able


def require_only_named_bytes_differ(source: bytes, target: bytes) -> None:
    parsed = parse_header(source)
    assert len(target) == len(source)
    assert target[parsed.size :] == source[parsed.size :]
    for name in UNTOUCHED:
        assert target[FIXED_PLACES[name]] == source[FIXED_PLACES[name]], name
    for name, _, place in signal_places(len(parsed.signals)):
        if name not in ("transducer_type", "prefiltering", "reserved"):
            assert target[place] == source[place], name
    head = target[: parsed.size].decode("latin-1")
    assert not [name for name in NAMED if name in head]


# --- files of several writers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["lab", "limited-dataset"])
@pytest.mark.parametrize("source", packaged(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_each_packaged_recording_still_opens_with_equal_content(tmp_path: Path, source: Path, policy: str):
    target = tmp_path / f"{CODE}_1{source.suffix}"
    scrub_file(source, target, CODE, policy=shipped(policy))
    require_only_named_bytes_differ(source.read_bytes(), target.read_bytes())
    assert "pyedflib" in require_equal_readings(source, target)


def by_pyedflib(path: Path, kind: int) -> Path:
    rng = np.random.default_rng(5)
    with pyedflib.EdfWriter(str(path), 2, kind) as writer:
        writer.setPatientName("Haagse_Harriet")
        writer.setPatientCode("0234567")
        writer.setTechnician("Wimblequist")
        heads = pyedflib.highlevel.make_signal_headers(["LA1", "LA2"], sample_frequency=64)
        heads[1] |= {"sample_frequency": 32, "transducer": "cup of Wimblequist", "prefilter": "HP:0.1Hz LP:30Hz"}
        writer.setSignalHeaders(heads)
        writer.writeSamples([rng.uniform(-190, 190, 64 * 5), rng.uniform(-190, 190, 32 * 5)])
        if kind in (pyedflib.FILETYPE_EDFPLUS, pyedflib.FILETYPE_BDFPLUS):
            writer.writeAnnotation(1.5, 2, "stimulus")
            writer.writeAnnotation(2.25, -1, "Überwachung")
    return path


def by_edfio(path: Path) -> Path:
    rng = np.random.default_rng(6)
    bdf = path.suffix == ".bdf"
    whole, signal = (edfio.Bdf, edfio.BdfSignal) if bdf else (edfio.Edf, edfio.EdfSignal)
    signals = [
        signal(rng.normal(size=64 * 5), 64, label="LA1", transducer_type="cup of Wimblequist"),
        signal(rng.normal(size=256 * 5), 256, label="LA2", prefiltering="HP:0.5Hz"),
    ]
    whole(
        signals,
        patient=edfio.Patient(code="0234567", sex="F", birthdate=date(1951, 5, 2), name="Haagse_Harriet"),
        recording=edfio.Recording(startdate=date(2021, 7, 3), investigator_technician_code="Wimblequist"),
        annotations=[edfio.EdfAnnotation(0.25, None, "seizure"), edfio.EdfAnnotation(3, 1.5, "Augen zu")],
    ).write(path)
    return path


def by_mne(path: Path) -> Path:
    samples = np.random.default_rng(7).normal(0, 9e-6, (2, 256 * 5))
    raw = mne.io.RawArray(samples, mne.create_info(["LA1", "LA2"], 256, "eeg"), verbose="error")
    raw.info["subject_info"] = {"his_id": "0234567", "last_name": "Haagse", "first_name": "Harriet", "sex": 2}
    raw.set_meas_date(1_625_313_600)
    raw.set_annotations(mne.Annotations([0.5, 2.75], [0, 1], ["Eyes closed", "stimulus"]))
    raw.export(path, verbose="error")
    return path


WRITTEN: dict[str, Callable[[Path], Path]] = {
    "pyedflib-edf.edf": lambda path: by_pyedflib(path, pyedflib.FILETYPE_EDF),
    "pyedflib-edfplus.edf": lambda path: by_pyedflib(path, pyedflib.FILETYPE_EDFPLUS),
    "pyedflib-bdf.bdf": lambda path: by_pyedflib(path, pyedflib.FILETYPE_BDF),
    "pyedflib-bdfplus.bdf": lambda path: by_pyedflib(path, pyedflib.FILETYPE_BDFPLUS),
    "edfio.edf": by_edfio,
    "edfio.bdf": by_edfio,
    "mne.edf": by_mne,
}


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("policy", ["lab", "limited-dataset"])
def test_what_each_writer_writes_still_opens_with_equal_content(tmp_path: Path, name: str, policy: str):
    source = WRITTEN[name](tmp_path / name)
    target = tmp_path / f"{CODE}_1{source.suffix}"
    done = scrub_file(source, target, CODE, policy=shipped(policy))
    if policy == "lab":
        require_only_named_bytes_differ(source.read_bytes(), target.read_bytes())
    assert [str(one) for one in done.deviations if not one.mended] == []
    assert set(require_equal_readings(source, target)) >= {name.partition("-")[0].partition(".")[0], "mne"}


# --- what real files have ---------------------------------------------------------------------------------------------


def put(field: str, value: str | bytes, signal: int | None = None) -> Change:
    """A change that writes `value` into a field."""

    def change(data: bytes) -> bytes:
        places = {(name, None): place for name, place in FIXED_PLACES.items()}
        places |= {(name, index): place for name, index, place in signal_places(len(parse_header(data).signals))}
        place = places[field, signal]
        raw = value if isinstance(value, bytes) else value.encode()
        assert len(raw) <= place.stop - place.start
        return data[: place.start] + raw.ljust(place.stop - place.start) + data[place.stop :]

    return change


def cut(count: int) -> Change:
    return lambda data: data[:-count]


def then(*changes: Change) -> Change:
    def change(data: bytes) -> bytes:
        for one in changes:
            data = one(data)
        return data

    return change


def instead(data: bytes) -> Change:
    return lambda _: data


def strict(data: bytes) -> bytes:
    """A recording with annotation signals as EDF+ 2.2.1 demands them: the strictest of the readers opens no other."""
    parsed = parse_header(data)
    digits = 8 * parsed.sample_bytes - 1
    fields = {"physical_dimension": "", "physical_minimum": "-1", "physical_maximum": "1", "prefiltering": ""}
    fields |= {"digital_minimum": str(-(1 << digits)), "digital_maximum": str((1 << digits) - 1)}
    for index, signal in enumerate(parsed.signals):
        for name, value in fields.items() if signal.is_annotations else ():
            data = put(name, value, index)(data)
    return data


PATIENT, RECORDING = "local_patient_identification", "local_recording_identification"
BDF_LABELS = ("LA1", "BDF Annotations")
BASE = strict(recording(patient="0234567 F 02-MAY-1951 Haagse_Harriet", recording="Startdate 02-MAR-2002 X X X"))
SUBSECOND = strict(recording(("+0.25", "+1.25", "+2.25")))
TWO_LISTS = header(labels=("EDF Annotations", "LA1", "EDF Annotations"), samples=(12, 100, 12), records=2) + b"".join(
    f"+{second}\x14\x14\0".encode().ljust(24, b"\0")
    + bytes(200)
    + f"+{second}\x14stimulus\x14\0".encode().ljust(24, b"\0")
    for second in range(2)
)

# name: (change, deviations that must be told of by their field; a star behind those that are mended)
TAKEN: dict[str, tuple[Change, set[str]]] = {
    "-1 records": (put("data_records", "-1"), {"data_records"}),
    "-1 records and an unfinished one": (then(put("data_records", "-1"), cut(5)), {"data_records", "file"}),
    "truncated last record by one byte": (cut(1), {"file"}),
    "truncated last record by half": (cut(130), {"file"}),
    "bytes behind the last record": (lambda data: data + b"more", {"file"}),
    "header length 0": (put("header_bytes", "0"), {"header_bytes"}),
    "wrong header length": (put("header_bytes", "512"), {"header_bytes"}),
    "wrong header length and -1 records": (
        then(put("header_bytes", "512"), put("data_records", "-1")), {"header_bytes", "data_records"}),
    "header length is no number": (put("header_bytes", "many"), {"header_bytes"}),
    "header length padded with NUL": (put("header_bytes", b"768\0\0\0\0\0"), {"header_bytes"}),
    "00.00.00": (put("startdate", "00.00.00"), {"startdate"}),
    "a date that does not exist": (put("startdate", "31.02.11"), {"startdate"}),
    "a date beyond all calendars": (put("startdate", "99.99.99"), {"startdate"}),
    "/ in the date": (put("startdate", "02/03/02"), {"startdate"}),
    ": in the date": (put("startdate", "02:03:02"), {"startdate"}),
    "date without leading zeros": (put("startdate", "2.3.2002"), {"startdate"}),
    "blank date": (put("startdate", ""), {"startdate"}),
    "date after 2084": (put("startdate", "02.03.yy"), {"startdate"}),
    ": in the time": (put("starttime", "17:05:11"), {"starttime"}),
    "/ in the time": (put("starttime", "17/05/11"), {"starttime"}),
    "a time that does not exist": (put("starttime", "24.60.00"), {"starttime"}),
    "blank time": (put("starttime", ""), {"starttime"}),
    "header and Startdate disagree": (put("startdate", "05.06.07"), {"file"}),
    "lower-case month": (put(RECORDING, "Startdate 02-mar-2002 X X X"), {RECORDING + "*"}),
    "lower-case month in the birth date": (put(PATIENT, "0234567 F 02-may-1951 Haagse_Harriet"), {PATIENT + "*"}),
    "no Startdate": (put(RECORDING, "ward of Wimblequist"), {RECORDING + "*"}),
    "Startdate X": (put(RECORDING, "Startdate X X Wimblequist X"), set()),
    "Startdate that does not exist": (put(RECORDING, "Startdate 31-FEB-2002 X X X"), {RECORDING + "*"}),
    "blank patient": (put(PATIENT, ""), {PATIENT + "*"}),
    "blank recording": (put(RECORDING, ""), {RECORDING + "*"}),
    "NUL patient": (put(PATIENT, bytes(80)), {PATIENT + "*"}),
    "NUL in the middle of the recording": (put(RECORDING, b"Startdate\x0002-MAR-2002 X\0Y X X"), {RECORDING + "*"}),
    "Latin-1 patient": (put(PATIENT, "0234567 F X Haagse_Hélène".encode("latin-1")), {PATIENT + "*"}),
    "UTF-8 patient": (put(PATIENT, "0234567 F X Haagse_Žofie"), {PATIENT + "*"}),
    "UTF-8 cut within a letter": (
        put(PATIENT, b"0234567 F X Haagse".ljust(79, b"e") + "é".encode()[:1]), {PATIENT + "*"}),
    "tabs and line breaks in the patient": (put(PATIENT, "Haagse\tHarriet\r\n"), {PATIENT + "*"}),
    "patient in a vendor's form": (put(PATIENT, "Haagse~ Harriet, 0234567"), {PATIENT + "*"}),
    "Latin-1 recording": (put(RECORDING, "Station für Wimblequist".encode("latin-1")), {RECORDING + "*"}),
    "UTF-8 recording": (put(RECORDING, "Žilina, Wimblequist"), {RECORDING + "*"}),
    "plain EDF with annotations": (put("reserved", ""), {"reserved"}),
    "reserved in lower case": (put("reserved", "edf+c"), {"reserved"}),
    "reserved with a text": (put("reserved", "EDF+C bed of Haagse"), set()),
    "reserved padded with NUL": (put("reserved", b"EDF+C".ljust(44, b"\0")), {"reserved"}),
    "EDF+D": (put("reserved", "EDF+D"), set()),
    "EDF+ without annotations": (put("label", "LA2", 1), {"reserved"}),
    "Latin-1 label": (put("label", "µ-Kanal".encode("latin-1"), 0), {"label"}),
    "blank label": (put("label", "", 0), {"label"}),
    "Latin-1 unit": (put("physical_dimension", "µV".encode("latin-1"), 0), {"physical_dimension"}),
    "UTF-8 transducer": (put("transducer_type", "Prüfling Haagse", 0), {"transducer_type*"}),
    "NUL in the prefilter": (put("prefiltering", b"HP:0.1Hz\0\0Haagse", 0), {"prefiltering*"}),
    "text in a signal's reserved field": (put("reserved", "Haagse", 0), set()),
    "decimal comma": (put("physical_minimum", "-100,5", 0), set()),
    "a limit that is no number": (put("physical_minimum", "low", 0), {"physical_minimum"}),
    "equal limits": (put("digital_minimum", "2047", 0), set()),
    "several annotation signals": (instead(strict(TWO_LISTS)), set()),
    "sub-second start": (instead(SUBSECOND), set()),
    "records of half a second": (put("duration_of_data_record", "0,5"), set()),
    "records of no duration": (put("duration_of_data_record", "0"), set()),
    "number of signals padded with NUL": (put("number_of_signals", b"2\0\0\0"), {"number_of_signals"}),
    "version padded with NUL": (put("version", b"0\0\0\0\0\0\0\0"), set()),
    "no records": (lambda data: put("data_records", "0")(data)[:768], set()),
    "BDF": (instead(recording(version=b"\xffBIOSEMI", width=3, reserved="24BIT", labels=("LA1", "Status"))), set()),
    "BDF+ with -1 records": (
        then(
            instead(recording(version=b"\xffBIOSEMI", width=3, reserved="BDF+C", labels=BDF_LABELS)),
            strict,
            put("data_records", "-1"),
        ),
        {"data_records"}),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_what_real_files_have_is_taken_told_of_and_still_opens(tmp_path: Path, name: str):
    change, told = TAKEN[name]
    data = change(BASE)
    suffix = ".bdf" if data[:1] == b"\xff" else ".edf"
    source, target = tmp_path / f"source{suffix}", tmp_path / f"target{suffix}"
    source.write_bytes(data)
    done = scrub_file(source, target, CODE, where=WHERE)
    assert source.read_bytes() == data
    require_only_named_bytes_differ(data, target.read_bytes())
    require_equal_readings(source, target)
    assert {one.field + ("*" if one.mended else "") for one in done.deviations} == told
    assert not [name for name in NAMED if name in " ".join(map(str, done.deviations))]


REFUSED: dict[str, tuple[Change, str]] = {
    "empty": (instead(b""), "shorter than an EDF header"),
    "half a header": (lambda data: data[:100], "shorter than an EDF header"),
    "cut within the signals' header": (lambda data: data[:700], "ends within its header"),
    "no recording": (instead(b"RIFF" + bytes(2000)), "neither EDF nor BDF"),
    "a BDF's version cut": (put("version", b"\xffBIOSEM"), "neither EDF nor BDF"),
    "no number of signals": (put("number_of_signals", ""), "how many signals"),
    "0 signals": (put("number_of_signals", "0"), "how many signals"),
    "-1 signals": (put("number_of_signals", "-1"), "how many signals"),
    "signals in words": (put("number_of_signals", "two"), "how many signals"),
    "more signals than header": (put("number_of_signals", "9"), "ends within its header"),
    "no number of records": (put("data_records", ""), "how many data records"),
    "-2 records": (put("data_records", "-2"), "how many data records"),
    "records in words": (put("data_records", "many"), "how many data records"),
    "duration is no number": (put("duration_of_data_record", "nan"), "how long a data record"),
    "negative duration": (put("duration_of_data_record", "-1"), "how long a data record"),
    "samples are no number": (put("samples_per_data_record", "?", 0), "how many samples signal 1 has"),
    "no samples": (
        then(put("samples_per_data_record", "0", 0), put("samples_per_data_record", "0", 1)), "hold no samples"),
    "truncated by a record": (cut(260), "truncated: 1288 of 1548 bytes"),
    "truncated by more": (cut(500), "truncated"),
    "-1 records and none there": (lambda data: put("data_records", "-1")(data)[:800], "no whole data record"),
    "an extended header": (
        lambda data: put("header_bytes", "1024")(data)[:768] + bytes(256) + data[768:], "header length field is wrong"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_safely_is_refused_with_a_reason_and_leaves_nothing(tmp_path: Path, name: str):
    change, reason = REFUSED[name]
    source = tmp_path / "source.edf"
    source.write_bytes(change(BASE))
    with pytest.raises(BadRecording, match=reason) as caught:
        scrub_file(source, tmp_path / "target.edf", CODE, where=WHERE)
    assert str(caught.value).startswith(f"{WHERE}: ")
    assert not [name for name in NAMED if name in str(caught.value)]
    assert list(tmp_path.iterdir()) == [source]


def test_the_recording_that_all_variants_are_made_of_opens_everywhere(tmp_path: Path):
    (tmp_path / "a.edf").write_bytes(BASE)
    scrub_file(tmp_path / "a.edf", tmp_path / "b.edf", CODE)
    assert require_equal_readings(tmp_path / "a.edf", tmp_path / "b.edf") == list(READERS)


def test_the_corpus_has_forty_malformed_variants_and_more():
    assert len(TAKEN) >= 40
    assert len(REFUSED) >= 20


@pytest.mark.parametrize("name", TAKEN)
def test_a_shift_moves_the_dates_of_real_files_and_nothing_else(tmp_path: Path, name: str):
    change, _ = TAKEN[name]
    data = change(BASE)
    source, plain, shifted = (tmp_path / one for one in ("a.edf", "b.edf", "c.edf"))
    source.write_bytes(data)
    scrub_file(source, plain, CODE)
    scrub_file(source, shifted, CODE, shift_days=-40)
    places = [FIXED_PLACES[RECORDING], FIXED_PLACES["startdate"]]
    before, after = bytearray(plain.read_bytes()), bytearray(shifted.read_bytes())
    for place in places:
        before[place] = after[place] = bytes(place.stop - place.start)
    assert before == after
    assert b"MAR-2002" not in shifted.read_bytes()[FIXED_PLACES[RECORDING]]
    assert shifted.read_bytes()[FIXED_PLACES["startdate"]] not in (b"02.03.02", b"31.02.11", b"02/03/02", b"2.3.2002")


SEEDS = st.integers(0, 767).flatmap(lambda at: st.tuples(st.just(at), st.binary(min_size=1, max_size=12)))


@given(st.lists(SEEDS, max_size=6), st.sampled_from(["lab", "limited-dataset"]), st.integers(0, 600))
def test_any_damaged_header_is_scrubbed_or_refused_and_data_stay_equal(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, bytes]], policy: str, missing: int
):
    folder = tmp_path_factory.mktemp("damaged")
    data = bytearray(BASE)
    for at, new in damage:
        data[at : min(768, at + len(new))] = new[: 768 - at]
    del data[len(data) - missing :]
    source, target = folder / "a.edf", folder / "b.edf"
    source.write_bytes(data)
    try:
        done = scrub_file(source, target, CODE, policy=read_policy(policy), where=WHERE)
    except BadRecording:
        assert list(folder.iterdir()) == [source]
        return
    written = target.read_bytes()
    undone = bytearray(written)
    for one in done.changes:
        undone[one.offset : one.offset + len(one.after)] = one.before
    assert undone == data
    size = parse_header(bytes(data)).size
    assert written[size:] == data[size:]

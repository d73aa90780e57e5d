"""Start, length and completeness of recordings."""

from datetime import date, datetime, time, timedelta
from pathlib import Path

import edfio
import numpy as np
import pyedflib
import pytest
from edf_builder import recording
from hypothesis import given
from hypothesis import strategies as st
from test_edf_header import packaged

from ecogvault.edf import BadRecording, check_complete, duration, start_of_recording
from ecogvault.edf.timing import MONTHS, header_date, header_time, recording_date


@pytest.fixture
def written(tmp_path: Path):
    def write(data: bytes) -> Path:
        path = tmp_path / "x.edf"
        path.write_bytes(data)
        return path

    return write


def test_sub_second_starts_come_from_the_first_timekeeping_annotation():
    path = packaged("tests/data/test_subsecond.edf")
    with pyedflib.EdfReader(str(path)) as reader:
        subsecond = reader.starttime_subsecond / 10  # edflib counts 100 ns; getStartdatetime() takes them for less
    assert subsecond
    expected = datetime(2020, 1, 24, 4, 5, 56) + timedelta(microseconds=subsecond)
    assert abs(start_of_recording(path) - expected) <= timedelta(microseconds=1)


@pytest.mark.parametrize("microsecond", [0, 1000, 500000, 999999])
def test_a_start_that_edfio_wrote_is_read_to_the_microsecond(tmp_path: Path, microsecond: int):
    edf = edfio.Edf(
        [edfio.EdfSignal(np.arange(256.0), 256, label="EEG")],
        recording=edfio.Recording(startdate=date(2021, 7, 3)),
        starttime=time(23, 59, 59, microsecond),
        annotations=[edfio.EdfAnnotation(0.1, None, "on")],
    )
    edf.write(tmp_path / "a.edf")
    assert start_of_recording(tmp_path / "a.edf") == datetime(2021, 7, 3, 23, 59, 59, microsecond)


@pytest.mark.parametrize(
    ("startdate", "field", "expected"),
    [
        ("02.03.02", "Startdate 02-MAR-2002 X X X", date(2002, 3, 2)),
        ("02.03.02", "Startdate 02-mar-2102 X X X", date(2102, 3, 2)),  # the same day, another century
        ("02.03.85", "", date(1985, 3, 2)),
        ("02.03.84", "", date(2084, 3, 2)),
        ("02.03.02", "Startdate 05-MAR-2002 X X X", date(2002, 3, 2)),  # they disagree
        ("00.00.00", "Startdate 05-MAR-2002 X X X", date(2002, 3, 5)),
        ("02/03/02", "", date(2002, 3, 2)),
        ("02:03:02", "", date(2002, 3, 2)),
        ("2-3-2002", "", date(2002, 3, 2)),
        (" 2. 3.02", "", date(2002, 3, 2)),
        ("02.03.yy", "Startdate 02-MAR-2085 X X X", date(2085, 3, 2)),  # as the specification wants it from 2085 on
    ],
)
def test_the_start_date_follows_the_rules(written, startdate: str, field: str, expected: date):
    path = written(recording(startdate=startdate, recording=field))
    assert start_of_recording(path) == datetime.combine(expected, time(17, 5, 11))


@pytest.mark.parametrize(("text", "expected"), [("17:05:11", True), (" 7.05.11", True), ("17.60.11", False)])
def test_the_start_time_has_several_separators_but_must_exist(written, text: str, expected: bool):
    path = written(recording(starttime=text))
    if expected:
        assert start_of_recording(path).minute == 5
    else:
        with pytest.raises(BadRecording, match="no start time"):
            start_of_recording(path)


@pytest.mark.parametrize("startdate", ["00.00.00", "31.02.11", "", "ab.cd.ef", "12345678"])
def test_a_start_date_that_does_not_exist_is_refused(written, startdate: str):
    with pytest.raises(BadRecording, match="no start date"):
        start_of_recording(written(recording(startdate=startdate, recording="X")), "i0000abcd")


@given(st.dates(date(1985, 1, 1), date(2084, 12, 31)), st.times(), st.sampled_from(".:/-'"))
def test_dates_and_times_read_back(day: date, clock: time, separator: str):
    assert header_date(day.strftime(f"%d{separator}%m{separator}%y")) == day
    assert header_time(clock.strftime(f"%H{separator}%M{separator}%S")) == clock.replace(microsecond=0)
    assert recording_date(f"Startdate {day.day:02}-{MONTHS[day.month - 1]}-{day.year} X X X") == day


@given(st.text(max_size=8))
def test_no_text_breaks_the_date_and_time_readers(text: str):
    assert header_date(text) is None or isinstance(header_date(text), date)
    assert header_time(text) is None or isinstance(header_time(text), time)
    assert recording_date(f"Startdate {text}") is None or text.strip()


@pytest.mark.parametrize(("onset", "microsecond"), [("+0.25", 250000), ("+0", 0), ("", 0), ("0.25", 0), ("+.25", 0)])
def test_only_a_timekeeping_annotation_gives_the_part_of_a_second(written, onset: str, microsecond: int):
    assert start_of_recording(written(recording([onset]))).microsecond == microsecond


def test_an_absurd_first_onset_is_refused(written):
    with pytest.raises(BadRecording, match="31 days"):
        start_of_recording(written(recording(["+99999999999"])))


def test_the_first_of_several_annotation_signals_keeps_time(written):
    whole = recording(["+0.75"], labels=("EEG", "EDF Annotations"), samples=(100, 30))
    one = start_of_recording(written(whole))
    both = recording([], labels=("EDF Annotations", "EDF Annotations"), samples=(30, 30), records=1)
    both += b"+0.75\x14\x14\0".ljust(60, b"\0") + b"+0.10\x14\x14\0".ljust(60, b"\0")
    assert start_of_recording(written(both)) == one


@pytest.mark.parametrize("name", ["test_generator_datarec_generator_0_5.bdf", "test_generator_datarec_generator_2.bdf"])
def test_the_length_is_records_times_their_duration(name: str):
    assert duration(packaged(f"tests/data/{name}")) == 30.0


def test_without_a_number_of_records_the_length_comes_from_the_size(written):
    path = written(recording(records=-1) + b"part of a fourth record")
    assert duration(path) == 3.0
    assert check_complete(path).data_records == -1


def test_a_discontinuous_recording_lasts_until_the_end_of_its_last_record(written):
    assert duration(written(recording(["+0.5", "+1.5", "+60.5"], reserved="EDF+D"))) == 61.0


@given(missing=st.integers(260, 519))
def test_a_truncated_recording_is_refused_without_any_content(tmp_path_factory: pytest.TempPathFactory, missing: int):
    path = tmp_path_factory.mktemp("cut") / "Haagse.edf"
    path.write_bytes(recording()[:-missing])
    with pytest.raises(BadRecording, match="truncated") as error:
        check_complete(path, "i0000abcd")
    assert "Haagse" not in str(error.value)
    assert str(path.parent) not in str(error.value)


@given(missing=st.integers(1, 259))
def test_a_last_record_that_was_cut_short_is_taken(tmp_path_factory: pytest.TempPathFactory, missing: int):
    path = tmp_path_factory.mktemp("cut") / "a.edf"
    path.write_bytes(recording()[:-missing])
    assert check_complete(path).data_records == 3


def test_a_recording_without_one_whole_record_is_refused(written):
    with pytest.raises(BadRecording, match="no whole data record"):
        check_complete(written(recording(["+0"])[:-1]))


def test_a_whole_recording_is_complete(written):
    assert check_complete(written(recording())).data_records == 3
    assert check_complete(written(recording() + b"more")).data_records == 3


def test_a_recording_that_was_never_ended_and_holds_nothing_is_refused(written):
    with pytest.raises(BadRecording, match="no whole data record"):
        check_complete(written(recording([], records=-1)))


def test_a_wrong_header_length_is_harmless_only_where_the_size_proves_it(written):
    assert check_complete(written(recording(header_bytes=512))).header_bytes == 512
    assert check_complete(written(recording(header_bytes=512, records=-1))).header_bytes == 512
    for doubtful in (recording(header_bytes=1024) + bytes(256), recording(header_bytes=508, records=-1)):
        with pytest.raises(BadRecording, match="header length field"):
            check_complete(written(doubtful))

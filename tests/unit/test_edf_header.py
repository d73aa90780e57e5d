"""The header of EDF and BDF files, as the specifications have it and as real files have it."""

import io
import re
from importlib import resources
from pathlib import Path

import pytest
from edf_builder import header
from hypothesis import given
from hypothesis import strategies as st

from ecogvault.edf import BadRecording, Header, parse_header, read_header
from ecogvault.errors import EcogvaultError


def packaged(name: str) -> Path:
    return Path(str(resources.files("pyedflib"))) / name


def test_every_field_of_a_packaged_recording_is_read():
    got = read_header(packaged("tests/data/test_generator.edf"))
    assert got.kind == "edf"
    assert got.plus == "C"
    assert got.local_patient_identification == "abcxyz99 M 30-JUN-1969 Hans_Muller patient"
    assert got.local_recording_identification.startswith("Startdate 04-APR-2011 Dr._X Mr._Spotty")
    assert (got.startdate, got.starttime) == ("04.04.11", "12.57.02")
    assert (got.header_bytes, got.size, got.data_records, got.duration_of_data_record) == (3328, 3328, 600, 1.0)
    assert len(got.signals) == 12
    assert got.signals[0].label == "squarewave"
    assert (got.signals[0].physical_minimum, got.signals[0].digital_maximum) == (-1000.0, 32767.0)
    assert [signal.is_annotations for signal in got.signals].count(True) == 1


def test_a_bdf_has_three_bytes_a_sample():
    got = read_header(packaged("tests/data/test_generator.bdf"))
    assert (got.kind, got.plus, got.sample_bytes) == ("bdf", "C", 3)
    size = packaged("tests/data/test_generator.bdf").stat().st_size
    assert got.size + got.data_records * got.record_bytes == size


def test_plain_edf_has_no_plus():
    assert read_header(packaged("tests/data/test_legacy.edf")).plus is None


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("Žáková".encode(), "Žáková"),
        ("Müller".encode("latin-1"), "Müller"),
        (b"Sample\0\0\0", "Sample"),
        (b"", ""),
        ("Žák".encode().ljust(79, b"x") + "é".encode()[:1], "Žák" + "x" * 74),
    ],
)
def test_text_fields_may_hold_utf8_latin1_nul_or_nothing(raw: bytes, text: str):
    assert parse_header(header(patient=raw)).local_patient_identification == text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": b"RIFF    "}, "neither EDF nor BDF"),
        ({"signals": "x"}, "how many signals"),
        ({"signals": 0}, "how many signals"),
        ({"signals": "1_0"}, "how many signals"),
        ({"seconds": "nan"}, "how long a data record"),
        ({"seconds": "-1"}, "how long a data record"),
        ({"records": "many"}, "how many data records"),
        ({"records": "-2"}, "how many data records"),
        ({"samples": (100, "?")}, "samples signal 2"),
        ({"samples": (0, 0)}, "no samples"),
    ],
)
def test_what_cannot_be_read_safely_is_refused_with_a_reason(change: dict[str, object], reason: str):
    with pytest.raises(BadRecording, match=reason):
        parse_header(header(**change), "i0000abcd")


def test_a_decimal_comma_counts_as_a_point():
    assert parse_header(header(seconds="0,5")).duration_of_data_record == 0.5


@given(st.binary(max_size=1200) | st.binary(max_size=600).map(lambda tail: header()[:300] + tail))
def test_any_bytes_are_a_header_or_a_bad_recording(data: bytes):
    try:
        outcome: Header | EcogvaultError = read_header(io.BytesIO(data), "i0000abcd")
    except EcogvaultError as error:
        outcome = error
    if isinstance(outcome, EcogvaultError):
        assert re.fullmatch(r"i0000abcd: [ -~]+", str(outcome))
    else:
        assert outcome.signals


@given(st.integers(0, 767))
def test_a_header_cut_anywhere_is_refused(length: int):
    with pytest.raises(BadRecording):
        read_header(io.BytesIO(header()[:length]))


def test_no_repr_shows_who_it_is():
    assert "Harriet" not in repr(parse_header(header()))
    assert "EMG561" not in repr(parse_header(header()))

"""The scrubbed header: what it says, and that nothing else differs."""

import re

import pytest
from edf_builder import header
from hypothesis import given
from hypothesis import strategies as st

from ecogvault.edf import BadRecording, scrubbed_header

FIELD = st.binary(max_size=80)


def fields(data: bytes) -> tuple[str, str]:
    return data[8:88].decode("ascii").rstrip(), data[88:168].decode("ascii").rstrip()


@given(FIELD, FIELD, st.text("0123456789.:/- X", max_size=8), st.sampled_from(["", "EDF+C", "EDF+D"]))
def test_only_patient_and_recording_differ_and_nothing_of_them_stays(
    patient: bytes, recording: bytes, startdate: str, reserved: str
):
    original = header(patient=patient, recording=recording, startdate=startdate, reserved=reserved)
    scrubbed, changes = scrubbed_header(original, "df5c5206")
    assert len(scrubbed) == len(original)
    assert (scrubbed[:8], scrubbed[168:]) == (original[:8], original[168:])
    who, what = fields(scrubbed)
    assert who == "df5c5206 X X X"
    assert re.fullmatch(r"Startdate (X|\d\d-(JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)-\d{4}) X X X", what)
    restored = bytearray(scrubbed)
    for change in changes:
        assert scrubbed[change.offset : change.offset + 80] == change.after
        restored[change.offset : change.offset + 80] = change.before
    assert bytes(restored) == original


@given(FIELD, FIELD)
def test_scrubbing_twice_changes_nothing_more(patient: bytes, recording: bytes):
    once, _ = scrubbed_header(header(patient=patient, recording=recording), "df5c5206")
    assert scrubbed_header(once, "df5c5206") == (once, [])


@pytest.mark.parametrize(
    ("recording", "startdate", "expected"),
    [
        ("Startdate 02-MAR-2002 EMG561 BK/JOP Sony", "02.03.02", "Startdate 02-MAR-2002 X X X"),
        ("Startdate 02-mar-2002 EMG561 BK/JOP Sony", "02.03.02", "Startdate 02-MAR-2002 X X X"),
        ("Startdate 02-MAR-2002 X X X", "05.06.07", "Startdate 02-MAR-2002 X X X"),
        ("Some ward, some nurse", "05.06.07", "Startdate 05-JUN-2007 X X X"),
        ("", "31.12.99", "Startdate 31-DEC-1999 X X X"),
        ("Startdate 99-MAR-2002 X X X", "05.06.07", "Startdate 05-JUN-2007 X X X"),
        ("Startdate X nurse X X", "05.06.07", "Startdate X X X X"),
        ("", "00.00.00", "Startdate X X X X"),
        ("ward", "31.02.11", "Startdate X X X X"),
    ],
)
@pytest.mark.parametrize("reserved", ["", "EDF+C"])
def test_the_recording_field_keeps_a_start_date_and_nothing_else(
    recording: str, startdate: str, expected: str, reserved: str
):
    scrubbed, _ = scrubbed_header(header(recording=recording, startdate=startdate, reserved=reserved), "df5c5206")
    assert fields(scrubbed)[1] == expected


@pytest.mark.parametrize(
    ("recording", "startdate", "days", "named", "short"),
    [
        ("Startdate 02-MAR-2002 EMG561 BK/JOP Sony", "02.03.02", 30, "01-APR-2002", "01.04.02"),
        ("Startdate 02-MAR-2002 EMG561 BK/JOP Sony", "02.03.02", -62, "30-DEC-2001", "30.12.01"),
        ("Startdate 31-DEC-1999 X X X", "31.12.99", 1, "01-JAN-2000", "01.01.00"),
        ("Startdate 28-FEB-2024 X X X", "28.02.24", 1, "29-FEB-2024", "29.02.24"),
        ("Startdate 02-MAR-2002 X X X", "05.06.07", 1, "03-MAR-2002", "06.06.07"),  # they disagree, and still do
        ("ward", "02/03/02", 1, "03-MAR-2002", "03.03.02"),
        ("Startdate X X X X", "02.03.02", 1, "X", "03.03.02"),
        ("Startdate 02-MAR-2002 X X X", "00.00.00", 1, "03-MAR-2002", "00.00.00"),
        ("Startdate 02-MAR-2002 X X X", "30.02.02", 1, "03-MAR-2002", "03.03.02"),
        ("ward", "30.02.02", 1, "X", "01.01.85"),
        ("ward", "??.02.02", 1, "X", "01.01.85"),
        ("ward", "", 1, "X", ""),
    ],
)
def test_both_dates_are_shifted_alike(recording: str, startdate: str, days: int, named: str, short: str):
    original = header(recording=recording, startdate=startdate)
    scrubbed, changes = scrubbed_header(original, "df5c5206", shift_days=days)
    assert fields(scrubbed)[1] == f"Startdate {named} X X X"
    assert scrubbed[168:176].decode().rstrip() == short
    assert scrubbed[176:] == original[176:]
    assert ("startdate" in [change.name for change in changes]) == (short != startdate)


@pytest.mark.parametrize("days", [-18 * 365, 90 * 365, 10_000 * 365])
def test_a_shifted_date_that_the_format_cannot_say_is_refused(days: int):
    with pytest.raises(BadRecording, match="i0000abcd: (its start|a) date( of it)?, shifted, "):
        scrubbed_header(header(startdate="02.03.02"), "df5c5206", "i0000abcd", shift_days=days)


def test_a_bdf_header_is_scrubbed_alike():
    original = header(version=b"\xffBIOSEMI", reserved="24BIT")
    scrubbed, changes = scrubbed_header(original, "df5c5206")
    assert scrubbed[:8] == b"\xffBIOSEMI"
    assert [change.name for change in changes] == ["local_patient_identification", "local_recording_identification"]


def test_what_is_no_header_is_not_scrubbed():
    with pytest.raises(BadRecording, match="i0000abcd"):
        scrubbed_header(b"RIFF" + header()[4:], "df5c5206", "i0000abcd")


@pytest.mark.parametrize("code", ["", "two words", "Žák", "x" * 75, "a\n"])
def test_a_code_that_is_no_ascii_word_is_a_mistake_of_the_caller(code: str):
    with pytest.raises(ValueError, match="subject code"):
        scrubbed_header(header(), code)


def test_a_change_does_not_show_what_was_there():
    _, changes = scrubbed_header(header(), "df5c5206")
    assert "Haagse" not in repr(changes)

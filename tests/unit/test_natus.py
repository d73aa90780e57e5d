"""The generic header of Natus session files."""

import struct
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecogvault.edf import names_nobody, names_person
from ecogvault.natus import (
    BadNatusFile,
    NatusHeader,
    creation_time,
    first_header,
    header_files,
    parse_generic_header,
    patient,
    read_generic_header,
)
from ecogvault.person import Person

GUID = bytes(range(1, 17))


def natus(
    created: int | datetime = 1_600_000_000,
    last: bytes = b"O'Brastein-Zalkova",
    first: bytes = b"Zoe",
    middle: bytes = b"Emilie",
    mrn: bytes = b"00-4711-23",
    *,
    schema: int = 9,
    base: int = 1,
    guid: bytes = GUID,
) -> bytes:
    """A header as the offsets in the design have it, written independently of the reader's format string."""
    data = bytearray(352)
    data[0:16] = guid
    data[16:18] = schema.to_bytes(2, "little")
    data[18:20] = base.to_bytes(2, "little")
    seconds = int(created.timestamp()) if isinstance(created, datetime) else created
    data[20:24] = seconds.to_bytes(4, "little")
    data[24:28] = (17).to_bytes(4, "little")
    data[28:32] = (23).to_bytes(4, "little")
    for place, text in ((32, last), (112, first), (192, middle), (272, mrn)):
        data[place : place + len(text)] = text
    return bytes(data)


def test_every_field_is_where_the_public_readers_have_it():
    got = parse_generic_header(natus() + b"more")
    assert got.file_guid.bytes_le == GUID
    assert (got.file_schema, got.base_schema, got.patient_id, got.study_id) == (9, 1, 17, 23)
    assert got.creation_time == datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC)
    assert (got.last_name, got.first_name, got.middle_name, got.mrn) == (
        "O'Brastein-Zalkova",
        "Zoe",
        "Emilie",
        "00-4711-23",
    )


def test_an_old_header_of_base_schema_0_is_read_too():
    assert parse_generic_header(natus(schema=3, base=0)).last_name == "O'Brastein-Zalkova"


def test_the_person_is_given_whole_and_shown_nowhere():
    got = parse_generic_header(natus())
    assert patient(got) == Person("O'Brastein-Zalkova", "Zoe Emilie", (), "00-4711-23")
    assert "Brastein" not in repr(got)
    assert "4711" not in repr(got)


def test_whose_session_it_is_can_be_asked_like_of_a_recording():
    person = Person("O'Brastein-Žálková", "Zoë", (), "4711-24")
    assert names_person(parse_generic_header(natus()).patient_field, person)
    assert not names_person(parse_generic_header(natus(last=b"Haagse")).patient_field, person)
    assert names_nobody(parse_generic_header(natus(last=b"", first=b"", middle=b"", mrn=b"")).patient_field)


@pytest.mark.parametrize("raw", ["Žák".encode(), "Müller".encode("cp1252"), b"Plain\0left in memory", b" spaced "])
def test_names_are_text_up_to_the_first_nul(raw: bytes):
    expected = {b"\xc5": "Žák", b"M": "Müller", b"P": "Plain", b" ": "spaced"}[raw[:1]]
    assert parse_generic_header(natus(last=raw)).last_name == expected


@pytest.mark.parametrize(
    "data",
    [
        natus()[:351],
        b"",
        natus(base=2),
        natus(guid=bytes(16)),
        natus(last=b"\x01\x02"),
        b"RIFF" + bytes(400),
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + b">\x00\x03\x00\xfe\xff" + bytes(400),
    ],
)
def test_what_has_no_such_header_is_refused(data: bytes):
    with pytest.raises(BadNatusFile, match="i0000abcd: "):
        parse_generic_header(data, "i0000abcd")


@given(st.binary(max_size=400) | st.binary(min_size=332, max_size=400).map(lambda rest: natus()[:20] + rest))
def test_any_bytes_are_a_header_with_printable_texts_or_refused(data: bytes):
    try:
        outcome: NatusHeader | None = parse_generic_header(data)
    except BadNatusFile:
        outcome = None
    if outcome is not None:
        assert len(data) >= 352
        assert struct.unpack_from("<H", data, 18)[0] in (0, 1)
        assert outcome.patient_field.isprintable()


@given(st.datetimes(datetime(1990, 1, 1), datetime(2099, 12, 31)))
def test_a_time_of_creation_reads_back_in_utc(moment: datetime):
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    got = parse_generic_header(natus(moment))
    assert got.creation_time == moment
    assert got.has_plausible_time


@pytest.fixture
def session(tmp_path: Path):
    def make(**files: bytes) -> Path:
        for name, data in files.items():
            (tmp_path / name.replace("__", ".")).write_bytes(data)
        return tmp_path

    return make


def test_the_eeg_file_speaks_first_then_the_first_segment_of_the_data(session):
    folder = session(
        A_001__erd=natus(1_600_009_000),
        A_1000__erd=natus(1_600_099_000),
        A_999__erd=natus(1_600_098_000),
        A__stc=natus(1_600_000_003),
        A__ERD=natus(1_600_000_002),
        A__eeg=natus(1_600_000_001),
        A_0007__avi=b"RIFF" + bytes(500),
        A__vtc=natus(1_500_000_000),
        A__epo=natus(1_500_000_000),
    )
    assert [path.name for path in header_files(folder)] == [
        "A.eeg",
        "A.ERD",
        "A_001.erd",
        "A_999.erd",
        "A_1000.erd",
        "A.stc",
    ]
    assert creation_time(folder) == datetime.fromtimestamp(1_600_000_001, UTC)
    (folder / "A.eeg").unlink()
    assert creation_time(folder) == datetime.fromtimestamp(1_600_000_002, UTC)


@pytest.mark.parametrize("bad", [natus(0), natus(1), natus(0xFFFFFFFF), natus()[:100], b"", natus(base=7)])
def test_a_damaged_or_implausible_file_is_passed_over(session, bad: bytes):
    folder = session(A__eeg=bad, A__ent=natus(1_600_000_005))
    assert creation_time(folder) == datetime.fromtimestamp(1_600_000_005, UTC)
    assert first_header(folder) == read_generic_header(folder / "A.ent")
    (folder / "A.ent").unlink()
    assert creation_time(folder) is None


def test_an_empty_folder_has_no_time(tmp_path: Path):
    (tmp_path / "inner.eeg").mkdir()
    assert creation_time(tmp_path) is None

"""The tables of Natus session folders, and the SNC and VTC text made of them. Written byte by byte; made-up names."""

import random
import struct
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_natus import natus

from ecogvault.natus import (
    BadNatusFile,
    Segment,
    SyncPoint,
    UnknownSchema,
    Video,
    filetime_of,
    parse_snc,
    parse_stc,
    parse_vtc,
    time_of,
)
from ecogvault.sandbox.made_natus import filetime
from ecogvault.synctext import BadSyncText, generated, kind_of, start_of
from lab_reader import lab_reads_snc, lab_reads_vtc

SNC_GUID = struct.pack("<4i", -905246832, 298899349, -1610599761, -1521198300)
STC_GUID = struct.pack("<4i", -373878152, 1297721419, 1913685951, -1648510833)
VTC_GUID = bytes.fromhex("A1ACE35B30A2C04AAA9449650F2CF6A0")
MPEG_GUID = bytes.fromhex("F1C1015EA9F9D211ADF300104B8CC65E")
RECORD_GUID = b'\xff\xfe\xf8^\xfc\xdc\xe5D\x8f\xae\x19\xf5\xd6"\xb6\xd4'
START = datetime(2020, 9, 13, 12, 26, 40, 123_456, tzinfo=UTC)
CODED = "df5c5206_3"


def snc(records: list[tuple[int, int]], *, schema: int = 0, guid: bytes = SNC_GUID) -> bytes:
    return natus(guid=guid, schema=schema) + b"".join(struct.pack("<iQ", *one) for one in records)


def stc(records: list[tuple[bytes, int, int, int, int]], *, schema: int = 1, guid: bytes = STC_GUID) -> bytes:
    rows = [name.ljust(256, b"\0") + struct.pack("<4i", *numbers) for name, *numbers in records]
    return natus(guid=guid, schema=schema) + bytes(56) + b"".join(rows)


def vtc(records: list[tuple[bytes, int, int]], *, guid: bytes = VTC_GUID, inner: bytes = RECORD_GUID) -> bytes:
    rows = [name.ljust(261, b"\0") + inner + struct.pack("<QQ", *times) for name, *times in records]
    return guid + struct.pack("<I", 1) + b"".join(rows)


POINTS = [(0, filetime(START)), (2560, filetime(START) + 100_000_007), (-1, filetime(START))]
VIDEOS = [
    (b"Quellmotz~_0001.avi", filetime(START), filetime(START) + 5),
    (b"D:\\x\\Quellmotz~_0042.AVI\0zz", filetime(START), 9),
]


def test_every_field_is_where_the_public_readers_have_it():
    assert parse_snc(snc(POINTS)) == [SyncPoint(*one) for one in POINTS]
    assert parse_stc(stc([(b"Quellmotz~_001\0junk", 1, 2, 3, 4)])) == [Segment("Quellmotz~_001", 1, 2, 3, 4)]
    assert parse_vtc(vtc(VIDEOS)) == [
        Video("Quellmotz~_0001.avi", *VIDEOS[0][1:]),
        Video("D:\\x\\Quellmotz~_0042.AVI", *VIDEOS[1][1:]),
    ]
    assert len(vtc(VIDEOS)) == 20 + 2 * 293
    assert len(stc([(b"a", 1, 2, 3, 4)])) == 408 + 272
    assert "Quellmotz" not in repr(parse_vtc(vtc(VIDEOS))) + repr(parse_stc(stc([(b"Quellmotz", 1, 2, 3, 4)])))


@pytest.mark.parametrize(
    ("parse", "data", "what"),
    [
        (parse_snc, snc(POINTS, schema=1), "schema 1 of .snc"),
        (parse_snc, snc(POINTS, guid=bytes(range(1, 17))), "file type 04030201-0605-0807-090a-0b0c0d0e0f10 of .snc"),
        (parse_stc, stc([], schema=2), "schema 2 of .stc"),
        (parse_vtc, vtc(VIDEOS, guid=MPEG_GUID), "a .vtc of MPEG videos"),
        (parse_vtc, vtc(VIDEOS, guid=bytes(16)), f"file type {uuid.UUID(int=0)} of .vtc"),
        (parse_vtc, vtc(VIDEOS, inner=bytes(16)), f"a record {uuid.UUID(int=0)} of .vtc"),
    ],
)
def test_what_no_public_reader_knows_is_named_and_not_guessed(parse, data: bytes, what: str):
    with pytest.raises(UnknownSchema) as caught:
        parse(data, "i0000abcd")
    assert caught.value.what == what
    assert str(caught.value).startswith(f"i0000abcd: {what} is not known, and is left alone: ")


@pytest.mark.parametrize(
    ("parse", "data", "words"),
    [
        (parse_snc, snc(POINTS)[:-1], "within a record of .snc"),
        (parse_stc, natus(guid=STC_GUID, schema=1), "within a record of .stc"),
        (parse_vtc, vtc(VIDEOS) + b"x", "within a record of .vtc"),
        (parse_vtc, VTC_GUID, "shorter than the header"),
        (parse_snc, snc([(0, 0)]), "its record 1 has no time between 1990 and 2100"),
        (parse_vtc, vtc([VIDEOS[0], (b"a_0001.avi", 5, 6)]), "its record 2 has no time"),
        (parse_snc, b"", "shorter than the header"),
    ],
)
def test_damaged_tables_are_refused_by_what_is_wrong(parse, data: bytes, words: str):
    with pytest.raises(BadNatusFile, match="i0000abcd: ") as caught:
        parse(data, "i0000abcd")
    assert words in str(caught.value)
    assert not isinstance(caught.value, UnknownSchema)


@given(
    st.binary(max_size=900),
    st.sampled_from([b"", SNC_GUID, STC_GUID, VTC_GUID]),
    st.sampled_from([parse_snc, parse_stc, parse_vtc]),
)
def test_any_bytes_are_a_table_or_refused(data: bytes, guid: bytes, parse):
    try:
        rows = parse(guid + data)
    except BadNatusFile:
        rows = []
    assert isinstance(rows, list)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2099, 12, 31)))
def test_filetimes_and_times_are_each_other_s_inverse(moment: datetime):
    moment = moment.replace(tzinfo=UTC)
    assert filetime_of(moment) == filetime(moment)
    assert time_of(filetime_of(moment)) == moment


# --- the texts that are made of them ----------------------------------------------------------------------------------


def test_a_generated_vtc_says_this_and_is_read_by_the_lab():
    text = generated(vtc(VIDEOS), "vtc", CODED).decode("ascii")
    assert text.splitlines()[10:] == [
        "df5c5206_3_0001.avi [13/09/2020 12:26:40.123]",
        "df5c5206_3_0042.AVI [13/09/2020 12:26:40.123]",
    ]
    start = START.replace(microsecond=123_000, tzinfo=None)
    assert lab_reads_vtc(text) == [(start, 1), (start, 42)]


def test_a_generated_snc_says_this_and_is_read_by_the_lab():
    text = generated(snc(POINTS), "snc", CODED).decode("ascii")
    assert text.splitlines()[8] == f"0\t13/09/2020 12:26:40.123456\t{filetime(START)}"
    assert lab_reads_snc(text) == POINTS


@given(
    st.lists(
        st.tuples(st.integers(-(2**31), 2**31 - 1), st.datetimes(datetime(1995, 1, 1), datetime(2095, 1, 1))),
        min_size=1,
        max_size=6,
    ),
    st.integers(-1500, 1500),
)
def test_generated_texts_are_read_by_the_lab_and_by_us_with_every_row_shifted_alike(rows, days: int):
    shift = timedelta(days=days, hours=days % 2)
    times = [time.replace(tzinfo=UTC) for _, time in rows]
    table = snc([(stamp, filetime(time)) for (stamp, _), time in zip(rows, times, strict=True)])
    text = generated(table, "snc", CODED, shift=shift)
    assert kind_of(text) == "snc"
    assert lab_reads_snc(text.decode()) == [
        (stamp, filetime(time + shift)) for (stamp, _), time in zip(rows, times, strict=True)
    ]
    assert start_of(text) == min(times) + shift
    videos = [(f"a_{number:04}.avi".encode(), filetime(time), filetime(time)) for number, time in enumerate(times)]
    text = generated(vtc(videos), "vtc", CODED, shift=shift)
    assert kind_of(text) == "vtc"
    whole = [time.replace(microsecond=time.microsecond // 1000 * 1000) + shift for time in times]
    assert lab_reads_vtc(text.decode()) == [(time.replace(tzinfo=None), number) for number, time in enumerate(whole)]


@pytest.mark.parametrize("name", [b"a_001.avi", b"a_00001.avi.old", b"a.avi", b"", b"a_0001.mpg"])
def test_a_video_that_the_lab_s_reader_could_not_take_is_refused_by_its_record(name: bytes):
    with pytest.raises(BadSyncText, match=r"i0000abcd: record 2 of its \.vtc"):
        generated(vtc([VIDEOS[0], (name, filetime(START), 1)]), "vtc", CODED, where="i0000abcd")


@pytest.mark.parametrize("kind", ["snc", "vtc"])
def test_a_table_without_records_makes_no_text(kind: str):
    with pytest.raises(BadSyncText, match="no records"):
        generated(snc([]) if kind == "snc" else vtc([]), kind, CODED)


def test_the_sandbox_writes_tables_that_these_readers_take():
    from ecogvault.person import Person
    from ecogvault.sandbox import made_natus

    person = Person("Quellmotz", "Mirx")
    made = made_natus.stc_bytes(person, START, random.Random(1), ["a", "a_001"], 10)
    assert [(one.name, one.first_stamp, one.last_stamp) for one in parse_stc(made)] == [("a", 0, 9), ("a_001", 10, 19)]

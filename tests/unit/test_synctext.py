"""SNC and VTC text: recognised, recoded, and still read by the lab's own code."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecogvault.person import Person, fold
from ecogvault.synctext import BadSyncText, holds_identifier, kind_of, recode, sniff
from lab_reader import lab_reads_snc, lab_reads_vtc

PERSON = Person("O'Brastein-Žálková", "Zoë Émilie", ("Zozo",), "00-4711-23", "1987-04-09")
STEM = "O'Brastein-Žálková~ Zoë_3f6c"
CODED = "df5c5206_3"
FILETIME = 132_444_444_000_000_000

VTC_HEADER = [
    "Video Table of Contents",
    f"File: D:\\Neuro\\Data\\{STEM}\\{STEM}.vtc",
    f"{STEM}.vtc",
    "Patient: O'Brastein-Žálková, Zoë",
    "Created: 13/09/2020 12:26:40",
    "Entries: 3",
    "ID 4711-23",
    "",
    "zoe",
    "-----",
]
SNC_HEADER = [
    "Sync file dump",
    f"{STEM}.snc",
    "Patient O'BRASTEIN-ŽÁLKOVÁ",
    "",
    "Born 09.04.1987",
    "a",
    "b",
    "Stamp\tTime",
]


def vtc_rows(*, blank: str = " ", suffix: str = "") -> list[str]:
    return [f"{STEM}_{n:04}.avi{blank}[13/09/2020 12:{n:02}:40.{n:03}]{suffix}" for n in (0, 7, 42)]


def snc_rows() -> list[str]:
    return [f"{n * 2560}\t13/09/2020 12:00:0{n}\t{FILETIME + n * 10_000_000}" for n in range(4)]


def encoded(lines: list[str], encoding: str, newline: str) -> bytes:
    return (newline.join(lines) + newline).encode(encoding)


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]
NEWLINES = ["\n", "\r\n", "\r\r\n", "\r"]
EXPECTED_VTC = [(datetime(2020, 9, 13, 12, n, 40, n * 1000), n) for n in (0, 7, 42)]
EXPECTED_SNC = [(n * 2560, FILETIME + n * 10_000_000) for n in range(4)]


def in_encoding(lines: list[str], encoding: str) -> tuple[list[str], str]:
    """The lines and the stem as far as the encoding can hold them."""
    if encoding != "cp1252":
        return lines, STEM
    return [line.replace("á", "a").replace("ž", "z") for line in lines], STEM.replace("á", "a").replace("ž", "z")


@pytest.mark.parametrize("newline", NEWLINES)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("kind", ["vtc", "snc"])
def test_every_hand_copy_is_recognised_and_read_by_the_lab_after_recoding(kind: str, encoding: str, newline: str):
    lines = VTC_HEADER + vtc_rows() if kind == "vtc" else SNC_HEADER + snc_rows()
    lines, stem = in_encoding(lines, encoding)
    data = encoded(lines, encoding, newline)
    assert kind_of(data) == kind
    text = recode(data, stem, CODED, PERSON).decode("ascii")
    assert "\r" not in text
    assert "\ufeff" not in text
    assert (lab_reads_vtc(text) if kind == "vtc" else lab_reads_snc(text)) == (
        EXPECTED_VTC if kind == "vtc" else EXPECTED_SNC
    )
    assert not holds_identifier(text.replace(CODED, ""), PERSON)


def test_a_recoded_vtc_text_says_this():
    assert recode(encoded(VTC_HEADER + vtc_rows(), "utf-8", "\n"), STEM, CODED, PERSON).decode().splitlines() == [
        "Video Table of Contents", "X", "df5c5206_3.vtc", "X", "Created: 13/09/2020 12:26:40",
        "Entries: 3", "X", "", "X", "-----",
        "df5c5206_3_0000.avi [13/09/2020 12:00:40.000]",
        "df5c5206_3_0007.avi [13/09/2020 12:07:40.007]",
        "df5c5206_3_0042.avi [13/09/2020 12:42:40.042]",
    ]  # fmt: skip


@pytest.mark.parametrize("blank", ["", " ", "  ", "\t"])
@pytest.mark.parametrize("suffix", ["", " ", "\t"])
def test_the_lab_s_code_gets_the_video_number_whatever_stands_around_the_bracket(blank: str, suffix: str):
    data = encoded(VTC_HEADER + vtc_rows(blank=blank, suffix=suffix), "utf-8", "\n")
    assert lab_reads_vtc(recode(data, STEM, CODED, PERSON).decode()) == EXPECTED_VTC


@pytest.mark.parametrize("row", [
    "D:\\Data\\Other~ Name_0007.avi [13/09/2020 12:07:40.007]",
    "a [b]_0007.avi [13/09/2020 12:07:40.007]",
    "_0007.AVI [13/9/2020 12:07:40,007]",
    "Other~ Name_0007.avi [13/09/2020 12:07:40.0070000]",
])  # fmt: skip
def test_whatever_stands_before_the_video_number_becomes_the_code(row: str):
    text = recode(encoded([*VTC_HEADER, row], "utf-8", "\n"), STEM, CODED, PERSON).decode()
    assert lab_reads_vtc(text) == [EXPECTED_VTC[1]]
    assert text.splitlines()[10].casefold().startswith(f"{CODED}_0007.avi [")


def test_a_time_without_fraction_gets_one():
    data = encoded([*VTC_HEADER, "a_0007.avi [13/09/2020 12:07:40]"], "utf-8", "\n")
    assert lab_reads_vtc(recode(data, STEM, CODED, PERSON).decode()) == [(datetime(2020, 9, 13, 12, 7, 40), 7)]


@given(st.lists(st.integers(0, 3), max_size=10), st.sampled_from([0, 3, 10]))
def test_the_rows_begin_where_the_lab_expects_them_whatever_the_blank_lines(blanks: list[int], dropped: int):
    for header, rows, read, expected in (
        (VTC_HEADER, vtc_rows(), lab_reads_vtc, EXPECTED_VTC),
        (SNC_HEADER, snc_rows(), lab_reads_snc, EXPECTED_SNC),
    ):
        lines = list(header[dropped:])
        for place in blanks:
            lines.insert(min(place, len(lines)), "")
        spaced = [line for row in rows for line in (row, "", " ")]
        data = encoded(lines[:24] + spaced, "utf-8", "\n")
        assert read(recode(data, STEM, CODED, PERSON).decode()) == expected


def test_surplus_header_lines_are_joined_not_dropped():
    data = encoded([f"line {n}" for n in range(12)] + vtc_rows(), "utf-8", "\n")
    assert recode(data, STEM, CODED, PERSON).decode().splitlines()[9] == "line 9 line 10 line 11"


def test_a_middle_column_with_the_stem_or_a_name_is_coded_or_redacted():
    rows = [f"1\t{STEM}.erd\t{FILETIME}", f"2\tBrastein-Zalkova O', Zoe\tok\t{FILETIME}", f"3\t{FILETIME}\t"]
    text = recode(encoded(SNC_HEADER + rows, "utf-8", "\n"), STEM, CODED, PERSON).decode()
    assert text.splitlines()[8:] == [f"1\t{CODED}.erd\t{FILETIME}", f"2\tX\tok\t{FILETIME}", f"3\t{FILETIME}"]


@pytest.mark.parametrize(
    "row",
    [
        "footer",
        "a_0008.avi [13/09/2020 12:07:40.000",
        "a_008.avi [13/09/2020 12:07:40.000]",
        "a_0008.avi [09/13/2020 12:07:40.000]",
        "a_0008.avi [31/02/2020 12:07:40.000]",
        "a_0008.avi [13/09/2020 25:07:40.000]",
    ],
)
def test_a_row_that_the_lab_could_not_read_is_refused_by_its_line(row: str):
    data = encoded([*VTC_HEADER, *vtc_rows(), row], "utf-8", "\n")
    with pytest.raises(BadSyncText, match="i0000abcd: line 14 is not a row of VTC"):
        recode(data, STEM, CODED, PERSON, where="i0000abcd")


@pytest.mark.parametrize(
    "data",
    [b"", b"\n" * 20, b"RIFF" + bytes(range(256)) * 20, b"1\t2\t3\n" * 20, b"a.avi [now]\n" * 20, b"text " * 9000,
     b"1\t100000000000000000\n" * 20, "\ufeff".encode("utf-16")],
)  # fmt: skip
def test_other_files_are_neither(data: bytes, tmp_path: Path):
    path = tmp_path / "x"
    path.write_bytes(data)
    assert sniff(path) is None
    with pytest.raises(BadSyncText, match="neither"):
        recode(data, STEM, CODED, PERSON)


def test_a_long_file_is_recognised_by_its_beginning(tmp_path: Path):
    path = tmp_path / "x"
    path.write_bytes(encoded(SNC_HEADER + snc_rows() * 5000, "utf-16", "\r\n"))
    assert sniff(path) == "snc"


def test_the_line_that_the_sample_cuts_is_not_judged():
    data = "\n".join([*VTC_HEADER, *vtc_rows()[:1], vtc_rows()[1][:20]]).encode()
    assert kind_of(data, cut=True) == "vtc"
    assert kind_of(data) is None


def test_a_text_with_decomposed_letters_is_coded_by_a_composed_stem():
    data = encoded(["x"] * 8 + [f"1\tste\u0301mx_003.erd\t{FILETIME}"], "utf-8", "\n")
    assert recode(data, "st\xe9mx", CODED, PERSON).decode().splitlines()[8] == f"1\t{CODED}_003.erd\t{FILETIME}"


def test_stems_in_other_case_and_normal_form_are_replaced():
    data = encoded(["x"] * 8 + [f"1\t{'Neutral~ Stémx'.upper()}_003.erd\t{FILETIME}"], "utf-8", "\n")
    text = recode(data, "neutral~ ste\u0301mx", CODED, PERSON).decode()
    assert text.splitlines()[8] == f"1\t{CODED}_003.erd\t{FILETIME}"


def test_a_stem_of_one_letter_does_not_break_numbers():
    rows = [f"1\t1.erd\t{FILETIME + 1}", f"11\tpart 11\t{FILETIME + 1}"]
    text = recode(encoded(SNC_HEADER + rows, "utf-8", "\n"), "1", CODED, PERSON).decode()
    assert text.splitlines()[8:] == [f"1\t{CODED}.erd\t{FILETIME + 1}", f"11\tpart 11\t{FILETIME + 1}"]


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_have_an_answer(data: bytes):
    assert kind_of(data) in (None, "snc", "vtc")


@given(
    st.lists(st.datetimes(datetime(1990, 1, 1), datetime(2099, 12, 31)), min_size=1, max_size=5),
    st.lists(
        st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=40), min_size=10, max_size=10
    ),
)
def test_vtc_times_and_numbers_survive_exactly_and_no_name_does(times: list[datetime], header: list[str]):
    rows = [f"{STEM}_{n:04}.avi [{t:%d/%m}/{t.year:04}{t: %H:%M:%S.%f}]" for n, t in enumerate(times)]
    data = encoded(header + rows, "utf-8", "\r\n")
    text = recode(data, STEM, CODED, PERSON).decode()
    assert lab_reads_vtc(text) == [(t, n) for n, t in enumerate(times)]
    assert "brastein" not in fold(text)


@given(st.lists(st.tuples(st.integers(-(2**31), 2**31 - 1), st.datetimes(datetime(1990, 1, 1), datetime(2099, 1, 1)))))
def test_snc_stamps_and_times_survive_exactly(pairs: list[tuple[int, datetime]]):
    numbers = [(stamp, 10 * ((t - datetime(1601, 1, 1)) // timedelta(microseconds=1))) for stamp, t in pairs]
    rows = [f"{stamp}\tx\t{filetime}" for stamp, filetime in numbers]
    data = encoded(SNC_HEADER + rows, "utf-8", "\n")
    if rows:
        assert lab_reads_snc(recode(data, STEM, CODED, PERSON).decode()) == numbers
    else:
        assert kind_of(data) is None


@pytest.mark.parametrize(
    "text",
    ["ZOE", "obrastein zalkova", "x-Zozo-x", "MRN 471123", "00471123", "09-Apr-1987", "1987/04/09",
     "04/09/1987", "19870409"],
)  # fmt: skip
def test_identifiers_are_found_in_these_spellings(text: str):
    assert holds_identifier(text, PERSON)


@pytest.mark.parametrize("text", ["", "Entries: 3", "Created: 13/09/2020 12:26:40", "zoetrope", CODED])
def test_innocent_lines_are_kept(text: str):
    assert not holds_identifier(text, PERSON)

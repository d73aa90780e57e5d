"""Tables, records and journals: what goes in comes out, and every changed byte is found."""

import json
import multiprocessing
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecogvault.errors import Damaged
from ecogvault.files import lock
from ecogvault.records import (
    FIRST,
    append_journal,
    canonical,
    check_end,
    parse_record,
    parse_table,
    read_journal,
    read_record,
    read_table,
    record_bytes,
    table_bytes,
    with_digest,
    write_record,
    write_table,
)

# What a Linux file name or a typed text can hold: any text, and bytes that are not UTF-8 as Python stands for them.
odd = st.sampled_from(
    ["\t", "\n", "\r", "\\", "\\t", "\\x80", "#sha256 ", "\x0b", "\x85", "\u2028", "\udcff", "\udc80"]
)
cells = st.lists(odd | st.text(max_size=4) | st.binary(max_size=4).map(os.fsdecode), max_size=5).map("".join)
COLUMNS = ("one", "two")
rows = st.lists(st.fixed_dictionaries({"one": cells, "two": cells}), max_size=4)
FLIPS = (0x01, 0x04, 0x20, 0x80, 0xFF)


@given(rows)
def test_a_table_gives_back_every_text(made: list[dict[str, str]]) -> None:
    assert parse_table(table_bytes("t", COLUMNS, made), "t", COLUMNS, what="t") == made


@given(rows, rows)
def test_different_tables_have_different_bytes(one: list[dict[str, str]], other: list[dict[str, str]]) -> None:
    assert (table_bytes("t", COLUMNS, one) == table_bytes("t", COLUMNS, other)) == (one == other)


def test_every_changed_byte_and_every_cut_of_a_table_is_detected() -> None:
    data = table_bytes("t", COLUMNS, [{"one": "a\tb", "two": os.fsdecode(b"\xff")}, {"one": "", "two": "é"}])
    for at in range(len(data)):
        for flip in FLIPS:
            wrong = bytearray(data)
            wrong[at] ^= flip
            with pytest.raises(Damaged, match="^the table "):
                parse_table(bytes(wrong), "t", COLUMNS, what="the table")
        with pytest.raises(Damaged):
            parse_table(data[:at], "t", COLUMNS, what="the table")
    for more in (b"\n", b"x", data):
        with pytest.raises(Damaged):
            parse_table(data + more, "t", COLUMNS, what="the table")


def test_a_table_of_another_kind_or_with_other_columns_is_damaged() -> None:
    data = table_bytes("t", COLUMNS, [])
    for name, columns in (("u", COLUMNS), ("t", ("one",)), ("t", ("two", "one"))):
        with pytest.raises(Damaged):
            parse_table(data, name, columns, what="x")


@pytest.mark.parametrize("line", [b"\xff\tb", b"a", b"a\tb\tc", b""])
def test_a_table_with_a_right_checksum_but_wrong_lines_is_damaged(line: bytes) -> None:
    import hashlib

    body = b"#ecogvault-t 1\none\ttwo\n" + line + b"\n"
    data = body + f"#sha256 {hashlib.sha256(body).hexdigest()}\n".encode()
    with pytest.raises(Damaged):
        parse_table(data, "t", COLUMNS, what="x")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | cells,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(cells, inner, max_size=3),
    max_leaves=6,
)
records = st.dictionaries(cells.filter(lambda key: key not in ("self_sha256", "prev")), values, max_size=4)


@given(records)
def test_a_record_gives_back_every_value(record: dict[str, object]) -> None:
    back = parse_record(record_bytes(record), what="r")
    assert back.pop("self_sha256")
    assert back == record


@given(records, st.randoms())
def test_the_digest_does_not_depend_on_the_order_of_keys(record: dict[str, object], random) -> None:
    keys = list(record)
    random.shuffle(keys)
    assert with_digest({key: record[key] for key in keys})["self_sha256"] == with_digest(record)["self_sha256"]


def test_every_changed_byte_and_every_cut_of_a_record_is_detected() -> None:
    data = record_bytes(
        {"schema": "x 1", "size": 10, "half": 0.5, "of": [1, None, True], "text": "é\\\n", "in": {"a": 1}}
    )
    for at in range(len(data)):
        for flip in FLIPS:
            wrong = bytearray(data)
            wrong[at] ^= flip
            with pytest.raises(Damaged, match="^the record "):
                parse_record(bytes(wrong), what="the record")
        with pytest.raises(Damaged):
            parse_record(data[:at], what="the record")
    with pytest.raises(Damaged):
        parse_record(data + b"\n", what="the record")


@pytest.mark.parametrize("data", [b"", b"[]", b"1", b"null", b"{}", b'{"a": 1e999}', b'{"a": NaN}', b"\xff\xfe{\0}\0"])
def test_what_is_no_record_is_damaged_and_not_a_fault(data: bytes) -> None:
    with pytest.raises(Damaged):
        parse_record(data, what="r")


def journal(path: Path, count: int = 3) -> bytes:
    for number in range(count):
        append_journal(path, {"event": "x", "number": number, "text": "é\n"})
    return path.read_bytes()


@given(st.lists(records, max_size=4))
@settings(max_examples=40)
def test_a_journal_gives_back_every_event_in_order(events: list[dict[str, object]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "j.jsonl")
        for event in events:
            append_journal(path, event)
        back = read_journal(path)
    previous = FIRST
    for line, event in zip(back, events, strict=True):
        assert line["prev"] == previous
        previous = line["self_sha256"]
        assert {key: value for key, value in line.items() if key not in ("prev", "self_sha256")} == event


def test_every_changed_byte_of_a_journal_is_detected_and_its_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    data = journal(path)
    for at in range(len(data)):
        line = data[:at].count(b"\n") + 1
        for flip in FLIPS:
            wrong = bytearray(data)
            wrong[at] ^= flip
            path.write_bytes(wrong)
            with pytest.raises(Damaged, match=f"line {line},"):
                read_journal(path)


def test_a_lost_doubled_or_exchanged_line_of_a_journal_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    one, two, three = journal(path).splitlines(keepends=True)
    for lines, named in (([two, three], 1), ([one, three], 2), ([one, one, two, three], 2), ([one, three, two], 2)):
        path.write_bytes(b"".join(lines))
        with pytest.raises(Damaged, match=f"line {named},"):
            read_journal(path)
    path.write_bytes(one + b"\n" + two)
    with pytest.raises(Damaged, match="line 2,"):
        read_journal(path)


def test_of_a_cut_journal_only_the_unfinished_last_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    data = journal(path)
    events = read_journal(path)
    for at in range(len(data)):
        path.write_bytes(data[:at])
        assert read_journal(path) == events[: data[:at].count(b"\n")]


def test_an_unfinished_last_line_is_cut_off_before_the_next_event(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    data = journal(path, 2)
    first = data.index(b"\n") + 1
    for at in range(len(data)):
        path.write_bytes(data[:at])
        append_journal(path, {"event": "y"})
        kept = (at >= first) + (at >= len(data))
        assert [line["event"] for line in read_journal(path)] == [*["x"] * kept, "y"]


def test_an_event_is_not_added_behind_a_damaged_line(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    data = journal(path, 1)
    for at in range(len(data)):
        wrong = bytearray(data)
        wrong[at] ^= 0x04
        path.write_bytes(wrong)
        with pytest.raises(Damaged):
            append_journal(path, {"event": "y"})
        with pytest.raises(Damaged):
            check_end(path)
        assert path.read_bytes() == wrong


def test_the_last_line_is_found_however_long_it_is(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    for length in (10, 4096, 20_000, 1, 70_000, 3):
        append_journal(path, {"text": "x" * length})
    assert [len(line["text"]) for line in read_journal(path)] == [10, 4096, 20_000, 1, 70_000, 3]


def _append(path: Path, who: int) -> None:
    for number in range(20):
        with lock(path.with_suffix(".lock"), what="the journal"):
            append_journal(path, {"who": who, "number": number})


def test_processes_that_append_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append, args=(path, who)) for who in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    lines = read_journal(path)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    for who in range(3):
        assert [line["number"] for line in lines if line["who"] == who] == list(range(20))


def test_files_are_written_with_the_mode_that_is_asked_for(tmp_path: Path) -> None:
    write_table(tmp_path / "t", "t", COLUMNS, [], mode=0o604)
    write_record(tmp_path / "r", {"a": 1}, mode=0o604)
    append_journal(tmp_path / "j", {"a": 1}, mode=0o604)
    assert [oct((tmp_path / name).stat().st_mode & 0o7777) for name in "trj"] == ["0o604"] * 3
    assert read_table(tmp_path / "t", "t", COLUMNS) == []
    assert read_record(tmp_path / "r")["a"] == 1


def test_the_canonical_form_is_plain_json() -> None:
    assert canonical({"b": [1, None], "a": "é"}) == b'{"a":"\\u00e9","b":[1,null]}'
    assert json.loads(canonical({"x": "\udcff"})) == {"x": "\udcff"}

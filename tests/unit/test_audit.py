"""The audit log: who did what; any flipped byte is named."""

import json
import multiprocessing
import os
import pwd
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecogvault import audit
from ecogvault.config import check
from ecogvault.errors import Damaged
from ecogvault.private import Private, open_private
from ecogvault.records import append_journal, read_journal


@pytest.fixture
def private(tmp_path: Path) -> Private:
    nas = {"type": "folder", "zone": "inside", "form": "files", "path": str(tmp_path / "nas")}
    return open_private(check({"private": str(tmp_path / "private"), "destinations": {"nas": nas}}), create=True)


def test_a_line_says_who_where_when_what_to_whom_and_why(private: Private) -> None:
    assert audit.check(private) == []
    audit.record(private, "register", "a1234567", "new person")
    audit.record(private, "reveal")
    first, second = audit.check(private)
    assert first["who"] == pwd.getpwuid(os.getuid()).pw_name
    assert (first["verb"], first["code"], first["reason"]) == ("register", "a1234567", "new person")
    assert (second["verb"], second["code"], second["reason"]) == ("reveal", None, None)
    assert first["when"].endswith("Z")
    assert first["host"]
    assert second["prev"] == first["self_sha256"]
    assert audit.log_path(private).stat().st_mode & 0o777 == 0o600


def test_every_flipped_byte_is_detected(private: Private) -> None:
    for number in range(3):
        audit.record(private, "register", reason=str(number))
    path = audit.log_path(private)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        with pytest.raises(Damaged, match=r"audit\.jsonl, line [123]"):
            audit.check(private)


def test_a_line_that_is_taken_out_or_moved_is_detected(private: Private) -> None:
    for number in range(3):
        audit.record(private, "register", reason=str(number))
    path = audit.log_path(private)
    one, two, three = path.read_bytes().splitlines(keepends=True)
    for wrong in (two + three, one + three, one + three + two, one + one + two):
        path.write_bytes(wrong)
        with pytest.raises(Damaged, match="lost or out of place"):
            audit.check(private)


@pytest.mark.parametrize("kept", [0, 1, 50, -2, -1])
def test_a_line_that_a_crash_cut_short_is_passed_over_and_overwritten(private: Private, kept: int) -> None:
    audit.record(private, "register", reason="first")
    path = audit.log_path(private)
    first = path.read_bytes()
    audit.record(private, "register", reason="second")
    second = path.read_bytes()[len(first) :]
    path.write_bytes(first + second[:kept])
    assert [line["reason"] for line in audit.check(private)] == ["first"]
    audit.refuse_unless_writable(private)
    audit.record(private, "register", reason="third")
    assert [line["reason"] for line in audit.check(private)] == ["first", "third"]


def test_nothing_is_added_behind_a_damaged_end(private: Private) -> None:
    audit.record(private, "register")
    path = audit.log_path(private)
    damaged = path.read_bytes().replace(b"register", b"registeR")
    path.write_bytes(damaged)
    for refused in (audit.refuse_unless_writable, lambda one: audit.record(one, "register")):
        with pytest.raises(Damaged, match="its last line"):
            refused(private)
    assert path.read_bytes() == damaged


def test_a_first_line_that_continues_a_lost_one_is_not_continued(private: Private) -> None:
    audit.record(private, "register")
    audit.record(private, "register")
    path = audit.log_path(private)
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[1])
    with pytest.raises(Damaged, match="line 1"):
        audit.record(private, "register")


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=20) | st.just("x" * 9000), min_size=1, max_size=6),
    torn=st.integers(0, 60),
)
def test_what_is_appended_is_read_back_whatever_the_lengths(tmp_path: Path, texts: list[str], torn: int) -> None:
    path = tmp_path / "journal.jsonl"
    path.unlink(missing_ok=True)
    for text in texts:
        append_journal(path, {"text": text})
        with open(path, "ab") as stream:
            stream.write(b'{"host":"a torn line that was never acknowledged to anybody"'[:torn])
    assert [event["text"] for event in read_journal(path)] == texts


def test_appending_reads_the_last_line_only(private: Private) -> None:
    for _ in range(2):
        audit.record(private, "register")
    path = audit.log_path(private)
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + b"not read\n" * 10_000 + second)
    audit.record(private, "reveal")
    assert json.loads(path.read_bytes().splitlines()[-1])["prev"] == json.loads(second)["self_sha256"]
    with pytest.raises(Damaged, match="line 2,"):
        audit.check(private)


def _record_ten(private: Private, name: str) -> None:
    for _ in range(10):
        audit.record(private, "register", reason=name)


def test_processes_that_write_together_lose_no_line(private: Private) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_record_ten, args=(private, str(number))) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(line["reason"] for line in audit.check(private)) == sorted("0123" * 10)

"""Sessions by start time: numbers follow it, never change once accepted, and depend on nothing else."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecogvault.intake.find import Item, RawFile
from ecogvault.intake.headers import Timed
from ecogvault.intake.order import Row, propose, remarks
from ecogvault.naming import Unit

CODE = "df5c5206"
DAY = datetime(2021, 3, 2, tzinfo=UTC)


def timed(
    role: str, path: str, hours: float | None = None, length: float | None = None, *, size: int = 1, part: int = 1
) -> Timed:
    start = None if hours is None else DAY + timedelta(hours=hours)
    end = None if start is None or length is None else start + timedelta(hours=length)
    return Timed(Item(part, role, path, (RawFile(".", size, 0),)), start, end)


def numbers(rows: Sequence[Row]) -> dict[tuple[str, str], int]:
    return {(row.role, row.item): row.unit.number for row in rows}


def reasons(left: Sequence[object]) -> dict[str, str]:
    return {one.item.path: one.reason for one in left}  # type: ignore[attr-defined]


def test_numbers_follow_start_times_and_not_names() -> None:
    some = [timed("edf", "c.edf", 1, 1), timed("edf", "a.edf", 3, 1), timed("edf", "b.edf", 2, 1)]
    rows = propose(CODE, [], some).rows
    assert numbers(rows) == {("edf", "c.edf"): 1, ("edf", "b.edf"): 2, ("edf", "a.edf"): 3}
    assert str(rows[0].unit) == "df5c5206_1_edf"


def test_what_shares_a_stem_is_one_session_that_starts_with_its_recording() -> None:
    some = [
        timed("vid", "x/Quellmotz 2", 9),
        timed("edf", "QUELLMOTZ 2.edf", 1, 2),
        timed("snc", "t/quellmotz 2_snc.txt"),
        timed("vtc", "t/quellmotz 2.txt"),
        timed("bdf", "quellmotz 2.bdf", 5, 1),
        timed("vid", "alone", 3),
    ]
    rows = propose(CODE, [], some).rows
    assert [(str(row.unit), row.role, row.start) for row in rows] == [
        ("df5c5206_1_bdf", "bdf", DAY + timedelta(hours=1)),
        ("df5c5206_1_edf", "edf", DAY + timedelta(hours=1)),
        ("df5c5206_1_sync", "snc", DAY + timedelta(hours=1)),
        ("df5c5206_1_sync", "vtc", DAY + timedelta(hours=1)),
        ("df5c5206_1_vid", "vid", DAY + timedelta(hours=1)),
        ("df5c5206_2_vid", "vid", DAY + timedelta(hours=3)),
    ]


def test_a_raw_folder_that_is_a_session_folder_goes_by_its_own_name() -> None:
    some = [timed("vid", ".", 9), timed("edf", "Quellmotz 2.edf", 1, 2)]
    assert {row.unit.number for row in propose(CODE, [], some, {1: "quellmotz 2"}).rows} == {1}
    assert {row.unit.number for row in propose(CODE, [], some, {1: "export"}).rows} == {1, 2}
    accepted = propose(CODE, [], some[:1], {1: "quellmotz 2"}).rows
    assert propose(CODE, accepted, some, {1: "quellmotz 2"}).rows[0].unit.number == 1


def test_what_gets_no_number_is_left_with_its_reason() -> None:
    some = [
        timed("vid", "no headers"),
        timed("vtc", "lonely.txt"),
        timed("other", "a.pdf"),
        timed("link", "b"),
        timed("empty", "c"),
        timed("missing", ".", part=2),
    ]
    proposal = propose(CODE, [], some)
    assert proposal.rows == ()
    assert reasons(proposal.left) == {
        "no headers": "no start",
        "lonely.txt": "no session",
        "a.pdf": "no session",
        "b": "a link",
        "c": "empty",
        ".": "not there",
    }


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (timed("edf", "b/Q.edf", 1, 2, size=7), "copy"),
        (timed("edf", "b/q.EDF", 1, 2, size=7), "copy"),
        (timed("edf", "b/Q.edf", 1, 2, size=8), "conflict"),
        (timed("edf", "b/Q.edf", 2, 2, size=7), "conflict"),
        (timed("edf", "b/Q.edf", 1, 3, size=7), "conflict"),
    ],
)
def test_of_two_recordings_with_one_stem_the_second_is_a_copy_only_if_all_is_equal(second: Timed, reason: str) -> None:
    first = timed("edf", "a/Q.edf", 1, 2, size=7)
    proposal = propose(CODE, [], [second, first])
    assert numbers(proposal.rows) == {("edf", "a/Q.edf"): 1}
    assert reasons(proposal.left) == {second.item.path: reason}


@pytest.mark.parametrize(("hours", "size", "reason"), [(1, 7, "copy"), (1, 8, "conflict"), (2, 7, "conflict")])
def test_a_second_copy_of_an_accepted_recording_gets_no_number(hours: float, size: int, reason: str) -> None:
    first = timed("edf", "a/Q.edf", 1, 2, size=7)
    accepted = propose(CODE, [], [first]).rows
    again = [replace(first, start=None, end=None), timed("edf", "b/Q.edf", hours, 2, size=size)]
    proposal = propose(CODE, accepted, again)
    assert (proposal.rows, reasons(proposal.left)) == ((), {"b/Q.edf": reason})


def test_two_session_folders_of_one_name_are_copies_only_file_by_file() -> None:
    one = Timed(Item(1, "vid", "a/Q", (RawFile("x", 1, 0), RawFile("y", 2, 0))), DAY, None)
    same = Timed(Item(1, "vid", "b/Q", (RawFile("x", 1, 5), RawFile("y", 2, 5))), DAY, None)
    other = Timed(Item(1, "vid", "c/Q", (RawFile("x", 2, 0), RawFile("y", 1, 0))), DAY, None)
    assert reasons(propose(CODE, [], [one, same, other]).left) == {"b/Q": "copy", "c/Q": "conflict"}


def test_an_accepted_recording_that_was_moved_is_not_numbered_again() -> None:
    first = timed("edf", "a/Q.edf", 1, 2)
    accepted = propose(CODE, [], [first]).rows
    proposal = propose(CODE, accepted, [timed("edf", "b/Q.edf", 1, 2)])
    assert (proposal.rows, reasons(proposal.left)) == ((), {"b/Q.edf": "copy"})


def test_what_arrives_later_joins_its_session_or_gets_the_next_number() -> None:
    accepted = propose(CODE, [], [timed("edf", "b.edf", 5, 1)]).rows
    later = [timed("vid", "b", 6), timed("edf", "a.edf", 1, 1), timed("edf", "c.edf", 9, 1)]
    rows = propose(CODE, accepted, later).rows
    assert numbers(rows) == {("vid", "b"): 1, ("edf", "a.edf"): 2, ("edf", "c.edf"): 3}
    assert {row.item: row.out_of_order for row in rows} == {"b": False, "a.edf": True, "c.edf": False}
    assert next(row for row in rows if row.item == "b").start == DAY + timedelta(hours=5)


def test_sessions_with_one_start_are_numbered_by_path_and_say_so() -> None:
    some = [timed("edf", "b.edf", 1), timed("edf", "a.edf", 1), timed("edf", "a.edf", 1, part=2, size=1)]
    rows = propose(CODE, [], some[:2]).rows
    assert numbers(rows) == {("edf", "a.edf"): 1, ("edf", "b.edf"): 2}
    assert remarks(rows)[2] == ["no video", "same start as session 1"]


def row(number: int, role: str, hours: float, length: float | None, *, late: bool = False) -> Row:
    start = DAY + timedelta(hours=hours)
    end = None if length is None else start + timedelta(hours=length)
    return Row(Unit(CODE, number, "sync" if role == "snc" else role), role, 1, f"{number}.{role}", start, end, late)


def test_gaps_overlaps_ties_missing_partners_and_late_arrivals_are_remarked() -> None:
    rows = [
        *(row(1, "edf", 0, 10), row(1, "vid", 0, 10)),
        *(row(2, "edf", 5, None), row(2, "vid", 5, None)),
        *(row(3, "vid", 5, None),),
        *(row(4, "edf", 12.5, 1), row(4, "vid", 12.5, 1)),
        *(row(5, "edf", 14.5, 1, late=True),),
        *(row(6, "edf", 15.6, 1), row(6, "vid", 15.6, 1)),
    ]
    assert remarks(rows) == {
        1: [],
        2: ["overlaps session 1 by 5 h 00 min"],
        3: ["no EDF", "same start as session 2"],
        4: ["2 h 30 min after session 1 ended"],
        5: ["no video", "out of order"],
        6: [],
    }


# --- properties -------------------------------------------------------------------------------------------------------

hours = st.none() | st.integers(0, 6)


@st.composite
def items(draw: st.DrawFn) -> Timed:
    role = draw(st.sampled_from(["edf", "bdf", "vid", "vid", "snc", "vtc", "empty", "other", "link"]))
    folder = draw(st.sampled_from(["", "x/", "y/"]))
    name = draw(st.sampled_from("abcdef"))
    suffix = {"vid": "", "snc": "_snc.txt", "vtc": ".txt"}.get(role, f".{role}")
    start = draw(hours) if role in ("edf", "bdf", "vid") else None
    if role in ("edf", "bdf") and start is None:
        start = 0
    return timed(role, folder + name + suffix, start, 1, size=draw(st.integers(1, 2)))


exports = st.lists(items(), max_size=10, unique_by=lambda one: one.item.path)


@given(exports, st.randoms())
def test_the_order_in_which_items_are_found_changes_nothing(some: list[Timed], random) -> None:
    shuffled = list(some)
    random.shuffle(shuffled)
    assert propose(CODE, [], shuffled) == propose(CODE, [], some)


@given(exports)
def test_every_item_is_in_one_row_or_left_with_a_reason(some: list[Timed]) -> None:
    proposal = propose(CODE, [], some)
    placed = [(row.item, row.role) for row in proposal.rows] + [(one.item.path, one.item.role) for one in proposal.left]
    assert sorted(placed) == sorted((one.item.path, one.item.role) for one in some)
    assert len({(row.unit, row.role) for row in proposal.rows}) == len(proposal.rows)


@given(exports)
def test_numbers_count_from_one_in_the_order_of_starts(some: list[Timed]) -> None:
    starts = {row.unit.number: row.start for row in propose(CODE, [], some).rows}
    assert sorted(starts) == list(range(1, len(starts) + 1))
    assert [starts[number] for number in sorted(starts)] == sorted(starts.values())


@settings(max_examples=150)
@given(exports, st.integers(0, 10), st.integers(0, 10))
def test_accepted_numbers_never_change_whatever_arrives_or_goes(some: list[Timed], first: int, second: int) -> None:
    cuts = sorted((first, second))
    accepted: tuple[Row, ...] = ()
    for until in (*cuts, len(some)):
        here = [some[index] for index in range(min(until, len(some)))]
        before = numbers(accepted)
        proposal = propose(CODE, accepted, here)
        highest = max((row.unit.number for row in accepted), default=0)
        sessions = {row.unit.number: (row.stem, row.start) for row in accepted}
        for new in proposal.rows:
            assert (new.role, new.item) not in before
            if new.unit.number <= highest:
                assert sessions[new.unit.number] == (new.stem, new.start)
        fresh = sorted({row.unit.number for row in proposal.rows if row.unit.number > highest})
        assert fresh == list(range(highest + 1, highest + 1 + len(fresh)))
        accepted = (*accepted, *proposal.rows)
        assert len({(row.unit, row.role) for row in accepted}) == len(accepted)
        assert propose(CODE, accepted, here).rows == ()
    assert propose(CODE, accepted, []).rows == ()

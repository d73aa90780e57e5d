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


def text(path: str, hours: float | None, role: str = "vtc", *, size: int = 1) -> Timed:
    return timed(role, path, hours, size=size)


SESSIONS = (timed("edf", "Q.edf", 1, 1), timed("edf", "R.edf", 5, 1), timed("edf", "S.edf", 5.1, 1))


@pytest.mark.parametrize(
    ("texts", "placed", "left"),
    [
        # whatever it is called, its first row tells
        ([text("x/R.txt", 1 + 1 / 6)], {"x/R.txt": 1}, {}),
        ([text("monday.txt", 1 - 1 / 6), text("monday_snc.txt", 1, "snc")], {"monday.txt": 1, "monday_snc.txt": 1}, {}),
        ([text("Q.txt", 1.17)], {}, {"Q.txt": "no session"}),
        ([text("Q.txt", 0.83)], {}, {"Q.txt": "no session"}),
        # two sessions are near: only its name can tell
        ([text("x.txt", 5.05)], {}, {"x.txt": "two sessions"}),
        ([text("S_vtc.txt", 5.01)], {"S_vtc.txt": 3}, {}),
        # two texts for one session
        ([text("a.txt", 1), text("b.txt", 1)], {"a.txt": 1}, {"b.txt": "copy"}),
        ([text("a.txt", 1), text("b.txt", 1, size=2)], {}, {"a.txt": "two texts", "b.txt": "two texts"}),
        ([text("a.txt", 1), text("q.txt", 1.01)], {"q.txt": 1}, {"a.txt": "second text"}),
        # no time at all
        ([text("q.txt", None), text("t.txt", None)], {"q.txt": 1}, {"t.txt": "no session"}),
    ],
)
def test_a_text_belongs_to_the_one_session_that_starts_when_it_does(
    texts: list[Timed], placed: dict[str, int], left: dict[str, str]
) -> None:
    proposal = propose(CODE, [], [*SESSIONS, *texts])
    assert {row.item: row.unit.number for row in proposal.rows if row.unit.kind == "sync"} == placed
    assert reasons(proposal.left) == left
    # The same when the sessions were accepted before, and their raw files are gone.
    accepted = propose(CODE, [], SESSIONS).rows
    later = propose(CODE, accepted, texts)
    assert {row.item: row.unit.number for row in later.rows} == placed
    assert reasons(later.left) == left
    assert all(row.start == accepted[row.unit.number - 1].start for row in later.rows)


def test_the_window_is_as_wide_as_the_lab_says() -> None:
    some = [SESSIONS[0], text("x.txt", 1.5)]
    assert reasons(propose(CODE, [], some).left) == {"x.txt": "no session"}
    assert propose(CODE, [], some, window=timedelta(minutes=30)).left == ()


def test_a_session_that_has_its_text_takes_no_second_one() -> None:
    accepted = propose(CODE, [], [*SESSIONS, text("a.txt", 1)]).rows
    assert reasons(propose(CODE, accepted, [text("b.txt", 1)]).left) == {"b.txt": "second text"}


def folder(path: str, hours: float, *tables: str, note: str = "") -> list[Timed]:
    made = [timed(role, f"{path}/any.{role}") for role in tables]
    if note:
        made.append(Timed(Item(1, "unread", f"{path}/any.snc", (RawFile(".", 1, 0),), note), None, None))
    return [timed("vid", path, hours), *made]


def test_where_there_is_no_text_a_session_folder_s_own_table_is_taken() -> None:
    some = [*folder("Q", 1, "snc", "vtc"), *folder("R", 3, "snc", "vtc"), text("monday.txt", 1)]
    rows = [row for row in propose(CODE, [], some).rows if row.unit.kind == "sync"]
    assert [(row.unit.number, row.role, row.item) for row in rows] == [
        (1, "snc", "Q/any.snc"),
        (1, "vtc", "monday.txt"),
        (2, "snc", "R/any.snc"),
        (2, "vtc", "R/any.vtc"),
    ]
    said = remarks(propose(CODE, [], some).rows)
    assert "snc made from the session folder's own" in said[1]
    assert "snc and vtc made from the session folder's own" in said[2]


def test_tables_of_sessions_that_were_accepted_without_texts_are_proposed_and_then_kept() -> None:
    accepted = propose(CODE, [], folder("a/Q", 1)).rows
    later = [*folder("a/Q", 1, "vtc"), *folder("b/Q", 1, "vtc")]
    proposal = propose(CODE, accepted, later)
    assert [(row.unit.number, row.item) for row in proposal.rows] == [(1, "a/Q/any.vtc")]
    assert reasons(proposal.left) == {"b/Q": "copy"}
    again = propose(CODE, [*accepted, *proposal.rows], [*later, text("late.txt", 1)])
    assert (again.rows, reasons(again.left)) == ((), {"b/Q": "copy", "late.txt": "second text"})


def test_while_two_texts_contend_no_table_is_taken_in_their_place() -> None:
    some = [*folder("Q", 1, "vtc"), text("a.txt", 1), text("b.txt", 1, size=2)]
    assert {row.role for row in propose(CODE, [], some).rows} == {"vid"}


def test_a_table_that_is_not_known_is_named_unless_a_text_stands_for_it() -> None:
    some = folder("Q", 1, note="unknown: schema 3 of .snc")
    assert reasons(propose(CODE, [], some).left) == {"Q/any.snc": "unknown: schema 3 of .snc"}
    assert propose(CODE, [], [*some, text("x.txt", 1, "snc")]).left == ()


def test_a_raw_folder_that_is_a_session_folder_has_its_tables_too() -> None:
    some = [timed("vid", ".", 9), timed("snc", "any.snc"), timed("edf", "Quellmotz 2.edf", 9, 2)]
    assert {row.unit.number for row in propose(CODE, [], some, {1: "quellmotz 2"}).rows} == {1}


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


def test_a_copy_of_a_recording_whose_hour_natus_told_is_still_a_copy() -> None:
    later = DAY + timedelta(hours=2)
    first = replace(timed("edf", "a/Q.edf", 1, 2), other=later)
    accepted = propose(CODE, [], [first, timed("vid", "Q", 2)]).rows
    assert {(row.start, row.end) for row in accepted} == {(later, DAY + timedelta(hours=4))}
    proposal = propose(CODE, accepted, [replace(first, item=Item(1, "edf", "b/Q.edf", first.item.files))])
    assert (proposal.rows, reasons(proposal.left)) == ((), {"b/Q.edf": "copy"})


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

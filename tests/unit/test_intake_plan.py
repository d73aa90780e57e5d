"""Raw folders become a frozen plan: fingerprints, acceptance, slips, and clear words for bad exports. Names made up."""

import json
import multiprocessing
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Barrier
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from edf_builder import recording
from hypothesis import given, settings
from hypothesis import strategies as st
from intake_lab import NAME, OTHER, PERSON, Lab, edf_bytes

from ecogvault import intake, registry
from ecogvault.edf import BadRecording
from ecogvault.errors import Damaged, EcogvaultError
from ecogvault.intake import IntakeError, decide_match
from ecogvault.intake.assignment import note_manifest, read_sessions, read_units, write_sessions
from ecogvault.intake.find import RawFile, find
from ecogvault.intake.headers import timed
from ecogvault.intake.order import Row
from ecogvault.intake.plan import OrderChanged, accept, fingerprint
from ecogvault.intake.slip import RawChanged, read_names, read_slip
from ecogvault.naming import Unit
from ecogvault.private import Private


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


# --- what is proposed, and what stops a subject -----------------------------------------------------------------------


def test_nothing_is_numbered_before_a_person_accepts(lab: Lab) -> None:
    lab.edf("Quellmotz 1.edf")
    lab.session("Quellmotz 1")
    plan = lab.look()
    assert (dict(plan.units), plan.new, plan.waiting, plan.problem) == ({}, (), 2, None)
    assert not lab.paths.sessions(lab.code).exists()
    lab.accept()
    assert set(lab.look().units) == {lab.unit(1, "edf"), lab.unit(1, "vid")}
    assert lab.subject.status == "open"


def test_looking_writes_nothing(tmp_path: Path) -> None:
    lab = Lab(tmp_path, accept="auto", settle_minutes=0)
    lab.edf("a.edf")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert len(lab.look().new) == 1
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_auto_accepts_only_what_has_settled(tmp_path: Path) -> None:
    lab = Lab(tmp_path, accept="auto", settle_minutes=10)
    path = lab.edf("a.edf")
    assert (lab.look().waiting, lab.look().new) == (1, ())
    long_ago = path.stat().st_mtime - 601
    os.utime(path, (long_ago, long_ago))
    plan = lab.look()
    assert (plan.waiting, len(plan.new), len(plan.units)) == (0, 1, 1)
    intake.freeze(lab.config, lab.private, [plan])
    assert lab.look().new == ()
    assert {one.code: dict(one.units) for one in intake.recorded(lab.config, lab.private)} == {
        lab.code: dict(plan.units)
    }


def test_no_time_to_settle_means_none_even_for_files_of_tomorrow(tmp_path: Path) -> None:
    lab = Lab(tmp_path, accept="auto", settle_minutes=0)
    path = lab.edf("a.edf")
    tomorrow = path.stat().st_mtime + 86_400
    os.utime(path, (tomorrow, tomorrow))
    assert len(lab.look().new) == 1


def bad(change: Callable[[Lab], object], *words: str) -> tuple[Callable[[Lab], object], tuple[str, ...]]:
    return change, words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        bad(lambda lab: lab.edf("x/Quellmotz.edf").write_bytes(edf_bytes()[:-300]), "truncated"),
        bad(lambda lab: lab.edf("x/Quellmotz.edf").write_bytes(b""), "copy it from the hospital again"),
        bad(lambda lab: lab.edf("x/Quellmotz.edf", startdate_year="no"), "start date"),
        bad(lambda lab: (lab.raw / "Quellmotz 9").mkdir(), "is empty", "--exclude"),
        bad(lambda lab: lab.edf("Q.edf", patient="77 M X Trellwick_Hask"), "names another person", "--exclude"),
        bad(lambda lab: lab.session("Quellmotz 9", person=OTHER), "names another person", "--exclude"),
        bad(lambda lab: (lab.session("Quellmotz 9") / "Mirx_0001.avi").write_bytes(b"x"), "would get one coded name"),
        bad(lambda lab: (lab.edf("a/Q.edf"), lab.edf("b/Q.edf", "18.00.00")), "same stem", "--exclude"),
        bad(lambda lab: lab.raw.rename(lab.raw.parent / "away"), "is not there"),
    ],
)
def test_a_bad_export_stops_its_subject_with_a_clear_message_and_no_name(
    lab: Lab, change: Callable[[Lab], object], words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def edf(name: str, start: str = "17.05.11", *, startdate_year: str = "", **more: str) -> Path:
        path = Lab.edf(lab, name, start, **more)
        if startdate_year:
            path.write_bytes(recording(startdate="99.99.99", recording="X", patient="X X X X"))
        return path

    monkeypatch.setattr(lab, "edf", edf)
    change(lab)
    problem = lab.look().problem
    assert problem is not None
    assert all(word in problem for word in words), problem
    assert lab.code in problem
    assert "\n" not in problem
    assert not NAME.search(problem)


def test_what_is_excluded_by_its_private_id_stops_nobody(lab: Lab) -> None:
    lab.edf("a.edf")
    foreign = lab.session("Trellwick 9", person=OTHER)
    problem = lab.look().problem
    assert problem is not None
    assert lab.id(foreign) in problem
    registry.exclude(lab.private, lab.code, 1, [lab.id(foreign)])
    assert (lab.look().problem, lab.look().waiting) == (None, 1)


def test_one_stopped_subject_leaves_the_others_alone(lab: Lab, tmp_path: Path) -> None:
    lab.edf("a.edf").write_bytes(b"no recording")
    raw = tmp_path / "other"
    raw.mkdir()
    (raw / "b.edf").write_bytes(edf_bytes(patient="X X X X"))
    registry.register(lab.private, OTHER, raw, None, decide_match=lambda *_: registry.EVERYTHING)
    first, second = intake.look(lab.config, lab.private)
    assert first.problem is not None
    assert (second.problem, second.waiting) == (None, 1)


def test_closed_and_erased_subjects_cost_nothing(lab: Lab) -> None:
    lab.edf("a.edf").write_bytes(b"no recording")
    for status in ("closed", "erased"):
        registry.set_status(lab.private, lab.code, status)
        assert intake.look(lab.config, lab.private) == []
        assert intake.recorded(lab.config, lab.private) == []


def test_an_unreadable_folder_is_named_by_private_id_alone(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lab.edf("Quellmotz/a.edf").parent
    listed = os.scandir

    def refusing(where: object) -> object:
        if str(where) == str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(where)

    monkeypatch.setattr(os, "scandir", refusing)
    problem = lab.look().problem
    assert problem == (
        f"{lab.id(path)} in the raw export of {lab.code}: Permission denied: make it readable, then run again"
    )


def test_loose_files_links_and_parts_that_are_not_there_are_said_to_get_no_number(lab: Lab, tmp_path: Path) -> None:
    lab.edf("a.edf")
    lab.accept()
    (lab.raw / "report.pdf").write_bytes(b"x")
    (lab.raw / "link.edf").symlink_to(lab.raw / "a.edf")
    second = tmp_path / "second"
    second.mkdir()
    registry.register(lab.private, PERSON, second, None, decide_match=lambda *_: registry.EVERYTHING)
    second.rmdir()
    plan = lab.look()
    assert plan.problem is None
    assert {(one.item.role, one.reason) for one in plan.left} == {
        ("other", "no session"),
        ("link", "a link"),
        ("missing", "not there"),
    }
    assert len(plan.units) == 1


# --- matching ---------------------------------------------------------------------------------------------------------


def test_everything_is_the_persons_if_all_headers_name_them_or_nobody(lab: Lab) -> None:
    lab.edf("a.edf")
    lab.edf("b.edf", patient="X X X X")
    lab.session("s")
    assert decide_match(lab.raw, PERSON) == registry.EVERYTHING
    lab.session("t", person=OTHER)
    assert decide_match(lab.raw, PERSON) == registry.SURNAME
    assert decide_match(lab.raw, OTHER) == registry.SURNAME


def test_a_half_copied_recording_leaves_the_match_for_later(lab: Lab) -> None:
    lab.edf("a.edf")
    half = lab.edf("b.edf")
    for length in (0, 8, 255, 300):
        half.write_bytes(edf_bytes()[:length])
        assert decide_match(lab.raw, PERSON) == registry.AUTO
    lab.edf("c.edf", patient="77 M X Trellwick_Hask")
    assert decide_match(lab.raw, PERSON) == registry.SURNAME


def test_a_folder_without_anything_telling_leaves_the_match_for_later(lab: Lab) -> None:
    assert decide_match(lab.raw, PERSON) == registry.AUTO
    (lab.raw / "readme.pdf").write_bytes(b"x")
    (lab.raw / "empty").mkdir()
    assert decide_match(lab.raw, PERSON) == registry.AUTO


def test_an_undecided_match_is_decided_when_the_export_is_there(tmp_path: Path, lab: Lab) -> None:
    raw = tmp_path / "later"
    raw.mkdir()
    code = registry.register(lab.private, OTHER, raw, None, decide_match=decide_match)
    subject = registry.subject(lab.private, code)
    assert intake.survey(lab.config, lab.private, subject).proposed == ()
    (raw / "a.edf").write_bytes(edf_bytes(patient="X X X X"))
    (raw / "b.edf").write_bytes(edf_bytes()[:100])
    with pytest.raises(BadRecording, match=lab.id(raw / "b.edf")):
        intake.survey(lab.config, lab.private, subject)
    (raw / "b.edf").unlink()
    assert len(intake.survey(lab.config, lab.private, subject).proposed) == 1


# --- times ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "clock", "utc"),
    [
        ("02.03.21", "17.05.11", datetime(2021, 3, 3, 1, 5, 11, tzinfo=UTC)),
        ("14.03.21", "02.30.00", datetime(2021, 3, 14, 10, 30, tzinfo=UTC)),  # clocks skip this half hour
        ("07.11.21", "01.30.00", datetime(2021, 11, 7, 8, 30, tzinfo=UTC)),  # clocks repeat it: the first is meant
        ("07.11.21", "02.30.00", datetime(2021, 11, 7, 10, 30, tzinfo=UTC)),
    ],
)
def test_local_times_become_utc_whatever_the_clocks_do(lab: Lab, day: str, clock: str, utc: datetime) -> None:
    lab.edf("a.edf").write_bytes(recording(startdate=day, starttime=clock, recording="X X X X"))
    (item,) = find(lab.raw, 1)
    found = timed(lab.raw, item, ZoneInfo("America/Los_Angeles"), "it")
    assert found.start == utc
    assert found.end == utc + timedelta(seconds=3)


@pytest.mark.parametrize("more", [{"recording": "Startdate 31-DEC-9999", "startdate": "31.12.99"}, {"seconds": "9e99"}])
def test_a_time_beyond_all_calendars_is_bad_and_no_fault(lab: Lab, more: dict[str, str]) -> None:
    lab.edf("a.edf").write_bytes(recording(patient="X", **{"starttime": "23.59.59", **more}))
    problem = lab.look().problem
    assert problem is not None
    assert lab.id(lab.raw / "a.edf") in problem


# --- fingerprints -----------------------------------------------------------------------------------------------------


def test_a_fingerprint_changes_with_any_size_time_or_name_and_comes_back_with_them(lab: Lab) -> None:
    folder = lab.session("s", clips=3)
    lab.edf("s.edf")
    first = lab.frozen()
    vid, edf = lab.unit(1, "vid"), lab.unit(1, "edf")
    clip = folder / "s_0001.avi"
    status = clip.stat()

    def again() -> dict[Unit, str]:
        return dict(lab.look().units)

    assert again() == first
    os.utime(clip, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert again()[vid] != first[vid]
    assert again()[edf] == first[edf]
    os.utime(clip, ns=(0, status.st_mtime_ns))
    clip.chmod(0o600)
    assert again() == first
    clip.write_bytes(b"RIFF+")
    os.utime(clip, ns=(0, status.st_mtime_ns))
    assert again()[vid] != first[vid]
    clip.write_bytes(b"FFIR")
    os.utime(clip, ns=(0, status.st_mtime_ns))
    assert again() == first
    clip.rename(folder / "s_0009.avi")
    assert again()[vid] != first[vid]
    (folder / "s_0009.avi").rename(clip)
    assert again() == first
    (folder / "more.doc").write_bytes(b"")
    assert again()[vid] != first[vid]


facts = st.lists(
    st.tuples(
        st.sampled_from(["snc", "vtc", "vid"]),
        st.lists(st.builds(RawFile, st.text(max_size=3), st.integers(0, 9), st.integers(0, 9)), max_size=3).map(tuple),
    ),
    max_size=3,
)


@settings(max_examples=60)
@given(one=facts, other=facts)
def test_equal_fingerprints_are_equal_facts(one: list, other: list, tmp_path_factory: pytest.TempPathFactory) -> None:
    private = Private(tmp_path_factory.getbasetemp())
    (private.root / "hash.key").write_bytes(bytes(32))
    same = sorted(one) == sorted(other)
    assert (fingerprint(private, one) == fingerprint(private, other)) == same
    assert re.fullmatch("[0-9a-f]{12}", fingerprint(private, one))


def test_raw_files_that_are_gone_keep_the_recorded_fingerprint(lab: Lab) -> None:
    folder = lab.session("s")
    path = lab.edf("a.edf")
    first = lab.frozen()
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    path.unlink()
    assert dict(lab.look().units) == first
    lab.raw.rename(lab.raw.parent / "away")
    assert dict(lab.look().units) == first


def test_a_session_folder_that_was_emptied_is_no_new_content(lab: Lab) -> None:
    folder = lab.session("s")
    first = lab.frozen()
    for file in folder.iterdir():
        file.unlink()
    problem = lab.look().problem
    assert problem is not None
    assert "is empty" in problem
    registry.exclude(lab.private, lab.code, 1, [lab.id(folder)])
    assert dict(lab.look().units) == first


def test_an_accepted_session_that_is_gone_before_its_first_run_is_not_lost_in_silence(lab: Lab) -> None:
    path = lab.edf("a.edf")
    lab.accept()
    path.unlink()
    plan = lab.look()
    assert set(plan.units) == {lab.unit(1, "edf")}
    with pytest.raises(RawChanged, match="are not there"):
        lab.slip(lab.unit(1, "edf"), plan.units[lab.unit(1, "edf")])
    lab.edf("a.edf")
    assert lab.look().units != plan.units


# --- freezing ---------------------------------------------------------------------------------------------------------


def test_what_was_accepted_is_written_and_read_without_loss(lab: Lab) -> None:
    start = datetime(2021, 3, 2, 1, 2, 3, 456_789, tzinfo=UTC)
    rows = [
        Row(lab.unit(1, "edf"), "edf", 1, os.fsdecode(b"Quellm\xf6tz\t\n.edf"), start, None, True, "now"),
        Row(lab.unit(10, "vid"), "vid", 2, ".", start, start + timedelta(microseconds=1), False, "now"),
        Row(lab.unit(2, "sync"), "snc", 1, "a/b", start, None),
    ]
    lab.private.folder(lab.code)
    write_sessions(lab.private, lab.paths, lab.code, rows)
    assert read_sessions(lab.paths, lab.code) == sorted(rows, key=lambda row: row.unit)


def test_a_second_acceptance_of_the_same_order_is_refused_and_changes_nothing(lab: Lab) -> None:
    lab.edf("a.edf")
    stale = intake.survey(lab.config, lab.private, lab.subject).proposed
    lab.edf("0.edf", "01.00.00")
    lab.accept()
    before = lab.paths.sessions(lab.code).read_bytes()
    with pytest.raises(OrderChanged, match=lab.code):
        accept(lab.private, lab.paths, lab.code, stale)
    assert lab.paths.sessions(lab.code).read_bytes() == before


def test_rows_for_a_number_that_another_session_got_are_refused(lab: Lab) -> None:
    start = datetime(2021, 3, 2, tzinfo=UTC)
    lab.private.folder(lab.code)
    accept(lab.private, lab.paths, lab.code, [Row(lab.unit(1, "edf"), "edf", 1, "a.edf", start, None)])
    for other in (
        Row(lab.unit(1, "vid"), "vid", 1, "b", start + timedelta(hours=1), None),
        Row(lab.unit(3, "vid"), "vid", 1, "b", start + timedelta(hours=1), None),
        Row(lab.unit(2, "edf"), "edf", 1, "a.edf", start, None),
    ):
        with pytest.raises(OrderChanged):
            accept(lab.private, lab.paths, lab.code, [other])
    accept(lab.private, lab.paths, lab.code, [Row(lab.unit(1, "vid"), "vid", 1, "a", start, None)])
    assert len(read_sessions(lab.paths, lab.code)) == 2


def _accept(lab: Lab, rows: tuple[Row, ...], together: Barrier) -> None:
    together.wait()
    try:
        accept(lab.private, lab.paths, lab.code, rows)
    except OrderChanged:
        os._exit(7)
    os._exit(0)


def test_of_two_processes_that_accept_at_once_one_wins_and_nothing_is_lost(lab: Lab) -> None:
    lab.edf("a.edf")
    first = intake.survey(lab.config, lab.private, lab.subject).proposed
    lab.edf("0.edf", "01.00.00")
    second = intake.survey(lab.config, lab.private, lab.subject).proposed
    context = multiprocessing.get_context("fork")
    together = context.Barrier(2)
    racers = [context.Process(target=_accept, args=(lab, rows, together)) for rows in (first, second)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sorted(racer.exitcode or 0 for racer in racers) == [0, 7]
    winner = first if racers[0].exitcode == 0 else second
    rows = read_sessions(lab.paths, lab.code)
    assert [(row.unit, row.item) for row in rows] == [(row.unit, row.item) for row in winner]
    assert lab.subject.status == "open"
    assert set(lab.look().units) == {row.unit for row in rows}


def test_accepting_opens_nobody_who_was_erased(lab: Lab) -> None:
    lab.edf("a.edf")
    registry.set_status(lab.private, lab.code, "erased")
    lab.accept()
    assert lab.subject.status == "erased"


def test_generations_count_contents(lab: Lab) -> None:
    lab.edf("a.edf")
    lab.frozen()
    unit = lab.unit(1, "edf")
    wanted = ["1" * 64, "1" * 64, "2" * 64, "1" * 64]
    assert [note_manifest(lab.private, lab.paths, unit, digest) for digest in wanted] == [1, 1, 2, 3]
    fingerprint_before = read_units(lab.paths, lab.code)[unit].fingerprint
    lab.frozen()
    state = read_units(lab.paths, lab.code)[unit]
    assert (state.fingerprint, state.generation, state.manifest_sha256) == (fingerprint_before, 3, "1" * 64)


def test_a_generation_that_was_sent_while_private_was_newer_is_not_given_to_other_content(lab: Lab) -> None:
    """After private/ came back from an older copy: the ledgers know of more than it does."""
    unit = Unit(lab.code, 1, "vid")
    lab.frozen()
    assert note_manifest(lab.private, lab.paths, unit, "aa" * 32) == 1
    assert note_manifest(lab.private, lab.paths, unit, "bb" * 32, archived={4: "bb" * 32}) == 4
    assert note_manifest(lab.private, lab.paths, unit, "cc" * 32, archived={6: "dd" * 32}) == 7
    assert note_manifest(lab.private, lab.paths, unit, "ee" * 32, archived={6: "dd" * 32}) == 8
    assert note_manifest(lab.private, lab.paths, unit, "ee" * 32, archived={9: "dd" * 32}) == 10
    assert note_manifest(lab.private, lab.paths, unit, "ee" * 32, archived={10: "ee" * 32}) == 10


def test_every_changed_byte_of_the_assignment_is_named(lab: Lab) -> None:
    lab.edf("a.edf")
    lab.frozen()
    for path in (lab.paths.sessions(lab.code), lab.paths.units(lab.code)):
        data = path.read_bytes()
        for at in range(0, len(data), 7):
            path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
            problem = lab.look().problem
            assert problem is not None
            assert path.name in problem
        path.write_bytes(data)


# --- slips ------------------------------------------------------------------------------------------------------------


def test_a_slip_says_what_the_unit_is_without_a_raw_name(lab: Lab) -> None:
    folder = lab.session("Quellmotz Mirx 1")
    (folder / "Quellmotz report.doc").write_bytes(b"12345")
    units = lab.frozen()
    unit = lab.unit(1, "vid")
    slip = lab.slip(unit, units[unit])
    text = slip.read_text()
    assert not NAME.search(text)
    assert json.loads(text)["start"] == "2002-03-02T20:00:00Z"
    session = unit.session
    assert {file["path"]: file["size"] for file in read_slip(slip)["files"]} == {
        f"vid/{session}/{session}.eeg": 352,
        f"vid/{session}/{session}_0000.avi": 4,
        f"vid/{session}/{session}_0001.avi": 4,
        f"vid/{session}/{session}_x001.doc": 5,
    }
    assert {name.raw for name in read_names(lab.paths, unit)} == {
        f"Quellmotz Mirx 1/{name}"
        for name in (
            "Quellmotz Mirx 1.eeg",
            "Quellmotz Mirx 1_0000.avi",
            "Quellmotz Mirx 1_0001.avi",
            "Quellmotz report.doc",
        )
    }
    assert lab.paths.names(unit).stat().st_mode & 0o777 == 0o600


def test_a_new_slip_takes_away_the_units_older_ones_and_no_other(lab: Lab) -> None:
    folder = lab.session("s")
    lab.edf("s.edf")
    units = lab.frozen()
    slips = {unit: lab.slip(unit, value) for unit, value in units.items()}
    stranger = lab.paths.slip(lab.unit(11, "vid"), "0" * 12)
    stranger.write_text("{}")
    (folder / "z.doc").write_bytes(b"new")
    vid, edf = lab.unit(1, "vid"), lab.unit(1, "edf")
    new = lab.slip(vid, lab.frozen()[vid])
    assert new != slips[vid]
    assert sorted(lab.paths.slips(lab.code).iterdir()) == sorted([new, slips[edf], stranger])


def test_numbers_of_odd_files_stay_when_a_file_comes_before_them(lab: Lab) -> None:
    folder = lab.session("s", clips=0)
    (folder / "b.doc").write_bytes(b"b")
    unit = lab.unit(1, "vid")
    lab.slip(unit, lab.frozen()[unit])
    (folder / "a.doc").write_bytes(b"a")
    lab.slip(unit, lab.frozen()[unit])
    coded = {name.raw: name.coded for name in read_names(lab.paths, unit)}
    assert coded["s/b.doc"].endswith("_x001.doc")
    assert coded["s/a.doc"].endswith("_x002.doc")


def test_a_slip_is_refused_when_the_raw_files_changed_after_planning(lab: Lab) -> None:
    path = lab.edf("a.edf")
    unit = lab.unit(1, "edf")
    planned = lab.frozen()[unit]
    os.utime(path, ns=(0, 1))
    with pytest.raises(RawChanged, match=str(unit)):
        lab.slip(unit, planned)
    assert list(lab.paths.slips(lab.code).iterdir()) == []
    assert read_names(lab.paths, unit) == []


def test_a_collision_after_acceptance_is_told_by_private_ids(lab: Lab) -> None:
    folder = lab.session("Quellmotz")
    unit = lab.unit(1, "vid")
    lab.frozen()
    (folder / "Mirx_0001.avi").write_bytes(b"x")
    with pytest.raises(IntakeError) as caught:
        lab.slip(unit, lab.look().units[unit])
    assert lab.id(folder / "Mirx_0001.avi") in str(caught.value)
    assert lab.id(folder / "Quellmotz_0001.avi") in str(caught.value)
    assert not NAME.search(str(caught.value))


def test_a_unit_that_nobody_accepted_has_no_slip(lab: Lab) -> None:
    with pytest.raises(Damaged, match="sessions.tsv"):
        lab.slip(lab.unit(1, "edf"), "0" * 12)


def test_everything_refused_here_is_an_error_of_ours() -> None:
    assert all(issubclass(one, EcogvaultError) for one in (IntakeError, RawChanged, OrderChanged, BadRecording))

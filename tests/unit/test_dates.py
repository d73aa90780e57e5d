"""Dates that are shifted are shifted everywhere alike, and the true ones stay in private/. All names made up."""

import io
import os
import re
import subprocess
import tarfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from archive_lab import ArchiveLab
from edf_builder import recording
from hypothesis import given
from hypothesis import strategies as st
from intake_lab import CREATED, Lab
from test_deidentify import make
from test_reidentify import full_lab

from ecogvault import registry, workflow
from ecogvault.config import check
from ecogvault.edf import read_header, start_of_recording
from ecogvault.errors import EcogvaultError
from ecogvault.intake.assignment import read_sessions, read_units
from ecogvault.intake.settings import DEFAULTS, Settings, made_with
from ecogvault.intake.slip import read_slip
from ecogvault.manifest import Manifest
from ecogvault.place import CannotPlace
from ecogvault.registry.shift import LONGEST, SHORTEST
from ecogvault.sandbox.made_natus import filetime
from ecogvault.workflow.told import announce
from lab_reader import lab_reads_snc, lab_reads_vtc

ZONE = ZoneInfo("America/Los_Angeles")


def shifted_day(lab: Lab, day: date) -> date:
    return day + timedelta(days=registry.shift_days(lab.private, lab.subject))


def reconfigure(lab: Lab, **more: object) -> None:
    lab.config = check({**lab.config.values, **more})


def remake(lab: Lab) -> dict[str, int]:
    """Make every unit as a run would; its generation."""
    units = lab.frozen()
    for unit in units:
        make(lab, unit)
    return {unit.kind + str(unit.number): state.generation for unit, state in read_units(lab.paths, lab.code).items()}


def true_dates(day: date) -> re.Pattern[str]:
    """Every form in which a date stands in what this program writes, and a few more."""
    forms = ["%Y-%m-%d", "%d.%m.%y", "%d-%b-%Y", "%d/%m/%Y", "%Y%m%d", "%m/%d/%Y"]
    return re.compile("|".join(re.escape(day.strftime(form)) for form in forms), re.IGNORECASE)


# --- the number of days -----------------------------------------------------------------------------------------------


def test_everybody_has_a_number_of_days_that_is_secret_and_stays(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    assert SHORTEST <= -registry.shift_days(lab.private, lab.subject) <= LONGEST
    assert registry.shift_days(lab.private, lab.subject) == lab.subject.shift_days
    old = [registry.Subject(f"a{number:07x}", "open", lab.subject.person) for number in range(200)]
    numbers = [registry.shift_days(lab.private, one) for one in old]
    assert all(SHORTEST <= -number <= LONGEST for number in numbers)
    assert len(set(numbers)) > 150
    assert numbers == [registry.shift_days(lab.private, one) for one in old]
    (lab.private.root / "hash.key").write_bytes(bytes(32))
    assert numbers != [registry.shift_days(lab.private, one) for one in old]


@given(
    st.datetimes(datetime(2001, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),
    st.integers(SHORTEST, LONGEST),
)
def test_local_times_of_day_stay_and_dates_move_by_whole_days(start: datetime, days: int) -> None:
    offset = Settings(-days).offset(start, ZONE)
    before, after = start.astimezone(ZONE), (start + offset).astimezone(ZONE)
    assert offset.microseconds == 0
    assert abs(offset + timedelta(days=days)) <= timedelta(hours=1)
    moved = before.replace(tzinfo=None) - timedelta(days=days)
    if moved.replace(tzinfo=ZONE).astimezone(UTC).astimezone(ZONE).replace(tzinfo=None) == moved:
        assert after.replace(tzinfo=None) == moved  # but for times that clocks skip
    assert DEFAULTS.offset(start, ZONE) == timedelta(0)


# --- everywhere -------------------------------------------------------------------------------------------------------


def test_recordings_texts_slips_and_file_times_all_move_alike(tmp_path: Path) -> None:
    lab = full_lab(tmp_path, dates="shift")
    root = lab.paths.subject(lab.code)
    true = datetime(2002, 3, 2, 12, 0, 0)
    local = datetime.combine(shifted_day(lab, true.date()), true.time())
    utc = local.replace(tzinfo=ZONE).astimezone(UTC)
    assert abs(utc - CREATED - (local - true)) <= timedelta(hours=1)

    coded = root / "edf" / f"{lab.code}_1.edf"
    assert start_of_recording(coded) == local
    header = read_header(coded)
    assert header.startdate == f"{local:%d.%m.%y}"
    assert header.local_recording_identification == f"Startdate {local:%d-%b-%Y} X X X".upper().replace(
        "STARTDATE", "Startdate"
    )
    vtc = (root / "vtc" / f"{lab.code}_1.txt").read_text()
    assert lab_reads_vtc(vtc) == [(utc.replace(tzinfo=None), 1)]
    snc = (root / "snc" / f"{lab.code}_1.txt").read_text()
    assert lab_reads_snc(snc) == [(0, filetime(utc))]
    for kind in ("edf", "vid", "sync"):
        unit = lab.unit(1, kind)
        slip = read_slip(lab.paths.slip(unit, read_units(lab.paths, lab.code)[unit].fingerprint))
        assert slip["start"] == utc.isoformat().replace("+00:00", "Z")
        assert slip["end"] == (utc + timedelta(seconds=3)).isoformat().replace("+00:00", "Z")
    for path in (root / "vid" / f"{lab.code}_1").glob("*.avi"):
        raw = lab.raw / "Quellmotz 1" / f"Quellmotz 1{path.name[-9:]}"
        assert path.stat().st_mtime_ns - raw.stat().st_mtime_ns == (utc - CREATED) // timedelta(microseconds=1) * 1000
    assert read_sessions(lab.paths, lab.code)[0].start == CREATED


def test_no_true_date_and_no_number_of_days_stands_outside_private_and_the_vendor_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ecogvault.registry.enrol.draw", lambda: -3517)  # the size of no file here
    lab = full_lab(tmp_path, dates="shift")
    text = lab.raw / "monday" / "snc of Mirx.txt"
    header = ["Created 02/03/2002", "02-Mar-02", "20020302", f"{filetime(CREATED)}", "12:00:00", "March", "", "2002"]
    row = f"0\t2002-03-02 20:00\tkept\t{filetime(CREATED)}"
    text.write_text("\r\n".join([*header, row, ""]))
    remake(lab)
    shift = str(abs(registry.shift_days(lab.private, lab.subject)))
    when = true_dates(date(2002, 3, 2))
    looked = 0
    for path in lab.paths.results.rglob("*"):
        if path.is_file() and "/vid/" not in str(path):
            content = path.read_bytes().decode("latin-1") + path.name
            assert not when.search(content), path
            assert str(filetime(CREATED)) not in content, path
            assert not re.search(rf"(?<![0-9a-f]){shift}(?![0-9a-f])", content), path
            looked += 1
        status = path.stat()
        assert datetime.fromtimestamp(status.st_mtime, UTC).date() != date(2002, 3, 2)
    assert looked > 10
    snc = (lab.paths.subject(lab.code) / "snc" / f"{lab.code}_1.txt").read_text().splitlines()
    assert snc[:8] == ["X", "X", "X", "X", "X", "X", "", "X"]
    assert snc[8].split("\t")[1:3] == ["X", "kept"]


def test_a_hard_link_has_the_raw_file_s_time_and_is_not_made(tmp_path: Path) -> None:
    lab = Lab(tmp_path, dates="shift", mode="750")
    for path in lab.session("Quellmotz 1").iterdir():
        path.chmod(0o640)
    remake(lab)
    place = lab.paths.subject(lab.code) / "vid" / f"{lab.code}_1"
    assert all(path.stat().st_nlink == 1 for path in place.iterdir())
    reconfigure(lab, dates="keep")
    assert remake(lab) == {"vid1": 2}
    assert all(path.stat().st_nlink == 2 for path in place.iterdir())
    reconfigure(lab, dates="shift", link="hardlink")
    with pytest.raises(CannotPlace, match="dates are shifted"):
        remake(lab)


def test_a_member_of_a_sealed_tarball_has_the_shifted_start(tmp_path: Path) -> None:
    lab = ArchiveLab(tmp_path)
    times = []
    for dates in ("keep", "shift"):
        reconfigure(lab, dates=dates)
        lab.prints = lab.frozen()
        unit = lab.units[0]
        lab.make(unit)
        opened = subprocess.run(
            ["age", "-d", "-i", tmp_path / "daily", lab.paths.sealed(unit)], capture_output=True, check=True
        )
        plain = subprocess.run(["zstd", "-dc"], input=opened.stdout, capture_output=True, check=True)
        with tarfile.open(fileobj=io.BytesIO(plain.stdout)) as tar:
            (time,) = {member.mtime for member in tar}
        times.append(datetime.fromtimestamp(time, UTC))
    assert times[0] == CREATED
    assert times[1].astimezone(ZONE).date() == shifted_day(lab, CREATED.astimezone(ZONE).date())
    # The files are the same ones, but the tarball is not: it is the next generation, and goes.
    state = read_units(lab.paths, lab.code)[unit]
    assert (state.generation, state.manifest_sha256) == (2, Manifest.read(lab.paths.manifest(unit)).sha256)
    assert lab.upload(unit, "deep").sent > 0
    assert set(lab.copies(unit, "deep")) == {2}


# --- changing one's mind ----------------------------------------------------------------------------------------------


def test_changed_dates_give_every_unit_another_slip_and_generation_and_the_same_dates_do_not(tmp_path: Path) -> None:
    lab = full_lab(tmp_path)
    kept = lab.frozen()
    first = dict.fromkeys(("edf1", "vid1", "sync1", "vid2", "sync2"), 1)
    assert remake(lab) == first
    reconfigure(lab, dates="shift")
    shifted = lab.frozen()
    assert all(shifted[unit] != kept[unit] for unit in kept)
    second = dict.fromkeys(first, 2)
    assert remake(lab) == second
    assert remake(lab) == second
    assert set(made_with(lab.paths, lab.code)) == set(kept)
    assert all(len(list(lab.paths.slips(lab.code).glob(f"{unit}.*"))) == 1 for unit in kept)
    reconfigure(lab, dates="keep")
    assert lab.frozen() == kept
    assert remake(lab) == dict.fromkeys(first, 3)
    assert made_with(lab.paths, lab.code) == {}


def test_units_whose_raw_files_are_gone_keep_their_dates_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = full_lab(tmp_path)
    lab.raw.rename(tmp_path / "away")
    assert lab.look().outdated == ()
    reconfigure(lab, dates="shift")
    plan = lab.look()
    assert plan.outdated == tuple(sorted(read_units(lab.paths, lab.code)))
    announce(workflow.Plan(lab.config, lab.private, (plan,)))
    assert f"waiting: 5 units of {lab.code} keep the dates and names" in capsys.readouterr().err
    (tmp_path / "away").rename(lab.raw)
    assert lab.look().outdated == ()


def test_what_is_refreshed_is_what_was_made_with_the_same_dates(tmp_path: Path) -> None:
    from ecogvault.refresh import DIFFERS, EQUAL, find_moved, refresh_unit

    lab = full_lab(tmp_path, dates="shift", natus="patch")
    for path in lab.raw.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    moved, unchanged = find_moved(lab.config, lab.private, lab.subject)
    assert (len(moved), unchanged) == (5, 0)
    assert {refresh_unit(lab.config, lab.private, one).outcome for one in moved} == {EQUAL}
    assert find_moved(lab.config, lab.private, lab.subject) == ([], 5)
    for settings in ({"dates": "keep"}, {"natus": "exact"}):
        reconfigure(lab, **{"dates": "shift", "natus": "patch", **settings})
        moved, _ = find_moved(lab.config, lab.private, lab.subject)
        assert {refresh_unit(lab.config, lab.private, one).outcome for one in moved} == {DIFFERS}
    reconfigure(lab, dates="shift", natus="patch")
    eeg = lab.raw / "Quellmotz 1" / "Quellmotz 1.eeg"
    eeg.write_bytes(eeg.read_bytes().replace(b"Mirx", b"Mira"))
    (one,), _ = find_moved(lab.config, lab.private, lab.subject)
    assert refresh_unit(lab.config, lab.private, one).outcome == DIFFERS


def test_a_date_that_cannot_be_shifted_is_refused_by_unit(tmp_path: Path) -> None:
    lab = Lab(tmp_path, dates="shift")
    lab.edf("a.edf").write_bytes(recording(patient="X", startdate="02.03.86", recording="X"))
    with pytest.raises(EcogvaultError, match=f"{lab.code}_1_edf"):
        remake(lab)
    assert not lab.paths.manifest(lab.unit(1, "edf")).exists()

"""What a change of `dates:` does, by the real commands: every unit is made anew, and no true date goes anywhere."""

import re
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from lab import Lab
from test_reruns import chain

from ecogvault import registry
from ecogvault.intake.assignment import read_units
from ecogvault.private import open_private
from ecogvault.sandbox.export import HARD_NAME, TIMEZONE

pytestmark = pytest.mark.slow


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def true_dates(lab: Lab) -> re.Pattern[bytes]:
    """Every form of the days on which the patient was recorded, and of the FILETIMEs of their sessions' first hour."""
    forms = []
    for session in lab.export.of(HARD_NAME):
        for zone in (UTC, TIMEZONE):
            day = session.start.astimezone(zone)
            forms += [day.strftime(form) for form in ("%Y-%m-%d", "%d.%m.%y", "%d-%b-%Y", "%d/%m/%Y", "%Y%m%d")]
    return re.compile("|".join(map(re.escape, sorted(set(forms)))).encode(), re.IGNORECASE)


def test_shifted_dates_make_everything_anew_once_and_leave_no_true_date_outside(archived_lab: Lab) -> None:
    lab = archived_lab
    code = lab.code()
    units = sorted(read_units(lab.paths, code))
    lab.configure(dates="shift")
    assert set(lab.dry_run()) == set().union(*map(chain, units))
    before = {(one.bucket, one.key, one.version_id) for one in lab.all_objects()}
    lab.snakemake()
    assert lab.dry_run() == []
    assert {state.generation for state in read_units(lab.paths, code).values()} == {2}

    when = true_dates(lab)
    new = [one for one in lab.all_objects() if (one.bucket, one.key, one.version_id) not in before]
    assert new
    for one in new:
        assert not when.search(one.content), one.key
    places = [lab.paths.results, lab.folder / "nas", lab.folder / ".snakemake", lab.folder / "logs"]
    for path in (path for place in places for path in place.rglob("*") if path.is_file()):
        relative = str(path.relative_to(lab.folder))
        if not re.search("/(vid|video|superseded|order)/", relative):
            assert not when.search(path.read_bytes()), relative
    for slip in lab.paths.slips(code).iterdir():
        assert not when.search(slip.read_bytes())

    # Text and recording of a session still fit together, one number of days from where they were.
    days = registry.shift_days(open_private(lab.config), registry.subject(open_private(lab.config), code))
    first = lab.export.of(HARD_NAME)[0].start.astimezone(TIMEZONE)
    moved = (first + timedelta(days=days)).date()
    header = (lab.paths.subject(code) / "edf" / f"{code}_1.edf").read_bytes()[:256]
    assert f"{moved:%d.%m.%y}".encode() in header

    lab.ecogvault("reidentify", code, "-o", "back")
    raw = files(lab.export.folder)
    back = files(lab.folder / "back")
    assert back.items() <= raw.items()
    ours = {one for one in raw if "Zzyx" in one or "zzyx" in one}
    assert set(back) == ours
    # The name is where a person asked for it, and nowhere else: what is checked after each test is the rest.
    for path in sorted((lab.folder / "back").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (lab.folder / "back").rmdir()

"""What `snakemake restore` is asked for, and which copy it takes when that is left to it."""

import shutil
import subprocess
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from archive_lab import ArchiveLab

from ecogvault.config import Config, ConfigError, Destination
from ecogvault.errors import EcogvaultError
from ecogvault.intake.order import Row
from ecogvault.ledger import Copy
from ecogvault.naming import Unit
from ecogvault.restore.asked import covers, named_date, named_file, wanted
from ecogvault.restore.choose import Candidate, best, reason

VID = Unit("df5c5206", 3, "vid")


@pytest.mark.parametrize(
    ("text", "unit", "path"),
    [
        ("df5c5206_3/df5c5206_3_0007.avi", VID, "vid/df5c5206_3/df5c5206_3_0007.avi"),
        ("vid/df5c5206_3/decimated/df5c5206_3.erd", VID, "vid/df5c5206_3/decimated/df5c5206_3.erd"),
        ("df5c5206_12.edf", Unit("df5c5206", 12, "edf"), "edf/df5c5206_12.edf"),
        ("bdf/df5c5206_1.bdf", Unit("df5c5206", 1, "bdf"), "bdf/df5c5206_1.bdf"),
        ("snc/df5c5206_3.txt", Unit("df5c5206", 3, "sync"), "snc/df5c5206_3.txt"),
        ("vtc/df5c5206_3.txt", Unit("df5c5206", 3, "sync"), "vtc/df5c5206_3.txt"),
    ],
)
def test_a_coded_file_names_its_unit_and_its_path_in_the_manifest(text: str, unit: Unit, path: str) -> None:
    assert named_file(text) == (unit, path)


@pytest.mark.parametrize(
    "text",
    [
        "df5c5206_3.txt",
        "df5c5206_3",
        "df5c5206_0.edf",
        "edf/df5c5206_1.bdf",
        "x.avi",
        "../df5c5206_3.edf",
        "edf/df5c5206_3/x",
    ],
)
def test_what_is_no_coded_file_is_refused_with_the_three_forms(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is no coded file: write df5c5206_3/df5c5206_3_0007\.avi"):
        named_file(text)


def test_a_day_that_is_none_is_refused() -> None:
    assert named_date("2026-03-02") == date(2026, 3, 2)
    with pytest.raises(ConfigError, match="'02/03/2026' is no day"):
        named_date("02/03/2026")


def test_a_session_covers_the_days_that_it_touches_in_the_recorders_time_zone() -> None:
    # 23:30 on the 1st to 00:30 on the 3rd in Los Angeles, UTC-8.
    start, end = datetime(2026, 3, 2, 7, 30, tzinfo=UTC), datetime(2026, 3, 3, 8, 30, tzinfo=UTC)
    row = Row(VID, "session", 1, "x", start, end, False, "")
    config = Config({"timezone": "America/Los_Angeles"})
    assert [covers([row], date(2026, 3, day), config) for day in (1, 2, 3)] == [True, True, True]
    assert [covers([row], day, config) for day in (date(2026, 2, 28), date(2026, 3, 4))] == [False, False]
    open_ended = Row(VID, "session", 1, "x", start, None, False, "")
    assert [covers([open_ended], date(2026, 3, day), config) for day in (1, 2)] == [True, False]


def candidate(
    name: str, grade: str = "listed", generation: int = 1, excluded: tuple[str, ...] = (), **settings: str
) -> Candidate:
    destination = Destination(name, {"type": "s3", "zone": "outside", "form": "tarball", **settings})
    copy = Copy(generation, "0" * 64, excluded=excluded, evidence=grade)
    return Candidate(destination, "vid", copy, grade, "2026-03-02T00:00:00Z")


def chosen(*candidates: Candidate, have_key: bool = True, path: str | None = None) -> str | None:
    found = best(candidates, have_key=have_key, path=path)
    # The order in which they are named says nothing.
    assert found == best(reversed(candidates), have_key=have_key, path=path)
    return found.destination.name if found else None


def test_the_best_copy_is_the_newest_then_openable_then_whole_then_proven_then_cheap() -> None:
    nas = candidate("nas", type="folder", zone="inside", form="files")
    deep = candidate("deep", grade="restored", storage_class="DEEP_ARCHIVE")
    s3 = candidate("s3")
    assert chosen(nas, deep, s3) == "deep"
    assert chosen(nas, deep, s3, have_key=False) == "nas"
    assert chosen(nas, s3) == "nas"
    assert chosen(nas, candidate("new", generation=2, grade="acknowledged")) == "new"
    assert chosen(candidate("short", grade="restored", excluded=("vid/a.doc",)), s3) == "s3"
    assert chosen(candidate("vault", type="glacier"), candidate("cold", storage_class="GLACIER"), s3) == "s3"
    assert chosen(candidate("vault", type="glacier"), candidate("cold", storage_class="GLACIER")) == "cold"
    assert chosen() is None


def test_a_copy_that_leaves_the_file_out_is_none() -> None:
    short = candidate("short", grade="restored", excluded=("vid/a.doc",))
    assert chosen(short, path="vid/a.doc") is None
    assert chosen(short, candidate("s3"), path="vid/b.avi") == "short"


def test_the_choice_says_why() -> None:
    assert reason(candidate("deep", storage_class="DEEP_ARCHIVE")) == (
        "from deep (listed 2026-03-02; in storage class DEEP_ARCHIVE: hours, and a fee)"
    )


def test_what_matched_nothing_is_named_with_what_there_is(tmp_path: Path) -> None:
    lab = ArchiveLab(tmp_path).archived()
    unit = lab.units[0]
    code = unit.code
    file = f"{unit.session}/{unit.session}_000{{}}.avi"
    shutil.rmtree(lab.paths.subject(code) / "ledger" / "deep")

    def refused(**words: str) -> str:
        with pytest.raises(EcogvaultError) as caught:
            wanted(Config({**lab.config.values, **words}))
        return str(caught.value)

    nothing = "no ledger knows a unit that was asked for: there is "
    assert f"{nothing}nothing of subject abcdef01; `ecogvault subjects` shows" in refused(subject="abcdef01")
    there = f"of {code} there are {code}_1_vid, {code}_2_vid"
    assert refused(unit=f"{code}_7_vid", **{"from": "any"}) == f"{nothing}no {code}_7_vid; {there}"
    assert refused(file=f"{code}_7.edf") == f"file={code}_7.edf: {nothing}no {code}_7_edf; {there}"
    assert refused(subject=code, kind="edf") == f"{nothing}no kind=edf of {code}, only vid"
    assert "not a unit: a unit is CODE_NUMBER_KIND" in refused(unit="Clip7")
    # Elsewhere, or nowhere.
    assert refused(unit=str(unit), **{"from": "deep"}).endswith("but there are copies at nas, crypt: from=nas")
    assert "`ecogvault rebuild --from deep` enters what" in refused(unit=f"{code}_7_vid", **{"from": "deep"})
    # Words that contradict each other.
    out = "leave one of them out"
    assert refused(unit=str(unit), subject="abcdef01") == f"unit={unit} is not of subject=abcdef01: {out}"
    assert refused(unit=str(unit), kind="edf") == f"unit={unit} is of kind vid, not kind=edf: {out}"
    one = file.format(1)
    assert refused(file=one, unit=str(lab.units[1])) == f"file={one} is not in unit={lab.units[1]}: {out}"
    # A day without a session, a file that was never there.
    days = refused(subject=code, date="1999-01-01")
    assert "covers 1999-01-01: they go from 20" in days
    assert days.endswith(f"`ecogvault order {code}` shows each")
    said = refused(file=file.format(9))
    assert f"nothing in {unit} is called vid/{file.format(9)}; it has vid/{unit.session}/" in said
    command = said.partition("`")[2].partition("` lists its files")[0]
    listed = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout.splitlines()
    assert f"vid/{one}" in listed

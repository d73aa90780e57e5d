"""Restores as targets, on the real snakemake: one file, a day, the best copy; never over different files."""

import json
import re
import shutil
from pathlib import Path

import pytest
from lab import Job, Lab

from ecogvault.naming import Unit


def tree(lab: Lab, path: str) -> bytes:
    """A file of the de-identified tree, by its path in the manifest."""
    return (lab.paths.subject(lab.code()) / path).read_bytes()


def restored(lab: Lab, unit: Unit, destination: str) -> dict[str, bytes]:
    """What was restored of a unit, by path in the manifest."""
    folder = lab.paths.restored / destination / str(unit)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_one_file_comes_back_alone_from_a_tarball_and_from_a_set_of_files(archived_lab: Lab) -> None:
    lab = archived_lab
    unit = Unit(lab.code(), 1, "vid")
    clip = f"{unit.session}/{unit.session}_0001.avi"
    for destination in ("deep", "s3", "nas"):
        asked = ("--config", f"file={clip}", f"from={destination}", "--", "restore")
        (job,) = lab.dry_run(*asked)
        assert (job.rule, job.unit, job.destination) == ("restore_file", str(unit), destination)
        lab.snakemake(*asked)
        assert restored(lab, unit, destination) == {f"vid/{clip}": tree(lab, f"vid/{clip}")}
        assert lab.dry_run(*asked) == []
        (proof,) = (lab.paths.restored / destination).glob(f"{unit}.*.json")
        assert json.loads(proof.read_text())["path"] == f"vid/{clip}"
    # It proves nothing of the rest of the copy, which comes later, and leaves the file as it is.
    clip_there = lab.paths.restored / "deep" / str(unit) / "vid" / clip
    before = clip_there.stat().st_ino
    lab.snakemake("--config", f"unit={unit}", "from=deep", "--", "restore")
    assert clip_there.stat().st_ino == before
    assert len(restored(lab, unit, "deep")) > 5


@pytest.mark.slow
def test_any_takes_the_best_copy_and_says_why_and_a_day_means_the_sessions_that_cover_it(archived_lab: Lab) -> None:
    lab = archived_lab
    code = lab.code()
    lab.snakemake("verify")
    rows = lab.ecogvault("order", code).output
    day = next(word for word in rows.split() if word.count("-") == 2)
    run = lab.snakemake("--config", f"date={day}", f"subject={code}", "--", "restore")
    assert {job.destination for job in run.jobs} == {"nas"}
    assert {Unit.parse(job.unit).number for job in run.jobs} == {1}
    assert any(
        line.startswith(f"restore: {code}_1_edf from nas (listed ") and line.endswith("; in the building)")
        for line in run.ours
    )
    refused = lab.snakemake("--config", "date=1999-01-01", "--", "restore", check=False)
    assert refused.status != 0
    assert "date: no archived session of those asked for covers 1999-01-01" in refused.output


def test_what_is_there_with_other_content_is_never_replaced(archived_lab: Lab) -> None:
    lab = archived_lab
    unit = Unit(lab.code(), 1, "edf")
    place = lab.paths.restored / "nas" / str(unit) / "edf" / f"{unit.session}.edf"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"something else")
    run = lab.snakemake("--config", f"unit={unit}", "from=nas", "--", "restore", check=False)
    assert run.status != 0
    assert f"edf/{unit.session}.edf" in run.output
    assert place.read_bytes() == b"something else"
    place.unlink()
    lab.snakemake("--config", f"unit={unit}", "from=nas", "--", "restore")
    assert place.read_bytes() == tree(lab, f"edf/{unit.session}.edf")


@pytest.mark.slow
def test_a_restore_that_is_asked_for_again_brings_what_has_gone_and_never_replaces_what_was_changed(
    archived_lab: Lab,
) -> None:
    lab = archived_lab
    unit = Unit(lab.code(), 1, "vid")
    clip = f"{unit.session}/{unit.session}_0001.avi"
    cases = [("deep", f"unit={unit}"), ("nas", f"unit={unit}"), ("deep", f"file={clip}")]
    for destination, words in cases:
        asked = ("--config", words, f"from={destination}", "--", "restore")
        lab.snakemake(*asked)
        assert lab.dry_run(*asked) == []
        place = lab.paths.restored / destination / str(unit) / "vid" / clip
        before, good = restored(lab, unit, destination), place.read_bytes()
        times = {path: path.stat().st_mtime_ns for path in place.parent.iterdir()}

        place.unlink()
        assert [job.rule for job in lab.dry_run(*asked)] == ["restore_again"]
        lab.snakemake(*asked)
        assert restored(lab, unit, destination) == before
        assert {path for path, time in times.items() if path.stat().st_mtime_ns != time} == {place}
        assert lab.dry_run(*asked) == []

        place.write_bytes(good[:-1] + b"?")
        refused = lab.snakemake(*asked, check=False)
        assert refused.status != 0
        assert f"{clip} is not as it came back, it was changed or damaged since: move it away" in refused.output
        assert place.read_bytes() == good[:-1] + b"?"
        shutil.rmtree(lab.paths.restored / destination)
        assert list(lab.paths.restored.rglob("*.again")) == []


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["deleted", "overwritten"])
def test_what_was_deleted_or_overwritten_in_a_bucket_with_versions_comes_back_by_them_and_is_said_loudly(
    archived_lab: Lab, harm: str
) -> None:
    lab = archived_lab
    unit = Unit(lab.code(), 1, "vid")
    key = f"{unit.code}/{unit}.g1.tar.zst.age"
    if harm == "deleted":
        lab.client.delete_object(Bucket="lab-deep", Key=key)
    else:
        lab.client.put_object(Bucket="lab-deep", Key=key, Body=b"somebody else's")
    found = f"{key} is {'missing' if harm == 'deleted' else 'wrong'}"
    asked = ("--config", f"unit={unit}", "from=deep", "--", "restore")

    def comes_back() -> None:
        shutil.rmtree(lab.paths.restored, ignore_errors=True)
        said = lab.snakemake(*asked).ours
        assert any(f"restored from older versions: {unit} from deep, where {found}" in line for line in said), said
        assert restored(lab, unit, "deep").keys() > {f"vid/{unit.session}/{unit.session}_0001.avi"}

    comes_back()
    drilled = lab.snakemake("--config", "from=deep", "budget_gib=1", "--", "drill", check=False)
    assert drilled.status != 0
    assert f"THE DRILL FAILED: {unit}: it came back from older versions alone, for {found}" in drilled.output
    # Known to be incomplete now, and not lost.
    refused = lab.snakemake("--config", "from=deep", "--", "verify", check=False)
    assert refused.status != 0
    assert f"{found} (found 20" in refused.output
    comes_back()
    assert lab.snakemake().jobs == [Job("upload_unit", str(unit), "deep")]
    lab.snakemake("--config", "from=deep", "rehash_gib=1", "--", "verify")
    shutil.rmtree(lab.paths.restored)
    assert not any("older versions" in line for line in lab.snakemake(*asked).ours)


@pytest.mark.slow
def test_units_that_fall_short_of_the_labs_policy_are_named_at_the_end_of_a_run(archived_lab: Lab) -> None:
    lab = archived_lab
    unit = Unit(lab.code(), 1, "edf")
    lab.configure(copies={"minimum": 2, "grade": "listed"})
    lab.paths.receipt("nas", unit).unlink()
    short = f"copies: {unit} has 0 of 2 copies that are listed or better: s3 acknowledged"
    assert any(line.startswith(short) for line in lab.snakemake().ours)
    lab.snakemake("verify")
    lab.paths.receipt("nas", unit).unlink()
    run = lab.snakemake()
    assert [job for job in run.jobs if job.rule != "all"] == [Job("upload_unit", str(unit), "nas")]
    assert [line for line in run.ours if line.startswith("copies:")] == []


def test_a_restore_that_asks_for_nothing_or_for_no_file_says_what_can_be_asked_for(archived_lab: Lab) -> None:
    lab = archived_lab
    for asked, said in {
        (): "restore needs to know what: snakemake restore --config unit=",
        ("file=clip.avi",): "file: 'clip.avi' is no coded file",
        ("unit=abcdef01_1_vid",): "no ledger knows a unit that was asked for: there is nothing of subject abcdef01",
        ("unit=abcdef01_1_vid", "from=moon"): "there is no destination 'moon'",
    }.items():
        run = lab.snakemake(*(("--config", *asked, "--") if asked else ()), "restore", check=False)
        assert run.status != 0
        assert said in run.output
    unit = Unit(lab.code(), 1, "vid")
    run = lab.snakemake("--config", f"file={unit.session}/no.avi", "from=deep", "--", "restore", check=False)
    assert run.status != 0
    assert f"nothing in {unit} is called vid/{unit.session}/no.avi" in run.output
    listing = re.search(r"`(cut .+?)` lists its files", run.output)
    assert listing
    assert f"vid/{unit.session}/{unit.session}_0001.avi" in lab.run("bash", "-c", listing[1]).output.splitlines()
    assert not list(Path(lab.paths.restored).rglob("*.avi"))


@pytest.mark.slow
def test_what_a_copy_leaves_out_is_counted_at_the_end_with_the_place_of_the_list(archived_lab: Lab) -> None:
    lab = archived_lab
    unit = Unit(lab.code(), 1, "vid")
    run = lab.snakemake("--config", f"unit={unit}", "from=s3", "--", "restore")
    record = f"restored/s3/{unit}.json"
    left_out = json.loads((lab.folder / record).read_text())["excluded"]
    assert left_out
    assert run.ours[-1] == (
        f"restored without {len(left_out)} files: {unit} from s3: they were left out there when it was archived "
        f"(exclude:); `excluded` in {record} lists them"
    )
    assert "restored without" not in lab.snakemake("--config", f"unit={unit}", "from=deep", "--", "restore").output


@pytest.mark.slow
def test_adopted_copies_are_named_with_the_command_that_brings_them(archived_lab: Lab) -> None:
    """Where nothing else is, and beside this program's own copies; the command is run as it is printed."""
    lab = archived_lab
    code, other = lab.code(), "ec761078"
    bucket = lab.settings["destinations"]["deep"]["bucket"]
    for one in (code, other):
        lab.client.put_object(Bucket=bucket, Key=f"{one}/{one}_8.edf", Body=f"recorded for {one}".encode())
    assert "2 old copies adopted" in lab.ecogvault("adopt", "--from", "deep").output

    def brought(said: str, one: str) -> None:
        command = re.search(r"`(snakemake .+?)` brings them", said)
        assert command
        run = lab.run("bash", "-c", command[1])
        assert run.of("restore_old") == [Job("restore_old", one, "deep")]
        warned = f"what came out of old archives may hold names, in its paths, too: restored/deep/{one}_old"
        assert run.ours[-1] == warned
        (file,) = (lab.paths.restored / "deep" / f"{one}_old").rglob("*.edf")
        assert file.read_bytes() == f"recorded for {one}".encode()

    asked = ("--config", f"subject={other}", "from=any", "--", "restore")
    run = lab.snakemake(*asked, check=False)
    assert run.status != 0
    (said,) = {line for line in run.ours if line.startswith("restore: no ledger knows a unit")}
    assert f"; 1 adopted copies of {other} lie at deep: `" in said
    brought(said, other)

    run = lab.snakemake("--config", f"subject={code}", "from=any", "--", "restore")
    assert {job.rule for job in run.jobs} == {"restore_unit"}
    (said,) = {line for line in run.ours if "adopted copies" in line}
    assert said.startswith(f"restore: 1 adopted copies of {code} lie at deep: `")
    brought(said, code)

"""What a second run does: what changed or is missing, and nothing else. On the real snakemake, on an archived lab."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lab import ROOT, Job, Lab

from ecogvault import ledger
from ecogvault.intake.assignment import read_sessions, read_units
from ecogvault.manifest import Manifest
from ecogvault.naming import Unit
from ecogvault.records import read_journal, read_record
from ecogvault.sandbox.export import HARD_NAME, Session, make_export

DESTINATIONS = ("s3", "deep", "nas")
CLOSED_PORT = "http://127.0.0.1:1"
LAST_DIGIT = -3  # of a text that ends in CR LF


def chain(unit: Unit | str, destinations: tuple[str, ...] = DESTINATIONS) -> set[Job]:
    """Every job that stands between a unit's raw files and its receipts."""
    kind = str(unit).rpartition("_")[2]
    rules = ("order_unit", f"deidentify_{kind}", "scan_unit", "seal_unit")
    return {Job(rule, str(unit)) for rule in rules} | uploads(unit, destinations)


def uploads(unit: Unit | str, destinations: tuple[str, ...] = DESTINATIONS) -> set[Job]:
    return {Job("upload_unit", str(unit), place) for place in destinations}


def there(lab: Lab) -> dict[tuple[str, str], tuple[Any, ...]]:
    """What is at every destination: version and content by bucket and key; a file by its time and content."""
    found: dict[tuple[str, str], tuple[Any, ...]] = {
        (one.bucket, one.key): (one.version_id, one.content) for one in lab.all_objects()
    }
    root = lab.folder / "nas"
    for path in root.rglob("*"):
        if path.is_file():
            found["nas", str(path.relative_to(root))] = (path.stat().st_mtime_ns, path.read_bytes())
    return found


def session(lab: Lab, number: int) -> Session:
    return lab.export.of(HARD_NAME)[number - 1]


def flip(path: Path, offset: int = -1) -> None:
    """Change one byte; the size stays, the time becomes another."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def change(lab: Lab, path: Path | None, offset: int = -1) -> None:
    """Change one byte of a raw file, on purpose."""
    assert path is not None
    flip(path, offset)
    lab.note_raw()


def generation(lab: Lab, unit: Unit) -> int:
    return read_units(lab.paths, unit.code)[unit].generation


def test_one_changed_raw_file_is_its_units_next_generation_and_alone_is_sent(archived_lab: Lab) -> None:
    lab = archived_lab
    unit = Unit(lab.code(), 2, "vid")
    folder = session(lab, 2).folder
    assert folder is not None
    clip = next(folder.glob("*_0002.avi"))
    coded = f"{unit.session}_0002.avi"
    old_file = clip.read_bytes()
    old = there(lab)
    old_objects = ledger.copies(lab.paths.ledger("s3", unit))[1].objects
    change(lab, clip)

    planned = lab.dry_run()
    assert set(planned) == chain(unit)
    assert len(planned) == len(chain(unit))
    assert set(lab.snakemake().jobs) == chain(unit)
    assert lab.dry_run() == []
    assert {str(one): generation(lab, one) for one in lab.units()} == {
        str(one): 2 if one == unit else 1 for one in lab.units()
    }

    new = there(lab)
    beside = {f"{unit.code}/{unit}.g2.statement.json", f"{unit.code}/{unit}.g2.manifest.age"}
    key = f"{unit.code}/{unit.session}/{coded}.age"
    in_nas = f"video/{unit.code}/{unit.session}/{coded}"
    changed = {place for place in new if new[place] != old.get(place)}
    assert changed == (
        {("lab-vid", one) for one in beside | {key}}
        | {("nas", one) for one in beside | {in_nas, f"superseded/g2/{in_nas}"}}
        | {("lab-deep", f"{unit.code}/{unit}.g2.{end}") for end in ("tar.zst.age", "statement.json")}
    )
    assert old.keys() <= new.keys()
    assert new["nas", f"superseded/g2/{in_nas}"][1] == old_file
    assert new["nas", in_nas][1] == clip.read_bytes() != old_file
    # The older version in the bucket is still there under its id.
    before = next(one for one in old_objects if one["key"] == key)
    got = lab.client.get_object(Bucket="lab-vid", Key=key, VersionId=before["version_id"])["Body"].read()
    assert got == old["lab-vid", key][1] != new["lab-vid", key][1]
    sent = [line for line in read_journal(lab.paths.ledger("s3", unit)) if line["event"] == "acknowledged"][-1]
    assert sent["bytes_sent"] == sum(len(new["lab-vid", one][1]) for one in beside | {key})


def test_a_session_that_arrives_late_gets_the_next_number_alone_and_is_marked_out_of_order(
    archived_lab: Lab, tmp_path: Path
) -> None:
    lab = archived_lab
    other = make_export(tmp_path / "later", seed=7, sessions=2).of(HARD_NAME)[0]
    assert other.edf is not None
    recording = bytearray(other.edf.read_bytes())
    recording[176:184] = b"23.50.00"  # EDF's field "starttime of recording": between the two sessions that are archived
    late = lab.export.folder / other.edf.name
    late.write_bytes(recording)
    lab.note_raw()
    before = there(lab)
    code = lab.code()
    assert set(lab.dry_run()) == chain(f"{code}_3_edf")
    assert set(lab.snakemake().jobs) == chain(f"{code}_3_edf")
    rows = read_sessions(lab.paths, code)
    first, third, second = (min(row.start for row in rows if row.unit.number == number) for number in (1, 3, 2))
    assert first < third < second
    assert {row.unit.number for row in rows if row.out_of_order} == {3}
    (slip,) = lab.paths.slips(code).glob("*_3_edf.*.json")
    assert "out of order" in read_record(slip)["remarks"]
    after = there(lab)
    assert {place: after[place] for place in before} == before
    assert all(f"{code}_3" in key for _, key in after.keys() - before.keys())


def test_receipts_and_ledgers_that_were_lost_come_back_without_a_byte_of_content(archived_lab: Lab) -> None:
    lab = archived_lab
    video, recording = Unit(lab.code(), 1, "vid"), Unit(lab.code(), 1, "edf")
    before, sent = there(lab), lab.bytes_sent()

    lab.paths.receipt("s3", video).unlink()
    assert lab.snakemake().jobs == [Job("upload_unit", str(video), "s3")]
    assert lab.bytes_sent() == sent
    assert lab.paths.receipt("s3", video).exists()

    for unit in (video, recording):
        for place in DESTINATIONS:
            lab.paths.receipt(place, unit).unlink()
            lab.paths.ledger(place, unit).unlink()
    assert set(lab.snakemake().jobs) == uploads(video) | uploads(recording)
    for unit in (video, recording):
        for place in DESTINATIONS:
            (copy,) = ledger.copies(lab.paths.ledger(place, unit)).values()
            assert (copy.evidence, copy.bytes_sent) == ("acknowledged", 0)
    assert there(lab) == before
    assert lab.snakemake("verify").status == 0


def test_sealed_tarballs_that_were_removed_plan_nothing_until_a_destination_is_added(archived_lab: Lab) -> None:
    lab = archived_lab
    code = lab.code()
    for tarball in (lab.paths.results / code / "sealed").glob("*.tar.zst.age"):
        tarball.unlink()
    assert lab.dry_run() == []
    (lab.folder / "spare").mkdir()
    place = {"type": "folder", "zone": "inside", "form": "tarball", "path": "spare", "kinds": ["edf"]}
    lab.configure(destinations={**lab.settings["destinations"], "spare": place})
    before = there(lab)
    unit = f"{code}_1_edf"
    wanted = {Job("seal_unit", unit), Job("upload_unit", unit, "spare")}
    assert set(lab.dry_run()) == wanted
    assert set(lab.snakemake().jobs) == wanted
    assert there(lab) == before
    assert (lab.folder / "spare" / code / f"{unit}.g1.tar.zst.age").is_file()
    lab.snakemake("restore", "--config", f"unit={unit}", "from=spare")


def test_other_software_alone_plans_nothing(archived_lab: Lab) -> None:
    lab = archived_lab
    project = lab.own_project()
    lab.environment["PYTHONDONTWRITEBYTECODE"] = "1"
    assert lab.dry_run() == []
    for path in [*project.glob("scripts/*.py"), *project.glob("scripts/ecogvault/**/*.py")]:
        with open(path, "a") as stream:
            stream.write("\n# another version of this file\n")
    assert lab.dry_run() == []
    # A rule's format number, raised on purpose, does plan.
    rules = project / "rules" / "seal.smk"
    rules.write_text(rules.read_text().replace("SEAL_FORMAT = 1", "SEAL_FORMAT = 2"))
    assert {job.rule for job in lab.dry_run()} == {"seal_unit"}


def test_a_name_that_is_added_scans_again_and_stops_only_what_would_leave_with_it(archived_lab: Lab) -> None:
    lab = archived_lab
    code = lab.code()
    recording = Unit(code, 1, "edf")
    scans = {Job("scan_unit", str(unit)) for unit in lab.units()}
    before, sent = there(lab), lab.bytes_sent()

    lab.register(replace(HARD_NAME, other_names=("Wibblefenn",)), None, "--code", code)
    assert set(lab.dry_run()) == scans
    known = (lab.paths.private / "subjects.tsv").read_bytes()

    # This one stands in the annotations of the recording, which leaves plain for s3.
    lab.register(replace(HARD_NAME, other_names=("Closed",)), None, "--code", code)
    run = lab.snakemake()
    assert set(run.jobs) == scans
    assert read_record(lab.paths.verdict(recording))["outcome"] == "review"
    assert any(str(recording) in line for line in run.ours), run.output
    assert there(lab) == before
    assert lab.bytes_sent() == sent
    assert lab.dry_run() == []

    # Nothing more of it goes where it would be plain; encrypted and inside the building it may.
    for place in DESTINATIONS:
        lab.paths.receipt(place, recording).unlink()
        lab.paths.ledger(place, recording).unlink()
    failed = lab.snakemake(check=False)
    assert failed.status != 0
    assert any(str(recording) in line and "s3" in line for line in failed.ours if line.startswith("failed")), (
        failed.output
    )
    assert not lab.paths.receipt("s3", recording).exists()
    assert lab.paths.receipt("deep", recording).exists()
    assert lab.paths.receipt("nas", recording).exists()
    assert there(lab) == before
    # The leak check looks for everybody who is registered: what stood in the annotations all along is no leak of today.
    (lab.paths.private / "subjects.tsv").write_bytes(known)


def test_a_destination_that_was_down_is_made_up_for_alone(archived_lab: Lab) -> None:
    lab = archived_lab
    unit = Unit(lab.code(), 2, "sync")
    change(lab, session(lab, 2).snc, LAST_DIGIT)
    up = lab.settings["destinations"]["s3"]["endpoint_url"]
    lab.settings["destinations"]["s3"]["endpoint_url"] = CLOSED_PORT
    lab.configure()
    failed = lab.snakemake(check=False)
    assert failed.status != 0
    assert set(failed.jobs) == chain(unit)
    assert any("s3" in line and "cannot be reached" in line for line in failed.ours), failed.output
    assert [lab.paths.receipt(place, unit).exists() for place in DESTINATIONS] == [False, True, True]

    lab.settings["destinations"]["s3"]["endpoint_url"] = up
    lab.configure()
    left = [Job("upload_unit", str(unit), "s3")]
    assert lab.dry_run() == left
    # The older generation that is there is no receipt of the newer one.
    assert any(line.startswith("s3: 5 copies listed") for line in lab.snakemake("verify").ours)
    assert lab.dry_run() == left
    assert lab.snakemake().jobs == left
    assert ledger.newest_copy(lab.config, unit, "s3").generation == 2


def test_without_snakemakes_own_records_a_changed_raw_file_still_plans_its_chain_alone(archived_lab: Lab) -> None:
    lab = archived_lab
    shutil.rmtree(lab.folder / ".snakemake")
    assert lab.dry_run() == []
    change(lab, session(lab, 1).edf, -1)
    assert set(lab.dry_run()) == chain(f"{lab.code()}_1_edf")


def test_without_results_numbers_and_generations_stay_and_nothing_is_sent_again(archived_lab: Lab) -> None:
    lab = archived_lab
    code = lab.code()
    unit = Unit(code, 2, "sync")
    change(lab, session(lab, 2).snc, LAST_DIGIT)
    lab.snakemake()
    sessions, units, before = read_sessions(lab.paths, code), read_units(lab.paths, code), there(lab)
    manifest = Manifest.read(lab.paths.manifest(unit))
    shutil.rmtree(lab.paths.results)

    targets = [str(lab.paths.receipt(place, unit).relative_to(lab.folder)) for place in DESTINATIONS]
    everything = set().union(*(chain(f"{code}_{one}") for one in ("1_edf", "1_vid", "1_sync", "2_vid", "2_sync")))
    assert set(lab.dry_run()) == everything
    assert set(lab.snakemake(*targets).jobs) == chain(unit)
    assert read_sessions(lab.paths, code) == sessions
    assert read_units(lab.paths, code) == units
    assert units[unit].generation == 2
    assert Manifest.read(lab.paths.manifest(unit)) == manifest
    for place in DESTINATIONS:
        assert read_record(lab.paths.receipt(place, unit))["generation"] == 2
    assert lab.bytes_sent() == 0
    assert there(lab) == before


def test_without_the_raw_folder_nothing_is_to_be_done_and_copies_are_verified_and_restored(archived_lab: Lab) -> None:
    lab = archived_lab
    away = lab.export.folder.with_name("away")
    lab.export.folder.rename(away)
    try:
        assert lab.dry_run() == []
        verified = lab.snakemake("verify")
        assert [line for line in verified.ours if "5 copies listed" in line]
        wanted = lab.dry_run("restore", "--config", f"subject={lab.code()}", "from=nas")
        assert set(wanted) == {Job("restore_unit", str(unit), "nas") for unit in lab.units()}
    finally:
        away.rename(lab.export.folder)


def test_a_raw_file_that_went_bad_after_archiving_is_not_archived_before_the_good_copy_is_back(
    archived_lab: Lab,
) -> None:
    lab = archived_lab
    unit = Unit(lab.code(), 1, "edf")
    coded = lab.paths.subject(unit.code) / "edf" / f"{unit.session}.edf"
    good, before = coded.read_bytes(), there(lab)
    change(lab, session(lab, 1).edf)
    restored = lab.snakemake("restore", "--config", f"unit={unit}", "from=s3")
    assert restored.jobs == [Job("restore_unit", str(unit), "s3")]
    assert (lab.paths.restored / "s3" / str(unit) / "edf" / f"{unit.session}.edf").read_bytes() == good
    assert coded.read_bytes() == good
    assert generation(lab, unit) == 1
    assert there(lab) == before


@pytest.mark.slow
def test_another_policy_makes_recordings_again_and_a_comment_in_it_nothing(archived_lab: Lab) -> None:
    lab = archived_lab
    policy = lab.folder / "own.yaml"
    text = (ROOT / "config" / "policies" / "lab.yaml").read_text(encoding="utf-8")
    policy.write_text(f"# as lab\n{text}", encoding="utf-8")
    lab.configure(policy=str(policy))
    assert lab.dry_run() == []

    policy.write_text(text.replace("transducer: BLANK", "transducer: KEEP"), encoding="utf-8")
    recordings = {unit for unit in lab.units() if unit.kind == "edf"}
    jobs = {job for unit in recordings for job in chain(unit) if job.rule != "order_unit"}
    assert set(lab.snakemake().jobs) == jobs
    assert lab.dry_run() == []
    assert {generation(lab, unit) for unit in recordings} == {2}
    for unit in recordings:
        coded = lab.paths.subject(unit.code) / "edf" / f"{unit.session}.edf"
        assert b"AgAgCl electrode" in coded.read_bytes()[:8192]

    policy.write_text(text.replace("transducer: BLANK", "transducer: KEPT"), encoding="utf-8")
    refused = lab.snakemake("-n", check=False)
    assert refused.status != 0
    assert "signals.transducer must be one of KEEP, BLANK, CODE" in refused.output


def test_private_from_before_the_last_run_makes_no_generation_twice_and_hides_no_copy(archived_lab: Lab) -> None:
    """As when it comes back from the registry's copy, which goes last."""
    lab = archived_lab
    unit = Unit(lab.code(), 2, "sync")
    older = lab.folder / "older"
    shutil.copytree(lab.paths.private, older)
    change(lab, session(lab, 2).snc, LAST_DIGIT)
    lab.snakemake()
    archived = (lab.paths.subject(lab.code()) / "snc" / f"{unit.session}.txt").read_bytes()
    shutil.rmtree(lab.paths.private)
    older.rename(lab.paths.private)
    lab.snakemake()
    lab.snakemake("--config", f"unit={unit}", "from=deep", "--", "restore")
    record = read_record(lab.paths.restored_record("deep", unit))
    assert record["generation"] == 2
    assert (lab.paths.restored / "deep" / str(unit) / "snc" / f"{unit.session}.txt").read_bytes() == archived
    shutil.copytree(lab.paths.private, older)
    change(lab, session(lab, 2).snc, LAST_DIGIT)
    lab.snakemake()
    shutil.rmtree(lab.paths.private)
    older.rename(lab.paths.private)
    change(lab, session(lab, 2).snc, LAST_DIGIT)
    lab.snakemake()
    assert max(ledger.copies(lab.paths.ledger("deep", unit))) == 4

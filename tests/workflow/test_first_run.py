"""A hospital export through the whole line, by the real commands."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from lab import Job, Lab

from ecogvault.manifest import Manifest
from ecogvault.naming import Unit
from ecogvault.records import read_record

DESTINATIONS = ("s3", "deep", "nas")


def chain(unit: Unit) -> set[Job]:
    """Every job that stands between a unit's raw files and its receipts."""
    name = str(unit)
    rules = ("order_unit", f"deidentify_{unit.kind}", "scan_unit", "seal_unit")
    return {Job(rule, name) for rule in rules} | {Job("upload_unit", name, place) for place in DESTINATIONS}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def listed(lab: Lab, unit: Unit, without: tuple[str, ...] = ()) -> dict[str, bytes]:
    """The de-identified files of a unit by path in its manifest."""
    entries = Manifest.read(lab.paths.manifest(unit))
    root = lab.paths.subject(unit.code)
    return {entry.path: (root / entry.path).read_bytes() for entry in entries if not entry.path.endswith(without)}


def test_a_dry_run_shows_every_units_whole_chain_once_its_order_is_accepted_and_writes_nothing(
    make: Callable[..., Lab],
) -> None:
    lab = make(sessions=2)
    lab.configure(accept="manual")
    assert lab.dry_run() == []
    code = lab.code()
    lab.ecogvault("order", code, "--accept")
    before = lab.tree()
    planned = lab.dry_run()
    assert lab.tree() == before
    units = [Unit(code, 1, "edf"), *(Unit(code, number, kind) for number in (1, 2) for kind in ("sync", "vid"))]
    assert set(planned) == set().union(*map(chain, units))
    assert len(planned) == len(set(planned))


def test_after_a_run_nothing_is_to_be_done_whatever_was_merely_touched(archived_lab: Lab) -> None:
    lab = archived_lab
    assert lab.dry_run() == []
    again = lab.snakemake()
    assert "Nothing to be done" in again.output
    assert again.jobs == []

    with open(lab.folder / "recipients.txt", "a") as stream:
        stream.write("# the escrow's key lies in the safe\n")
    assert lab.dry_run() == []
    project = lab.own_project()
    assert lab.dry_run() == []
    for script in [*project.glob("scripts/*.py"), *project.glob("rules/*.smk"), project / "Snakefile"]:
        os.utime(script)
    for unit in lab.units():
        os.utime(lab.paths.manifest(unit))
    assert lab.dry_run() == []
    # The same check does see a change that matters.
    lab.paths.receipt("nas", lab.units()[0]).unlink()
    assert [job.rule for job in lab.dry_run()] == ["upload_unit"]


def test_every_unit_has_a_receipt_from_every_destination_and_verify_finds_every_copy(archived_lab: Lab) -> None:
    lab = archived_lab
    assert len(lab.units()) == 5
    for unit in lab.units():
        for name in DESTINATIONS:
            assert read_record(lab.paths.receipt(name, unit))["evidence"] == "acknowledged"
    verified = lab.snakemake("--", "verify")
    for name in DESTINATIONS:
        assert any(line.startswith(f"{name}: 5 copies listed") for line in verified.ours), verified.output
    for unit in lab.units():
        for name in DESTINATIONS:
            assert read_record(lab.paths.receipt(name, unit))["evidence"] == "listed"
    assert lab.dry_run() == []
    # And it misses what is not there.
    gone = next(key for key in lab.objects("lab-deep") if key.endswith(".age"))
    lab.client.delete_object(Bucket="lab-deep", Key=gone)
    missing = lab.snakemake("--", "verify", check=False)
    assert missing.status != 0
    assert f"{gone} is missing" in missing.output


def test_a_unit_restored_from_each_destination_is_the_deidentified_tree_byte_for_byte(archived_lab: Lab) -> None:
    lab = archived_lab
    code = lab.code()
    video, recording = Unit(code, 1, "vid"), Unit(code, 1, "edf")
    for name, unit, without in (
        ("s3", video, (".doc",)),
        ("s3", recording, ()),
        ("deep", video, ()),
        ("nas", video, ()),
    ):
        run = lab.snakemake("--config", f"unit={unit}", f"from={name}", "--", "restore")
        assert run.jobs == [Job("restore_unit", str(unit), name)]
        folder = lab.folder / "restored" / name / str(unit)
        expected = listed(lab, unit, without)
        assert {path: data for path, data in files(folder).items() if path in expected} == expected
        left_out = set(listed(lab, unit)) - set(expected)
        assert read_record(folder.with_suffix(".json"))["excluded"] == sorted(left_out)
        assert not left_out & set(files(folder))


def test_a_sealed_tarball_of_the_results_opens_with_age_zstd_and_tar(archived_lab: Lab, tmp_path: Path) -> None:
    lab = archived_lab
    unit = Unit(lab.code(), 1, "vid")
    words = ["bash", "-o", "pipefail", "-c", 'age -d -i "$1" "$2" | zstd -d | tar x -C "$3"', "-"]
    for key in ("daily.key", "escrow.key"):
        target = tmp_path / key
        target.mkdir()
        subprocess.run([*words, lab.folder / key, lab.paths.sealed(unit), target], check=True)
        opened = files(target / str(unit))
        assert {path: opened[path] for path in listed(lab, unit)} == listed(lab, unit)
        assert set(opened) - set(listed(lab, unit)) == {"MANIFEST.tsv", "HOW-TO-OPEN.txt"}

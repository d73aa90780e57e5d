"""Sealed tarballs go when every destination is known to list its copy, and come back when a new one needs them."""

import pytest
from lab import Job, Lab

from ecogvault.records import read_record


def test_tarballs_go_when_all_copies_are_listed_and_a_new_destination_costs_one_upload(archived_lab: Lab) -> None:
    lab = archived_lab
    units = lab.units()
    tarballs = [lab.paths.sealed(unit) for unit in units]

    # Sent, but nobody has asked since whether it is there.
    said = lab.snakemake("prune").ours
    assert "prune: 0 sealed tarballs removed, 0 bytes freed; 5 kept" in said
    assert f"s3: 5 kept, first {units[0]}: it was not verified there yet: run `snakemake verify`" in said
    assert all(tarball.exists() for tarball in tarballs)

    lab.snakemake("verify")
    assert any(line.startswith("prune: 5 sealed tarballs removed") for line in lab.snakemake("prune").ours)
    assert not any(path.exists() for path in [*tarballs, *map(lab.paths.index, units)])
    assert all(lab.paths.statement(unit).exists() for unit in units)
    assert lab.dry_run() == []

    # A receipt that is lost is written anew from the ledger: nothing is sealed for it.
    recording = next(unit for unit in units if unit.kind == "edf")
    lab.paths.receipt("deep", recording).unlink()
    assert lab.snakemake().jobs == [Job("upload_unit", str(recording), "deep")]

    # Another destination: what it takes is sealed again, and sent there alone.
    there = lab.objects(lab.settings["destinations"]["deep"]["bucket"])
    receipt = lab.paths.receipt("deep", recording).read_bytes()
    (lab.folder / "second").mkdir()
    lab.settings["destinations"]["second"] = {
        "type": "folder",
        "zone": "inside",
        "form": "tarball",
        "path": "second",
        "kinds": ["edf"],
    }
    lab.configure()
    wanted = [Job("seal_unit", str(recording)), Job("upload_unit", str(recording), "second")]
    assert sorted(lab.dry_run()) == wanted
    assert sorted(lab.snakemake().jobs) == wanted
    assert read_record(lab.paths.receipt("second", recording))["generation"] == 1
    assert lab.objects(lab.settings["destinations"]["deep"]["bucket"]) == there
    assert lab.paths.receipt("deep", recording).read_bytes() == receipt
    assert lab.dry_run() == []


@pytest.mark.slow
def test_coded_files_go_when_that_is_confirmed_and_every_destination_has_just_listed_them(archived_lab: Lab) -> None:
    lab = archived_lab
    code = lab.code()
    clips = sorted((lab.paths.subject(code) / "vid").rglob("*.avi"))
    recording = next((lab.paths.subject(code) / "edf").iterdir())
    before = lab.snakemake("prune").ours
    assert (
        f"export of {code}: keep it: {code}_1_edf at s3: it was not verified there yet: run `snakemake verify`"
        in before
    )

    lab.snakemake("verify")
    planned = lab.snakemake("prune").ours
    assert any(line.startswith("prune: coded files of 5 units may go") for line in planned), planned
    assert (
        f"export of {code}: it may go: all its 5 units are listed at every destination, when last asked (--config "
        "confirm=yes asks again); it is yours to remove" in planned
    )
    assert all(clip.exists() for clip in clips)

    # One copy is gone meanwhile: what is confirmed asks first, and keeps that unit.
    lost = next(key for key in lab.objects("lab-vid") if f"{code}_2_0001.avi" in key)
    lab.client.delete_object(Bucket="lab-vid", Key=lost)
    run = lab.snakemake("--config", "confirm=yes", "--", "prune")
    assert any(line.startswith("prune: coded files of 4 units removed") for line in run.ours), run.ours
    assert f"coded files: s3: 1 kept, first {code}_2_vid: it was found missing" in run.ours
    assert [clip.exists() for clip in clips] == [f"{code}_2_" in clip.name for clip in clips]
    assert not recording.exists()

    # The missing copy is sent again from what was kept; nothing else is made or sent.
    assert lab.snakemake().jobs == [Job("upload_unit", f"{code}_2_vid", "s3")]
    assert lab.dry_run() == []

    # A destination that needs files has them made again from the export, which is still there.
    (lab.folder / "second").mkdir()
    place = {"type": "folder", "zone": "inside", "form": "files", "path": "second", "kinds": ["edf"]}
    lab.settings["destinations"]["second"] = place
    lab.configure()
    assert lab.snakemake().jobs == [Job("upload_unit", f"{code}_1_edf", "second")]
    assert recording.exists()

"""Sealed tarballs go when every destination is known to list its copy, and come back when a new one needs them."""

from lab import Job, Lab

from ecogvault.records import read_record


def test_tarballs_go_when_all_copies_are_listed_and_a_new_destination_costs_one_upload(archived_lab: Lab) -> None:
    lab = archived_lab
    units = lab.units()
    tarballs = [lab.paths.sealed(unit) for unit in units]

    # Sent, but nobody has asked since whether it is there.
    said = lab.snakemake("prune").ours
    assert "prune: 0 sealed tarballs removed, 0.00 GB freed; 5 kept" in said
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

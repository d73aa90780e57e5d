"""A key is replaced: what is sealed goes out again as a new generation, and nothing else is done."""

from lab import Job, Lab

from ecogvault.age import generate, write_identity_file
from ecogvault.ledger import read_receipt


def test_a_reseal_costs_one_upload_per_tarball_and_restores_come_with_the_new_key(archived_lab: Lab) -> None:
    lab = archived_lab
    units = lab.units()
    bucket = lab.settings["destinations"]["deep"]["bucket"]
    old = lab.objects(bucket)
    kept = {(name, unit): lab.paths.receipt(name, unit).read_bytes() for name in ("s3", "nas") for unit in units}

    later = generate(classic=True)
    write_identity_file(lab.folder / "later.key", later, None)
    escrow = (lab.folder / "recipients.txt").read_text().splitlines()[-1]
    (lab.folder / "recipients.txt").write_text(f"# daily, the second\n{later.recipient()}\n{escrow}\n")
    assert lab.dry_run() == []  # new recipients alone send nothing

    said = lab.ecogvault("reseal", "--all", "-i", "daily.key", "--yes").output
    assert f"deep: {len(units)} tarballs, " in said
    wanted = sorted(Job("upload_unit", str(unit), "deep") for unit in units)
    assert sorted(lab.dry_run()) == wanted
    assert sorted(lab.snakemake().jobs) == wanted
    assert lab.dry_run() == []

    now = lab.objects(bucket)
    assert {key: now[key] for key in old} == old
    new = {f"{unit.code}/{unit}.g2.{end}" for unit in units for end in ("tar.zst.age", "statement.json")}
    assert set(now) - set(old) == new
    assert [read_receipt(lab.paths.receipt("deep", unit))["generation"] for unit in units] == [2] * len(units)
    assert {(name, unit): lab.paths.receipt(name, unit).read_bytes() for name, unit in kept} == kept

    video = next(unit for unit in units if unit.kind == "vid")
    lab.configure(age_identity="later.key")
    lab.snakemake("restore", "--config", f"unit={video}", "from=deep")
    said = lab.ecogvault("keycheck", "-i", "later.key").output
    assert f"the newest of {len(units)} sealed tarballs here that are encrypted to it" in said
    lab.ecogvault("statement", "verify", lab.paths.statement(video), "--tarball", lab.paths.sealed(video))

"""A key is replaced: what is sealed goes out again as a new generation, and nothing else is done."""

from collections.abc import Callable

import pytest
from lab import Job, Lab

from ecogvault.age import KeyPair, generate, write_identity_file
from ecogvault.ledger import read_receipt

MIB = 1024 * 1024


def replace_daily_key(lab: Lab) -> KeyPair:
    """Have another key in the place of the daily one; it is in later.key."""
    later = generate(classic=True)
    write_identity_file(lab.folder / "later.key", later, None)
    escrow = (lab.folder / "recipients.txt").read_text().splitlines()[-1]
    (lab.folder / "recipients.txt").write_text(f"# daily, the second\n{later.recipient()}\n{escrow}\n")
    return later


@pytest.mark.slow
def test_a_reseal_costs_one_upload_per_tarball_and_restores_come_with_the_new_key(archived_lab: Lab) -> None:
    lab = archived_lab
    units = lab.units()
    bucket = lab.settings["destinations"]["deep"]["bucket"]
    old = lab.objects(bucket)
    kept = {(name, unit): lab.paths.receipt(name, unit).read_bytes() for name in ("s3", "nas") for unit in units}

    replace_daily_key(lab)
    assert lab.dry_run() == []  # new recipients alone send nothing

    said = lab.ecogvault("reseal", "--all", "-i", "daily.key", "--yes").output
    assert f"deep: {len(units)} tarballs, " in said
    assert "each goes whole, since it fits in one part" in said
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


@pytest.mark.slow
def test_s3_copies_what_it_has_and_a_restore_comes_with_the_new_key(make: Callable[..., Lab]) -> None:
    lab = make(vendor_bytes=4_000_000)
    lab.settings["destinations"] = {"deep": {**lab.settings["destinations"]["deep"], "part_size_mib": 5}}
    lab.configure()
    lab.snakemake()
    (video,) = [unit for unit in lab.units() if unit.kind == "vid"]
    bucket = lab.settings["destinations"]["deep"]["bucket"]
    old = lab.objects(bucket)
    size = lab.paths.sealed(video).stat().st_size
    assert size > 6 * MIB

    replace_daily_key(lab)
    said = lab.ecogvault("reseal", str(video), "-i", "daily.key", "--yes").output
    assert f"{5 * MIB} bytes to be sent, {size - 5 * MIB} to be copied there: the first part of each is sent" in said
    assert lab.snakemake().jobs == [Job("upload_unit", str(video), "deep")]
    receipt = read_receipt(lab.paths.receipt("deep", video))
    assert receipt["generation"] == 2
    assert 5 * MIB < receipt["bytes_sent"] < 5 * MIB + 10_000
    (tarball,) = [one for one in receipt["objects"] if one["key"].endswith(".g2.tar.zst.age")]
    assert tarball["crc64nvme"] is not None
    now = lab.objects(bucket)
    assert {key: now[key] for key in old} == old
    assert now[tarball["key"]].content == lab.paths.sealed(video).read_bytes()

    lab.snakemake("verify", "--config", "rehash_gib=1")
    assert read_receipt(lab.paths.receipt("deep", video))["evidence"] == "rehashed"
    lab.configure(age_identity="later.key")
    lab.snakemake("restore", "--config", f"unit={video}", "from=deep")

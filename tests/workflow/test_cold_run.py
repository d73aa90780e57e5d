"""Copies that cannot be read at once come back by the real command, over several runs: S3's classes, old archives."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab import Lab

from cold_front import Archived, ColdFront, cold_front
from ecogvault.manifest import Manifest, sha256_of
from legacy_builder import AVI, PASSWORD, encrypted, packed, tar
from vaults import HOUR, VaultServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CODE = "df5c5206"


@pytest.fixture
def front(s3_server: dict[str, Any]) -> Iterator[ColdFront]:
    with cold_front(s3_server["endpoint_url"]) as found:
        yield found


def test_a_deep_archive_is_asked_for_and_comes_back_days_later(make: Callable[..., Lab], front: ColdFront) -> None:
    lab = make()
    deep = lab.settings["destinations"]["deep"]
    destinations = {**lab.settings["destinations"], "deep": {**deep, "endpoint_url": front.endpoint_url}}
    lab.configure(destinations=destinations)
    lab.snakemake()
    # A lifecycle rule archived what the configuration does not know of.
    unit = next(one for one in lab.units() if one.kind == "vid")
    key = f"/{deep['bucket']}/{unit.code}/{unit}.g1.tar.zst.age"
    front.objects[key] = Archived("DEEP_ARCHIVE")
    asked = ("--config", f"unit={unit}", "from=deep")
    refused = lab.snakemake(*asked, "--", "restore", check=False)
    assert refused.status != 0
    assert "is archived (InvalidObjectState): `snakemake restore` with tier=Standard asks for it" in refused.output

    said = lab.snakemake(*asked, "tier=Bulk", "days=2", "--", "restore").ours
    assert any("asked of bucket" in line and "can be read for 2 days" in line for line in said)
    typed = " ".join([*asked, "tier=Bulk", "days=2"])
    again = f"snakemake -s {lab.project}/Snakefile --configfile config.yaml --cores 2 {typed}"
    assert any(line.startswith(f"deep: waiting for {unit}: run `{again} -- restore` again from ") for line in said)
    assert (front.objects[key].tier, front.objects[key].days) == ("Bulk", 2)
    front.pass_hours(47)
    assert any("waiting for" in line for line in lab.snakemake(*asked, "tier=Bulk", "--", "restore").ours)
    front.pass_hours(1.1)
    said = lab.snakemake(*asked, "tier=Bulk", "--", "restore").ours
    assert any(line.startswith(f"{unit} from deep: ") and "equal to their manifest" in line for line in said)
    restored = lab.paths.restored_record("deep", unit).parent / str(unit)
    for entry in Manifest.read(lab.paths.manifest(unit)):
        assert sha256_of(restored / entry.path) == (entry.size, entry.sha256)
    assert front.asked[key] == 1

    # Once the configuration says so, the same command needs no more, and drills leave such copies alone.
    shutil.rmtree(lab.paths.restored)
    destinations["deep"]["storage_class"] = "DEEP_ARCHIVE"
    lab.configure(destinations=destinations)
    assert any("equal to their manifest" in line for line in lab.snakemake(*asked, "--", "restore").ours)


def test_an_old_archive_in_a_vault_comes_back_by_one_command_and_is_modernised(
    make: Callable[..., Lab], vaults: VaultServer
) -> None:
    lab = make()
    lab.snakemake()
    vault = vaults.vault()
    made = lab.folder / "home" / "made"
    made.mkdir(parents=True)
    files = {f"media/lab/{CODE}/{CODE}_3/{CODE}_3_{n:04d}.avi": AVI * n for n in (1, 2)}
    body = encrypted(made / "old", packed(tar(files))).read_bytes()
    vaults.client.upload_archive(vaultName=vault, archiveDescription=f"{CODE}_vid.tar.gz.enc", body=body)
    (lab.folder / "home" / "password").write_bytes(PASSWORD + b"\n")
    (lab.folder / "home" / "password").chmod(0o600)
    place = {
        "type": "glacier",
        "zone": "outside",
        "form": "tarball",
        "region": "us-west-2",
        "kinds": [],
        "vault": vault,
    }
    place["endpoint_url"] = vaults.details["endpoint_url"]
    lab.configure(legacy_password_file="home/password", destinations={**lab.settings["destinations"], "glacier": place})
    for hours in (24, 6, 0):
        vaults.pass_time(hours * HOUR)
        lab.snakemake("--config", "from=glacier", "--", "verify")
    lab.ecogvault("adopt", "--from", "glacier")
    restore = ("--config", f"subject={CODE}", "from=glacier", "--", "restore")
    assert any(f"waiting for {CODE}_vid.tar.gz.enc: run" in line for line in lab.snakemake(*restore).ours)
    said = lab.snakemake("modernise").ours
    assert any("snakemake restore --config subject=df5c5206 from=glacier brings it here" in line for line in said)
    vaults.pass_time(5 * HOUR)
    said = lab.snakemake(*restore).ours
    assert any(line.startswith(f"{CODE}_vid.tar.gz.enc from glacier: 2 files") for line in said)
    found = {path.name: path.read_bytes() for path in (lab.folder / "restored" / "glacier").rglob("*.avi")}
    assert found == {path.rpartition("/")[2]: content for path, content in files.items()}
    assert any("it was brought back already" in line for line in lab.snakemake("modernise").ours)

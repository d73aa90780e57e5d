"""The README's chapter "Getting your data back": each of its commands is run, in its order, in a lab that needs it."""

import csv
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.storage.blob import BlobSasPermissions, generate_blob_sas
from clouds import AzureAccount
from lab import ROOT, Lab, Run, azure_destination

from ecogvault.manifest import Manifest
from ecogvault.naming import Unit
from ecogvault.sandbox.export import PLAIN_NAME
from ecogvault.sandbox.servers import running
from legacy_builder import AVI, PASSWORD, encrypted, packed, tar
from vaults import DAY, HOUR, VaultServer

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("azure"), pytest.mark.timeout(900)]

CHAPTER = "## Getting your data back\n"
OLD = "df5c5207"
FAILS = "# fails, and "  # the README itself says that this command fails
OLD_FILES = {f"media/lab/disk/{OLD}/{OLD}_1/{OLD}_1_{number:04d}.avi": AVI * number for number in (1, 2)}


def commands() -> list[str]:
    """The commands of the chapter, in order: the lines of its shell blocks, a loop as one."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    chapter = text.partition(CHAPTER)[2].partition("\n## ")[0]
    found: list[str] = []
    for block in re.findall(r"^```sh\n(.*?)^```$", chapter, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if found and found[-1].startswith("for ") and not found[-1].endswith("done"):
                found[-1] += f"\n{line}"
            else:
                found.append(line)
    return found


@pytest.fixture
def lab(make: Callable[..., Lab], vaults: VaultServer, tmp_path: Path) -> Iterator[Lab]:
    """A lab as the README has it, with Snakefile and config/ in the folder in which one works; all is archived."""
    with running(tmp_path / "azure", only=["azure"]) as services:
        lab = make()
        lab.azure = AzureAccount(services.azure)
        vaults.order(reset=True)
        place = {"type": "glacier", "zone": "outside", "form": "tarball", "region": "us-west-2", "part_size_mib": 1}
        s3, nas = (lab.settings["destinations"][name] for name in ("s3", "nas"))
        # What a destination leaves out could not come back from there alone.
        s3.pop("exclude")
        lab.configure(
            legacy_password_file="old.password",
            destinations={
                "s3": s3,
                "nas": {**nas, "registry": True},
                "glacier": {**place, "vault": vaults.vault(), "endpoint_url": vaults.details["endpoint_url"]},
                "azure-legacy": azure_destination(lab.azure, "legacy", kinds=[]),
            },
        )
        for name in ("Snakefile", "rules", "scripts", "profiles", "envs"):
            (lab.folder / name).symlink_to(ROOT / name)
        shutil.copytree(ROOT / "config", lab.folder / "config")
        shutil.copy(lab.folder / "config.yaml", lab.folder / "config")
        lab.snakemake()
        vaults.pass_time(DAY)
        old_estate(lab)
        yield lab
        lab.end()
        assert lab.leaks() == []
        lab.azure = None


def old_estate(lab: Lab) -> None:
    """One old archive in a container, the lab's spreadsheet, the old password, and the link that somebody sends."""
    assert lab.azure
    archive = encrypted(lab.folder / "home" / "made", packed(tar(OLD_FILES)))
    blob = lab.azure.container("legacy").upload_blob(f"{OLD}_vid.tar.gz.enc", archive.read_bytes())
    archive.unlink()
    (lab.folder / "old.password").write_bytes(PASSWORD + b"\n")
    (lab.folder / "old.password").chmod(0o600)
    with open(lab.folder / "people" / "codes.csv", "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("code", "name"), (OLD, f"{PLAIN_NAME.surname}, {PLAIN_NAME.given}")])
    client = lab.azure.client
    sas = generate_blob_sas(
        str(client.account_name),
        "legacy",
        blob.blob_name,
        account_key=client.credential.account_key,
        permission=BlobSasPermissions(read=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    (lab.folder / "link.txt").write_text(f"{blob.url}?{sas}\n")


def restored(lab: Lab, unit: Unit, destination: str) -> dict[str, bytes]:
    """What has come back of a unit, by path in its manifest."""
    folder = lab.paths.restored / destination / str(unit)
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {path: data for path, data in found.items() if path not in ("MANIFEST.tsv", "HOW-TO-OPEN.txt")}


def test_every_command_of_the_readmes_chapter_does_what_it_says(lab: Lab, vaults: VaultServer) -> None:
    code = lab.code()
    day = re.search(r"\d{4}-\d\d-\d\d", lab.ecogvault("order", code).output)
    assert day
    wanted = {
        unit: {one.path: (lab.paths.subject(code) / one.path).read_bytes() for one in Manifest.read(path)}
        for unit in lab.units()
        for path in [lab.paths.manifest(unit)]
    }
    edf, video = Unit(code, 1, "edf"), Unit(code, 1, "vid")
    clip = f"vid/{code}_1/{code}_1_0001.avi"
    here = {"df5c5206_3": f"{code}_1", "df5c5206": code, "_0007.avi": "_0001.avi", "2026-03-02": day[0]}
    here |= {"codes.csv": "people/codes.csv"}
    sent = {(one.bucket, one.key, one.etag) for one in lab.all_objects()}
    received = vaults.order()["bytes_received"]

    def comes(command: str) -> None:
        """What befalls the lab before a command."""
        if "adopt --list" in command:
            shutil.rmtree(lab.paths.restored / "azure-legacy")
        if "registry-restore" in command and "--list" in command:
            shutil.rmtree(lab.paths.private)
            shutil.rmtree(lab.paths.results)
            shutil.rmtree(lab.paths.restored)
        if FAILS in command:
            lab.client.delete_object(Bucket=lab.settings["destinations"]["s3"]["bucket"]["edf"], Key=lost)

    lost = f"{code}_edf/{code}_1.edf"
    run: dict[str, Run] = {}
    for shown in commands():
        command = shown
        for word, ours in here.items():
            command = command.replace(word, ours)
        comes(command)
        run[shown] = done = lab.run("bash", "-c", command, check=FAILS not in command)
        for _ in range(6):
            if "waiting for" not in done.output:
                break
            vaults.pass_time(12 * HOUR)
            run[shown] = done = lab.run("bash", "-c", command, check=FAILS not in command)
        assert "waiting for" not in done.output, command
        assert "not all came back" not in done.output
        assert (done.status != 0) == (FAILS in command)
        done_word = command.split("#")[0].strip()
        if "file=" in command:
            assert restored(lab, video, "nas") == {clip: wanted[video][clip]}
        elif "unit=" in command:
            name = "glacier" if "from=glacier" in command else "s3"
            assert restored(lab, video, name) == wanted[video]
        elif "kind=edf" in command:
            assert restored(lab, edf, "nas") == wanted[edf]
        elif done_word.endswith("from=azure-legacy") or "adopt --list" in command:
            old = {path.name: path.read_bytes() for path in lab.paths.restored.rglob(f"{OLD}_1_*.avi")}
            assert old == {Path(path).name: data for path, data in OLD_FILES.items()}
        elif "for code" in command:
            # The best copy of the video is the one that has come back before.
            assert all(files in [restored(lab, unit, name) for name in ("nas", "s3")] for unit, files in wanted.items())
        elif "legacy-open" in command:
            assert len(list((lab.folder / "there").rglob(f"{OLD}_1_*.avi"))) == 2
        elif "subject=" in command:
            assert {unit: restored(lab, unit, "s3") for unit in wanted} == wanted
        elif done_word == "snakemake --cores 2":
            assert {(one.bucket, one.key, one.etag) for one in lab.all_objects()} == sent
            assert vaults.order()["bytes_received"] == received
        elif "drill" in command:
            assert list((lab.paths.restored / ".drill").iterdir()) == []
        elif done_word.endswith("repair"):
            assert lost in lab.objects(lab.settings["destinations"]["s3"]["bucket"]["edf"])
    prune = next(one for command, one in run.items() if command.startswith("snakemake --cores 1 prune"))
    assert any(line.startswith(f"export of {code}: it may go") for line in prune.ours), prune.output
    assert len(run) >= 20

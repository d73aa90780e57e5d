"""The registry's own copy in the graph: when it is made, what is in it, and that it comes back."""

import shutil
import stat
from pathlib import Path

import pytest
from lab import Job, Lab

from ecogvault.records import read_record
from ecogvault.sandbox.export import PLAIN_NAME


def copies(lab: Lab) -> tuple[list[str], list[str]]:
    """Keys of the registry's copies in S3 and in the NAS folder, without their statements."""
    bucket = lab.settings["destinations"]["s3"]["bucket"]["edf"]
    there = [key for key in lab.objects(bucket) if key.startswith("registry/") and key.endswith(".age")]
    return sorted(there), sorted(path.name for path in (lab.folder / "nas/registry").glob("*.age"))


@pytest.fixture
def lab(archived_lab: Lab) -> Lab:
    """An archived lab that begins to keep the registry at two of its destinations."""
    for name in ("s3", "nas"):
        archived_lab.settings["destinations"][name]["registry"] = True
    archived_lab.configure(accept="manual")
    return archived_lab


def test_each_destination_gets_one_copy_and_another_only_when_the_registry_changed(lab: Lab) -> None:
    assert sorted(lab.snakemake().jobs) == [Job("keep_registry", "", "nas"), Job("keep_registry", "", "s3")]
    lab.snakemake("verify")
    assert lab.dry_run() == []
    # A record that was lost: the destination knows that it has this content.
    for record in (lab.folder / "results/registry").glob("*.json"):
        record.unlink()
    lab.snakemake()
    assert [len(some) for some in copies(lab)] == [1, 1]
    # A copy that somebody deleted: verify names it, and the next run has one there again.
    (lab.folder / "nas/registry" / copies(lab)[1][0]).unlink()
    run = lab.snakemake("verify", check=False)
    assert run.status != 0
    assert any(line.startswith("nas: the registry's copy of ") and "is missing" in line for line in run.ours)
    assert any(line.startswith("s3: the registry's copy of ") and line.endswith(" is listed") for line in run.ours)
    assert lab.snakemake().jobs == [Job("keep_registry", "", "nas")]
    lab.snakemake("verify")


@pytest.mark.slow
def test_a_new_person_is_copied_to_what_can_be_reached_and_comes_back_without_a_private_folder(lab: Lab) -> None:
    lab.register(PLAIN_NAME)
    assert sorted(lab.dry_run()) == [Job("keep_registry", "", "nas"), Job("keep_registry", "", "s3")]
    (lab.folder / "nas").rename(lab.folder / "nas-away")
    run = lab.snakemake(check=False)
    assert run.status != 0
    assert any(line.startswith("waiting: the registry's own copy to nas") for line in run.ours)
    (lab.folder / "nas-away").rename(lab.folder / "nas")
    assert lab.snakemake().jobs == [Job("keep_registry", "", "nas")]
    assert [len(some) for some in copies(lab)] == [1, 1]
    (record,) = (lab.folder / "results/registry").glob("s3.*.json")
    assert read_record(record)["key"] == copies(lab)[0][-1]

    # The private folder is lost, and with it everything that only it knew.
    kept = lab.folder / "home" / "private-before"
    (lab.folder / "private").rename(kept)
    listed = lab.ecogvault("registry-restore", "--from", "s3", "--list").output
    assert [line.split()[0] for line in listed.splitlines()] == [key[9:25] for key in reversed(copies(lab)[0])]
    lab.ecogvault("registry-restore", "--from", "s3", "-i", "escrow.key", "-C", "private")
    assert lab.code(PLAIN_NAME)
    assert lab.dry_run() == []

    before, after = files(kept), files(lab.folder / "private")
    lost = {name for name in set(before) - set(after) if not name.endswith(".lock")}
    assert lost == {"signing.key"}
    same = set(after) - {"audit.jsonl"} - {name for name in after if name.endswith(".lock")}
    assert {name for name in same if before[name].read_bytes() != after[name].read_bytes()} == set()
    assert {stat.S_IMODE(path.stat().st_mode) for path in after.values()} == {0o600}
    shutil.rmtree(kept)

    # Neither over what is there, nor with a key that is not a recipient's, nor without a believed seal.
    assert "not an empty folder" in refused(lab, "-i", "escrow.key", "-C", "private")
    (lab.folder / "signers.txt").write_text("0" * 64 + "\n")
    assert "not in signers.txt" in refused(lab, "-i", "escrow.key", "-C", "elsewhere")
    assert not (lab.folder / "elsewhere").exists()


def files(root: Path) -> dict[str, Path]:
    return {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}


def refused(lab: Lab, *words: str) -> str:
    run = lab.ecogvault("registry-restore", "--from", "s3", *words, check=False)
    assert run.status == 1
    return run.output

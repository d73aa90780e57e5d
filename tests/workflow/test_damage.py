"""Damage, on the real commands: a flipped byte, a full disk, a read error, a lost permission. Each is named."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from damage import READABLE, build_shim, small_disks, unreadable, without_rights
from lab import Job, Lab, Run
from test_reruns import LAST_DIGIT, change, flip, session, there

from ecogvault import chain, ledger
from ecogvault.audit import check as check_audit
from ecogvault.errors import EcogvaultError
from ecogvault.intake.assignment import read_sessions, read_units
from ecogvault.intake.slip import read_names, read_slip
from ecogvault.manifest import Manifest
from ecogvault.naming import Unit
from ecogvault.phi import read_verdict
from ecogvault.private import open_private
from ecogvault.records import read_record
from ecogvault.registry import load, parts
from ecogvault.stores.state import UploadState
from ecogvault.tarball import read_index_file
from ecogvault.transfer import Secret, transfer_state

pytestmark = pytest.mark.slow


@pytest.fixture
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("shim"))


# --- flipped bytes ----------------------------------------------------------------------------------------------------


def test_every_flipped_byte_of_every_kind_of_record_is_detected_and_its_file_is_named(archived_lab: Lab) -> None:
    lab = archived_lab
    paths, private, code = lab.paths, open_private(lab.config), lab.code()
    unit = Unit(code, 1, "edf")
    state, secrets = paths.transfer("s3", unit), paths.transfer_secrets("s3", unit)
    with transfer_state(state, secrets, what="a test") as transfer:
        upload: UploadState = transfer.upload("key")
        upload.begin("upload", 1, "digest")
        transfer.keep_secret("key", Secret(b"header", b"k" * 16, b"n" * 16), "0" * 64)

    def resumed() -> None:
        with transfer_state(state, secrets, what="a test"):
            pass

    (slip,) = paths.slips(code).glob(f"{unit}.*.json")
    index = paths.sealed(unit).with_name(f"{unit}.index.json")
    readers: dict[Path, Callable[[], Any]] = {
        paths.manifest(unit): lambda: Manifest.read(paths.manifest(unit)),
        paths.ledger("deep", unit): lambda: ledger.copies(paths.ledger("deep", unit)),
        paths.receipt("deep", unit): lambda: ledger.read_receipt(paths.receipt("deep", unit)),
        paths.statement(unit): lambda: read_record(paths.statement(unit)),
        paths.verdict(unit): lambda: read_verdict(paths.verdict(unit)),
        paths.sessions(code): lambda: read_sessions(paths, code),
        paths.units(code): lambda: read_units(paths, code),
        paths.names(unit): lambda: read_names(paths, unit),
        private.root / "subjects.tsv": lambda: load(private),
        private.root / "raw.tsv": lambda: parts(private, code),
        private.root / code / "statements.jsonl": lambda: chain.statements(private, unit),
        private.root / "audit.jsonl": lambda: check_audit(private),
        slip: lambda: read_slip(slip),
        index: lambda: read_index_file(index),
        state: resumed,
        secrets: resumed,
    }
    for path, read in readers.items():
        good = path.read_bytes()
        read()
        for at in range(len(good)):
            wrong = bytearray(good)
            wrong[at] ^= 1 << at % 8
            path.write_bytes(wrong)
            with pytest.raises(EcogvaultError) as caught:
                read()
            assert path.name in str(caught.value), (path.name, at)
        path.write_bytes(good)
        read()
    secrets.unlink()
    state.unlink()


def test_a_flipped_byte_is_named_by_the_command_that_reads_it_next(archived_lab: Lab) -> None:
    lab = archived_lab
    code = lab.code()
    unit = Unit(code, 1, "sync")
    paths = lab.paths
    private = paths.private

    def damaged(path: Path, run: Callable[[], Run]) -> None:
        status, good = path.stat(), path.read_bytes()
        flip(path, len(good) // 2)
        done = run()
        assert done.status != 0, path.name
        assert any(path.name in line for line in (*done.ours, *done.output.splitlines())), done.output
        path.write_bytes(good)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    damaged(private / "subjects.tsv", lambda: lab.snakemake("-n", check=False))
    damaged(private / "raw.tsv", lambda: lab.ecogvault("order", code, check=False))
    damaged(private / "audit.jsonl", lambda: lab.ecogvault("audit", check=False))
    damaged(paths.units(code), lambda: lab.snakemake(check=False))
    damaged(paths.ledger("deep", unit), lambda: lab.snakemake("verify", "--config", "from=deep", check=False))
    assert any(line.startswith("deep: 4 copies listed") for line in lab.runs[-1].ours)

    damaged(paths.receipt("s3", unit), lambda: lab.snakemake("verify", "--config", "from=s3", check=False))
    paths.receipt("s3", unit).unlink()
    (paths.ledger("s3", unit)).unlink()
    damaged(paths.verdict(unit), lambda: lab.snakemake(check=False))
    damaged(private / code / "statements.jsonl", lambda: lab.snakemake(check=False))
    assert lab.snakemake().jobs == [Job("upload_unit", str(unit), "s3")]


def test_a_sealed_tarball_with_a_flipped_byte_goes_nowhere(archived_lab: Lab) -> None:
    lab = archived_lab
    unit = Unit(lab.code(), 2, "sync")
    change(lab, session(lab, 2).snc, LAST_DIGIT)
    lab.snakemake("seal")
    sealed = lab.paths.sealed(unit)
    status = sealed.stat()
    flip(sealed, status.st_size // 2)
    os.utime(sealed, ns=(status.st_atime_ns, status.st_mtime_ns))
    before = set(lab.objects("lab-deep"))
    failed = lab.snakemake(check=False)
    assert failed.status != 0
    assert any(f"{sealed.name} is damaged" in line for line in failed.ours), failed.output
    assert set(lab.objects("lab-deep")) == before
    assert not lab.paths.receipt("deep", unit).exists()
    sealed.unlink()
    lab.snakemake()
    lab.snakemake("restore", "--config", f"unit={unit}", "from=deep")


def test_verify_finds_what_is_missing_foreign_or_rotten_and_the_next_run_mends_what_it_may(archived_lab: Lab) -> None:
    lab = archived_lab
    code = lab.code()
    gone, foreign, rotten = Unit(code, 2, "vid"), Unit(code, 1, "edf"), Unit(code, 1, "vid")
    lost = next(key for key in lab.objects("lab-vid") if f"{gone.session}_0001.avi" in key)
    lab.client.delete_object(Bucket="lab-vid", Key=lost)
    taken = f"{code}_edf/{code}_1.edf"
    lab.client.put_object(Bucket="lab-edf", Key=taken, Body=b"somebody else's")
    clip = next((lab.folder / "nas" / "video" / code / rotten.session).glob("*_0001.avi"))
    good, status = clip.read_bytes(), clip.stat()
    clip.chmod(0o640)
    flip(clip, len(good) // 2)
    os.utime(clip, ns=(status.st_atime_ns, status.st_mtime_ns))

    listed = lab.snakemake("verify", "--config", "from=nas")
    assert "nas: 5 copies listed" in listed.ours  # no listing shows the rotten one
    found = lab.snakemake("verify", "--config", "rehash_gib=5", check=False)
    assert found.status != 0
    said = {line.partition(":")[0]: line for line in found.ours if line.partition(":")[0] in ("s3", "deep", "nas")}
    assert said["s3"].startswith("s3: 3 copies listed; 3 rehashed")
    assert f"{lost} is missing" in said["s3"]
    assert f"{taken} is wrong" in said["s3"]
    assert said["deep"].startswith("deep: 5 copies listed; 5 rehashed")
    assert said["nas"].startswith("nas: 5 copies listed; 4 rehashed")
    assert f"{clip.name} is wrong" in said["nas"]
    jobs = {Job("upload_unit", str(unit), place) for unit, place in ((gone, "s3"), (foreign, "s3"), (rotten, "nas"))}
    assert set(lab.dry_run()) == jobs

    # What nobody has mended yet is named again, and the copies that are good stay good.
    again = lab.snakemake("verify", check=False)
    assert again.status != 0
    named = {line.partition(":")[0]: line for line in again.ours if line.partition(":")[0] in said}
    assert f"{lost} is missing (found " in named["s3"]
    assert f"{taken} is wrong (found " in named["s3"]
    assert f"{clip.name} is wrong (found " in named["nas"]
    assert "wrong" not in named["deep"]

    before = there(lab)
    run = lab.snakemake()
    assert set(run.jobs) == jobs
    after = there(lab)
    assert after.keys() - before.keys() == {
        ("lab-vid", lost),
        ("nas", f"superseded/g1/{clip.relative_to(lab.folder / 'nas')}"),
    }
    assert clip.read_bytes() == good
    # What somebody else put there is an older version now, beside the one that was confirmed first.
    versions = lab.client.list_object_versions(Bucket="lab-edf", Prefix=taken)["Versions"]
    assert [one["Size"] for one in versions].count(len(b"somebody else's")) == 1
    assert len(versions) == 3
    assert versions[0]["IsLatest"]
    assert versions[0]["Size"] == versions[2]["Size"]

    verified = lab.snakemake("verify", "--config", "rehash_gib=5")
    assert all(any(line.startswith(f"{name}: 5 copies listed; 5 rehashed") for line in verified.ours) for name in said)
    assert lab.dry_run() == []


# --- disks and rights -------------------------------------------------------------------------------------------------


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, but for locks and what keeps a mounted folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock" and path.name != ".kept"
    }


def first_sample(recording: Path | None) -> int:
    """Where the samples of a recording begin: behind its header, whose length is its third field."""
    assert recording is not None
    return int(recording.read_bytes()[184:192])


def test_a_full_disk_leaves_nothing_half_written_and_the_next_run_succeeds(archived_lab: Lab) -> None:
    lab = archived_lab
    code = lab.code()
    recording, video = Unit(code, 1, "edf"), Unit(code, 2, "vid")
    folder = session(lab, 2).folder
    assert folder is not None
    change(lab, next(folder.glob("*_0001.avi")))
    change(lab, session(lab, 1).edf, first_sample(session(lab, 1).edf))
    spare = {"type": "folder", "zone": "inside", "form": "files", "path": "spare", "kinds": ["vid"], "encrypt": True}
    lab.configure(destinations={**lab.settings["destinations"], "spare": spare})
    root = lab.paths.subject(code)
    # Snakemake removes a job's old outputs, and these would be back when the small disk over them is gone.
    for old in (root / "sealed").glob(f"{video}.*"):
        old.unlink()
    disks = (root / "edf", root / "sealed", lab.folder / "spare")
    with small_disks(*disks, size="8k"):
        failed = lab.snakemake(check=False)
        assert failed.status != 0
        told = [line for line in failed.ours if line.startswith("failed")]
        wanted = ("deidentify_edf", "seal_unit", "upload_unit spare")
        assert all(any(rule in line for line in told) for rule in wanted), failed.output
        assert all("make room, then run again" in line for line in told), failed.output
        assert files(root / "edf") == {}
        assert files(root / "sealed") == {}
        assert not lab.paths.receipt("spare", video).exists()
        assert not lab.paths.manifest(recording).exists()
        assert lab.half_written() == []
    lab.snakemake()
    assert lab.dry_run() == []
    assert {str(unit): read_units(lab.paths, code)[unit].generation for unit in (recording, video)} == {
        str(recording): 2,
        str(video): 2,
    }
    lab.snakemake("verify")


def test_a_read_error_in_the_middle_of_a_file_leaves_nothing_half_written_and_the_next_run_succeeds(
    archived_lab: Lab, shim: Path
) -> None:
    lab = archived_lab
    code = lab.code()
    recording = Unit(code, 1, "edf")
    raw = session(lab, 1).edf
    assert raw is not None
    change(lab, raw, first_sample(raw))
    before = there(lab)
    lab.environment |= unreadable(shim, raw.name, raw.stat().st_size // 2)
    failed = lab.snakemake(check=False)
    assert failed.status != 0
    assert any(str(recording) in line or "deidentify_edf" in line for line in failed.ours if "Input/output" in line), (
        failed.output
    )
    assert not lab.paths.manifest(recording).exists()
    assert files(lab.paths.subject(code) / "edf") == {}
    assert there(lab) == before

    # The same in a sealed tarball on its way out.
    lab.environment |= READABLE
    lab.snakemake("seal")
    sealed = lab.paths.sealed(recording)
    lab.environment |= unreadable(shim, f"/{sealed.name}", sealed.stat().st_size // 2)
    failed = lab.snakemake(check=False)
    assert failed.status != 0
    assert any("Input/output" in line and "deep" in line for line in failed.ours), failed.output
    assert not any(".g2." in key for key in lab.objects("lab-deep"))
    assert lab.paths.receipt("nas", recording).exists()

    lab.environment |= READABLE
    assert lab.snakemake().jobs == [Job("upload_unit", str(recording), "deep")]
    lab.snakemake("restore", "--config", f"unit={recording}", "from=deep")


def test_a_lost_permission_leaves_nothing_half_written_and_the_next_run_succeeds(archived_lab: Lab) -> None:
    lab = archived_lab
    code = lab.code()
    recording, texts = Unit(code, 1, "edf"), Unit(code, 2, "sync")
    raw = session(lab, 1).edf
    assert raw is not None
    change(lab, session(lab, 2).snc, LAST_DIGIT)
    change(lab, raw, first_sample(raw))
    nas = lab.folder / "nas" / "snc" / code
    mode = nas.stat().st_mode
    before = files(nas)
    raw.chmod(0)
    nas.chmod(0o500)
    try:
        failed = lab.snakemake(check=False, prefix=without_rights())
    finally:
        nas.chmod(mode)
        raw.chmod(0o640)
    assert failed.status != 0
    told = [line for line in failed.ours if line.startswith("failed") and "ermission denied" in line]
    assert any("deidentify_edf" in line for line in told), failed.output
    assert any("nas" in line for line in told), failed.output
    assert files(nas) == before
    assert not lab.paths.manifest(recording).exists()
    assert not lab.paths.receipt("nas", texts).exists()
    assert lab.paths.receipt("s3", texts).exists()
    lab.snakemake()
    assert lab.dry_run() == []

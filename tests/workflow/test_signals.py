"""Whole runs that are killed, told to end, or started twice: the next one goes on, and nobody harms anybody.

A job is caught while it holds the lock of what it makes, and stopped there: each test acts at the moment it means to.
"""

import hashlib
import io
import os
import re
import shlex
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from kills import MIB, PART, enlarge
from lab import Lab, Run

from ecogvault import ledger
from ecogvault.age import decrypt_stream, read_identities
from ecogvault.digests import TreeHash
from ecogvault.files import TEMPORARY_SUFFIX, holder
from ecogvault.naming import Unit
from ecogvault.records import read_journal, read_record
from ecogvault.sandbox.export import HARD_NAME
from leaks import Stored

pytestmark = pytest.mark.slow

SECONDS = 120  # until something is taken never to happen
STEPS = 5_000
MOMENTS = ("deidentify", "seal", "upload")
UNLOCK = re.compile(r"an earlier run was killed here and has left its lock: run `(.+ --unlock)`, then `(.+)`")


@pytest.fixture
def big(make: Callable[..., Lab]) -> Lab:
    """A new lab with one session folder and nothing else of the person; its files go in several parts."""
    lab = make(people=())
    (session,) = lab.export.of(HARD_NAME)
    for path in (session.edf, session.snc, session.vtc):
        assert path is not None
        path.unlink()
    assert session.folder is not None
    for kind in ("snc", "vtc"):  # of which texts would be made
        (session.folder / f"{session.stem}.{kind}").unlink()
    enlarge(lab)
    lab.register(HARD_NAME)
    for destination in lab.settings["destinations"].values():
        if destination["type"] == "s3":
            destination |= {"part_size_mib": PART // MIB, "connections": 1}
    lab.configure(link="copy")
    return lab


def until(condition: Callable[[], object]) -> None:
    """Wait for `condition`, asked every few milliseconds."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        threading.Event().wait(0.002)


def unit_of(lab: Lab) -> Unit:
    return Unit(lab.code(), 1, "vid")


def loading(lab: Lab) -> list[int]:
    """The jobs of a lab that have begun, and that have no log yet."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):
            words = path.read_bytes().split(b"\0")
            if words[0].endswith(b"python") and str(lab.folder / ".snakemake/scripts").encode() in words[1]:
                found.append(int(path.parent.name))
    return [] if list((lab.folder / "logs").rglob("*.log")) else found


def lock_of(lab: Lab, moment: str) -> Path:
    """What a job holds while it does the work that `moment` names."""
    unit = unit_of(lab)
    return {
        "deidentify": lab.paths.manifest(unit).parent / f".{unit}.lock",
        "seal": lab.paths.sealed(unit).parent / f".{unit}.lock",
        "upload": lab.paths.transfer("s3", unit).with_suffix(".lock"),
        "copy": lab.paths.transfer("nas", unit).with_suffix(".lock"),
        "restore": lab.folder / "restored" / "s3" / f".{unit}.lock",
    }[moment]


def log_of(lab: Lab, moment: str) -> Path:
    """The log of that job."""
    unit = unit_of(lab)
    rule = {"deidentify": "deidentify_vid", "seal": "seal_unit", "upload": "upload_unit/s3"}[moment]
    return lab.folder / "logs" / rule / f"{unit}.log"


def stages(lab: Lab) -> list[tuple[str, Path, str]]:
    """What happens one after the other, where it then writes, and the target that goes no further."""
    subject = lab.paths.subject(lab.code())
    return [
        ("deidentify", subject / "vid", "deidentify"),
        ("seal", subject / "sealed", "seal"),
        ("copy", lab.folder / "nas", "upload"),
    ]


def stop_at(lock: Path, when: Callable[[], object] = lambda: True) -> int:
    """Stop the job that holds `lock`, and let it go on in small steps until `when` holds; returns its process id."""
    until(lambda: holder(lock))
    told = re.match(r"process (\d+) on", holder(lock) or "")
    assert told, "the job was done before it could be stopped"
    job = int(told[1])
    pause(job)
    for _ in range(STEPS):
        if when():
            return job
        assert holder(lock), "the job was done before it came to that"
        os.kill(job, signal.SIGCONT)
        threading.Event().wait(0.004)
        pause(job)
    raise AssertionError("the job never came to that")


def pause(job: int) -> None:
    """Stop a process, and wait until it stands still."""
    os.kill(job, signal.SIGSTOP)
    until(lambda: all(path.read_text().rpartition(")")[2].split()[0] in "TtZ" for path in tasks(job)))


def tasks(job: int) -> list[Path]:
    """What the system says of each thread of a process."""
    return [path / "stat" for path in Path(f"/proc/{job}/task").iterdir()]


def half_written(folder: Path) -> bool:
    """Whether a file is being written below `folder`, and is not empty any more."""
    for path in folder.rglob(f".*{TEMPORARY_SUFFIX}"):
        with suppress(FileNotFoundError):
            if path.is_file() and path.stat().st_size:
                return True
    return False


def text_of(log: Path) -> str:
    """What a log says; nothing while there is none."""
    try:
        return log.read_text()
    except FileNotFoundError:
        return ""


def shell(lab: Lab, command: str) -> Run:
    """Type a command as it was told."""
    return lab.run("sh", "-c", command, check=False)


def unlock(lab: Lab) -> str:
    """Start a run in a locked folder, do the first thing that it says, and return the second."""
    refused = lab.snakemake(check=False)
    assert refused.status != 0
    assert "Directory cannot be locked" in refused.output
    told = [match for line in refused.ours if (match := UNLOCK.fullmatch(line))]
    assert len(told) == 1, refused.output
    first, then = told[0].groups()
    assert shlex.split(then) == ["snakemake", *map(str, lab.snakemake_command()[3:])]
    unlocked = shell(lab, first)
    assert unlocked.status == 0, unlocked.output
    assert not UNLOCK.search(unlocked.output)
    return then


def prove_archived(lab: Lab) -> None:
    """Prove that every unit is at every destination, whole, once, and as ledger and receipt say."""
    assert lab.dry_run() == []
    keys = read_identities(lab.folder / "daily.key")
    everything = {bucket: lab.objects(bucket) for bucket in lab.buckets}
    for bucket, objects in everything.items():
        versions = lab.client.list_object_versions(Bucket=bucket).get("Versions", [])
        assert sorted(one["Key"] for one in versions) == sorted(objects), "an object was stored twice"
    told: dict[str, set[str]] = {bucket: {"HOW-TO-OPEN.txt"} for bucket in everything if everything[bucket]}
    for name in lab.settings["destinations"]:
        for unit in lab.units():
            (copy,) = ledger.copies(lab.paths.ledger(name, unit)).values()
            record = ledger.read_receipt(lab.paths.receipt(name, unit))
            assert (record["evidence"], record["generation"]) == ("acknowledged", 1)
            assert [dict(one) for one in sorted(copy.objects, key=lambda one: one["key"])] == record["objects"]
            for one in record["objects"]:
                if one["bucket"] is None:
                    prove_content(one, (lab.folder / "nas" / one["key"]).read_bytes(), keys)
                    continue
                stored: Stored = everything[one["bucket"]][one["key"]]
                assert (one["size"], one["version_id"]) == (stored.size, stored.version_id)
                prove_content(one, stored.content, keys)
                told[one["bucket"]].add(one["key"])
            assert not lab.paths.transfer(name, unit).exists()
            assert not lab.paths.transfer_secrets(name, unit).exists()
    assert told == {bucket: set(objects) for bucket, objects in everything.items() if objects}
    assert not lab.unfinished_uploads()


def prove_content(one, data: bytes, keys) -> None:
    """Prove that an object's bytes are those that its record stands for."""
    if one["sha256_tree"]:
        tree = TreeHash()
        tree.update(data)
        assert tree.hexdigest() == one["sha256_tree"]
    if one.get("path"):
        digest = hashlib.sha256()
        if one["key"].endswith(".age"):
            decrypt_stream(io.BytesIO(data), keys, digest.update)
        else:
            digest.update(data)
        assert digest.hexdigest() == one["sha256"]


# --- kill -9 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", MOMENTS)
def test_after_a_kill_the_next_run_says_how_to_unlock_and_neither_it_nor_the_orphan_harms_the_other(
    big: Lab, moment: str
) -> None:
    killed = big.start(*big.snakemake_command())
    orphan = stop_at(lock_of(big, moment))
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait(SECONDS)
    again = unlock(big)
    # The new run's job waits for the orphan's, which goes on where it was stopped.
    running = big.start("sh", "-c", again)
    until(lambda: f"is in use by process {orphan} on" in text_of(log_of(big, moment)))
    os.kill(orphan, signal.SIGCONT)
    big.wait(running)
    assert big.wait(killed, check=False).status == -signal.SIGKILL
    prove_archived(big)


def test_what_a_kill_of_everything_left_half_written_is_removed_by_the_next_run(big: Lab) -> None:
    for moment, root, target in stages(big):
        killed = big.start(*big.snakemake_command(target))
        stop_at(lock_of(big, moment), lambda root=root: half_written(root))
        big.kill(killed)
        assert big.half_written()
        big.snakemake("--unlock")
    big.snakemake()
    assert not big.half_written()
    big.may_be_unfinished = False
    prove_archived(big)


def test_a_restore_that_was_killed_leaves_nothing_half_written_after_the_next(big: Lab) -> None:
    big.snakemake()
    words = ("restore", "--config", f"unit={unit_of(big)}", "from=s3")
    killed = big.start(*big.snakemake_command(*words))
    stop_at(lock_of(big, "restore"), lambda: half_written(big.folder / "restored"))
    big.kill(killed)
    assert any(name.startswith("restored/") for name in big.half_written())
    told = big.snakemake(*words, check=False)
    (match,) = [match for line in told.ours if (match := UNLOCK.fullmatch(line))]
    for command in match.groups():
        assert shell(big, command).status == 0
    assert not big.half_written()
    big.may_be_unfinished = False
    assert read_record(big.folder / "restored" / "s3" / f"{unit_of(big)}.json")["files"] > 3


# --- two runs ---------------------------------------------------------------------------------------------------------


def test_a_second_run_says_who_runs_already_and_neither_runs_nor_unlocks(big: Lab) -> None:
    first = big.start(*big.snakemake_command())
    job = stop_at(lock_of(big, "seal"))
    second = big.snakemake(check=False)
    assert second.status != 0
    assert not second.jobs
    who = rf"another run is going on here: process {first.pid} on \S+ since [-+:T\d]+"
    assert [line for line in second.ours if re.match(who, line)], second.output
    refused = big.snakemake("--unlock", check=False)
    assert refused.status != 0
    assert re.search(who, refused.output)
    os.kill(job, signal.SIGCONT)
    big.wait(first)
    prove_archived(big)


# --- told to end ------------------------------------------------------------------------------------------------------


def parts_there(lab: Lab) -> int:
    """Parts that the S3 server has of the session folder's unfinished upload."""
    bucket = lab.settings["destinations"]["s3"]["bucket"]["vid"]
    client = lab.client
    found = 0
    for upload in client.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
        listed = client.list_parts(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        found += len({part["PartNumber"] for part in listed.get("Parts", [])})
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
def test_an_upload_that_is_interrupted_says_so_and_goes_on_where_it_was(big: Lab, number: int) -> None:
    big.snakemake("deidentify", "seal")
    running = big.start(*big.snakemake_command("upload"))
    job = stop_at(lock_of(big, "upload"), lambda: parts_there(big) >= 2)
    there = parts_there(big)
    assert there >= 2
    os.killpg(running.pid, number)
    os.kill(job, signal.SIGCONT)
    ended = big.wait(running, check=False)
    assert ended.status not in (0, -number), ended.output
    unit = unit_of(big)
    interrupted = [line for line in ended.ours if line.startswith("failed: upload_unit s3")]
    assert len(interrupted) == 1
    assert f"{unit}" in interrupted[0]
    assert "interrupted; what was done is kept, run again to go on (log: logs/upload_unit/s3/" in interrupted[0]
    (following,) = [line.partition("snakemake")[2] for line in ended.ours if line.startswith("next: ")]
    assert not big.paths.receipt("s3", unit).exists()
    assert not big.half_written()
    uploads = set(big.unfinished_uploads())
    assert uploads
    left = parts_there(big)
    assert left >= there

    shell(big, f"snakemake{following}")
    done = [line for line in read_journal(big.paths.ledger("s3", unit)) if line["event"] == "acknowledged"]
    (copy,) = ledger.copies(big.paths.ledger("s3", unit)).values()
    assert len(done) == 1
    assert done[0]["bytes_sent"] <= copy.size - (left - 1) * PART
    assert {one["key"] for one in copy.objects} >= uploads
    big.snakemake()
    prove_archived(big)


def test_ctrl_c_leaves_nothing_half_written_but_what_the_next_run_goes_on_with(big: Lab) -> None:
    for moment, root, target in stages(big):
        running = big.start(*big.snakemake_command(target))
        job = stop_at(lock_of(big, moment), lambda root=root: half_written(root))
        os.killpg(running.pid, signal.SIGINT)
        os.kill(job, signal.SIGCONT)
        ended = big.wait(running, check=False)
        assert ended.status > 0
        assert any("interrupted" in line for line in ended.ours), ended.output
        assert ended.ours[-1].startswith("next: ")
        # Of a copy to a folder, what is more than 16 MiB is kept.
        left = big.half_written()
        assert all(name.startswith("nas/") and "_0002.avi" in name for name in left), left
        assert not left or moment == "copy"
    big.snakemake()
    prove_archived(big)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_job_that_is_interrupted_while_it_loads_its_modules_says_so_and_nothing_else(
    big: Lab, number: signal.Signals
) -> None:
    running = big.start(*big.snakemake_command())
    until(lambda: loading(big))
    os.killpg(running.pid, number)
    ended = big.wait(running, check=False)  # that no traceback is shown is proven of every run
    assert ended.status > 0
    said = [line for line in ended.ours if ": interrupted; what was done is kept, run again to go on" in line]
    assert said, ended.output
    big.snakemake()
    prove_archived(big)


def test_a_run_that_is_told_to_end_finishes_what_runs_and_begins_nothing_new(big: Lab) -> None:
    running = big.start(*big.snakemake_command())
    job = stop_at(lock_of(big, "deidentify"))
    os.kill(running.pid, signal.SIGTERM)
    os.kill(job, signal.SIGCONT)
    ended = big.wait(running, check=False)
    assert ended.status not in (0, -signal.SIGTERM)
    assert "Will exit after finishing currently running jobs" in ended.output
    assert big.paths.manifest(unit_of(big)).exists()
    assert {job.rule for job in ended.jobs} <= {"order_unit", "deidentify_vid", "keep_registry"}
    assert [line for line in ended.ours if line.startswith("done: 0 of 3 copies")], ended.output
    assert ended.ours[-1] == "next: " + shlex.join(["snakemake", *map(str, big.snakemake_command()[3:])])
    big.snakemake()
    prove_archived(big)

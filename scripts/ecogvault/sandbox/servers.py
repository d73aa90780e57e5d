"""`sandbox up` and `sandbox down`: all local servers of one folder, and the file that says where they are.

`DIR/sandbox.json` (0600) holds, per service, what a client needs: for S3 `endpoint_url`, `region`,
`aws_access_key_id`, `aws_secret_access_key`, `pids` (and `started`, see processes), for Glacier the same. It exists
while the servers run.
Source: DESIGN, section 7.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ecogvault.files import lock, replacing
from ecogvault.sandbox import s3
from ecogvault.sandbox.glacier import service as glacier
from ecogvault.sandbox.service import Details, Service

FILE = "sandbox.json"

SERVICES: tuple[Service, ...] = (s3.SERVICE, glacier.SERVICE)


@dataclass(frozen=True)
class Services:
    """Running local servers: the folder they live in, and each one's details as in sandbox.json."""

    folder: Path
    s3: Details
    glacier: Details


def read(folder: Path) -> dict[str, Details] | None:
    """The content of `folder/sandbox.json`; None if there is none or it is not readable."""
    try:
        known = json.loads((folder / FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return known if isinstance(known, dict) else None


def are_up(folder: Path) -> bool:
    """Whether every service answers."""
    known = read(folder)
    return known is not None and all(
        service.name in known and service.answers(known[service.name]) for service in SERVICES
    )


def up(folder: Path) -> dict[str, Details]:
    """Start the local servers of `folder` (made if missing) and return what sandbox.json says.

    Servers that answer are left as they are; what is left of dead ones is replaced, their data kept. Servers outlive
    the calling process and its terminal. Raises SandboxError; then none is left running.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(folder):
        known = read(folder)
        if known is not None and are_up(folder):
            return known
        (folder / FILE).unlink(missing_ok=True)
        try:
            with ThreadPoolExecutor(len(SERVICES)) as pool:
                begun = {one.name: pool.submit(one.start, folder / one.name) for one in SERVICES}
            details = {name: future.result() for name, future in begun.items()}
            with replacing(folder / FILE, mode=0o600) as stream:
                stream.write(json.dumps(details, indent=1).encode() + b"\n")
        except BaseException:
            _stop(folder)
            raise
        return details


def down(folder: Path) -> None:
    """End exactly the servers that up() started in this folder; their data stays. Idempotent. Raises SandboxError."""
    if not folder.is_dir():
        return
    with _alone(folder):
        (folder / FILE).unlink(missing_ok=True)
        _stop(folder)


def _stop(folder: Path) -> None:
    for service in reversed(SERVICES):
        service.stop(folder / service.name)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with lock(folder / "sandbox.lock", what="the sandbox"):
        yield


@contextmanager
def running(folder: Path) -> Iterator[Services]:
    """Local servers for the length of a block, ended after it whatever happens in it."""
    try:
        yield Services(folder, **up(folder))
    finally:
        down(folder)

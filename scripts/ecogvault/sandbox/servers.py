"""`sandbox up` and `sandbox down`: all local servers of one folder, and the file that says where they are.

`DIR/sandbox.json` (0600) holds, per service, what a client needs: for S3 `endpoint_url`, `region`,
`aws_access_key_id`, `aws_secret_access_key`, `pids` (and `started`, see processes), for Glacier the same, for Azure
`account_url`, `connection_string`, `pids`, `started`. It exists while the servers run.
Source: DESIGN, section 7.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ecogvault.files import lock, replacing
from ecogvault.sandbox import azure, s3
from ecogvault.sandbox.glacier import service as glacier
from ecogvault.sandbox.processes import SandboxError
from ecogvault.sandbox.service import Details, Service

FILE = "sandbox.json"

SERVICES: tuple[Service, ...] = (s3.SERVICE, glacier.SERVICE, azure.SERVICE)
NAMES = tuple(service.name for service in SERVICES)


@dataclass(frozen=True)
class Services:
    """Running local servers: the folder they live in, and each one's details as in sandbox.json."""

    folder: Path
    details: Mapping[str, Details]

    @property
    def s3(self) -> Details:
        """The S3 server's."""
        return self.details["s3"]

    @property
    def glacier(self) -> Details:
        """The vault server's."""
        return self.details["glacier"]

    @property
    def azure(self) -> Details:
        """The Azure server's."""
        return self.details["azure"]


def read(folder: Path) -> dict[str, Details] | None:
    """The content of `folder/sandbox.json`; None if there is none or it is not readable."""
    try:
        known = json.loads((folder / FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return known if isinstance(known, dict) else None


def wanted(only: Sequence[str] | None) -> list[Service]:
    """The services called `only`, or all that this machine can run. Raises SandboxError for one that it cannot."""
    for service in SERVICES:
        reason = service.lacking() if only is not None and service.name in only else None
        if reason:
            raise SandboxError(f"the local server {service.name} cannot run here: {reason}")
    return [service for service in SERVICES if (service.lacking() is None if only is None else service.name in only)]


def are_up(folder: Path, only: Sequence[str] | None = None) -> bool:
    """Whether every service answers: those called `only`, or all that this machine can run."""
    return _answer(read(folder) or {}, wanted(only))


def _answer(known: Mapping[str, Details], services: Sequence[Service]) -> bool:
    return all(service.name in known and service.answers(known[service.name]) for service in services)


def up(folder: Path, only: Sequence[str] | None = None) -> dict[str, Details]:
    """Start the local servers of `folder` (made if missing) and return what sandbox.json says.

    They are those called `only`, or all that this machine can run, beside those that run already. Servers that answer
    are left as they are; what is left of dead ones is replaced, their data kept. Servers outlive the calling process
    and its terminal. Raises SandboxError; then none is left running.
    """
    asked = wanted(only)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(folder):
        known = read(folder) or {}
        services = [service for service in SERVICES if service in asked or service.name in known]
        if known and _answer(known, services):
            return known
        (folder / FILE).unlink(missing_ok=True)
        try:
            with ThreadPoolExecutor(len(services)) as pool:
                begun = {one.name: pool.submit(one.start, folder / one.name) for one in services}
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
def running(folder: Path, only: Sequence[str] | None = None) -> Iterator[Services]:
    """Local servers (see up) for the length of a block, ended after it whatever happens in it."""
    try:
        yield Services(folder, up(folder, only))
    finally:
        down(folder)

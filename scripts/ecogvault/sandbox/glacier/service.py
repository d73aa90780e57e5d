"""The vault service of a sandbox as a process of its own, and how it is given orders."""

import json
import os
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecogvault.sandbox import aws
from ecogvault.sandbox.glacier.control import PATH
from ecogvault.sandbox.processes import free_ports
from ecogvault.sandbox.service import Details, Service, State

ACCOUNT = "111122223333"


def order(details: Mapping[str, Any], **orders: Any) -> dict[str, Any]:
    """Have the service do something that only a sandbox can (see control), and return what it tells of itself."""
    address = details["endpoint_url"] + PATH
    data = json.dumps(orders).encode() if orders else None
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        told: dict[str, Any] = json.load(answer)
    return told


def answers(details: Details) -> bool:
    """Whether the service answers a ListVaults signed with its own keys (a foreign server on the port does not)."""
    from botocore.exceptions import BotoCoreError, ClientError

    with aws.client("glacier", details) as client:
        try:
            client.list_vaults(accountId="-")
        except (BotoCoreError, ClientError):
            return False
    return True


def _first(folder: Path) -> State:
    return {**aws.first(folder), "account": ACCOUNT}


def _ports() -> dict[str, int]:
    return {"http": free_ports(1)[0]}


def _command(python: Path, folder: Path, state: State) -> list[str]:
    return [str(python), "-m", "ecogvault.sandbox.glacier", str(folder)]


def _environment(folder: Path, state: State) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}


SERVICE = Service(
    name="glacier",
    title="local vault service",
    program=lambda: Path(sys.executable),
    first=_first,
    ports=_ports,
    door="http",
    command=_command,
    environment=_environment,
    details=lambda state: aws.details(state, state["ports"]["http"]),
    answers=answers,
)

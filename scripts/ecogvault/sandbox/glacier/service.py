"""Starting and ending the vault service of a sandbox, and giving it orders.

Files in the service's folder: `server.json` (0600: keys, port and process, kept so that the next start has the same
address and keys), `server.log`, `data/`.
"""

import json
import os
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecogvault.files import replacing
from ecogvault.sandbox.glacier.control import PATH
from ecogvault.sandbox.keys import aws_keys
from ecogvault.sandbox.processes import SandboxError, end, free_ports, is_free, is_running, spawn
from ecogvault.sandbox.service import Details, Service

REGION = "us-west-2"
ACCOUNT = "111122223333"
START_SECONDS = 30.0
ATTEMPTS = 3


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
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "glacier",
        endpoint_url=details["endpoint_url"],
        region_name=details["region"],
        aws_access_key_id=details["aws_access_key_id"],
        aws_secret_access_key=details["aws_secret_access_key"],
        config=Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1}, proxies={}),
    )
    try:
        client.list_vaults(accountId="-")
    except (BotoCoreError, ClientError):
        return False
    finally:
        client.close()
    return True


def start(folder: Path) -> Details:
    """Start the service with its data in `folder/data`, or with the data, keys and port that it had before.

    Returns its details when it answers. Raises SandboxError; then no process is left.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    stop(folder)
    state = _read(folder) or aws_keys(folder.parent) | {"region": REGION, "account": ACCOUNT, "port": None}
    for _ in range(ATTEMPTS):
        if state["port"] is None or not is_free(state["port"]):
            state["port"] = free_ports(1)[0]
        if _begin(folder, state):
            return _details(state)
        stop(folder)
        state["port"] = None
    raise SandboxError(f"the local vault service does not start: {folder / 'server.log'} says why")


def stop(folder: Path) -> None:
    """End the service if it runs. Idempotent."""
    state = _read(folder)
    if state is None or "process" not in state:
        return
    end(state["process"])
    _write(folder, {key: value for key, value in state.items() if key != "process"})


def _begin(folder: Path, state: dict[str, Any]) -> bool:
    _write(folder, {key: value for key, value in state.items() if key != "process"})
    root = str(Path(__file__).parents[3])
    state["process"] = spawn(
        [sys.executable, "-m", "ecogvault.sandbox.glacier", str(folder.absolute())],
        environment=os.environ | {"PYTHONPATH": root},
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
        if not is_free(state["port"]) and answers(_details(state)):
            return is_running(state["process"])
        threading.Event().wait(pause)
        pause = min(pause * 1.3, 0.5)
    return False


def _details(state: Mapping[str, Any]) -> Details:
    return {
        "endpoint_url": f"http://127.0.0.1:{state['port']}",
        "region": state["region"],
        "aws_access_key_id": state["aws_access_key_id"],
        "aws_secret_access_key": state["aws_secret_access_key"],
        "pids": [state["process"]["pid"]],
        "started": [state["process"]["started"]],
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


SERVICE = Service("glacier", start, answers, stop)

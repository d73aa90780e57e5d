"""The local Azure server: Azurite's blob service (npm), on 127.0.0.1, with an account and a key of its own.

Files in the service's folder: `server.json` (0600: account, key, port and process, kept so that the next start has the
same address and key), `server.log`, `data/`. Azurite itself is installed by `npm ci` from the lock file in `azurite/`
beside this module, once for all sandboxes, into `.tools/azurite`. Options: `azurite-blob --help`, Azurite 3.37.
"""

import base64
import json
import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecogvault.files import lock, replacing
from ecogvault.sandbox.processes import SandboxError, end, free_ports, is_free, is_running, spawn
from ecogvault.sandbox.service import Details, Service

PACKAGE = Path(__file__).with_name("azurite")
TOOLS = Path(__file__).parents[3] / ".tools"
START_SECONDS = 30.0
INSTALL_SECONDS = 300.0
ATTEMPTS = 3

# The server takes its accounts, and more, from these.
_INHERITED_OPTIONS = ("AZURITE_", "AZURE_")


def lacking() -> str | None:
    """What is missing on this machine for the server to run, if anything is."""
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    return f"{' and '.join(missing)} not installed (Debian: nodejs, npm)" if missing else None


def installed() -> Path:
    """The server's main script, installed at the first need and when the lock file has changed. Raises SandboxError."""
    reason = lacking()
    if reason:
        raise SandboxError(f"the local Azure server cannot run: {reason}")
    target = TOOLS / "azurite"
    wanted = (PACKAGE / "package-lock.json").read_bytes()
    main = target / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    stamp = target / "installed.json"
    TOOLS.mkdir(exist_ok=True)
    with lock(TOOLS / "azurite.lock", what="the installation of the local Azure server"):
        if not (stamp.exists() and stamp.read_bytes() == wanted):
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(PACKAGE, target)
            _npm_ci(target)
            stamp.write_bytes(wanted)
    return main


def _npm_ci(folder: Path) -> None:
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise SandboxError(f"`npm ci` in {folder} takes longer than {INSTALL_SECONDS:.0f} s: run again") from None
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["it does not say why"]
        raise SandboxError(f"`npm ci` in {folder} fails ({last[0]}): run it there by hand, or leave Azure out")


def _command(main: Path, data: Path, port: int) -> list[str]:
    return [
        str(shutil.which("node")),
        str(main),
        "--blobHost=127.0.0.1",
        f"--blobPort={port}",
        f"--location={data}",
        "--skipApiVersionCheck",
        "--disableTelemetry",
        "--silent",
    ]


def _environment(folder: Path, state: Mapping[str, Any]) -> dict[str, str]:
    """The key goes through the environment: an argument would be in every user's process list."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_INHERITED_OPTIONS)}
    return inherited | {"AZURITE_ACCOUNTS": f"{state['account']}:{state['key']}", "HOME": str(folder)}


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
    url = f"http://127.0.0.1:{state['port']}/{state['account']}"
    return {
        "account_url": url,
        "connection_string": (
            f"DefaultEndpointsProtocol=http;AccountName={state['account']};AccountKey={state['key']};BlobEndpoint={url};"
        ),
        "pids": [state["process"]["pid"]],
        "started": [state["process"]["started"]],
    }


def answers(details: Details) -> bool:
    """Whether the server answers a listing of containers signed with its own key (a foreign server does not)."""
    from azure.core.exceptions import AzureError
    from azure.storage.blob import BlobServiceClient

    with BlobServiceClient.from_connection_string(
        details["connection_string"], retry_total=0, connection_timeout=2, read_timeout=5
    ) as client:
        try:
            for _ in client.list_containers(results_per_page=1):
                break
        except AzureError:
            return False
    return True


def start(folder: Path) -> Details:
    """Start the server with its data in `folder/data`, or with the data, key and port it had before.

    Returns its details when it answers, about a second later. Raises SandboxError; then no process is left.
    """
    main = installed()
    (folder / "data").mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    stop(folder)
    state = _read(folder) or {
        "account": f"sandbox{secrets.token_hex(4)}",
        "key": base64.b64encode(secrets.token_bytes(48)).decode(),
    }
    for _ in range(ATTEMPTS):
        if not state.get("port") or not is_free(state["port"]):
            state["port"] = free_ports(1)[0]
        if _begin(main, folder, state):
            return _details(state)
        stop(folder)
        state["port"] = None
    raise SandboxError(f"the local Azure server does not start: {folder / 'server.log'} says why")


def _begin(main: Path, folder: Path, state: dict[str, Any]) -> bool:
    """One attempt: whether the server answers in time."""
    state["process"] = spawn(
        _command(main, (folder / "data").absolute(), state["port"]),
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
        if not is_free(state["port"]) and answers(_details(state)):
            return is_running(state["process"])
        threading.Event().wait(pause)
        pause = min(pause * 1.3, 0.5)
    return False


def stop(folder: Path) -> None:
    """End the server if it runs; it writes what it holds first. Idempotent."""
    state = _read(folder)
    if state is None or "process" not in state:
        return
    end(state["process"])
    _write(folder, {key: value for key, value in state.items() if key != "process"})


SERVICE = Service("azure", start, answers, stop, lacking)

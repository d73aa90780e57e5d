"""The local Azure server: Azurite's blob service (npm), on 127.0.0.1, with an account and a key of its own.

Azurite itself is installed by `npm ci` from the lock file in `azurite/` beside this module, once for all sandboxes,
into `.tools/azurite`. Options: `azurite-blob --help`, Azurite 3.37.
"""

import base64
import os
import secrets
import shutil
import subprocess
from pathlib import Path

from ecogvault.files import lock
from ecogvault.sandbox.processes import SandboxError, free_ports
from ecogvault.sandbox.service import Details, Service, State

PACKAGE = Path(__file__).with_name("azurite")
TOOLS = Path(__file__).parents[3] / ".tools"
INSTALL_SECONDS = 300.0

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


def _first(folder: Path) -> State:
    return {
        "account": f"sandbox{secrets.token_hex(4)}",
        "key": base64.b64encode(secrets.token_bytes(48)).decode(),
    }


def _ports() -> dict[str, int]:
    return {"blob": free_ports(1)[0]}


def _command(main: Path, folder: Path, state: State) -> list[str]:
    return [
        str(shutil.which("node")),
        str(main),
        "--blobHost=127.0.0.1",
        f"--blobPort={state['ports']['blob']}",
        f"--location={folder / 'data'}",
        "--skipApiVersionCheck",
        "--disableTelemetry",
        "--silent",
    ]


def _environment(folder: Path, state: State) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_INHERITED_OPTIONS)}
    return inherited | {"AZURITE_ACCOUNTS": f"{state['account']}:{state['key']}", "HOME": str(folder)}


def _details(state: State) -> Details:
    url = f"http://127.0.0.1:{state['ports']['blob']}/{state['account']}"
    return {
        "account_url": url,
        "connection_string": (
            f"DefaultEndpointsProtocol=http;AccountName={state['account']};AccountKey={state['key']};BlobEndpoint={url};"
        ),
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


SERVICE = Service(
    name="azure",
    title="local Azure server",
    program=installed,
    first=_first,
    ports=_ports,
    door="blob",
    command=_command,
    environment=_environment,
    details=_details,
    answers=answers,
    lacking=lacking,
)

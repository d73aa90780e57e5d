"""A local server of the sandbox: how it is started, waited for and ended. One module per service says what differs.

Files in a service's folder: `server.json` (0600: secrets, ports and process, kept so that the next start has the same
address and secrets), `server.log`, and the server's own `data/`.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecogvault.files import replacing
from ecogvault.sandbox.processes import SandboxError, end, is_free, is_running, spawn

START_SECONDS = 30.0
ATTEMPTS = 3

Details = dict[str, Any]
"""What sandbox.json says of a service: `endpoint_url` or `account_url`, its secrets, `pids`. Plain JSON values."""

State = dict[str, Any]
"""What server.json holds: what `first` makes, `ports` by name, and `process` (see processes) while one runs."""


@dataclass(frozen=True)
class Service:
    """One kind of local server. Every function that takes a folder gets the service's own.

    `program` is what is run, installed at the first need; it raises SandboxError when it cannot be had. `first` is the
    state that a server keeps for good: its secrets. `ports` chooses free ones by name, of which `door` is the one that
    is asked. `command` is the whole command line; secrets go through `environment`, since every user sees arguments.
    `details` is what users of the server need of its state. `answers` is whether the server of these details answers a
    request signed with its own secrets, which a foreign server on the port does not. `prepare` removes what an earlier
    start left and would be taken for orders, `sweep` what a killed server leaves outside its folder. `lacking` is what
    this machine has not got that the server cannot run without, None if it has everything.
    """

    name: str
    title: str
    program: Callable[[], Path]
    first: Callable[[Path], State]
    ports: Callable[[], dict[str, int]]
    door: str
    command: Callable[[Path, Path, State], list[str]]
    environment: Callable[[Path, State], dict[str, str]]
    details: Callable[[State], Details]
    answers: Callable[[Details], bool]
    prepare: Callable[[Path], None] = lambda folder: None
    sweep: Callable[[State], None] = lambda state: None
    lacking: Callable[[], str | None] = lambda: None

    def start(self, folder: Path) -> Details:
        """Start the server with its data in `folder/data`, or with the data, secrets and ports that it had before.

        Returns its details when it answers, about a second later. Raises SandboxError; then no process is left.
        """
        program = self.program()
        folder = folder.absolute()
        (folder / "data").mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.stop(folder)
        state = self.first(folder) | (_read(folder) or {})
        for _ in range(ATTEMPTS):
            if not state.get("ports") or not all(map(is_free, state["ports"].values())):
                state["ports"] = self.ports()
            if self._begin(program, folder, state):
                return self._all_details(state)
            self.stop(folder)
            state["ports"] = None
        raise SandboxError(f"the {self.title} does not start: {folder / 'server.log'} says why")

    def stop(self, folder: Path) -> None:
        """End exactly what start() started, also after a crash of either side. Idempotent."""
        state = _read(folder)
        if state is None or "process" not in state:
            return
        end(state["process"])
        self.sweep(state)
        _write(folder, _lasting(state))

    def _begin(self, program: Path, folder: Path, state: State) -> bool:
        """One attempt: whether the server answers in time."""
        self.prepare(folder)
        _write(folder, _lasting(state))
        state["process"] = spawn(
            self.command(program, folder, state),
            environment=self.environment(folder, state),
            folder=folder,
            log=folder / "server.log",
        )
        try:
            _write(folder, state)
            return self._wait(state)
        except BaseException:
            end(state["process"])
            raise

    def _wait(self, state: State) -> bool:
        deadline = time.monotonic() + START_SECONDS
        pause = 0.05
        while time.monotonic() < deadline and is_running(state["process"]):
            if not is_free(state["ports"][self.door]) and self.answers(self._all_details(state)):
                return is_running(state["process"])
            threading.Event().wait(pause)
            pause = min(pause * 1.3, 0.5)
        return False

    def _all_details(self, state: State) -> Details:
        process = state["process"]
        return {**self.details(state), "pids": [process["pid"]], "started": [process["started"]]}


def _lasting(state: Mapping[str, Any]) -> State:
    return {key: value for key, value in state.items() if key != "process"}


def _read(folder: Path) -> State | None:
    try:
        return dict(json.loads((folder / "server.json").read_bytes()))
    except FileNotFoundError:
        return None
    except ValueError:
        raise SandboxError(f"{folder / 'server.json'} is not readable as JSON: remove it, then run again") from None


def _write(folder: Path, state: Mapping[str, Any]) -> None:
    with replacing(folder / "server.json", mode=0o600) as stream:
        stream.write(json.dumps(state, indent=1).encode() + b"\n")

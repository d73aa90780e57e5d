"""Server processes that outlive the command that starts them and are ended by their identity, not by their number.

A process is known by its id, its start in clock ticks since boot (field 22 of /proc/PID/stat, see proc(5)) and the
boot: an id that the system has given to another process since is never signalled. Linux 5.3 or newer (pidfd).
"""

import os
import random
import select
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ecogvault.errors import EcogvaultError

# Below Linux' default range for outgoing connections (32768 to 60999), from which the system would hand out a port
# between our look at it and the server's use of it.
PORTS = range(20000, 32000)

_children: dict[int, subprocess.Popen[bytes]] = {}


class SandboxError(EcogvaultError):
    """A local server is not installed, does not start or does not end."""


def _start_ticks(pid: int) -> int | None:
    """When the process began, in ticks since boot; None if it is gone or only waits to be reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def free_ports(count: int, *, also: int = 0) -> list[int]:
    """`count` ports of 127.0.0.1 that nobody listens on; with `also`, the port that much higher is free as well."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if len(found) == count:
            break
        if is_free(port) and (not also or is_free(port + also)):
            found.append(port)
    return found


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def spawn(command: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path) -> dict[str, Any]:
    """Start a server in a session of its own, in `folder`, its output appended to `log`.

    Returns what identifies it: `{"pid", "started", "boot"}`, as plain JSON values.
    """
    with open(log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
    # Kept so that the exit status is collected if this process is still there: a long test run leaves no zombies.
    _children[child.pid] = child
    return {"pid": child.pid, "started": _start_ticks(child.pid), "boot": _boot()}


def is_running(process: Mapping[str, Any]) -> bool:
    """Whether the very process that spawn() returned is still there."""
    return (
        process["started"] is not None
        and process["boot"] == _boot()
        and _start_ticks(process["pid"]) == process["started"]
    )


@contextmanager
def _handle(process: Mapping[str, Any]) -> Iterator[int | None]:
    """A pidfd of the process, or None if it is gone: checked after opening, so that it cannot become another's."""
    try:
        descriptor = os.pidfd_open(process["pid"])
    except ProcessLookupError:
        yield None
        return
    try:
        yield descriptor if is_running(process) else None
    finally:
        os.close(descriptor)


def _ended(descriptor: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def end(process: Mapping[str, Any], *, patience: float = 10.0) -> None:
    """End the process if it is still the one we started: SIGTERM, after `patience` seconds SIGKILL. Idempotent.

    Raises SandboxError if it does not even end then, PermissionError if it is another user's.
    """
    with _handle(process) as descriptor:
        if descriptor is not None:
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
            if not _ended(descriptor, patience):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                if not _ended(descriptor, patience):
                    raise SandboxError(f"process {process['pid']} does not end: look what it waits for")
    child = _children.pop(process["pid"], None)
    if child is not None:
        child.wait(timeout=patience)

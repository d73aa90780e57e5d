"""What a local server is to `sandbox up` and `sandbox down`: one module per service fills this in."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Details = dict[str, Any]
"""What sandbox.json says of a service: `endpoint_url` or `account_url`, its secrets, `pids`. Plain JSON values."""


@dataclass(frozen=True)
class Service:
    """What can be done with a local server, each with the service's own folder.

    `start` returns when the server answers a signed request, and raises SandboxError otherwise, leaving no process.
    `answers` is whether the server of these details does so now. `stop` ends exactly what `start` started, also
    after a crash of either side, and does nothing the second time. `lacking` is what this machine has not got that the
    server cannot run without, None if it has everything.
    """

    name: str
    start: Callable[[Path], Details]
    answers: Callable[[Details], bool]
    stop: Callable[[Path], None]
    lacking: Callable[[], str | None] = lambda: None

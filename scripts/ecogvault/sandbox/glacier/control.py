"""What tests can do to the service, and see of it: `GET` and `POST /-sandbox/control`, unsigned, on this machine only.

Orders (JSON): `advance` (seconds that the movable clock goes ahead), `skew` (seconds that the service takes the time to
be ahead when it judges signatures), `lose_jobs` and `forget_uploads` (of a vault, by name), `damage` ({vault, archive,
offset}: flips a byte on disk), `faults` (a list that replaces the one before), `reset` (true: counts begin anew).
A fault: `operation` (as in the API, or `*`), `count` (how often), `after` (how many requests pass before it), and
either `error` (a code) or `break`: `before` (the connection ends unanswered, nothing is done), `answer` (all is done,
but the answer is lost), `body` (half of a job's output is sent), `flip` (a byte of a job's output is wrong).
"""

import threading
from typing import Any

from ecogvault.sandbox.glacier import jobs, uploads
from ecogvault.sandbox.glacier.errors import STATUS, bad
from ecogvault.sandbox.glacier.state import Record, State, iso, read

PATH = "/-sandbox/control"
BREAKS = ("before", "answer", "body", "flip")


class Control:
    """Faults that wait, and counts of requests. In memory alone."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._faults: list[Record] = []
        self._requests: dict[str, int] = {}
        self._received = 0

    def order(self, orders: Record) -> None:
        """Do what is asked. Raises Refused."""
        state = self._state
        if "advance" in orders:
            state.set_clock(ahead=state.clock()["ahead"] + float(orders["advance"]))
        if "skew" in orders:
            state.set_clock(skew=float(orders["skew"]))
        if "lose_jobs" in orders:
            jobs.lose_all(state, orders["lose_jobs"])
        if "forget_uploads" in orders:
            uploads.forget_all(state, orders["forget_uploads"])
        if "damage" in orders:
            self._damage(**orders["damage"])
        with self._lock:
            if "faults" in orders:
                self._faults = [_fault(one) for one in orders["faults"]]
            if orders.get("reset"):
                self._requests, self._received = {}, 0

    def told(self) -> Record:
        """The movable time, and how many requests and bytes of archives came since the last reset."""
        with self._lock:
            return {
                "now": iso(self._state.now()),
                "requests": dict(sorted(self._requests.items())),
                "bytes_received": self._received,
                "faults": [dict(one) for one in self._faults],
            }

    def seen(self, operation: str) -> Record | None:
        """Count a request; returns the fault that it meets."""
        with self._lock:
            self._requests[operation] = self._requests.get(operation, 0) + 1
            for fault in self._faults:
                if fault["operation"] not in ("*", operation) or not fault["count"]:
                    continue
                if fault["after"]:
                    fault["after"] -= 1
                    continue
                fault["count"] -= 1
                return dict(fault)
        return None

    def received(self, count: int) -> None:
        """Count bytes of an archive or a part."""
        with self._lock:
            self._received += count

    def _damage(self, vault: str, archive: str, offset: int) -> None:
        record = read(self._state.path_of(vault, "archives", f"{archive}.json")) or {}
        for name, size in record["segments"]:
            if offset < size:
                with open(self._state.path_of(vault, "archives", archive) / name, "r+b") as stream:
                    stream.seek(offset)
                    byte = stream.read(1)
                    stream.seek(offset)
                    stream.write(bytes([byte[0] ^ 1]))
                return
            offset -= size


def _fault(given: Any) -> Record:
    fault = {"operation": "*", "count": 1, "after": 0, "error": None, "break": None} | dict(given)
    if (fault["error"] is None) == (fault["break"] is None):
        raise bad("a fault has either `error` or `break`")
    if fault["error"] not in (None, *STATUS) or fault["break"] not in (None, *BREAKS):
        raise bad(f"a fault's error is one of {', '.join(STATUS)}, its break one of {', '.join(BREAKS)}")
    return fault

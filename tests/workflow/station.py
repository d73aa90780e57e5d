"""A process that does jobs in children that die at given moments: the real rule script, killed as by a power cut.

Started as `python station.py`, it loads the library once, reads one order a line from standard input (JSON), does it in
a child made by fork, and answers with one line (JSON). Order: `folder` (the lab), `rule` (`upload_unit` or
`restore_unit`), `unit`, `destination`, and `die`:

* null: it runs to its end;
* {"moment": k}: it dies at the k-th moment. Moments are what can be seen from outside or is found by the next run:
  a request, a file opened for writing, written to, flushed, renamed, linked, removed, locked;
* {"seconds": s}: it dies s seconds after its first byte went out or, in a restore, after it has begun;
* {"before": text}: it dies when the request whose first line matches the expression `text` is about to be sent;
* {"after": text}: it dies when such a request has been answered, before the same thread does anything else that counts.

Answer: `status` (as subprocess has it), `moments`, `sent` (bytes of content given to sockets, or written below the
folder of destination `nas`), `output`, `seconds`. What encrypted something is added to `envelopes.jsonl`.
"""

import json
import mmap
import os
import re
import runpy
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from ecogvault import config as configuration
from ecogvault.config import Config
from ecogvault.naming import Unit
from ecogvault.paths import Paths
from ecogvault.send import files as sending

SCRIPTS = Path(__file__).parents[2] / "scripts"
WATCHED = {"os.rename", "os.remove", "os.link", "os.mkdir", "os.truncate", "fcntl.flock", "os.chmod"}
MOMENTS, SENT, BEGUN = 0, 8, 16  # offsets in the memory that child and station share
_FIRST_LINE = re.compile(rb"(GET|PUT|POST|HEAD|DELETE) (\S+) HTTP/1\.1\r\n")


class Doom:
    """Counts the moments of a process, and ends it at the one that was chosen."""

    def __init__(self, die: dict[str, Any], shared: mmap.mmap) -> None:
        self._moment = die.get("moment")
        self._before = re.compile(die["before"]) if die.get("before") else None
        self._after = re.compile(die["after"]) if die.get("after") else None
        self._shared = shared
        self._lock = threading.Lock()
        self._answered = threading.local()

    def add(self, offset: int, count: int) -> int:
        """Add to one of the shared counters; its new value."""
        with self._lock:
            value = int.from_bytes(self._shared[offset : offset + 8], "little") + count
            self._shared[offset : offset + 8] = value.to_bytes(8, "little")
        return value

    def moment(self) -> None:
        """Something that counts is about to happen."""
        # A thread that does something else has the answer to the request before.
        if self.add(MOMENTS, 1) == self._moment or getattr(self._answered, "last", False):
            os.kill(os.getpid(), signal.SIGKILL)

    def sending(self, head: bytes, count: int) -> None:
        """`count` bytes that begin with `head` are about to be given to a socket."""
        first = _FIRST_LINE.match(head)
        if first is None:
            self.content(count)
            return
        self.moment()
        request = f"{first[1].decode()} {first[2].decode()}"
        if self._before is not None and self._before.search(request):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._after is not None:
            self._answered.last = bool(self._after.search(request))

    def content(self, count: int) -> None:
        """`count` bytes of content are about to go out."""
        if self.add(SENT, count) == count and not int.from_bytes(self._shared[BEGUN : BEGUN + 8], "little"):
            self.add(BEGUN, time.monotonic_ns())


def watch(doom: Doom, nas: Path) -> None:
    """Have every moment of this process counted."""
    real_pwrite, real_write, real_fsync = os.pwrite, os.write, os.fsync

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "http.client.send":
            doom.sending(bytes(arguments[1][:4096]), len(arguments[1]))
        elif event in WATCHED or (event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT):
            doom.moment()

    def pwrite(descriptor: int, data: Any, offset: int) -> int:
        if Path(os.readlink(f"/proc/self/fd/{descriptor}")).is_relative_to(nas):
            doom.moment()
            doom.content(len(data))
        return real_pwrite(descriptor, data, offset)

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            doom.moment()
            return real(*arguments)

        return call

    os.pwrite, os.write, os.fsync = pwrite, counted(real_write), counted(real_fsync)
    sys.addaudithook(hook)


def note_envelopes() -> None:
    """Keep what encrypts each file on its way, with the plaintext that it encrypts."""
    real = sending.encrypted_source

    @contextmanager
    def noted(path: Path, entry: Any, envelope: Any, **rest: Any) -> Iterator[Any]:
        line = {"key": envelope.file_key.hex(), "nonce": envelope.nonce.hex(), "of": entry.sha256}
        descriptor = os.open("envelopes.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(json.dumps(line) + "\n")
        with real(path, entry, envelope, **rest) as source:
            yield source

    sending.encrypted_source = noted


def told(rule: str, unit: Unit, destination: str, values: dict[str, Any]) -> Any:
    """What Snakemake tells the script of this upload or restore."""
    config = Config(values)
    paths = Paths.of(config)
    files = {"manifest": str(paths.manifest(unit)), "verdict": str(paths.verdict(unit))}
    wildcards = {"destination": destination, "code": unit.code, "n": str(unit.number), "kind": unit.kind}
    uploads = rule == "upload_unit"
    output = {"receipt": paths.receipt(destination, unit)} if uploads else {}
    output |= {} if uploads else {"record": paths.restored_record(destination, unit)}
    return SimpleNamespace(
        config=values,
        rule=rule,
        input=files if uploads else {},
        output=Values({name: str(path) for name, path in output.items()}),
        params={},
        wildcards=Values(wildcards),
        log=[f"logs/{rule}/{destination}/{unit}.log"],
        threads=1,
    )


class Values(dict[str, str]):
    """Wildcards and outputs: named as in a mapping, and listed as values."""

    def __iter__(self) -> Iterator[str]:
        return iter(self.values())


def work(order: dict[str, Any], shared: mmap.mmap) -> None:
    """The child: one upload or restore, to its end or its death."""
    os.chdir(order["folder"])
    with open("config.yaml", encoding="utf-8") as stream:
        values = {**configuration.DEFAULTS, **yaml.safe_load(stream)}
    rule = order["rule"]
    snakemake = told(rule, Unit.parse(order["unit"]), order["destination"], values)
    for output in snakemake.output:
        Path(output).unlink(missing_ok=True)  # as Snakemake does before a job
    note_envelopes()
    nas = Path(values["destinations"].get("nas", {}).get("path", "nas")).absolute()
    doom = Doom(order["die"] or {}, shared)
    if rule == "restore_unit":
        doom.add(BEGUN, time.monotonic_ns())
    watch(doom, nas)
    runpy.run_path(str(SCRIPTS / f"{rule}.py"), {"snakemake": snakemake}, "__main__")


def obey(order: dict[str, Any]) -> dict[str, Any]:
    """Do one order in a child, and say how it ended."""
    shared = mmap.mmap(-1, 64)
    reading, writing = os.pipe()
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        sys.stdout = sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115 - to the end of the process
        status = 1
        try:
            work(order, shared)
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            os._exit(status)
    os.close(writing)
    seconds = (order["die"] or {}).get("seconds")
    if seconds is not None:
        _kill_later(child, shared, seconds)
    with os.fdopen(reading, "rb") as stream:
        output = stream.read().decode()
    _, code = os.waitpid(child, 0)
    numbers = [int.from_bytes(shared[at : at + 8], "little") for at in (MOMENTS, SENT, BEGUN)]
    return {
        "status": os.waitstatus_to_exitcode(code),
        "moments": numbers[0],
        "sent": numbers[1],
        "seconds": time.monotonic() - numbers[2] / 1e9 if numbers[2] else time.monotonic() - began,
        "output": output,
    }


def _kill_later(child: int, shared: mmap.mmap, seconds: float) -> None:
    """Kill the child when that much time has passed since its first byte; not when it has ended before."""
    descriptor = os.pidfd_open(child)
    try:
        while True:
            begun = int.from_bytes(shared[BEGUN : BEGUN + 8], "little")
            left = seconds - (time.monotonic_ns() - begun) / 1e9 if begun else 0.002
            if begun and left <= 0:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                return
            if _ended(descriptor, min(left, 0.002) if not begun else left):
                return
    finally:
        os.close(descriptor)


def _ended(descriptor: int, seconds: float) -> bool:
    return bool(select.select([descriptor], [], [], seconds)[0])


def main() -> None:
    """Obey orders until standard input ends."""
    for line in sys.stdin:
        print(json.dumps(obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()

"""A proxy on loopback that understands HTTP and spoils a share of the requests, as networks and services do."""

import http.client
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from listener import Listener

# Before the request reaches the server, and after it has.
BEFORE = ("error", "bad gateway", "throttle", "too many", "refused", "reset in the request", "stall")
AFTER = ("lost", "truncated", "reset in the answer", "corrupted", "duplicated")
FAULTS = BEFORE + AFTER

_ERRORS = {
    "error": (500, "InternalError"),
    "bad gateway": (502, ""),
    "throttle": (503, "SlowDown"),
    "too many": (429, ""),
}


class FaultProxy(Listener):
    """Spoils `rate` of the requests, by a random number made from `seed`; `done` counts what it did."""

    def __init__(self, endpoint_url: str, seed: int, *, rate: float = 0.2, faults: tuple[str, ...] = FAULTS) -> None:
        self._random = random.Random(seed)
        self._rate, self._faults = rate, faults
        self._lock = threading.Lock()
        self.done: Counter[str] = Counter()
        super().__init__(endpoint_url)

    def _choose(self) -> tuple[str | None, float]:
        with self._lock:
            fault = self._random.choice(self._faults) if self._random.random() < self._rate else None
            self.done[fault or "passed on"] += 1
            return fault, self._random.random()

    def take(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as stream, suppress(ConnectionError, BrokenPipeError):
            while self._answer(client, stream):
                pass

    def _answer(self, client: socket.socket, stream: Any) -> bool:
        """Take one request; whether the connection can take another."""
        line = stream.readline()
        if not line:
            return False
        method, path, _ = line.decode("latin-1").split(" ", 2)
        headers = list(http.client.parse_headers(stream).items())
        known = {name.lower(): value for name, value in headers}
        if "100-continue" in known.get("expect", "").lower():
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        size = int(known.get("content-length", 0))
        fault, where = self._choose()
        if fault == "refused":
            return False
        if fault == "reset in the request":
            stream.read(int(size * where))
            return _reset(client)
        body = stream.read(size)
        if fault == "stall":
            client.settimeout(30)
            with suppress(OSError):
                client.recv(1)  # returns when the client gives up
            return False
        if fault in _ERRORS:
            status, code = _ERRORS[fault]
            text = f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode() if code else b""
            client.sendall(_head(status, [("Content-Type", "application/xml")], len(text)))
            client.sendall(b"" if method == "HEAD" else text)
            return True
        if fault == "duplicated":
            self._ask(method, path, headers, body)
        status, answered, data, length = self._ask(method, path, headers, body)
        if fault == "lost":
            return False
        if fault == "corrupted":
            answered, data = _corrupted(answered, data, where)
        head = _head(status, answered, length)
        if fault in ("truncated", "reset in the answer"):
            whole = head + data
            client.sendall(whole[: max(1, int(len(whole) * where))])
            return _reset(client) if fault == "reset in the answer" else False
        client.sendall(head)
        client.sendall(data)
        return True

    def _ask(
        self, method: str, path: str, headers: list[tuple[str, str]], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes, int]:
        """The server's answer: status, headers, body, and the length that it tells."""
        connection = http.client.HTTPConnection(*self.upstream, timeout=60)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers:
                if name.lower() not in ("expect", "connection"):
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            data = answer.read()
            length = int(answer.getheader("Content-Length") or len(data)) if method == "HEAD" else len(data)
            dropped = ("content-length", "transfer-encoding", "connection")
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in dropped]
            return answer.status, kept, data, length
        finally:
            connection.close()


def _head(status: int, headers: list[tuple[str, str]], length: int) -> bytes:
    lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join([*lines, f"Content-Length: {length}"]) + "\r\n\r\n").encode("latin-1")


def _corrupted(headers: list[tuple[str, str]], data: bytes, where: float) -> tuple[list[tuple[str, str]], bytes]:
    """An answer with one bit of its body flipped or, where it has none, one sign of the checksum that it tells."""
    if data:
        at = int(len(data) * where)
        return headers, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    return [
        (name, ("B" if value[0] == "A" else "A") + value[1:] if "checksum-crc" in name.lower() else value)
        for name, value in headers
    ], data


def _reset(client: socket.socket) -> bool:
    """Have the connection end with a reset instead of an orderly end."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


@contextmanager
def faulty(endpoint_url: str, seed: int, **rest: Any) -> Iterator[FaultProxy]:
    proxy = FaultProxy(endpoint_url, seed, **rest)
    try:
        yield proxy
    finally:
        proxy.close()

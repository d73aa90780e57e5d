"""Azure by way of a line on which one request in five goes wrong: right bytes or a clear failure, no wrong receipt."""

import random
import select
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from content import META, pattern, tree
from places import Account, Container

from ecogvault.stores import BytesSource, Present, StoreError, UploadState
from ecogvault.stores.pieces import MIB
from listener import Listener

_HEADS = (b"GET ", b"PUT ", b"HEAD", b"DELE")
FAULTS = ("reset", "lost answer", "cut answer", "changed body", "changed answer", "busy", "throttled")


class BadLine(Listener):
    """Passes bytes on, but for `share` of the requests, to which one of FAULTS happens."""

    def __init__(self, endpoint_url: str, seed: int, share: float) -> None:
        self._random, self._share = random.Random(seed), share
        self.happened: Counter[str] = Counter()
        super().__init__(endpoint_url)

    def take(self, client: socket.socket) -> None:
        fault: str | None = None
        with client, socket.create_connection(self.upstream) as server:
            while True:
                for one in select.select([client, server], [], [])[0]:
                    try:
                        data = one.recv(65536)
                    except ConnectionResetError:
                        return
                    if not data:
                        return
                    if one is client and data[:4] in _HEADS:
                        fault = self._random.choice(FAULTS) if self._random.random() < self._share else None
                        if fault:
                            self.happened[fault] += 1
                    if not self._forward(one is client, data, client, server, fault):
                        return

    def _forward(
        self, to_server: bool, data: bytes, client: socket.socket, server: socket.socket, fault: str | None
    ) -> bool:
        """Pass a piece on, or do to it what is to happen. Whether the connection goes on."""
        head, body = data.split(b"\r\n\r\n", 1)[0] if data[:4] in (*_HEADS, b"HTTP") else b"", data
        if to_server:
            if fault in ("busy", "throttled"):
                status = b"503 Server Busy" if fault == "busy" else b"429 Too Many Requests"
                client.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return False
            if fault == "reset":
                return False
            if fault == "changed body" and not head:
                body = bytes([data[0] ^ 1]) + data[1:]
            server.sendall(body)
            return True
        if fault == "lost answer":
            return False
        if fault == "cut answer":
            client.sendall(data[: len(data) // 2])
            return False
        if fault == "changed answer" and not head:
            body = data[:-1] + bytes([data[-1] ^ 1])
        try:
            client.sendall(body)
        except OSError:
            return False
        return True


@contextmanager
def bad_line(url: str, seed: int, share: float = 0.2) -> Iterator[BadLine]:
    line = BadLine(url, seed, share)
    try:
        yield line
    finally:
        line.close()


@pytest.mark.parametrize("seed", range(3))
def test_whatever_breaks_on_the_way_what_is_said_to_be_stored_is_and_what_is_read_is_right(
    account: Account, seed: int
) -> None:
    container = Container(account, account.container())
    name = account.account_url.rpartition("/")[2]
    stored_well = read_well = 0
    with bad_line(account.account_url, seed) as line:
        store = account.store(container.name, account_url=f"{line.endpoint_url}/{name}", attempts=4)
        for number in range(12):
            size = (1000, 200_000, 2 * MIB + 5)[number % 3]
            key, data, state = f"d/{number}", pattern(size, seed=number), UploadState.in_memory()
            for _ in range(4):  # as runs that follow each other
                try:
                    stored = store.put(key, BytesSource(data), metadata=META, state=state)
                except StoreError:
                    continue
                present = container.store().head(key)
                assert isinstance(present, Present)
                assert (stored.etag, stored.size) == (present.etag, len(data))
                assert stored.sha256_tree in ([tree(data), ""] if stored.adopted else [tree(data)])
                assert container.content(key) == data
                stored_well += 1
                break
            try:
                got = b"".join(store.get(key))
            except StoreError:
                continue
            assert got == data
            read_well += 1
    assert sum(line.happened.values()) >= 5
    assert stored_well >= 9
    assert read_well >= 6

"""A relay on loopback that passes bytes on and counts those that a server gives."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from listener import Listener

_PIECE = 65536


class Relay(Listener):
    """Passes connections on to the server of `address`. `given` is how many bytes came from it, heads too."""

    def __init__(self, address: str) -> None:
        self._lock = threading.Lock()
        self.given = 0
        super().__init__(address)

    def take(self, client: socket.socket) -> None:
        """Pass on what either side sends, each way in a thread of its own."""
        server = socket.create_connection(self.upstream)
        threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
        self._pass(server, client, True)

    def _pass(self, source: socket.socket, goal: socket.socket, counts: bool) -> None:
        with suppress(OSError):  # one of the two is gone, which is how connections end
            while data := source.recv(_PIECE):
                if counts:
                    with self._lock:
                        self.given += len(data)
                goal.sendall(data)
        for one in (source, goal):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def relaying(address: str) -> Iterator[Relay]:
    """A relay for the length of the block."""
    relay = Relay(address)
    try:
        yield relay
    finally:
        relay.close()

"""A relay on loopback that passes bytes on and counts those that a server gives."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

_PIECE = 65536


class Relay:
    """Passes connections on to the server of `address`. `given` is how many bytes came from it, heads too."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._server = (str(parts.hostname), int(parts.port or 80))
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._lock = threading.Lock()
        self.endpoint_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.given = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            for source, goal, counts in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pass, args=(source, goal, counts), daemon=True).start()

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

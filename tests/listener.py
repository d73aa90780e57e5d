"""A port on loopback between a client and a server: each connection to it goes to a thread of its own."""

import socket
import threading
from abc import ABC, abstractmethod
from urllib.parse import urlsplit


class Listener(ABC):
    """Stands before the server at `endpoint_url`; `take` decides what comes of each connection."""

    def __init__(self, endpoint_url: str) -> None:
        address = urlsplit(endpoint_url)
        self.upstream = (str(address.hostname), int(address.port or 80))
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.endpoint_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    @abstractmethod
    def take(self, client: socket.socket) -> None:
        """Serve one connection to its end, and close it."""

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self.take, args=(client,), daemon=True).start()

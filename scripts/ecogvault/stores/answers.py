"""Answers over HTTP that end within their headers are no answers.

Python's http.client takes the end of a connection for the end of the headers: of an answer that was cut there it gives
what came, as if that were all, and a version id or a checksum would be missing without anybody noticing. (TLS does not
help: a missing close_notify is passed over.) Source: CPython, http/client.py, `_read_headers`; RFC 9112, section 8.
"""

import http.client
from typing import Any, cast

import urllib3.connection


class _Whole:
    """A stream of lines that says so when it ends within one, or where another is due."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def readline(self, limit: int = -1) -> bytes:
        """The next line. Raises RemoteDisconnected."""
        line: bytes = self.stream.readline(limit)
        if not line.endswith(b"\n") and (limit < 0 or len(line) < limit):
            raise http.client.RemoteDisconnected("the answer ended within its headers")
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class WholeAnswer(http.client.HTTPResponse):
    """An answer whose headers are whole, or an error that is tried again as any lost connection is."""

    def begin(self) -> None:
        """Read status line and headers. Raises RemoteDisconnected."""
        stream: Any = self.fp
        self.fp = cast(Any, _Whole(stream))
        try:
            super().begin()
        finally:
            if isinstance(self.fp, _Whole):
                self.fp = stream


def demand_whole_answers() -> None:
    """Have all clients that use urllib3 (botocore, and requests below azure-core) take whole answers alone."""
    urllib3.connection.HTTPConnection.response_class = WholeAnswer

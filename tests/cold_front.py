"""Archive classes in front of a real server of S3 or Azure: what is in them cannot be read before it is brought back.

A proxy on loopback. What is stored as GLACIER or DEEP_ARCHIVE is answered with InvalidObjectState until RestoreObject
was asked for and its time has passed by a clock that tests move; HEAD tells the state. Everything else is the server's.
Sources: Amazon S3 API reference, RestoreObject, GetObject (InvalidObjectState) and HeadObject (x-amz-restore); user
guide, "Understanding archive retrieval options" (times).
"""

import http.client
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

HOURS = {
    ("GLACIER", "Expedited"): 0.05,
    ("GLACIER", "Standard"): 5,
    ("GLACIER", "Bulk"): 12,
    ("DEEP_ARCHIVE", "Standard"): 12,
    ("DEEP_ARCHIVE", "Bulk"): 48,
}


@dataclass
class Archived:
    """One archived object: its class, when its temporary copy is there, and when that ends."""

    storage_class: str
    ready: datetime | None = None
    ends: datetime | None = None
    tier: str = ""
    days: int = 0


@dataclass
class ColdFront:
    """What the proxy knows. `refuse` is an error code for RestoreObject, `asked` counts it by object path."""

    upstream: str
    endpoint_url: str = ""
    shift: timedelta = timedelta()
    objects: dict[str, Archived] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    read: Counter[str] = field(default_factory=Counter)
    refuse: str = ""

    def pass_hours(self, hours: float) -> None:
        self.shift += timedelta(hours=hours)

    @property
    def now(self) -> datetime:
        return (datetime.now(UTC) + self.shift).replace(microsecond=0)

    def state(self, path: str) -> str:
        """`here`, `asked` or `archived`; a copy that has ended is forgotten."""
        one = self.objects.get(path)
        if one is None:
            return "here"
        if one.ready is None:
            return "archived"
        if self.now < one.ready:
            return "asked"
        if one.ends is not None and self.now >= one.ends:
            one.ready = one.ends = None
            return "archived"
        return "here"

    def restore(self, path: str, body: str) -> tuple[int, str]:
        """What RestoreObject answers: a status and an error code."""
        self.asked[path] += 1
        if self.refuse:
            return {"AccessDenied": 403, "GlacierExpeditedRetrievalNotAvailable": 503}[self.refuse], self.refuse
        one = self.objects.get(path)
        tier = re.search("<Tier>(.*?)</Tier>", body)
        days = re.search("<Days>(.*?)</Days>", body)
        if one is None:
            return 403, "InvalidObjectState"
        if tier is None or days is None or (one.storage_class, tier[1]) not in HOURS:
            return 400, "MalformedXML"
        if self.state(path) == "asked":
            return 409, "RestoreAlreadyInProgress"
        if self.state(path) == "here":
            one.ends = self.now + timedelta(days=int(days[1]))
            return 200, ""
        one.tier, one.days = tier[1], int(days[1])
        one.ready = self.now + timedelta(hours=HOURS[one.storage_class, tier[1]])
        one.ends = one.ready + timedelta(days=int(days[1]))
        return 202, ""


class _Forwarding(BaseHTTPRequestHandler):
    """Passes requests on, unless `before` answers one itself; `after` may change what is answered."""

    protocol_version = "HTTP/1.1"
    front: ColdFront

    def log_message(self, *args: object) -> None:
        pass

    def before(self, path: str, words: dict[str, list[str]], body: bytes) -> bool:
        raise NotImplementedError

    def after(self, path: str, status: int, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        raise NotImplementedError

    def _serve(self) -> None:
        address = urlsplit(self.path)
        path, front = address.path, self.front
        if "100-continue" in self.headers.get("Expect", ""):
            self.send_response_only(100)
            self.end_headers()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.before(path, parse_qs(address.query, keep_blank_values=True), body):
            return
        connection = http.client.HTTPConnection(urlsplit(front.upstream).netloc, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("expect", "connection"):
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        dropped = ("transfer-encoding", "connection", "date", "content-length")
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in dropped]
        if self.command == "GET" and answer.status in (200, 206):
            front.read[path] += len(data)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self.answer(answer.status, self.after(path, answer.status, kept), data, length)

    def answer(self, status: int, headers: list[tuple[str, str]], data: bytes, length: str | None = None) -> None:
        self.send_response_only(status)
        for name, value in [*headers, ("Date", format_datetime(self.front.now, usegmt=True))]:
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve


class _S3(_Forwarding):
    def before(self, path: str, words: dict[str, list[str]], body: bytes) -> bool:
        if self.command == "POST" and "restore" in words:
            status, code = self.front.restore(path, body.decode())
            self.answer(status, [], _error(code) if code else b"")
            return True
        if self.command == "GET" and not words.keys() - {"versionId"} and self.front.state(path) != "here":
            self.answer(403, [], _error("InvalidObjectState"))
            return True
        return False

    def after(self, path: str, status: int, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        storage = self.headers.get("x-amz-storage-class", "")
        if self.command in ("PUT", "POST") and storage in ("GLACIER", "DEEP_ARCHIVE") and status == 200:
            self.front.objects[path] = Archived(storage)
        headers = [one for one in headers if one[0].lower() != "x-amz-storage-class"]
        one, state = self.front.objects.get(path), self.front.state(path)
        if self.command != "HEAD" or status != 200 or one is None:
            return headers
        headers.append(("x-amz-storage-class", one.storage_class))
        if state == "asked":
            headers.append(("x-amz-restore", 'ongoing-request="true"'))
        if state == "here" and one.ends is not None:
            until = format_datetime(one.ends, usegmt=True)
            headers.append(("x-amz-restore", f'ongoing-request="false", expiry-date="{until}"'))
        return headers


class _Azure(_Forwarding):
    """The Archive tier of Azure: out of it, a blob waits for hours before its tier is another.

    Source: Azure Storage REST API, "Set Blob Tier" and "Get Blob Properties"; "Blob rehydration from the archive tier".
    """

    def before(self, path: str, words: dict[str, list[str]], body: bytes) -> bool:
        one, state = self.front.objects.get(path), self.front.state(path)
        if self.command == "PUT" and words.get("comp") == ["tier"] and one is not None:
            self.front.asked[path] += 1
            if state == "asked":
                self._refuse(409, "BlobBeingRehydrated")
                return True
            one.tier = self.headers.get("x-ms-rehydrate-priority", "Standard")
            one.ready = self.front.now + timedelta(hours=1 if one.tier == "High" else 15)
            return False  # the server does it at once
        if self.command == "GET" and "comp" not in words and "restype" not in words and state != "here":
            self._refuse(409, "BlobArchived" if state == "archived" else "BlobBeingRehydrated")
            return True
        return False

    def after(self, path: str, status: int, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        if self.command == "PUT" and self.headers.get("x-ms-access-tier") == "Archive" and status == 201:
            self.front.objects[path] = Archived("Archive")
        state = self.front.state(path)
        if self.command != "HEAD" or state == "here":
            return headers
        told = ("x-ms-access-tier", "x-ms-archive-status", "x-ms-access-tier-inferred")
        headers = [one for one in headers if one[0].lower() not in told]
        headers.append(("x-ms-access-tier", "Archive"))
        return [*headers, ("x-ms-archive-status", "rehydrate-pending-to-hot")] if state == "asked" else headers

    def _refuse(self, status: int, code: str) -> None:
        text = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>no</Message></Error>'
        self.answer(status, [("x-ms-error-code", code), ("Content-Type", "application/xml")], text.encode())


def _error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>by the front</Message></Error>".encode()


@contextmanager
def cold_front(upstream: str, *, azure: bool = False) -> Iterator[ColdFront]:
    """The proxy in front of the server at `upstream`, S3's or Azure's."""
    front = ColdFront(upstream)
    handler = type("Handler", (_Azure if azure else _S3,), {"front": front})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    front.endpoint_url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield front
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

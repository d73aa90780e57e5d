"""The service over HTTP: one thread a connection, each request checked, routed and answered."""

import hashlib
import json
import re
import secrets
import socket
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

from ecogvault.digests import TreeHash
from ecogvault.sandbox.glacier import control, jobs, sigv4
from ecogvault.sandbox.glacier.errors import Refused, bad, missing
from ecogvault.sandbox.glacier.routes import ROUTES, Answer, Operation, Request
from ecogvault.sandbox.glacier.state import State

VERSION = "2012-06-01"
SMALL = 1 << 20
"""The longest body that is not an archive or a part."""


_COMPILED = [(method, re.compile(f"/(?P<account>[^/]+){path}"), name, does) for method, path, name, does in ROUTES]
_BODIES = ("UploadArchive", "UploadMultipartPart")
_CONTROL = "-"


def _nothing(state: State, request: Request) -> Answer:
    return Answer()


class Handler(BaseHTTPRequestHandler):
    """One connection. `state`, `control` and `keys` belong to the server."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    state: ClassVar[State]
    control: ClassVar[control.Control]
    keys: ClassVar[Mapping[str, str]]

    def do_GET(self) -> None:
        self._serve()

    do_PUT = do_POST = do_DELETE = do_GET

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The Date header, by the movable clock."""
        return super().date_time_string(int(self.state.now() if timestamp is None else timestamp))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the log is for faults of the server itself."""

    def _serve(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        file = self.state.arriving()
        breaks = None
        try:
            try:
                operation, does, request = self._read(headers, file)
                fault = None if operation == _CONTROL else self.control.seen(operation)
                breaks = fault["break"] if fault else None
                if breaks == "before":
                    self._hang_up()
                    return
                if fault is not None and fault["error"]:
                    raise Refused(fault["error"], f"a fault that was asked for: {fault['error']}")
                with self.state.lock:
                    answer = does(self.state, request)
            except Refused as refused:
                answer = Answer(refused.status, document=refused.body)
            if breaks == "answer":
                self._hang_up()
            else:
                self._answer(answer, breaks)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            file.unlink(missing_ok=True)

    def _read(self, headers: dict[str, str], file: Path) -> tuple[str, Operation, Request]:
        """Take the whole request and check what all requests must be. Raises Refused."""
        parts = urlsplit(self.path)
        if parts.path == control.PATH:
            return self._controlled(headers)
        method = self.command
        tried = ((one.fullmatch(parts.path), name, does) for wanted, one, name, does in _COMPILED if wanted == method)
        match, operation, does = next((one for one in tried if one[0] is not None), (None, "", _nothing))
        if match is None:
            self._body(headers)
            raise Refused("BadRequest", f"Unable to map {method} {parts.path} to an operation")
        named = {name: unquote(value) for name, value in match.groupdict().items()}
        request = Request(named, dict(parse_qsl(parts.query, keep_blank_values=True)), headers)
        linear = None
        if operation in _BODIES:
            linear = self._receive(headers, file, request)
        else:
            request.body = self._body(headers)
            linear = hashlib.sha256(request.body).hexdigest()
        sigv4.require_signed(
            method,
            self.path,
            headers,
            request.body,
            keys=self.keys,
            region=self.state.region,
            skew=self.state.clock()["skew"],
        )
        sigv4.require_content(headers, linear)
        if headers.get("x-amz-glacier-version") is None:
            raise missing("x-amz-glacier-version")
        if headers["x-amz-glacier-version"] != VERSION:
            raise bad(f"Invalid API version: {headers['x-amz-glacier-version'][:40]}")
        if named["account"] not in ("-", self.state.account):
            raise Refused("AccessDeniedException", "The account of the URI is not that of the credentials")
        return operation, does, request

    def _controlled(self, headers: dict[str, str]) -> tuple[str, Operation, Request]:
        def act(state: State, request: Request) -> Answer:
            if request.body:
                self.control.order(request.document())
            return Answer(200, document=self.control.told())

        return _CONTROL, act, Request({}, {}, headers, self._body(headers))

    def _body(self, headers: Mapping[str, str]) -> bytes:
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > SMALL:
            self.close_connection = True
            raise Refused("BadRequest", "the body is too long, or of unknown length")
        return self.rfile.read(int(length))

    def _receive(self, headers: Mapping[str, str], file: Path, request: Request) -> str:
        """The body into a file; its tree hash and length into `request`. Returns its SHA-256."""
        length = headers.get("content-length")
        if length is None or not length.isdigit():
            self.close_connection = True
            raise missing("Content-Length")
        left = int(length)
        linear, tree = hashlib.sha256(), TreeHash()
        with open(file, "wb") as stream:
            while left:
                data = self.rfile.read(min(left, 1 << 20))
                if not data:
                    raise ConnectionResetError
                linear.update(data)
                tree.update(data)
                stream.write(data)
                left -= len(data)
        request.file, request.length, request.tree = file, int(length), tree.hexdigest()
        self.control.received(request.length)
        return linear.hexdigest()

    def _answer(self, answer: Answer, breaks: str | None) -> None:
        self.send_response(answer.status)
        self.send_header("x-amzn-RequestId", secrets.token_urlsafe(35))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.output is not None:
            self._send_output(answer.output, breaks)
            return
        data = b"" if answer.document is None else json.dumps(answer.document).encode()
        if data:
            self.send_header("Content-Type", "application/json")
        if answer.status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _send_output(self, output: jobs.Output, breaks: str | None) -> None:
        self.send_header("Content-Length", str(output.length))
        self.end_headers()
        sent, first = 0, True
        for piece in output.pieces:
            data = piece
            if breaks == "flip" and first:
                data = bytes([piece[0] ^ 1]) + piece[1:]
            if breaks == "body" and sent + len(data) > output.length // 2:
                self.wfile.write(data[: output.length // 2 - sent])
                self.wfile.flush()
                self._hang_up()
                return
            self.wfile.write(data)
            sent, first = sent + len(data), False

    def _hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)


def make_server(state: State, port: int, keys: Mapping[str, str]) -> ThreadingHTTPServer:
    """A server on 127.0.0.1; `keys` are access key ids with their secrets. `serve_forever` serves."""
    given = {"state": state, "control": control.Control(state), "keys": keys}
    server = ThreadingHTTPServer(("127.0.0.1", port), type("BoundHandler", (Handler,), given))
    server.daemon_threads = True
    return server

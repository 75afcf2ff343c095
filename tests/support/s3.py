"""An S3 server on loopback, and a proxy before it that throttles, waits, cuts and keeps silent as a test orders."""

import http.client
import logging
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

SLOW_DOWN = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message>\
<Resource>/bucket/key</Resource><RequestId>4442587FB7D0A2F9</RequestId></Error>"""

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}

CONDITIONS = ("if-none-match", "if-match")

# What becomes of a request: None passes it on; a status, with a body or SlowDown's, refuses it; "cut" or "silent";
# "lost" passes it on and cuts the connection before the answer.
Fault = int | tuple[int, bytes] | str | None


# Marks a test that uses the fixture ``store``, by itself or by another fixture.
on_both_servers = pytest.mark.parametrize(
    "store", ["moto", pytest.param("seaweedfs", marks=pytest.mark.slow)], indirect=True
)


class Proxy(ThreadingHTTPServer):
    """Passes requests on to a server, but for those of which ``fault(method, path)`` says what becomes of them."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = port
        self.bucket = ""
        self.undisturbed()
        self.seen: list[str] = []
        self.keys: list[str] = []  # the access keys that requests were signed with

    def undisturbed(self) -> None:
        """Pass every request on from here on, at once and as it is."""
        self.fault: Callable[[str, str], Fault] = lambda _method, _path: None
        self.delay_seconds = 0.0
        self.conditions = "kept"  # or "ignored", or "refused"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def send(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Ask the server behind, past all faults; the body of its answer."""
        behind = http.client.HTTPConnection("127.0.0.1", self.behind)
        behind.request(method, path, body, {"Authorization": "AWS testing:unchecked"})
        answer = behind.getresponse()
        content = answer.read()
        assert answer.status < 300, (method, path, answer.status, content)
        behind.close()
        return content

    def handle_error(self, *_: Any) -> None:
        """A client that went away is nothing to be told."""


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        pass

    def do(self) -> None:
        body = self._body()
        self.server.seen.append(f"{self.command} {self.path}")
        self.server.keys += re.findall(r"Credential=([^/]+)/", self.headers.get("Authorization", ""))
        if self.server.delay_seconds:
            time.sleep(self.server.delay_seconds)  # the store's latency is what is tested
        fault = self.server.fault(self.command, self.path)
        if self.server.conditions == "refused" and any(name.lower() in CONDITIONS for name in self.headers):
            fault = 501, b"<Error><Code>NotImplemented</Code></Error>"
        if fault == "lost":
            self._answer = lambda *_: None  # type: ignore[method-assign]
            self._pass_on(body)
            fault = "cut"
        if fault == "cut":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        elif fault == "silent":
            self.connection.recv(1)  # until the client has had enough
            self.close_connection = True
        elif isinstance(fault, int | tuple):
            status, content = (fault, SLOW_DOWN) if isinstance(fault, int) else fault
            self._answer(status, {"Content-Type": "application/xml"}, content)
        else:
            self._pass_on(body)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = do

    def _body(self) -> bytes:
        if self.headers.get("Expect") == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _pass_on(self, body: bytes) -> None:
        behind = http.client.HTTPConnection("127.0.0.1", self.server.behind)
        hop = ["transfer-encoding", "content-length", "connection", "expect"]
        hop += CONDITIONS if self.server.conditions == "ignored" else []
        headers = {name: value for name, value in self.headers.items() if name.lower() not in hop}
        if body or self.command in ("PUT", "POST"):
            headers["Content-Length"] = str(len(body))
        behind.request(self.command, self.path, body or None, headers)
        answer = behind.getresponse()
        content = answer.read()
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in (*hop, "date", "server")}
        self._answer(answer.status, kept, content, answer.getheader("Content-Length"))
        behind.close()

    def _answer(self, status: int, headers: dict[str, str], content: bytes, length: str | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", (length or "0") if self.command == "HEAD" else str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def store() -> Iterator[Proxy]:
    """A moto S3 server behind a proxy, both on free ports of loopback."""
    from moto.server import ThreadedMotoServer  # not for every test

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    proxy = Proxy(server.get_host_and_port()[1])
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
        server.stop()

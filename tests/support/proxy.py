"""A proxy in front of a real S3 server that can change its answers."""

from __future__ import annotations

import contextlib
import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}


class Proxy:
    """`fault(method, path)` returns the fault for a request; "" forwards it unchanged.

    "503", "403": answer with this status. "truncate": half of the body, with a matching length. "cut": half of the body,
    then close the connection. "flip": change one bit of the body. "stale": repeat the first answer to the same request.
    "drop-write": report success without forwarding the request.
    """

    def __init__(self, port: int, upstream: int) -> None:
        self.port = port
        self.upstream = upstream
        self.fault: Callable[[str, str], str] = lambda _method, _path: ""
        self.faults: list[str] = []
        self.remembered: dict[str, tuple[int, list[tuple[str, str]], bytes]] = {}


class Handler(BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def handle_any(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        fault = self.proxy.fault(self.command, self.path)
        if fault:
            self.proxy.faults.append(f"{fault} {self.command} {self.path}")
        if fault in {"503", "403"}:
            code = "SlowDown" if fault == "503" else "AccessDenied"
            text = f"<Error><Code>{code}</Code></Error>".encode()
            self.answer(int(fault), [("content-type", "application/xml")], text)
            return
        if fault == "drop-write":
            self.answer(200, [("etag", '"0"')], b"")
            return
        status, headers, answer = self.ask(body)
        if fault == "stale":
            status, headers, answer = self.proxy.remembered.setdefault(self.path, (status, headers, answer))
        if fault == "flip" and answer:
            answer = answer[:-1] + bytes([answer[-1] ^ 1])
        if fault == "truncate":
            answer = answer[: len(answer) // 2]
        self.answer(status, headers, answer, cut=fault == "cut")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815

    def ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.upstream, timeout=100)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        connection.request(self.command, self.path, body=body or None, headers=headers)
        response = connection.getresponse()
        answer = response.read()
        kept = [(name, value) for name, value in response.getheaders() if name.lower() not in _HOP]
        if self.command == "HEAD":
            kept.append(("content-length", response.headers.get("content-length", "0")))
        connection.close()
        return response.status, kept, answer

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes, *, cut: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True
            self.connection.close()


@contextlib.contextmanager
def proxied(upstream: int) -> Iterator[Proxy]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy = Proxy(server.server_address[1], upstream)
    server.RequestHandlerClass = type("Bound", (Handler,), {"proxy": proxy})
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)

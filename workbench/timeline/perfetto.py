"""Hands one trace to Perfetto's UI: served on loopback, to that page alone, until it has fetched it."""

from __future__ import annotations

import gzip
import time
import webbrowser
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import quote

import msgspec

from workbench.base.errors import InputError

# The only plain-HTTP address that the content security policy of Perfetto's UI lets it fetch from.
HOST, PORT = "127.0.0.1", 9001
ORIGIN = "https://ui.perfetto.dev"
PATH = "/trace.json.gz"
WAIT_S = 300.0


def serve_once(
    trace: Mapping[str, Any],
    say: Callable[[str], None],
    *,
    open_page: Callable[[str], object] = webbrowser.open,
    port: int = PORT,
    wait_s: float = WAIT_S,
) -> None:
    """Serves a trace until it was fetched once, or nobody came.

    Args:
        trace: what `chrome_trace` gives.
        say: prints a line.
        open_page: opens an address in a browser.
        port: other than 9001 only in tests.
        wait_s: how long to wait for the page, seconds.

    Raises:
        InputError: the port is taken, or nobody fetched the trace.
    """
    with _listen(gzip.compress(msgspec.json.encode(trace), mtime=0), port) as server:
        address = f"{ORIGIN}/#!/?url={quote(f'http://{HOST}:{server.server_port}{PATH}', safe='')}"
        say(f"Serving on http://{HOST}:{server.server_port} until Perfetto has the trace; open {address}")
        open_page(address)
        deadline = time.monotonic() + wait_s
        while not server.is_fetched and (left := deadline - time.monotonic()) > 0:
            server.timeout = left
            server.handle_request()
        if not server.is_fetched:
            raise InputError(f"nobody fetched the trace within {wait_s:g} s", key="--open")
    say("Perfetto has the trace.")


def _listen(content: bytes, port: int) -> _Server:
    try:
        return _Server(content, port)
    except OSError as error:
        raise InputError(f"{HOST}:{port} cannot be served on: {error.strerror}", key="--open") from None


class _Server(HTTPServer):
    """Serves one content under one path."""

    # Another server on this port would otherwise be shared with, not refused.
    allow_reuse_port = False

    def __init__(self, content: bytes, port: int) -> None:
        self.content = content
        self.is_fetched = False
        super().__init__((HOST, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is none of the user's business."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    # A client that connects and then says nothing must not hold the others up.
    timeout = 10

    def do_GET(self) -> None:
        if not self._is_allowed():
            self._answer(HTTPStatus.FORBIDDEN)
        elif self.path != PATH:
            self._answer(HTTPStatus.NOT_FOUND)
        else:
            self._answer(HTTPStatus.OK, self.server.content)
            self.server.is_fetched = True

    def do_OPTIONS(self) -> None:
        self._answer(HTTPStatus.NO_CONTENT if self._is_allowed() else HTTPStatus.FORBIDDEN)

    def _is_allowed(self) -> bool:
        """No page but Perfetto's, and only under this address, so that no name of another site leads here."""
        is_ours = self.headers.get("Host", "") == f"{HOST}:{self.server.server_port}"
        return is_ours and self.headers.get("Origin", ORIGIN) == ORIGIN

    def _answer(self, status: HTTPStatus, content: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Access-Control-Allow-Origin", ORIGIN)
        self.send_header("Access-Control-Allow-Private-Network", "true")
        self.send_header("Vary", "Origin")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Type", "application/gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed for a request."""

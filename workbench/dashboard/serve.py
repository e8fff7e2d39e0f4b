"""Serves the dashboard on loopback, to the page that it is, and builds it anew only when the results have changed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from workbench.base.errors import InputError
from workbench.dashboard.collect import collect
from workbench.dashboard.definition import Definition
from workbench.dashboard.page import dashboard_html
from workbench.dashboard.payload import payload
from workbench.dashboard.sharing import share
from workbench.dashboard.sources.results import FindKernel, read_results
from workbench.report.page import embedded

HOST = "127.0.0.1"
# A sweep writes a line many times a second; nobody reads that fast.
LEAST_S = 1.0
RESTS = 4.0
_SHOWN = (".json", ".jsonl", ".gz")


@dataclass(frozen=True, slots=True)
class Built:
    """The page of one state of the results.

    Attributes:
        version: of the results that it shows.
        html: the page.
        data: what the page is drawn from, as JSON.
    """

    version: str
    html: bytes
    data: bytes


class LivePage:
    """The page of a results folder as it is now.

    Args:
        definition: what the page shows.
        results: the folder.
        profiles: other folders of profiles.
        find_kernel: as for `read_results`.
    """

    def __init__(
        self, definition: Definition, results: Path, profiles: Sequence[Path], find_kernel: FindKernel | None
    ) -> None:
        self._definition, self._results, self._profiles = definition, results, tuple(profiles)
        self._find_kernel = find_kernel
        self._lock = Lock()
        self._version, self._looked, self._pause_s = "", float("-inf"), 0.0
        self._built: Built | None = None

    def version(self) -> str:
        """Changes when a file does that the page is made from; looked up at most once a second."""
        with self._lock:
            return self._look()

    def built(self) -> Built:
        """The page of the current version.

        Raises:
            InputError: the results folder is gone, or the definition names a trace that is.
        """
        with self._lock:
            version = self._look()
            if self._built is None or self._built.version != version:
                self._built = self._build(version)
            return self._built

    def _look(self) -> str:
        now = time.monotonic()
        if now - self._looked >= self._pause_s:
            # What minutes pass by ages, too: a page that nothing else changes is redrawn every ten of them.
            ages = f"{datetime.now(UTC):%Y-%m-%dT%H:%M}"[:-1]
            told = "\n".join([ages, *_states((self._results, *self._profiles))])
            self._version = hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:16]
            self._looked, self._pause_s = now, LEAST_S
        return self._version

    def _build(self, version: str) -> Built:
        begun = time.monotonic()
        results = read_results(self._results, profiles=self._profiles, find_kernel=self._find_kernel)
        record = payload(collect(results, self._definition), version)
        built = Built(version, dashboard_html(record, live=True).encode(), embedded(share(record)).encode())
        # However large the results: a sweep that shares the machine keeps most of it.
        self._pause_s = LEAST_S * max(1.0, RESTS * (time.monotonic() - begun))
        return built


def _states(folders: Sequence[Path]) -> Iterator[str]:
    """Every file that a page is made from, with its size and its last change."""
    for path in sorted(path for folder in folders for path in folder.rglob("*")):
        try:
            if path.suffix in _SHOWN and not path.name.startswith("."):
                about = path.stat()
                yield f"{path} {about.st_size} {about.st_mtime_ns}"
        except OSError:
            # Gone between the listing and the look: the next look will tell.
            continue


def serve_dashboard(
    definition: Definition,
    results: Path,
    profiles: Sequence[Path],
    find_kernel: FindKernel | None,
    *,
    port: int,
    say: Callable[[str], None],
) -> None:
    """Serves until interrupted.

    Args:
        definition: what the page shows.
        results: the folder.
        profiles: other folders of profiles.
        find_kernel: as for `read_results`.
        port: on 127.0.0.1; 0 takes a free one.
        say: prints a line.

    Raises:
        InputError: the folder is not there, or the port is taken.
    """
    live = LivePage(definition, results, profiles, find_kernel)
    live.built()
    with listen(live, port) as server:
        say(f"http://{HOST}:{server.server_port}/ follows {results}; Ctrl-C ends it")
        server.serve_forever()


def listen(live: LivePage, port: int) -> DashboardServer:
    """Takes a port on loopback.

    Raises:
        InputError: it is taken.
    """
    try:
        return DashboardServer(live, port)
    except OSError as error:
        hint = "another --port, or 0 for a free one"
        raise InputError(
            f"{HOST}:{port} cannot be served on: {error.strerror}; {hint}", key="--port"
        ) from None


class DashboardServer(ThreadingHTTPServer):
    """Serves one page under three paths, on loopback only."""

    # Another server on this port would otherwise be shared with, not refused.
    allow_reuse_port = False
    daemon_threads = True

    def __init__(self, live: LivePage, port: int) -> None:
        self.live = live
        super().__init__((HOST, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is none of the user's business."""


class _Handler(BaseHTTPRequestHandler):
    server: DashboardServer

    # A client that connects and then says nothing must not hold a thread.
    timeout = 10
    server_version, sys_version = "workbench", ""

    def do_GET(self) -> None:
        status, kind, content = self._answer()
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self) -> tuple[HTTPStatus, str, bytes]:
        if not self._is_ours():
            return HTTPStatus.FORBIDDEN, "text/plain", b"only this machine's own address is served\n"
        make = _PATHS.get(urlsplit(self.path).path)
        if make is None:
            return HTTPStatus.NOT_FOUND, "text/plain", b"there is only /\n"
        try:
            kind, content = make(self.server.live)
        except InputError as error:
            return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"{error}\n".encode("utf-8", "replace")
        return HTTPStatus.OK, kind, content

    def _is_ours(self) -> bool:
        """No name of another site may lead here, and no page of another site may ask."""
        port = self.server.server_port
        ours = {f"{HOST}:{port}", f"localhost:{port}"}
        origin = self.headers.get("Origin")
        return self.headers.get("Host", "") in ours and (
            origin is None or origin in {f"http://{each}" for each in ours}
        )

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed for a request."""


_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_PATHS: dict[str, Callable[[LivePage], tuple[str, bytes]]] = {
    "/": lambda live: ("text/html", live.built().html),
    "/version": lambda live: ("text/plain", live.version().encode()),
    "/data.json": lambda live: ("application/json", live.built().data),
}

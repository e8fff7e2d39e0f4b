from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import threading
import urllib.error
import urllib.request
from urllib.parse import unquote

import pytest

from tests.support.patience import PATIENCE_S
from workbench.base.errors import InputError
from workbench.timeline.perfetto import ORIGIN, serve_once

TRACE = {"traceEvents": [{"name": "</script>"}]}


@pytest.fixture
def served():
    """The address that is served, in a thread that ends with it."""
    opened, said = threading.Event(), []

    def open_page(address):
        said.append(address)
        opened.set()

    options = {"open_page": open_page, "port": 0, "wait_s": 20}
    server = threading.Thread(target=serve_once, args=(TRACE, said.append), kwargs=options)
    server.start()
    assert opened.wait(PATIENCE_S)
    address = unquote(re.search(r"url=(.*)", said[-1])[1])
    yield address
    # A server that has handed the trace out may be about to close, and then hangs up.
    with contextlib.suppress(OSError):
        fetch(address)
    server.join(20)
    assert not server.is_alive()


def fetch(address, **headers):
    with urllib.request.urlopen(
        urllib.request.Request(address, headers=headers), timeout=PATIENCE_S
    ) as answer:
        return answer.headers, answer.read()


def refused(address, **headers):
    with pytest.raises(urllib.error.HTTPError) as raised:
        fetch(address, **headers)
    raised.value.close()
    return raised.value.code


def test_perfetto_gets_the_trace_and_leave_to_read_it(served):
    headers, content = fetch(served, Origin=ORIGIN)
    assert json.loads(gzip.decompress(content)) == TRACE
    assert headers["Access-Control-Allow-Origin"] == ORIGIN


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://example.org"}, {"Origin": "null"}, {"Host": "example.org"}]
)
def test_another_page_gets_nothing(served, headers):
    assert refused(served, **headers) == 403


@pytest.mark.parametrize("path", ["/", "/etc/passwd", "/../pyproject.toml"])
def test_nothing_but_the_trace_is_served(served, path):
    assert refused(served.rsplit("/", 1)[0] + path, Origin=ORIGIN) == 404


def test_a_port_that_is_taken_is_one_error():
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(InputError, match="cannot be served on"),
    ):
        serve_once(TRACE, print, open_page=print, port=taken.getsockname()[1])


def test_it_does_not_wait_forever():
    with pytest.raises(InputError, match="nobody fetched"):
        serve_once(TRACE, lambda line: None, open_page=lambda address: None, port=0, wait_s=0.2)

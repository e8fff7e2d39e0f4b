from __future__ import annotations

import http.client
import json
import socket

import pytest

from tests.dashboard.samples import a_search, served, write_run, write_winners
from tests.dashboard.test_payload import revived
from tests.support.patience import PATIENCE_S
from workbench.base.errors import InputError
from workbench.base.shipped import shipped_dashboards
from workbench.dashboard import serve
from workbench.dashboard.definition import load_definition
from workbench.dashboard.serve import HOST, LivePage, listen


@pytest.fixture
def live(tmp_path, monkeypatch):
    monkeypatch.setattr(serve, "LEAST_S", 0.0)
    write_winners(tmp_path)
    return LivePage(load_definition(shipped_dashboards()["tuning"]), tmp_path, (), None)


@pytest.fixture
def port(live):
    with served(live) as port:
        yield port


def ask(port, path, *, method="GET", **headers):
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE_S)
    connection.request(method, path, headers={"Host": f"{HOST}:{port}", **headers})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content.decode()


def test_the_page_its_version_and_its_data_are_served(port):
    page, html = ask(port, "/")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    version = ask(port, "/version")[1]
    data = revived(json.loads(ask(port, "/data.json")[1]))
    assert data["version"] == version
    assert f'"version":"{version}"' in html
    assert page.headers["X-Content-Type-Options"] == "nosniff"


def test_a_query_leads_to_the_same_page_and_other_paths_nowhere(port):
    assert ask(port, "/?x=1")[0].status == 200
    for path in ("/etc/passwd", "/../runs", "/version/", "//evil"):
        assert ask(port, path)[0].status == 404


@pytest.mark.parametrize("method, status", [("HEAD", 200), ("POST", 501), ("PUT", 501), ("DELETE", 501)])
def test_only_reading_is_served(port, method, status):
    answer, content = ask(port, "/version", method=method)
    assert answer.status == status
    assert method != "HEAD" or content == ""


STRANGERS = [
    {"Host": "evil.example"},
    {"Host": "127.0.0.1"},
    {"Host": "127.0.0.1:1"},
    {"Host": ""},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
]


@pytest.mark.parametrize("headers", STRANGERS, ids=str)
def test_no_other_site_is_answered(port, headers):
    for path in ("/", "/version", "/data.json"):
        answer, content = ask(port, path, **headers)
        assert (answer.status, "workbench" in content.lower()) == (403, False)


def test_localhost_and_the_pages_own_origin_are_answered(port):
    assert ask(port, "/version", Host=f"localhost:{port}")[0].status == 200
    assert ask(port, "/version", Origin=f"http://{HOST}:{port}")[0].status == 200


def test_it_listens_on_loopback_alone(live):
    with listen(live, 0) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_named(live):
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"--port: {HOST}:{port} cannot be served on: .*another --port"):
            listen(live, port)


def test_it_is_built_anew_only_when_the_results_change(live, tmp_path):
    first = live.built()
    assert live.built() is first
    write_run(tmp_path, a_search())
    second = live.built()
    assert second.version != first.version
    assert live.built() is second


def test_what_a_sweep_keeps_for_itself_changes_nothing(live, tmp_path):
    before = live.version()
    (tmp_path / ".hidden.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("x")
    assert live.version() == before


def test_results_that_vanish_are_an_answer_and_not_the_end(live, port, tmp_path):
    tmp_path.rename(tmp_path.with_name("elsewhere"))
    answer, content = ask(port, "/")
    assert (answer.status, "is no folder" in content) == (503, True)
    tmp_path.with_name("elsewhere").rename(tmp_path)
    assert ask(port, "/")[0].status == 200

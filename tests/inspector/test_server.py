"""The server of a page answers this machine, and shows new pages as they come."""

from __future__ import annotations

import http.client

import pytest

from memrl.errors import RunError
from memrl.inspector.server import PageServer


@pytest.fixture
def server():
    with PageServer() as running:
        running.show("<p>first</p>", "steps-1")
        yield running


def ask(server, path="/", *, method="GET", host=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer, body


def test_the_page_shown_last_is_served(server):
    assert ask(server)[1] == "<p>first</p>"
    server.show("<p>second</p>", "steps-2")
    answer, body = ask(server)
    assert (answer.status, body) == (200, "<p>second</p>")
    assert answer.getheader("Cache-Control") == "no-store"
    assert ask(server, "/version")[1] == "steps-2"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1"])
def test_a_request_under_another_name_is_refused(server, host):
    answer, body = ask(server, host=host)
    assert answer.status == 403
    assert "first" not in body


def test_the_name_localhost_is_answered(server):
    assert ask(server, host=f"localhost:{server.port}")[0].status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_written(server, method):
    assert ask(server, method=method)[0].status == 501


def test_there_is_nothing_beside_the_page(server):
    assert ask(server, "/../pyproject.toml")[0].status == 404


def test_a_port_that_is_taken_is_told(server):
    with pytest.raises(RunError, match=rf"port={server.port} cannot be used .*; port=0, the def"):
        PageServer(server.port)


def test_the_server_is_bound_to_this_machine(server):
    assert server.url == f"http://127.0.0.1:{server.port}/"
    assert server._server.server_address[0] == "127.0.0.1"

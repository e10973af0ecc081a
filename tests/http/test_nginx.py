"""nginx with the configurations that Drivebay comes with: what it sends to which of two servers, and how often."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote, unquote

import httpx
import pytest

from tests.backends.run import Backends
from tests.http import nginx as nginx_of
from tests.http.s3_client import s3_client
from tests.http.server import PATIENCE, Server, free_port

CHANGES = [("PUT", b"x"), ("PUT", b""), ("PUT", b"x" * 100_000), ("POST", b"x"), ("DELETE", None)]
READS = [("GET", None), ("HEAD", None)]

pytestmark = pytest.mark.docker


class Upstream:
    """A server that reads one request a connection. It answers with the method, or not at all."""

    def __init__(self, answers: bool) -> None:
        self.received: list[str] = []
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                self._take(connection, stream)

    def _take(self, connection: socket.socket, stream: Any) -> None:
        method = stream.readline().decode().partition(" ")[0]
        headers = dict(line.decode().lower().strip().split(": ", 1) for line in iter(stream.readline, b"\r\n"))
        stream.read(int(headers.get("content-length", 0)))
        self.received.append(method)
        if self._answers:
            connection.sendall(f"HTTP/1.1 200 OK\r\nMethod: {method}\r\nContent-Length: 0\r\n\r\n".encode())


@pytest.fixture
def upstream() -> Iterator[Callable[[bool], Upstream]]:
    with ExitStack() as stack:

        def start(answers: bool) -> Upstream:
            started = Upstream(answers)
            stack.callback(started.close)
            return started

        yield start


@pytest.fixture(scope="module")
def container(backends: Backends) -> Iterator[Any]:
    with nginx_of.container(backends) as container:
        yield container


@pytest.fixture(params=[nginx_of.of_the_cluster, nginx_of.of_the_page_on_hardening])
def nginx(request: pytest.FixtureRequest, container: Any) -> Iterator[Callable[..., str]]:
    """Starts nginx in front of these addresses, and returns its URL."""
    with ExitStack() as stack:

        def start(*addresses: str) -> str:
            port = free_port()
            text = request.param(port, " ".join(f"server {address} max_fails=0;" for address in addresses))
            stack.enter_context(nginx_of.running(container, text))
            return f"http://127.0.0.1:{port}/v1/blobs/a"

        yield start


def ask(url: str, method: str, content: bytes | None) -> httpx.Response:
    return httpx.request(method, url, content=content, timeout=PATIENCE)


def test_only_what_changes_nothing_is_sent_to_a_second_server(
    nginx: Callable[..., str], upstream: Callable[[bool], Upstream]
) -> None:
    servers = [upstream(False), upstream(False)]
    url = nginx(*(each.address for each in servers))
    for method, content in CHANGES + READS:
        before = sum(len(each.received) for each in servers)
        assert ask(url, method, content).status_code == 502
        received = sum(len(each.received) for each in servers) - before
        assert (method, received) == (method, 2 if (method, content) in READS else 1)
    assert {method for each in servers for method in each.received} == {"PUT", "POST", "DELETE", "GET", "HEAD"}


def test_a_server_that_can_not_be_reached_fails_no_request(
    nginx: Callable[..., str], upstream: Callable[[bool], Upstream]
) -> None:
    url = nginx(f"127.0.0.1:{free_port()}", upstream(True).address)
    for method, content in CHANGES + READS:
        for _ in range(2):  # whichever is first in turn
            answer = ask(url, method, content)
            assert (answer.status_code, answer.headers["method"]) == (200, method)


def test_responses_with_all_metadata_pass(nginx: Callable[..., str], own_server: Server) -> None:
    url, notes = nginx(f"127.0.0.1:{own_server.port}"), "\u20ac" * 2700  # 8,100 bytes, sent back as 24,300 characters
    with own_server.client() as client:
        sent = client.put(url, content=b"x", headers={"X-Meta-Notes": quote(notes)})
        assert sent.status_code == 201
        for method in ("GET", "HEAD"):
            found = client.request(method, f"{url}?alt=media")
            assert (found.status_code, unquote(found.headers["x-meta-notes"])) == (200, notes)


def test_signed_requests_of_s3_clients_pass(nginx: Callable[..., str], own_server: Server) -> None:
    url = nginx(f"127.0.0.1:{own_server.port}")
    s3 = s3_client(own_server, url=url.removesuffix("/v1/blobs/a"))
    s3.create_bucket(Bucket="films")
    for key in ("a b+c//d", "x" * 1024, "\U0001f600" * 256):
        s3.put_object(Bucket="films", Key=key, Body=b"film")
        assert s3.get_object(Bucket="films", Key=key)["Body"].read() == b"film"
        presigned = s3.generate_presigned_url("get_object", {"Bucket": "films", "Key": key})
        assert httpx.get(presigned, timeout=PATIENCE).content == b"film"
    assert s3.list_objects_v2(Bucket="films")["KeyCount"] == 3

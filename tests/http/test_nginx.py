"""nginx with the configurations that Drivebay comes with: what it sends to which of two servers, and how often."""

import io
import re
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.backends.containers import Containers, engine
from tests.backends.run import Backends
from tests.http.server import PATIENCE, free_port

ROOT = Path(__file__).parents[2]
TEMPORARY = "".join(f"{name}_temp_path /tmp/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
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
    containers: Containers = backends.containers()
    with engine() as client:
        idle = containers.start_idle("nginx", command="sleep infinity")
        yield client.containers.get(idle.get_wrapped_container().id)
    containers.stop()


def of_the_cluster(port: int, servers: str) -> str:
    text = (ROOT / "docker" / "nginx" / "nginx.conf").read_text()
    text = text.replace("listen 8080 reuseport", f"listen 127.0.0.1:{port}").replace(
        "127.0.0.1:8081", "unix:/tmp/health"
    )
    return text.replace("//replica:8000", "//replicas").replace(
        "http {", f"http {{ upstream replicas {{ {servers} }}", 1
    )


def of_the_page_on_hardening(port: int, servers: str) -> str:
    [block] = re.findall(r"```nginx\n(.*?)```", (ROOT / "entrypoints" / "HARDENING.md").read_text(), re.DOTALL)
    block = re.sub(r"(?s)(upstream drivebay \{).*?\}", rf"\1 {servers} }}", block, count=1)
    block = block.replace("listen 443 ssl", f"listen 127.0.0.1:{port}").replace("/run/nginx/", "/tmp/")  # noqa: S108 - likewise
    return f"pid /tmp/nginx.pid; error_log stderr; events {{}} http {{ access_log off; {TEMPORARY} {block} }}"


@pytest.fixture(params=[of_the_cluster, of_the_page_on_hardening])
def nginx(request: pytest.FixtureRequest, container: Any) -> Iterator[Callable[..., str]]:
    """Starts nginx in front of these addresses, and returns its URL."""

    def start(*addresses: str) -> str:
        port = free_port()
        text = request.param(port, " ".join(f"server {address} max_fails=0;" for address in addresses)).encode()
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            entry = tarfile.TarInfo("nginx-of-the-test.conf")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
        container.put_archive("/tmp", packed.getvalue())  # noqa: S108 - in the container
        run(container, "nginx -c /tmp/nginx-of-the-test.conf")
        return f"http://127.0.0.1:{port}/v1/blobs/a"

    yield start
    run(container, "nginx -c /tmp/nginx-of-the-test.conf -s stop")
    deadline = time.monotonic() + PATIENCE
    while container.exec_run(["test", "!", "-e", "/tmp/nginx.pid"]).exit_code != 0:  # noqa: S108 - likewise
        assert time.monotonic() < deadline
        time.sleep(0.05)


def run(container: Any, command: str) -> None:
    code, output = container.exec_run(command.split())
    assert code == 0, output.decode()


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

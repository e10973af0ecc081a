"""Large uploads that are refused before they were read: each client receives the refusal, also through nginx.

`REFUSED_UPLOADS=60` tries more of them. Drivebay speaks HTTP/1.1 only, so HTTP/2 ends at nginx.
"""

import json
import os
import shlex
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from tests.backends.containers import engine
from tests.backends.run import Backends
from tests.clients.shell import Shell
from tests.http import nginx
from tests.http.server import PATIENCE, Server, free_port
from tests.http.wire import AUTH, JSON, answer, request

UPLOADS = int(os.environ.get("REFUSED_UPLOADS", "6"))  # by each way, of all three kinds together
AT_ONCE = 6
SIZE = 60_000_000
BYTES = b"A" * SIZE
START_OF_JSON = b'{"id":"in use","data":"'
CURL = (
    "curl --silent --show-error --max-time 40 --http2-prior-knowledge --output /dev/null "
    '--write-out "%{http_version} %{http_code}"'
)

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Upload:
    """An upload that is refused with `status`. `start`: how its body begins."""

    status: int
    line: str
    headers: str
    start: bytes = b""


UPLOAD_KINDS = [
    Upload(401, "PUT /v1/blobs/refused", ""),
    Upload(409, "POST /v1/blobs", AUTH + JSON, START_OF_JSON),
    Upload(412, "PUT /v1/blobs/refused", f"{AUTH}If-Match: *\r\n"),
]
EACH = UPLOADS // len(UPLOAD_KINDS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("refusing")) as server, server.client() as client:
        client.post("/v1/blobs", json={"id": "in use", "data": ""})
        yield server
        assert {line["level"] for line in server.log()} == {"info"}


@pytest.fixture(scope="module")
def nginx_container(backends: Backends) -> Iterator[Any]:
    with nginx.container(backends) as container:
        yield container


@pytest.fixture(scope="module", params=[nginx.of_the_cluster, nginx.of_the_page_on_hardening, nginx.of_its_defaults])
def nginx_port(request: pytest.FixtureRequest, server: Server, nginx_container: Any) -> Iterator[int]:
    """The port of nginx in front of the server."""
    port = free_port()
    with nginx.running(nginx_container, request.param(port, f"server 127.0.0.1:{server.port};")):
        yield port


@pytest.fixture(scope="module")
def curl(clients_container: str, server: Server) -> Iterator[Callable[[int, Upload], str]]:
    """Upload with curl, over HTTP/2, and return the version of HTTP and the status."""
    with engine() as client:
        shell = Shell(client.containers.get(clients_container), server)
        make = f"head -c {SIZE} /dev/zero | tr '\\0' A > 401; ln 401 412; "
        make += f"(printf %s '{START_OF_JSON.decode()}'; cat 401) > 409"
        assert shell.run(make).code == 0

        def upload(port: int, upload: Upload) -> str:
            method, path = upload.line.split()
            headers = " ".join(f"--header {shlex.quote(line)}" for line in upload.headers.splitlines())
            command = (
                f"{CURL} {headers} --request {method} --data-binary @{upload.status} http://127.0.0.1:{port}{path}"
            )
            return shell.run(command).output

        yield upload
        shell.run("rm 401 409 412")


def outcomes(upload: Callable[[Upload], str]) -> Counter[str]:
    with ThreadPoolExecutor(AT_ONCE) as clients:
        return Counter(clients.map(upload, UPLOAD_KINDS * EACH))


def sent_before_reading(port: int, upload: Upload) -> str:
    """The status in the body of the response, which was received to its last byte; or the error."""
    headers = f"{upload.headers}Connection: close\r\nContent-Length: {SIZE}\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
            connection.sendall(request(upload.line, headers, upload.start))
            connection.sendall(memoryview(BYTES)[len(upload.start) :])
            with connection.makefile("rb") as stream:
                return str(json.loads(answer(stream).body)["status"])
    except (OSError, ValueError, IndexError) as error:
        return repr(error)


def test_each_client_receives_the_refusal(server: Server) -> None:
    seen = outcomes(partial(sent_before_reading, server.port))
    assert seen == {str(upload.status): EACH for upload in UPLOAD_KINDS}


def test_each_client_of_nginx_receives_the_refusal(nginx_port: int) -> None:
    seen = outcomes(partial(sent_before_reading, nginx_port))
    assert seen == {str(upload.status): EACH for upload in UPLOAD_KINDS}


def test_each_client_of_nginx_receives_the_refusal_over_http_2(
    nginx_port: int, curl: Callable[[int, Upload], str]
) -> None:
    seen = outcomes(partial(curl, nginx_port))
    assert seen == {f"2 {upload.status}": EACH for upload in UPLOAD_KINDS}

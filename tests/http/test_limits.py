"""How much is served at once, and how large heads may be."""

import os
import subprocess
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from entrypoints.server.sockets import max_connections
from tests.http.server import DRIVEBAY, PATIENCE, Server
from tests.http.test_stopping import begin_slowly
from tests.http.wire import AUTH, Answer, answer, ask_once, get, put, request


def asked(server: Server, message: bytes) -> Answer:
    with server.connect() as connection:
        return ask_once(connection, message)


def test_no_more_requests_are_served_at_once(tmp_path: Path) -> None:
    with Server(tmp_path, MAX_REQUESTS="2") as server, server.client() as client, ExitStack() as stack:
        idle = [stack.enter_context(server.connect()) for _ in range(10)]
        slow = [stack.enter_context(begin_slowly(server)) for _ in range(2)]
        for _ in range(3):
            for message in (get("/v1/blobs/a"), put("/v1/blobs/a", b"x")):
                refusal = asked(server, message)
                assert (refusal.status, refusal.code) == (503, "overloaded")
                assert (refusal.headers["connection"], refusal.headers["retry-after"]) == ("close", "5")
        assert client.delete("/v1/blobs/a").json()["code"] == "overloaded"  # and is described
        assert asked(server, request("GET /v1/blobs", "")).code == "overloaded"  # whoever it is that asks
        for path in ("/health/live", "/health/ready", "/docs/openapi.json"):
            assert client.get(path).status_code == 200
        slow[0].sendall(b"hello")
        with slow[0].makefile("rb") as stream:
            assert answer(stream).status == 201
        assert client.put("/v1/blobs/a", content=b"x").status_code == 201
        assert ask_once(idle[0], get("/v1/blobs/a")).status == 200


def test_a_request_that_fails_makes_room_too(tmp_path: Path) -> None:
    with Server(tmp_path, MAX_REQUESTS="1") as server:
        for _ in range(3):
            assert asked(server, get("/v1/blobs/none")).status == 404
            assert asked(server, request("GET /v1/blobs", "")).status == 401
            begin_slowly(server).close()
            server.wait_until(lambda: asked(server, get("/v1/blobs/none")).status == 404)


def test_connections_beyond_the_most_wait_for_their_turn(tmp_path: Path) -> None:
    with Server(tmp_path, MAX_CONNECTIONS="2") as server, ExitStack() as stack:
        first, second, third = (stack.enter_context(server.connect()) for _ in range(3))
        for connection in (first, second):
            assert ask_once(connection, get("/health/live")).status == 200
        third.sendall(get("/health/live"))
        third.settimeout(0.5)
        with pytest.raises(TimeoutError):
            third.recv(1)
        first.close()
        third.settimeout(PATIENCE)
        assert third.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("".join(f"X-{number}: x\r\n" for number in range(98)), 200),
        ("".join(f"X-{number}: x\r\n" for number in range(101)), 431),
        (f"X: {'x' * 300_000}\r\n", 200),
        (f"X: {'x' * 1_000_000}\r\n", 431),
    ],
    ids=["many", "too many", "large", "too large"],
)
def test_heads(server: Server, headers: str, status: int) -> None:
    found = asked(server, request("GET /health/live", headers))
    assert (found.status, found.headers.get("connection")) == (status, "close" if status == 431 else None)


def test_targets(server: Server) -> None:
    assert asked(server, get(f"/nowhere/{'x' * 60_000}")).status == 404
    assert asked(server, get(f"/nowhere/{'x' * 70_000}")).status == 414


def test_headers_of_every_answer(client: httpx.Client) -> None:
    client.put("/v1/blobs/headers", content=b"<script>")
    paths = ["/docs", "/docs/openapi.json", "/docs/files/docs.js", "/health/live", "/health/ready", "/nowhere"]
    paths += [f"/v1/blobs{rest}" for rest in ("", "/none", "/headers", "/headers?alt=media", "?limit=x")]
    answers = [client.request(method, path) for path in paths for method in ("GET", "HEAD", "PATCH")]
    answers.append(httpx.get(f"{client.base_url}/v1/blobs"))
    assert {found.status_code for found in answers} == {200, 400, 401, 404, 405, 415}
    for found in answers:
        assert found.headers.get_list("x-content-type-options") == ["nosniff"]
        assert found.headers["referrer-policy"] == "no-referrer"
        assert found.headers["cross-origin-resource-policy"] == "same-origin"
        assert found.headers["x-frame-options"] == "DENY"
        [policy] = found.headers.get_list("content-security-policy")
        is_page = found.request.url.path.startswith("/docs")
        is_bytes = found.headers.get("accept-ranges") == "bytes"
        assert "default-src 'none'" in policy
        assert ("script-src 'self'" in policy, policy.startswith("sandbox")) == (is_page, is_bytes), found
        assert "strict-transport-security" not in found.headers


FILES = 300
FEW_FILES = ["sh", "-c", f'ulimit -n {FILES} && exec "$@"', "sh", DRIVEBAY, "serve"]


def test_there_are_no_more_connections_than_files_may_be_open(tmp_path: Path) -> None:
    with Server(tmp_path, FEW_FILES, CLIENT_TIMEOUT="120") as server, ExitStack() as stack:
        [reduced] = [line for line in server.log() if "MAX_CONNECTIONS is reduced" in line["event"]]
        most = reduced["connections"]
        assert (reduced["level"], reduced["asked"]) == ("warning", 2000)
        clients = [stack.enter_context(server.connect()) for _ in range(FILES + 50)]
        for number, client in enumerate(clients):
            client.sendall(request(f"PUT /v1/blobs/{number}", f"{AUTH}Content-Length: 1\r\nExpect: 100-continue\r\n"))
        for client in clients[:most]:
            assert client.recv(100).startswith(b"HTTP/1.1 100")
        [worker] = server.workers()
        assert len(os.listdir(f"/proc/{worker}/fd")) < FILES
        assert server.connections() == most
        for client in clients[:most]:
            client.sendall(b"x")
        for number, client in enumerate(clients):  # the others are accepted as those before them go
            if number >= most:
                assert client.recv(100).startswith(b"HTTP/1.1 100")
                client.sendall(b"x")
            assert client.recv(100).startswith(b"HTTP/1.1 201")
            client.close()
        server.wait_until_left(blobs=len(clients))
        assert {line["level"] for line in server.log()} == {"warning", "info"}


def test_a_start_with_too_few_files_for_any_connection_fails(tmp_path: Path) -> None:
    command = ["sh", "-c", 'ulimit -n 90 && exec "$@"', "sh", DRIVEBAY, "serve"]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, timeout=PATIENCE
    )
    assert done.returncode == 2
    assert done.stderr.startswith(b"drivebay: MAX_CONNECTIONS: too few files")


@pytest.mark.parametrize(
    ("files", "most", "requests", "fitting"),
    [
        (300, 2000, 1000, 100),
        (4000, 2000, 1000, 2000),
        (3999, 2000, 1000, 1999),
        (3000, 2000, 1000, 1000),
        (9, 2, 9, 2),
    ],
)
def test_connections_that_fit(files: int, most: int, requests: int, fitting: int) -> None:
    assert max_connections(files, most, requests) == fitting

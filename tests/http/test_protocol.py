"""What HTTP itself asks for: authentication, errors, broken and early-ended requests, on sockets written by hand."""

import json
import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any

import httpx
import pytest

from tests.http.server import OTHER_TOKEN, Server
from tests.http.wire import AUTH, JSON, TOKEN, get, request


class Answer:
    def __init__(self, connection: socket.socket) -> None:
        response = HTTPResponse(connection)
        response.begin()
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body: dict[str, Any] = json.loads(response.read())

    @property
    def code(self) -> str:
        return str(self.body["code"])


def post(headers: str, body: bytes = b"") -> bytes:
    return request("POST /v1/blobs", headers, body)


@pytest.fixture
def connection(server: Server) -> Iterator[socket.socket]:
    with server.connect() as connection:
        yield connection


def ask(connection: socket.socket, message: bytes) -> Answer:
    connection.sendall(message)
    return Answer(connection)


class TestAuthentication:
    @pytest.mark.parametrize(
        "header",
        [
            "",
            "Authorization:\r\n",
            "Authorization: Bearer\r\n",
            "Authorization: Bearer \r\n",
            "Authorization: Bearer wrong\r\n",
            f"Authorization: Bearer {TOKEN}x\r\n",
            f"Authorization: Bearer {TOKEN[:-1]}\r\n",
            f"Authorization: Bearer {TOKEN.upper()}\r\n",
            f"Authorization: {TOKEN}\r\n",
            f"Authorization: Basic {TOKEN}\r\n",
            f"Authorization: Bearer {TOKEN} {TOKEN}\r\n",
            "Authorization: Bearer tökèn\r\n",
            AUTH + AUTH,
            AUTH + "Authorization: Bearer wrong\r\n",
        ],
    )
    def test_what_is_no_valid_token(self, connection: socket.socket, header: str) -> None:
        answer = ask(connection, request("GET /v1/blobs/k5", header))
        assert (answer.status, answer.code) == (401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
    def test_the_scheme_in_any_case(self, connection: socket.socket, scheme: str) -> None:
        answer = ask(connection, request("GET /v1/blobs/no", f"Authorization: {scheme} {TOKEN}\r\n"))
        assert answer.status == 404

    def test_several_tokens_are_valid_at_once(self, server: Server) -> None:
        for token, status in ((TOKEN, 404), (OTHER_TOKEN, 404), (f"{TOKEN},{OTHER_TOKEN}", 401)):
            with server.client(token) as client:
                assert client.get("/v1/blobs/nobody").status_code == status

    def test_it_comes_before_the_body_and_before_all_else(self, connection: socket.socket) -> None:
        answer = ask(connection, post("Content-Length: 1000000000\r\nContent-Type: text/plain\r\n", b"{"))
        assert answer.status == 401
        assert answer.headers["connection"] == "close"

    def test_no_hint_whether_an_id_exists(self, client: httpx.Client, server: Server) -> None:
        client.post("/v1/blobs", json={"id": "secret", "data": ""})
        with server.client("wrong") as stranger:
            answers = [stranger.get(f"/v1/blobs/{name}") for name in ("secret", "nobody", "%00")]
        assert {answer.status_code for answer in answers} == {401}
        assert len({answer.json()["detail"] for answer in answers}) == 1


class TestErrors:
    @pytest.mark.parametrize(
        ("method", "path", "status", "code"),
        [
            ("GET", "/ui", 404, "unknown_route"),
            ("GET", "/ui/", 404, "unknown_route"),
            ("GET", "/ui/../face.py", 404, "unknown_route"),
            ("GET", "/ui/index.html", 404, "unknown_route"),
            ("GET", "/v1", 404, "unknown_route"),
            ("GET", "/v1/blob", 404, "unknown_route"),
            ("GET", "/v1//blobs/a", 404, "unknown_route"),
            ("GET", "/favicon.ico", 404, "unknown_route"),
            ("GET", "/docs/files/nothing.js", 404, "unknown_route"),
            ("GET", "/docs/files/../../app.py", 404, "unknown_route"),
            ("GET", "/docs/files/%2e%2e/app.py", 404, "unknown_route"),
            ("GET", "/docs/nothing", 404, "unknown_route"),
            ("GET", "/docs/files/", 404, "unknown_route"),
            ("GET", "/docs/files/docs.js/x", 404, "unknown_route"),
            ("GET", "/docs/files/%00", 404, "unknown_route"),
            ("GET", "/docs/files/" + "x" * 300, 404, "unknown_route"),
            ("PUT", "/v1/blobs", 405, "method_not_allowed"),
            ("TRACE", "/v1/blobs/a", 405, "method_not_allowed"),
            ("PATCH", "/v1/blobs/a", 415, "unsupported_media_type"),
            ("GET", "/v1/copy", 405, "method_not_allowed"),
            ("GET", "/v1/uploads/x/y/z", 404, "unknown_route"),
            ("GET", "/v1/uploads/%41", 404, "unknown_route"),
            ("GET", "/v1//uploads", 404, "unknown_route"),
            ("GET", "/v1/uploads/", 404, "unknown_route"),
            ("POST", "/health/live", 405, "method_not_allowed"),
            ("BREW", "/v1/blobs/a", 405, "method_not_allowed"),
            ("GET", "/v1/blobs/", 400, "invalid_id"),
            ("GET", "/v1/blobs/nobody", 404, "not_found"),
        ],
    )
    def test_every_error_is_a_problem(
        self, connection: socket.socket, method: str, path: str, status: int, code: str
    ) -> None:
        answer = ask(connection, request(f"{method} {path}"))
        assert (answer.status, answer.code) == (status, code)
        assert answer.headers["content-type"] == "application/problem+json"
        assert list(answer.body) == ["type", "title", "status", "detail", "instance", "code"]
        assert (answer.body["status"], answer.body["instance"]) == (status, path)
        assert ("allow" in answer.headers) == (status == 405)

    @pytest.mark.parametrize(
        ("path", "methods"),
        [
            ("/v1/blobs", {"GET", "HEAD", "POST"}),
            ("/v1/blobs/a", {"DELETE", "GET", "HEAD", "PATCH", "PUT"}),
            ("/v1/commits", {"POST"}),
            ("/v1/uploads/0/1", {"PUT"}),
            ("/v1/uploads/0", {"DELETE", "GET", "HEAD", "PATCH"}),
            ("/v1/uploads/" + "0" * 32, {"DELETE", "GET", "HEAD", "PATCH"}),
            ("/v1/trash/1/restore", {"POST"}),
            ("/health/ready", {"GET", "HEAD"}),
            ("/docs", {"GET", "HEAD"}),
            ("/", {"GET", "HEAD"}),
            ("/ui/app.js", {"GET", "HEAD"}),
        ],
    )
    def test_the_methods_of_a_path(self, client: httpx.Client, path: str, methods: set[str]) -> None:
        for answer, status in ((client.options(path), 204), (client.request("BREW", path), 405)):
            assert answer.status_code == status
            assert sorted(answer.headers["allow"].split(", ")) == sorted(methods | {"OPTIONS"})
        assert (client.head(path).status_code == 405) == ("HEAD" not in methods)

    @pytest.mark.parametrize(
        ("method", "target", "name"),
        [
            ("POST", "/v1/blobs?a=b", "a"),
            ("GET", "/v1/blobs?limit=1&page=2", "page"),
            ("GET", "/v1/blobs?limit=1&&=x", ""),
            ("OPTIONS", "/v1/blobs?a", "a"),
            ("GET", "/health/live?a", "a"),
            ("GET", "/health/ready?a=", "a"),
            ("GET", "/metrics?%61=", "a"),
            ("GET", "/docs?a=b", "a"),
            ("GET", "/?a=b", "a"),
            ("GET", "/docs/openapi.json?a=b", "a"),
            ("GET", "/docs/files/docs.js?a=b", "a"),
        ],
    )
    def test_an_unknown_parameter_is_refused(self, client: httpx.Client, method: str, target: str, name: str) -> None:
        answer = client.request(method, target)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")
        assert f"The query parameter '{name}' is not known." in answer.json()["detail"]
        assert "%3F" not in answer.json()["detail"]

    def test_no_parameter_is_named_without_a_token(self, connection: socket.socket) -> None:
        assert ask(connection, request("DELETE /v1/blobs/what?.txt", "")).code == "unauthorized"

    def test_a_long_name_is_cut(self, client: httpx.Client) -> None:
        detail = client.delete(f"/v1/blobs/a?{'x' * 10_000}").json()["detail"]
        assert f"'{'x' * 50}...'" in detail

    @pytest.mark.parametrize("given", ["abc-123", "0af7651916cd43dd8448eb211c80319c"])
    def test_a_request_id_comes_back(self, client: httpx.Client, given: str) -> None:
        assert client.get("/v1/blobs/no", headers={"X-Request-ID": given}).headers["x-request-id"] == given

    @pytest.mark.parametrize("given", ["", "x" * 129, "a b", 'a"b', "é"])
    def test_one_that_could_do_harm_is_replaced(self, client: httpx.Client, given: str) -> None:
        sent = httpx.Headers({"X-Request-ID": given}, encoding="utf-8")
        assert len(client.get("/v1/blobs/no", headers=sent).headers["x-request-id"]) == 16


class TestBodies:
    def test_chunked(self, connection: socket.socket) -> None:
        body = b'{"id":"chunked","data":"SGVsbG8gV29ybGQh"}'
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
        answer = ask(connection, post(f"{AUTH}{JSON}Transfer-Encoding: chunked\r\n", chunks))
        assert (answer.status, answer.body["size"]) == (201, 12)

    def test_expect_continue(self, connection: socket.socket) -> None:
        body = b'{"id":"expect","data":"SGVsbG8gV29ybGQh"}'
        connection.sendall(post(f"{AUTH}{JSON}Expect: 100-continue\r\nContent-Length: {len(body)}\r\n"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert ask(connection, body).status == 201

    def test_no_continue_for_what_is_refused(self, connection: socket.socket) -> None:
        answer = ask(connection, post(f"{AUTH}Expect: 100-continue\r\nContent-Length: 100\r\n"))
        assert answer.status == 415

    @pytest.mark.parametrize("length", ["-1", "x", "1, 2", "9" * 30])
    def test_a_length_that_is_none(self, connection: socket.socket, length: str) -> None:
        connection.sendall(post(f"{AUTH}{JSON}Content-Length: {length}\r\n"))
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")

    def test_a_body_that_breaks_off_leaves_nothing_and_is_no_fault_of_ours(self, own_server: Server) -> None:
        body = b'{"id":"broken","data":"SGVsbG8gV29ybGQh"}'
        chunk = b"%x\r\n%b\r\n" % (len(body), body)
        for framing, part in (("Content-Length: 1000\r\n", body), ("Transfer-Encoding: chunked\r\n", chunk)):
            with own_server.connect() as connection:
                connection.sendall(post(f"{AUTH}{JSON}{framing}", part))
        with own_server.client() as client:
            assert client.get("/v1/blobs/broken").status_code == 404
        own_server.wait_until_left(0)
        own_server.wait_until(
            lambda: [line["status"] for line in own_server.log() if line.get("method") == "POST"] == [400, 400]
        )
        assert own_server.stop() == 0
        assert {line["level"] for line in own_server.log()} == {"info"}

    def test_a_connection_serves_request_after_request(self, connection: socket.socket) -> None:
        for turn in range(50):
            body = json.dumps({"id": f"turn {turn}", "data": "AAAA" * turn}).encode()
            assert ask(connection, post(f"{AUTH}{JSON}Content-Length: {len(body)}\r\n", body)).status == 201
            fetched = ask(connection, get(f"/v1/blobs/turn%20{turn}"))
            assert fetched.body["data"] == "AAAA" * turn

    def test_a_client_that_leaves_while_it_is_answered(self, own_server: Server) -> None:
        with own_server.client() as client:
            client.post("/v1/blobs", json={"id": "large", "data": "AAAA" * 5_000_000})
            for _ in range(5):
                with own_server.connect() as connection:
                    connection.sendall(get("/v1/blobs/large"))
                    assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
            assert client.get("/v1/blobs/large").json()["size"] == 15_000_000
        own_server.wait_until_closed(own_server.folder / "data" / "blobs")
        assert own_server.stop() == 0
        assert {line["level"] for line in own_server.log()} == {"info"}

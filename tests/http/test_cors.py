"""Browsers: pages of another origin, as the CORS protocol of WHATWG's Fetch has them ask."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.http.server import Server
from tests.http.wire import AUTH, ask_once, request

PAGE = "https://app.example"
OTHER = "http://localhost:5173"
STRANGER = "https://evil.example"
EXPOSED = {"etag", "location", "content-range", "repr-digest", "x-request-id"}
CORS = "access-control-allow-origin"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that trusts two origins."""
    with Server(tmp_path_factory.mktemp("cors"), CORS_ORIGINS=f"{PAGE}, {OTHER}") as server:
        yield server


@pytest.fixture
def page(server: Server) -> Iterator[httpx.Client]:
    """A page with a token."""
    with server.client() as client:
        client.headers["Origin"] = PAGE
        yield client


def preflight(server: Server, origin: str, path: str = "/v1/blobs/a", **headers: str) -> httpx.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": "PUT"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return httpx.options(f"{server.url}{path}", headers=asked)


def listed(value: str) -> set[str]:
    return {name.strip().lower() for name in value.split(",")}


def is_readable(response: httpx.Response, origin: str = PAGE) -> None:
    """Fail unless a page of `origin` may read the response and these headers, and no cache gives it to another one."""
    assert response.headers[CORS] == origin
    assert listed(response.headers["access-control-expose-headers"]) >= EXPOSED
    assert "origin" in listed(response.headers["vary"])
    assert "access-control-allow-credentials" not in response.headers


class TestPreflights:
    @pytest.mark.parametrize("origin", [PAGE, OTHER])
    @pytest.mark.parametrize("path", ["/v1/blobs", "/v1/blobs/a", "/v1/blobs/a%2Fb", "/health/ready", "/nowhere"])
    def test_no_token_is_needed(self, server: Server, origin: str, path: str) -> None:
        answer = preflight(server, origin, path, Access_Control_Request_Headers="authorization,x-meta-a, range")
        assert (answer.status_code, answer.headers[CORS]) == (204, origin)
        assert listed(answer.headers["access-control-allow-methods"]) >= {"get", "head", "put", "post", "delete"}
        assert listed(answer.headers["access-control-allow-headers"]) == {"authorization", "x-meta-a", "range"}
        assert "origin" in listed(answer.headers["vary"])
        assert answer.headers["x-request-id"]
        assert "access-control-allow-credentials" not in answer.headers

    def test_strangers_learn_nothing(self, server: Server) -> None:
        for origin in (STRANGER, f"{PAGE}.evil.example", f"{PAGE}:8443", "http://app.example", "null", PAGE.upper()):
            answer = preflight(server, origin)
            assert answer.status_code == 401
            assert not [name for name in answer.headers if name.startswith("access-control-")]
            assert "origin" in listed(answer.headers["vary"])

    @pytest.mark.parametrize("headers", ["a b", "a,,b", "a:b", "é", "x" * 9000])
    def test_what_is_no_list_of_headers_is_not_allowed(self, server: Server, headers: str) -> None:
        asked = f"Origin: {PAGE}\r\nAccess-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: {headers}\r\n"
        with server.connect() as connection:
            answer = ask_once(connection, request("OPTIONS /v1/blobs/a", asked))
        assert answer.status == 204
        assert "access-control-allow-headers" not in answer.headers


class TestResponses:
    def test_a_blob_that_is_stored_fetched_and_deleted(self, page: httpx.Client) -> None:
        answers = [
            page.put("/v1/blobs/cors", content=b"x"),
            page.get("/v1/blobs/cors"),
            page.get("/v1/blobs/cors?alt=media", headers={"Range": "bytes=0-"}),
            page.head("/v1/blobs/cors"),
            page.get("/v1/blobs/cors", headers={"If-None-Match": "*"}),
            page.get("/v1/blobs"),
            page.options("/v1/blobs"),
            page.delete("/v1/blobs/cors"),
        ]
        assert [answer.status_code for answer in answers] == [201, 200, 206, 200, 304, 200, 204, 204]
        for answer in answers:
            is_readable(answer)
        assert all(listed(answer.headers["vary"]) == {"accept", "origin"} for answer in answers[1:5])

    def test_errors(self, page: httpx.Client, server: Server) -> None:
        for method, path, status in (
            ("GET", "/v1/blobs/nobody", 404),
            ("GET", "/nowhere", 404),
            ("PATCH", "/v1/blobs", 405),
            ("PUT", "/v1/blobs/a?b", 400),
        ):
            answer = page.request(method, path)
            assert answer.status_code == status
            is_readable(answer)
        answer = httpx.get(f"{server.url}/v1/blobs", headers={"Origin": OTHER})
        assert answer.status_code == 401
        is_readable(answer, OTHER)

    def test_a_refused_host(self, server: Server) -> None:
        with server.connect() as connection:
            refusal = ask_once(connection, request("GET /v1/blobs", f"{AUTH}Host: b\r\nOrigin: {PAGE}\r\n"))
        assert (refusal.status, refusal.headers[CORS]) == (400, PAGE)

    def test_an_overloaded_server(self, tmp_path: Path) -> None:
        with (
            Server(tmp_path, CORS_ORIGINS=PAGE, MAX_REQUESTS="1") as server,
            server.connect() as busy,
            server.client() as page,
        ):
            busy.sendall(request("PUT /v1/blobs/busy", f"{AUTH}Content-Length: 10\r\nExpect: 100-continue\r\n"))
            assert busy.recv(100).startswith(b"HTTP/1.1 100")  # it has the only slot
            page.headers["Origin"] = PAGE
            refusal = page.get("/v1/blobs")
            assert refusal.json()["code"] == "overloaded"
            is_readable(refusal)
            assert preflight(server, PAGE).status_code == 204

    def test_strangers_and_requests_without_an_origin(self, page: httpx.Client) -> None:
        for origin in (STRANGER, None):
            page.headers.pop("Origin", None)
            answer = page.get("/v1/blobs", headers={"Origin": origin} if origin else {})
            assert answer.status_code == 200
            assert not [name for name in answer.headers if name.startswith("access-control-")]
            assert listed(answer.headers["vary"]) == {"origin"}

    def test_two_origins_are_none(self, server: Server) -> None:
        with server.connect() as connection:
            answer = ask_once(connection, request("GET /v1/blobs", f"{AUTH}Origin: {PAGE}\r\nOrigin: {OTHER}\r\n"))
        assert CORS not in answer.headers


class TestAllOrigins:
    def test_each_may_ask(self, tmp_path: Path) -> None:
        with Server(tmp_path, CORS_ORIGINS="*") as server:
            assert preflight(server, STRANGER, Access_Control_Request_Headers="authorization").headers[CORS] == "*"
            refusal = httpx.get(f"{server.url}/v1/blobs", headers={"Origin": "null"})
            assert (refusal.status_code, refusal.headers[CORS]) == (401, "*")


class TestWithoutTheSetting:
    def test_no_origin_may_ask(self, own_server: Server) -> None:
        assert preflight(own_server, PAGE).status_code == 401
        with own_server.client() as client:
            answer = client.get("/v1/blobs", headers={"Origin": PAGE})
        assert not [name for name in answer.headers if name.startswith("access-control-")]

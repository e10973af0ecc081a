"""Ids in request targets that no client library would send as they are."""

import json

import pytest

from tests.http.server import Server
from tests.http.wire import AUTH, JSON, Answer, answer, ask_once, get, put, request


def asked(server: Server, message: bytes) -> Answer:
    with server.connect() as connection:
        return ask_once(connection, message)


def id_of(server: Server, target: str) -> str:
    """The id that a blob gets which is stored there."""
    result = asked(server, put(target, target.encode()))
    assert result.status in (200, 201), result.body
    assert asked(server, request(f"GET {result.headers['location']}?alt=media")).body == target.encode()
    return str(json.loads(result.body)["id"])


@pytest.mark.parametrize(
    ("target", "blob_id"),
    [
        *(("..", ".."), ("%2e%2e", ".."), ("%2E.", ".."), ("../../etc/passwd", "../../etc/passwd"), (".", ".")),
        *(("/", "/"), ("%2F", "/"), ("%2f", "/"), ("//t//", "//t//"), ("%252F", "%2F"), ("t%2F..%2Ft", "t/../t")),
        *(("%74", "t"), ("%C3%A9t", "ét"), ("%c3%a9t", "ét"), ("e%CC%81t", "e\u0301t"), ("%F0%9F%91%8D", "👍")),
        *(("t;a=b", "t;a=b"), ("t:b@c", "t:b@c"), ("t+b", "t+b"), ("%20", " "), ("t%3Fb", "t?b"), ("t%23b", "t#b")),
        *(("t[1]", "t[1]"), ("{t}", "{t}"), ("t|b", "t|b"), ("t^b", "t^b"), ('"t"', '"t"'), ("t\\b", "t\\b")),
        # What is no escape stands for itself.
        *(("%", "%"), ("t%", "t%"), ("%2", "%2"), ("%zz", "%zz"), ("%%41", "%A"), ("%u0041", "%u0041")),
    ],
)
def test_an_id_is_decoded_once_and_not_tidied_up(server: Server, target: str, blob_id: str) -> None:
    assert id_of(server, f"/v1/blobs/{target}") == blob_id


@pytest.mark.parametrize("query", ["?", "#fragment", "?#", "?&"])
def test_what_follows_is_no_part_of_it(server: Server, query: str) -> None:
    assert id_of(server, f"/v1/blobs/followed{query}") == "followed"


@pytest.mark.parametrize("rest", ["?.txt", "??", "?alt=media", "?a=/v1/blobs/b", "?x=%FF&y=%00", "?%3F", "?=", "?a#b"])
def test_an_id_with_an_unescaped_question_mark_is_no_other_blob(server: Server, rest: str) -> None:
    asked(server, put("/v1/blobs/what", b"old"))
    for message in (put(f"/v1/blobs/what{rest}", b"new"), request(f"DELETE /v1/blobs/what{rest}")):
        refusal = asked(server, message)
        assert (refusal.status, refusal.code) == (400, "invalid_parameter")
        assert "If the ? is part of the blob's id, write it as %3F." in json.loads(refusal.body)["detail"]
    if rest != "?alt=media":
        for method in ("GET", "HEAD"):
            assert asked(server, request(f"{method} /v1/blobs/what{rest}")).status == 400
    assert asked(server, get("/v1/blobs/what?alt=media")).body == b"old"


@pytest.mark.parametrize("origin", ["http://test", "http://test:80", "https://other.example", "HTTP://[::1]:8000"])
def test_a_target_may_name_the_server(server: Server, origin: str) -> None:
    """As for a proxy: RFC 9112, section 3.2.2."""
    assert id_of(server, f"{origin}/v1/blobs/http://x/..") == "http://x/.."


@pytest.mark.parametrize("unit", ["x", "%78", "%C3%A9", "%E2%98%BA"])
def test_the_longest(server: Server, unit: str) -> None:
    size = 1 if len(unit) < 4 else len(unit) // 3
    longest = f"/v1/blobs/{unit * (2048 // size)}{'y' * (2048 % size)}"
    assert len(id_of(server, longest).encode()) == 2048
    assert asked(server, get(longest)).status == 200
    for method in ("GET", "HEAD", "DELETE"):
        refusal = asked(server, request(f"{method} {longest}z"))
        assert refusal.status == 400
    refusal = asked(server, put(f"{longest}z", b"x"))
    assert (refusal.status, refusal.code) == (400, "invalid_id")
    assert "2,049 bytes" in json.loads(refusal.body)["detail"]


@pytest.mark.parametrize(
    "target",
    [
        *("", "%00", "a%00", "%0A", "%0d%0aX: y", "%7F", "%C2%85", "%ff", "%C3", "%C3%28", "%c0%af", "%e0%80%af"),
        *("%ed%a0%80", "%f4%90%80%80", "%f8%88%80%80%80", "%C3%A9%C3", "x" * 60_000),
    ],
)
def test_no_id(server: Server, target: str) -> None:
    target = target.replace(" ", "%20")
    for message in (
        get(f"/v1/blobs/{target}"),
        put(f"/v1/blobs/{target}", b"x"),
        request(f"DELETE /v1/blobs/{target}"),
    ):
        refusal = asked(server, message)
        assert (refusal.status, refusal.code) == (400, "invalid_id")


@pytest.mark.parametrize(
    "target", ["/v1%2Fblobs/t", "/v1/blobs%2Ft", "/%76%31/blobs/t", "/v1/../v1/blobs/t", "/V1/blobs/t"]
)
def test_only_the_id_may_be_escaped(server: Server, target: str) -> None:
    assert asked(server, put(target, b"x")).code == "unknown_route"


@pytest.mark.parametrize(
    "target", ["v1/blobs/t", "?", "/v1/blobs/t t", "/v1/blobs/é", "/v1/blobs/\x01", "/" + "x" * 100_000]
)
def test_no_target(server: Server, target: str) -> None:
    with server.connect() as connection, connection.makefile("rb") as stream:
        connection.sendall(request(f"GET {target}"))
        assert stream.read().split()[1] in (b"400", b"414")


def test_in_the_json_form_the_same_id_is_the_same_blob(server: Server) -> None:
    body = json.dumps({"id": "both/../forms%2F", "data": "AAAA"}).encode()
    head = f"{AUTH}{JSON}Content-Length: {len(body)}\r\n"
    result = asked(server, request("POST /v1/blobs", head, body))
    assert (result.status, result.headers["location"]) == (201, "/v1/blobs/both%2F..%2Fforms%252F")
    assert id_of(server, "/v1/blobs/both/../forms%252F") == "both/../forms%2F"


EXACT = [
    *("/v1/blobs", "/metrics", "/docs", "/docs/openapi.json", "/docs/files/docs.js", "/health/live", "/health/ready"),
    "/ui/vendor/tus.min.js",
]
ALTERED = [
    *("{}/", "/{}", "{}//", "/.{}", "/x/..{}", "/docs/..{}", "{}/.", "{}/x/..", "{}%2f", "{}%2F", "/%2f{}", "/%2e{}"),
    *("{};", "{};x", "{};x=y", "{}%00", "{}%20", "{}%3f", "{}%23", "{}.", "{}\\", "{}+", "{}x"),
]


class TestFixedPaths:
    """Rules of proxies compare paths, so there is one for each of these, and nothing else leads there."""

    @pytest.mark.parametrize("path", EXACT)
    def test_an_altered_path_is_unknown(self, server: Server, path: str) -> None:
        encoded = f"%{ord(path[1]):x}"
        targets = [form.format(path) for form in ALTERED]
        targets += [f"/{encoded}{path[2:]}", path.upper(), path[:2].upper() + path[2:], path.replace("s", "%73")]
        targets += [path.replace("/", "//"), "/" + path[1:].replace("/", "\\") + "\\"]
        with server.connect() as connection, connection.makefile("rb") as stream:
            for target in dict.fromkeys(targets):
                connection.sendall(request(f"GET {target}"))
                found = answer(stream)
                if not target.startswith("/v1/blobs/") and target != path:
                    assert (found.status, found.code) == (404, "unknown_route"), target

    @pytest.mark.parametrize("path", EXACT)
    def test_with_a_query_or_the_server_it_is_the_same(self, server: Server, path: str) -> None:
        for target in (path, f"{path}?", f"{path}?x=/..", f"http://test{path}"):
            assert asked(server, request(f"GET {target}")).status in (200, 400)

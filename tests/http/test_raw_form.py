"""The raw form over HTTP: PUT, GET, HEAD and DELETE."""

import base64
import hashlib
import itertools
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest

from tests.contracts.blob_store import MIB, pattern
from tests.http.dates import strong_date
from tests.http.server import Server, blob_target
from tests.http.wire import AUTH
from tests.ids import INVALID, NASTY

RAW = {"Accept": "application/octet-stream"}
NUMBERS = itertools.count()
DATA = pattern(1000)


@pytest.fixture
def path() -> str:
    """Of a blob that nobody else uses."""
    return f"/v1/blobs/raw%20{next(NUMBERS)}"


def digest(data: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


def code(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


class TestPutAndGet:
    @pytest.mark.parametrize("size", [0, 1, 1000, 3 * MIB + 1, 40 * MIB])
    def test_what_was_put_is_fetched(self, client: httpx.Client, path: str, size: int) -> None:
        data = pattern(size)
        stored = client.put(path, content=data, headers={"Content-Type": "image/png"})
        assert stored.status_code == 201
        assert stored.json()["message"] == "Blob stored successfully"
        assert stored.headers["location"] == path
        fetched = client.get(path, headers=RAW)
        assert fetched.status_code == 200
        assert fetched.content == data
        assert fetched.headers["content-type"] == "image/png"
        assert fetched.headers["content-length"] == str(size)
        assert fetched.headers["etag"] == stored.headers["etag"]
        assert fetched.headers["repr-digest"] == digest(data)
        assert fetched.headers["accept-ranges"] == "bytes"
        assert fetched.headers["vary"] == "Accept"
        assert fetched.headers["last-modified"].endswith(" GMT")
        assert base64.b64decode(client.get(path).json()["data"]) == data

    def test_a_body_without_a_length(self, client: httpx.Client, path: str) -> None:
        def chunks() -> Iterator[bytes]:
            for start in range(0, 3 * MIB, 100_000):
                yield pattern(3 * MIB)[start : start + 100_000]

        assert client.put(path, content=chunks()).status_code == 201
        assert client.get(path, headers=RAW).content == pattern(3 * MIB)

    def test_a_blob_is_replaced(self, client: httpx.Client, path: str) -> None:
        first = client.put(path, content=b"the first, which is longer", headers={"Content-Type": "text/plain"})
        second = client.put(path, content=b"second")
        assert (first.status_code, second.status_code) == (201, 200)
        fetched = client.get(path, headers=RAW)
        assert (fetched.content, fetched.headers["content-type"]) == (b"second", "application/octet-stream")

    @pytest.mark.parametrize("media_type", ["text/html; charset=utf-8", "application/vnd.a+json;v=1", "x/y"])
    def test_any_content_type_is_kept(self, client: httpx.Client, path: str, media_type: str) -> None:
        client.put(path, content=b"x", headers={"Content-Type": media_type})
        assert client.get(path, headers=RAW).headers["content-type"] == media_type

    @pytest.mark.parametrize("media_type", ["text", "text/", "/plain", "a b/c", f"text/{'x' * 300}"])
    def test_what_is_no_content_type_is_refused(self, client: httpx.Client, path: str, media_type: str) -> None:
        assert code(client.put(path, content=b"x", headers={"Content-Type": media_type})) == (400, "invalid_header")
        assert client.get(path).status_code == 404

    def test_every_id(self, client: httpx.Client) -> None:
        for number, blob_id in enumerate(NASTY):
            answer = client.put("/", content=str(number).encode(), extensions=blob_target(blob_id))
            assert answer.json()["id"] == blob_id
        for number, blob_id in enumerate(NASTY):
            assert client.get("/", headers=RAW, extensions=blob_target(blob_id)).content == str(number).encode()
            assert client.head("/", headers=RAW, extensions=blob_target(blob_id)).status_code == 200
        for blob_id in NASTY:
            assert client.delete("/", extensions=blob_target(blob_id)).status_code == 204
            assert client.get("/", headers=RAW, extensions=blob_target(blob_id)).status_code == 404

    def test_what_is_no_id(self, client: httpx.Client) -> None:
        for blob_id in INVALID:
            assert code(client.put("/", content=b"x", extensions=blob_target(blob_id))) == (400, "invalid_id")

    def test_an_answer_is_safe_to_open(self, client: httpx.Client, path: str) -> None:
        client.put(f"{path}%2Fmy%20page%22.html", content=b"<script>", headers={"Content-Type": "text/html"})
        fetched = client.get(f"{path}%2Fmy%20page%22.html", headers=RAW)
        assert fetched.headers["content-disposition"] == "attachment; filename*=UTF-8''my%20page%22.html"
        assert fetched.headers["content-security-policy"] == "sandbox; default-src 'none'"
        assert fetched.headers["x-content-type-options"] == "nosniff"
        for media_type, kind in (("image/png", "inline"), ("image/svg+xml", "attachment"), ("video/mp4", "inline")):
            client.put(f"{path}%2F☺", content=b"x", headers={"Content-Type": media_type})
            shown = client.get(f"{path}%2F☺", headers=RAW).headers["content-disposition"]
            assert shown == f"{kind}; filename*=UTF-8''{quote('☺')}"


class TestWhichForm:
    @pytest.mark.parametrize(
        "accept",
        [
            *("*/*", "application/json", "application/*", "application/json, application/octet-stream"),
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "application/octet-stream;q=0.5, application/json;q=0.5",
            "application/octet-stream;q=0.4, */*;q=0.5",
        ],
    )
    def test_json(self, client: httpx.Client, path: str, accept: str) -> None:
        client.put(path, content=b"x")
        assert client.get(path, headers={"Accept": accept}).headers["content-type"] == "application/json"
        assert client.get(path, params={"alt": "json"}, headers=RAW).headers["content-type"] == "application/json"

    @pytest.mark.parametrize(
        "accept",
        [
            *("application/octet-stream", "image/png", "image/*", "application/json;q=0, */*"),
            "application/octet-stream, application/json;q=0.9",
            "application/json;q=0.1, */*;q=0.2",
        ],
    )
    def test_the_bytes(self, client: httpx.Client, path: str, accept: str) -> None:
        client.put(path, content=b"x")
        assert client.get(path, headers={"Accept": accept}).content == b"x"
        assert client.get(path, params={"alt": "media"}, headers={"Accept": "application/json"}).content == b"x"

    def test_another(self, client: httpx.Client, path: str) -> None:
        for query in ("alt=xml", "alt=media&alt=json"):
            assert code(client.get(f"{path}?{query}")) == (400, "invalid_parameter")


class TestWhatIsDeclared:
    @pytest.fixture(autouse=True)
    def _there_is_a_blob(self, client: httpx.Client, path: str) -> Iterator[None]:
        client.put(path, content=b"as it was")
        yield
        assert client.get(path, headers=RAW).content in (b"as it was", DATA)

    @pytest.mark.parametrize("header", ["Content-Digest", "Repr-Digest"])
    def test_a_digest_is_verified(self, client: httpx.Client, path: str, header: str) -> None:
        wrong = client.put(path, content=DATA, headers={header: digest(b"others")})
        assert code(wrong) == (400, "digest_mismatch")
        assert client.get(path, headers=RAW).content == b"as it was"
        right = client.put(path, content=DATA, headers={header: f"sha-512=:AAAA:, {digest(DATA)}"})
        assert right.status_code == 200

    def test_digests_that_are_none(self, client: httpx.Client, path: str) -> None:
        for headers in (
            {"Content-Digest": "sha-256=:AAAA:"},
            {"Content-Digest": "sha-256=:not base64:"},
            {"Content-Digest": digest(b"a"), "Repr-Digest": digest(b"b")},
        ):
            assert code(client.put(path, content=DATA, headers=headers)) == (400, "invalid_header")

    def test_too_many_bytes_are_refused_before_they_come(self, server: Server, path: str) -> None:
        with server.connect() as connection:
            connection.sendall(
                f"PUT {path} HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Length: {6 * 1024**3}\r\n\r\n".encode()
            )
            answer = connection.makefile("rb").read()  # up to the end of the connection
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b'"code":"too_large"' in answer


class TestPreconditions:
    def test_create_only(self, client: httpx.Client, path: str) -> None:
        only = {"If-None-Match": "*"}
        assert client.put(path, content=b"first", headers=only).status_code == 201
        assert code(client.put(path, content=b"second", headers=only)) == (412, "precondition_failed")
        assert code(client.delete(path, headers=only)) == (412, "precondition_failed")
        assert client.get(path, headers=RAW).content == b"first"

    def test_a_named_version_only(self, client: httpx.Client, path: str) -> None:
        missing = client.put(path, content=b"x", headers={"If-Match": "*"})
        assert code(missing) == (412, "precondition_failed")
        first = client.put(path, content=b"first").headers["etag"]
        json_tag = client.get(path).headers["etag"]
        assert json_tag != first
        second = client.put(path, content=b"second", headers={"If-Match": f'"other", {first}'})
        assert second.status_code == 200
        for stale in (first, json_tag, f"W/{second.headers['etag']}", '"other"'):
            for answer in (
                client.put(path, content=b"third", headers={"If-Match": stale}),
                client.delete(path, headers={"If-Match": stale}),
                client.get(path, headers={"If-Match": stale}),
            ):
                assert code(answer) == (412, "precondition_failed")
        assert (
            client.put(path, content=b"third", headers={"If-Match": client.get(path).headers["etag"]}).status_code
            == 200
        )
        assert client.delete(path, headers={"If-Match": "*"}).status_code == 204

    @pytest.mark.parametrize("tag", ["unquoted", '"', '"a" "b"', "W/*", ""])
    def test_what_is_no_tag_changes_nothing(self, client: httpx.Client, path: str, tag: str) -> None:
        client.put(path, content=b"first")
        for header in ("If-Match", "If-None-Match"):
            assert code(client.put(path, content=b"second", headers={header: tag})) == (400, "invalid_header")
        assert client.get(path, headers=RAW).content == b"first"

    @pytest.mark.parametrize("form", [RAW, {}], ids=["raw", "json"])
    def test_what_is_known_is_not_sent_again(self, client: httpx.Client, path: str, form: dict[str, str]) -> None:
        raw_tag = client.put(path, content=DATA).headers["etag"]
        date = strong_date(client, path)
        here = client.get(path, headers=form).headers["etag"]
        for ask in (client.get, client.head):
            for known in (here, f"W/{here}", "*", f'"x", {here}'):
                answer = ask(path, headers=form | {"If-None-Match": known})
                assert (answer.status_code, answer.content) == (304, b"")
                assert (answer.headers["etag"], answer.headers["vary"]) == (here, "Accept")
            assert ask(path, headers=form | {"If-None-Match": '"x"', "If-Modified-Since": date}).status_code == 200
            assert ask(path, headers=form | {"If-Modified-Since": date}).status_code == 304
            assert ask(path, headers=form | {"If-Modified-Since": "Sat, 29 Oct 1994 19:43:31 GMT"}).status_code == 200
            assert ask(path, headers=form | {"If-Modified-Since": "yesterday"}).status_code == 200
            assert ask(path, headers=form | {"If-Unmodified-Since": date}).status_code == 200
            old = {"If-Unmodified-Since": "Sat, 29 Oct 1994 19:43:31 GMT"}
            assert ask(path, headers=form | old).status_code == 412
            assert ask(path, headers=form | old | {"If-Match": raw_tag}).status_code == 200

    @pytest.mark.parametrize(("form", "other"), [(RAW, {}), ({}, RAW)], ids=["raw", "json"])
    def test_the_tag_of_the_other_form_says_nothing_of_this_one(
        self, client: httpx.Client, path: str, form: dict[str, str], other: dict[str, str]
    ) -> None:
        client.put(path, content=DATA)
        here, tag = client.get(path, headers=form), client.get(path, headers=other).headers["etag"]
        for known in (tag, f"W/{tag}", f'"x", {tag}'):
            for ask, body in ((client.get, here.content), (client.head, b"")):
                answer = ask(path, headers=form | {"If-None-Match": known})
                assert (answer.status_code, answer.content) == (200, body)
                assert answer.headers["etag"] == here.headers["etag"]
                assert ask(path, headers=form | {"If-Match": tag}).status_code == 200
        assert code(client.put(path, content=b"x", headers={"If-None-Match": tag})) == (412, "precondition_failed")


class TestRanges:
    @pytest.fixture
    def stored(self, client: httpx.Client) -> httpx.Response:
        return client.put("/v1/blobs/ranges", content=DATA)

    def fetch(self, client: httpx.Client, **headers: str) -> httpx.Response:
        return client.get("/v1/blobs/ranges", headers=RAW | {name.replace("_", "-"): headers[name] for name in headers})

    @pytest.mark.parametrize(
        ("asked", "start", "stop"),
        [
            *(("0-0", 0, 1), ("0-99", 0, 100), ("500-599", 500, 600), ("999-999", 999, 1000), ("0-", 0, 1000)),
            *(("999-", 999, 1000), ("0-5000", 0, 1000), ("-1", 999, 1000), ("-1000", 0, 1000), ("-5000", 0, 1000)),
            ("990-99999999999999999999", 990, 1000),
        ],
    )
    def test_one_range(self, client: httpx.Client, stored: httpx.Response, asked: str, start: int, stop: int) -> None:
        answer = self.fetch(client, Range=f"bytes={asked}")
        assert answer.status_code == 206
        assert answer.content == DATA[start:stop]
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/1000"
        assert answer.headers["content-length"] == str(stop - start)
        assert answer.headers["etag"] == stored.headers["etag"]
        assert answer.headers["repr-digest"] == digest(DATA)

    @pytest.mark.parametrize("asked", ["1000-", "1000-1000", "5000-6000", "-0"])
    def test_one_that_lies_behind_the_end(self, client: httpx.Client, stored: httpx.Response, asked: str) -> None:
        answer = self.fetch(client, Range=f"bytes={asked}")
        assert code(answer) == (416, "range_not_satisfiable")
        assert answer.headers["content-range"] == "bytes */1000"

    @pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "lines=0-1", "bytes=5-1", "bytes=-", "bytes=a-b", "bytes", ""])
    def test_what_is_answered_with_the_whole(self, client: httpx.Client, stored: httpx.Response, asked: str) -> None:
        answer = self.fetch(client, Range=asked)
        assert (answer.status_code, answer.content) == (200, DATA)

    def test_of_a_version_that_is_named(self, client: httpx.Client, path: str) -> None:
        stored = client.put(path, content=DATA)
        tag, date = stored.headers["etag"], strong_date(client, path)
        for validator, status in ((tag, 206), (date, 206), ('"x"', 200), (f"W/{tag}", 200), ("yesterday", 200)):
            named = {"Range": "bytes=0-9", "If-Range": validator}
            assert client.get(path, headers=RAW | named).status_code == status

    def test_none_of_the_empty_blob(self, client: httpx.Client, path: str) -> None:
        client.put(path, content=b"")
        for asked in ("0-0", "0-", "-1"):
            answer = client.get(path, headers=RAW | {"Range": f"bytes={asked}"})
            assert code(answer) == (416, "range_not_satisfiable")
            assert answer.headers["content-range"] == "bytes */0"

    def test_none_of_json_and_none_for_head(self, client: httpx.Client, stored: httpx.Response) -> None:
        assert client.get("/v1/blobs/ranges", headers={"Range": "bytes=0-1"}).status_code == 200
        answer = client.head("/v1/blobs/ranges", headers=RAW | {"Range": "bytes=0-1"})
        assert (answer.status_code, answer.headers["content-length"]) == (200, "1000")

    def test_a_range_of_a_large_blob(self, client: httpx.Client, path: str) -> None:
        data = pattern(20 * MIB)
        client.put(path, content=data)
        for start, length in ((0, 1), (10 * MIB - 5, 10), (MIB, 3 * MIB), (20 * MIB - 1, 1)):
            answer = client.get(path, headers=RAW | {"Range": f"bytes={start}-{start + length - 1}"})
            assert answer.content == data[start : start + length]


class TestHeadAndDelete:
    @pytest.mark.parametrize("form", [RAW, {}], ids=["raw", "json"])
    def test_head_answers_as_get_does(self, client: httpx.Client, path: str, form: dict[str, str]) -> None:
        assert client.head(path, headers=form).status_code == 404
        client.put(path, content=DATA, headers={"Content-Type": "text/plain"})
        strong_date(client, path)
        got, known = client.get(path, headers=form), client.head(path, headers=form)
        assert (known.status_code, known.content) == (200, b"")
        varying = {"date", "x-request-id"}
        assert {name: value for name, value in known.headers.items() if name not in varying} == {
            name: value for name, value in got.headers.items() if name not in varying
        }

    def test_a_blob_that_is_deleted_is_gone(self, client: httpx.Client, path: str) -> None:
        assert code(client.delete(path)) == (404, "not_found")
        client.put(path, content=b"x")
        client.put(f"{path}%2Fbelow", content=b"y")
        deleted = client.delete(path)
        assert (deleted.status_code, deleted.content) == (204, b"")
        for answer in (client.get(path), client.get(path, headers=RAW), client.delete(path)):
            assert code(answer) == (404, "not_found")
        assert client.get(f"{path}%2Fbelow", headers=RAW).content == b"y"
        assert client.put(path, content=b"again", headers={"If-None-Match": "*"}).status_code == 201


def test_a_name_of_a_parameter_may_be_percent_encoded(client: httpx.Client) -> None:
    client.put("/v1/blobs/raw/named", content=b"x").raise_for_status()
    for name in ("filename", "%66ilename"):
        found = client.get(f"/v1/blobs/raw/named?alt=media&{name}=a.txt")
        assert (found.status_code, "a.txt" in found.headers["content-disposition"]) == (200, True)

"""Copies, moves, prefixes and commits: changes of rows, complete or not at all."""

import itertools
import json
import re
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.http.server import Server
from tests.ids import NASTY

NUMBERS = itertools.count()
README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def own() -> str:
    """A prefix that no other test uses."""
    return f"changes-{next(NUMBERS)}/"


def path(blob_id: str) -> str:
    return f"/v1/blobs/{quote(blob_id, safe='')}"


def store(client: httpx.Client, blob_id: str, data: bytes = b"x", **headers: str) -> str:
    tag: str = client.put(path(blob_id), content=data, headers=headers).headers["etag"]
    return tag


def read(client: httpx.Client, blob_id: str) -> bytes | None:
    answer = client.get(f"{path(blob_id)}?alt=media")
    return answer.content if answer.status_code == 200 else None


def ids(client: httpx.Client, prefix: str) -> list[str]:
    found = client.get("/v1/blobs", params={"prefix": prefix, "limit": 1000}).json()["blobs"]
    return [blob["id"].removeprefix(prefix) for blob in found]


def commit(client: httpx.Client, *operations: dict[str, Any]) -> httpx.Response:
    return client.post("/v1/commits", json={"operations": operations})


def refusal(answer: httpx.Response) -> tuple[int, str, int | None]:
    body = answer.json()
    return answer.status_code, body["code"], body.get("operation")


class TestCopy:
    def test_a_copy_has_all_of_the_source(self, client: httpx.Client, own: str) -> None:
        tag = store(client, f"{own}a", b"bytes", **{"Content-Type": "text/plain", "X-Meta-A": "1"})
        answer = client.post("/v1/copy", json={"from": f"{own}a", "to": f"{own}b"})
        assert answer.status_code == 201
        assert (answer.headers["etag"], answer.headers["location"]) == (tag, path(f"{own}b"))
        assert answer.json()["metadata"] == {"a": "1"}
        assert [read(client, f"{own}{name}") for name in "ab"] == [b"bytes"] * 2
        client.delete(path(f"{own}a"))
        assert read(client, f"{own}b") == b"bytes"
        client.put(path(f"{own}b"), content=b"other")
        assert ids(client, own) == ["b"]

    def test_it_creates_only_unless_it_may_replace(self, client: httpx.Client, own: str) -> None:
        store(client, f"{own}a", b"a"), store(client, f"{own}b", b"b")
        body = {"from": f"{own}a", "to": f"{own}b"}
        assert refusal(client.post("/v1/copy", json=body)) == (409, "already_exists", None)
        assert read(client, f"{own}b") == b"b"
        assert client.post("/v1/copy", json=body | {"replace": True}).status_code == 200
        assert read(client, f"{own}b") == b"a"

    def test_if_match_names_the_source(self, client: httpx.Client, own: str) -> None:
        old = store(client, f"{own}a", b"old")
        new = store(client, f"{own}a", b"new")
        body = {"from": f"{own}a", "to": f"{own}b"}
        assert refusal(client.post("/v1/copy", json=body | {"if_match": old})) == (412, "precondition_failed", None)
        assert client.post("/v1/copy", json=body | {"if_match": new.strip('"')}).status_code == 201

    @pytest.mark.parametrize("operation", ["copy", "move"])
    def test_refusals(self, client: httpx.Client, own: str, operation: str) -> None:
        url = f"/v1/{operation}"
        store(client, f"{own}a", b"a")
        assert refusal(client.post(url, json={"from": f"{own}a", "to": f"{own}a"})) == (400, "same_id", None)
        assert refusal(client.post(url, json={"from": f"{own}no", "to": f"{own}b"})) == (404, "not_found", None)
        assert refusal(client.post(url, json={"from": f"{own}a", "to": ""})) == (400, "invalid_id", None)
        assert refusal(client.post(url, json={"from": f"{own}a"})) == (400, "invalid_body", None)
        assert refusal(client.post(url, json={"from": f"{own}a", "to": "b", "x": 1})) == (400, "invalid_body", None)
        assert refusal(client.post(url, content="{")) == (415, "unsupported_media_type", None)
        assert ids(client, own) == ["a"]
        assert read(client, f"{own}a") == b"a"


class TestMove:
    def test_the_blob_has_another_id(self, client: httpx.Client, own: str) -> None:
        tag = store(client, f"{own}a", b"bytes", **{"X-Meta-A": "1"})
        created_at = client.get(path(f"{own}a")).json()["created_at"]
        answer = client.post("/v1/move", json={"from": f"{own}a", "to": f"{own}b"})
        assert (answer.status_code, answer.headers["etag"]) == (201, tag)
        assert answer.json()["created_at"] == created_at
        assert ids(client, own) == ["b"]
        assert read(client, f"{own}b") == b"bytes"

    def test_nasty_ids(self, client: httpx.Client, own: str) -> None:
        for number, nasty in enumerate(NASTY[:40]):
            store(client, f"{own}{number}", nasty.encode())
            target = f"{own}{nasty}"
            if len(target.encode()) <= 2048:
                assert client.post("/v1/move", json={"from": f"{own}{number}", "to": target}).status_code == 201
                assert read(client, target) == nasty.encode()
                assert client.delete(path(target)).status_code == 204

    def test_a_replaced_target_is_in_the_trash(self, client: httpx.Client, own: str) -> None:
        store(client, f"{own}a", b"a"), store(client, f"{own}b", b"b")
        body = {"from": f"{own}a", "to": f"{own}b", "replace": True}
        assert client.post("/v1/move", json=body).status_code == 200
        [version] = client.get("/v1/trash", params={"prefix": own}).json()["versions"]
        assert (version["blob"]["id"], version["blob"]["size"]) == (f"{own}b", 1)


class TestPrefixes:
    def test_delete_and_count(self, client: httpx.Client, own: str) -> None:
        for name in ("a/1", "a/2", "a", "b"):
            store(client, f"{own}{name}")
        body = {"prefix": f"{own}a/"}
        assert client.post("/v1/delete", json=body | {"dry_run": True}).json() == {"count": 2}
        assert ids(client, own) == ["a", "a/1", "a/2", "b"]
        assert client.post("/v1/delete", json=body).json() == {"count": 2}
        assert client.post("/v1/delete", json=body).json() == {"count": 0}
        assert ids(client, own) == ["a", "b"]
        assert len(client.get("/v1/trash", params={"prefix": own}).json()["versions"]) == 2

    def test_move(self, client: httpx.Client, own: str) -> None:
        for name in ("a/1", "a/2", "b/3"):
            store(client, f"{own}{name}", name.encode())
        body = {"from_prefix": f"{own}a/", "to_prefix": f"{own}b/"}
        assert client.post("/v1/move", json=body | {"dry_run": True}).json() == {"count": 2}
        assert client.post("/v1/move", json=body).json() == {"count": 2}
        assert ids(client, own) == ["b/1", "b/2", "b/3"]
        assert read(client, f"{own}b/1") == b"a/1"
        for source, target in (("b/", "b/c/"), ("b/c/", "b/")):
            body = {"from_prefix": own + source, "to_prefix": own + target}
            assert client.post("/v1/move", json=body).json() == {"count": 3}
        assert ids(client, own) == ["b/1", "b/2", "b/3"]

    def test_a_target_in_use_changes_nothing(self, client: httpx.Client, own: str) -> None:
        for name in ("a/1", "a/2", "b/2"):
            store(client, f"{own}{name}")
        body = {"from_prefix": f"{own}a/", "to_prefix": f"{own}b/"}
        assert refusal(client.post("/v1/move", json=body)) == (409, "already_exists", None)
        assert ids(client, own) == ["a/1", "a/2", "b/2"]

    def test_refusals(self, client: httpx.Client, own: str) -> None:
        store(client, f"{own}a")
        for url, body, code in [
            ("/v1/delete", {"prefix": ""}, "invalid_prefix"),
            ("/v1/delete", {"prefix": "a\nb"}, "invalid_prefix"),
            ("/v1/delete", {}, "invalid_body"),
            ("/v1/move", {"from_prefix": "", "to_prefix": "x"}, "invalid_prefix"),
            ("/v1/move", {"from_prefix": own, "to_prefix": own}, "same_id"),
            ("/v1/move", {"from_prefix": own, "to_prefix": "x" * 2048}, "invalid_id"),
            ("/v1/move", {"from_prefix": f"{own}a", "to_prefix": ""}, "invalid_id"),
            ("/v1/move", {"from_prefix": own}, "invalid_body"),
            ("/v1/move", {"from_prefix": own, "to": "x"}, "invalid_body"),
            ("/v1/move", {"from": own, "to": "x", "dry_run": True}, "invalid_body"),
        ]:
            assert refusal(client.post(url, json=body)) == (400, code, None)
        assert ids(client, own) == ["a"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/copy", '{"from": "%sa", "to": "%sb", "to": "%sc"}'),
        ("POST", "/v1/copy", '{"from": "%sa", "to": "%sb", "\\u0074o": "%sb"}'),
        ("POST", "/v1/move", '{"from": "%sa", "from": "%sa", "to": "%sb"}'),
        ("POST", "/v1/move", '{"from_prefix": "%s", "to_prefix": "%sb", "to_prefix": "%sc"}'),
        ("POST", "/v1/delete", '{"prefix": "no", "prefix": "%s"}'),
        ("POST", "/v1/commits", '{"operations": [{"delete": {"id": "%sb", "id": "%sa"}}]}'),
        ("POST", "/v1/uploads", '{"id": "%sb", "metadata": {"x": "1", "y": "2", "x": "3"}}'),
        ("POST", "/v1/zip", '{"ids": ["%sa"], "ids": ["%sa"]}'),
        ("PATCH", "/v1/blobs/%sa", '{"metadata": {"x": "1", "x": "2"}}'),
    ],
)
def test_a_member_that_is_there_twice_is_refused(
    client: httpx.Client, own: str, method: str, path: str, body: str
) -> None:
    store(client, f"{own}a")
    path = path.replace("%s", quote(own, safe=""))
    headers = {"content-type": "application/json"}
    answer = client.request(method, path, content=body.replace("%s", own), headers=headers)
    assert refusal(answer) == (400, "invalid_body", None)
    assert ids(client, own) == ["a"]


def test_a_body_that_is_nested_too_deeply_is_refused(client: httpx.Client) -> None:
    body = f'{{"from": {"[" * 30_000}{"]" * 30_000}}}'
    answer = client.post("/v1/move", content=body, headers={"content-type": "application/json"})
    assert refusal(answer) == (400, "invalid_json", None)


class TestCommits:
    def test_all_operations_at_once(self, client: httpx.Client, own: str) -> None:
        tag = store(client, f"{own}a", b"a")
        store(client, f"{own}b", b"b"), store(client, f"{own}c", b"c"), store(client, f"{own}d", b"d")
        upload = client.post("/v1/uploads", json={"content_type": "text/plain"}).json()["upload"]
        client.put(f"/v1/uploads/{upload}/1", content=b"new")
        answer = commit(
            client,
            {"put": {"id": f"{own}new", "upload": upload, "if_none_match": "*"}},
            {"copy": {"from": f"{own}a", "to": f"{own}copy", "if_match": tag}},
            {"move": {"from": f"{own}b", "to": f"{own}moved"}},
            {"delete": {"id": f"{own}c"}},
            {"patch": {"id": f"{own}d", "metadata": {"x": "y"}}},
        )
        assert answer.status_code == 200, answer.text
        assert [result["status"] for result in answer.json()["results"]] == [201, 201, 201, 204, 200]
        assert answer.json()["results"][4]["blob"]["metadata"] == {"x": "y"}
        assert ids(client, own) == ["a", "copy", "d", "moved", "new"]
        assert [read(client, f"{own}{name}") for name in ("copy", "moved", "new")] == [b"a", b"b", b"new"]

    def test_an_error_names_its_operation_and_changes_nothing(self, client: httpx.Client, own: str) -> None:
        store(client, f"{own}a", b"a")
        first = {"copy": {"from": f"{own}a", "to": f"{own}b"}}
        refused: list[tuple[dict[str, Any], tuple[int, str, int | None]]] = [
            ({"delete": {"id": f"{own}no"}}, (404, "not_found", 1)),
            ({"copy": {"from": f"{own}a", "to": f"{own}a"}}, (400, "same_id", 1)),
            ({"delete": {"id": f"{own}a"}}, (400, "invalid_commit", 0)),
            ({"delete": {"id": f"{own}b"}}, (400, "invalid_commit", 1)),
            ({"delete": {"id": ""}}, (400, "invalid_id", 1)),
            ({"delete": {"id": f"{own}a", "if_match": '"unclosed'}}, (400, "invalid_header", 1)),
            ({"put": {"id": f"{own}c", "upload": "no"}}, (404, "upload_not_found", 1)),
            ({"patch": {"id": f"{own}x", "metadata": {"A": "x"}}}, (404, "not_found", 1)),
            ({"patch": {"id": f"{own}x", "expires_in": 0}}, (400, "invalid_expiry", 1)),
            ({"move": {"from": f"{own}a", "to": f"{own}c"}}, (400, "invalid_commit", 0)),
            ({}, (400, "invalid_body", 1)),
            ({"delete": {"id": "a"}, "copy": {"from": "a", "to": "b"}}, (400, "invalid_body", 1)),
            ({"rename": {}}, (400, "invalid_body", None)),
        ]
        for operation, expected in refused:
            assert refusal(commit(client, first, operation)) == expected, operation
            assert ids(client, own) == ["a"]

    def test_the_example_in_the_readme(self, client: httpx.Client, own: str) -> None:
        [example] = re.findall(r"--json '({\"operations\": .*?})'$", README.read_text(), re.DOTALL | re.MULTILINE)
        for name in ("poster.jpg", "old.mp4"):
            store(client, f"{own}{name}")
        upload = client.post("/v1/uploads", json={"id": f"{own}film.mp4"}).json()["upload"]
        client.put(f"/v1/uploads/{upload}/1", content=b"film")
        text = re.sub(r'"(id|from|to)": "', rf'"\1": "{own}', example.replace("'$upload'", upload))
        done = commit(client, *json.loads(text)["operations"])
        assert (done.status_code, ids(client, own)) == (200, ["film.mp4", "latest.jpg", "poster.jpg"]), done.text

    def test_the_number_of_operations(self, client: httpx.Client, own: str) -> None:
        assert refusal(commit(client)) == (400, "invalid_commit", None)
        store(client, f"{own}a", b"a")
        copies = [{"copy": {"from": f"{own}a", "to": f"{own}{number:04}"}} for number in range(1001)]
        assert refusal(commit(client, *copies)) == (400, "invalid_commit", None)
        assert refusal(commit(client, *copies, *[{}] * 1000)) == (413, "too_large", None)
        assert commit(client, *copies[:1000]).status_code == 200
        assert len(ids(client, f"{own}0")) == 1000
        assert client.post("/v1/delete", json={"prefix": own}).json() == {"count": 1001}

    def test_readers_see_all_or_nothing(self, client: httpx.Client, server: Server, own: str) -> None:
        """Ten blobs move to and fro in one commit each: a list has all of them on one side."""
        for number in range(10):
            store(client, f"{own}a/{number}")
        seen, stop = set[tuple[int, int]](), threading.Event()

        def watch() -> None:
            with server.client() as reader:
                while not stop.is_set():
                    found = ids(reader, own)
                    seen.add(
                        (sum(name.startswith("a/") for name in found), sum(name.startswith("b/") for name in found))
                    )

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            for source, target in [("a", "b"), ("b", "a")] * 10:
                moves = [{"from": f"{own}{source}/{each}", "to": f"{own}{target}/{each}"} for each in range(10)]
                assert commit(client, *({"move": move} for move in moves)).status_code == 200
        finally:
            stop.set()
            watcher.join()
        assert seen <= {(10, 0), (0, 10)}

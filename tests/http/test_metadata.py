"""Properties, metadata and expiry of blobs, and their changes by PATCH."""

import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.http.server import PATIENCE, Server
from tests.http.wire import ask_once, put

NUMBERS = itertools.count()
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
NASTY = {
    "plain": "a b",
    "unicode": "naïve ☺ 😀",
    "percent": "100%25",
    "blanks": "  x ",
    "empty": "",
    "quotes": '"a", b;c',
}


@pytest.fixture
def blob_id() -> str:
    """An id that no other test uses."""
    return f"described/{next(NUMBERS)}"


def path(blob_id: str) -> str:
    return f"/v1/blobs/{quote(blob_id, safe='')}"


def meta(metadata: dict[str, str]) -> dict[str, str]:
    return {f"X-Meta-{name}": quote(value, safe="") for name, value in metadata.items()}


def patch(client: httpx.Client, blob_id: str, body: Any, **headers: str) -> httpx.Response:
    return client.patch(path(blob_id), json=body, headers=MERGE_PATCH | headers)


def listed(client: httpx.Client, blob_id: str, fields: str = "metadata") -> dict[str, Any]:
    [found] = client.get("/v1/blobs", params={"prefix": blob_id, "fields": fields}).json()["blobs"]
    assert isinstance(found, dict)
    return found


class TestProperties:
    def test_all_are_returned(self, client: httpx.Client, blob_id: str) -> None:
        properties = {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Language": "de-CH, en",
            "Content-Disposition": 'attachment; filename="a b.html"',
            "Cache-Control": "max-age=60",
        }
        stored = client.put(path(blob_id), content=b"x", headers=properties | meta(NASTY))
        assert stored.status_code == 201
        for method in ("GET", "HEAD"):
            found = client.request(method, f"{path(blob_id)}?alt=media").headers
            assert {name: found[name] for name in properties} == properties
            kept = {name: httpx.URL(f"http://x/?a={found[f'x-meta-{name}']}").params["a"] for name in NASTY}
            assert {name: value.replace("+", " ") for name, value in kept.items()} == NASTY
        described = listed(client, blob_id)
        assert described["metadata"] == NASTY
        assert described["content_disposition"] == properties["Content-Disposition"]
        assert "metadata" not in listed(client, blob_id, "")

    def test_json_stays_as_it_is(self, client: httpx.Client, blob_id: str) -> None:
        body = {"id": blob_id, "data": "SGVsbG8gV29ybGQh"}
        assert client.post("/v1/blobs", json=body, headers=meta({"author": "Ada"})).status_code == 201
        assert client.get(path(blob_id)).json().keys() == {"id", "data", "size", "created_at"}
        assert listed(client, blob_id)["metadata"] == {"author": "Ada"}

    def test_a_form_has_metadata(self, client: httpx.Client, blob_id: str) -> None:
        stored = client.post(
            "/v1/blobs",
            data={"id": blob_id},
            files={"file": ("a.txt", b"x", "text/plain")},
            headers=meta({"author": "Ada"}),
        )
        assert stored.status_code == 201
        found = listed(client, blob_id)
        assert (found["metadata"], found["content_type"]) == ({"author": "Ada"}, "text/plain")

    def test_harmful_types_are_never_shown_inline(self, client: httpx.Client, blob_id: str) -> None:
        for content_type, kept in {
            "text/html": 'attachment; filename="x"',
            "image/png": 'inline; filename="x"',
        }.items():
            headers = {"Content-Type": content_type, "Content-Disposition": 'inline; filename="x"'}
            client.put(path(blob_id), content=b"x", headers=headers)
            assert client.head(f"{path(blob_id)}?alt=media").headers["content-disposition"] == kept

    def test_metadata_makes_another_version(self, client: httpx.Client, blob_id: str) -> None:
        tags = [
            client.put(path(blob_id), content=b"x", headers=headers).headers["etag"]
            for headers in (meta({"a": "1"}), meta({"a": "2"}), {}, {"Cache-Control": "no-cache"}, meta({"a": "1"}))
        ]
        assert len({*tags}) == 4
        assert tags[0] == tags[-1]

    @pytest.mark.parametrize(
        ("headers", "code"),
        [
            ({"X-Meta-A": "%"}, None),
            ({"X-Meta-A": "%C3"}, "invalid_metadata"),
            ({"X-Meta-A": "%FF"}, "invalid_metadata"),
            ({"X-Meta-A": "a%0D%0Ab"}, "invalid_metadata"),
            ({"X-Meta-A": "%00"}, "invalid_metadata"),
            ({"X-Meta-A": "x" * 8191}, None),
            ({"X-Meta-A": "x" * 8192}, "invalid_metadata"),
            ({"X-Meta-A": "x" * 5000, "X-Meta-B": "x" * 4216}, "invalid_metadata"),
            ({"Content-Language": "not a language"}, "invalid_header"),
            ({"Content-Disposition": "attachment; filename"}, "invalid_header"),
            ({"Content-Disposition": ""}, None),
            ({"Cache-Control": "x" * 1025}, "invalid_header"),
            ({"X-Expires-In": "0"}, "invalid_expiry"),
            ({"X-Expires-In": "-1"}, "invalid_expiry"),
            ({"X-Expires-In": "1.5"}, "invalid_expiry"),
            ({"X-Expires-In": "9" * 30}, "invalid_expiry"),
            ({"X-Expires-At": "2020-01-01T00:00:00Z"}, "invalid_expiry"),
            ({"X-Expires-At": "2090-01-01T00:00:00"}, "invalid_expiry"),
            ({"X-Expires-At": "tomorrow"}, "invalid_expiry"),
            ({"X-Expires-At": "9999-12-31T23:59:59-01:00"}, "invalid_expiry"),
            ({"X-Expires-In": "60", "X-Expires-At": "2090-01-01T00:00:00Z"}, "invalid_expiry"),
        ],
    )
    def test_malformed_ones_change_nothing(
        self, client: httpx.Client, blob_id: str, headers: dict[str, str], code: str | None
    ) -> None:
        client.put(path(blob_id), content=b"before")
        answer = client.put(path(blob_id), content=b"after", headers=headers)
        assert (answer.json().get("code"), answer.status_code) == (code, 400 if code else 200)
        assert client.get(f"{path(blob_id)}?alt=media").content == (b"before" if code else b"after")
        answer = client.post("/v1/blobs", json={"id": f"{blob_id}-2", "data": ""}, headers=headers)
        is_refused = code in ("invalid_metadata", "invalid_expiry")
        assert answer.status_code == (400 if is_refused else 201)

    def test_a_value_with_bytes_of_latin_1_is_refused(self, server: Server, blob_id: str) -> None:
        with server.connect() as connection:
            refusal = ask_once(connection, put(path(blob_id), b"x", "X-Meta-A: ä\r\n"))
        assert (refusal.status, refusal.code) == (400, "invalid_metadata")


class TestPatch:
    def test_only_what_is_named_changes(self, client: httpx.Client, blob_id: str) -> None:
        before = client.put(
            path(blob_id), content=b"bytes", headers={"Content-Type": "text/plain", **meta({"a": "1", "b": "2"})}
        )
        known = listed(client, blob_id)
        answer = patch(client, blob_id, {"metadata": {"a": None, "c": "3"}, "cache_control": "no-cache"})
        assert answer.status_code == 200
        assert answer.headers["etag"] != before.headers["etag"]
        found = answer.json()
        assert found == listed(client, blob_id)
        assert found["metadata"] == {"b": "2", "c": "3"}
        assert found["cache_control"] == "no-cache"
        same = ("id", "size", "created_at", "content_type", "sha256", "backend")
        assert {name: found[name] for name in same} == {name: known[name] for name in same}
        assert client.get(f"{path(blob_id)}?alt=media").content == b"bytes"

    def test_null_removes(self, client: httpx.Client, blob_id: str) -> None:
        headers = {"Content-Type": "text/plain", "Cache-Control": "no-cache", "X-Expires-In": "60", **meta({"a": "1"})}
        client.put(path(blob_id), content=b"x", headers=headers)
        removed = {"metadata": None, "content_type": None, "cache_control": None, "expires_at": None}
        found = patch(client, blob_id, removed).json()
        assert found["content_type"] == "application/octet-stream"
        assert found.keys() & {"metadata", "cache_control", "expires_at"} == set()

    def test_it_depends_on_if_match(self, client: httpx.Client, blob_id: str) -> None:
        old = client.put(path(blob_id), content=b"x").headers["etag"]
        new = patch(client, blob_id, {"metadata": {"a": "1"}}, **{"If-Match": old}).headers["etag"]
        refused = patch(client, blob_id, {"metadata": {"a": "2"}}, **{"If-Match": old})
        assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
        assert client.head(f"{path(blob_id)}?alt=media").headers["etag"] == new

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ("{", "invalid_json"),
            ("[]", "invalid_body"),
            ('{"size": 1}', "invalid_body"),
            ('{"metadata": {"a": 1}}', "invalid_body"),
            ('{"metadata": {"A": "x"}}', "invalid_metadata"),
            ('{"metadata": {"a": "x\\r\\ny"}}', "invalid_metadata"),
            ('{"metadata": {"a b": "x"}}', "invalid_metadata"),
            ('{"content_type": "no type"}', "invalid_header"),
            ('{"expires_at": "2020-01-01T00:00:00Z"}', "invalid_expiry"),
            ('{"expires_in": 0}', "invalid_expiry"),
            ('{"expires_in": 1, "expires_at": null}', "invalid_expiry"),
        ],
    )
    def test_malformed_ones_change_nothing(self, client: httpx.Client, blob_id: str, body: str, code: str) -> None:
        tag = client.put(path(blob_id), content=b"x", headers=meta({"a": "1"})).headers["etag"]
        refused = client.patch(path(blob_id), content=body, headers=MERGE_PATCH)
        assert (refused.status_code, refused.json()["code"]) == (400, code)
        assert client.head(f"{path(blob_id)}?alt=media").headers["etag"] == tag

    def test_a_missing_blob_and_another_media_type(self, client: httpx.Client, blob_id: str) -> None:
        assert patch(client, blob_id, {}).status_code == 404
        client.put(path(blob_id), content=b"x")
        assert client.patch(path(blob_id), content="{}", headers={"Content-Type": "text/plain"}).status_code == 415


class TestExpiry:
    def test_an_expired_blob_is_gone(self, client: httpx.Client, blob_id: str) -> None:
        client.put(path(blob_id), content=b"x", headers={"X-Expires-In": "1"})
        expires_at = datetime.fromisoformat(listed(client, blob_id)["expires_at"])
        assert abs(expires_at - datetime.now(UTC)) < timedelta(seconds=PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while client.head(path(blob_id)).status_code != 404:
            assert time.monotonic() < deadline
        assert client.get("/v1/blobs", params={"prefix": blob_id}).json()["blobs"] == []
        assert client.delete(path(blob_id)).status_code == 404
        assert client.put(path(blob_id), content=b"y", headers={"If-None-Match": "*"}).status_code == 201
        assert client.get(f"{path(blob_id)}?alt=media").content == b"y"

    def test_a_time_is_kept(self, client: httpx.Client, blob_id: str) -> None:
        client.put(path(blob_id), content=b"x", headers={"X-Expires-At": "2090-01-01T01:00:00+01:00"})
        assert listed(client, blob_id)["expires_at"] == "2090-01-01T00:00:00Z"
        assert client.head(f"{path(blob_id)}?alt=media").headers["x-expires-at"] == "2090-01-01T00:00:00Z"

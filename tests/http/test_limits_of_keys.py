"""Limits of keys: requests per second, the size of a blob, and the size of all blobs."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.http.server import Server

NUMBERS = itertools.count()
WRITERS = 32


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test uses."""
    return f"limited/{next(NUMBERS)}/"


@contextmanager
def limited(server: Server, client: httpx.Client, **limits: Any) -> Iterator[tuple[httpx.Client, str]]:
    """Yield a client with a key of these limits, and the id of the key. Revoke it at the end."""
    body = {"name": "limited", "actions": ["read", "list", "write", "delete"], "limits": limits}
    created = client.post("/v1/keys", json=body)
    assert created.status_code == 201, created.text
    key = created.json()
    assert key["limits"] == limits
    with server.client(key["token"]) as other:
        yield other, key["key"]
    client.delete(f"/v1/keys/{key['key']}")


def code_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def stored(client: httpx.Client, key: str) -> int:
    found: int = client.get(f"/v1/keys/{key}").json()["stored_bytes"]
    return found


def test_a_quota_holds_to_the_byte_with_many_writers(server: Server, client: httpx.Client, prefix: str) -> None:
    """Of 64 concurrent writes of 100 bytes, as many succeed as fit into 3,250 bytes, whatever the order."""
    with limited(server, client, quota_bytes=3250) as (other, key):

        def put(number: int) -> int:
            return other.put(f"/v1/blobs/{prefix}{number}", content=b"x" * 100).status_code

        with ThreadPoolExecutor(WRITERS) as writers:
            statuses = [*writers.map(put, range(64))]
        assert sorted(statuses) == [201] * 32 + [507] * 32
        assert stored(client, key) == 3200
        blobs = other.get("/v1/blobs", params={"prefix": prefix}).json()["blobs"]
        assert sum(blob["size"] for blob in blobs) == 3200
        assert code_of(other.put(f"/v1/blobs/{prefix}last", content=b"x" * 51)) == (507, "quota_exceeded")
        assert other.put(f"/v1/blobs/{prefix}last", content=b"x" * 50).status_code == 201
        assert code_of(other.put(f"/v1/blobs/{prefix}more", content=b"x")) == (507, "quota_exceeded")
        assert other.put(f"/v1/blobs/{prefix}empty", content=b"").status_code == 201
        assert stored(client, key) == 3250


def test_what_goes_away_is_given_back(server: Server, client: httpx.Client, prefix: str) -> None:
    with limited(server, client, quota_bytes=100) as (other, key):
        path = f"/v1/blobs/{prefix}a"
        other.put(path, content=b"x" * 100)
        assert other.put(path, content=b"y" * 100).status_code == 200, "it replaces its own"
        assert stored(client, key) == 100
        client.put(path, content=b"z")  # of another key
        assert stored(client, key) == 0
        other.put(path, content=b"x" * 60)
        assert stored(client, key) == 60
        copy = {"from": f"{prefix}a", "to": f"{prefix}b"}
        assert code_of(other.post("/v1/copy", json=copy)) == (507, "quota_exceeded")
        moved = other.post("/v1/move", json=copy)
        assert moved.status_code == 201
        assert stored(client, key) == 60
        assert client.patch(f"/v1/blobs/{prefix}b", json={"content_type": "text/plain"}).status_code == 200
        assert stored(client, key) == 60
        other.delete(f"/v1/blobs/{prefix}b")
        assert stored(client, key) == 0
        version = client.get("/v1/trash", params={"prefix": f"{prefix}b"}).json()["versions"][0]["key"]
        assert other.post(f"/v1/trash/{version}/restore", json={}).status_code == 201
        assert stored(client, key) == 60
        assert client.post("/v1/delete", json={"prefix": prefix}).json()["count"] == 1
        assert stored(client, key) == 0


def test_expired_blobs_are_given_back(server: Server, client: httpx.Client, prefix: str) -> None:
    with limited(server, client, quota_bytes=100) as (other, key):
        other.put(f"/v1/blobs/{prefix}a", content=b"x" * 100, headers={"X-Expires-In": "1"})
        server.wait_until(lambda: stored(client, key) == 0)
        assert other.put(f"/v1/blobs/{prefix}b", content=b"x" * 100).status_code == 201


def test_an_upload_in_parts_counts_when_it_is_published(server: Server, client: httpx.Client, prefix: str) -> None:
    with limited(server, client, quota_bytes=100, max_blob_bytes=80) as (other, key):
        assert code_of(other.post("/v1/uploads", json={"id": f"{prefix}a", "size": 81})) == (413, "too_large")
        upload = other.post("/v1/uploads", json={"id": f"{prefix}a"}).json()["upload"]
        for number in (1, 2):
            assert other.put(f"/v1/uploads/{upload}/{number}", content=b"x" * 40).status_code == 200
        assert code_of(other.put(f"/v1/uploads/{upload}/3", content=b"x")) == (413, "too_large")
        assert stored(client, key) == 0
        publish = {"operations": [{"put": {"id": f"{prefix}a", "upload": upload}}]}
        assert other.post("/v1/commits", json=publish).status_code == 200
        assert stored(client, key) == 80
        pair = {"copy": {"from": f"{prefix}a", "to": f"{prefix}c"}}
        refused = other.post("/v1/commits", json={"operations": [{"delete": {"id": f"{prefix}x"}}, pair]})
        assert refused.status_code == 404
        refused = other.post("/v1/commits", json={"operations": [pair]})
        assert (*code_of(refused), refused.json()["operation"]) == (507, "quota_exceeded", 0)
        assert stored(client, key) == 80


def test_blobs_have_the_size_that_the_key_allows(server: Server, client: httpx.Client, prefix: str) -> None:
    with limited(server, client, max_blob_bytes=5) as (other, _):
        assert other.put(f"/v1/blobs/{prefix}a", content=b"12345").status_code == 201
        assert code_of(other.put(f"/v1/blobs/{prefix}b", content=b"123456")) == (413, "too_large")
        assert code_of(other.put(f"/v1/blobs/{prefix}b", content=iter([b"123", b"456"]))) == (413, "too_large")
        form = {"id": f"{prefix}b", "data": "MTIzNDU2"}
        assert code_of(other.post("/v1/blobs", json=form)) == (413, "too_large")
        assert code_of(client.get(f"/v1/blobs/{prefix}b")) == (404, "not_found")


def test_requests_are_limited_per_second(server: Server, client: httpx.Client) -> None:
    with limited(server, client, requests_per_second=5.0) as (other, _):
        with ThreadPoolExecutor(20) as at_once:  # a busy machine may respond to one after the other within the limit
            answers = [*at_once.map(lambda _: other.get("/v1/blobs?limit=1"), range(60))]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert code_of(refused[0]) == (429, "rate_limited")
        assert refused[0].headers["retry-after"] == "1"
        server.wait_until(lambda: other.get("/v1/blobs?limit=1").status_code == 200)


@pytest.mark.parametrize(
    "limits",
    [
        *({"requests_per_second": rate} for rate in (0, -1, 1e9)),
        *({"quota_bytes": size} for size in (-1, 2**63)),
        {"max_blob_bytes": -1},
    ],
)
def test_bad_limits_are_refused(client: httpx.Client, limits: dict[str, float]) -> None:
    body = {"name": "limited", "actions": ["read"], "limits": limits}
    assert code_of(client.post("/v1/keys", json=body)) == (400, "invalid_key")
    admin = {"name": "limited", "actions": ["admin"], "limits": {"quota_bytes": 1}}
    assert code_of(client.post("/v1/keys", json=admin)) == (400, "invalid_key")


def test_copies_and_restored_blobs_have_the_size_that_the_key_allows(
    server: Server, client: httpx.Client, prefix: str
) -> None:
    with limited(server, client, max_blob_bytes=5) as (other, _):
        client.put(f"/v1/blobs/{prefix}a", content=b"123456")
        copy = {"from": f"{prefix}a", "to": f"{prefix}b"}
        assert code_of(other.post("/v1/copy", json=copy)) == (413, "too_large")
        client.delete(f"/v1/blobs/{prefix}a")
        version = client.get("/v1/trash", params={"prefix": prefix}).json()["versions"][0]["key"]
        assert code_of(other.post(f"/v1/trash/{version}/restore", json={})) == (413, "too_large")
        assert client.post(f"/v1/trash/{version}/restore", json={}).status_code == 201

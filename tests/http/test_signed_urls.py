"""Signed URLs: for a limited time, one request needs no other credential."""

import hashlib
import itertools
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.http.server import Server

NUMBERS = itertools.count()


@pytest.fixture
def blob_id() -> str:
    """An id that no other test uses."""
    return f"signed/{next(NUMBERS)} ü.txt"


@pytest.fixture
def anybody(server: Server) -> Iterator[httpx.Client]:
    """A client without a token."""
    with server.client() as client:
        del client.headers["Authorization"]
        yield client


def sign(client: httpx.Client, method: str, **members: Any) -> str:
    signed = client.post("/v1/sign", json={"method": method, "expires_in": 60, **members})
    assert signed.status_code == 201, signed.text
    url: str = signed.json()["url"]
    assert url.startswith(str(client.base_url).rstrip("/"))
    return url


def code_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def test_a_blob_is_stored_fetched_described_and_deleted(
    client: httpx.Client, anybody: httpx.Client, blob_id: str
) -> None:
    assert anybody.put(sign(client, "PUT", id=blob_id), content=b"bytes").status_code == 201
    url = sign(client, "GET", id=blob_id)
    fetched = anybody.get(url)
    assert (fetched.status_code, fetched.content) == (200, b"bytes")
    cache_control = fetched.headers["cache-control"]
    assert cache_control.startswith("private, max-age=")
    assert 0 <= int(cache_control.rpartition("=")[2]) <= 60
    assert anybody.get(url, headers={"Range": "bytes=1-2"}).content == b"yt"
    assert anybody.head(sign(client, "HEAD", id=blob_id)).headers["content-length"] == "5"
    for method in ("HEAD", "PUT", "DELETE", "PATCH"):
        refused = anybody.request(method, url)
        assert refused.status_code == 401
    assert anybody.delete(sign(client, "DELETE", id=blob_id)).status_code == 204
    assert code_of(anybody.get(url)) == (404, "not_found")


def test_a_download_has_the_name_that_was_signed(client: httpx.Client, anybody: httpx.Client, blob_id: str) -> None:
    anybody.put(sign(client, "PUT", id=blob_id), content=b"x", headers={"Content-Type": "image/png"})
    fetched = anybody.get(sign(client, "GET", id=blob_id, filename='my "ü".png'))
    assert fetched.headers["content-disposition"] == "attachment; filename*=UTF-8''my%20%22%C3%BC%22.png"
    named = client.get(f"/v1/blobs/{blob_id}", params={"alt": "media", "filename": "a.png"})
    assert named.headers["content-disposition"] == "attachment; filename*=UTF-8''a.png"
    assert "cache-control" not in named.headers
    for query in ({"filename": "a"}, {"alt": "media", "filename": ""}, {"alt": "media", "filename": "a\n"}):
        assert code_of(client.get(f"/v1/blobs/{blob_id}", params=query)) == (400, "invalid_parameter")


def test_what_must_not_be_kept_is_not_cached(client: httpx.Client, anybody: httpx.Client, blob_id: str) -> None:
    client.put(f"/v1/blobs/{blob_id}", content=b"x", headers={"Cache-Control": "no-store"})
    assert anybody.get(sign(client, "GET", id=blob_id)).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("stored", ["", "max-age=86400", "no-store"])
def test_a_cache_keeps_what_is_unchanged_no_longer(
    client: httpx.Client, anybody: httpx.Client, blob_id: str, stored: str
) -> None:
    etag = client.put(f"/v1/blobs/{blob_id}", content=b"x", headers={"Cache-Control": stored}).headers["etag"]
    link = client.post("/v1/shares", json={"id": blob_id, "expires_in": 60}).json()["url"]
    signed = sign(client, "GET", id=blob_id), sign(client, "HEAD", id=blob_id)
    for method, url in zip(("GET", "HEAD", "GET", "HEAD"), (*signed, link, link), strict=True):
        unchanged = anybody.request(method, url, headers={"If-None-Match": etag})
        kept, _, age = unchanged.headers["cache-control"].partition("=")
        assert (unchanged.status_code, kept) == (304, stored if stored == "no-store" else "private, max-age")
        assert int(age or 0) <= 60
    unchanged = client.get(f"/v1/blobs/{blob_id}?alt=media", headers={"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.headers.get("cache-control", "")) == (304, stored)


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        ({"Cache-Control": "max-age=5"}, "private, max-age=5"),
        ({"Cache-Control": 'public, Max-Age="0", must-revalidate'}, "private, max-age=0"),
        ({"Cache-Control": "max-age=soon"}, "private, max-age=0"),
        ({"Cache-Control": 'no-cache="Set-Cookie"'}, 'no-cache="Set-Cookie"'),
        ({"X-Expires-In": "1000"}, "private, max-age=9"),
    ],
)
def test_a_shorter_time_of_the_blob_counts(
    client: httpx.Client, anybody: httpx.Client, blob_id: str, stored: dict[str, str], sent: str
) -> None:
    client.put(f"/v1/blobs/{blob_id}", content=b"x", headers=stored)
    url = client.post("/v1/sign", json={"method": "GET", "id": blob_id, "expires_in": 3600}).json()["url"]
    assert anybody.get(url).headers["cache-control"].startswith(sent)


def test_a_put_keeps_its_conditions(client: httpx.Client, anybody: httpx.Client, blob_id: str) -> None:
    digest = hashlib.sha256(b"bytes").hexdigest()
    url = sign(client, "PUT", id=blob_id, content_type="text/plain", max_bytes=5, sha256=digest, create_only=True)
    text = {"Content-Type": "text/plain"}
    assert code_of(anybody.put(url, content=b"bytes")) == (403, "forbidden")
    assert code_of(anybody.put(url, content=b"bytes!", headers=text)) == (413, "too_large")
    assert code_of(anybody.put(url, content=iter([b"bytes", b"!"]), headers=text)) == (413, "too_large")
    assert code_of(anybody.put(url, content=b"other", headers=text)) == (400, "digest_mismatch")
    assert code_of(client.get(f"/v1/blobs/{blob_id}")) == (404, "not_found")
    assert anybody.put(url, content=b"bytes", headers=text).status_code == 201
    assert code_of(anybody.put(url, content=b"bytes", headers=text)) == (409, "already_exists")


def test_anything_is_put_below_a_prefix(client: httpx.Client, anybody: httpx.Client, blob_id: str) -> None:
    url = sign(client, "PUT", prefix=f"{blob_id}/", create_only=True)
    assert "{name}" in url
    for name in ("a", "b%2Fc"):
        assert anybody.put(url.replace("{name}", name), content=b"x").status_code == 201
    assert code_of(anybody.put(url.replace("{name}", "a"), content=b"x")) == (409, "already_exists")
    outside = url.replace("%2F{name}", "-other")
    assert code_of(anybody.put(outside, content=b"x")) == (401, "invalid_signature")
    found = client.get("/v1/blobs", params={"prefix": blob_id}).json()["blobs"]
    assert [blob["id"] for blob in found] == [f"{blob_id}/a", f"{blob_id}/b/c"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"method": "GET", "id": "a", "expires_in": 0}, "invalid_expiry"),
        ({"method": "GET", "id": "a", "expires_in": 604801}, "invalid_expiry"),
        ({"method": "GET", "id": "a", "expires_in": 10**30}, "invalid_expiry"),
        ({"method": "GET", "id": "a", "expires_in": -(10**15)}, "invalid_expiry"),
        ({"method": "GET", "id": "a", "expires_in": -(10**30)}, "invalid_expiry"),
        ({"method": "POST", "id": "a"}, "invalid_body"),
        ({"method": "GET"}, "invalid_body"),
        ({"method": "GET", "id": "a", "prefix": "a"}, "invalid_body"),
        ({"method": "GET", "prefix": "a"}, "invalid_body"),
        ({"method": "PUT", "prefix": ""}, "invalid_prefix"),
        ({"method": "PUT", "prefix": "a\u0007"}, "invalid_id"),
        ({"method": "PUT", "id": ""}, "invalid_id"),
        ({"method": "PUT", "id": "a", "sha256": "00"}, "invalid_body"),
        ({"method": "PUT", "id": "a", "max_bytes": -1}, "invalid_body"),
        ({"method": "PUT", "id": "a", "content_type": "no type"}, "invalid_header"),
        ({"method": "PUT", "id": "a", "filename": "a"}, "invalid_body"),
        ({"method": "GET", "id": "a", "filename": ""}, "invalid_body"),
        ({"method": "GET", "id": "a", "create_only": True}, "invalid_body"),
    ],
)
def test_bad_requests_are_refused(client: httpx.Client, body: dict[str, Any], code: str) -> None:
    assert code_of(client.post("/v1/sign", json=body)) == (400, code)


def test_two_credentials_are_refused(client: httpx.Client, blob_id: str) -> None:
    assert code_of(client.get(sign(client, "GET", id=blob_id))) == (400, "two_credentials")


def test_a_url_is_not_stronger_than_its_key_and_ends_with_it(
    server: Server, client: httpx.Client, anybody: httpx.Client, blob_id: str
) -> None:
    client.put(f"/v1/blobs/{blob_id}", content=b"bytes")
    key = client.post("/v1/keys", json={"name": "ci", "actions": ["read"], "prefixes": ["signed/"]}).json()
    with server.client(key["token"]) as limited:
        for body in ({"method": "PUT", "id": blob_id}, {"method": "GET", "id": "other"}):
            assert code_of(limited.post("/v1/sign", json=body)) == (403, "forbidden")
        url = sign(limited, "GET", id=blob_id)
    assert anybody.get(url).content == b"bytes"
    client.delete(f"/v1/keys/{key['key']}")
    assert code_of(anybody.get(url)) == (401, "invalid_signature")


def test_no_signature_and_no_secret_is_logged(
    server: Server, client: httpx.Client, anybody: httpx.Client, blob_id: str
) -> None:
    key = client.post("/v1/keys", json={"name": "ci", "actions": ["read"]}).json()
    url = sign(client, "GET", id=blob_id)
    anybody.get(url)
    anybody.get(url + "0")
    logged = server.errors() + server.output() + httpx.get(f"{server.url}/metrics").text
    for secret in (url.rpartition("signature=")[2], key["secret"], key["token"], blob_id):
        assert secret not in logged
    client.delete(f"/v1/keys/{key['key']}")


def test_a_parameter_may_have_the_word_in_its_value(client: httpx.Client, blob_id: str) -> None:
    client.put(f"/v1/blobs/{blob_id}", content=b"x")
    listed = client.get("/v1/blobs?prefix=a-signature=b")
    assert (listed.status_code, listed.json()["blobs"]) == (200, [])

"""URLs of uploads that were begun without a token: by a signed URL, or by a share link."""

import hashlib
import itertools
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.http.server import PATIENCE, Server

NUMBERS = itertools.count()
PARTIAL = {"Content-Type": "application/partial-upload"}
BEGIN = {"Upload-Complete": "?0"}


@pytest.fixture
def blob_id() -> str:
    """An id that no other test uses."""
    return f"linked/{next(NUMBERS)}"


@pytest.fixture
def anybody(server: Server) -> Iterator[httpx.Client]:
    """A client without a token."""
    with server.client() as client:
        del client.headers["Authorization"]
        yield client


def sign(client: httpx.Client, **members: Any) -> str:
    signed = client.post("/v1/sign", json={"method": "PUT", "expires_in": 60, **members})
    assert signed.status_code == 201, signed.text
    url: str = signed.json()["url"]
    return url


def share(client: httpx.Client, prefix: str, **members: Any) -> dict[str, Any]:
    made = client.post("/v1/shares", json={"prefix": prefix, "expires_in": 60, **members})
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


def begin(anybody: httpx.Client, url: str, data: bytes = b"abc", **headers: str) -> str:
    begun = anybody.put(url, content=data, headers={**BEGIN, **headers})
    assert begun.status_code == 201, begun.text
    location: str = begun.headers["location"]
    return location


def append(anybody: httpx.Client, upload: str, offset: int, data: bytes, complete: str = "?1") -> httpx.Response:
    fields = {"Upload-Offset": str(offset), "Upload-Complete": complete, **PARTIAL}
    return anybody.patch(upload, content=data, headers=fields)


def code_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def content(client: httpx.Client, blob_id: str) -> bytes:
    return client.get("/v1/blobs/" + blob_id.replace("/", "%2F") + "?alt=media").content


class TestSignedUrls:
    def test_the_upload_needs_no_token(self, client: httpx.Client, anybody: httpx.Client, blob_id: str) -> None:
        upload = begin(anybody, sign(client, id=blob_id))
        found = anybody.head(upload)
        assert (found.status_code, found.headers["upload-offset"]) == (204, "3")
        age = int(found.headers["upload-limit"].rpartition("max-age=")[2])
        assert age <= 60
        assert append(anybody, upload, 3, b"def", "?0").status_code == 204
        last = append(anybody, upload, 6, b"")
        assert (last.status_code, last.headers["upload-complete"], last.json()["id"]) == (201, "?1", blob_id)
        assert append(anybody, upload, 6, b"").status_code == 204
        assert content(client, blob_id) == b"abcdef"
        assert anybody.delete(upload).status_code == 204
        assert anybody.head(upload).status_code == 404

    def test_a_token_gets_a_url_that_needs_it(self, client: httpx.Client, anybody: httpx.Client, blob_id: str) -> None:
        upload = begin(client, f"/v1/blobs/{blob_id.replace('/', '%2F')}")
        assert "?" not in upload
        assert anybody.head(upload).status_code == 401

    def test_it_is_for_this_upload_and_its_methods_only(
        self, client: httpx.Client, anybody: httpx.Client, blob_id: str
    ) -> None:
        url = sign(client, id=blob_id)
        upload, other = begin(anybody, url), begin(anybody, url)
        path, _, query = upload.partition("?")
        other_path = other.partition("?")[0]
        for method, target in [
            ("GET", upload),
            ("PUT", upload),
            ("POST", upload),
            ("HEAD", f"{other_path}?{query}"),
            ("PATCH", f"{other_path}?{query}"),
            ("DELETE", f"{other_path}?{query}"),
            ("PUT", f"{path}/1?{query}"),
            ("GET", f"/v1/uploads?{query}"),
            ("POST", f"/v1/uploads?{query}"),
            ("PUT", f"/v1/blobs/{blob_id.replace('/', '%2F')}?{query}"),
            ("PATCH", f"/v1/blobs/{blob_id.replace('/', '%2F')}?{query}"),
            ("DELETE", f"/v1/blobs/{blob_id.replace('/', '%2F')}?{query}"),
            ("PATCH", f"{path}?{url.partition('?')[2]}"),
        ]:
            fields = {"Upload-Offset": "3", **BEGIN, **PARTIAL}
            refused = anybody.request(method, target, headers=fields)
            assert refused.status_code in (401, 405), (method, target, refused.text)
        assert anybody.head(upload).headers["upload-offset"] == "3"
        assert anybody.head(other).headers["upload-offset"] == "3"

    def test_a_query_that_is_changed(self, client: httpx.Client, anybody: httpx.Client, blob_id: str) -> None:
        path, _, query = begin(anybody, sign(client, id=blob_id)).partition("?")
        key, expires, signature = query.split("&")
        later = f"expires={int(expires.partition('=')[2]) + 1}"
        for changed in [
            f"{key}&{later}&{signature}",
            f"{key}&{expires}&{signature[:-1]}",
            f"{key}&{expires}&{signature[:-1]}{'0' if signature[-1] != '0' else '1'}",
            f"{expires}&{key}&{signature}",
            f"{query}&x=1",
            f"x=1&{query}",
            f"{query}&{signature}",
            f"share={'a' * 16}&{query}",
            f"prefix=&{query}",
            f"{key}&{expires}",
            f"{key.replace('=', '%3D')}&{expires}&{signature}",
            signature,
        ]:
            assert anybody.head(f"{path}?{changed}").status_code == 401, changed
        with_both = {"Authorization": client.headers["Authorization"]}
        assert anybody.delete(f"{path}?{query}", headers=with_both).status_code == 400

    def test_conditions_hold_to_the_end(self, client: httpx.Client, anybody: httpx.Client, blob_id: str) -> None:
        digest = hashlib.sha256(b"abcdef").hexdigest()
        url = sign(client, id=blob_id, max_bytes=6, sha256=digest, content_type="text/plain", create_only=True)
        assert code_of(anybody.put(url, content=b"abc", headers=BEGIN)) == (403, "forbidden")
        text = {"Content-Type": "text/plain"}
        too_large = anybody.put(url, content=b"abc", headers={**BEGIN, **text, "Upload-Length": "7"})
        assert (code_of(too_large), too_large.headers["upload-limit"]) == ((413, "too_large"), "max-size=6")
        upload = begin(anybody, url, b"abc", **text)
        assert anybody.options(upload).headers["upload-limit"] == "max-size=6"
        refused = append(anybody, upload, 3, b"defg", "?0")
        assert (code_of(refused), refused.headers["upload-limit"]) == ((413, "too_large"), "max-size=6")
        wrong = begin(anybody, url, b"abc", **text)
        assert code_of(append(anybody, wrong, 3, b"xyz")) == (400, "digest_mismatch")
        assert append(anybody, upload, 3, b"def").status_code == 201
        late = begin_expecting_refusal(anybody, url, text)
        assert code_of(late) == (409, "already_exists")

    def test_create_only_holds_at_the_end(self, client: httpx.Client, anybody: httpx.Client, blob_id: str) -> None:
        upload = begin(anybody, sign(client, id=blob_id, create_only=True))
        client.put(f"/v1/blobs/{blob_id.replace('/', '%2F')}", content=b"first")
        refused = append(anybody, upload, 3, b"def")
        assert (code_of(refused), refused.headers["upload-complete"]) == ((409, "already_exists"), "?1")
        assert content(client, blob_id) == b"first"

    def test_no_commit_takes_it_past_its_conditions(
        self, client: httpx.Client, anybody: httpx.Client, blob_id: str
    ) -> None:
        url = sign(client, id=blob_id, sha256=hashlib.sha256(b"abcdef").hexdigest(), create_only=True)
        upload = begin(anybody, url)
        client.put(f"/v1/blobs/{blob_id.replace('/', '%2F')}", content=b"first")
        put = {"put": {"id": blob_id, "upload": upload.partition("?")[0].rpartition("/")[2]}}
        assert code_of(client.post("/v1/commits", json={"operations": [put]})) == (400, "invalid_parts")
        assert content(client, blob_id) == b"first"

    def test_it_ends_with_the_signature(self, client: httpx.Client, anybody: httpx.Client, blob_id: str) -> None:
        upload = begin(anybody, sign(client, id=blob_id, expires_in=2))
        deadline = time.monotonic() + PATIENCE
        while (found := anybody.head(upload)).status_code == 204:
            assert time.monotonic() < deadline
        assert found.status_code in (401, 403)  # the time may pass within the request
        assert code_of(append(anybody, upload, 3, b"def")) == (401, "invalid_signature")
        assert client.head(upload.partition("?")[0]).headers["upload-offset"] == "3"

    def test_it_ends_with_the_key(self, server: Server, client: httpx.Client, anybody: httpx.Client) -> None:
        prefix = f"linked/{next(NUMBERS)}/"
        members = {"name": "k", "actions": ["write", "read"], "prefixes": [prefix]}
        key = client.post("/v1/keys", json=members).json()
        with server.client(key["token"]) as limited:
            upload = begin(anybody, sign(limited, prefix=prefix).replace("{name}", "a"))
            assert append(anybody, upload, 3, b"d", "?0").status_code == 204
            assert limited.head(upload.partition("?")[0]).status_code == 204
        assert client.delete(f"/v1/keys/{key['key']}").status_code == 204
        for refused in (append(anybody, upload, 4, b"e"), anybody.delete(upload)):
            assert code_of(refused) == (401, "invalid_signature")


def begin_expecting_refusal(anybody: httpx.Client, url: str, headers: dict[str, str]) -> httpx.Response:
    return anybody.put(url, content=b"abc", headers={**BEGIN, **headers})


class TestShareLinks:
    def test_the_upload_needs_no_link_and_reveals_nothing(
        self, client: httpx.Client, anybody: httpx.Client, blob_id: str
    ) -> None:
        link = share(client, f"{blob_id}/secret-")["url"]
        assert anybody.options(link).headers["upload-limit"].startswith("max-size=")
        begun = anybody.put(f"{link}?name=a", content=b"abc", headers={**BEGIN, "If-Match": "*"})
        assert (begun.status_code, begun.content) == (201, b"")
        upload = begun.headers["location"]
        responses = [
            begun,
            anybody.head(upload),
            append(anybody, upload, 2, b"x"),
            anybody.patch(upload, content=b"x", headers={"Upload-Offset": "3"}),
            anybody.patch(upload, content=b"", headers={"Upload-Offset": "3"}),
            append(anybody, upload, 3, b"de", "?0"),
            append(anybody, upload, 5, b"f"),
            append(anybody, upload, 6, b""),
            anybody.head(upload),
        ]
        assert [each.status_code for each in responses] == [201, 204, 409, 400, 400, 204, 201, 201, 204]
        for each in responses:
            assert "secret" not in each.text + str(each.headers)
            assert "etag" not in each.headers
        assert content(client, f"{blob_id}/secret-a") == b"abcdef"
        whole = anybody.put(f"{link}?name=b", content=b"abc", headers={"Upload-Complete": "?1"})
        assert (whole.status_code, whole.headers["upload-complete"], whole.content) == (201, "?1", b"")

    def test_it_replaces_nothing(self, client: httpx.Client, anybody: httpx.Client, blob_id: str) -> None:
        link = share(client, f"{blob_id}/")["url"]
        upload, other = begin(anybody, f"{link}?name=a"), begin(anybody, f"{link}?name=a", b"other")
        assert append(anybody, upload, 3, b"").status_code == 201
        refused = append(anybody, other, 5, b"")
        assert (code_of(refused), refused.headers["upload-complete"]) == ((409, "already_exists"), "?1")
        assert content(client, f"{blob_id}/a") == b"abc"

    def test_it_ends_with_the_link(self, client: httpx.Client, anybody: httpx.Client, blob_id: str) -> None:
        made = share(client, f"{blob_id}/")
        upload = begin(anybody, f"{made['url']}?name=a")
        path, _, query = upload.partition("?")
        other = share(client, f"{blob_id}/")["share"]
        for changed in (query.partition("&")[2], query.replace(made["share"], other)):
            assert anybody.head(f"{path}?{changed}").status_code == 401
        assert anybody.head(upload).status_code == 204
        assert client.delete(f"/v1/shares/{made['share']}").status_code == 204
        for refused in (append(anybody, upload, 3, b"e"), anybody.delete(upload)):
            assert code_of(refused) == (401, "invalid_signature")
        assert anybody.head(upload).status_code == 401

    def test_it_ends_at_the_time_of_the_link(self, client: httpx.Client, anybody: httpx.Client, blob_id: str) -> None:
        upload = begin(anybody, f"{share(client, f'{blob_id}/', expires_in=2)['url']}?name=a")
        deadline = time.monotonic() + PATIENCE
        while anybody.head(upload).status_code == 204:
            assert time.monotonic() < deadline
        assert code_of(append(anybody, upload, 3, b"")) == (401, "invalid_signature")

    def test_a_use_is_the_beginning(self, client: httpx.Client, anybody: httpx.Client, blob_id: str) -> None:
        link = share(client, f"{blob_id}/", max_uses=1)["url"]
        upload = begin(anybody, f"{link}?name=a")
        refused = anybody.put(f"{link}?name=b", content=b"", headers=BEGIN)
        assert code_of(refused) == (404, "share_not_found")
        assert append(anybody, upload, 3, b"def", "?0").status_code == 204
        assert append(anybody, upload, 6, b"").status_code == 201

    def test_a_password_is_needed_to_begin(self, client: httpx.Client, anybody: httpx.Client, blob_id: str) -> None:
        link = share(client, f"{blob_id}/", password="for Ada", max_bytes=5)["url"]
        assert anybody.put(f"{link}?name=a", content=b"", headers=BEGIN).status_code == 401
        begun = anybody.put(f"{link}?name=a", content=b"abc", headers=BEGIN, auth=("", "for Ada"))
        upload = begun.headers["location"]
        assert "Ada" not in upload
        assert append(anybody, upload, 3, b"def", "?0").status_code == 413
        assert append(anybody, upload, 3, b"de").status_code == 201

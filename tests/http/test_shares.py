"""Share links: for people, to one blob, or for uploads below a prefix."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from application.access.failures import FREE
from tests.http.server import Server
from tests.http.test_trash import cursor_of

NUMBERS = itertools.count()


@pytest.fixture
def blob_id() -> str:
    """An id that no other test uses."""
    return f"shared/{next(NUMBERS)} ü.txt"


@pytest.fixture
def anybody(server: Server) -> Iterator[httpx.Client]:
    """A client without a token."""
    with server.client() as client:
        del client.headers["Authorization"]
        yield client


def share(client: httpx.Client, **members: Any) -> dict[str, Any]:
    created = client.post("/v1/shares", json=members)
    assert created.status_code == 201, created.text
    body: dict[str, Any] = created.json()
    assert created.headers["location"] == f"/v1/shares/{body['share']}"
    return body


def code_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def test_a_blob_is_downloaded_by_anybody_until_it_is_revoked(
    client: httpx.Client, anybody: httpx.Client, blob_id: str
) -> None:
    client.put(f"/v1/blobs/{blob_id}", content=b"bytes", headers={"Content-Type": "text/plain"})
    link = share(client, id=blob_id, filename="my file.txt")
    fetched = anybody.get(link["url"])
    assert (fetched.status_code, fetched.content) == (200, b"bytes")
    assert fetched.headers["content-disposition"] == "attachment; filename*=UTF-8''my%20file.txt"
    assert fetched.headers["cache-control"].startswith("private, max-age=")
    assert anybody.get(link["url"], headers={"Range": "bytes=1-2"}).content == b"yt"
    assert anybody.get(link["url"], headers={"If-None-Match": fetched.headers["etag"]}).status_code == 304
    assert anybody.head(link["url"]).headers["content-length"] == "5"
    assert code_of(anybody.put(f"{link['url']}?name=a", content=b"x")) == (405, "method_not_allowed")
    listed = client.get("/v1/shares", params={"limit": 1000}).json()["shares"]
    assert [each for each in listed if each["share"] == link["share"]] == [link]
    assert client.delete(f"/v1/shares/{link['share']}").status_code == 204
    assert code_of(anybody.get(link["url"])) == (404, "share_not_found")
    assert code_of(client.delete(f"/v1/shares/{link['share']}")) == (404, "share_not_found")


def test_a_password_is_asked_for(client: httpx.Client, anybody: httpx.Client, blob_id: str) -> None:
    client.put(f"/v1/blobs/{blob_id}", content=b"bytes")
    link = share(client, id=blob_id, password="geheim: ü")
    assert link["has_password"]
    asked = anybody.get(link["url"])
    assert code_of(asked) == (401, "share_locked")
    assert asked.headers["www-authenticate"].startswith("Basic ")
    assert code_of(anybody.get(link["url"], auth=("", "geheim"))) == (401, "share_locked")
    assert anybody.get(link["url"], auth=("anybody", "geheim: ü")).content == b"bytes"
    assert "geheim" not in client.get("/v1/shares").text
    client.delete(f"/v1/shares/{link['share']}")


def test_downloads_are_counted_exactly(client: httpx.Client, server: Server, blob_id: str) -> None:
    client.put(f"/v1/blobs/{blob_id}", content=b"bytes")
    link = share(client, id=blob_id, max_uses=10)

    def fetch(number: int) -> int:
        headers = {"Range": "bytes=1-2"} if number % 2 else {}
        return httpx.get(link["url"], headers=headers, timeout=40).status_code

    with ThreadPoolExecutor(16) as people:
        statuses = [*people.map(fetch, range(16))]
    assert sum(status in (200, 206) for status in statuses) == 10
    assert statuses.count(404) == 6
    [listed] = [each for each in client.get("/v1/shares").json()["shares"] if each["share"] == link["share"]]
    assert listed["uses"] == 10
    client.delete(f"/v1/shares/{link['share']}")


def test_uploads_are_taken_and_reveal_nothing(client: httpx.Client, anybody: httpx.Client, blob_id: str) -> None:
    prefix = f"{blob_id}/in/"
    link = share(client, prefix=prefix, max_bytes=5, max_uses=6)
    stored = anybody.put(
        link["url"], params={"name": "a/ü.txt"}, content=b"12345", headers={"Content-Type": "text/plain"}
    )
    assert (stored.status_code, stored.content) == (201, b"")
    assert {"etag", "location"}.isdisjoint(stored.headers)
    assert client.get(f"/v1/blobs/{prefix}a/ü.txt?alt=media").content == b"12345"
    for method in ("GET", "HEAD"):
        assert anybody.request(method, link["url"]).status_code == 405
    assert code_of(anybody.put(link["url"], params={"name": "a/ü.txt"}, content=b"2")) == (409, "already_exists")
    assert code_of(anybody.put(link["url"], params={"name": "b"}, content=b"123456")) == (413, "too_large")
    assert code_of(anybody.put(link["url"], content=b"1")) == (400, "invalid_parameter")
    assert code_of(anybody.put(link["url"], params={"name": ""}, content=b"1")) == (400, "invalid_parameter")
    for name in ("c", "d", "e"):
        assert anybody.put(link["url"], params={"name": name}, content=b"1").status_code == 201
    assert code_of(anybody.put(link["url"], params={"name": "f"}, content=b"1")) == (404, "share_not_found")
    client.delete(f"/v1/shares/{link['share']}")


def test_a_link_is_not_stronger_than_its_key_and_ends_with_it(
    server: Server, client: httpx.Client, anybody: httpx.Client, blob_id: str
) -> None:
    client.put(f"/v1/blobs/{blob_id}", content=b"bytes")
    body = {"name": "ci", "actions": ["read", "list"], "prefixes": ["shared/"], "expires_in": 3600}
    key = client.post("/v1/keys", json=body).json()
    with server.client(key["token"]) as limited:
        for members in ({"prefix": "shared/"}, {"id": "other"}):
            assert code_of(limited.post("/v1/shares", json=members)) == (403, "forbidden")
        link = share(limited, id=blob_id)
        assert link["expires_at"] <= key["expires_at"]
        others = share(client, prefix="elsewhere/")
        assert others["share"] not in {each["share"] for each in limited.get("/v1/shares").json()["shares"]}
        assert code_of(limited.delete(f"/v1/shares/{others['share']}")) == (404, "share_not_found")
    assert anybody.get(link["url"]).content == b"bytes"
    client.delete(f"/v1/keys/{key['key']}")
    assert code_of(anybody.get(link["url"])) == (404, "share_not_found")
    for each in (link, others):
        client.delete(f"/v1/shares/{each['share']}")


def test_a_list_has_urls_only_of_what_its_reader_may_do_itself(
    server: Server, client: httpx.Client, blob_id: str
) -> None:
    client.put(f"/v1/blobs/{blob_id}", content=b"bytes")
    links = [share(client, **members, expires_in=7200) for members in ({"id": blob_id}, {"prefix": f"{blob_id}/"})]
    for actions, seconds, readable in (
        (["admin", "list"], 86400, []),
        (["admin", "list", "read"], 86400, links[:1]),
        (["admin", "list", "read", "write"], 86400, links),
        (["admin", "list", "read", "write"], 3600, []),
    ):
        body = {"name": "ci", "actions": actions, "prefixes": [blob_id], "expires_in": seconds}
        with server.client(client.post("/v1/keys", json=body).json()["token"]) as limited:
            listed = limited.get("/v1/shares").json()["shares"]
        assert {each["share"] for each in listed} == {each["share"] for each in links}
        assert {each["url"] for each in listed if "url" in each} == {each["url"] for each in readable}
        assert not any("/s/" in str(each) for each in listed if "url" not in each)
    for each in links:
        client.delete(f"/v1/shares/{each['share']}")


def test_it_expires(server: Server, client: httpx.Client, anybody: httpx.Client, blob_id: str) -> None:
    client.put(f"/v1/blobs/{blob_id}", content=b"bytes")
    link = share(client, id=blob_id, expires_in=2)
    server.wait_until(lambda: anybody.get(link["url"]).status_code == 404)
    share(client, id=blob_id)
    assert link["share"] not in {each["share"] for each in client.get("/v1/shares").json()["shares"]}, "it is removed"


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({}, "invalid_body"),
        ({"id": "a", "prefix": "a"}, "invalid_body"),
        ({"id": ""}, "invalid_id"),
        ({"prefix": ""}, "invalid_share"),
        ({"prefix": "a\u0007"}, "invalid_id"),
        ({"id": "a", "expires_in": 0}, "invalid_expiry"),
        ({"id": "a", "expires_in": 10**30}, "invalid_expiry"),
        ({"id": "a", "password": ""}, "invalid_share"),
        ({"id": "a", "password": "p" * 1025}, "invalid_share"),
        ({"id": "a", "max_uses": 0}, "invalid_share"),
        ({"id": "a", "max_bytes": 1}, "invalid_share"),
        ({"prefix": "a", "max_bytes": -1}, "invalid_share"),
        ({"prefix": "a", "filename": "a"}, "invalid_share"),
        ({"id": "a", "filename": "a\n"}, "invalid_body"),
    ],
)
def test_bad_links_are_refused(client: httpx.Client, members: dict[str, Any], code: str) -> None:
    assert code_of(client.post("/v1/shares", json=members)) == (400, code)


def test_an_altered_link_is_not_found(client: httpx.Client, anybody: httpx.Client, blob_id: str) -> None:
    link = share(client, id=blob_id)
    url = link["url"]
    other = "b" if url[-1] == "a" else "a"
    for wrong in (url[:-1], url[:-1] + other, url + "a", url.replace("-", "_"), f"{url.rpartition('-')[0]}-{'a' * 26}"):
        assert anybody.get(wrong).status_code == 404
    assert code_of(anybody.get(url)) == (404, "not_found"), "the link is good, and there is no such blob"
    client.delete(f"/v1/shares/{link['share']}")


def test_head_counts_nothing_and_ends_with_the_uses(client: httpx.Client, anybody: httpx.Client, blob_id: str) -> None:
    client.put(f"/v1/blobs/{blob_id}", content=b"bytes", headers={"X-Meta-Secret": "a"})
    link = share(client, id=blob_id, max_uses=1)
    for _ in range(3):
        described = anybody.head(link["url"])
        assert (described.status_code, described.headers["content-length"]) == (200, "5")
        assert "x-meta-secret" not in described.headers
    fetched = anybody.get(link["url"])
    assert fetched.content == b"bytes"
    assert not [name for name in fetched.headers if name.startswith("x-meta-")]
    assert anybody.head(link["url"]).status_code == 404
    assert code_of(anybody.get(link["url"])) == (404, "share_not_found")
    client.delete(f"/v1/shares/{link['share']}")


def test_uploads_ignore_preconditions_and_reveal_no_length(
    client: httpx.Client, anybody: httpx.Client, blob_id: str
) -> None:
    link = share(client, prefix=f"{blob_id}/")
    for number, headers in enumerate(({"If-Match": '"a"'}, {"If-Match": "*"}, {"If-None-Match": "*"})):
        name = {"name": f"{number}"}
        assert anybody.put(link["url"], params=name, content=b"1", headers=headers).status_code == 201
        assert code_of(anybody.put(link["url"], params=name, content=b"1", headers=headers)) == (409, "already_exists")
    texts = set()
    long = share(client, prefix=f"{blob_id}/{'a' * 1900}")
    for url, bad in ((link["url"], "\u0007"), (long["url"], "\u0007"), (long["url"], "ü" * 200)):
        refused = anybody.put(url, params={"name": bad}, content=b"1")
        assert code_of(refused) == (400, "invalid_id")
        texts.add(refused.json()["detail"])
    assert len(texts) == 1
    assert blob_id not in texts.pop()
    for each in (link, long):
        client.delete(f"/v1/shares/{each['share']}")


def test_links_obey_the_rate_of_their_key(
    server: Server, client: httpx.Client, anybody: httpx.Client, blob_id: str
) -> None:
    client.put(f"/v1/blobs/{blob_id}", content=b"bytes")
    body = {"name": "slow", "actions": ["read"], "limits": {"requests_per_second": 2}}
    key = client.post("/v1/keys", json=body).json()
    with server.client(key["token"]) as limited:
        link = share(limited, id=blob_id)
    refused = [each for each in (anybody.get(link["url"]) for _ in range(6)) if each.status_code != 200]
    assert code_of(refused[0]) == (429, "rate_limited")
    client.delete(f"/v1/keys/{key['key']}")


def test_wrong_passwords_are_limited(own_server: Server) -> None:
    with own_server.client() as client, own_server.client() as anybody:
        del anybody.headers["Authorization"]
        client.put("/v1/blobs/a", content=b"bytes")
        link = share(client, id="a", password="geheim")
        for _ in range(FREE):
            assert code_of(anybody.get(link["url"], auth=("", "wrong"))) == (401, "share_locked")
        for password in ("wrong", "geheim"):
            refused = anybody.get(link["url"], auth=("", password))
            assert code_of(refused) == (429, "rate_limited")
            assert 0 < int(refused.headers["retry-after"]) <= 60


def test_a_cursor_is_one_of_an_earlier_page(client: httpx.Client) -> None:
    for bad in ("x", cursor_of("", "a\x00"), cursor_of("a\x00", "a")):
        assert client.get("/v1/shares", params={"cursor": bad}).status_code == 400

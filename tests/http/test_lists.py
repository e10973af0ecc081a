"""The list over HTTP."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.http.server import Server
from tests.ids import NASTY


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """On a server that holds nothing but the ids which others find nasty."""
    with Server(tmp_path_factory.mktemp("lists")) as server, server.client() as client:
        for number, blob_id in enumerate(NASTY):
            target = {"target": b"/v1/blobs/" + quote(blob_id, safe="").encode()}
            client.put("/", content=b"x" * number, headers={"Content-Type": "text/plain"}, extensions=target)
        yield client


def pages(client: httpx.Client, **query: str | int) -> list[dict[str, Any]]:
    found = [client.get("/v1/blobs", params=query).json()]
    while found[-1]["next_cursor"] is not None:
        found.append(client.get("/v1/blobs", params=query | {"cursor": found[-1]["next_cursor"]}).json())
        assert len(found) <= len(NASTY)
    return found


@pytest.mark.parametrize("limit", [1, 2, len(NASTY) - 1, len(NASTY), len(NASTY) + 1, 1000])
def test_all_are_listed_by_their_bytes(lists: httpx.Client, limit: int) -> None:
    found = pages(lists, limit=limit)
    assert [blob["id"] for page in found for blob in page["blobs"]] == sorted(NASTY, key=str.encode)
    assert all(len(page["blobs"]) == limit for page in found[:-1])


def test_an_entry_says_what_is_known(lists: httpx.Client) -> None:
    [blob] = lists.get("/v1/blobs", params={"prefix": "CON"}).json()["blobs"]
    known = lists.head("/v1/blobs/CON?alt=media").headers
    assert list(blob) == ["id", "size", "created_at", "content_type", "sha256", "etag", "backend"]
    assert (blob["id"], blob["content_type"], blob["backend"]) == ("CON", "text/plain", "fs")
    assert (blob["size"], blob["etag"]) == (int(known["content-length"]), known["etag"])
    assert blob["created_at"].endswith("Z")


@pytest.mark.parametrize("prefix", ["%", "a/", "..", "_", "foo//", "nobody's", "☺", "x" * 1024, "x" * 2048])
def test_those_below_a_prefix(lists: httpx.Client, prefix: str) -> None:
    found = [blob["id"] for page in pages(lists, prefix=prefix, limit=3) for blob in page["blobs"]]
    assert found == sorted((blob_id for blob_id in NASTY if blob_id.startswith(prefix)), key=str.encode)


def test_what_lies_below_a_delimiter_is_one_entry(lists: httpx.Client) -> None:
    [page] = pages(lists, prefix="foo/", delimiter="/", limit=1000)
    assert ([blob["id"] for blob in page["blobs"]], page["prefixes"]) == ([], ["foo//", "foo/bar/"])
    one_by_one = pages(lists, delimiter="/", limit=1)
    [at_once] = pages(lists, delimiter="/", limit=1000)
    assert [prefix for page in one_by_one for prefix in page["prefixes"]] == at_once["prefixes"]
    assert [blob for page in one_by_one for blob in page["blobs"]] == at_once["blobs"]


@pytest.mark.parametrize("delimiter", ["~", "~root", "%", "é", "\U0010ffff"])
def test_a_page_may_end_with_any_delimiter(lists: httpx.Client, delimiter: str) -> None:
    one_by_one = pages(lists, delimiter=delimiter, limit=1)
    [at_once] = pages(lists, delimiter=delimiter, limit=1000)
    assert at_once["prefixes"] == [prefix for page in one_by_one for prefix in page["prefixes"]] != []


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=1001", "limit=x", "limit=", "limit=1&limit=2", "prefix=%FF", "prefix=%00", "delimiter=%0A"),
        *("cursor=!", "cursor=A", "cursor=_____w", "cursor=AGE", "cursor=a&cursor=b"),
    ],
)
def test_what_can_not_be_asked(lists: httpx.Client, query: str) -> None:
    answer = lists.get(f"/v1/blobs?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")


def test_a_page_that_is_known_is_not_sent_again(client: httpx.Client) -> None:
    query = {"prefix": "tagged/", "limit": "2"}

    def ask(**conditions: str) -> httpx.Response:
        return client.get("/v1/blobs", params=query, headers={k.replace("_", "-"): v for k, v in conditions.items()})

    client.put("/v1/blobs/tagged%2Fa", content=b"a").raise_for_status()
    first = ask()
    tag = first.headers["ETag"]
    assert ask().headers["ETag"] == tag
    for value in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        known = ask(if_none_match=value)
        assert (known.status_code, known.content, known.headers["ETag"]) == (304, b"", tag)
        known = client.head("/v1/blobs", params=query, headers={"If-None-Match": value})
        assert (known.status_code, known.headers["ETag"]) == (304, tag)
    for value in ('"x"', f'"{tag[2:]}', '""'):
        assert ask(if_none_match=value).content == first.content
    others = [
        client.get("/v1/blobs", params=query | other).headers["ETag"]
        for other in ({"limit": "1000"}, {"fields": "metadata"}, {"prefix": "tagged"})
    ]
    assert others == [tag, tag, tag]  # the same bytes
    client.put("/v1/blobs/tagged%2Fb", content=b"b").raise_for_status()
    second = ask(if_none_match=tag)
    assert (second.status_code, len(second.json()["blobs"])) == (200, 2)
    client.put("/v1/blobs/tagged%2Fb", content=b"c").raise_for_status()
    assert ask(if_none_match=second.headers["ETag"]).status_code == 200
    client.delete("/v1/blobs/tagged%2Fb").raise_for_status()
    assert ask(if_none_match=tag).status_code == 304  # as it was


def test_all_conditions_of_a_page(client: httpx.Client) -> None:
    def ask(headers: dict[str, str], **query: str) -> int:
        return client.get("/v1/blobs", params={"prefix": "none at all"} | query, headers=headers).status_code

    tag = client.get("/v1/blobs", params={"prefix": "none at all"}).headers["ETag"]
    future, past = "Fri, 01 Jan 2038 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:01 GMT"
    for headers, status in (
        ({"If-Match": tag}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": f'"x", {tag}'}, 200),
        ({"If-Match": f"W/{tag}"}, 412),
        ({"If-Match": '"x"'}, 412),
        ({"If-Match": '"x"', "If-None-Match": tag}, 412),
        ({"If-Match": tag, "If-None-Match": tag}, 304),
        ({"If-None-Match": '"x'}, 400),
        ({"If-Match": 'a "b'}, 400),
        # A page has no date, so none of these count (RFC 9110, sections 13.1.3 and 13.1.4).
        ({"If-Modified-Since": future}, 200),
        ({"If-Unmodified-Since": past}, 200),
        ({"If-Modified-Since": past, "If-None-Match": tag}, 304),
        ({"If-Range": '"x"', "Range": "bytes=0-1"}, 200),
    ):
        assert ask(headers) == status, headers
    assert ask({"If-None-Match": tag}, limit="0") == 400  # conditions count only if all else is well
    assert ask({"If-Match": '"x"'}, cursor="!") == 400
    client.put("/v1/blobs/zipped", content=b"a").raise_for_status()
    for headers, status in (
        ({"If-None-Match": '"x"'}, 200),
        ({"If-None-Match": f'"x", {tag}', "If-Match": "*"}, 200),
        ({"If-Match": tag}, 412),
        ({"If-Match": '""'}, 412),
        ({"If-None-Match": '"x'}, 400),
    ):
        zipped = client.get("/v1/blobs?prefix=zipped&format=zip", headers=headers)
        assert (zipped.status_code, "ETag" in zipped.headers) == (status, False)


def test_the_tag_of_a_page_is_of_the_callers_view(server: Server, client: httpx.Client) -> None:
    """The tag of a limited key depends on nothing that the key may not see."""
    for name in ("in", "out"):
        client.put(f"/v1/blobs/rights%2F{name}%2Fa", content=b"a").raise_for_status()
    key = {"name": "limited", "actions": ["list"], "prefixes": ["rights/in/"]}
    token = client.post("/v1/keys", json=key).json()["token"]
    with server.client(token) as limited:
        below = {"prefix": "rights/in/"}
        tag = limited.get("/v1/blobs", params=below).headers["ETag"]
        assert client.get("/v1/blobs", params=below).headers["ETag"] == tag
        view = limited.get("/v1/blobs", params={"prefix": "rights/"})
        assert [blob["id"] for blob in view.json()["blobs"]] == ["rights/in/a"]
        all_of_it = client.get("/v1/blobs", params={"prefix": "rights/"}).headers["ETag"]
        client.put("/v1/blobs/rights%2Fout%2Fb", content=b"b").raise_for_status()
        for query, known, status in (
            (below, tag, 304),
            ({"prefix": "rights/"}, view.headers["ETag"], 304),
            ({"prefix": "rights/"}, all_of_it, 200),
        ):
            found = limited.get("/v1/blobs", params=query, headers={"If-None-Match": known})
            assert found.status_code == status


def test_nothing(client: httpx.Client) -> None:
    answer = client.get("/v1/blobs", params={"prefix": "nobody's"})
    assert answer.json() == {"blobs": [], "prefixes": [], "next_cursor": None}


def test_on_every_database(client: httpx.Client) -> None:
    for name in ("list/a", "list/a/b", "list/B", "list/ä"):
        client.put(f"/v1/blobs/{name}", content=b"x")
    [page] = pages(client, prefix="list/", delimiter="/")
    assert [blob["id"] for blob in page["blobs"]] == ["list/B", "list/a", "list/ä"]
    assert page["prefixes"] == ["list/a/"]

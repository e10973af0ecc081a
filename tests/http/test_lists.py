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


def test_nothing(client: httpx.Client) -> None:
    answer = client.get("/v1/blobs", params={"prefix": "nobody's"})
    assert answer.json() == {"blobs": [], "prefixes": [], "next_cursor": None}


def test_on_every_database(client: httpx.Client) -> None:
    for name in ("list/a", "list/a/b", "list/B", "list/ä"):
        client.put(f"/v1/blobs/{name}", content=b"x")
    [page] = pages(client, prefix="list/", delimiter="/")
    assert [blob["id"] for blob in page["blobs"]] == ["list/B", "list/a", "list/ä"]
    assert page["prefixes"] == ["list/a/"]

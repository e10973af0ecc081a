"""The trash: deleted and replaced blobs, which can be restored."""

import base64
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.http.server import Server

NUMBERS = itertools.count()


@pytest.fixture
def blob_id() -> str:
    """An id that no other test uses."""
    return f"trash/{next(NUMBERS)}"


def path(blob_id: str) -> str:
    return f"/v1/blobs/{quote(blob_id, safe='')}"


def cursor_of(*position: str) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def trash(client: httpx.Client, prefix: str) -> list[dict[str, Any]]:
    versions: list[dict[str, Any]] = client.get("/v1/trash", params={"prefix": prefix}).json()["versions"]
    return versions


def test_deleted_and_replaced_versions_are_restored(client: httpx.Client, blob_id: str) -> None:
    headers = {"Content-Type": "text/plain", "X-Meta-A": "1"}
    first = client.put(path(blob_id), content=b"first", headers=headers)
    created_at = first.json()["created_at"]
    client.put(path(blob_id), content=b"second")
    client.delete(path(blob_id))
    versions = trash(client, blob_id)
    assert [version["blob"]["size"] for version in versions] == [5, 6]
    restored = client.post(f"/v1/trash/{versions[0]['key']}/restore", json={})
    assert (restored.status_code, restored.headers["etag"]) == (201, first.headers["etag"])
    assert (restored.json()["created_at"], restored.json()["metadata"]) == (created_at, {"a": "1"})
    assert client.get(f"{path(blob_id)}?alt=media").content == b"first"
    again = client.post(f"/v1/trash/{versions[0]['key']}/restore", json={})
    assert (again.status_code, again.json()["code"]) == (404, "not_in_trash")
    in_use = client.post(f"/v1/trash/{versions[1]['key']}/restore", content=b"")
    assert (in_use.status_code, in_use.json()["code"]) == (409, "already_exists")
    elsewhere = client.post(f"/v1/trash/{versions[1]['key']}/restore", json={"to": f"{blob_id}-2"})
    assert elsewhere.json()["id"] == f"{blob_id}-2"
    assert client.get(f"{path(blob_id)}-2?alt=media").content == b"second"
    assert trash(client, blob_id) == []


def test_a_body_may_be_left_out(client: httpx.Client, blob_id: str) -> None:
    """As curl does it with `--request POST`: there is no Content-Length either."""
    client.put(path(blob_id), content=b"bytes")
    client.delete(path(blob_id))
    [version] = trash(client, blob_id)
    request = client.build_request("POST", f"/v1/trash/{version['key']}/restore")
    del request.headers["Content-Length"]
    request.headers["Content-Type"] = "application/json"  # so a body was meant
    assert client.send(request).status_code == 411
    del request.headers["Content-Type"]
    assert client.send(request).status_code == 201
    assert client.get(f"{path(blob_id)}?alt=media").content == b"bytes"


def test_replace_and_purge(client: httpx.Client, blob_id: str) -> None:
    client.put(path(blob_id), content=b"old")
    client.put(path(blob_id), content=b"new!")
    [version] = trash(client, blob_id)
    replaced = client.post(f"/v1/trash/{version['key']}/restore", json={"replace": True})
    assert replaced.status_code == 200
    [version] = trash(client, blob_id)
    assert version["blob"]["size"] == 4
    assert client.delete(f"/v1/trash/{version['key']}").status_code == 204
    assert client.delete(f"/v1/trash/{version['key']}").status_code == 404
    assert trash(client, blob_id) == []
    for unknown in ("x", "0", "9" * 30, "-1"):
        assert client.post(f"/v1/trash/{unknown}/restore", json={}).status_code == 404


def test_pages(client: httpx.Client, blob_id: str) -> None:
    for name in "bab":
        client.put(path(f"{blob_id}/{name}"), content=name.encode())
        client.delete(path(f"{blob_id}/{name}"))
    found: list[dict[str, Any]] = []
    cursor: Any = ""
    for _ in range(3):
        page = client.get("/v1/trash", params={"prefix": f"{blob_id}/", "limit": 1, "cursor": cursor}).json()
        found += page["versions"]
        cursor = page["next_cursor"]
    assert cursor is None
    assert [version["blob"]["id"][-1] for version in found] == ["a", "b", "b"]
    for bad in ("x", cursor_of("a\x00", "1"), cursor_of("a", "x"), cursor_of("a")):
        assert client.get("/v1/trash", params={"cursor": bad}).status_code == 400
    assert client.get("/v1/trash", params={"limit": 0}).status_code == 400
    assert client.get("/v1/trash", params={"x": 0}).status_code == 400


class TestRetention:
    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[Server]:
        with Server(tmp_path, READERS_GRACE="0", TRASH_RETENTION="0", DEFAULT_TTL="3600") as server:
            yield server

    def test_without_one_the_bytes_go_at_once(self, server: Server) -> None:
        with server.client() as client:
            stored = client.put("/v1/blobs/a", content=b"bytes")
            assert stored.status_code == 201
            [blob] = client.get("/v1/blobs?fields=metadata").json()["blobs"]
            assert "expires_at" in blob
            assert client.delete("/v1/blobs/a").status_code == 204
            assert trash(client, "") == []
            server.wait_until(lambda: not [*(server.folder / "data" / "blobs").glob("??/*")])

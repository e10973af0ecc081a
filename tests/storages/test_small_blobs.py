"""Real servers that store small blobs in the database, before and after the setting is changed."""

import base64
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.contracts.blob_store import pattern
from tests.http.server import Server
from tests.http.wire import TOKEN
from tests.verify.command import verify_here

SMALL, LARGE = pattern(16 * 1024), pattern(16 * 1024 + 1)
CONTENTS = {"empty": b"", "small": SMALL, "large": LARGE}


def put_raw(client: httpx.Client, blob_id: str, data: bytes) -> int:
    return client.put(f"/v1/blobs/{blob_id}", content=data).status_code


def post_json(client: httpx.Client, blob_id: str, data: bytes) -> int:
    return client.post("/v1/blobs", json={"id": blob_id, "data": base64.b64encode(data).decode()}).status_code


def post_form(client: httpx.Client, blob_id: str, data: bytes) -> int:
    return client.post("/v1/blobs", data={"id": blob_id}, files={"file": ("a", data)}).status_code


def backends(folder: Path) -> dict[str, str]:
    with closing(sqlite3.connect(folder / "data" / "drivebay.db")) as connection:
        return dict(connection.execute("SELECT id, backend FROM blobs"))


def verified(folder: Path) -> dict[str, int]:
    """The storages and the number of blobs in each, if nothing is wrong."""
    ended = verify_here(folder, "--deep", "--json", settings={"AUTH_BEARER_TOKEN": TOKEN})
    assert ended.code == 0, ended.out
    return {each["storage"]: each["blobs"] for each in ended.summary["storages"]}


@pytest.mark.parametrize("store", [put_raw, post_json, post_form])
def test_small_blobs_stay_readable_whatever_the_setting(
    tmp_path: Path, store: Callable[[httpx.Client, str, bytes], int]
) -> None:
    with Server(tmp_path, SMALL_BLOBS="database") as server, server.client() as client:
        for blob_id, data in CONTENTS.items():
            assert store(client, blob_id, data) in (200, 201)
        assert backends(tmp_path) == {"empty": "database", "small": "database", "large": "fs"}
        assert server.left() == {"files": 1, "blobs": 3, "uploads": 0, "garbage": 0}
        listed = client.get("/v1/blobs").json()["blobs"]
        assert {each["id"]: each["size"] for each in listed} == {name: len(data) for name, data in CONTENTS.items()}
    assert verified(tmp_path) == {"database": 2, "fs": 1}
    with Server(tmp_path, READERS_GRACE="0") as server, server.client() as client:
        for blob_id, data in CONTENTS.items():
            got = client.get(f"/v1/blobs/{blob_id}?alt=media")
            assert (got.status_code, got.content) == (200, data)
            assert client.head(f"/v1/blobs/{blob_id}?alt=media").headers["ETag"] == got.headers["ETag"]
        part = client.get("/v1/blobs/small?alt=media", headers={"Range": "bytes=5-9"})
        assert (part.status_code, part.content) == (206, SMALL[5:10])
        assert put_raw(client, "small", SMALL) == 200
        assert client.delete("/v1/blobs/empty").status_code == 204
        server.wait_until_left(blobs=2)
        assert backends(tmp_path) == {"small": "fs", "large": "fs"}
        assert client.get("/v1/blobs/small?alt=media").content == SMALL
    assert verified(tmp_path) == {"database": 0, "fs": 2}


def test_a_small_blob_without_its_object_is_found_by_verify(tmp_path: Path) -> None:
    with Server(tmp_path, SMALL_BLOBS="database") as server, server.client() as client:
        assert put_raw(client, "small", SMALL) == 201
        with closing(sqlite3.connect(tmp_path / "data" / "drivebay.db")) as connection:
            connection.execute("DELETE FROM chunks")
            connection.commit()
        answer = client.get("/v1/blobs/small?alt=media")
        assert (answer.status_code, json.loads(answer.content)["code"]) == (500, "integrity")
    ended = verify_here(tmp_path, "--json", settings={"AUTH_BEARER_TOKEN": TOKEN})
    assert [(fault["fault"], fault["storage"]) for fault in ended.faults] == [("missing", "database")]


def test_small_blobs_need_free_space_too(tmp_path: Path) -> None:
    with Server(tmp_path):
        pass  # its markers are written
    with Server(tmp_path, SMALL_BLOBS="database", MIN_FREE_BYTES=str(2**60)) as server, server.client() as client:
        answer = client.put("/v1/blobs/small", content=SMALL)
        assert (answer.status_code, answer.json()["code"]) == (507, "no_space")
        assert backends(tmp_path) == {}


def test_how_large_a_small_blob_may_be(tmp_path: Path) -> None:
    with (
        Server(tmp_path, SMALL_BLOBS="database", SMALL_BLOB_BYTES="262144") as server,
        server.client() as client,
    ):
        for size, backend in ((262_144, "database"), (262_145, "fs")):
            assert put_raw(client, f"{size}", pattern(size)) == 201
            assert client.get(f"/v1/blobs/{size}?alt=media").content == pattern(size)
            assert backends(tmp_path)[f"{size}"] == backend

"""READ_ONLY: blobs are read, and nothing in the database or on the storage changes."""

import sqlite3
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.http.s3_client import key_pair, refused, s3_client
from tests.http.server import Server

RESUMABLE = {"Tus-Resumable": "1.0.0"}
FROM_TO = {"from": "films/a", "to": "films/b"}


class Refused(NamedTuple):
    """A change: its method, its path, with what is known in braces, and the arguments of httpx."""

    method: str
    path: str
    arguments: dict[str, Any] = {}  # noqa: RUF012


CHANGES = {
    "PUT": Refused("PUT", "/v1/blobs/films%2Fb", {"content": b"b"}),
    "PUT of a large body": Refused("PUT", "/v1/blobs/films%2Fb", {"content": bytes(8 * 1024 * 1024)}),
    "POST": Refused("POST", "/v1/blobs", {"json": {"id": "films/b", "data": b64encode(b"b").decode()}}),
    "POST of a form": Refused("POST", "/v1/blobs", {"data": {"id": "films/b"}, "files": {"file": b"b"}}),
    "PATCH": Refused(
        "PATCH",
        "/v1/blobs/films%2Fa",
        {"json": {"metadata": {"a": "b"}}, "headers": {"Content-Type": "application/merge-patch+json"}},
    ),
    "DELETE": Refused("DELETE", "/v1/blobs/films%2Fa"),
    "copy": Refused("POST", "/v1/copy", {"json": FROM_TO}),
    "move": Refused("POST", "/v1/move", {"json": FROM_TO}),
    "delete": Refused("POST", "/v1/delete", {"json": {"prefix": "films/"}}),
    "commit": Refused("POST", "/v1/commits", {"json": {"operations": [{"delete": {"id": "films/a"}}]}}),
    "upload": Refused("POST", "/v1/uploads", {"json": {"id": "films/b"}}),
    "part": Refused("PUT", "/v1/uploads/{upload}/1", {"content": b"b"}),
    "end of an upload": Refused("DELETE", "/v1/uploads/{upload}"),
    "restore": Refused("POST", "/v1/trash/{trashed}/restore"),
    "purge": Refused("DELETE", "/v1/trash/{trashed}"),
    "key": Refused("POST", "/v1/keys", {"json": {"name": "b", "actions": ["read"]}}),
    "end of a key": Refused("DELETE", "/v1/keys/{key}"),
    "share": Refused("POST", "/v1/shares", {"json": {"id": "films/a"}}),
    "tus": Refused("POST", "/v1/tus", {"headers": RESUMABLE | {"Upload-Length": "1"}}),
    "bytes by tus": Refused(
        "PATCH",
        "/v1/tus/{upload}",
        {
            "content": b"b",
            "headers": RESUMABLE | {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"},
        },
    ),
    "bytes by the draft": Refused(
        "PATCH",
        "/v1/uploads/{upload}",
        {
            "content": b"b",
            "headers": {
                "Upload-Offset": "0",
                "Upload-Complete": "?0",
                "Content-Type": "application/partial-upload",
                "Upload-Draft-Interop-Version": "8",
            },
        },
    ),
}
READS = [
    "/health/ready",
    "/v1/blobs/films%2Fa?alt=media",
    "/v1/blobs?prefix=films/",
    "/v1/blobs?prefix=films/&format=zip",
    "/v1/trash",
    "/v1/uploads",
    "/v1/keys",
    "/v1/status",
]


class ReadOnly(NamedTuple):
    """A server that is read-only, the rows of its database, and what was there before."""

    server: Server
    rows: list[str]
    known: dict[str, str]
    pair: tuple[str, str]


def rows_of(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "data" / "drivebay.db") as connection:
        return [*connection.iterdump()]


def files_of(folder: Path) -> list[Path]:
    return sorted(each for each in (folder / "data").rglob("*") if each.is_file() and "drivebay.db" not in each.name)


@pytest.fixture(scope="module")
def read_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadOnly]:
    folder = tmp_path_factory.mktemp("server")
    with Server(folder) as server, server.client() as client:
        for body in (b"former", b"film"):
            client.put("/v1/blobs/films%2Fa", content=body).raise_for_status()
        upload = client.post("/v1/uploads", json={"id": "films/c"}).raise_for_status().json()["upload"]
        [trashed] = client.get("/v1/trash").json()["versions"]
        pair = key_pair(server, "read", "list", "write", "delete")
        links = [client.post("/v1/shares", json={"id": "films/a", **each}).json() for each in ({}, {"max_uses": 1})]
        known = {"upload": upload, "trashed": trashed["key"], "key": pair[0]}
        known |= {"link": urlsplit(links[0]["url"]).path, "limited": urlsplit(links[1]["url"]).path}
        s3_client(server, pair).create_bucket(Bucket="films")
    rows = rows_of(folder)
    with Server(folder, READ_ONLY="true") as server:
        yield ReadOnly(server, rows, known, pair)
    assert rows_of(folder) == rows  # also after all that runs in the background


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_refused(read_only: ReadOnly, name: str) -> None:
    method, path, arguments = CHANGES[name]
    before = files_of(read_only.server.folder)
    with read_only.server.client() as client:
        response = client.request(method, path.format(**read_only.known), **arguments)
    assert response.status_code == httpx.codes.SERVICE_UNAVAILABLE, response.text
    assert response.headers["Retry-After"] == "5"
    assert "read-only" in response.text
    if response.headers["Content-Type"] == "application/problem+json":
        assert response.json()["code"] == "read_only"
    assert rows_of(read_only.server.folder) == read_only.rows
    assert files_of(read_only.server.folder) == before


@pytest.mark.parametrize("path", READS)
def test_a_read_is_answered(read_only: ReadOnly, path: str) -> None:
    with read_only.server.client() as client:
        response = client.get(path)
    assert response.status_code == httpx.codes.OK, response.text
    if "alt=media" in path:
        assert response.content == b"film"


def test_a_link_is_read_unless_its_uses_are_counted(read_only: ReadOnly) -> None:
    with read_only.server.client() as client:
        del client.headers["Authorization"]
        assert client.get(read_only.known["link"]).content == b"film"
        assert client.get(read_only.known["limited"]).json()["code"] == "read_only"


def test_s3_clients_read_and_change_nothing(read_only: ReadOnly) -> None:
    client = s3_client(read_only.server, read_only.pair)
    assert client.get_object(Bucket="films", Key="a")["Body"].read() == b"film"
    assert [each["Key"] for each in client.list_objects_v2(Bucket="films")["Contents"]] == ["a"]
    changes: list[Callable[[], object]] = [
        lambda: client.put_object(Bucket="films", Key="b", Body=b"b"),
        lambda: client.delete_object(Bucket="films", Key="a"),
        lambda: client.delete_objects(Bucket="films", Delete={"Objects": [{"Key": "a"}]}),
        lambda: client.copy_object(Bucket="films", Key="b", CopySource="films/a"),
        lambda: client.create_multipart_upload(Bucket="films", Key="b"),
        lambda: client.create_bucket(Bucket="series"),
        lambda: client.delete_bucket(Bucket="films"),
    ]
    for change in changes:
        with pytest.raises(ClientError) as raised:
            change()
        assert refused(raised.value) == (503, "ServiceUnavailable")


def test_a_start_needs_the_newest_tables(tmp_path: Path) -> None:
    """It does not make them, as that is a change."""
    server = Server(tmp_path, exit_code=2, READ_ONLY="true")
    with pytest.raises(AssertionError), server:
        pass
    assert "drivebay migrations upgrade" in server.errors()
    assert not (tmp_path / "data" / "drivebay.db").exists()

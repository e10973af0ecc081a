"""Zip files over HTTP: read by other programs, and broken off where a blob can't be read."""

import io
import os
import shutil
import socket
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contracts.blob_store import MIB, pattern
from tests.http.server import Server, blob_target
from tests.http.wire import get

FILES = {
    "zip/a.txt": b"a" * 1000,
    "zip/ü/☺ b": b"b",
    "zip/large": pattern(3 * MIB + 1),
    "zip/../../escaped": b"c",
    "zip//etc/passwd": b"d",
    "zip/C:\\windows": b"e",
    "zip/folder/": b"",
    "zip/empty": b"",
    "zip/both": b"f",
    "zip/both/below": b"g",
}
NAMES = {
    **{each: each for each in ("a.txt", "ü/☺ b", "large", "folder/", "empty", "both")},
    "../../escaped": "%2E%2E/%2E%2E/escaped",
    "/etc/passwd": "%2Fetc/passwd",
    "C:\\windows": "C%3A%5Cwindows",
    "both/below": "both%2Fbelow",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("zip")) as server, server.client() as client:
        for blob_id, content in FILES.items():
            stored = client.put("/v1/blobs/x", content=content, extensions=blob_target(blob_id))
            assert stored.status_code in (200, 201)
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def opened(response: httpx.Response) -> zipfile.ZipFile:
    assert response.status_code == 200, response.text
    assert int(response.headers["content-length"]) == len(response.content)
    assert response.headers["content-type"] == "application/zip"
    found = zipfile.ZipFile(io.BytesIO(response.content))
    assert found.testzip() is None
    return found


def names(response: httpx.Response) -> list[str]:
    return opened(response).namelist()


def test_all_blobs_with_a_prefix(client: httpx.Client) -> None:
    response = client.get("/v1/blobs", params={"prefix": "zip/", "format": "zip"})
    expected = {NAMES[blob_id.removeprefix("zip/")]: content for blob_id, content in FILES.items()}
    with opened(response) as found:
        assert {each.filename: found.read(each) for each in found.infolist()} == expected
    assert response.headers["content-disposition"] == "attachment; filename*=UTF-8''zip.zip"
    assert response.headers["cache-control"] == "no-store"
    head = client.head("/v1/blobs", params={"prefix": "zip/", "format": "zip"})
    assert (head.status_code, head.headers["content-length"]) == (200, response.headers["content-length"])


@pytest.mark.skipif(
    shutil.which("unzip") is None and not os.environ.get("CI"),
    reason="needs unzip; install it, and run the tests again",
)
def test_unzip_takes_it_and_writes_nothing_outside(client: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.zip").write_bytes(client.get("/v1/blobs?prefix=zip/&format=zip").content)
    for options in (["-t", "../a.zip"], ["-q", "../a.zip"]):
        run = subprocess.run(["unzip", *options], cwd=tmp_path / "inner", capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
    assert {each.name for each in tmp_path.iterdir()} == {"inner", "a.zip"}
    assert (tmp_path / "inner" / "large").read_bytes() == FILES["zip/large"]
    assert (tmp_path / "inner" / "folder").is_dir()


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"ids": ["zip/a.txt", "zip/both/below"]}, ["a.txt", "both/below"]),
        ({"ids": ["zip/both/below"]}, ["below"]),
        ({"ids": ["zip/a.txt"], "prefixes": ["zip/both"]}, ["a.txt", "both", "both%2Fbelow"]),
        ({"prefixes": ["zip/ü/"]}, ["☺ b"]),
        ({"prefixes": ["zip/ü/"], "folder": "zip/"}, ["ü/☺ b"]),
        ({"prefixes": ["zip/ü/"], "folder": ""}, ["zip/ü/☺ b"]),
    ],
)
def test_a_selection_as_json_and_as_a_form(client: httpx.Client, body: dict[str, Any], found: list[str]) -> None:
    assert names(client.post("/v1/zip", json=body)) == found
    form = {"id": body.get("ids", []), "prefix": body.get("prefixes", [])}
    form |= {name: body[name] for name in ("folder",) if name in body}
    response = client.post("/v1/zip", data={**form, "filename": "ü.zip"})
    if body.get("folder") != "":  # which a form can't tell from an absent one
        assert names(response) == found
    assert response.headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%BC.zip"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "invalid_body"),
        ({"ids": [], "prefixes": []}, 400, "invalid_body"),
        ({"ids": [""]}, 400, "invalid_id"),
        ({"ids": ["a"] * 10_001}, 400, "invalid_body"),
        ({"ids": [{"id": "a"}]}, 400, "invalid_body"),
        ({"prefixes": ["a\n"]}, 400, "invalid_body"),
        ({"ids": ["zip/a.txt"], "folder": "zip"}, 400, "invalid_body"),
        ({"ids": ["zip/a.txt"], "folder": "music/"}, 400, "invalid_body"),
        ({"ids": ["zip/a.txt"], "filename": "a\r\nb"}, 400, "invalid_body"),
        ({"ids": ["zip/a.txt"], "other": 1}, 400, "invalid_body"),
        ({"ids": ["zip/none"]}, 404, "not_found"),
        ({"prefixes": ["none/"]}, 404, "not_found"),
    ],
)
def test_what_is_refused(client: httpx.Client, body: dict[str, Any], status: int, code: str) -> None:
    refused = client.post("/v1/zip", json=body)
    assert (refused.status_code, refused.json()["code"]) == (status, code)


def test_forms_that_are_refused(client: httpx.Client) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for form in ("ids=a", "id=%ff", "id=a&filename=b&filename=c", "&id=a" * 10_003):
        refused = client.post("/v1/zip", content=form, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_body")
    for query in ("format=tar", "format=zip&limit=1", "format=zip&delimiter=/", "format=zip&format=zip"):
        refused = client.get(f"/v1/blobs?{query}")
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter")


def test_all_types_of_its_body_are_named(client: httpx.Client) -> None:
    refused = client.post("/v1/zip", content='{"ids": ["a"]}', headers={"Content-Type": "text/plain"})
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")
    assert "application/json or application/x-www-form-urlencoded" in refused.json()["detail"]


def test_a_limited_key_gets_its_own_view(server: Server, client: httpx.Client) -> None:
    key = {"name": "limited", "actions": ["read", "list"], "prefixes": ["zip/ü/", "zip/both"]}
    with server.client(client.post("/v1/keys", json=key).json()["token"]) as limited:
        assert names(limited.get("/v1/blobs?format=zip")) == ["zip/both", "zip/both%2Fbelow", "zip/ü/☺ b"]
        for body in ({"ids": ["zip/a.txt"]}, {"prefixes": ["zip/large"]}, {"ids": ["zip/both", "zip/a.txt"]}):
            refused = limited.post("/v1/zip", json=body)
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


def test_it_breaks_off_where_a_blob_can_not_be_read(own_server: Server) -> None:
    with own_server.client() as client:
        client.put("/v1/blobs/a", content=pattern(MIB))
        before = {*_objects(own_server)}
        client.put("/v1/blobs/b", content=pattern(MIB))
        [lost] = {*_objects(own_server)} - before
        lost.unlink()
        with own_server.connect() as connection:
            connection.sendall(get("/v1/blobs?format=zip"))
            received = _all(connection)
        head, _, body = received.partition(b"\r\n\r\n")
        [length] = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
        assert head.startswith(b"HTTP/1.1 200")
        assert 0 < len(body) < int(length.partition(b":")[2])
        client.delete("/v1/blobs/a")
        refused = client.get("/v1/blobs?format=zip")
        assert (refused.status_code, refused.json()["code"]) == (500, "integrity")


def test_a_client_that_leaves_ends_it(own_server: Server) -> None:
    with own_server.client() as client:
        for number in range(8):
            client.put(f"/v1/blobs/{number}", content=pattern(4 * MIB))
        with own_server.connect() as connection:
            connection.sendall(get("/v1/blobs?format=zip"))
            assert connection.recv(MIB).startswith(b"HTTP/1.1 200")
        own_server.wait_until_closed(own_server.folder / "data" / "blobs")
        own_server.wait_until(lambda: client.get("/v1/status").json()["requests"]["in_flight"] == 1)
    assert "error" not in {line["level"] for line in own_server.log()}


def _objects(server: Server) -> Iterator[Path]:
    return (each for each in (server.folder / "data" / "blobs").rglob("*") if each.is_file())


def _all(connection: socket.socket) -> bytes:
    received = b""
    while some := connection.recv(MIB):
        received += some
    return received

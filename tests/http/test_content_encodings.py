"""Blobs whose bytes are encoded, with gzip for example: kept as they are, and so described (RFC 9110, section 8.4)."""

import base64
import gzip
import hashlib
import itertools
from pathlib import Path

import httpx
import pytest

from tests.http.server import Server
from tests.http.wire import AUTH, JSON, answer, ask_once, put, request

NUMBERS = itertools.count()
PLAIN = b"Hello World! " * 1000
ENCODED = gzip.compress(PLAIN, mtime=0)
DIGEST = f"sha-256=:{base64.b64encode(hashlib.sha256(ENCODED).digest()).decode()}:"
RAW = "Accept: application/octet-stream\r\n"


@pytest.fixture
def path() -> str:
    """The path of a blob that no other test uses."""
    return f"/v1/blobs/encoded-{next(NUMBERS)}"


def store(client: httpx.Client, path: str, encoding: str = "gzip", content: bytes = ENCODED) -> httpx.Response:
    headers = {"Content-Type": "text/plain", "Content-Encoding": encoding, "Content-Digest": DIGEST}
    return client.put(path, content=content, headers=headers)


class TestRawForm:
    def test_a_client_gets_the_decoded_bytes(self, client: httpx.Client, path: str) -> None:
        assert store(client, path).status_code == 201
        fetched = client.get(f"{path}?alt=media")
        assert fetched.headers["content-encoding"] == "gzip"
        assert fetched.content == PLAIN

    def test_bytes_digests_sizes_and_ranges_are_those_of_the_encoded_bytes(
        self, client: httpx.Client, path: str
    ) -> None:
        store(client, path)
        with client.stream("GET", f"{path}?alt=media") as fetched:
            assert b"".join(fetched.iter_raw()) == ENCODED
        assert fetched.headers["content-length"] == str(len(ENCODED))
        assert fetched.headers["repr-digest"] == DIGEST
        with client.stream("GET", f"{path}?alt=media", headers={"Range": "bytes=5-9"}) as part:
            assert b"".join(part.iter_raw()) == ENCODED[5:10]
        assert (part.status_code, part.headers["content-encoding"]) == (206, "gzip")
        assert part.headers["content-range"] == f"bytes 5-9/{len(ENCODED)}"
        head = client.head(f"{path}?alt=media")
        assert {"content-encoding", "content-length"} <= head.headers.keys()

    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            ("GZIP", "gzip"),
            ("gzip,br", "gzip, br"),
            ("gzip , ,\tidentity", "gzip"),
            ("identity", None),
            ("", None),
            ("x-my!coding", "x-my!coding"),
            ("x" * 255, "x" * 255),
        ],
    )
    def test_the_codings_are_kept(self, server: Server, path: str, sent: str, kept: str | None) -> None:
        with server.connect() as connection:
            assert ask_once(connection, put(path, ENCODED, f"Content-Encoding: {sent}\r\n")).status == 201
            fetched = ask_once(connection, request(f"GET {path}", AUTH + RAW))
        assert (fetched.headers.get("content-encoding"), fetched.body) == (kept, ENCODED)

    @pytest.mark.parametrize("invalid", ["gzip br", "gzip;q=1", '"gzip"', "gzip/1", "gzïp", "x" * 256, "a," * 5000])
    def test_what_is_no_list_of_codings_is_refused(self, server: Server, path: str, invalid: str) -> None:
        with server.connect() as connection:
            refusal = ask_once(connection, put(path, ENCODED, f"Content-Encoding: {invalid}\r\n"))
        assert (refusal.status, refusal.code) == (400, "invalid_header")

    def test_another_coding_is_another_version(self, client: httpx.Client, path: str) -> None:
        tags = [store(client, path, encoding).headers["etag"] for encoding in ("gzip", "x-gzip", "identity", "gzip")]
        assert tags[0] == tags[3]
        assert len({*tags}) == 3
        assert client.head(f"{path}?alt=media").headers["content-encoding"] == "gzip"


class TestJsonForm:
    def test_the_coding_is_a_member_where_there_is_one(self, client: httpx.Client, path: str) -> None:
        store(client, path)
        fetched = client.get(path)
        assert "content-encoding" not in fetched.headers, "the JSON is not encoded"
        assert list(fetched.json()) == ["id", "data", "size", "created_at", "content_encoding"]
        assert fetched.json()["content_encoding"] == "gzip"
        assert base64.b64decode(fetched.json()["data"]) == ENCODED
        assert client.head(path).headers["content-length"] == str(len(fetched.content))
        store(client, path, "identity")
        assert list(client.get(path).json()) == ["id", "data", "size", "created_at"]

    def test_a_body_that_is_encoded_itself_is_refused(self, server: Server) -> None:
        body = gzip.compress(b'{"id":"a","data":""}')
        with server.connect() as connection, connection.makefile("rb") as stream:
            head = f"{AUTH}{JSON}Content-Encoding: gzip\r\nContent-Length: {len(body)}\r\n"
            connection.sendall(request("POST /v1/blobs", head, body))
            refusal = answer(stream)
        assert (refusal.status, refusal.code) == (415, "unsupported_media_type")
        assert b"without Content-Encoding" in refusal.body


def test_it_is_kept_in_memory_too(tmp_path: Path) -> None:
    with Server(tmp_path, STORAGE="memory") as server, server.client() as client:
        store(client, "/v1/blobs/a")
        assert client.get("/v1/blobs/a?alt=media").content == PLAIN

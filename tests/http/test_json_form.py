"""The JSON form over HTTP."""

import asyncio
import base64
import os
import re
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.blob_store import pattern
from tests.http.server import Server, blob_target
from tests.http.wire import ask, get, post
from tests.ids import INVALID, NASTY, valid_ids

JSON = {"Content-Type": "application/json"}


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def fetch(client: httpx.Client, blob_id: str) -> httpx.Response:
    return client.get("/", extensions=blob_target(blob_id))


class TestStoreAndFetch:
    def test_the_answers_are_exactly_as_documented(self, client: httpx.Client) -> None:
        stored = client.post("/v1/blobs", content=b'{"id":"k5","data":"SGVsbG8gV29ybGQh"}', headers=JSON)
        assert stored.status_code == 201
        body = stored.json()
        created_at = body["created_at"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", created_at)
        assert list(body) == ["message", "id", "size", "created_at", "sha256"]
        assert body | {"created_at": ""} == {
            "message": "Blob stored successfully",
            "id": "k5",
            "size": 12,
            "created_at": "",
            "sha256": "7f83b1657ff1fc53b92dc18148a1d65dfc2d4b1fa3d677284addd200126d9069",
        }
        assert stored.headers["location"] == "/v1/blobs/k5"
        assert re.fullmatch(r'"[0-9a-f]{32}-1"', stored.headers["etag"])

        for _ in range(2):
            fetched = client.get("/v1/blobs/k5")
            assert fetched.status_code == 200
            assert fetched.text == (f'{{"id":"k5","data":"SGVsbG8gV29ybGQh","size":12,"created_at":"{created_at}"}}')
            assert fetched.headers["content-type"] == "application/json"
            assert fetched.headers["content-length"] == str(len(fetched.content))
            seconds = int(datetime.fromisoformat(created_at).timestamp())
            assert fetched.headers["etag"] == stored.headers["etag"][:-1] + f'.{seconds}-json"'
            assert fetched.headers["vary"] == "Accept"

    @pytest.mark.parametrize("size", [0, 1, 2, 3, 1000, 1024 * 1024 - 1, 1024 * 1024, 3 * 1024 * 1024 + 1, 40_000_000])
    def test_any_size_that_fits_comes_back_as_it_was(self, client: httpx.Client, size: int) -> None:
        data = encoded(pattern(size))
        assert client.post("/v1/blobs", json={"data": data, "id": f"size {size}"}).status_code == 201
        fetched = fetch(client, f"size {size}")
        assert fetched.headers["content-length"] == str(len(fetched.content))
        assert (fetched.json()["size"], fetched.json()["data"] == data) == (size, True)

    def test_an_id_that_exists_is_refused_and_its_blob_untouched(self, client: httpx.Client) -> None:
        assert client.post("/v1/blobs", json={"id": "twice", "data": "Zmlyc3Q="}).status_code == 201
        before = client.get("/v1/blobs/twice")
        again = client.post("/v1/blobs", json={"id": "twice", "data": "c2Vjb25k"})
        assert (again.status_code, again.json()["code"]) == (409, "already_exists")
        assert client.get("/v1/blobs/twice").content == before.content

    async def test_of_many_creators_one_wins(self, own_server: Server) -> None:
        contents = [encoded(pattern(size)) for size in range(200, 400)]
        answers = await asyncio.gather(*(ask(own_server.port, post({"id": "race", "data": data})) for data in contents))
        statuses = [status for status, _ in answers]
        assert (statuses.count(201), statuses.count(409)) == (1, 199)
        _, blob = await ask(own_server.port, get("/v1/blobs/race"))
        assert blob["data"] == contents[statuses.index(201)]
        await asyncio.to_thread(own_server.wait_until_left, 1)


@pytest.fixture(scope="module")
def clean_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """On a server whose blobs all hold their ids, and are no larger than such can be."""
    folder = tmp_path_factory.mktemp("ids")
    with Server(folder, MAX_BLOB_BYTES="2048") as server, server.client() as client:
        yield client


class TestIds:
    def test_nasty_ids_are_kept_to_the_byte_and_apart(self, clean_client: httpx.Client) -> None:
        for blob_id in NASTY:
            stored = clean_client.post("/v1/blobs", json={"id": blob_id, "data": encoded(blob_id.encode())})
            assert stored.status_code == 201, blob_id
            assert stored.json()["id"] == blob_id
            assert stored.headers["location"] == "/v1/blobs/" + quote(blob_id, safe="")
        for blob_id in NASTY:
            fetched = fetch(clean_client, blob_id)
            assert fetched.status_code == 200, blob_id
            assert fetched.json()["id"] == blob_id
            assert base64.b64decode(fetched.json()["data"]) == blob_id.encode()

    def test_larger_blobs_are_refused(self, clean_client: httpx.Client) -> None:
        over = clean_client.post("/v1/blobs", json={"id": "over", "data": encoded(b"x" * 2049)})
        assert (over.status_code, over.json()["code"]) == (413, "too_large")
        assert "up to 2,048 bytes" in over.json()["detail"]
        assert clean_client.get("/v1/blobs/over").status_code == 404

    def test_a_literal_slash_is_as_good_as_an_escaped_one(self, client: httpx.Client) -> None:
        client.post("/v1/blobs", json={"id": "x//y/../z/", "data": "AAAA"})
        target = {"target": b"/v1/blobs/x//y/../z/"}
        assert client.get("/", extensions=target).json()["id"] == "x//y/../z/"
        assert client.get("/", extensions={"target": target["target"] + b"?alt=json"}).json()["id"] == "x//y/../z/"

    def test_d_and_d_slash_are_not_there_because_d_slash_x_is(self, client: httpx.Client) -> None:
        client.post("/v1/blobs", json={"id": "d/x", "data": "AAAA"})
        assert [fetch(client, blob_id).status_code for blob_id in ("d", "d/", "d/x/", "d/x")] == [404, 404, 404, 200]

    @settings(max_examples=150)
    @given(blob_id=valid_ids, other=valid_ids)
    def test_what_was_stored_is_found_under_its_id_and_no_other(
        self, clean_client: httpx.Client, blob_id: str, other: str
    ) -> None:
        stored = clean_client.post("/v1/blobs", json={"id": blob_id, "data": encoded(blob_id.encode())})
        assert stored.status_code in (201, 409)
        for wanted in (blob_id, other):
            found = fetch(clean_client, wanted)
            assert found.status_code == 404 or base64.b64decode(found.json()["data"]) == wanted.encode()
        assert fetch(clean_client, blob_id).status_code == 200

    @pytest.mark.parametrize(("blob_id", "why"), INVALID.items())
    def test_the_rest_is_refused(self, client: httpx.Client, blob_id: str, why: str) -> None:
        for answer in (client.post("/v1/blobs", json={"id": blob_id, "data": ""}), fetch(client, blob_id)):
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_id")
            assert why in answer.json()["detail"]

    @pytest.mark.parametrize("path", [b"%ff", b"%C3%28", b"a%c0%afb", b"%ed%a0%80", b"%f5%80%80%80"])
    def test_so_is_a_url_that_is_not_utf_8(self, client: httpx.Client, path: bytes) -> None:
        answer = client.get("/", extensions={"target": b"/v1/blobs/" + path})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_id")
        assert "not UTF-8" in answer.json()["detail"]


class TestDamage:
    def test_an_object_that_is_damaged_is_an_error_of_ours(self, own_server: Server) -> None:
        with own_server.client() as client:
            client.post("/v1/blobs", json={"id": "k5", "data": encoded(pattern(6_000_000))})
            [file] = [
                path for path in (own_server.folder / "data" / "blobs").rglob("*") if path.stat().st_size == 6_000_000
            ]
            os.truncate(file, 3_000_000)
            with pytest.raises(httpx.RemoteProtocolError):  # the answer was under way
                client.get("/v1/blobs/k5")
            for damage in (lambda: file.write_bytes(b"x"), file.unlink):
                damage()
                answer = client.get("/v1/blobs/k5")
                assert (answer.status_code, answer.json()["code"]) == (500, "integrity")
                assert str(own_server.folder) not in answer.text
            with sqlite3.connect(own_server.folder / "data" / "drivebay.db") as database:
                database.execute("DELETE FROM blobs")
            database.close()
            assert client.get("/v1/blobs/k5").status_code == 404
        events = [line["event"] for line in own_server.log() if line["level"] == "error"]
        assert events == ["an answer broke off", "a request failed", "a request failed"]
        for fault in ("ends after 3,000,000 bytes", "ends after 1 bytes", "is gone"):
            assert fault in own_server.errors()


class TestWrongBodies:
    @settings(max_examples=100)
    @given(body=st.binary(max_size=60) | st.text(alphabet='{}[]":,ida t\\u0', max_size=60).map(str.encode))
    def test_any_is_refused_with_a_reason(self, client: httpx.Client, body: bytes) -> None:
        answer = client.post("/v1/blobs", content=body, headers=JSON)
        assert answer.status_code in (400, 201)
        if answer.status_code == 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] in ("invalid_json", "invalid_body", "invalid_base64", "invalid_id")

    @pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/x-www-form-urlencoded", "json"])
    def test_another_content_type(self, client: httpx.Client, content_type: str | None) -> None:
        headers = {} if content_type is None else {"Content-Type": content_type}
        answer = client.post("/v1/blobs", content=b'{"id":"t","data":""}', headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
        assert answer.headers["connection"] == "close"

    @pytest.mark.parametrize("content_type", ["application/json", "Application/JSON ; charset=utf-8"])
    def test_json_by_any_spelling(self, client: httpx.Client, content_type: str) -> None:
        body = f'{{"id":"{content_type}","data":""}}'
        answer = client.post("/v1/blobs", content=body, headers={"Content-Type": content_type})
        assert answer.status_code == 201

    def test_base64_faults_name_their_offset(self, client: httpx.Client) -> None:
        answer = client.post("/v1/blobs", json={"id": "b", "data": "QUJD-_=="})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_base64")
        assert "at offset 4: it is base64url" in answer.json()["detail"]

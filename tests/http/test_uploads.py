"""Uploads of several parts."""

import base64
import hashlib
import itertools
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.http.server import PATIENCE, Server
from tests.http.wire import AUTH, answer, request

NUMBERS = itertools.count()


@pytest.fixture
def blob_id() -> str:
    """An id that no other test uses."""
    return f"uploads/{next(NUMBERS)}"


def begin(client: httpx.Client, **body: Any) -> str:
    begun = client.post("/v1/uploads", json=body)
    assert begun.status_code == 201, begun.text
    assert begun.headers["location"] == f"/v1/uploads/{begun.json()['upload']}"
    upload: str = begun.json()["upload"]
    return upload


def send(client: httpx.Client, upload: str, number: int, data: bytes, **headers: str) -> httpx.Response:
    return client.put(f"/v1/uploads/{upload}/{number}", content=data, headers=headers)


def publish(client: httpx.Client, blob_id: str, upload: str, **more: Any) -> httpx.Response:
    return client.post("/v1/commits", json={"operations": [{"put": {"id": blob_id, "upload": upload, **more}}]})


def read(client: httpx.Client, blob_id: str, **headers: str) -> httpx.Response:
    return client.get(f"/v1/blobs/{quote(blob_id, safe='')}?alt=media", headers=headers)


def refusal(answered: httpx.Response) -> tuple[int, str]:
    return answered.status_code, answered.json()["code"]


class TestParts:
    def test_in_any_order_and_concurrently(self, client: httpx.Client, server: Server, blob_id: str) -> None:
        data = [random.randbytes(size) for size in (70_000, 1, 0, 300_000, 5, 65_536)]  # noqa: S311
        upload = begin(client, id=blob_id, content_type="text/plain", metadata={"a": "1"})

        def send_one(number: int) -> httpx.Response:
            with server.client() as own:
                return send(own, upload, number + 1, data[number])

        with ThreadPoolExecutor(4) as threads:
            for number, sent in enumerate(threads.map(send_one, [3, 0, 5, 1, 4, 2])):
                assert sent.status_code == 200, (number, sent.text)
        shown = client.get(f"/v1/uploads/{upload}").json()
        assert [part["n"] for part in shown["parts"]] == [1, 2, 3, 4, 5, 6]
        assert [part["sha256"] for part in shown["parts"]] == [hashlib.sha256(each).hexdigest() for each in data]
        assert shown["received"] == sum(map(len, data))
        published = publish(client, blob_id, upload)
        assert published.status_code == 200, published.text
        whole = b"".join(data)
        fetched = read(client, blob_id)
        assert (fetched.content == whole, fetched.headers["content-length"]) == (True, str(len(whole)))
        assert (fetched.headers["content-type"], fetched.headers["x-meta-a"]) == ("text/plain", "1")
        for start, stop in [(0, 1), (69_999, 70_002), (70_000, 70_001), (370_000, 370_010), (435_000, 500_000)]:
            part = read(client, blob_id, Range=f"bytes={start}-{stop - 1}")
            assert (part.status_code, part.content == whole[start:stop]) == (206, True)
        assert base64.b64decode(client.get(f"/v1/blobs/{quote(blob_id, safe='')}").json()["data"]) == whole
        assert client.get(f"/v1/uploads/{upload}").status_code == 404

    def test_parts_are_listed_after_any_that_there_may_be(self, client: httpx.Client) -> None:
        """Appended ones have numbers beyond the 10,000 of those that a client numbers itself."""
        upload = begin(client)
        send(client, upload, 10_000, b"a")
        for after, numbers in ((0, [10_000]), (9_999, [10_000]), (10_000, []), (100_000, [])):
            shown = client.get(f"/v1/uploads/{upload}", params={"after": after})
            assert (shown.status_code, [part["n"] for part in shown.json().get("parts", [])]) == (200, numbers)
        assert client.get(f"/v1/uploads/{upload}", params={"after": 100_001}).status_code == 400

    def test_the_digest_is_shown_once_it_is_known(self, client: httpx.Client, blob_id: str) -> None:
        upload = begin(client)
        send(client, upload, 1, b"Hello "), send(client, upload, 2, b"World!")
        tag = publish(client, blob_id, upload).json()["results"][0]["blob"]["etag"]
        deadline = time.monotonic() + PATIENCE
        while "repr-digest" not in (found := read(client, blob_id)).headers:
            assert found.headers["etag"] == tag
            assert time.monotonic() < deadline
        assert found.headers["etag"] == tag
        digest = base64.b64encode(hashlib.sha256(b"Hello World!").digest()).decode()
        assert found.headers["repr-digest"] == f"sha-256=:{digest}:"
        [listed] = client.get("/v1/blobs", params={"prefix": blob_id}).json()["blobs"]
        assert listed["sha256"] == hashlib.sha256(b"Hello World!").hexdigest()

    def test_one_part_is_one_object(self, client: httpx.Client, blob_id: str) -> None:
        upload = begin(client)
        send(client, upload, 1, b"only")
        blob = publish(client, blob_id, upload).json()["results"][0]["blob"]
        assert blob["sha256"] == hashlib.sha256(b"only").hexdigest()
        empty = begin(client)
        send(client, empty, 1, b"")
        assert publish(client, blob_id, empty).json()["results"][0]["blob"]["size"] == 0
        assert read(client, blob_id).content == b""

    def test_a_part_is_replaced(self, client: httpx.Client, blob_id: str) -> None:
        upload = begin(client)
        for data in (b"first", b"second"):
            assert send(client, upload, 1, data).status_code == 200
        send(client, upload, 2, b"!")
        assert client.get(f"/v1/uploads/{upload}").json()["received"] == 7
        publish(client, blob_id, upload)
        assert read(client, blob_id).content == b"second!"

    def test_some_parts(self, client: httpx.Client, blob_id: str) -> None:
        upload = begin(client)
        for number in (1, 3, 5, 7):
            send(client, upload, number, str(number).encode())
        for parts in (None, [1, 2], [3, 1], [1, 1], [], [0]):
            assert refusal(publish(client, blob_id, upload, parts=parts)) == (400, "invalid_parts")
        assert read(client, blob_id).status_code == 404
        assert publish(client, blob_id, upload, parts=[1, 5, 7]).status_code == 200
        assert read(client, blob_id).content == b"157"

    def test_append(self, client: httpx.Client, blob_id: str) -> None:
        upload = begin(client)
        url = f"/v1/uploads/{upload}"
        assert client.patch(url, content=b"abc", headers={"Upload-Offset": "0"}).json()["received"] == 3
        for offset in ("0", "2", "4"):  # overlaps, and a gap
            refused = client.patch(url, content=b"x", headers={"Upload-Offset": offset})
            assert refusal(refused) == (409, "offset_mismatch")
        assert refusal(client.patch(url, content=b"x")) == (400, "invalid_header")
        assert client.patch(url, content=b"def", headers={"Upload-Offset": "3"}).json()["received"] == 6
        publish(client, blob_id, upload)
        assert read(client, blob_id).content == b"abcdef"

    def test_refusals(self, client: httpx.Client, blob_id: str) -> None:
        upload = begin(client, id=blob_id, size=4)
        assert refusal(publish(client, blob_id, upload)) == (400, "invalid_parts")
        assert refusal(send(client, upload, 0, b"x")) == (400, "invalid_parts")
        assert refusal(send(client, upload, 10_001, b"x")) == (400, "invalid_parts")
        digest = base64.b64encode(bytes(32)).decode()
        refused = send(client, upload, 1, b"x", **{"Content-Digest": f"sha-256=:{digest}:"})
        assert refusal(refused) == (400, "digest_mismatch")
        assert refusal(send(client, upload, 1, b"12345")) == (400, "invalid_parts")
        assert client.get(f"/v1/uploads/{upload}").json().get("parts", []) == []
        send(client, upload, 1, b"123")
        assert refusal(publish(client, blob_id, upload)) == (400, "invalid_parts")
        send(client, upload, 2, b"4")
        assert refusal(publish(client, f"{blob_id}-other", upload)) == (400, "invalid_parts")
        assert publish(client, blob_id, upload).status_code == 200
        assert refusal(publish(client, blob_id, upload)) == (404, "upload_not_found")
        assert refusal(send(client, upload, 1, b"x")) == (404, "upload_not_found")

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"id": ""}, "invalid_id"),
            ({"size": -1}, "invalid_body"),
            ({"x": 1}, "invalid_body"),
            ({"content_type": "no type"}, "invalid_header"),
            ({"metadata": {"A": "x"}}, "invalid_metadata"),
            ({"expires_in": 0}, "invalid_expiry"),
            ({"size": 2**60}, "too_large"),
        ],
    )
    def test_malformed_uploads(self, client: httpx.Client, body: dict[str, Any], code: str) -> None:
        refused = client.post("/v1/uploads", json=body)
        assert refused.json()["code"] == code
        assert refused.status_code == (413 if code == "too_large" else 400)

    def test_an_upload_is_discarded(self, client: httpx.Client) -> None:
        upload = begin(client)
        send(client, upload, 1, b"x")
        assert client.delete(f"/v1/uploads/{upload}").status_code == 204
        assert refusal(client.delete(f"/v1/uploads/{upload}")) == (404, "upload_not_found")
        for unknown in ("0" * 32, "x", "0" * 64):
            assert refusal(client.get(f"/v1/uploads/{unknown}")) == (404, "upload_not_found")
        assert refusal(client.get(f"/v1/uploads/{upload}%2f")) == (404, "unknown_route")

    def test_the_list(self, client: httpx.Client, blob_id: str) -> None:
        uploads = {begin(client, id=f"{blob_id}/{name}"): name for name in "abcab"}
        found, cursor = [], ""
        while True:
            page = client.get("/v1/uploads", params={"prefix": f"{blob_id}/", "limit": 2, "cursor": cursor}).json()
            found += page["uploads"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert [each["id"][-1] for each in found] == ["a", "a", "b", "b", "c"]
        assert {each["upload"] for each in found} == uploads.keys()
        assert client.get("/v1/uploads", params={"cursor": "x"}).status_code == 400
        for bad in ("", "x", "-1", "100001", "1000000", "1.0"):
            assert client.get(f"/v1/uploads/{next(iter(uploads))}", params={"after": bad}).status_code == 400


class TestConcurrency:
    def test_no_publication_while_a_part_is_being_written(
        self, client: httpx.Client, server: Server, blob_id: str
    ) -> None:
        upload = begin(client)
        send(client, upload, 1, b"1")
        with server.connect() as connection, connection.makefile("rb") as stream:
            connection.sendall(request(f"PUT /v1/uploads/{upload}/2", f"{AUTH}Content-Length: 2\r\n", b"2"))
            deadline = time.monotonic() + PATIENCE
            while (refused := refusal(publish(client, blob_id, upload, parts=[1, 2]))) == (400, "invalid_parts"):
                assert time.monotonic() < deadline
            assert refused == (409, "part_in_progress")
            assert refusal(publish(client, blob_id, upload)) == (409, "part_in_progress")
            connection.sendall(b"2")
            assert answer(stream).status == 200
        assert publish(client, blob_id, upload).status_code == 200
        assert read(client, blob_id).content == b"122"

    def test_one_of_two_publications_wins(self, client: httpx.Client, server: Server, blob_id: str) -> None:
        for _ in range(5):
            upload = begin(client)
            send(client, upload, 1, b"a"), send(client, upload, 2, b"b")

            def publish_it(name: str, upload: str = upload) -> int:
                with server.client() as own:
                    return publish(own, f"{blob_id}/{name}", upload).status_code

            with ThreadPoolExecutor(2) as threads:
                assert sorted(threads.map(publish_it, "xy")) == [200, 404]
            listed = client.get("/v1/blobs", params={"prefix": f"{blob_id}/"}).json()["blobs"]
            assert len(listed) == 1
            client.post("/v1/delete", json={"prefix": f"{blob_id}/"})

"""Resumable uploads of the IETF draft: draft-ietf-httpbis-resumable-upload-12, and interop version 6."""

import base64
import hashlib
import itertools
import json
import re
import socket
import time
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.http.s3_client import refused as s3_refusal
from tests.http.s3_client import s3_client
from tests.http.server import PATIENCE, Server
from tests.http.wire import AUTH, answer, request

NUMBERS = itertools.count()
PARTIAL = {"Content-Type": "application/partial-upload"}
TYPES = "https://iana.org/assignments/http-problem-types#"
MAX_SIZE = 5368709120
KIB = 1024


@pytest.fixture
def blob_id() -> str:
    """An id that no other test uses."""
    return f"ietf/{next(NUMBERS)}"


def path_of(blob_id: str) -> str:
    return f"/v1/blobs/{quote(blob_id, safe='')}"


def begin(client: httpx.Client, blob_id: str, data: bytes = b"", **headers: str) -> str:
    begun = client.put(path_of(blob_id), content=data, headers={"Upload-Complete": "?0", **headers})
    assert begun.status_code == 201, begun.text
    assert begun.headers["upload-complete"] == "?0"
    location: str = begun.headers["location"]
    return location


def append(
    client: httpx.Client, upload: str, offset: int, data: bytes, complete: str = "?0", **headers: str
) -> httpx.Response:
    fields = {"Upload-Offset": str(offset), "Upload-Complete": complete, **PARTIAL, **headers}
    return client.patch(upload, content=data, headers=fields)


def read(client: httpx.Client, blob_id: str) -> httpx.Response:
    return client.get(f"{path_of(blob_id)}?alt=media")


def state(response: httpx.Response) -> tuple[int, str | None, str | None]:
    return response.status_code, response.headers.get("upload-complete"), response.headers.get("upload-offset")


def digest(data: bytes, algorithm: str = "sha256") -> str:
    return base64.b64encode(hashlib.new(algorithm, data).digest()).decode()


class TestUploads:
    def test_bytes_come_in_several_requests(self, client: httpx.Client, blob_id: str) -> None:
        begun = client.put(
            path_of(blob_id),
            content=b"Hello",
            headers={
                "Upload-Complete": "?0",
                "Upload-Length": "12",
                "Content-Type": "text/plain",
                "X-Meta-A": "1",
                "X-Expires-In": "1000",
                "Content-Language": "en",
            },
        )
        assert state(begun) == (201, "?0", "5")
        upload = begun.headers["location"]
        assert upload == f"/v1/uploads/{begun.json()['upload']}"
        limit = re.fullmatch(rf"max-size={MAX_SIZE}, max-age=(\d+)", begun.headers["upload-limit"])
        assert limit, begun.headers["upload-limit"]
        assert 86_000 < int(limit[1]) <= 86_400
        assert "upload-draft-interop-version" not in begun.headers
        found = client.head(upload)
        assert state(found) == (204, "?0", "5")
        assert (found.headers["upload-length"], found.headers["cache-control"]) == ("12", "no-store")
        assert found.headers["upload-limit"].startswith(f"max-size={MAX_SIZE}, max-age=")
        assert client.get(path_of(blob_id)).status_code == 404
        assert state(append(client, upload, 5, b" Wor")) == (204, "?0", "9")
        last = append(client, upload, 9, b"ld!", "?1")
        assert state(last) == (201, "?1", "12")
        assert last.headers["location"] == path_of(blob_id)
        assert (last.json()["id"], last.json()["size"]) == (blob_id, 12)
        fetched = read(client, blob_id)
        assert (fetched.content, fetched.headers["etag"]) == (b"Hello World!", last.headers["etag"])
        assert (fetched.headers["content-type"], fetched.headers["x-meta-a"]) == ("text/plain", "1")
        assert (fetched.headers["content-language"], "x-expires-at" in fetched.headers) == ("en", True)
        assert state(client.head(upload)) == (204, "?1", "12")
        assert client.get(upload).status_code == 404

    def test_the_last_request_answers_as_the_first_one_would(self, client: httpx.Client, blob_id: str) -> None:
        for status in (201, 200):
            upload = begin(client, blob_id, b"a")
            assert "upload-length" not in client.head(upload).headers
            assert state(append(client, upload, 1, b"", "?1")) == (status, "?1", "1")

    def test_all_in_one_request_is_a_usual_one(self, client: httpx.Client, blob_id: str) -> None:
        plain = client.put(path_of(blob_id), content=b"all")
        assert not [name for name in plain.headers if name.startswith("upload-")]
        whole = client.put(path_of(blob_id), content=b"all", headers={"Upload-Complete": "?1", "Upload-Length": "3"})
        assert state(whole) == (200, "?1", "3")
        assert whole.headers["location"] == path_of(blob_id)
        assert whole.json().keys() == plain.json().keys()
        assert not client.get("/v1/uploads", params={"prefix": blob_id}).json()["uploads"]

    @pytest.mark.parametrize("value", ["?2", "0", "true", "?0, ?0", "?0;", "?0;A", '?0;a="', "?0 ;a", "", "?"])
    def test_malformed_fields_are_ignored(self, client: httpx.Client, blob_id: str, value: str) -> None:
        stored = client.put(path_of(blob_id), content=b"x", headers={"Upload-Complete": value})
        assert (stored.status_code, "upload-complete" in stored.headers) == (201, False)
        assert read(client, blob_id).content == b"x"

    @pytest.mark.parametrize("value", ["-1", "1.0", '"1"', "1, 1", "1_0", "1" * 16])
    def test_malformed_lengths_are_ignored(self, client: httpx.Client, blob_id: str, value: str) -> None:
        upload = begin(client, blob_id, b"", **{"Upload-Length": value})
        assert "upload-length" not in client.head(upload).headers
        assert append(client, upload, 0, b"x", "?1", **{"Upload-Length": value}).status_code == 201

    def test_parameters_of_fields_mean_nothing(self, client: httpx.Client, blob_id: str) -> None:
        upload = begin(client, blob_id, b"", **{"Upload-Length": '3;a=1;b="x;y"; c=:YQ==:;d'})
        assert client.head(upload).headers["upload-length"] == "3"
        assert state(append(client, upload, 0, b"abc", "?1;a=?0")) == (201, "?1", "3")

    def test_an_empty_blob(self, client: httpx.Client, blob_id: str) -> None:
        begun = client.put(path_of(blob_id), content=b"", headers={"Upload-Complete": "?0", "Upload-Length": "0"})
        assert state(begun) == (201, "?1", "0")
        assert begun.headers["location"] == path_of(blob_id)
        upload = begin(client, blob_id)
        assert state(append(client, upload, 0, b"", "?1")) == (200, "?1", "0")
        assert read(client, blob_id).content == b""

    def test_an_empty_body_without_a_length(self, client: httpx.Client, blob_id: str) -> None:
        fields = {"Upload-Complete": "?0", "Upload-Length": "0"}
        other = client.put(path_of(blob_id), content=iter([b"abc"]), headers=fields)
        assert (other.status_code, other.json()["code"]) == (400, "inconsistent_length")
        assert read(client, blob_id).status_code == 404
        begun = client.put(path_of(blob_id), content=iter([]), headers=fields)
        assert state(begun) == (201, "?1", "0")
        assert begun.headers["location"] == path_of(blob_id)
        upload = begin(client, blob_id)
        fields = {"Upload-Offset": "0", "Upload-Complete": "?1", **PARTIAL}
        assert state(client.patch(upload, content=iter([]), headers=fields)) == (200, "?1", "0")
        assert state(client.patch(upload, content=iter([]), headers=fields)) == (204, "?1", "0")
        assert client.patch(upload, content=iter([b"abc"]), headers=fields).status_code == 413
        assert read(client, blob_id).content == b""

    def test_it_is_complete_once_it_has_its_length(self, client: httpx.Client, blob_id: str) -> None:
        upload = begin(client, blob_id, b"", **{"Upload-Length": "3"})
        assert state(append(client, upload, 0, b"abc", "?0")) == (201, "?1", "3")
        assert state(append(client, upload, 3, b"", "?1")) == (204, "?1", "3")

    def test_chunked_bodies(self, client: httpx.Client, blob_id: str) -> None:
        begun = client.put(path_of(blob_id), content=iter([b"ab", b"c"]), headers={"Upload-Complete": "?0"})
        upload = begun.headers["location"]
        assert state(begun) == (201, "?0", "3")
        fields = {"Upload-Offset": "3", "Upload-Complete": "?1", **PARTIAL}
        last = client.patch(upload, content=iter([b"d", b"ef"]), headers=fields)
        assert state(last) == (201, "?1", "6")
        assert read(client, blob_id).content == b"abcdef"

    def test_preconditions_hold_at_the_start_and_at_the_end(self, client: httpx.Client, blob_id: str) -> None:
        none = {"If-None-Match": "*"}
        upload = begin(client, blob_id, b"old", **none)
        client.put(path_of(blob_id), content=b"other")
        refused = append(client, upload, 3, b"", "?1")
        assert (state(refused)[:2], refused.json()["code"]) == ((412, "?1"), "precondition_failed")
        early = client.put(path_of(blob_id), content=b"x", headers={"Upload-Complete": "?0", **none})
        assert early.status_code == 412
        assert read(client, blob_id).content == b"other"

    def test_it_is_cancelled(self, client: httpx.Client, blob_id: str) -> None:
        upload = begin(client, blob_id, b"abc")
        assert client.delete(upload).status_code == 204
        for gone in (client.head(upload), append(client, upload, 3, b"", "?1"), client.delete(upload)):
            assert gone.status_code == 404

    def test_a_finished_one_is_forgotten_and_its_blob_stays(self, client: httpx.Client, blob_id: str) -> None:
        upload = begin(client, blob_id, b"abc")
        append(client, upload, 3, b"", "?1")
        assert client.delete(upload).status_code == 204
        assert client.head(upload).status_code == 404
        assert read(client, blob_id).content == b"abc"


class TestPost:
    def test_an_id_in_the_query(self, client: httpx.Client, blob_id: str) -> None:
        query = {"id": f"{blob_id}/ü &?"}
        begun = client.post("/v1/uploads", params=query, content=b"a", headers={"Upload-Complete": "?0"})
        assert (state(begun), begun.json()["id"]) == ((201, "?0", "1"), query["id"])
        assert state(append(client, begun.headers["location"], 1, b"b", "?1")) == (201, "?1", "2")
        assert read(client, query["id"]).content == b"ab"
        whole = client.post("/v1/uploads", params=query, content=b"all", headers={"Upload-Complete": "?1"})
        assert state(whole) == (200, "?1", "3")
        assert whole.headers["location"] == path_of(query["id"])

    @pytest.mark.parametrize(
        ("disposition", "name"),
        [
            ('inline; filename="a b.txt"', "a b.txt"),
            ("attachment; filename=plain; filename*=UTF-8''%C3%BC%2Fx%20y", "x y"),
            ('inline; filename="../../up.txt"', "up.txt"),
            (r'inline; filename="C:\folder\up.txt"', "up.txt"),
        ],
    )
    def test_an_id_from_a_filename(self, server: Server, client: httpx.Client, disposition: str, name: str) -> None:
        prefix = f"posted/{next(NUMBERS)}/"
        key = client.post("/v1/keys", json={"name": "k", "actions": ["write", "read"], "prefixes": [prefix]}).json()
        with server.client(key["token"]) as limited:
            fields = {"Upload-Complete": "?1", "Content-Disposition": disposition}
            stored = limited.post("/v1/uploads", content=b"x", headers=fields)
            assert (stored.status_code, stored.json()["id"]) == (201, prefix + name)
            assert read(limited, prefix + name).headers["content-disposition"].startswith("attachment")
            unnamed = limited.post("/v1/uploads", content=b"x", headers={"Upload-Complete": "?0"})
            assert unnamed.json()["id"] == f"{prefix}{unnamed.json()['upload']}"

    @pytest.mark.parametrize("disposition", ["inline", 'inline; filename=""', 'inline; filename=".."', "x; filename=/"])
    def test_a_filename_that_is_none(self, client: httpx.Client, disposition: str) -> None:
        fields = {"Upload-Complete": "?0", "Content-Disposition": disposition}
        begun = client.post("/v1/uploads", headers=fields).json()
        assert begun["id"] == begun["upload"]

    def test_json_stays_what_it_is(self, client: httpx.Client, blob_id: str) -> None:
        begun = client.post("/v1/uploads", json={"id": blob_id}, headers={"Upload-Complete": "0"})
        assert begun.status_code == 201
        assert not [name for name in begun.headers if name.startswith("upload-")]
        refused = client.post("/v1/uploads", params={"id": blob_id}, json={})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter")
        for query in ("id=a&id=b", "x=1", "id=%ff", "id="):
            refused = client.post(f"/v1/uploads?{query}", content=b"", headers={"Upload-Complete": "?0"})
            assert refused.status_code == 400, query

    def test_the_media_type_of_a_part_is_not_that_of_the_blob(self, client: httpx.Client, blob_id: str) -> None:
        client.post("/v1/uploads", params={"id": blob_id}, content=b"x", headers={"Upload-Complete": "?1", **PARTIAL})
        assert read(client, blob_id).headers["content-type"] == "application/octet-stream"


class TestRefusals:
    def test_an_offset_that_does_not_match(self, client: httpx.Client, blob_id: str) -> None:
        upload = begin(client, blob_id, b"abc")
        for offset in (0, 4):
            refused = append(client, upload, offset, b"x", "?1")
            assert state(refused) == (409, "?0", "3")
            problem = refused.json()
            assert problem["type"] == f"{TYPES}mismatching-upload-offset"
            assert (problem["expected-offset"], problem["provided-offset"]) == (3, offset)
            assert (problem["code"], problem["status"]) == ("offset_mismatch", 409)
        append(client, upload, 3, b"", "?1")
        assert state(append(client, upload, 2, b"c", "?1")) == (409, "?0", "3")

    @pytest.mark.parametrize(
        ("fields", "size"),
        [
            ({"Upload-Complete": "?1", "Upload-Length": "4"}, 3),
            ({"Upload-Complete": "?0", "Upload-Length": "2"}, 3),
        ],
    )
    def test_lengths_that_differ_in_one_request(
        self, client: httpx.Client, blob_id: str, fields: dict[str, str], size: int
    ) -> None:
        for method, path in (("PUT", path_of(blob_id)), ("POST", "/v1/uploads")):
            refused = client.request(method, path, content=b"x" * size, headers=fields)
            assert state(refused)[:2] == (400, "?0")
            assert refused.json()["type"] == f"{TYPES}inconsistent-upload-length"

    def test_lengths_that_differ_from_those_before(self, client: httpx.Client, blob_id: str) -> None:
        upload = begin(client, blob_id, b"abc", **{"Upload-Length": "6"})
        for refused in (
            append(client, upload, 3, b"de", "?1"),
            append(client, upload, 3, b"d", "?0", **{"Upload-Length": "5"}),
        ):
            assert state(refused)[:2] == (400, "?0")
            assert refused.json()["type"] == f"{TYPES}inconsistent-upload-length"
        assert append(client, upload, 3, b"defg", "?0").status_code == 413
        assert state(append(client, upload, 3, b"def", "?1")) == (201, "?1", "6")

    def test_what_is_too_large(self, server: Server, client: httpx.Client, blob_id: str) -> None:
        key = client.post("/v1/keys", json={"name": "k", "actions": ["write"], "limits": {"max_blob_bytes": 5}})
        with server.client(key.json()["token"]) as limited:
            assert limited.options("/v1/uploads").headers["upload-limit"] == "max-size=5"
            fields = {"Upload-Complete": "?0", "Upload-Length": "6"}
            early = limited.put(path_of(blob_id), content=b"", headers=fields)
            assert (state(early)[:2], early.headers["upload-limit"]) == ((413, "?0"), "max-size=5")
            upload = begin(limited, blob_id, b"abc")
            late = append(limited, upload, 3, b"def")
            assert (state(late)[:2], late.headers["upload-limit"]) == ((413, "?0"), "max-size=5")
            chunked = limited.patch(
                upload, content=iter([b"def"]), headers={"Upload-Offset": "3", "Upload-Complete": "?1", **PARTIAL}
            )
            assert chunked.status_code == 413
            assert state(limited.head(upload)) == (204, "?0", "3")

    @pytest.mark.parametrize("missing", ["Upload-Offset", "Upload-Complete"])
    def test_a_patch_without_its_fields(self, client: httpx.Client, blob_id: str, missing: str) -> None:
        upload = begin(client, blob_id, b"abc")
        for value in ({}, {missing: "a"}):
            fields = {"Upload-Offset": "3", "Upload-Complete": "?1", **PARTIAL}
            del fields[missing]
            refused = client.patch(upload, content=b"x", headers={**fields, **value})
            assert (state(refused)[:2], refused.json()["code"]) == ((400, "?0"), "invalid_header")

    def test_forms_and_ranges(self, client: httpx.Client, blob_id: str) -> None:
        for name, value, status in (
            ("Content-Type", "multipart/form-data", 415),
            ("Content-Range", "bytes 0-0/1", 400),
        ):
            fields = {"Upload-Complete": "?0", name: value}
            assert client.put(path_of(blob_id), content=b"x", headers=fields).status_code == status

    def test_another_key(self, server: Server, client: httpx.Client, blob_id: str) -> None:
        upload = begin(client, blob_id, b"abc")
        key = client.post("/v1/keys", json={"name": "k", "actions": ["write"], "prefixes": ["elsewhere/"]}).json()
        with server.client(key["token"]) as other:
            for refused in (other.head(upload), append(other, upload, 3, b"x"), other.delete(upload)):
                assert refused.status_code == 404
        assert state(client.head(upload)) == (204, "?0", "3")

    def test_a_lost_response_is_repeated(self, client: httpx.Client, blob_id: str) -> None:
        upload = begin(client, blob_id, b"abc")
        first = append(client, upload, 3, b"def", "?1")
        again = append(client, upload, 6, b"", "?1")
        assert state(again) == (204, "?1", "6")
        assert (again.headers["etag"], again.headers["location"]) == (first.headers["etag"], path_of(blob_id))
        assert append(client, upload, 6, b"g", "?1").status_code == 413
        assert read(client, blob_id).content == b"abcdef"


class TestDigests:
    @pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
    def test_of_a_request(self, client: httpx.Client, blob_id: str, algorithm: str) -> None:
        name = f"{algorithm[:3]}-{algorithm[3:]}"
        upload = begin(client, blob_id, b"abc", **{"Content-Digest": f"{name}=:{digest(b'abc', algorithm)}:"})
        wrong = {"Content-Digest": f"{name}=:{digest(b'other', algorithm)}:"}
        refused = append(client, upload, 3, b"def", "?1", **wrong)
        assert (state(refused)[:2], refused.json()["code"]) == ((400, "?0"), "digest_mismatch")
        assert state(client.head(upload)) == (204, "?0", "3")
        right = {"Content-Digest": f"{name}=:{digest(b'def', algorithm)}:"}
        assert state(append(client, upload, 3, b"def", "?1", **right)) == (201, "?1", "6")
        assert read(client, blob_id).content == b"abcdef"

    def test_a_wrong_first_one_leaves_no_upload(self, client: httpx.Client, blob_id: str) -> None:
        fields = {"Upload-Complete": "?0", "Content-Digest": f"sha-256=:{digest(b'other')}:"}
        refused = client.put(path_of(blob_id), content=b"abc", headers=fields)
        assert (refused.status_code, refused.json()["code"]) == (400, "digest_mismatch")
        assert not client.get("/v1/uploads", params={"prefix": blob_id}).json()["uploads"]

    def test_of_the_whole(self, client: httpx.Client, blob_id: str) -> None:
        for declared, status in ((b"abcdef", 201), (b"other", 400)):
            upload = begin(client, blob_id, b"abc", **{"Repr-Digest": f"sha-256=:{digest(declared)}:"})
            last = append(client, upload, 3, b"def", "?1")
            assert state(last)[:2] == (status, "?1"), last.text
            assert (client.head(upload).status_code, state(client.head(upload))[1]) in ((204, "?1"), (400, "?1"))
        assert last.json()["code"] == "digest_mismatch"

    @pytest.mark.parametrize("value", ["sha-256=:YQ==:", "sha-512=:YQ==:", "sha-256=abc"])
    def test_malformed_ones(self, client: httpx.Client, blob_id: str, value: str) -> None:
        fields = {"Upload-Complete": "?0", "Content-Digest": value}
        assert client.put(path_of(blob_id), content=b"x", headers=fields).status_code == 400


def send_some(server: Server, head: str, data: bytes, length: int, **fields: str) -> socket.socket:
    """Send the beginning of a body once the server reads it, and leave the connection open."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    connection = server.connect()
    connection.settimeout(PATIENCE)
    connection.sendall(request(head, f"{AUTH}{lines}Expect: 100-continue\r\nContent-Length: {length}\r\n"))
    assert connection.recv(64).startswith(b"HTTP/1.1 100 ")
    connection.sendall(data)
    return connection


def await_bytes_in(client: httpx.Client, prefix: str) -> None:
    """Wait until the server has begun to write bytes for an upload."""
    deadline = time.monotonic() + PATIENCE
    while not client.get("/v1/uploads", params={"prefix": prefix}).json()["uploads"]:
        assert time.monotonic() < deadline


class TestBrokenConnections:
    DATA = bytes(range(256)) * 4 * KIB  # 1 MiB

    def test_what_has_arrived_is_kept(self, server: Server, client: httpx.Client, blob_id: str) -> None:
        upload = begin(client, blob_id, b"", **{"Upload-Length": str(len(self.DATA))})
        sent = 700 * KIB
        fields = {"Upload-Offset": "0", "Upload-Complete": "?1", **PARTIAL}
        with send_some(server, f"PATCH {upload}", self.DATA[:sent], len(self.DATA), **fields):
            pass
        # Unlike HEAD, this does not end the request, which may not have been read yet.
        server.wait_until(lambda: client.get(upload).json()["received"] > 0)
        offset = int(client.head(upload).headers["upload-offset"])
        assert 0 < offset <= sent
        assert state(client.head(upload)) == (204, "?0", str(offset))
        last = append(client, upload, offset, self.DATA[offset:], "?1")
        assert state(last) == (201, "?1", str(len(self.DATA)))
        assert read(client, blob_id).content == self.DATA

    @pytest.mark.parametrize("method", ["HEAD", "PATCH"])
    def test_a_request_ends_the_dead_one_before_it(
        self, server: Server, client: httpx.Client, blob_id: str, method: str
    ) -> None:
        upload = begin(client, blob_id, b"abc")
        fields = {"Upload-Offset": "3", "Upload-Complete": "?0", **PARTIAL}
        with send_some(server, f"PATCH {upload}", b"def", 100, **fields) as dead:
            offset = int(client.head(upload).headers["upload-offset"]) if method == "HEAD" else 3
            if method == "PATCH":  # it finds either the bytes of the other one, or none
                found = append(client, upload, 3, b"def")
                assert found.status_code in (204, 409), found.text
                offset = int(found.headers["upload-offset"])
            assert offset in (3, 6)
            with dead.makefile("rb") as stream:
                refused = answer(stream, "PATCH")
            assert refused.status == 409, refused.body
            assert refused.headers["upload-complete"] == "?0"
            if method == "HEAD":
                assert json.loads(refused.body)["code"] == "interrupted"
        assert state(append(client, upload, offset, b"abcdefghi"[offset:], "?1")) == (201, "?1", "9")
        assert read(client, blob_id).content == b"abcdefghi"

    def test_a_cancelled_one_is_not_published(self, server: Server, client: httpx.Client, blob_id: str) -> None:
        upload = begin(client, blob_id, b"abc")
        fields = {"Upload-Offset": "3", "Upload-Complete": "?1", **PARTIAL}
        with send_some(server, f"PATCH {upload}", b"def", 9, **fields) as connection:
            assert client.delete(upload).status_code == 204
            connection.sendall(b"ghijkl")
            with connection.makefile("rb") as stream:
                assert answer(stream, "PATCH").status == 404
        assert client.get(path_of(blob_id)).status_code == 404

    def test_a_creation_that_breaks_off_can_be_found(self, server: Server, client: httpx.Client, blob_id: str) -> None:
        with send_some(server, f"PUT {path_of(blob_id)}", b"abc", 10, **{"Upload-Complete": "?0"}):
            await_bytes_in(client, blob_id)
        [found] = client.get("/v1/uploads", params={"prefix": blob_id}).json()["uploads"]
        deadline = time.monotonic() + PATIENCE
        while client.head(f"/v1/uploads/{found['upload']}").headers["upload-offset"] != "3":
            assert time.monotonic() < deadline
        assert state(append(client, f"/v1/uploads/{found['upload']}", 3, b"d", "?1")) == (201, "?1", "4")


class TestOtherInterfaces:
    def test_an_upload_that_was_begun_in_json(self, client: httpx.Client, blob_id: str) -> None:
        key = client.post("/v1/uploads", json={"id": blob_id}).json()["upload"]
        upload = f"/v1/uploads/{key}"
        assert client.put(f"{upload}/1", content=b"abc").status_code == 200
        assert state(client.head(upload)) == (204, "?0", "3")
        assert state(append(client, upload, 3, b"def")) == (204, "?0", "6")
        refused = append(client, upload, 6, b"ghi", "?1")
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parts")
        plain = client.patch(upload, content=b"ghi", headers={"Upload-Offset": "6"})
        assert (plain.status_code, plain.json()["received"]) == (200, 9)
        put = {"put": {"id": blob_id, "upload": key}}
        assert client.post("/v1/commits", json={"operations": [put]}).status_code == 200
        assert read(client, blob_id).content == b"abcdefghi"

    def test_the_offset_ends_no_writer_of_a_part(self, server: Server, client: httpx.Client, blob_id: str) -> None:
        upload = f"/v1/uploads/{client.post('/v1/uploads', json={'id': blob_id}).json()['upload']}"
        with send_some(server, f"PUT {upload}/1", b"abc", 6) as connection:
            for _ in range(3):
                assert state(client.head(upload)) == (204, "?0", "0")
                assert state(append(client, upload, 1, b"x"))[0] == 409
            connection.sendall(b"def")
            with connection.makefile("rb") as stream:
                assert answer(stream, "PUT").status == 200
        assert client.head(upload).headers["upload-offset"] == "6"

    def test_the_list_has_it_and_parts_are_shown(self, client: httpx.Client, blob_id: str) -> None:
        upload = begin(client, blob_id, b"abc")
        append(client, upload, 3, b"de")
        [listed] = client.get("/v1/uploads", params={"prefix": blob_id}).json()["uploads"]
        assert (f"/v1/uploads/{listed['upload']}", listed["received"]) == (upload, 5)
        assert [part["size"] for part in client.get(upload).json()["parts"]] == [3, 2]

    @pytest.mark.parametrize("last", [b"", b"def"])
    def test_a_commit_does_not_publish_it(self, client: httpx.Client, blob_id: str, last: bytes) -> None:
        declared = {"Repr-Digest": f"sha-256=:{digest(b'other')}:", "If-None-Match": "*"}
        upload = begin(client, blob_id, b"abc", **declared)
        if last:
            refused = append(client, upload, 3, last, "?1")
            assert (refused.status_code, refused.json()["code"]) == (400, "digest_mismatch")
        put = {"put": {"id": blob_id, "upload": upload.rpartition("/")[2]}}
        refused = client.post("/v1/commits", json={"operations": [put]})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parts")
        assert "its last bytes publish it" in refused.json()["detail"]
        assert read(client, blob_id).status_code == 404

    def test_parts_by_number_and_plain_appends_are_refused(self, client: httpx.Client, blob_id: str) -> None:
        upload = begin(client, blob_id, b"abc")
        for refused in (
            client.put(f"{upload}/1", content=b"XYZ"),
            client.put(f"{upload}/2", content=b"XYZ"),
            client.patch(upload, content=b"XYZ", headers={"Upload-Offset": "3"}),
        ):
            assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parts")
        assert state(append(client, upload, 3, b"def", "?1")) == (201, "?1", "6")
        assert read(client, blob_id).content == b"abcdef"

    def test_s3_neither_sends_its_parts_nor_completes_it(self, server: Server, client: httpx.Client) -> None:
        s3, bucket = s3_client(server), f"ietf-{next(NUMBERS)}"
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="source", Body=b"XYZ")
        upload = begin(client, f"{bucket}/key", b"abc", **{"If-None-Match": "*"})
        named = {"Bucket": bucket, "Key": "key", "UploadId": upload.rpartition("/")[2]}
        etag = f'"{"0" * 32}"'
        for send, more in (
            (s3.upload_part, {"PartNumber": 1, "Body": b"XYZ"}),
            (s3.upload_part_copy, {"PartNumber": 1, "CopySource": f"{bucket}/source"}),
            (s3.complete_multipart_upload, {"MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": etag}]}}),
        ):
            with pytest.raises(ClientError) as error:
                send(**named, **more)
            assert s3_refusal(error.value) == (400, "InvalidPart")
            assert "its last bytes publish it" in error.value.response["Error"]["Message"]
        assert state(append(client, upload, 3, b"def", "?1")) == (201, "?1", "6")

    def test_s3_lists_it(self, server: Server, client: httpx.Client) -> None:
        s3, bucket = s3_client(server), f"ietf-{next(NUMBERS)}"
        s3.create_bucket(Bucket=bucket)
        upload = begin(client, f"{bucket}/key", b"abc")
        [listed] = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
        assert (listed["Key"], listed["UploadId"]) == ("key", upload.rpartition("/")[2])
        [part] = s3.list_parts(Bucket=bucket, Key="key", UploadId=listed["UploadId"])["Parts"]
        assert (part["PartNumber"], part["Size"]) == (1, 3)
        client.delete(upload)


class TestVersions:
    def test_limits_are_announced(self, client: httpx.Client, blob_id: str) -> None:
        upload = begin(client, blob_id)
        for path in (path_of(blob_id), "/v1/uploads", upload):
            found = client.options(path)
            assert (found.status_code, found.headers["upload-limit"]) == (204, f"max-size={MAX_SIZE}")
        assert "upload-limit" not in client.options("/v1/keys").headers

    @pytest.mark.parametrize(("version", "age"), [("6", "expires"), ("8", "max-age")])
    def test_known_versions_are_returned(self, client: httpx.Client, blob_id: str, version: str, age: str) -> None:
        client.headers["Upload-Draft-Interop-Version"] = version
        try:
            upload = begin(client, blob_id, b"a")
            for found in (client.head(upload), append(client, upload, 1, b"b"), append(client, upload, 2, b"", "?1")):
                assert found.headers["upload-draft-interop-version"] == version
                assert found.status_code == 201 or f", {age}=" in found.headers["upload-limit"]
        finally:
            del client.headers["Upload-Draft-Interop-Version"]

    def test_the_requests_of_tus_js_client(self, client: httpx.Client, blob_id: str) -> None:
        """`protocol: 'ietf-draft-05'` (lib/upload.ts), with chunks of 4 bytes: it goes by Upload-Offset only."""
        fields = {"Upload-Draft-Interop-Version": "6"}
        begun = client.post(
            "/v1/uploads",
            params={"id": blob_id},
            headers={**fields, "Upload-Length": "10", "Upload-Metadata": "filename YQ==", "Upload-Complete": "?0"},
        )
        assert begun.is_success
        upload, data, offset = begun.headers["location"], b"0123456789", 0
        while offset < len(data):
            end = min(offset + 4, len(data))
            more = {**fields, "Upload-Offset": str(offset), "Upload-Complete": "?1" if end == len(data) else "?0"}
            sent = client.patch(upload, content=data[offset:end], headers={**more, **PARTIAL})
            assert (sent.is_success, int(sent.headers["upload-offset"])) == (True, end)
            offset = end
        resumed = client.head(upload, headers=fields)
        assert (resumed.headers["upload-offset"], resumed.headers["upload-length"]) == ("10", "10")
        assert read(client, blob_id).content == data
        empty = client.post(
            "/v1/uploads", params={"id": blob_id}, headers={**fields, "Upload-Length": "0", "Upload-Complete": "?0"}
        )
        assert (empty.is_success, "location" in empty.headers) == (True, True)
        assert read(client, blob_id).content == b""


def test_pages_may_read_the_fields(tmp_path: Any) -> None:
    with Server(tmp_path, CORS_ORIGINS="http://app.example") as server, server.client() as client:
        origin = {"Origin": "http://app.example"}
        asked = "upload-complete, upload-offset, upload-length, content-digest, upload-draft-interop-version"
        preflight = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": asked}
        allowed = client.options("/v1/uploads/" + "0" * 32, headers={**origin, **preflight}).headers
        assert allowed["access-control-allow-headers"] == asked
        assert "PATCH" in allowed["access-control-allow-methods"]
        exposed = client.put(path_of("a"), content=b"", headers={**origin, "Upload-Complete": "?0"}).headers
        listed = exposed["access-control-expose-headers"].lower().split(", ")
        assert {"upload-offset", "upload-complete", "upload-length", "upload-limit"} <= {*listed}

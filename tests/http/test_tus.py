"""The tus interface: each header and error of tus 1.0, clients that vanish, joined uploads, and the resulting blobs."""

import base64
import hashlib
import itertools
import socket
import sqlite3
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest

from domain.properties import MAX_METADATA_BYTES
from entrypoints.http.tus.upload_metadata import MAX_HEADER
from tests.http.server import PATIENCE, UNVERIFIED, Server
from tests.http.wire import AUTH, TOKEN, answer, ask_once, request

NUMBERS = itertools.count()
TUS = {"Tus-Resumable": "1.0.0"}
STREAM = "application/offset+octet-stream"
EXTENSIONS = (
    "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination,concatenation,"
    "concatenation-unfinished"
)


@pytest.fixture
def blob_id() -> str:
    """An id that no other test uses."""
    return f"tus/{next(NUMBERS)} ü"


@pytest.fixture(scope="module")
def tus(server: Server) -> Iterator[httpx.Client]:
    with client_of(server) as client:
        yield client


def client_of(server: Server, token: str = TOKEN) -> httpx.Client:
    """A client of this interface, which the document does not describe."""
    headers = {"Authorization": f"Bearer {token}", **TUS}
    return httpx.Client(base_url=server.url, headers=headers, timeout=PATIENCE, verify=UNVERIFIED)


def encoded(value: str | bytes) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def metadata(**pairs: str | bytes) -> str:
    return ",".join(f"{key.replace('_', '-')} {encoded(value)}" for key, value in pairs.items())


def create(tus: httpx.Client, length: int | None = None, content: bytes = b"", **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if length is not None:
        sent["Upload-Length"] = str(length)
    if content:
        sent["Content-Type"] = STREAM
    return tus.post("/v1/tus", headers=sent, content=content)


def created(tus: httpx.Client, length: int | None = None, content: bytes = b"", **headers: str) -> str:
    """The URL of a new upload."""
    response = create(tus, length, content, **headers)
    assert response.status_code == 201, response.text
    assert response.headers["tus-resumable"] == "1.0.0"
    return response.headers["location"]


def patch(tus: httpx.Client, url: str, offset: int, content: Any, **headers: str) -> httpx.Response:
    sent = {"Content-Type": STREAM, "Upload-Offset": str(offset)}
    return tus.patch(url, content=content, headers=sent | {k.replace("_", "-"): v for k, v in headers.items()})


def refusal(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["tus-resumable"] == "1.0.0"
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    return response.status_code, response.text.strip()


def fetch(tus: httpx.Client, blob_id: str) -> httpx.Response:
    return tus.get(f"/v1/blobs/{quote(blob_id, safe='')}?alt=media")


class TestUploads:
    def test_from_creation_to_the_blob(self, tus: httpx.Client, server: Server, blob_id: str) -> None:
        named = metadata(filename=blob_id, filetype="text/plain", Author="Ada ü")
        response = create(tus, 6, Upload_Metadata=named)
        url = response.headers["location"]
        assert url.startswith(f"{server.url}/v1/tus/")
        assert response.headers["upload-expires"].endswith(" GMT")
        first = patch(tus, url, 0, b"abc")
        assert (first.status_code, first.headers["upload-offset"]) == (204, "3")
        assert first.headers["upload-expires"].endswith(" GMT")
        assert "location" not in first.headers
        head = tus.head(url)
        assert (head.status_code, head.headers["cache-control"]) == (200, "no-store")
        shown = {name: head.headers[f"upload-{name}"] for name in ("offset", "length", "metadata")}
        assert shown == {"offset": "3", "length": "6", "metadata": named}
        assert fetch(tus, blob_id).status_code == 404
        last = patch(tus, url, 3, b"def")
        assert (last.status_code, last.headers["upload-offset"]) == (204, "6")
        assert "upload-expires" not in last.headers
        blob = tus.get(f"{last.headers['location']}?alt=media")
        assert (blob.content, blob.headers["etag"]) == (b"abcdef", last.headers["etag"])
        assert (blob.headers["content-type"], blob.headers["x-meta-author"]) == ("text/plain", "Ada %C3%BC")
        assert last.headers["location"] == f"/v1/blobs/{quote(blob_id, safe='')}"
        again = tus.head(url)
        assert (again.headers["upload-offset"], again.headers["upload-length"]) == ("6", "6")
        assert (again.headers["content-location"], again.headers["etag"]) == (
            last.headers["location"],
            last.headers["etag"],
        )

    def test_bytes_with_the_creation(self, tus: httpx.Client, blob_id: str) -> None:
        some = create(tus, 6, b"abc", Upload_Metadata=metadata(id=f"{blob_id}/1"))
        assert (some.status_code, some.headers["upload-offset"]) == (201, "3")
        assert patch(tus, some.headers["location"], 3, b"def").status_code == 204
        response = create(tus, 6, b"abcdef", Upload_Metadata=metadata(id=blob_id))
        assert (response.status_code, response.headers["upload-offset"]) == (201, "6")
        blob = tus.get(f"{response.headers['content-location']}?alt=media")
        assert (blob.content, blob.headers["etag"]) == (b"abcdef", response.headers["etag"])
        assert fetch(tus, f"{blob_id}/1").content == b"abcdef"

    def test_an_empty_blob(self, tus: httpx.Client, blob_id: str) -> None:
        response = create(tus, 0, Upload_Metadata=metadata(id=blob_id))
        assert (response.status_code, response.headers["upload-offset"]) == (201, "0")
        assert fetch(tus, blob_id).content == b""

    def test_a_length_that_comes_later(self, tus: httpx.Client, blob_id: str) -> None:
        url = created(tus, Upload_Defer_Length="1", Upload_Metadata=metadata(id=blob_id))
        assert patch(tus, url, 0, iter([b"ab", b"c"])).headers["upload-offset"] == "3"
        head = tus.head(url)
        assert head.headers["upload-defer-length"] == "1"
        assert "upload-length" not in head.headers
        assert patch(tus, url, 3, b"d", Upload_Length="5").status_code == 204
        assert refusal(patch(tus, url, 4, b"e", Upload_Length="6"))[0] == 400
        assert tus.head(url).headers["upload-length"] == "5"
        assert patch(tus, url, 4, b"e").status_code == 204
        assert fetch(tus, blob_id).content == b"abcde"

    def test_termination(self, tus: httpx.Client, blob_id: str) -> None:
        url = created(tus, 6, b"abc")
        assert tus.delete(url).status_code == 204
        assert tus.head(url).status_code == 404
        assert refusal(patch(tus, url, 3, b"def"))[0] == 404
        finished = created(tus, 3, b"abc", Upload_Metadata=metadata(id=blob_id))
        assert tus.delete(finished).status_code == 204
        assert fetch(tus, blob_id).content == b"abc"

    def test_methods_that_a_client_can_not_send(self, tus: httpx.Client) -> None:
        url = created(tus, 6)
        headers = {"X-HTTP-Method-Override": "PATCH", "Content-Type": STREAM, "Upload-Offset": "0"}
        assert tus.post(url, headers=headers, content=b"abc").headers["upload-offset"] == "3"
        assert tus.post(url, headers={"X-HTTP-Method-Override": "DELETE"}).status_code == 204
        assert tus.head(url).status_code == 404

    def test_an_endpoint_with_a_slash_at_its_end(self, tus: httpx.Client) -> None:
        assert tus.post("/v1/tus/", headers={"Upload-Length": "3"}).status_code == 201

    def test_the_scheme_behind_a_proxy(self, tus: httpx.Client) -> None:
        assert created(tus, 3, X_Forwarded_Proto="https").startswith("https://")


class TestOptions:
    @pytest.mark.parametrize("path", ["/v1/tus", "/v1/tus/", "/v1/tus/0123456789abcdef0123456789abcdef"])
    def test_no_credential_is_needed(self, server: Server, path: str) -> None:
        response = httpx.options(f"{server.url}{path}")
        assert response.status_code == 200
        assert {name: value for name, value in response.headers.items() if name.startswith("tus-")} == {
            "tus-resumable": "1.0.0",
            "tus-version": "1.0.0",
            "tus-extension": EXTENSIONS,
            "tus-max-size": str(5 * 1024**3),
            "tus-checksum-algorithm": "sha1,sha256,crc32,md5",
        }

    def test_pages_may_read_what_a_client_needs(self, tmp_path: Path) -> None:
        with Server(tmp_path, CORS_ORIGINS="https://app.example") as server, client_of(server) as tus:
            asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "PATCH"}
            names = "authorization, tus-resumable, upload-offset"
            preflight = httpx.options(
                f"{server.url}/v1/tus/a", headers={**asked, "Access-Control-Request-Headers": names}
            )
            assert (preflight.status_code, preflight.headers["access-control-allow-headers"]) == (204, names)
            assert "PATCH" in preflight.headers["access-control-allow-methods"]
            exposed = create(tus, 3, Origin="https://app.example").headers["access-control-expose-headers"].lower()
            for name in ("location", "upload-offset", "upload-length", "upload-metadata", "tus-version"):
                assert name in exposed.split(", ")


SHA1 = f"sha1 {encoded(hashlib.sha1(b'abc', usedforsecurity=False).digest())}"


class TestChecksums:
    @pytest.mark.parametrize(
        "checksum",
        [
            SHA1,
            f"sha256 {encoded(hashlib.sha256(b'abc').digest())}",
            f"md5 {encoded(hashlib.md5(b'abc', usedforsecurity=False).digest())}",
            f"crc32 {encoded(zlib.crc32(b'abc').to_bytes(4, 'big'))}",
        ],
    )
    def test_each_algorithm(self, tus: httpx.Client, checksum: str) -> None:
        url = created(tus, 6)
        status, text = refusal(patch(tus, url, 0, b"abd", Upload_Checksum=checksum))
        assert (status, checksum.split()[0] in text) == (460, True)
        assert tus.head(url).headers["upload-offset"] == "0"
        assert patch(tus, url, 0, b"abc", Upload_Checksum=checksum).headers["upload-offset"] == "3"

    @pytest.mark.parametrize("checksum", ["sha512 AAAA", "sha1", "sha1 !", "SHA1 AAAA", "", f"sha1 {'A' * 1000}"])
    def test_what_is_no_checksum(self, tus: httpx.Client, checksum: str) -> None:
        url = created(tus, 6)
        status, _ = refusal(patch(tus, url, 0, b"abc", Upload_Checksum=checksum))
        assert status == (460 if checksum == "sha1" else 400)
        assert tus.head(url).headers["upload-offset"] == "0"

    def test_bytes_with_the_creation(self, tus: httpx.Client, blob_id: str) -> None:
        named = metadata(id=blob_id)
        assert refusal(create(tus, 3, b"abd", Upload_Checksum=SHA1, Upload_Metadata=named))[0] == 460
        # The client does not know the upload, so nothing is left of it.
        assert tus.get("/v1/uploads", params={"prefix": blob_id}).json()["uploads"] == []
        assert create(tus, 3, b"abc", Upload_Checksum=SHA1, Upload_Metadata=named).status_code == 201
        assert fetch(tus, blob_id).content == b"abc"

    def test_a_body_that_breaks_off_is_discarded(self, tus: httpx.Client, server: Server) -> None:
        url = created(tus, 6)
        with server.connect() as connection:
            connection.sendall(appending(url, 0, f"Content-Length: 3\r\nUpload-Checksum: {SHA1}\r\n", b"ab"))
        assert tus.head(url).headers["upload-offset"] == "0"

    def test_a_trailer_is_refused_because_the_http_server_drops_it(self, tus: httpx.Client, server: Server) -> None:
        url = created(tus, 6)
        body = b"3\r\nabc\r\n0\r\nUpload-Checksum: sha1 AAAA\r\n\r\n"
        headers = "Transfer-Encoding: chunked\r\nTrailer: X-Other, Upload-Checksum\r\n"
        with server.connect() as connection:
            refused = ask_once(connection, appending(url, 0, headers, body))
        assert (refused.status, b"as a header" in refused.body) == (400, True)
        assert tus.head(url).headers["upload-offset"] == "0"


def appending(url: str, offset: int, headers: str, body: bytes) -> bytes:
    """A request that appends, written by hand."""
    own = f"{AUTH}Tus-Resumable: 1.0.0\r\nContent-Type: {STREAM}\r\nUpload-Offset: {offset}\r\n"
    return request(f"PATCH {urlsplit(url).path}", own + headers, body)


class TestBrokenConnections:
    def test_what_arrived_is_kept(self, tus: httpx.Client, server: Server, blob_id: str) -> None:
        url = created(tus, 1_000_000, Upload_Metadata=metadata(id=blob_id))
        data = bytes(range(250)) * 4000
        with server.connect() as connection:
            connection.sendall(appending(url, 0, "Content-Length: 1000000\r\n", data[:400_000]))
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(PATIENCE)
            connection.recv(1000)
        offset = int(tus.head(url).headers["upload-offset"])
        assert 0 < offset <= 400_000
        assert patch(tus, url, offset, data[offset:]).status_code == 204
        assert fetch(tus, blob_id).content == data

    def test_a_client_goes_on_while_its_dead_connection_is_open(
        self, tus: httpx.Client, server: Server, blob_id: str
    ) -> None:
        url = created(tus, 9, Upload_Metadata=metadata(id=blob_id))
        with server.connect() as dead, dead.makefile("rb") as stream:
            dead.sendall(appending(url, 0, "Content-Length: 9\r\nExpect: 100-continue\r\n", b""))
            assert answer(stream).status == 100
            dead.sendall(b"abcd")
            offset = int(tus.head(url).headers["upload-offset"])
            assert offset in (0, 4)
            ended = answer(stream)
            assert (ended.status, ended.headers["tus-resumable"]) == (423, "1.0.0")
            assert patch(tus, url, offset, b"abcdefghi"[offset:]).status_code == 204
        assert fetch(tus, blob_id).content == b"abcdefghi"

    def test_a_slow_client_may_go_on(self, tmp_path: Path) -> None:
        with Server(tmp_path, CLIENT_TIMEOUT="1") as server, client_of(server) as tus:
            url = created(tus, 6)
            with server.connect() as connection:
                refused = ask_once(connection, appending(url, 0, "Content-Length: 6\r\n", b"abc"))
            assert (refused.status, refused.headers["tus-resumable"]) == (503, "1.0.0")
            assert tus.head(url).headers["upload-offset"] == "3"


class TestConcatenation:
    def partial(self, tus: httpx.Client, content: bytes, length: int | None = None) -> str:
        return created(tus, len(content) if length is None else length, content, Upload_Concat="partial")

    def test_partial_uploads_become_one_blob(self, tus: httpx.Client, blob_id: str) -> None:
        first, second = self.partial(tus, b"abc"), self.partial(tus, b"defg")
        assert tus.head(first).headers["upload-concat"] == "partial"
        joins = f"final;{urlsplit(second).path} {first}"
        response = create(tus, Upload_Concat=joins, Upload_Metadata=metadata(filename=blob_id))
        assert (response.status_code, response.headers["upload-offset"]) == (201, "7")
        url = response.headers["location"]
        assert tus.get(f"{response.headers['content-location']}?alt=media").content == b"defgabc"
        head = tus.head(url).headers
        assert (head["upload-concat"], head["upload-offset"], head["upload-length"]) == (joins, "7", "7")
        assert refusal(patch(tus, url, 7, b"x"))[0] == 403
        assert fetch(tus, blob_id).content == b"defgabc"

    def test_partial_uploads_that_are_not_finished(self, tus: httpx.Client, blob_id: str) -> None:
        first, second = self.partial(tus, b"ab", 3), self.partial(tus, b"de")
        url = created(tus, Upload_Concat=f"final;{first} {second}", Upload_Metadata=metadata(id=blob_id))
        head = tus.head(url).headers
        assert (head["upload-offset"], head["upload-length"]) == ("4", "5")
        assert "upload-defer-length" not in head
        assert refusal(patch(tus, url, 4, b"x"))[0] == 403
        assert fetch(tus, blob_id).status_code == 404
        assert patch(tus, first, 2, b"c").status_code == 204
        assert fetch(tus, blob_id).content == b"abcde"
        assert tus.head(url).headers["upload-offset"] == "5"

    def test_a_final_upload_gets_bytes_from_its_partial_ones_only(self, tus: httpx.Client, blob_id: str) -> None:
        first, second = self.partial(tus, b"ab", 3), self.partial(tus, b"de")
        url = created(tus, Upload_Concat=f"final;{first} {second}", Upload_Metadata=metadata(id=blob_id))
        plain = f"/v1/uploads/{url.rpartition('/')[2]}"
        for refused in (
            tus.put(f"{plain}/1", content=b"ZZZ"),
            tus.patch(plain, content=b"ZZZ", headers={"Upload-Offset": "0"}),
            tus.put(f"/v1/uploads/{first.rpartition('/')[2]}/1", content=b"ZZZ"),
        ):
            assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parts"), refused.text
        assert patch(tus, first, 2, b"c").status_code == 204
        assert fetch(tus, blob_id).content == b"abcde"

    def test_the_draft_goes_on_with_an_upload_of_tus(self, tus: httpx.Client, blob_id: str) -> None:
        plain = f"/v1/uploads/{created(tus, 6, b'abc', Upload_Metadata=metadata(id=blob_id)).rpartition('/')[2]}"
        fields = {"Upload-Offset": "3", "Upload-Complete": "?1", "Content-Type": "application/partial-upload"}
        assert tus.patch(plain, content=b"def", headers=fields).status_code == 201
        assert fetch(tus, blob_id).content == b"abcdef"

    @pytest.mark.parametrize("is_repeated", [False, True])
    def test_the_draft_goes_on_with_a_partial_upload(self, tus: httpx.Client, blob_id: str, is_repeated: bool) -> None:
        first, second = self.partial(tus, b"ab", 3), self.partial(tus, b"de")
        created(tus, Upload_Concat=f"final;{first} {second}", Upload_Metadata=metadata(id=blob_id))
        plain = f"/v1/uploads/{first.rpartition('/')[2]}"
        fields = {"Upload-Offset": "2", "Upload-Complete": "?1", "Content-Type": "application/partial-upload"}
        last = tus.patch(plain, content=b"c", headers=fields)
        if is_repeated:
            last = tus.patch(plain, content=b"", headers={**fields, "Upload-Offset": "3"})
        assert (last.status_code, last.headers["upload-complete"], last.headers["upload-offset"]) == (204, "?1", "3")
        assert fetch(tus, blob_id).content == b"abcde"

    def test_a_length_that_is_not_known_yet(self, tus: httpx.Client) -> None:
        partial = created(tus, Upload_Concat="partial", Upload_Defer_Length="1")
        head = tus.head(created(tus, Upload_Concat=f"final;{partial}")).headers
        assert {"upload-length", "upload-defer-length"}.isdisjoint(head)

    @pytest.mark.parametrize(
        ("value", "status"),
        [
            ("final;", 400),
            ("final", 400),
            ("Partial", 400),
            ("final;/v1/tus/unknown", 404),
            ("final;/elsewhere/0123456789abcdef0123456789abcdef", 404),
            ("final;http://[/v1/tus/0123456789abcdef0123456789abcdef", 404),
            ("final;/v1/tus/0123456789abcdef0123456789abcdef", 404),
            (f"final;{' a' * 1001}", 400),
        ],
    )
    def test_what_can_not_be_joined(self, tus: httpx.Client, value: str, status: int) -> None:
        assert refusal(create(tus, Upload_Concat=value))[0] == status

    def test_what_a_final_upload_has_not(self, tus: httpx.Client) -> None:
        joins = f"final;{self.partial(tus, b'abc')}"
        assert refusal(create(tus, 3, Upload_Concat=joins))[0] == 400
        assert refusal(create(tus, Upload_Concat=joins, Upload_Defer_Length="1"))[0] == 400
        assert refusal(create(tus, None, b"abc", Upload_Concat=joins))[0] == 400
        assert refusal(create(tus, Upload_Concat=f"{joins} {joins.removeprefix('final;')}"))[0] == 400
        assert refusal(create(tus, Upload_Concat=f"final;{created(tus, 3)}"))[0] == 400


class TestMetadata:
    def test_the_first_of_the_keys_names_the_blob(self, tus: httpx.Client, blob_id: str) -> None:
        url = created(tus, 0, Upload_Metadata=metadata(filename="f", path=f"{blob_id}/p", id=blob_id))
        assert tus.head(url).headers["content-location"] == f"/v1/blobs/{quote(blob_id, safe='')}"
        blob = fetch(tus, blob_id)
        assert (blob.headers["x-meta-filename"], "x-meta-id" in blob.headers) == ("f", False)
        created(tus, 0, Upload_Metadata=metadata(filename="f", path=f"{blob_id}/p"))
        assert fetch(tus, f"{blob_id}/p").headers["x-meta-filename"] == "f"

    def test_without_a_name_the_blob_has_the_key_of_the_upload(self, tus: httpx.Client) -> None:
        for named in ("", "filename", "is_draft"):
            url = created(tus, 3, b"abc", **({"Upload_Metadata": named} if named else {}))
            assert fetch(tus, url.rpartition("/")[2]).content == b"abc"

    def test_what_can_not_be_user_metadata_comes_back_all_the_same(self, tus: httpx.Client, blob_id: str) -> None:
        pairs = [f"id {encoded(blob_id)}", "draft", "bad/name YQ==", f"binary {encoded(bytes([0, 255]))}"]
        pairs += [
            f"A {encoded('1')}",
            f"a {encoded('2')}",
            f"large {encoded('x' * (MAX_METADATA_BYTES - 8))}",
            "b YQ==",
        ]
        url = created(tus, 0, Upload_Metadata=",".join(pairs))
        assert tus.head(url).headers["upload-metadata"] == ",".join(pairs)
        found = {name: value for name, value in fetch(tus, blob_id).headers.items() if name.startswith("x-meta-")}
        assert found == {"x-meta-draft": "", "x-meta-a": "1", "x-meta-b": "a"}

    @pytest.mark.parametrize(
        ("header", "text"),
        [
            ("filename a!", "a value for 'filename' that is not base64"),
            ("filename YQ", "a value for 'filename' that is not base64"),
            ("a YQ==,b YQ==,a Yg==", "the key 'a' twice"),
            ("a YQ==,,b YQ==", "an empty key"),
            (f"filename {encoded(bytes([255]))}", "'filename' in Upload-Metadata is not UTF-8"),
            (f"filename {encoded('a' * 3000)}", "2,048 bytes"),
            (f"filetype {encoded('nothing')}", "not a media type"),
            (f"if-match {encoded('tag')}", "entity tags"),
            (f"a {'A' * MAX_HEADER}", "12,288"),
        ],
    )
    def test_what_is_malformed(self, tus: httpx.Client, header: str, text: str) -> None:
        status, detail = refusal(create(tus, 3, Upload_Metadata=header))
        assert (status, text in detail) == (400, True), detail

    def test_a_blob_is_not_replaced_unless_its_version_is_named(self, tus: httpx.Client, blob_id: str) -> None:
        named = metadata(id=blob_id)
        late = created(tus, 3, Upload_Metadata=named)
        etag = create(tus, 3, b"old", Upload_Metadata=named).headers["etag"]
        assert refusal(create(tus, 3, b"new", Upload_Metadata=named))[0] == 412
        response = patch(tus, late, 0, b"new")
        assert refusal(response)[0] == 412
        assert "tus-version" not in response.headers
        assert refusal(create(tus, 3, Upload_Metadata=named, If_Match='"other"'))[0] == 412
        replaced = create(tus, 3, b"new", Upload_Metadata=named, If_Match=etag)
        assert (replaced.status_code, fetch(tus, blob_id).content) == (201, b"new")
        by_metadata = metadata(id=blob_id, if_match=replaced.headers["etag"])
        assert create(tus, 3, b"abc", Upload_Metadata=by_metadata).status_code == 201
        assert "x-meta-if-match" not in fetch(tus, blob_id).headers
        assert refusal(create(tus, 3, Upload_Metadata=by_metadata, If_Match='"other"'))[0] == 400


class TestRefusals:
    @pytest.mark.parametrize("version", [None, "0.2.2", "1.0.0, 1.0.0"])
    @pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE"])
    def test_another_version(self, server: Server, method: str, version: str | None) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"} | ({"Tus-Resumable": version} if version else {})
        response = httpx.request(method, f"{server.url}/v1/tus/a", headers=headers)
        assert response.status_code == 412
        assert (response.headers["tus-version"], response.headers["tus-resumable"]) == ("1.0.0", "1.0.0")

    @pytest.mark.parametrize("credential", [{}, {"Authorization": "Bearer wrong"}])
    def test_a_credential_is_needed(self, server: Server, credential: dict[str, str]) -> None:
        response = httpx.post(f"{server.url}/v1/tus", headers=credential | TUS)
        assert refusal(response)[0] == 401
        assert response.headers["www-authenticate"].startswith("Bearer")

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Upload-Length": "-1"},
            {"Upload-Length": "a"},
            {"Upload-Length": "1" * 20},
            {"Upload-Length": "1, 1"},
            {"Upload-Defer-Length": "2"},
            {"Upload-Length": "3", "Upload-Defer-Length": "1"},
        ],
    )
    def test_lengths(self, tus: httpx.Client, headers: dict[str, str]) -> None:
        assert refusal(tus.post("/v1/tus", headers=headers))[0] == 400

    def test_sizes(self, tus: httpx.Client) -> None:
        assert refusal(create(tus, 5 * 1024**3 + 1))[0] == 413
        url = created(tus, 3)
        assert refusal(patch(tus, url, 0, b"abcd"))[0] == 413
        assert refusal(patch(tus, url, 0, iter([b"abcd"])))[0] == 413
        assert refusal(create(tus, 3, b"abcd"))[0] == 413

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"Upload-Offset": "0"}, 415),
            ({"Upload-Offset": "0", "Content-Type": "text/plain"}, 415),
            ({"Content-Type": STREAM}, 400),
            ({"Content-Type": STREAM, "Upload-Offset": "x"}, 400),
            ({"Content-Type": STREAM, "Upload-Offset": "0", "Upload-Length": "x"}, 400),
            ({"Content-Type": STREAM, "Upload-Offset": "0", "Upload-Length": "7"}, 400),
        ],
    )
    def test_headers_of_bytes(self, tus: httpx.Client, headers: dict[str, str], status: int) -> None:
        url = created(tus, 6)
        assert refusal(tus.patch(url, content=b"abc", headers=headers))[0] == status
        assert tus.head(url).headers["upload-offset"] == "0"

    def test_another_offset(self, tus: httpx.Client) -> None:
        url = created(tus, 6, b"abc")
        for offset in (0, 2, 4):
            response = patch(tus, url, offset, b"x")
            assert refusal(response)[0] == 409
            assert response.headers["upload-offset"] == "3"

    def test_bytes_without_a_length(self, tus: httpx.Client, server: Server) -> None:
        with server.connect() as connection:
            assert ask_once(connection, appending(created(tus, 6), 0, "", b"")).status == 411

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("PATCH", "/v1/tus/0123456789abcdef0123456789abcdef", 404),
            ("PATCH", "/v1/tus/a/b", 404),
            ("DELETE", "/v1/tus/..", 404),
            ("GET", "/v1/tus/a", 405),
            ("PUT", "/v1/tus", 405),
            ("POST", "/v1/tus?a=1", 400),
        ],
    )
    def test_paths_and_methods(self, server: Server, method: str, path: str, status: int) -> None:
        headers = f"{AUTH}Tus-Resumable: 1.0.0\r\nContent-Type: {STREAM}\r\nUpload-Offset: 0\r\nContent-Length: 0\r\n"
        with server.connect() as connection:
            refused = ask_once(connection, request(f"{method} {path}", headers))
        assert (refused.status, refused.headers["tus-resumable"]) == (status, "1.0.0")
        assert ("allow" in refused.headers) == (status == 405)

    def test_a_path_that_only_begins_alike_is_none_of_these(self, tus: httpx.Client) -> None:
        response = tus.post("/v1/tusk")
        assert (response.status_code, "tus-resumable" in response.headers) == (404, False)


def test_a_key_reaches_its_own_prefix_only(tus: httpx.Client, server: Server, blob_id: str) -> None:
    body = {"name": "tus", "actions": ["write"], "prefixes": [f"{blob_id}/"]}
    token = tus.post("/v1/keys", json=body).json()["token"]
    with client_of(server, token) as own:
        url = created(own, 3, Upload_Metadata=metadata(id=f"{blob_id}/a"))
        assert patch(own, url, 0, b"abc").status_code == 204
        assert refusal(create(own, 3, Upload_Metadata=metadata(id="elsewhere")))[0] == 403
        unnamed = own.head(created(own, 0)).headers["content-location"]
        assert unnamed.startswith(f"/v1/blobs/{quote(f'{blob_id}/', safe='')}")
        other = created(tus, 3, Upload_Metadata=metadata(id=f"{blob_id}"))
        assert own.head(other).status_code == 404
        assert refusal(patch(own, other, 0, b"abc"))[0] == 404
        assert own.delete(other).status_code == 404


def test_an_upload_expires(own_server: Server) -> None:
    with client_of(own_server) as tus:
        response = create(tus, 6, b"abc")
        url, expires = response.headers["location"], parsedate_to_datetime(response.headers["upload-expires"])
        assert abs(expires - datetime.now(UTC) - timedelta(days=1)) < timedelta(seconds=PATIENCE)
        with sqlite3.connect(own_server.folder / "data" / "drivebay.db") as database:
            database.execute("UPDATE multipart_uploads SET expires_at = 1")
        database.close()
        assert tus.head(url).status_code == 404
        assert refusal(patch(tus, url, 3, b"def"))[0] == 404
        own_server.wait_until_left(0)


def test_more_requests_than_slots_are_refused_with_a_status_that_clients_retry(tmp_path: Path) -> None:
    with Server(tmp_path, MAX_REQUESTS="1") as server, client_of(server) as tus:
        url = created(tus, 6)
        with server.connect() as busy, busy.makefile("rb") as stream:
            busy.sendall(appending(url, 0, "Content-Length: 3\r\nExpect: 100-continue\r\n", b""))
            assert answer(stream).status == 100
            response = create(tus, 3)
            assert (refusal(response)[0], response.headers["retry-after"]) == (503, "5")
            busy.sendall(b"abc")
            assert answer(stream).status == 204


def test_requests_are_logged_by_their_route(own_server: Server) -> None:
    with client_of(own_server) as tus:
        url = created(tus, 3, X_Request_Id="made")
        patch(tus, url, 0, b"abc", X_Request_Id="sent")
        tus.head(f"{url}0", headers={"X-Request-Id": "none"})
    lines = [own_server.logged(each) for each in ("made", "sent", "none")]
    assert [(line["route"], line["status"]) for line in lines] == [
        ("/v1/tus", 201),
        ("/v1/tus/{upload}", 204),
        ("/v1/tus/{upload}", 404),
    ]
    assert lines[1]["bytes_in"] == 3

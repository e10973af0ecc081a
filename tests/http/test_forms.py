"""Blobs that are stored by forms: `POST /v1/blobs` as multipart/form-data."""

import itertools
import secrets
from pathlib import Path

import httpx
import pytest

from tests.contracts.blob_store import MIB, pattern
from tests.http.server import Server
from tests.http.wire import AUTH, answer, ask_once, request
from tests.ids import NASTY

NUMBERS = itertools.count()
# As a browser sends it: a text field, a file, and a name of a file that needs its escapes.
BROWSER = (
    "------WebKitFormBoundaryePkpFF7tjBAqx29L\r\n"
    'Content-Disposition: form-data; name="id"\r\n'
    "\r\n"
    "{}\r\n"
    "------WebKitFormBoundaryePkpFF7tjBAqx29L\r\n"
    'Content-Disposition: form-data; name="file"; filename="a%22; name=%22b é.png"\r\n'
    "Content-Type: image/png\r\n"
    "\r\n"
    "\x89PNG\r\n\x1a\n\r\n"
    "------WebKitFormBoundaryePkpFF7tjBAqx29L--\r\n"
)
FORM_TYPE = "Content-Type: multipart/form-data; boundary=----WebKitFormBoundaryePkpFF7tjBAqx29L\r\n"


@pytest.fixture
def blob_id() -> str:
    """An id that no other test uses."""
    return f"forms/☺ {next(NUMBERS)}"


def post(client: httpx.Client, blob_id: str, content: bytes, media_type: str = "text/plain") -> httpx.Response:
    return client.post("/v1/blobs", data={"id": blob_id}, files={"file": ("name", content, media_type)})


def bytes_of(client: httpx.Client, stored: httpx.Response) -> bytes:
    fetched = client.get(f"{stored.headers['location']}?alt=media")
    assert fetched.status_code == 200
    return fetched.content


@pytest.mark.parametrize("size", [0, 1, 1000, 3 * MIB + 1, 40 * MIB])
def test_what_was_posted_is_fetched(client: httpx.Client, blob_id: str, size: int) -> None:
    stored = post(client, blob_id, pattern(size), "image/png")
    assert stored.status_code == 201
    assert stored.json()["message"] == "Blob stored successfully"
    assert (stored.json()["id"], stored.json()["size"]) == (blob_id, size)
    assert bytes_of(client, stored) == pattern(size)
    assert client.head(f"{stored.headers['location']}?alt=media").headers["content-type"] == "image/png"


def test_the_file_may_come_first(client: httpx.Client, blob_id: str) -> None:
    stored = client.post("/v1/blobs", files=[("file", ("name", pattern(3 * MIB))), ("id", (None, blob_id))])
    assert (stored.status_code, stored.json()["id"]) == (201, blob_id)
    assert bytes_of(client, stored) == pattern(3 * MIB)


def test_every_id(client: httpx.Client) -> None:
    for blob_id in NASTY:
        stored = post(client, f"{secrets.token_hex(4)}{blob_id}"[:200], blob_id.encode())
        assert (stored.status_code, bytes_of(client, stored)) == (201, blob_id.encode())


def test_a_form_of_a_browser(server: Server, client: httpx.Client, blob_id: str) -> None:
    body = BROWSER.replace("{}", blob_id).encode("utf-8").replace("\x89".encode(), b"\x89")
    with server.connect() as connection:
        stored = ask_once(
            connection, request("POST /v1/blobs", f"{AUTH}{FORM_TYPE}Content-Length: {len(body)}\r\n", body)
        )
    assert stored.status == 201
    fetched = client.get(f"{stored.headers['location']}?alt=media")
    assert (fetched.content, fetched.headers["content-type"]) == (b"\x89PNG\r\n\x1a\n", "image/png")


def test_in_chunks_of_a_byte(server: Server, client: httpx.Client, blob_id: str) -> None:
    body = BROWSER.replace("{}", blob_id).encode()
    chunked = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    with server.connect() as connection:
        stored = ask_once(
            connection, request("POST /v1/blobs", f"{AUTH}{FORM_TYPE}Transfer-Encoding: chunked\r\n", chunked)
        )
    assert stored.status == 201


def test_an_id_in_use_is_refused_and_kept(client: httpx.Client, blob_id: str) -> None:
    first = post(client, blob_id, b"first")
    refusal = post(client, blob_id, b"second")
    assert (refusal.status_code, refusal.json()["code"]) == (409, "already_exists")
    refusal = client.post("/v1/blobs", files={"file": ("name", b"third"), "id": (None, blob_id)})
    assert (refusal.status_code, refusal.json()["code"]) == (409, "already_exists")
    assert bytes_of(client, first) == b"first"


def test_with_the_id_first_one_in_use_is_refused_before_the_file_comes(server: Server, client: httpx.Client) -> None:
    blob_id = f"early {next(NUMBERS)}"
    post(client, blob_id, b"")
    start = BROWSER.replace("{}", blob_id).partition("\x89")[0].encode()
    with server.connect() as connection, connection.makefile("rb") as stream:
        connection.sendall(request("POST /v1/blobs", f"{AUTH}{FORM_TYPE}Content-Length: 1000000\r\n", start))
        assert answer(stream).status == 409


@pytest.mark.parametrize(
    ("content_type", "status", "code"),
    [
        ("multipart/form-data", 400, "invalid_header"),
        ("multipart/form-data; boundary", 400, "invalid_header"),
        ('multipart/form-data; boundary="', 400, "invalid_header"),
        ("multipart/form-data; boundary=a; boundary=b", 400, "invalid_header"),
        ("multipart/form-data; boundary=", 400, "invalid_form"),
        ("multipart/form-data; boundary=other", 400, "invalid_form"),
        ("multipart/mixed; boundary=other", 415, "unsupported_media_type"),
        ("application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    ],
)
def test_what_is_no_such_form(client: httpx.Client, content_type: str, status: int, code: str) -> None:
    refusal = client.post("/v1/blobs", content=BROWSER.encode(), headers={"Content-Type": content_type})
    assert (refusal.status_code, refusal.json()["code"]) == (status, code)


def test_a_wrong_content_type_or_encoding_of_the_file(client: httpx.Client, blob_id: str) -> None:
    assert post(client, blob_id, b"", "film").json()["code"] == "invalid_header"
    files = {"file": ("name", b"x", "text/plain", {"Content-Encoding": "gzip br"})}
    assert client.post("/v1/blobs", data={"id": blob_id}, files=files).json()["code"] == "invalid_header"
    stored = client.post(
        "/v1/blobs", data={"id": blob_id}, files={"file": ("name", b"x", "text/plain", {"Content-Encoding": "br"})}
    )
    assert client.head(f"{stored.headers['location']}?alt=media").headers["content-encoding"] == "br"


def test_a_form_that_is_put_is_not_stored_with_its_boundaries(client: httpx.Client) -> None:
    for media_type in ("multipart/form-data; boundary=x", "Multipart/Form-Data ;boundary=x"):
        refusal = client.put("/v1/blobs/put-form", content=b"--x--", headers={"Content-Type": media_type})
        assert (refusal.status_code, refusal.json()["code"]) == (415, "unsupported_media_type")
        assert "send the form to /v1/blobs by POST" in refusal.json()["detail"]
    assert client.head("/v1/blobs/put-form").status_code == 404
    assert client.put("/v1/blobs/put-form", content=b"", headers={"Content-Type": "multipart/mixed"}).status_code == 201


class TestWhatIsLeft:
    def test_of_forms_that_fail(self, tmp_path: Path) -> None:
        with Server(tmp_path, MAX_BLOB_BYTES="100000") as server, server.client() as client:
            assert post(client, "largest", pattern(100_000)).status_code == 201
            assert post(client, "larger", pattern(100_001)).json()["code"] == "too_large"
            assert post(client, "large", pattern(200_000)).json()["code"] == "too_large"
            for files in ({"file": b"x"}, {"file": b"x", "other": b"y"}):
                assert client.post("/v1/blobs", files=files).json()["code"] == "invalid_form"
            start = BROWSER.replace("{}", "gone").partition("\x89")[0].encode() + b"x" * 50_000
            with server.connect() as connection:
                connection.sendall(request("POST /v1/blobs", f"{AUTH}{FORM_TYPE}Content-Length: 100000\r\n", start))
            server.wait_until_left(blobs=1)

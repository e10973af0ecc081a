"""What a browser does with a video: it asks for all, reads the beginning, goes away, and asks for another part."""

import secrets
import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.contracts.blob_store import MIB, pattern
from tests.http.server import Server
from tests.http.wire import AUTH, request

FILM = pattern(24 * MIB + 1)
BLOB = "/v1/blobs/films/a%20film.mp4"
PATH = f"{BLOB}?alt=media"


@pytest.fixture(scope="module")
def film(client: httpx.Client) -> Iterator[httpx.Response]:
    stored = client.put(BLOB, content=FILM, headers={"Content-Type": "video/mp4"})
    yield stored
    client.delete(BLOB)


class Player:
    """Asks as Chromium does, without a cache. Each seek is a connection, which is left where the reading ends."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.request_ids: list[str] = []

    def seek(self, start: int, read: int, if_range: str = "") -> tuple[int, dict[str, str], bytes]:
        """The status, the headers, and the first bytes from `start` on."""
        self.request_ids.append(secrets.token_hex(8))
        headers = (
            f"{AUTH}X-Request-ID: {self.request_ids[-1]}\r\nAccept: */*\r\nAccept-Encoding: identity;q=1, *;q=0\r\n"
            f"Sec-Fetch-Dest: video\r\nSec-Fetch-Mode: no-cors\r\nConnection: keep-alive\r\nRange: bytes={start}-\r\n"
        )
        with self._server.connect() as connection, connection.makefile("rb") as stream:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)
            connection.sendall(request(f"GET {PATH}", headers + (f"If-Range: {if_range}\r\n" if if_range else "")))
            status = int(stream.readline().split()[1])
            lines = iter(lambda: stream.readline().decode().rstrip(), "")
            answered = dict(line.lower().split(": ", 1) for line in lines)
            return status, answered, stream.read(read)


def test_it_seeks_forth_and_back(server: Server, film: httpx.Response) -> None:
    player = Player(server)
    tag = ""
    size = len(FILM)
    for start, read in ((0, 100_000), (size - 50_000, 50_000), (size // 2, MIB), (MIB, 5), (size - 1, 1), (0, size)):
        status, headers, data = player.seek(start, read, tag)
        assert (status, data) == (206, FILM[start : start + read])
        assert headers["content-range"] == f"bytes {start}-{size - 1}/{size}"
        assert headers["content-length"] == str(size - start)
        assert (headers["content-type"], headers["accept-ranges"]) == ("video/mp4", "bytes")
        assert headers["content-disposition"].startswith("inline;")
        tag = headers["etag"]
        assert tag == film.headers["etag"]
    for request_id in player.request_ids:
        assert server.logged(request_id)["status"] == 206


def test_of_a_film_that_was_replaced_it_gets_the_new_one(
    server: Server, film: httpx.Response, client: httpx.Client
) -> None:
    other = pattern(MIB)
    path = BLOB.replace("a%20film", "another")
    client.put(path, content=FILM[:MIB], headers={"Content-Type": "video/mp4"})
    before = client.get(f"{path}?alt=media", headers={"Range": "bytes=0-"}).headers
    client.put(path, content=other, headers={"Content-Type": "video/mp4"})
    for validator in (before["etag"], "Sat, 29 Oct 1994 19:43:31 GMT"):
        answer = client.get(f"{path}?alt=media", headers={"Range": "bytes=1000-", "If-Range": validator})
        assert (answer.status_code, answer.content) == (200, other)
        assert "content-range" not in answer.headers

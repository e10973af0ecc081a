"""wrk and curl of `make bench`, against a server whose responses are known: a bad response must not become a figure."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.backends.run import Backends
from tests.benchmarks.peers.load import LoadError, LoadGenerators
from tests.benchmarks.peers.servers import load_generators

pytestmark = pytest.mark.docker

SIZE = 1000


@pytest.fixture(scope="module")
def generators(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadGenerators]:
    with load_generators(backends, tmp_path_factory.mktemp("load")) as started:
        yield started


@contextmanager
def a_server(status: int, size: int = SIZE) -> Iterator[tuple[str, list[bytes]]]:
    """A server with only one response. Its URL, and the bodies that it receives."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet

        def do_GET(self) -> None:
            bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self.send_response(status)
            self.send_header("Content-Length", f"{size}")
            self.end_headers()
            self.wfile.write(bytes(size))

        do_POST = do_PUT = do_GET  # noqa: N815 - likewise

        def log_message(self, *arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", bodies
        finally:
            server.shutdown()
            thread.join()


def test_wrk_measures_good_responses(generators: LoadGenerators) -> None:
    with a_server(200) as (url, received):
        sample = generators.wrk(url, connections=2, least=SIZE)
    assert 0 < sample.requests <= len(received)
    assert 0 < sample.median <= sample.p99
    assert set(received) == {b""}


@pytest.mark.parametrize(("status", "size"), [(503, SIZE), (302, 0)])
def test_wrk_fails_on_bad_responses(generators: LoadGenerators, status: int, size: int) -> None:
    with a_server(status, size) as (url, _), pytest.raises(LoadError):
        generators.wrk(url, connections=2, least=SIZE)


def test_wrk_posts_a_new_blob_each_time(generators: LoadGenerators) -> None:
    with a_server(201) as (url, received):
        generators.wrk(url, connections=2, post=("round-1-", "AAAA"))
    blobs = [json.loads(body) for body in received]
    ids = [blob["id"] for blob in blobs]
    assert len(set(ids)) == len(ids) > 2
    assert all(blob == {"id": blob["id"], "data": "AAAA"} for blob in blobs)
    assert all(name.startswith("round-1-") for name in ids)


def test_wrk_pauses_between_requests(generators: LoadGenerators) -> None:
    with a_server(200) as (url, received):
        generators.wrk(url, connections=2, pause=200)
    assert len(received) < 50  # without pauses there are hundreds


def test_curl_moves_the_bytes(generators: LoadGenerators, tmp_path: Path) -> None:
    file = generators.folder / "sent"
    file.write_bytes(b"a" * 100_000)
    with a_server(201) as (url, received):
        assert generators.download(url, SIZE) > 0
        assert generators.upload(url, file) > 0
    assert received == [b"", file.read_bytes()]


def test_curl_fails_on_bad_responses(generators: LoadGenerators) -> None:
    with a_server(503) as (url, _), pytest.raises(LoadError):
        generators.download(url, SIZE)


def test_a_program_that_fails_is_an_error(generators: LoadGenerators) -> None:
    with pytest.raises(LoadError, match="curl failed"):
        generators.download("http://127.0.0.1:1/", SIZE)

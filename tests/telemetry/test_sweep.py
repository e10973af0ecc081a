"""A server that fails in every way, with an id, tokens and passwords that can be recognized: none gets out."""

import re
import sys
from pathlib import Path

import httpx
import pytest

from entrypoints.http.protocol.streaming import IN_ONE_PIECE
from tests.http.server import PATIENCE, Server, free_port
from tests.http.wire import TOKEN
from tests.telemetry.collector import Collector
from tests.telemetry.failing import FAILURES, HALFWAY
from tests.telemetry.scrape import scrape

FAILING = [sys.executable, "-m", "tests.telemetry.failing", "serve"]
ID, OTHER, PASSWORD, QUERY, HEADER = (f"hushhush-{name}" for name in ("id", "token", "password", "query", "header"))
HIDDEN = re.compile(f"hushhush-[a-z]+|{TOKEN}")


@pytest.fixture
def settings() -> dict[str, str]:
    """Storages where nobody listens, and passwords for them."""
    port = str(free_port())
    s3 = {"S3_BUCKET": "b", "S3_ENDPOINT": f"http://127.0.0.1:{port}", "S3_ACCESS_KEY": "k", "S3_SECRET_KEY": PASSWORD}
    ftp = {"FTP_HOST": "127.0.0.1", "FTP_PORT": port, "FTP_USER": "u", "FTP_PASSWORD": PASSWORD}
    return s3 | ftp | {"STORAGE": "fs", "STORAGE_ATTEMPTS": "1", "REAP_INTERVAL": "60"}


def ask_all(client: httpx.Client) -> None:
    """Send each kind of request about each failure."""
    headers = {"X-Secret": HEADER, "traceparent": HEADER, "Cookie": HEADER}
    for failure in FAILURES:
        path = f"/v1/blobs/{ID}/{failure}"
        for method in ("GET", "HEAD", "DELETE"):
            client.request(method, path, params={"key": QUERY}, headers=headers)
        client.put(path, content=b"x", headers=headers)
        client.post("/v1/blobs", json={"data": "eA==", "id": f"{ID}/{failure}"})


def ask_oddly(client: httpx.Client, server: Server) -> None:
    """Send requests that are refused, or that no route takes."""
    client.request(HEADER.upper(), f"/{ID}")
    client.get(f"/{ID}", params={"key": QUERY})
    client.get("/v1/blobs", params={"prefix": ID, "cursor": QUERY})
    client.get(f"/v1/blobs/{ID}%00")
    client.put(f"/v1/blobs/{ID}", content=b"x", headers={"If-Match": HEADER, "Content-Type": HEADER})
    client.post("/v1/blobs", content=f'{{"id":"{ID}","data":"{HEADER}"}}', headers={"Content-Type": "application/json"})
    client.get(f"/v1/blobs/{ID}", headers={"Authorization": f"Bearer {OTHER}"})
    for line in (f"GET /{ID} HTTP/9.9\r\n\r\n", f"{HEADER}\r\n\r\n", f"GET /{ID} HTTP/1.1\r\n{HEADER}\r\n\r\n"):
        with server.connect() as connection:
            connection.sendall(line.encode())
            connection.recv(1)


def test_nothing_that_a_server_writes_has_an_id_a_token_or_a_password(tmp_path: Path, settings: dict[str, str]) -> None:
    with Collector() as collector:
        endpoint = collector.endpoint.replace("://", f"://u:{PASSWORD}@")
        with Server(tmp_path, FAILING, 0, **settings, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as server:
            auth = {"Authorization": f"Bearer {TOKEN}"}
            with httpx.Client(base_url=server.url, headers=auth, timeout=PATIENCE, verify=False) as client:  # noqa: S501
                ask_all(client)
                ask_oddly(client, server)
                client.put(f"/v1/blobs/{ID}/{HALFWAY}", content=b"x" * 2 * IN_ONE_PIECE)
                client.get(f"/v1/blobs/{ID}/{HALFWAY}?alt=media")
            metrics = scrape(server).text
        written = {"stdout": server.output(), "stderr": server.errors(), "metrics": metrics}
        written["traces"] = collector.texts.decode("latin-1")
    found = {where: set(HIDDEN.findall(text)) for where, text in written.items()}
    assert found == {where: set() for where in written}
    events = {line["event"].partition(" <")[0] for line in server.log()}
    assert events >= {
        *("a request failed", "a request hit a fault in Drivebay", "an answer broke off", "a thread failed"),
        *("Task exception was never retrieved", "Exception in callback"),
        *("an exception was ignored", "blobs on this storage can't be read now"),
    }
    assert len(collector.spans) > len(FAILURES)

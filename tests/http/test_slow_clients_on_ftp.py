"""Slow clients on a storage with few connections: they leave them to others."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.backends import ftp
from tests.backends.ftp import FtpServer
from tests.contracts.blob_store import MIB, pattern
from tests.http.server import PATIENCE, Server
from tests.http.test_slow_clients import connect_with_little_room, rest
from tests.http.wire import AUTH, request

LARGE = pattern(16 * MIB)  # more than the server and the systems keep for a client
BODY = pattern(3 * MIB)
BEGIN = MIB  # of a body: more than is gathered before it needs a connection
SLOW = 4  # clients each way, as many as there are connections
CLOSE = "Connection: close\r\n"
PUT = f"Content-Length: {len(BODY)}\r\n{CLOSE}"


@pytest.mark.docker
def test_four_slow_senders_and_readers_leave_connections_to_others(tmp_path: Path, vsftpd_server: FtpServer) -> None:
    settings: dict[str, Any] = ftp.settings(vsftpd_server) | {"FTP_BASE_DIR": "slow", "FTP_CONNECTIONS": str(SLOW)}
    with (
        Server(tmp_path, CLIENT_TIMEOUT=str(3 * PATIENCE), **settings) as server,
        server.client() as client,
        ExitStack() as slow,
    ):
        assert client.put("/v1/blobs/large", content=LARGE).status_code == 201
        readers = [slow.enter_context(connect_with_little_room(server, 128 * 1024)) for _ in range(SLOW)]
        for reader in readers:
            reader.sendall(request("GET /v1/blobs/large?alt=media", AUTH + CLOSE))
            assert reader.recv(12) == b"HTTP/1.1 200"
        senders = [slow.enter_context(server.connect()) for _ in range(SLOW)]
        for number, sender in enumerate(senders):
            sender.sendall(request(f"PUT /v1/blobs/{number}", AUTH + PUT) + BODY[:BEGIN])
        for number in range(5):
            assert client.put(f"/v1/blobs/small-{number}", content=b"x").status_code == 201
            assert client.get("/health/ready").status_code == 200
            assert client.get(f"/v1/blobs/small-{number}?alt=media").content == b"x"
        for number, sender in enumerate(senders):
            sender.sendall(BODY[BEGIN:])
            assert rest(sender).startswith(b"HTTP/1.1 201 ")
            assert client.get(f"/v1/blobs/{number}?alt=media").content == BODY
        for reader in readers:
            assert reader.makefile("rb").read().endswith(LARGE)
        for blob in client.get("/v1/blobs").json()["blobs"]:
            client.delete("/v1/blobs/" + blob["id"])

"""Several workers: one page for all."""

import os
import signal
from pathlib import Path

import pytest

from tests.http.server import Server
from tests.telemetry.scrape import Scrape, scrape_until


def puts(found: Scrape) -> float:
    return found.value("drivebay_http_requests_total", method="PUT", status="201")


@pytest.mark.timeout(120)
def test_workers_are_added_up_and_the_dead_count_no_more(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with Server(tmp_path, WORKERS="4", TMPDIR=str(temporary), REAP_INTERVAL="60") as server:
        server.wait_until(lambda: server.listeners() == 4)
        for number in range(24):
            with server.client() as client:  # a connection each, so that several workers are met
                assert client.put(f"/v1/blobs/{number}", content=b"x").status_code == 201
        found = scrape_until(server, lambda found: puts(found) == 24)
        assert found.value("drivebay_workers") == 4
        assert found.value("drivebay_backend_operation_duration_seconds_count", operation="put") == 24

        body = f"PUT /v1/blobs/a HTTP/1.1\r\nHost: a\r\nAuthorization: {server.client().headers['Authorization']}\r\n"
        with server.connect() as connection:
            connection.sendall(f"{body}Content-Length: 2\r\n\r\nx".encode())
            scrape_until(server, lambda found: found.value("drivebay_backend_streams") == 1)
            used = scrape_until(server, lambda _: True).value("process_cpu_seconds_total")
            workers = server.workers()
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
            server.wait_until(lambda: not set(workers) & set(server.workers()) and server.listeners() == 4)
        found = scrape_until(server, lambda found: found.value("drivebay_workers") == 4)
        assert found.value("drivebay_backend_streams") == 0
        assert puts(found) == 24  # what the dead have done stays
        assert found.value("process_cpu_seconds_total") >= used > 0
        [folder] = temporary.iterdir()
        assert folder.name.startswith("drivebay-metrics-")
    assert list(temporary.iterdir()) == []

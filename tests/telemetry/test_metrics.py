"""/metrics, after some traffic."""

import socket
import time
from pathlib import Path

import httpx
import pytest

from tests.http.server import PATIENCE, UVICORN, Server
from tests.telemetry.scrape import scrape, scrape_until


def test_requests_and_what_they_did_are_counted(own_server: Server) -> None:
    with own_server.client() as client:
        assert client.put("/v1/blobs/hidden-id", content=b"x" * 1000).status_code == 201
        assert len(client.get("/v1/blobs/hidden-id?alt=media").content) == 1000
        assert client.get("/v1/blobs/hidden-other").status_code == 404
        assert client.get("/hidden/route").status_code == 404
        assert client.request("HIDDEN", "/v1/blobs").status_code == 405
        client.get("/v1/blobs/x", headers={"Authorization": "Bearer hidden-token"})
        client.delete("/v1/blobs/hidden-id")
    found = scrape_until(own_server, lambda found: found.value("drivebay_backlog_garbage") == 1)
    blob, requests = "/v1/blobs/{id}", "drivebay_http_requests_total"
    assert found.value(requests, method="PUT", route=blob, status="201") == 1
    assert found.value(requests, method="GET", route=blob, status="200") == 1
    assert found.value(requests, method="GET", route=blob, status="404") == 1
    assert found.value(requests, method="GET", route=blob, status="401") == 1
    assert found.value(requests, method="GET", route="unknown", status="404") == 1
    assert found.value(requests, method="_OTHER", status="405") == 1
    assert found.value("drivebay_http_request_duration_seconds_count", method="GET", route=blob) == 3
    assert found.value("drivebay_http_request_bytes_total", method="PUT", route=blob) == 1000
    assert found.value("drivebay_http_response_bytes_total", method="GET", route=blob) >= 1000
    assert found.value("drivebay_http_requests_in_flight") == 1  # the one that asks
    operations = "drivebay_backend_operation_duration_seconds_count"
    assert found.value(operations, backend="fs", operation="put") == 1
    assert found.value(operations, backend="fs", operation="read") == 1
    assert found.value("drivebay_transactions_total", backend="sqlite", outcome="committed") == 3
    assert found.value("drivebay_backend_errors_total") == 0
    assert 0 < found.value("drivebay_disk_free_bytes", folder="blobs") < found.value("drivebay_disk_size_bytes")
    assert found.value("drivebay_build_info", version="0.1.0") == found.value("drivebay_workers") == 1
    assert found.value("process_resident_memory_bytes") > 1_000_000
    assert "hidden" not in found.text.lower()


def test_a_stream_is_counted_while_it_is_under_way(own_server: Server) -> None:
    with own_server.connect() as connection:
        head = "PUT /v1/blobs/a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a-token\r\nContent-Length: 2\r\n\r\n"
        token = own_server.client().headers["Authorization"]
        connection.sendall(head.replace("Bearer a-token", token).encode() + b"x")
        found = scrape_until(own_server, lambda found: found.value("drivebay_backend_streams", backend="fs") == 1)
        assert found.value("drivebay_http_requests_in_flight") == 2
        time.sleep(1.5)  # of the sender's, which is what the end of this test is about
        connection.sendall(b"x")
        assert connection.recv(100).startswith(b"HTTP/1.1 201")
    found = scrape_until(own_server, lambda found: found.value("drivebay_backend_streams", backend="fs") == 0)
    assert found.value("drivebay_http_request_duration_seconds_sum", method="PUT") > 1.5
    assert found.value("drivebay_backend_operation_duration_seconds_sum", operation="put") < 1.5


def test_faults_of_a_storage_are_counted_by_kind(own_server: Server) -> None:
    blobs = own_server.folder / "data" / "blobs"
    blobs.rename(blobs.with_name("away"))
    with own_server.client() as client:
        assert client.put("/v1/blobs/a", content=b"x").status_code == 503
    found = scrape_until(own_server, lambda found: found.value("drivebay_backend_errors_total") > 0)
    assert found.value("drivebay_backend_errors_total", backend="fs", operation="put", kind="unavailable") == 1
    assert found.value("drivebay_http_requests_total", route="/v1/blobs/{id}", status="503") == 1


def test_a_database_that_is_gone_leaves_the_rest_of_the_page(own_server: Server) -> None:
    database = own_server.folder / "data" / "drivebay.db"
    database.rename(database.with_name("away"))  # to write into it would not do: connections remember pages
    found = scrape(own_server)
    assert found.value("drivebay_workers") == 1
    assert "drivebay_backlog_garbage{" not in found.text
    own_server.wait_until(lambda: "the backlog can't be counted" in own_server.errors())


def test_a_page_serves_all_who_ask_within_a_second(own_server: Server) -> None:
    with own_server.anybody() as client:
        started = time.monotonic()
        pages = {client.get("/metrics").text for _ in range(20)}
        assert len(pages) <= 1 + (time.monotonic() - started)


@pytest.mark.parametrize("path", ["/metrics", "/docs", "/docs/openapi.json"])
def test_it_can_be_switched_off(tmp_path: Path, path: str) -> None:
    with Server(tmp_path, METRICS="false", DOCS="no") as server:
        answer = httpx.get(server.url + path, timeout=PATIENCE)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_route")
        assert httpx.get(f"{server.url}/health/ready", timeout=PATIENCE).status_code == 200


def test_under_another_server(tmp_path: Path) -> None:
    with Server(tmp_path, command=UVICORN, exit_code=-15) as server:
        assert scrape(server).value("drivebay_workers") == 1


def test_further_tries_are_counted(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with Server(tmp_path, S3_BUCKET="b", S3_ENDPOINT=nowhere, S3_ACCESS_KEY="a", S3_SECRET_KEY="s") as server:
        found = scrape_until(server, lambda found: found.value("drivebay_backend_errors_total", backend="s3") > 0)
        assert found.value("drivebay_backend_retries_total", backend="s3", operation="list") > 0

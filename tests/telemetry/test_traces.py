"""Traces, as they come to a collector."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http.server import PATIENCE, Server
from tests.telemetry.collector import Collector, Span

PARENT = "00f067aa0ba902b7"


def traceparent(trace: str, flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{trace}-{PARENT}-{flags}"}


def kinds(spans: list[Span]) -> list[str]:
    return [span.name for span in spans]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


def traced(folder: Path, endpoint: str, **settings: Any) -> Server:
    return Server(folder, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_BSP_SCHEDULE_DELAY="50", **settings)


def test_a_request_is_a_span_and_what_it_asks_of_the_backends_are_its_children(
    tmp_path: Path, collector: Collector
) -> None:
    post, get, other = "a" * 32, "b" * 32, "c" * 32
    with traced(tmp_path, collector.endpoint) as server, server.client() as client:
        client.post("/v1/blobs", json={"id": "hidden-id", "data": "A" * 4_000_000}, headers=traceparent(post))
        client.get("/v1/blobs/hidden-id?alt=json", headers=traceparent(get) | {"X-Request-ID": "r1"})
        client.get("/v1/blobs/hidden-other", headers=traceparent(other))
        whole, parts = collector.within(post, 4)
        assert kinds(parts) == ["sqlite transaction", "fs put", "sqlite transaction"]
        assert (whole.name, whole.parent) == ("POST /v1/blobs", PARENT)
        assert {span.parent for span in parts} == {whole.id}
        assert all(0 < span.nanoseconds <= whole.nanoseconds for span in parts)
        assert {"drivebay.outcome": "committed", "db.system.name": "sqlite"}.items() <= parts[0].attributes.items()
        assert whole.attributes == {
            "http.request.method": "POST",
            "http.route": "/v1/blobs",
            "url.scheme": "http",
            "http.response.status_code": "201",
        }
        whole, parts = collector.within(get, 3)
        assert kinds(parts) == ["sqlite read", "fs read"]
        assert {span.parent for span in parts} == {whole.id}
        assert (whole.name, whole.failed) == ("GET /v1/blobs/{id}", False)
        assert server.logged("r1")["trace_id"] == get
        whole, parts = collector.within(other, 2)
        assert (kinds(parts), parts[0].failed, whole.failed) == (["sqlite read"], False, False)
    assert collector.services == {"drivebay"}
    assert b"hidden" not in collector.texts


def test_faults_are_recorded(tmp_path: Path, collector: Collector) -> None:
    with traced(tmp_path, collector.endpoint, OTEL_SERVICE_NAME="mine") as server, server.client() as client:
        blobs = tmp_path / "data" / "blobs"
        blobs.rename(blobs.with_name("away"))
        assert client.put("/v1/blobs/a", content=b"x", headers=traceparent("d" * 32)).status_code == 503
        whole, parts = collector.within("d" * 32, 5)
        [put] = [span for span in parts if span.name == "fs put"]
        assert (put.failed, put.attributes["error.type"]) == (True, "unavailable")
        assert (whole.failed, whole.attributes["error.type"]) == (True, "503")
    assert collector.services == {"mine"}


def test_what_the_client_does_not_sample_is_not_sent_and_the_rest_is_before_the_end(
    tmp_path: Path, collector: Collector
) -> None:
    with Server(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, WORKERS="2") as server:
        for flags, trace in (("00", "e" * 32), ("01", "f" * 32)):
            httpx.get(f"{server.url}/health/live", headers=traceparent(trace, flags), timeout=PATIENCE)
        assert not [span for span in collector.spans if span.trace == "f" * 32]  # it waits for five seconds
        assert server.stop() == 0
    assert {span.trace for span in collector.spans} >= {"f" * 32}
    assert "e" * 32 not in {span.trace for span in collector.spans}


@pytest.mark.parametrize("silent", [False, True], ids=["refuses", "is silent"])
def test_a_collector_that_is_down_slows_nothing_and_is_reported_once(tmp_path: Path, silent: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        endpoint = f"http://127.0.0.1:{there.getsockname()[1]}"
        if not silent:
            there.close()
        with traced(tmp_path, endpoint, OTEL_BSP_MAX_QUEUE_SIZE="20", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="10") as server:
            with server.client() as client:
                for number in range(100):
                    assert client.put(f"/v1/blobs/{number}", content=b"x").status_code == 201
            if not silent:
                server.wait_until(lambda: "opentelemetry" in server.errors())
            started = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - started < 15
            loggers = [line["logger"] for line in server.log() if line.get("logger", "").startswith("opentelemetry")]
            assert len(loggers) == len(set(loggers)) <= 2, server.errors()


def test_without_a_collector_nothing_is_imported(tmp_path: Path) -> None:
    script = (
        "import sys; from entrypoints.http.app import create_asgi; from entrypoints.config.settings import Settings;"
        "create_asgi(Settings(storage='memory', metrics=False));"
        "print({'opentelemetry.trace', 'opentelemetry.sdk', 'prometheus_client', 'requests'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=50, check=True
    )
    assert result.stdout == "set()\n"

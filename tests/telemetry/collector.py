"""A collector of traces: an HTTP server that takes them as OTLP has it."""

import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.http.server import PATIENCE


@dataclass(frozen=True)
class Span:
    """What came of a span. `attributes` are as texts."""

    trace: str
    id: str
    parent: str
    name: str
    nanoseconds: int
    failed: bool
    attributes: dict[str, str]


class Collector:
    """A context: it listens inside. `texts` is all that came, undecoded."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.texts = b""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
                collector.take(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def take(self, body: bytes) -> None:
        self.texts += body
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = {each.key: each.value.string_value for each in group.resource.attributes}
            self.services.add(resource["service.name"])
            for scope in group.scope_spans:
                self.spans += [
                    Span(
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        span.name,
                        span.end_time_unix_nano - span.start_time_unix_nano,
                        span.status.code == 2,  # ERROR
                        {each.key: each.value.string_value or str(each.value.int_value) for each in span.attributes},
                    )
                    for span in scope.spans
                ]

    def within(self, trace: str, count: int) -> tuple[Span, list[Span]]:
        """The span of a request and those in it, in the order of their ends, once there are `count` in all."""
        deadline = time.monotonic() + PATIENCE
        while len(found := [span for span in self.spans if span.trace == trace]) < count:
            assert time.monotonic() < deadline, self.spans
            time.sleep(0.02)
        [whole] = [span for span in found if "http.request.method" in span.attributes]
        return whole, [span for span in found if span is not whole]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

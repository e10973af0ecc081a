"""Traces, sent to a collector with OTLP over HTTP: a span for each request, storage operation, read and transaction.

They have no ids, keys or query strings. OpenTelemetry's own environment variables, OTEL_..., set everything else.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from application.ports.observer import Operation, Unobserved
from entrypoints import __version__

DATABASES = frozenset({"sqlite", "postgresql", "mariadb"})
FLUSHED_WITHIN = 3.0  # seconds at the end
SILENCE = 60.0  # seconds between two log lines about a collector that is down
PROPAGATOR = TraceContextTextMapPropagator()


class Tracing(Unobserved):
    """Sends spans to `endpoint` in the background. Beyond a limit spans are dropped, so that no request waits."""

    def __init__(self, endpoint: str) -> None:
        resource = Resource.create({"service.name": "drivebay", "service.version": __version__})
        self._provider = TracerProvider(
            resource=resource.merge(OTELResourceDetector().detect()),  # what the environment says
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces")))
        self.tracer = self._provider.get_tracer("drivebay", __version__)
        for name in ("exporter.otlp.proto.http.trace_exporter", "sdk._shared_internal"):
            logging.getLogger(f"opentelemetry.{name}").addFilter(_RateLimit())

    def ended(self, operation: Operation) -> None:
        """Add a span to that of the request. None for background work and for `connect`."""
        if operation.name == "connect" or not get_current_span().is_recording():
            return
        end = time.time_ns()
        span = self.tracer.start_span(
            f"{operation.backend} {operation.name}",
            kind=SpanKind.CLIENT,
            start_time=end - int((time.perf_counter() - operation.began) * 1e9),
            attributes=_attributes(operation),
        )
        if operation.fault:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    async def stop(self) -> None:
        """Send the remaining spans, within `FLUSHED_WITHIN` seconds."""
        sending = threading.Thread(target=self._provider.shutdown, name="traces-stop", daemon=True)
        sending.start()
        await asyncio.to_thread(sending.join, FLUSHED_WITHIN)


def _attributes(operation: Operation) -> Mapping[str, str]:
    if operation.backend in DATABASES:
        attributes = {"db.system.name": operation.backend, "db.operation.name": operation.name}
    else:
        attributes = {"drivebay.storage": operation.backend, "drivebay.operation": operation.name}
    if operation.outcome:
        attributes["drivebay.outcome"] = operation.outcome
    if operation.fault:
        attributes["error.type"] = operation.fault
    return attributes


class _RateLimit(logging.Filter):
    """A filter that passes one line per `SILENCE` seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._last = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now - self._last < SILENCE:
            return False
        self._last = now
        return True

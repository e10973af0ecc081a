"""Traces, sent to a collector with OTLP over HTTP: a span for each request, storage operation, read and transaction.

They have neither ids nor keys nor query strings. All else that OpenTelemetry leaves to its users is set by its own
variables, OTEL_..., in the environment.
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
SILENCE = 60.0  # seconds between two lines that say that the collector is down
PROPAGATOR = TraceContextTextMapPropagator()


class Tracing(Unobserved):
    """Spans on their way to `endpoint`: kept for a while and dropped beyond a bound, so that nobody waits for them."""

    def __init__(self, endpoint: str) -> None:
        resource = Resource.create({"service.name": "drivebay", "service.version": __version__})
        self._provider = TracerProvider(
            resource=resource.merge(OTELResourceDetector().detect()),  # what the environment says
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces")))
        self.tracer = self._provider.get_tracer("drivebay", __version__)
        for name in ("exporter.otlp.proto.http.trace_exporter", "sdk._shared_internal"):
            logging.getLogger(f"opentelemetry.{name}").addFilter(_Seldom())

    def ended(self, operation: Operation) -> None:
        """A span within that of the request. What nobody asked for has none, nor has the way to a connection."""
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
        """Send what is left, if the collector takes it in time."""
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


class _Seldom(logging.Filter):
    """Lets a line pass if there was none for a while."""

    def __init__(self) -> None:
        super().__init__()
        self._last = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now - self._last < SILENCE:
            return False
        self._last = now
        return True

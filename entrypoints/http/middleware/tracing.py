"""A span for each request, in the trace that the client began, if it did (W3C Trace Context)."""

from collections.abc import Iterable
from contextlib import ExitStack

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, format_trace_id

from entrypoints.http.middleware.base.exchange import Exchange
from entrypoints.http.middleware.base.stack import Middleware
from entrypoints.telemetry.request_lines import TRACE_ID
from entrypoints.telemetry.requests import labels_of
from entrypoints.telemetry.tracing import PROPAGATOR, Tracing

OURS = (b"traceparent", b"tracestate")
MAX_SIZE = 512  # bytes, as many as W3C Trace Context asks for (section 3.3.1.1); a longer header is ignored


class TracingMiddleware(Middleware):
    """Starts a span with method, route and status. Log lines within it have its `trace_id`."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracer = tracing.tracer

    def on_request(self, exchange: Exchange) -> None:
        exchange.span = ExitStack()
        span = exchange.span.enter_context(
            self._tracer.start_as_current_span(
                labels_of(exchange.scope)[0],
                context=PROPAGATOR.extract(carried(exchange.scope["headers"])),
                kind=SpanKind.SERVER,
            )
        )
        exchange.span.callback(TRACE_ID.reset, TRACE_ID.set(format_trace_id(span.get_span_context().trace_id)))
        exchange.span.callback(_describe, span, exchange)

    def on_end(self, exchange: Exchange) -> None:
        exchange.span.close()


def carried(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers with the client's trace."""
    return {
        name.decode(): value.decode("latin-1") for name, value in headers if name in OURS and len(value) <= MAX_SIZE
    }


def _describe(span: Span, exchange: Exchange) -> None:
    """Describe the request by OpenTelemetry's conventions for HTTP, without the path: it has the blob's id."""
    scope, status = exchange.scope, exchange.status
    method, route = labels_of(scope)
    span.update_name(f"{method} {route}")
    span.set_attributes({"http.request.method": method, "http.route": route, "url.scheme": scope["scheme"]})
    if status:
        span.set_attribute("http.response.status_code", status)
    if status == 0 or status >= 500:
        span.set_status(Status(StatusCode.ERROR))
        span.set_attribute("error.type", str(status) if status else "broken_off")

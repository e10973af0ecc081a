"""A span for each request, in the trace that the client began, if it did (W3C Trace Context)."""

from collections.abc import Iterable

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, format_trace_id

from entrypoints.telemetry.request_lines import TRACE_ID
from entrypoints.telemetry.requests import method_of, route_of
from entrypoints.telemetry.tracing import PROPAGATOR, Tracing

OURS = (b"traceparent", b"tracestate")
MAX_SIZE = 512  # bytes, as many as W3C Trace Context asks for (section 3.3.1.1); a longer header is ignored


class TracingMiddleware:
    """ASGI middleware that starts a span with method, route and status. Log lines within it have its `trace_id`."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app = app
        self._tracer = tracing.tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        status = 0

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._tracer.start_as_current_span(
            method_of(scope),
            context=PROPAGATOR.extract(carried(scope["headers"])),
            kind=SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            bound = TRACE_ID.set(format_trace_id(span.get_span_context().trace_id))
            try:
                await self._app(scope, receive, observe)
            finally:
                _describe(span, scope, status)
                TRACE_ID.reset(bound)


def carried(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers with the client's trace."""
    return {
        name.decode(): value.decode("latin-1") for name, value in headers if name in OURS and len(value) <= MAX_SIZE
    }


def _describe(span: Span, scope: HTTPScope, status: int) -> None:
    """Describe the request by OpenTelemetry's conventions for HTTP, without the path: it has the blob's id."""
    method, route = method_of(scope), route_of(scope)
    span.update_name(f"{method} {route}")
    span.set_attributes({"http.request.method": method, "http.route": route, "url.scheme": scope["scheme"]})
    if status:
        span.set_attribute("http.response.status_code", status)
    if status == 0 or status >= 500:
        span.set_status(Status(StatusCode.ERROR))
        span.set_attribute("error.type", str(status) if status else "broken_off")

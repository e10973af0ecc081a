"""Metrics, for Prometheus."""

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.openapi.spec import OpenAPIMediaType

from entrypoints.http.openapi.components import response, text
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.telemetry.prometheus.page import MetricsPage

PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"
METRICS = operation(
    responses={
        "200": response(
            "In Prometheus's text format.",
            {PROMETHEUS_TEXT: OpenAPIMediaType(text(), example="drivebay_workers 1.0\n")},
            required=["Cache-Control"],
        )
    }
    | problems("invalid_parameter", "internal_error", path="/metrics")
)


@get(
    "/metrics",
    operation_id="getMetrics",
    summary="Metrics, for Prometheus",
    operation_class=METRICS,
)
async def get_metrics(page: NamedDependency[MetricsPage]) -> Response[bytes]:
    """The metrics of all workers of the server, summed up."""
    return Response(await page.text(), headers={"Cache-Control": "no-store", "Content-Type": PROMETHEUS_TEXT})

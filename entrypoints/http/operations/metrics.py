"""The metrics, for Prometheus: no token."""

from litestar import Response, get
from litestar.di import NamedDependency

from entrypoints.http.operations import described
from entrypoints.telemetry.prometheus_page import MetricsPage


@get(
    "/metrics",
    operation_id="getMetrics",
    summary="Metrics, for Prometheus",
    operation_class=described.METRICS,
    tags=["operations"],
    security=[{}],
)
async def metrics(page: NamedDependency[MetricsPage]) -> Response[bytes]:
    """The metrics of all workers of the server, summed up."""
    return Response(await page.text(), headers={"Cache-Control": "no-store", "Content-Type": described.PROMETHEUS_TEXT})

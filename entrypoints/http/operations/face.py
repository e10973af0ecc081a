"""The interface for operators: its routes, its error format, and what all its handlers have in common."""

from typing import TYPE_CHECKING

from litestar import Router

from entrypoints.composition.container import Container
from entrypoints.http.dependencies import always
from entrypoints.http.middleware.query import QueryMiddleware
from entrypoints.http.operations import health
from entrypoints.http.protocol.problems import EXCEPTION_HANDLERS
from entrypoints.server.shutdown import GracefulShutdown

if TYPE_CHECKING:
    from entrypoints.telemetry.metrics import Metrics


def create(container: Container, shutdown: GracefulShutdown, metrics: "Metrics | None") -> Router:
    """Create the routes of health and, where there are any, of metrics. No token is needed, and no request slot."""
    router = Router(
        "/",
        route_handlers=[health.live, health.ready],
        middleware=[QueryMiddleware],
        exception_handlers=EXCEPTION_HANDLERS,
        dependencies={"readiness": always(health.Readiness(container.check_ready(), shutdown))},
        tags=["operations"],
        security=[{}],
    )
    if metrics is not None:
        _add_metrics(router, metrics, container)
    return router


def _add_metrics(router: Router, metrics: "Metrics", container: Container) -> None:
    # Imported only now: see telemetry/workers.py.
    from entrypoints.http.operations.metrics import get_metrics
    from entrypoints.telemetry.prometheus_page import MetricsPage

    page = MetricsPage(metrics, container.metadata().backlog, container.settings().folders)
    router.dependencies["page"] = always(page)
    router.register(get_metrics)

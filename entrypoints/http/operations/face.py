"""The interface for operators: its routes, its error format, and what all its handlers have in common."""

from typing import TYPE_CHECKING

from entrypoints.composition.container import Container
from entrypoints.http.dependencies import always
from entrypoints.http.middleware.routes.authentication import authentication_of
from entrypoints.http.middleware.routes.load_shedding import RequestSlots, shedding_of
from entrypoints.http.middleware.routes.query import QueryMiddleware
from entrypoints.http.operations import health, status
from entrypoints.http.protocol.problems import EXCEPTION_HANDLERS
from entrypoints.http.routers import FaceRouter
from entrypoints.server.shutdown import GracefulShutdown
from entrypoints.telemetry.disks import Disks

if TYPE_CHECKING:
    from entrypoints.telemetry.prometheus.metrics import Metrics
    from entrypoints.telemetry.prometheus.page import MetricsPage


def create(
    container: Container, shutdown: GracefulShutdown, metrics: "Metrics | None", slots: RequestSlots
) -> FaceRouter:
    """Create the routes of health, of the status and, where there are any, of metrics.

    The status takes a token and one of `slots`, those of all requests of this worker. The others take neither.
    """
    readiness = health.Readiness(container.check_ready(), shutdown)
    disks = container.disks()
    page = None if metrics is None else _page(metrics, container, disks)
    open_to_all = FaceRouter(
        "/",
        route_handlers=[health.live, health.ready],
        middleware=[QueryMiddleware],
        dependencies={"readiness": always(readiness)},
        security=[{}],
    )
    if page is not None:
        _add_metrics(open_to_all, page)
    shown = status.StatusPage(container.show_status(), readiness, disks, page)
    for_operators = FaceRouter(
        "/v1",
        route_handlers=[status.options, status.show_status],
        middleware=[shedding_of(slots), authentication_of(container), QueryMiddleware],
        dependencies={"page": always(shown)},
    )
    return FaceRouter(
        "/",
        route_handlers=[open_to_all, for_operators],
        exception_handlers=EXCEPTION_HANDLERS,
        tags=["operations"],
    )


def _page(metrics: "Metrics", container: Container, disks: Disks) -> "MetricsPage":
    # Imported only now: see telemetry/workers.py.
    from entrypoints.telemetry.prometheus.page import MetricsPage

    return MetricsPage(metrics, container.metadata().backlog, disks)


def _add_metrics(router: FaceRouter, page: "MetricsPage") -> None:
    from entrypoints.http.operations.metrics import get_metrics

    router.dependencies["page"] = always(page)
    router.register(get_metrics)

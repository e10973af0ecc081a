"""The Litestar application."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.middleware import DefineMiddleware
from litestar.types import ASGIApp

from application.ports.schema import Opening
from entrypoints.composition import lifecycle
from entrypoints.composition.container import Container
from entrypoints.composition.lifecycle import NOTHING_KNOWN, Started
from entrypoints.composition.missing_features import MissingFeatures
from entrypoints.config import settings
from entrypoints.config.settings import Settings, SettingsError
from entrypoints.errors import StartError
from entrypoints.http.middleware.access_log import AccessLogMiddleware
from entrypoints.http.middleware.authentication import BearerAuthenticationMiddleware
from entrypoints.http.middleware.cors import CorsMiddleware
from entrypoints.http.middleware.draining import DrainingMiddleware
from entrypoints.http.middleware.early_response import EarlyResponseMiddleware
from entrypoints.http.middleware.head import HeadMiddleware
from entrypoints.http.middleware.host import HostMiddleware
from entrypoints.http.middleware.lingering_close import Lingering, LingerLimits
from entrypoints.http.middleware.load_shedding import LoadSheddingMiddleware, RequestSlots
from entrypoints.http.middleware.paced_responses import PacedResponseMiddleware
from entrypoints.http.middleware.raw_paths import RawPathMiddleware
from entrypoints.http.middleware.security_headers import SecurityHeadersMiddleware
from entrypoints.http.operations import docs, health
from entrypoints.http.protocol.client_pace import Pace
from entrypoints.http.protocol.problems import EXCEPTION_HANDLERS
from entrypoints.http.protocol.query import QueryMiddleware
from entrypoints.http.rest import blobs, lists
from entrypoints.server.shutdown import GracefulShutdown
from entrypoints.telemetry import logs
from entrypoints.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from entrypoints.telemetry.metrics import Metrics


def create_app(
    given: Settings,
    configure: Callable[[Container], None] = lambda _: None,
    *,
    patient: bool = False,
    stopping: GracefulShutdown | None = None,
    started: Started = NOTHING_KNOWN,
) -> Litestar:
    """An application of its own, with nothing shared. `configure` may override what the container provides.

    At the start it raises StartError if a backend can't be used. One that is `patient` waits for it instead. It creates
    no tables either: its parent did, and where there are none now, the database is not the parent's. `started`: what
    the check of this server's start returned.
    """
    stopping = stopping or GracefulShutdown()
    watching = Telemetry(given)
    opening = Opening.REQUIRE if patient else Opening.MIGRATE
    features = MissingFeatures(started.missing_features)
    container = Container(settings=given, observer=watching.observer, opening=opening, missing_features=features)
    container.ownership.add_kwargs(created=started.created)
    configure(container)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with stopping.at_sigterm(), watching.running(), lifecycle.running(container, patient=patient):
            yield

    app = Litestar(
        [_interface(given, container), _operations(container, stopping, watching.metrics)],
        lifespan=[lifespan],
        exception_handlers=EXCEPTION_HANDLERS,
        openapi_config=docs.config() if given.docs else None,
        request_max_body_size=None,  # each form has its own limit
        logging_config=None,
    )
    app.asgi_handler = _wrapped(_by_raw_path(app), given, stopping, watching)
    return app


def _interface(given: Settings, container: Container) -> Router:
    return Router(
        "/",
        route_handlers=[*blobs.ROUTES, lists.list_blobs],
        middleware=[
            DefineMiddleware(LoadSheddingMiddleware, places=RequestSlots(given.max_requests)),
            DefineMiddleware(BearerAuthenticationMiddleware, hashes=given.tokens),
            QueryMiddleware,
        ],
        dependencies={
            "store": _always(container.store_blob()),
            "fetch": _always(container.fetch_blob()),
            "listing": _always(container.list_blobs()),
            "delete": _always(container.delete_blob()),
            "blobs": _always(container.metadata().blobs),
            "pace": _always(_pace(given)),
        },
        tags=["blobs"],
    )


def _operations(container: Container, stopping: GracefulShutdown, metrics: "Metrics | None") -> Router:
    router = Router(
        "/",
        route_handlers=[health.live, health.ready],
        middleware=[QueryMiddleware],
        dependencies={"readiness": _always(health.Readiness(container.check_ready(), stopping))},
    )
    if metrics is not None:
        _add_metrics(router, metrics, container)
    return router


def _add_metrics(router: Router, metrics: "Metrics", container: Container) -> None:
    # Imported only now: see telemetry/workers.py.
    from entrypoints.http.operations.metrics import metrics as route
    from entrypoints.telemetry.prometheus_page import MetricsPage

    page = MetricsPage(metrics, container.metadata().backlog, container.settings().folders)
    router.dependencies["page"] = _always(page)
    router.register(route)


def _by_raw_path(app: Litestar) -> ASGIApp:
    return RawPathMiddleware(app.asgi_handler, (route.path for route in app.routes if not route.path_parameters))


def _wrapped(app: ASGIApp, given: Settings, stopping: GracefulShutdown, watching: Telemetry) -> ASGIApp:
    """In what sees a request before its route is looked up, and its answer last. The last here is the outermost."""
    handler = _shared(PacedResponseMiddleware(HostMiddleware(HeadMiddleware(app)), _pace(given)), given)
    secure = SecurityHeadersMiddleware(DrainingMiddleware(handler, stopping), tls=given.tls_certificate is not None)
    reported = _traced(AccessLogMiddleware(secure, watching.metrics), watching)
    return EarlyResponseMiddleware(reported, Lingering(_linger_limits(given)))


def _shared(app: ASGIApp, given: Settings) -> ASGIApp:
    return CorsMiddleware(app, given.cors_origins) if given.cors_origins else app


def _pace(given: Settings) -> Pace:
    return Pace(given.client_timeout, given.client_min_rate)


def _traced(app: ASGIApp, watching: Telemetry) -> ASGIApp:
    if watching.tracing is None:
        return app
    # Imported only now: a server without tracing starts faster.
    from entrypoints.http.middleware.tracing import TracingMiddleware

    return TracingMiddleware(app, watching.tracing)


def _linger_limits(given: Settings) -> LingerLimits:
    """Clients that linger take half of the connections at most, and not longer than any slow client."""
    most = LingerLimits()
    return LingerLimits(
        idle=min(most.idle, given.client_timeout),
        total=min(most.total, given.client_timeout),
        connections=(given.max_connections + 1) // 2,
    )


def from_environment() -> Litestar:
    """For any ASGI server that takes a factory: the application as environment and `.env` say."""
    logs.configure()
    try:
        loaded = settings.load_all(os.environ)
        logs.show_hints(loaded.hints)
        return create_app(lifecycle.prepare(loaded.settings))
    except (SettingsError, StartError) as fault:
        raise SystemExit(f"drivebay: {fault}") from None


def _always(dependency: Any) -> Provide:
    return Provide(lambda: dependency, sync_to_thread=False)

"""The application: the faces, mounted, and the middleware around them."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from functools import partial
from typing import TYPE_CHECKING

from litestar import Litestar
from litestar.types import ASGIApp

from application.ports.schema import Opening
from entrypoints.composition import lifecycle
from entrypoints.composition.container import Container
from entrypoints.composition.lifecycle import NOTHING_KNOWN, Started
from entrypoints.composition.missing_features import MissingFeatures
from entrypoints.config.loading import load_all
from entrypoints.config.settings import Settings, SettingsError
from entrypoints.errors import StartError
from entrypoints.http.direct import DirectRoutes
from entrypoints.http.middleware.access_log import AccessLogMiddleware
from entrypoints.http.middleware.audit import AuditMiddleware
from entrypoints.http.middleware.base.exchange import Exchange
from entrypoints.http.middleware.base.lingering_close import Lingering, LingerLimits
from entrypoints.http.middleware.base.stack import Middleware, MiddlewareStack
from entrypoints.http.middleware.connection_close import ConnectionCloseMiddleware
from entrypoints.http.middleware.cors import CorsMiddleware
from entrypoints.http.middleware.head import HeadMiddleware
from entrypoints.http.middleware.host import HostMiddleware
from entrypoints.http.middleware.raw_paths import RawPathMiddleware
from entrypoints.http.middleware.routes.load_shedding import RequestSlots
from entrypoints.http.middleware.security_headers import SecurityHeadersMiddleware
from entrypoints.http.operations import docs
from entrypoints.http.operations import face as operations
from entrypoints.http.page import face as page
from entrypoints.http.protocol.client_pace import Pace
from entrypoints.http.protocol.problems import EXCEPTION_HANDLERS
from entrypoints.http.protocol.urls.blob_paths import ID_PATH
from entrypoints.http.rest import face as rest
from entrypoints.http.s3 import face as s3
from entrypoints.http.tus import face as tus
from entrypoints.server.shutdown import GracefulShutdown
from entrypoints.telemetry import logs
from entrypoints.telemetry.audit import AuditLog
from entrypoints.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from entrypoints.telemetry.prometheus.metrics import Metrics

BLOB_PATH = "/v1/blobs" + ID_PATH
Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


def create_asgi(
    settings: Settings,
    configure: Callable[[Container], None] = lambda _: None,
    *,
    patient: bool = False,
    shutdown: GracefulShutdown | None = None,
    serving: AbstractContextManager[object] | None = None,
    started: Started = NOTHING_KNOWN,
) -> ASGIApp:
    """Create an application that shares nothing with others. `configure` may override what its container provides.

    Its startup fails with StartError if a backend can't be used. A `patient` one waits for the backend instead. It
    creates no tables either: its parent did, and where there are none now, the database is not the parent's.
    `serving` is a context that is entered once everything else has started. `started`: what the check of this server's
    start returned.
    """
    shutdown = shutdown or GracefulShutdown()
    telemetry = Telemetry(settings)
    opening = Opening.REQUIRE if patient or settings.read_only else Opening.MIGRATE
    features = MissingFeatures(started.missing_features)
    container = Container(settings=settings, observer=telemetry.observer, opening=opening, missing_features=features)
    container.ownership.add_kwargs(created=started.created)
    configure(container)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with shutdown.at_sigterm(), telemetry.running(), lifecycle.running(container, patient=patient):
            with _opened(audit), serving or nullcontext():
                yield

    slots = RequestSlots(settings.max_requests)
    framework = create_litestar(settings, container, shutdown, telemetry.metrics, slots, lifespan)
    app = _routed(framework)
    audit = AuditLog(settings.audit_log, with_ids=settings.audit_ids) if settings.audit_log else None
    middleware = [*_middleware(settings, shutdown, telemetry, audit)]
    pace = Pace(settings.client_timeout, settings.client_min_rate)
    # The direct routes come first: they have to be quick.
    other = tus.create(settings, container, slots, partial(_framework_response, app))
    router = s3.create(settings, container, slots, DirectRoutes(framework, other))
    return MiddlewareStack(router, app, middleware, pace)


@contextmanager
def _opened(audit: AuditLog | None) -> Iterator[None]:
    if audit is None:
        yield
        return
    audit.open()
    try:
        yield
    finally:
        audit.close()


def create_litestar(
    settings: Settings,
    container: Container,
    shutdown: GracefulShutdown,
    metrics: "Metrics | None",
    slots: RequestSlots,
    *lifespan: Lifespan,
) -> Litestar:
    """Create the framework's application: the routes of all faces but S3 and tus, without middleware."""
    return Litestar(
        [
            rest.create(settings, container, slots),
            rest.create_session(settings, container, slots),
            rest.create_links(settings, container, slots),
            operations.create(container, shutdown, metrics, slots),
            *([page.create()] if settings.web_page else []),
        ],
        lifespan=lifespan,
        exception_handlers=EXCEPTION_HANDLERS,  # for unknown routes: each face has its own
        openapi_config=docs.config(rest.FORMS) if settings.docs else None,
        request_max_body_size=None,  # each form has its own limit
        logging_config=None,
    )


def _framework_response(app: ASGIApp, exchange: Exchange) -> Awaitable[None]:
    return app(exchange.scope, exchange.receive, exchange.send)


def _routed(framework: Litestar) -> ASGIApp:
    """Return the framework's application, for the raw paths and for HEAD."""
    paths = [route.path for route in framework.routes if not route.path_parameters]
    faces = ("/v1/", "/s/")
    templates = [route.path for route in framework.routes if route.path.startswith(faces) and route.path_parameters]
    templates.remove(BLOB_PATH)
    return HeadMiddleware(RawPathMiddleware(framework, paths, templates))


def _middleware(
    settings: Settings, shutdown: GracefulShutdown, telemetry: Telemetry, audit: AuditLog | None
) -> Iterator[Middleware]:
    """Yield the middleware around all faces: requests pass it in this order, and responses in the reverse order.

    Load shedding, authentication and the check of query parameters belong to routes, so each face has its own.
    """
    # Outermost: while it discards a body, the request has ended for everything else, and holds no request slot.
    yield ConnectionCloseMiddleware(shutdown, Lingering(_linger_limits(settings)))
    # Around the access log, whose lines have the trace id.
    if telemetry.tracing is not None:
        # Imported only now: a server that exports no traces starts without it.
        from entrypoints.http.middleware.tracing import TracingMiddleware

        yield TracingMiddleware(telemetry.tracing)
    # Around everything that responds: each request is logged and counted, whoever refuses it.
    yield AccessLogMiddleware(telemetry.metrics)
    # Within the access log, whose request id its lines have.
    if audit is not None:
        yield AuditMiddleware(audit)
    # Each response has these headers, too.
    yield SecurityHeadersMiddleware(tls=settings.tls_certificate is not None)
    # Before everything that refuses: pages may read errors too, and preflights have no token and no route.
    if settings.cors_origins:
        yield CorsMiddleware(settings.cors_origins)
    # Before routing: no route takes a request whose host is ambiguous.
    yield HostMiddleware()


def _linger_limits(settings: Settings) -> LingerLimits:
    """Return limits by which lingering clients take half of the connections, and no longer than any slow client."""
    most = LingerLimits()
    return LingerLimits(
        idle=min(most.idle, settings.client_timeout),
        total=min(most.total, settings.client_timeout),
        connections=(settings.max_connections + 1) // 2,
    )


def from_environment() -> ASGIApp:
    """Create the application that the environment and `.env` describe: the factory for any ASGI server."""
    logs.configure()
    try:
        loaded = load_all(os.environ)
        logs.show_hints(loaded.hints)
        return create_asgi(lifecycle.prepare(loaded.settings))
    except (SettingsError, StartError) as error:
        raise SystemExit(f"drivebay: {error}") from None

"""The REST interface to blobs: its routes, its error format, and what all its handlers have in common."""

from collections.abc import Callable
from http import HTTPStatus

from litestar import HttpMethod, Response, Router, route
from litestar.types import ASGIApp

from entrypoints.composition.container import Container
from entrypoints.config.settings import Settings
from entrypoints.http.dependencies import always
from entrypoints.http.middleware.authentication import AuthenticationMiddleware
from entrypoints.http.middleware.load_shedding import LoadSheddingMiddleware, RequestSlots
from entrypoints.http.middleware.query import QueryMiddleware
from entrypoints.http.middleware.share_links import ShareLinkMiddleware
from entrypoints.http.protocol.blob_paths import ID_PATH
from entrypoints.http.protocol.client_pace import Pace
from entrypoints.http.protocol.problems import EXCEPTION_HANDLERS
from entrypoints.http.rest.changes import (
    CommitBody,
    DeleteOperation,
    MovePrefixBody,
    OneOperation,
    PatchOperation,
    PrefixBody,
    PutOperation,
    Transfer,
    commit_operations,
    copy_blob,
    delete_prefix,
    move_blob,
)
from entrypoints.http.rest.delete import delete_blob
from entrypoints.http.rest.described import HttpRequest
from entrypoints.http.rest.fetch import describe_blob, fetch_blob
from entrypoints.http.rest.keys import (
    KeyBody,
    LimitsBody,
    RotationBody,
    create_key,
    find_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from entrypoints.http.rest.lists import list_blobs
from entrypoints.http.rest.patch import PropertiesPatch, patch_blob
from entrypoints.http.rest.shares import (
    ShareBody,
    create_share,
    describe_download,
    download,
    list_shares,
    revoke_share,
    upload,
)
from entrypoints.http.rest.sign import SignBody, sign
from entrypoints.http.rest.store import put_blob, store_blob
from entrypoints.http.rest.trash import RestoreBody, list_trash, purge_blob, restore_blob
from entrypoints.http.rest.uploads import (
    UploadBody,
    append_to_upload,
    begin_upload,
    discard_upload,
    find_upload,
    list_uploads,
    put_part,
)

FORMS = (
    *(Transfer, MovePrefixBody, PrefixBody, CommitBody),
    *(OneOperation, PutOperation, DeleteOperation, PatchOperation),
    *(PropertiesPatch, UploadBody, RestoreBody),
    *(KeyBody, LimitsBody, RotationBody, SignBody, ShareBody),
)
"""The classes of the JSON bodies that requests have."""


def create(settings: Settings, container: Container, slots: RequestSlots) -> Router:
    """Create the routes under /v1. Errors are problem details. `slots`: those of all requests of this worker."""
    authenticate, signatures = container.authenticate(), container.signatures()
    rates, failures = container.request_rates(), container.failed_authentications()

    def authentication(app: ASGIApp) -> AuthenticationMiddleware:  # a function, because the framework copies objects
        return AuthenticationMiddleware(app, authenticate, signatures, rates, failures)

    blobs = Router(
        "/blobs",
        # Options come first, or the framework adds its own.
        route_handlers=[
            options,
            store_blob,
            put_blob,
            fetch_blob,
            describe_blob,
            patch_blob,
            delete_blob,
            list_blobs,
        ],
        tags=["blobs"],
    )
    changes = [copy_blob, move_blob, delete_prefix, commit_operations]
    uploads = [begin_upload, list_uploads, find_upload, put_part, append_to_upload, discard_upload]
    trash = [list_trash, restore_blob, purge_blob]
    keys = [create_key, list_keys, find_key, revoke_key, rotate_key, sign]
    shares = [create_share, list_shares, revoke_share]
    return Router(
        "/v1",
        route_handlers=[
            blobs,
            Router("/", route_handlers=[other_options, *changes], tags=["changes"]),
            Router("/", route_handlers=uploads, tags=["uploads"]),
            Router("/", route_handlers=trash, tags=["trash"]),
            Router("/", route_handlers=keys, tags=["keys"]),
            Router("/", route_handlers=shares, tags=["shares"]),
        ],
        middleware=[
            # Before everything that costs anything.
            _shedding(slots),
            # Before everything that reads more of the request.
            authentication,
            QueryMiddleware,
        ],
        exception_handlers=EXCEPTION_HANDLERS,
        dependencies={
            "store": always(container.store_blob()),
            "fetch": always(container.fetch_blob()),
            "listing": always(container.list_blobs()),
            "delete": always(container.delete_blob()),
            "commit": always(container.commit_operations()),
            "move_prefix": always(container.move_prefix()),
            "delete_all": always(container.delete_prefix()),
            "uploads": always(container.multipart_uploads()),
            "trash": always(container.trash()),
            "keys": always(container.keys()),
            "signatures": always(signatures),
            "shares": always(container.shares()),
            "pace": always(Pace(settings.client_timeout, settings.client_min_rate)),
        },
    )


def create_links(settings: Settings, container: Container, slots: RequestSlots) -> Router:
    """Create the route of share links, which need no token. Errors are problem details."""
    links, rates, failures = container.shares(), container.request_rates(), container.failed_authentications()

    def authentication(app: ASGIApp) -> ShareLinkMiddleware:  # a function, because the framework copies objects
        return ShareLinkMiddleware(app, links, rates, failures)

    return Router(
        "/",
        route_handlers=[options_of_links, download, describe_download, upload],
        middleware=[
            _shedding(slots),
            authentication,
            QueryMiddleware,
        ],
        exception_handlers=EXCEPTION_HANDLERS,
        dependencies={
            "shares": always(links),
            "fetch": always(container.fetch_blob()),
            "store": always(container.store_blob()),
            "pace": always(Pace(settings.client_timeout, settings.client_min_rate)),
        },
        tags=["shares"],
    )


def _shedding(slots: RequestSlots) -> Callable[[ASGIApp], LoadSheddingMiddleware]:
    def shedding(app: ASGIApp) -> LoadSheddingMiddleware:  # a function, because the framework copies objects
        return LoadSheddingMiddleware(app, slots)

    return shedding


@route("/s/{link:str}", http_method=HttpMethod.OPTIONS, include_in_schema=False, sync_to_thread=False)
def options_of_links(request: HttpRequest) -> Response[None]:
    """List the methods of a share link."""
    return _options(request)


@route(["/", ID_PATH], http_method=HttpMethod.OPTIONS, include_in_schema=False, sync_to_thread=False)
def options(request: HttpRequest) -> Response[None]:
    """List the methods of a path. The framework's own handler lists only those registered before it."""
    return _options(request)


@route(
    [
        *("/copy", "/move", "/delete", "/commits"),
        *("/uploads", "/uploads/{upload:str}", "/uploads/{upload:str}/{n:str}"),
        *("/trash", "/trash/{key:str}", "/trash/{key:str}/restore"),
        *("/keys", "/keys/{key:str}", "/keys/{key:str}/rotate", "/sign"),
        *("/shares", "/shares/{share:str}"),
    ],
    http_method=HttpMethod.OPTIONS,
    include_in_schema=False,
    sync_to_thread=False,
)
def other_options(request: HttpRequest) -> Response[None]:
    """List the methods of a path."""
    return _options(request)


def _options(request: HttpRequest) -> Response[None]:
    template = request.scope["path_template"]
    [methods] = (route.methods for route in request.app.routes if route.path_format == template)
    return Response(None, headers={"Allow": ", ".join(sorted(methods))}, status_code=HTTPStatus.NO_CONTENT)

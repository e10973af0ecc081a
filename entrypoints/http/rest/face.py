"""The REST interface to blobs: its routes, its error format, and what all its handlers have in common."""

from contextlib import suppress
from http import HTTPStatus

from litestar import HttpMethod, Response, route
from litestar.di import NamedDependency
from litestar.types import ASGIApp

from domain.errors import ShareLocked, UploadNotFound
from entrypoints.composition.container import Container
from entrypoints.config.settings import Settings
from entrypoints.http.dependencies import always
from entrypoints.http.middleware.routes.authentication import authentication_of
from entrypoints.http.middleware.routes.load_shedding import RequestSlots, shedding_of
from entrypoints.http.middleware.routes.query import QueryMiddleware
from entrypoints.http.middleware.routes.share_links import ShareLinkMiddleware
from entrypoints.http.protocol.client_pace import Pace
from entrypoints.http.protocol.problems import EXCEPTION_HANDLERS
from entrypoints.http.protocol.urls.blob_paths import ID_PATH
from entrypoints.http.protocol.urls.upload_urls import upload_key
from entrypoints.http.rest.access import share_pages
from entrypoints.http.rest.access.keys import (
    KeyBody,
    LimitsBody,
    RotationBody,
    create_key,
    find_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from entrypoints.http.rest.access.links import describe_download, download, download_with_password, on_locked, upload
from entrypoints.http.rest.access.session import (
    MAX_REQUESTS,
    FeaturesBody,
    SessionBody,
    begin_session,
    end_session,
    find_session,
)
from entrypoints.http.rest.access.shares import ShareBody, create_share, list_shares, revoke_share
from entrypoints.http.rest.access.sign import SignBody, sign
from entrypoints.http.rest.blobs.changes import (
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
from entrypoints.http.rest.blobs.delete import delete_blob
from entrypoints.http.rest.blobs.fetch import describe_blob, fetch_blob
from entrypoints.http.rest.blobs.lists import list_blobs
from entrypoints.http.rest.blobs.patch import PropertiesPatch, patch_blob
from entrypoints.http.rest.blobs.store import put_blob, store_blob
from entrypoints.http.rest.blobs.trash import RestoreBody, list_trash, purge_blob, restore_blob
from entrypoints.http.rest.blobs.zip import ZipBody, zip_blobs
from entrypoints.http.rest.described import HttpRequest
from entrypoints.http.rest.uploads.begin import UploadBody, begin_upload
from entrypoints.http.rest.uploads.in_progress import discard_upload, find_upload, list_uploads, upload_progress
from entrypoints.http.rest.uploads.parts import append_to_upload, put_part
from entrypoints.http.rest.uploads.resumable import Resumption
from entrypoints.http.routers import FaceRouter

FORMS = (
    *(Transfer, MovePrefixBody, PrefixBody, CommitBody),
    *(OneOperation, PutOperation, DeleteOperation, PatchOperation),
    *(PropertiesPatch, UploadBody, RestoreBody),
    *(KeyBody, LimitsBody, RotationBody, SignBody, ShareBody, SessionBody, ZipBody),
)
"""The classes of the JSON bodies that requests have."""


def create(settings: Settings, container: Container, slots: RequestSlots) -> FaceRouter:
    """Create the routes under /v1. Errors are problem details. `slots`: those of all requests of this worker."""
    blobs = FaceRouter(
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
    uploads = [begin_upload, list_uploads, find_upload, upload_progress, put_part, append_to_upload, discard_upload]
    trash = [list_trash, restore_blob, purge_blob]
    keys = [create_key, list_keys, find_key, revoke_key, rotate_key, sign]
    shares = [create_share, list_shares, revoke_share]
    return FaceRouter(
        "/v1",
        route_handlers=[
            blobs,
            FaceRouter("/", route_handlers=[zip_blobs], tags=["blobs"]),
            FaceRouter("/", route_handlers=[other_options, *changes], tags=["changes"]),
            FaceRouter("/", route_handlers=uploads, tags=["uploads"]),
            FaceRouter("/", route_handlers=trash, tags=["trash"]),
            FaceRouter("/", route_handlers=keys, tags=["keys"]),
            FaceRouter("/", route_handlers=shares, tags=["shares"]),
        ],
        middleware=[
            # Before everything that costs anything.
            shedding_of(slots),
            # Before everything that reads more of the request.
            authentication_of(container),
            QueryMiddleware,
        ],
        exception_handlers=EXCEPTION_HANDLERS,
        dependencies={
            "store": always(container.store_blob()),
            "fetch": always(container.fetch_blob()),
            "listing": always(container.list_blobs()),
            "collect": always(container.collect_blobs()),
            "delete": always(container.delete_blob()),
            "commit": always(container.commit_operations()),
            "move_prefix": always(container.move_prefix()),
            "delete_all": always(container.delete_prefix()),
            "uploads": always(container.multipart_uploads()),
            "resumable": always(_resumption(settings, container)),
            "trash": always(container.trash()),
            "keys": always(container.keys()),
            "signatures": always(container.signatures()),
            "shares": always(container.shares()),
            "pace": always(Pace(settings.client_timeout, settings.client_min_rate)),
        },
    )


def create_session(settings: Settings, container: Container, slots: RequestSlots) -> FaceRouter:
    """Create the routes of sessions. One begins without a session, and ends whether it is valid or not."""
    features = FeaturesBody.of(settings, has_keys=container.master_key() is not None)
    own_slots = RequestSlots(MAX_REQUESTS)
    return FaceRouter(
        "/v1",
        route_handlers=[
            # The options come first, or the framework adds its own.
            FaceRouter(
                "/",
                route_handlers=[options_of_session, begin_session, end_session],
                middleware=[shedding_of(own_slots), QueryMiddleware],
            ),
            FaceRouter(
                "/",
                route_handlers=[find_session],
                middleware=[shedding_of(slots), authentication_of(container), QueryMiddleware],
            ),
        ],
        exception_handlers=EXCEPTION_HANDLERS,
        dependencies={
            "sessions": always(container.sessions()),
            "features": always(features),
            "failures": always(container.failed_authentications()),
            "rates": always(container.request_rates()),
            "resumable": always(_resumption(settings, container)),
            "pace": always(Pace(settings.client_timeout, settings.client_min_rate)),
        },
        tags=["session"],
    )


def create_links(settings: Settings, container: Container, slots: RequestSlots) -> FaceRouter:
    """Create the route of share links, which need no token. Errors are problem details."""
    links, rates, failures = container.shares(), container.request_rates(), container.failed_authentications()

    def authentication(app: ASGIApp) -> ShareLinkMiddleware:  # a function, because the framework copies objects
        return ShareLinkMiddleware(app, links, rates, failures, share_pages.is_wanted)

    return FaceRouter(
        "/",
        route_handlers=[
            FaceRouter(
                "/",
                route_handlers=[options_of_links, download, describe_download, upload],
                middleware=[shedding_of(slots), authentication, QueryMiddleware],
            ),
            FaceRouter(
                "/",
                route_handlers=[download_with_password],  # which is in the body
                middleware=[shedding_of(RequestSlots(MAX_REQUESTS)), QueryMiddleware],
            ),
        ],
        exception_handlers={**EXCEPTION_HANDLERS, ShareLocked: on_locked},
        dependencies={
            "shares": always(links),
            "fetch": always(container.fetch_blob()),
            "store": always(container.store_blob()),
            "rates": always(rates),
            "failures": always(failures),
            "resumable": always(_resumption(settings, container)),
            "pace": always(Pace(settings.client_timeout, settings.client_min_rate)),
        },
        tags=["shares"],
    )


def _resumption(settings: Settings, container: Container) -> Resumption:
    pace = Pace(settings.client_timeout, settings.client_min_rate)
    return Resumption(container.resumable_uploads(), container.upload_rights(), pace)


@route("/s/{link:str}", http_method=HttpMethod.OPTIONS, include_in_schema=False)
async def options_of_links(request: HttpRequest, resumable: NamedDependency[Resumption]) -> Response[None]:
    """List the methods of a share link."""
    return await _options(request, resumable)


@route("/session", http_method=HttpMethod.OPTIONS, include_in_schema=False)
async def options_of_session(request: HttpRequest, resumable: NamedDependency[Resumption]) -> Response[None]:
    """List the methods of the session."""
    return await _options(request, resumable)


@route(["/", ID_PATH], http_method=HttpMethod.OPTIONS, include_in_schema=False)
async def options(request: HttpRequest, resumable: NamedDependency[Resumption]) -> Response[None]:
    """List the methods of a path. The framework's own handler lists only those registered before it."""
    return await _options(request, resumable)


@route(
    [
        *("/copy", "/move", "/delete", "/commits", "/zip"),
        *("/uploads", "/uploads/{upload:str}", "/uploads/{upload:str}/{n:str}"),
        *("/trash", "/trash/{key:str}", "/trash/{key:str}/restore"),
        *("/keys", "/keys/{key:str}", "/keys/{key:str}/rotate", "/sign"),
        *("/shares", "/shares/{share:str}"),
    ],
    http_method=HttpMethod.OPTIONS,
    include_in_schema=False,
)
async def other_options(request: HttpRequest, resumable: NamedDependency[Resumption]) -> Response[None]:
    """List the methods of a path."""
    return await _options(request, resumable)


RESUMABLE = {"/v1/blobs" + ID_PATH, "/v1/uploads", "/v1/uploads/{upload:str}", "/s/{link:str}"}


async def _options(request: HttpRequest, resumable: Resumption) -> Response[None]:
    """Return the methods of a path, and the limits of uploads where there are some."""
    template = request.scope["path_template"]
    [route] = (route for route in request.app.routes if route.path_format == template)
    upload, limit = None, {}
    with suppress(UploadNotFound):
        upload = upload_key(request.path_params["upload"]) if "upload" in request.path_params else None
    if route.path in RESUMABLE:
        limit["Upload-Limit"] = await resumable.limit(request, upload)
    return Response(
        None, headers={"Allow": ", ".join(sorted(route.methods)), **limit}, status_code=HTTPStatus.NO_CONTENT
    )

"""The tus interface (tus 1.0, https://tus.io/protocols/resumable-upload): which requests it takes, and its errors.

Checksums in trailers are not announced, and refused: the HTTP server drops the trailers of requests.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from litestar.types import Receive, Scope, Send

from application.blobs.resumable.uploads import ResumableUploads
from entrypoints.composition.container import Container
from entrypoints.config.settings import Settings
from entrypoints.http.middleware.base.exchange import Exchange, Header, Responder
from entrypoints.http.middleware.routes.authentication import AuthenticationMiddleware, authentication_of
from entrypoints.http.middleware.routes.load_shedding import LoadSheddingMiddleware, RequestSlots
from entrypoints.http.protocol.client_pace import Pace
from entrypoints.http.protocol.fields.headers import fields
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.protocol.streaming import ShortResponse
from entrypoints.http.protocol.urls.upload_urls import upload_key
from entrypoints.http.tus import checksums, operations
from entrypoints.http.tus.failures import Refusal, refusal_of
from entrypoints.http.tus.operations import Refused
from entrypoints.http.tus.request import COLLECTION, TusRequest

PATH = COLLECTION.encode()
TEMPLATE = f"{COLLECTION}/{{upload}}"
VERSION = "1.0.0"
EXTENSIONS = (
    *("creation", "creation-with-upload", "creation-defer-length", "expiration", "checksum", "termination"),
    *("concatenation", "concatenation-unfinished"),
)
METHOD_OVERRIDE = "x-http-method-override"
Operation = Callable[[TusRequest], Awaitable[ShortResponse]]
OF_COLLECTION: Mapping[str, Operation] = {"POST": operations.create}
OF_UPLOAD: Mapping[str, Operation] = {
    "HEAD": operations.describe,
    "PATCH": operations.append,
    "DELETE": operations.terminate,
}


@dataclass(frozen=True, slots=True)
class TusFace:
    """Responds to all requests below /v1/tus."""

    uploads: ResumableUploads
    shedding: LoadSheddingMiddleware
    authentication: AuthenticationMiddleware
    pace: Pace

    async def __call__(self, exchange: Exchange) -> None:
        exchange.completions = [_add_version, *exchange.completions]
        try:
            self.shedding.enter(exchange.scope)
            try:
                response = await self._response(exchange)
                await response(exchange.scope, exchange.receive, exchange.send)
            finally:
                self.shedding.leave()
        except Exception as error:
            if exchange.status:  # it is too late for another response
                raise
            refusal = error.refusal if isinstance(error, Refused) else refusal_of(error)
            response = _response_of(refusal, has_body=exchange.scope["method"] != "HEAD")
            await response(exchange.scope, exchange.receive, exchange.send)

    async def _response(self, exchange: Exchange) -> ShortResponse:
        scope = exchange.scope
        name = scope["raw_path"].removeprefix(PATH).removeprefix(b"/").decode("latin-1")
        scope["path_template"] = TEMPLATE if name else COLLECTION
        headers = fields(scope)
        method = headers.get(METHOD_OVERRIDE, scope["method"]).strip().upper()
        if method == "OPTIONS":
            return self._options()
        await self.authentication.enter(scope)
        exchange.auth = scope["auth"]
        if headers.get("tus-resumable") != VERSION:
            raise Refused(_other_version())
        if scope["query_string"]:
            raise HttpProblem("invalid_parameter", "This request takes no parameters.")
        known = OF_UPLOAD if name else OF_COLLECTION
        if method not in known:
            raise HttpProblem("method_not_allowed", headers={"Allow": ", ".join(["OPTIONS", *known])})
        key = upload_key(name) if name else None
        return await known[method](
            TusRequest(exchange, self.uploads, self.pace, method, key, headers, exchange.auth),
        )

    def _options(self) -> ShortResponse:
        """Return what this server supports. No credential is needed for that."""
        described = {
            "tus-version": VERSION,
            "tus-extension": ",".join(EXTENSIONS),
            "tus-max-size": str(self.uploads.multipart.max_bytes),
            "tus-checksum-algorithm": checksums.NAMES,
            "content-length": "0",
        }
        return ShortResponse([(name.encode(), value.encode()) for name, value in described.items()])


def create(settings: Settings, container: Container, slots: RequestSlots, other: Responder) -> Responder:
    """Create the tus interface in front of the `other` routes."""
    face = TusFace(
        container.resumable_uploads(),
        LoadSheddingMiddleware(_nothing, slots),
        authentication_of(container)(_nothing),
        Pace(settings.client_timeout, settings.client_min_rate),
    )

    def route(exchange: Exchange) -> Awaitable[None]:
        path = exchange.scope["raw_path"]
        is_ours = path.startswith(PATH) and path[len(PATH) : len(PATH) + 1] in (b"", b"/")
        return (face if is_ours else other)(exchange)

    return route


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond to nothing: the face calls only the guards around this."""


def _add_version(exchange: Exchange, headers: list[Header]) -> None:
    headers.append((b"tus-resumable", VERSION.encode()))


def _other_version() -> Refusal:
    text = f"Send the header Tus-Resumable: {VERSION}. Other versions of tus are not supported."
    return Refusal(HTTPStatus.PRECONDITION_FAILED, text, {"Tus-Version": VERSION})


def _response_of(refusal: Refusal, *, has_body: bool) -> ShortResponse:
    body = f"{refusal.text}\n".encode() if has_body else b""
    headers = [(name.lower().encode(), value.encode()) for name, value in refusal.headers.items()]
    if has_body:
        headers += [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    return ShortResponse(headers, refusal.status, body)

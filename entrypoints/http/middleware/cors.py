"""Cross-origin requests of browsers (WHATWG Fetch, CORS protocol), from the origins in CORS_ORIGINS."""

from collections.abc import Sequence
from functools import partial
from http import HTTPStatus

from litestar.types import HTTPResponseBodyEvent, HTTPResponseStartEvent, HTTPScope

from entrypoints.config.origins import ANY_ORIGIN
from entrypoints.http.middleware.base.exchange import Exchange, Header, Responder
from entrypoints.http.middleware.base.stack import Middleware
from entrypoints.http.protocol.fields.header_values import BLANKS, MAX_SIZE, is_token

METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
# Response headers that a page may read, in addition to Content-Type, Content-Length, Last-Modified ... The names of
# metadata are not known, so all are allowed: `*` counts for requests without cookies, and there are no others here.
EXPOSED = (
    b"ETag, Location, Content-Range, Accept-Ranges, Content-Disposition, Content-Encoding, Repr-Digest, Retry-After, "
    b"X-Request-ID, X-Expires-At, Content-Location, Tus-Resumable, Tus-Version, Tus-Extension, Tus-Max-Size, "
    b"Tus-Checksum-Algorithm, Upload-Offset, Upload-Length, Upload-Defer-Length, Upload-Metadata, Upload-Expires, "
    b"Upload-Concat, Upload-Complete, Upload-Limit, Upload-Draft-Interop-Version, *"
)
MAX_AGE = b"600"  # seconds for which a browser may remember the response to a preflight
ALLOW_ORIGIN = b"access-control-allow-origin"


class CorsMiddleware(Middleware):
    """Lets pages of `origins` make requests and read all responses, errors included.

    It responds to preflights itself: browsers send them without a token. Sessions do not count for other origins, so
    `Access-Control-Allow-Credentials` is never sent.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        self._allows_any = ANY_ORIGIN in origins
        self._origins = frozenset(origin.encode() for origin in origins)

    def on_request(self, exchange: Exchange) -> Responder | None:
        if _is_preflight(exchange.scope) and (allowed := self._allowed(exchange.scope)):
            return partial(_respond_to_preflight, allowed)
        return None

    def on_response(self, exchange: Exchange, headers: list[Header]) -> None:
        if not self._allows_any:
            _add_to_vary(headers)
        if allowed := self._allowed(exchange.scope):
            # The rules of a bucket may have added other ones, but the operator's count.
            headers[:] = [each for each in headers if not each[0].startswith(b"access-control-")]
            headers += [(ALLOW_ORIGIN, allowed), (b"access-control-expose-headers", EXPOSED)]

    def _allowed(self, scope: HTTPScope) -> bytes:
        """Return the value of Access-Control-Allow-Origin. Empty if there is none."""
        if self._allows_any:
            return ANY_ORIGIN.encode()
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        return origins[0] if len(origins) == 1 and origins[0] in self._origins else b""


def _add_to_vary(headers: list[Header]) -> None:
    """Let a response vary by origin, whether the request names one or not."""
    varies = b", ".join([*(value for key, value in headers if key == b"vary"), b"Origin"])
    headers[:] = [*((key, value) for key, value in headers if key != b"vary"), (b"vary", varies)]


def _is_preflight(scope: HTTPScope) -> bool:
    names = {name for name, _ in scope["headers"]}
    return scope["method"] == "OPTIONS" and {b"origin", b"access-control-request-method"} <= names


async def _respond_to_preflight(allowed: bytes, exchange: Exchange) -> None:
    headers: list[Header] = [
        (ALLOW_ORIGIN, allowed),
        (b"access-control-allow-methods", METHODS),
        (b"access-control-max-age", MAX_AGE),
        (b"vary", b"Origin, Access-Control-Request-Headers"),
    ]
    if requested := _requested_headers(exchange.scope):
        headers.append((b"access-control-allow-headers", requested))
    start: HTTPResponseStartEvent = {
        "type": "http.response.start",
        "status": HTTPStatus.NO_CONTENT,
        "headers": headers,
    }
    body: HTTPResponseBodyEvent = {"type": "http.response.body", "body": b"", "more_body": False}
    await exchange.send(start)
    await exchange.send(body)


def _requested_headers(scope: HTTPScope) -> bytes:
    """Return the headers that the page will send: all are allowed. Empty if they are not a list of names.

    `*` does not stand for Authorization, and the names of later headers (`X-Meta-...`) are not known.
    """
    text = b",".join(value for name, value in scope["headers"] if name == b"access-control-request-headers").decode(
        "latin-1"
    )
    if len(text) > MAX_SIZE:
        return b""
    names = [name.strip(BLANKS) for name in text.split(",")]
    return ", ".join(names).encode() if all(map(is_token, names)) else b""

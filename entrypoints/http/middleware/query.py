"""Query parameters: each operation names those that it takes, and a request with any other is refused.

An ignored parameter changes what a request means. The worst is the `?` that a client did not escape in a blob's id:
`PUT /v1/blobs/what?.txt` would replace the blob `what`.
"""

from collections.abc import Iterator
from urllib.parse import unquote_plus

from litestar.types import ASGIApp, Receive, Scope, Send

from entrypoints.http.protocol.blob_paths import PREFIX
from entrypoints.http.protocol.problems import HttpProblem

SHOWN = 50  # characters of a name
UNESCAPED = " If the ? is part of the blob's id, write it as %3F."


class QueryMiddleware:
    """ASGI middleware that refuses parameters that are not in the route handler's `opt["parameters"]`.

    It runs after the authentication: a client without a token learns nothing about a route.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["query_string"]:
            _check(scope, scope["route_handler"].opt.get("parameters", ()))
        await self._app(scope, receive, send)


def _check(scope: Scope, known: tuple[str, ...]) -> None:
    unknown = next((name for name in _names(scope["query_string"]) if name not in known), None)
    if unknown is not None:
        taken = f"This request takes {', '.join(known)}." if known else "This request takes no parameters."
        hint = UNESCAPED if scope["raw_path"].startswith(PREFIX) else ""
        shown = unknown if len(unknown) <= SHOWN else f"{unknown[:SHOWN]}..."
        detail = f"The query parameter {shown!r} is not known. {taken}{hint}"
        raise HttpProblem("invalid_parameter", detail)


def _names(query: bytes) -> Iterator[str]:
    for part in query.split(b"&"):
        if part:
            yield unquote_plus(part.partition(b"=")[0].decode("latin-1"), errors="replace")

"""Routing by the path as it was sent, so that no two paths are the same.

Routers normalise a path before they match it: they decode it, join slashes, and drop one at the end. A proxy's rule for
`/metrics` does not match `//metrics` or `/%6detrics`, so these must not lead there. And blob ids that differ would be
the same, or lead to another route. So the router sees fixed paths only.
"""

from collections.abc import Iterable

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from entrypoints.http.protocol.blob_paths import PREFIX

BLOB = "/v1/blobs/id"
NOWHERE = "/nowhere"


class RawPathMiddleware:
    """ASGI middleware that routes by the raw path: to a blob, to one of `paths`, or to no route."""

    def __init__(self, app: ASGIApp, paths: Iterable[str]) -> None:
        self._app = app
        self._paths = {path.encode(): path for path in paths}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            raw_path = scope["raw_path"]
            scope["path"] = BLOB if raw_path.startswith(PREFIX) else self._paths.get(raw_path, NOWHERE)
        await self._app(scope, receive, send)

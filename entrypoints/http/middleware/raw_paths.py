"""Routing by the path as it was sent, so that no two paths are the same.

Routers normalise a path before they match it: they decode it, join slashes, and drop one at the end. A proxy's rule for
`/metrics` does not match `//metrics` or `/%6detrics`, so these must not lead there. And blob ids that differ would be
the same, or lead to another route. So the router sees fixed paths only.
"""

import string
from collections.abc import Iterable, Sequence

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from entrypoints.http.protocol.urls.blob_paths import PREFIX

BLOB = "/v1/blobs/id"
NOWHERE = "/nowhere"
PLAIN = frozenset((string.ascii_letters + string.digits + "_-").encode())
LONGEST = 64  # characters of a parameter


class RawPathMiddleware:
    """ASGI middleware that routes by the raw path: to a blob, to one of `paths`, or to no route.

    `templates` are paths with parameters, such as `/v1/uploads/{upload:str}`: letters, digits, `_` and `-` only.
    """

    def __init__(self, app: ASGIApp, paths: Iterable[str], templates: Iterable[str] = ()) -> None:
        self._app = app
        self._paths = {path.encode(): path for path in paths}
        self._templates = [template.encode().split(b"/") for template in templates]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            raw_path = scope["raw_path"]
            scope["path"] = BLOB if raw_path.startswith(PREFIX) else self._fixed_path(raw_path)
        await self._app(scope, receive, send)

    def _fixed_path(self, raw_path: bytes) -> str:
        path = self._paths.get(raw_path)
        if path is None:
            segments = raw_path.split(b"/")
            if any(_matches(segments, template) for template in self._templates):
                return raw_path.decode("ascii")
        return path or NOWHERE


def _matches(segments: Sequence[bytes], template: Sequence[bytes]) -> bool:
    """Return whether a path has the segments of a template, and plain texts in the place of its parameters."""
    return len(segments) == len(template) and all(
        0 < len(segment) <= LONGEST and PLAIN.issuperset(segment) if expected.startswith(b"{") else segment == expected
        for segment, expected in zip(segments, template, strict=True)
    )

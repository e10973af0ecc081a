"""Query parameters: each operation names those that it takes, and a request with any other is refused.

An ignored parameter changes what a request means. The worst is the `?` that a client did not escape in a blob's id:
`PUT /v1/blobs/what?.txt` would replace the blob `what`.
"""

from urllib.parse import unquote_plus

from litestar.types import Scope

from entrypoints.http.middleware.routes.guard import GuardMiddleware
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.protocol.urls.blob_paths import PREFIX

SHOWN = 50  # characters of a name
UNESCAPED = " If the ? is part of the blob's id, write it as %3F."


class QueryMiddleware(GuardMiddleware):
    """ASGI middleware that refuses parameters that are not in the route handler's `opt["parameters"]`.

    It runs after the authentication: a client without a token learns nothing about a route.
    """

    def enter(self, scope: Scope) -> None:
        if scope["query_string"]:
            known = scope["route_handler"].opt.get("parameters", ())
            unknown = _first_unknown(scope["query_string"], known)
            if unknown is not None:
                raise _unknown(unknown, known, scope)


def _first_unknown(query: bytes, known: tuple[str, ...]) -> str | None:
    for part in query.split(b"&"):
        name = part.partition(b"=")[0].decode("latin-1")
        # A known name that is not escaped need not be decoded.
        if part and name not in known and (name := unquote_plus(name, errors="replace")) not in known:
            return name
    return None


def _unknown(name: str, known: tuple[str, ...], scope: Scope) -> HttpProblem:
    taken = f"This request takes {', '.join(known)}." if known else "This request takes no parameters."
    hint = UNESCAPED if scope["raw_path"].startswith(PREFIX) else ""
    shown = name if len(name) <= SHOWN else f"{name[:SHOWN]}..."
    return HttpProblem("invalid_parameter", f"The query parameter {shown!r} is not known. {taken}{hint}")

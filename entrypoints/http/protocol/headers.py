"""The header fields of a request, as far as they say how to read it."""

from collections.abc import Mapping
from http import HTTPStatus

from litestar.types import Scope

from entrypoints.http.protocol.problems import HttpProblem


def fields(scope: Scope) -> Mapping[str, str]:
    """The values by name, in lower case. Those of several lines are one list (RFC 9110, section 5.3)."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def is_http_1(scope: Scope) -> bool:
    """What follows frames its bodies in another way."""
    return scope["http_version"].startswith("1")


def content_length(headers: Mapping[str, str]) -> int | None:
    """None if it is not told. If it is told more than once, it is the same: the server sees to that."""
    told = headers.get("content-length")
    return None if told is None else int(told.partition(",")[0])


def check_framing(scope: Scope, headers: Mapping[str, str]) -> None:
    """Raise HttpProblem 411 or 501 for a body of which not all, or not what was meant, would be read.

    The server takes a body without framing for an empty one, and undoes no transfer coding but the last, which is
    chunked (RFC 9112, sections 6.1 and 6.3).
    """
    if not is_http_1(scope):
        return
    coding = headers.get("transfer-encoding")
    if coding is None and "content-length" not in headers:
        detail = "Send the body with the header Content-Length, of 0 if it is empty, or in chunks."
        raise HttpProblem(HTTPStatus.LENGTH_REQUIRED, "length_required", detail)
    if coding is not None and coding.strip().lower() != "chunked":
        detail = "No Transfer-Encoding but chunked is known here."
        raise HttpProblem(HTTPStatus.NOT_IMPLEMENTED, "not_implemented", detail)

"""The header fields that decide how to read a request."""

from collections.abc import Mapping

from litestar.types import Scope

from entrypoints.http.protocol.problems import HttpProblem

# Nearly every request has some of these, and no handler reads them here.
READ_ELSEWHERE = frozenset(
    {b"accept", b"accept-encoding", b"accept-language", b"authorization", b"connection", b"host", b"user-agent"}
)


def fields(scope: Scope) -> Mapping[str, str]:
    """Return the values by lower-case name, without READ_ELSEWHERE.

    Several lines of a name are one list (RFC 9110, section 5.3).
    """
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name not in READ_ELSEWHERE:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def is_http_1(scope: Scope) -> bool:
    """Return whether the request is HTTP/1. Later versions frame bodies differently."""
    return scope["http_version"].startswith("1")


def content_length(headers: Mapping[str, str]) -> int | None:
    """Return the Content-Length in bytes, or None. The HTTP server refuses repeated ones that differ."""
    declared = headers.get("content-length")
    return None if declared is None else int(declared.partition(",")[0])


def check_framing(scope: Scope, headers: Mapping[str, str]) -> None:
    """Raise HttpProblem 411 or 501 for a body of which not all, or not what was meant, would be read.

    The server takes a body without framing for an empty one, and undoes no transfer coding but the last, which is
    chunked (RFC 9112, sections 6.1 and 6.3).
    """
    if not is_http_1(scope):
        return
    coding = headers.get("transfer-encoding")
    if coding is None and "content-length" not in headers:
        raise HttpProblem("length_required")
    if coding is not None and coding.strip().lower() != "chunked":
        raise HttpProblem("not_implemented")


def has_no_body(scope: Scope, headers: Mapping[str, str]) -> bool:
    """Return whether a request has no body. One of HTTP/1 without framing has none (RFC 9112, section 6.3).

    If it has a Content-Type, a body was meant, and `check_framing` refuses it.
    """
    if "content-length" in headers:
        return headers["content-length"] == "0"
    return is_http_1(scope) and headers.keys().isdisjoint({"content-type", "transfer-encoding"})

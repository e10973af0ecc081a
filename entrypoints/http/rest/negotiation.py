"""Choice of a blob's form, JSON or its bytes (RFC 9110, section 12.5.1)."""

from typing import Any

from litestar import Request

from entrypoints.http.protocol.header_values import MAX_SIZE, quality
from entrypoints.http.protocol.problems import HttpProblem

JSON = "application/json"
BYTES = "application/octet-stream"
PARAMETERS = ("alt",)


def wants_bytes(request: Request[Any, Any, Any]) -> bool:
    """Return whether the client wants the bytes. JSON is the default, also if it accepts both alike."""
    match request.query_params.getall("alt", []):
        case []:
            return _prefers_bytes(",".join(request.headers.getall("accept", [])))
        case ["media"]:
            return True
        case ["json"]:
            return False
    detail = "alt takes media (the bytes) or json, once."
    raise HttpProblem("invalid_parameter", detail)


def _prefers_bytes(accept: str) -> bool:
    if len(accept) > MAX_SIZE:
        return False  # a server may disregard the field (RFC 9110, section 12.5.1)
    qualities: dict[str, float] = {}
    for item in filter(str.strip, accept.split(",")):
        media_range, *parameters = item.split(";")
        qualities[media_range.strip().lower()] = quality(parameters)
    return bool(qualities) and not 0 < _quality(JSON, qualities) >= _quality(BYTES, qualities)


def _quality(media_type: str, qualities: dict[str, float]) -> float:
    """Return the quality of a media type by the most precise range that includes it."""
    for media_range in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        if media_range in qualities:
            return qualities[media_range]
    return 0

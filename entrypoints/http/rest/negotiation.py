"""Which form of a blob a client wants: JSON, or its bytes (RFC 9110, section 12.5.1)."""

from typing import Any

from litestar import Request

from entrypoints.http.protocol.header_values import MAX_SIZE, quality
from entrypoints.http.protocol.problems import HttpProblem

JSON = "application/json"
BYTES = "application/octet-stream"
PARAMETERS = ("alt",)


def wants_bytes(request: Request[Any, Any, Any]) -> bool:
    """JSON is the default, and is preferred to the bytes where a client takes both alike."""
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
    """By the most precise of the ranges that it is in."""
    for media_range in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        if media_range in qualities:
            return qualities[media_range]
    return 0

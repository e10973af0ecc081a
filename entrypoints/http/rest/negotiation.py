"""Choice of a blob's form, JSON or its bytes (RFC 9110, section 12.5.1)."""

from functools import lru_cache
from urllib.parse import parse_qsl

from litestar.types import HTTPScope

from domain.text import CONTROL_CHARACTER
from entrypoints.http.openapi.components import MAX_FILENAME
from entrypoints.http.protocol.fields.header_values import MAX_SIZE, quality
from entrypoints.http.protocol.problems import HttpProblem

JSON = "application/json"
BYTES = "application/octet-stream"
PARAMETERS = ("alt", "filename")
REMEMBERED = 128  # clients send few different ones


def wants_bytes(scope: HTTPScope) -> bool:
    """Return whether the client wants the bytes. JSON is the default, also if it accepts both alike."""
    match _alternatives(scope["query_string"]):
        case ():
            return _prefers_bytes(b",".join([value for name, value in scope["headers"] if name == b"accept"]))
        case ("media",):
            return True
        case ("json",):
            return False
    detail = "alt takes media (the bytes) or json, once."
    raise HttpProblem("invalid_parameter", detail)


def filename(scope: HTTPScope) -> str | None:
    """Return the name under which a browser saves the bytes, if the client asks for one. Raises HttpProblem 400."""
    names = _values(scope["query_string"], "filename")
    if not names:
        return None
    if len(names) > 1 or not is_filename(names[0]):
        detail = f"filename is given once, with 1 to {MAX_FILENAME} characters of UTF-8, and no control characters."
        raise HttpProblem("invalid_parameter", detail)
    return names[0]


def is_filename(name: str) -> bool:
    """Return whether a file may be saved under this name."""
    return 0 < len(name) <= MAX_FILENAME and not CONTROL_CHARACTER.search(name)


@lru_cache(maxsize=REMEMBERED)
def _alternatives(query: bytes) -> tuple[str, ...]:
    return _values(query, "alt")


def _values(query: bytes, name: str) -> tuple[str, ...]:
    try:
        parameters = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise HttpProblem("invalid_parameter", "The query is not percent-encoded UTF-8.") from None
    return tuple(value for parameter, value in parameters if parameter == name)


@lru_cache(maxsize=REMEMBERED)
def _prefers_bytes(accept: bytes) -> bool:
    if len(accept) > MAX_SIZE:
        return False  # a server may disregard the field (RFC 9110, section 12.5.1)
    qualities: dict[str, float] = {}
    for item in filter(str.strip, accept.decode("latin-1").split(",")):
        media_range, *parameters = item.split(";")
        qualities[media_range.strip().lower()] = quality(parameters)
    return bool(qualities) and not 0 < _quality(JSON, qualities) >= _quality(BYTES, qualities)


def _quality(media_type: str, qualities: dict[str, float]) -> float:
    """Return the quality of a media type by the most precise range that includes it."""
    for media_range in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        if media_range in qualities:
            return qualities[media_range]
    return 0

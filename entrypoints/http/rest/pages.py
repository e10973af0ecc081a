"""Pages of lists: their query, and cursors made of two values."""

import base64
import binascii
from typing import Annotated
from urllib.parse import parse_qs

import msgspec
from litestar.types import Scope
from msgspec import Meta

from domain.text import CONTROL_CHARACTER
from entrypoints.http.protocol.problems import HttpProblem

MAX_LIMIT = 1000
PARAMETERS = ("prefix", "limit", "cursor")


class PageQuery(msgspec.Struct):
    """The query of a list of uploads, or of versions in the trash."""

    prefix: str = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = 100
    cursor: str = ""


def page_query(scope: Scope) -> PageQuery:
    """Return the query of a request. Raises HttpProblem 400."""
    try:
        found = parse_qs(scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict")
        if repeated := [name for name in PARAMETERS if len(found.get(name, "")) > 1]:
            raise _invalid(f"{repeated[0]} is given more than once.")
        query = msgspec.convert({name: values[0] for name, values in found.items()}, PageQuery, strict=False)
    except (UnicodeDecodeError, ValueError) as error:
        raise _invalid(f"The query is not as it should be: {error}.") from None
    if CONTROL_CHARACTER.search(query.prefix):
        raise _invalid("prefix has a control character in it; no id has.")
    return query


def cursor(blob_id: str, key: str) -> str:
    """Return a cursor that names the last entry of a page."""
    return base64.urlsafe_b64encode(msgspec.json.encode((blob_id, key))).decode().rstrip("=")


def position(text: str) -> tuple[str, str] | None:
    """Return the id and the key in a cursor, or None for the first page. Raises HttpProblem 400."""
    if not text:
        return None
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        blob_id, key = msgspec.json.decode(decoded, type=tuple[str, str])
        if CONTROL_CHARACTER.search(blob_id + key):
            raise ValueError
        return blob_id, key
    except (binascii.Error, ValueError):
        raise bad_cursor() from None


def bad_cursor() -> HttpProblem:
    return _invalid("cursor takes the next_cursor of an earlier page, as it is.")


def _invalid(detail: str) -> HttpProblem:
    return HttpProblem("invalid_parameter", detail)

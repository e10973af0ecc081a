"""The list of blobs: pages of JSON."""

import base64
import binascii
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import parse_qs

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from msgspec import Meta

from application.blobs.list import ListBlobs
from domain.blob import CONTROL_CHARACTER, NEXT, Blob
from entrypoints.http.protocol import conditional
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.rest import operations
from entrypoints.http.rest.json_form import response as json_form

MAX_LIMIT = 1000
PARAMETERS = ("prefix", "delimiter", "limit", "cursor")


class ListedBlob(msgspec.Struct):
    """A blob in a list: `size` in bytes, `created_at` in UTC, to the second."""

    id: str
    size: json_form.Size
    created_at: datetime
    content_type: str
    sha256: json_form.Sha256
    etag: str
    backend: str


class ListBody(msgspec.Struct):
    """A page. `next_cursor` is null on the last one."""

    blobs: list[ListedBlob]
    prefixes: list[str]
    next_cursor: str | None


class Query(msgspec.Struct):
    """The query of a list."""

    prefix: str = ""
    delimiter: str = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = 100
    cursor: str = ""


@get(
    "/v1/blobs",
    operation_id="listBlobs",
    summary="List blobs",
    operation_class=operations.LIST,
    parameters=PARAMETERS,
)
async def list_blobs(request: Request[Any, Any, Any], listing: NamedDependency[ListBlobs]) -> Response[ListBody]:
    """List the blobs whose ids begin with a prefix, in the order of the ids' bytes."""
    query = _query(request.scope["query_string"])
    page = await listing(query.prefix, query.delimiter, query.limit, _start(query.cursor))
    cursor = None if page.following is None else base64.urlsafe_b64encode(page.following.encode()).decode().rstrip("=")
    return Response(ListBody([_listed(blob) for blob in page.blobs], page.prefixes, cursor))


def _query(text: bytes) -> Query:
    try:
        given = parse_qs(text.decode("ascii"), keep_blank_values=True, errors="strict")
        repeated = [name for name in PARAMETERS if len(given.get(name, "")) > 1]
        if repeated:
            raise _invalid(f"{repeated[0]} is given more than once.")
        query = msgspec.convert({name: given[name][0] for name in PARAMETERS if name in given}, Query, strict=False)
        for name in ("prefix", "delimiter"):
            if CONTROL_CHARACTER.search(getattr(query, name)):
                raise _invalid(f"{name} has a control character in it; no id has.")
        return query
    except (UnicodeDecodeError, ValueError) as fault:
        raise _invalid(f"The query is not as it should be: {fault}.") from None


def _start(cursor: str) -> str:
    try:
        start = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        if CONTROL_CHARACTER.search(start.removesuffix(NEXT)):
            raise ValueError
        return start
    except (binascii.Error, ValueError):
        raise _invalid("cursor takes the next_cursor of an earlier page, as it is.") from None


def _invalid(detail: str) -> HttpProblem:
    return HttpProblem("invalid_parameter", detail)


def _listed(blob: Blob) -> ListedBlob:
    return ListedBlob(
        id=blob.id.value,
        size=blob.size,
        created_at=json_form.to_the_second(blob),
        content_type=blob.content_type,
        sha256=blob.digest.hex,
        etag=conditional.etag(blob),
        backend=blob.location.backend,
    )

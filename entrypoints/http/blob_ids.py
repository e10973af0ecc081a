"""Blob ids in URLs.

An id is everything behind /v1/blobs/, percent-decoded once. Routers normalise paths before they match them (they join
slashes, drop one at the end, decode %2F), so that different ids would become one, or another route. So an id takes no
part in routing: the router is shown one fixed path, and the id is read from the path as it was sent.
"""

from urllib.parse import unquote_to_bytes

from litestar.enums import ScopeType
from litestar.exceptions import NotFoundException
from litestar.types import ASGIApp, Receive, Scope, Send

from domain.blob import BlobId
from domain.errors import DriveError, Kind

PREFIX = b"/v1/blobs/"
ROUTE = "/v1/blobs/{id:str}"
SHOWN = "/v1/blobs/id"


class BlobIdsApart:
    """ASGI middleware that keeps the ids out of the router's sight."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and scope["raw_path"].startswith(PREFIX):
            scope["path"] = SHOWN
        await self._app(scope, receive, send)


def blob_id(raw_path: bytes) -> BlobId:
    """The id in a path as it was sent. Raises INVALID_ID, and NotFoundException if the router took another for one."""
    if not raw_path.startswith(PREFIX):
        raise NotFoundException
    try:
        return BlobId(unquote_to_bytes(raw_path.removeprefix(PREFIX)).decode())
    except UnicodeDecodeError as fault:
        detail = f"The blob id in the URL is not UTF-8: byte {fault.start} can't be decoded."
        raise DriveError(Kind.INVALID_ID, detail) from None

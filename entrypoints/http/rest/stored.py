"""Responses about blobs that were stored, and about uploads, as both kinds of handlers send them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec
from litestar import Response

from domain.blob import Blob, BlobId
from entrypoints.http.protocol.fields import conditional
from entrypoints.http.protocol.streaming import ShortResponse
from entrypoints.http.rest.json_form.response import JSON_TYPE, stored_body

_JSON = JSON_TYPE[1].decode()


@dataclass(frozen=True, slots=True)
class Reply:
    """A response with a short body, which is JSON if it is not empty."""

    status: HTTPStatus
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def with_headers(self, headers: Mapping[str, str]) -> "Reply":
        """Return the same response with more headers."""
        return replace(self, headers={**self.headers, **headers})

    def asgi(self) -> ShortResponse:
        """Return the response of a direct route."""
        length = {} if self.status == HTTPStatus.NO_CONTENT else {"content-length": str(len(self.body))}
        headers = {**self.headers, **({"content-type": _JSON} if self.body else {}), **length}
        return ShortResponse(
            [(name.lower().encode(), value.encode()) for name, value in headers.items()], self.status, self.body
        )

    def response(self) -> Response[Any]:
        """Return the response of a route of the framework."""
        if self.status == HTTPStatus.NO_CONTENT:
            return Response(None, status_code=self.status, headers=self.headers)
        headers = {**self.headers, "Content-Type": _JSON} if self.body else self.headers
        return Response(self.body, status_code=self.status, headers=headers)


def stored(blob: Blob, *, replaced: bool) -> Reply:
    """Return the response to a request that has stored a blob."""
    status = HTTPStatus.OK if replaced else HTTPStatus.CREATED
    return Reply(status, validators(blob.id, conditional.etag(blob)), msgspec.json.encode(stored_body(blob)))


def validators(blob_id: BlobId, etag: str) -> Mapping[str, str]:
    """Return the headers that name a stored version. `etag` has its quotes."""
    return {"Location": f"/v1/blobs/{quote(blob_id.value, safe='')}", "ETag": etag}

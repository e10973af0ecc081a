"""A request to store a blob in the JSON form: a short body is read at once, a long one while it is stored."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from io import BytesIO

from litestar.types import Scope

from application.blobs.store import IdentifiedBytes, NewBlob
from application.uploads.intake import too_large
from domain.precondition import CREATE_ONLY
from entrypoints.http.protocol.fields.headers import check_framing, content_length
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.rest.json_form.scanner import Scanner, least_size, scan_whole
from entrypoints.http.rest.scanned_bodies import scanned_blob

SHORT = 256 * 1024  # bytes


async def new_blob(scope: Scope, headers: Mapping[str, str], body: AsyncIterator[bytes], max_bytes: int) -> NewBlob:
    """Return the blob to store. A long body is read up to the start of `data`; the rest is read with the blob's bytes.

    Before a byte is read, raises HttpProblem 411, 415 or 501, or TOO_LARGE if the body is so long that its blob must
    have more than `max_bytes`. Raises what `body` and Scanner raise, here or while the bytes are read.
    """
    _check_media_type(headers)
    check_not_encoded(headers)
    check_framing(scope, headers)
    length = content_length(headers)
    if length is not None and least_size(length) > max_bytes:
        raise too_large(max_bytes)
    if length is not None and length <= SHORT:
        blob_id, data = scan_whole(await _gathered(body))
        return NewBlob(IdentifiedBytes(blob_id, _each(data)), precondition=CREATE_ONLY)
    return NewBlob(await scanned_blob(Scanner(), body), precondition=CREATE_ONLY)


def check_not_encoded(headers: Mapping[str, str]) -> None:
    """Raise HttpProblem 415 for a form that is itself encoded: it would have to be decoded to be read."""
    if headers.get("content-encoding", "").strip().lower() not in ("", "identity"):
        detail = "Send this form without Content-Encoding. To store encoded bytes and their encoding, use PUT."
        raise HttpProblem("unsupported_media_type", detail)


def _check_media_type(headers: Mapping[str, str]) -> None:
    media_type = headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json":
        raise HttpProblem("unsupported_media_type")


async def _gathered(body: AsyncIterator[bytes]) -> bytes:
    """Return all of a body, in one buffer: small chunks would take many times their bytes."""
    gathered = BytesIO()
    async for chunk in body:
        gathered.write(chunk)
    return gathered.getvalue()


async def _each(data: bytes) -> AsyncGenerator[bytes]:
    yield data

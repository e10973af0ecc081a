"""The JSON form of a blob: {"id": ..., "data": <base64>, ...}."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any

import msgspec
import pybase64
from litestar.types import Receive, Scope

from application.fetch_blob import OpenBlob
from domain.blob import Blob, BlobId, ByteRange
from entrypoints.http import base64_text, conditions
from entrypoints.http.answers import Headers
from entrypoints.http.pace import Meter, Pace
from entrypoints.http.problems import HttpProblem

MAX_BODY = 64 * 1024 * 1024
EXAMPLE = '{"id": "my-blob", "data": "SGVsbG8gV29ybGQh"}'


class NewBlobBody(msgspec.Struct, forbid_unknown_fields=True):
    """A blob to be stored: `data` in standard base64."""

    id: str
    data: str


class BlobBody(msgspec.Struct):
    """A stored blob: `data` in standard base64, `size` in bytes, `created_at` in UTC, to the second."""

    id: str
    data: str
    size: int
    created_at: datetime


class StoredBody(msgspec.Struct):
    """What is known of a blob that was just stored."""

    message: str
    id: str
    size: int
    created_at: datetime
    sha256: str


def stored_body(blob: Blob) -> StoredBody:
    return StoredBody("Blob stored successfully", blob.id.value, blob.size, to_the_second(blob), blob.digest.hex)


def to_the_second(blob: Blob) -> datetime:
    return blob.created_at.replace(microsecond=0)


async def read_body(scope: Scope, receive: Receive, pace: Pace) -> bytes:
    """The whole body of a request in this form. Raises HttpProblem 413 and 415 before it is read, ClientGone."""
    headers = dict(scope["headers"])
    media_type = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    if media_type != b"application/json":
        fault = "Send the blob as JSON, with the header Content-Type: application/json."
        raise HttpProblem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", fault, close=True)
    if int(headers.get(b"content-length", b"0")) > MAX_BODY:
        raise _too_large()
    body = bytearray()
    async for chunk in Meter(pace).chunks(receive):
        body += chunk
        if len(body) > MAX_BODY:
            raise _too_large()
    return bytes(body)


def _too_large() -> HttpProblem:
    fault = f"In the JSON form a request may have up to {MAX_BODY:,} bytes."
    return HttpProblem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", fault, close=True)


def parse(body: bytes) -> tuple[BlobId, bytes]:
    """The id and the bytes in a body. Raises HttpProblem 400 for what is wrong with it, and INVALID_ID."""
    try:
        # Stops at the first byte that does not fit, so a body of another shape is not built up in vain.
        new = msgspec.json.decode(body, type=NewBlobBody)
        json.loads(body, object_pairs_hook=_unrepeated)
    except msgspec.ValidationError as fault:
        raise _invalid("invalid_body", f"The body is not as it should be: {fault}. Send {EXAMPLE}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise _invalid("invalid_json", f"The body is not JSON in UTF-8: {fault}. Send {EXAMPLE}") from None
    blob_id = BlobId(new.id)
    try:
        return blob_id, base64_text.decode(new.data)
    except base64_text.Base64Error as fault:
        raise _invalid("invalid_base64", f"data is not standard base64 (RFC 4648, section 4), {fault}") from None


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """RFC 8259 leaves open what a repeated member means, and the decoder takes the last. Here nothing is guessed."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _invalid("invalid_body", f"The body has a member more than once. Send {EXAMPLE}")
    return members


def _invalid(code: str, detail: str) -> HttpProblem:
    return HttpProblem(HTTPStatus.BAD_REQUEST, code, detail)


def part_of(headers: Mapping[str, str], blob: Blob) -> None:
    """The whole, always. Raises what `check_reading` raises."""
    conditions.check_reading(headers, blob)


def headers_of(blob: Blob, _: ByteRange | None = None) -> Headers:
    """The headers of a GET, or of the HEAD beside it."""
    head, tail = _frame(blob)
    length = len(head) + base64_text.encoded_size(blob.size) + len(tail)
    return [("content-type", "application/json"), ("content-length", str(length)), *validators(blob)]


def validators(blob: Blob) -> Headers:
    return [("etag", conditions.json_etag(blob)), ("vary", "Accept")]


async def pieces(opened: OpenBlob) -> AsyncIterator[bytes]:
    """A blob in this form, encoded as it is read."""
    head, tail = _frame(opened.blob)
    piece, rest = head, b""
    async for chunk in opened:
        if piece is not head:
            yield piece
            piece = b""
        data = rest + chunk
        whole = len(data) - len(data) % 3
        piece += pybase64.b64encode(data[:whole])
        rest = data[whole:]
    yield piece + pybase64.b64encode(rest) + tail


def _frame(blob: Blob) -> tuple[bytes, bytes]:
    """What stands before the data, and behind them."""
    head = b'{"id":' + msgspec.json.encode(blob.id.value) + b',"data":"'
    return head, b'","size":%d,"created_at":%b}' % (blob.size, msgspec.json.encode(to_the_second(blob)))

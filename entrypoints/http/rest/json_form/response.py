"""The JSON form of a blob: {"id": ..., "data": <base64>, ...}."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from application.blobs.fetch import OpenBlob
from domain.blob import Blob, ByteRange
from entrypoints.http.protocol import conditional
from entrypoints.http.protocol.streaming import Headers, Representation
from entrypoints.http.rest.json_form import base64_text

Size = Annotated[int, Meta(ge=0)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class BlobBody(msgspec.Struct):
    """A stored blob: `data` in standard base64, `size` in bytes, `created_at` in UTC, to the second.

    `content_encoding` is there only if the blob was stored with one; then `data` holds the encoded bytes.
    """

    id: str
    data: str
    size: Size
    created_at: datetime
    content_encoding: str | msgspec.UnsetType = msgspec.UNSET


class StoredBody(msgspec.Struct):
    """The response to a request that stored a blob."""

    message: str
    id: str
    size: Size
    created_at: datetime
    sha256: Sha256


def stored_body(blob: Blob) -> StoredBody:
    return StoredBody("Blob stored successfully", blob.id.value, blob.size, to_the_second(blob), blob.digest.hex)


def to_the_second(blob: Blob) -> datetime:
    return blob.created_at.replace(microsecond=0)


class JsonForm(Representation):
    """The bytes in base64, in a JSON object. It has no parts."""

    def part(self, headers: Mapping[str, str], blob: Blob) -> None:
        conditional.check_reading(headers, blob)

    def headers(self, blob: Blob, _: ByteRange | None = None) -> Headers:
        head, tail = _frame(blob)
        length = len(head) + base64_text.encoded_size(blob.size) + len(tail)
        return [("content-type", "application/json"), ("content-length", str(length)), *self.validators(blob)]

    def validators(self, blob: Blob) -> Headers:
        return [("etag", conditional.json_etag(blob)), ("vary", "Accept")]

    async def chunks(self, opened: OpenBlob) -> AsyncIterator[bytes]:
        head, tail = _frame(opened.blob)
        encoded, encoder = head, base64_text.Encoder()
        async for chunk in opened:
            if encoded is not head:
                yield encoded
                encoded = b""
            encoded += encoder.feed(chunk)
        yield encoded + encoder.end() + tail

    def whole(self, blob: Blob, data: bytes) -> bytes:
        head, tail = _frame(blob)
        return head + base64_text.encode(data) + tail


JSON = JsonForm()


def _frame(blob: Blob) -> tuple[bytes, bytes]:
    """Return the text before the data, and after it."""
    head = b'{"id":' + msgspec.json.encode(blob.id.value) + b',"data":"'
    tail = b'","size":%d,"created_at":%b' % (blob.size, msgspec.json.encode(to_the_second(blob)))
    if blob.content_encoding:
        tail += b',"content_encoding":' + msgspec.json.encode(blob.content_encoding)
    return head, tail + b"}"

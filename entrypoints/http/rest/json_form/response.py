"""The JSON form of a blob: {"id": ..., "data": <base64>, ...}."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from application.blobs.fetch import OpenBlob
from domain.blob import Blob, ByteRange
from entrypoints.http.protocol.fields import conditional
from entrypoints.http.protocol.streaming import VARY, Headers, Representation
from entrypoints.http.rest.json_form import base64_text

Size = Annotated[int, Meta(ge=0)]
JSON_TYPE = (b"content-type", b"application/json")
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
    sha256: Sha256 | msgspec.UnsetType = msgspec.UNSET


def stored_body(blob: Blob) -> StoredBody:
    return StoredBody("Blob stored successfully", blob.id.value, blob.size, to_the_second(blob), sha256(blob))


def sha256(blob: Blob) -> str | msgspec.UnsetType:
    """Return the digest as text, unless it is not known yet."""
    digest = blob.content.digest
    return msgspec.UNSET if digest is None else digest.hex


def to_the_second(blob: Blob) -> datetime:
    return blob.created_at.replace(microsecond=0)


class JsonForm(Representation):
    """The bytes in base64, in a JSON object. It has no parts."""

    def part(self, headers: Mapping[str, str], blob: Blob) -> None:
        conditional.check_reading(headers, blob, conditional.json_etag)

    def headers(self, blob: Blob, _: ByteRange | None = None) -> Headers:
        head, tail = _frame(blob)
        return self._headers(blob, len(head) + base64_text.encoded_size(blob.size) + len(tail))

    def validators(self, blob: Blob) -> Headers:
        return [(b"etag", conditional.json_etag(blob).encode()), VARY]

    async def chunks(self, opened: OpenBlob) -> AsyncIterator[bytes]:
        head, tail = _frame(opened.blob)
        encoded, encoder = head, base64_text.Encoder()
        async for chunk in opened:
            if encoded is not head:
                yield encoded
                encoded = b""
            encoded += encoder.feed(chunk)
        yield encoded + encoder.end() + tail

    def whole(self, blob: Blob, _: ByteRange | None, data: bytes) -> tuple[Headers, bytes]:
        head, tail = _frame(blob)
        body = b"%b%b%b" % (head, base64_text.encode(data), tail)
        return self._headers(blob, len(body)), body

    def _headers(self, blob: Blob, length: int) -> Headers:
        etag = conditional.json_etag(blob).encode()
        return [JSON_TYPE, (b"content-length", b"%d" % length), (b"etag", etag), VARY]


JSON = JsonForm()


def _frame(blob: Blob) -> tuple[bytes, bytes]:
    """Return the text before the data, and after it."""
    created_at = msgspec.json.encode(blob.created_at.replace(microsecond=0))
    coding = blob.properties.content_encoding
    encoding = b',"content_encoding":%b' % msgspec.json.encode(coding) if coding else b""
    return (
        b'{"id":%b,"data":"' % msgspec.json.encode(blob.id.value),
        b'","size":%d,"created_at":%b%b}' % (blob.size, created_at, encoding),
    )

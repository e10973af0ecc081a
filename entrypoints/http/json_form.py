"""The JSON form of a blob: {"id": ..., "data": <base64>, ...}."""

from collections.abc import AsyncIterator
from datetime import datetime
from http import HTTPStatus

import msgspec
from litestar.types import Receive, Scope, Send

from application.fetch_blob import OpenBlob
from domain.blob import Blob
from entrypoints.http import base64_text


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


def etag(blob: Blob) -> str:
    """The validator of this form: not the bytes' own, which is that of the raw form (RFC 9110, section 8.8.3)."""
    return f'"{blob.etag}-json"'


class JsonBlob:
    """An ASGI answer: an open blob in the JSON form, encoded as it is read, with its length known beforehand."""

    def __init__(self, opened: OpenBlob) -> None:
        self._opened = opened
        blob = opened.blob
        id_member = b'{"id":' + msgspec.json.encode(blob.id.value)
        self._head = id_member + b',"data":"'
        self._tail = b'","size":%d,"created_at":%b}' % (blob.size, msgspec.json.encode(to_the_second(blob)))
        length = len(self._head) + base64_text.encoded_size(blob.size) + len(self._tail)
        self._headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % length),
            (b"etag", etag(blob).encode()),
            (b"vary", b"Accept"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._opened:
            pieces = self._pieces()
            # The status waits for the first bytes, so that a blob that can't be read is still answered with an error.
            piece = await anext(pieces)
            await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": self._headers})
            async for following in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                piece = following
            await send({"type": "http.response.body", "body": piece, "more_body": False})

    async def _pieces(self) -> AsyncIterator[bytes]:
        piece, encoder = self._head, base64_text.Encoder()
        async for chunk in self._opened:
            if piece is not self._head:
                yield piece
                piece = b""
            piece += encoder.feed(chunk)
        yield piece + encoder.end() + self._tail

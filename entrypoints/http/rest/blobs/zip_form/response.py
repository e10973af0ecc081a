"""The response with a zip file: of known length, and broken off if a blob can't be read."""

from collections.abc import Iterable
from contextlib import aclosing
from urllib.parse import quote

from litestar.types import Receive, Scope, Send

from application.blobs.collect import CollectBlobs, Selection
from domain.access import Grant
from entrypoints.http.protocol.client_pace import ClientTooSlow, Meter, Pace
from entrypoints.http.protocol.streaming import OK, Headers, ShortResponse, cut_off, send_chunks
from entrypoints.http.rest.blobs.zip_form.stream import Entries, zip_chunks

MEDIA_TYPE = "application/zip"
ALL = "blobs"
"""The name of a file with blobs of no folder."""


class ZipResponse:
    """An ASGI response with the blobs of a selection, with names relative to `folder`. All ids begin with that.

    Errors before the first bytes get a response of their own. After them, the connection is cut.
    """

    def __init__(
        self, collect: CollectBlobs, grant: Grant, selection: Selection, folder: str, filename: str | None, pace: Pace
    ) -> None:
        self._collect = collect
        self._grant = grant
        self._selection = selection
        self._folder = folder
        self._filename = filename or f"{folder.rstrip('/').rpartition('/')[2] or ALL}.zip"
        self._pace = pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        entries = Entries(self._folder)
        async with self._collect(self._grant, self._selection, entries.add) as collection:
            headers = self._headers(entries.layout.length)
            if scope.get("is_head"):
                await ShortResponse(headers)(scope, receive, send)
                return
            try:
                async with aclosing(zip_chunks(collection, self._folder)) as chunks:
                    await send_chunks(chunks, OK, lambda: headers, Meter(self._pace), receive, send)
            except ClientTooSlow:
                cut_off(scope)

    def _headers(self, length: int) -> Headers:
        disposition = f"attachment; filename*=UTF-8''{quote(self._filename, safe='')}"
        return [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % length),
            (b"content-disposition", disposition.encode()),
            (b"accept-ranges", b"none"),
            (b"cache-control", b"no-store"),
        ]


def folder_of(text: str) -> str:
    """Return the folder of an id or a prefix: all up to the last slash, with it."""
    return text[: text.rfind("/") + 1]


def common_folder(texts: Iterable[str]) -> str:
    """Return the longest folder in which all of these ids and prefixes are."""
    folders = sorted({folder_of(each) for each in texts})
    common = folders[0]
    while not folders[-1].startswith(common):
        common = folder_of(common[:-1])
    return common

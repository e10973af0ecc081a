"""Responses with a document, or without a body."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from http import HTTPStatus

from litestar.types import Receive, Scope, Send

from entrypoints.http.protocol.streaming import Headers, ShortResponse
from entrypoints.http.s3 import xml
from entrypoints.http.s3.xml import Tree

XML_TYPE = (b"content-type", b"application/xml")
QUIET = 5.0
"""Seconds after which a client learns that its request is still worked on: proxies end connections after 30 or so."""


def xml_response(root: str, children: Iterable[Tree] | str, *, headers: Headers = ()) -> ShortResponse:
    """Return a response with a document."""
    return _with_body(xml.document(root, children), headers, HTTPStatus.OK)


def _with_body(body: bytes, headers: Headers, status: int) -> ShortResponse:
    return ShortResponse([XML_TYPE, (b"content-length", b"%d" % len(body)), *headers], status, body)


def empty_response(status: int = HTTPStatus.OK, headers: Headers = ()) -> ShortResponse:
    """Return a response without a body."""
    length = [] if status == HTTPStatus.NO_CONTENT else [(b"content-length", b"0")]
    return ShortResponse([*length, *headers], status)


class PatientResponse:
    """The outcome of an operation that may take long: white space is sent while it does, every `QUIET` seconds.

    Then the status is 200 whatever comes, and an error is in the body (Amazon S3 API Reference,
    CompleteMultipartUpload and UploadPartCopy). `work` returns the root element, its children and further headers,
    which a late document can't have; `failed` returns the document of an error.
    """

    def __init__(
        self,
        work: Callable[[], Awaitable[tuple[str, Sequence[Tree], Headers]]],
        failed: Callable[[Exception], bytes],
        quiet: float | None = None,
    ) -> None:
        self._work = work
        self._failed = failed
        self._quiet = QUIET if quiet is None else quiet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Not cancelled with the request: a client that has left should find the object when it asks again.
        task = asyncio.ensure_future(self._work())
        done, _ = await asyncio.wait([task], timeout=self._quiet)
        if done:
            root, children, headers = task.result()
            await xml_response(root, children, headers=headers)(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": [XML_TYPE]})
        await send({"type": "http.response.body", "body": xml.HEAD, "more_body": True})
        while not done:
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
            done, _ = await asyncio.wait([task], timeout=self._quiet)
        try:
            root, children, _ = task.result()
            document = xml.document(root, children)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client has to learn that it failed
            document = self._failed(error)
        await send({"type": "http.response.body", "body": document.removeprefix(xml.HEAD), "more_body": False})

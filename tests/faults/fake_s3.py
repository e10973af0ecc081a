"""A server that plays S3, and replies to chosen operations like a login page or a broken proxy."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from adapters.storage.s3.config import S3Config
from adapters.storage.s3.store import S3BlobStore
from application.ports.features import FeatureReport, unreported

DATE = "Fri, 27 Oct 2023 10:00:00 GMT"
ID = {"x-amz-request-id": "tx1"}


@dataclass(frozen=True)
class Reply:
    """An HTTP response. With `length`, Content-Length is not that of the body.

    With `held`, all but the head and `early` bytes of the body is sent once that event is set; nothing if `early` is 0.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | bytes = ""
    length: int | None = None
    held: asyncio.Event | None = None
    early: int = 0

    def encode(self) -> bytes:
        headers = {"Content-Length": str(len(self.body) if self.length is None else self.length), **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        body = self.body if isinstance(self.body, bytes) else self.body.encode()
        return f"HTTP/1.1 {self.status} Whatever\r\n{head}\r\n".encode() + body


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def operation(self) -> str:
        """The name that S3's reference has for it."""
        is_object = len(self.path.split("/")) > 2
        match self.method:
            case "GET" if not is_object:
                return "ListMultipartUploads" if "uploads" in self.query else "ListObjects"
            case "POST":
                return "CreateMultipartUpload" if "uploads" in self.query else "CompleteMultipartUpload"
            case "PUT":
                return "UploadPart" if "partNumber" in self.query else "PutObject"
            case "DELETE":
                return "AbortMultipartUpload" if "uploadId" in self.query else "DeleteObject"
            case _:
                return f"{self.method.capitalize()}Object"


Replies = Mapping[str, Reply | Callable[[Request], Reply | None]]
"""By the name of the operation. A function returns None for the usual reply."""


def error(status: int, code: str) -> Reply:
    """An error as S3 sends it."""
    return Reply(status, ID | {"Content-Type": "application/xml"}, f"<Error><Code>{code}</Code></Error>")


def without_conditions(request: Request) -> Reply | None:
    """Reply as a server that knows no conditional writes."""
    return error(501, "NotImplemented") if "if-none-match" in request.headers else None


class FakeS3:
    """Replies to each operation as S3 does, unless `replies` has another for it, or for all: "*".

    It keeps nothing: each object has `size` bytes, and there are no uploads but those under the keys `uploads`.
    """

    def __init__(
        self,
        replies: Replies,
        size: int = 3,
        uploads: tuple[str, ...] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.replies = replies
        self.tls = tls
        self.size = size
        self.uploads = uploads
        self.operations: list[str] = []
        self.aborted: list[str] = []
        self._sessions: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0, ssl=self.tls)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for session in self._sessions:
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._sessions.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                first, *lines = head.splitlines()
                method, target, _ = first.split()
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                url = urlsplit(target)
                query = parse_qs(url.query, keep_blank_values=True)
                reply = self._reply(Request(method, url.path, query, headers, body))
                encoded = reply.encode()
                if reply.held is not None:
                    sent = len(encoded) - len(reply.body) + reply.early if reply.early else 0
                    writer.write(encoded[:sent])
                    encoded = encoded[sent:]
                    await reply.held.wait()
                writer.write(encoded)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _reply(self, request: Request) -> Reply:
        operation = request.operation
        self.operations.append(operation)
        chosen = self.replies.get(operation) or self.replies.get("*")
        reply = (chosen(request) if callable(chosen) else chosen) or self._usual(request)
        return reply if request.method != "HEAD" else Reply(reply.status, reply.headers, "", len(reply.body))

    def _usual(self, request: Request) -> Reply:
        key = request.path.rpartition("/")[2]
        head = {"ETag": '"e"', "Last-Modified": DATE, **ID}
        match request.operation:
            case "ListObjects":
                return Reply(200, ID, "<R><Name>b</Name><IsTruncated>false</IsTruncated></R>")
            case "ListMultipartUploads":
                found = "".join(f"<Upload><Key>{key}</Key><UploadId>u</UploadId></Upload>" for key in self.uploads)
                return Reply(200, ID, f"<R><Bucket>b</Bucket>{found}<IsTruncated>false</IsTruncated></R>")
            case "CreateMultipartUpload":
                return Reply(200, ID, f"<R><Key>{key}</Key><UploadId>u</UploadId></R>")
            case "CompleteMultipartUpload":
                return Reply(200, ID, f"<R><Bucket>b</Bucket><Key>{key}</Key><ETag>e</ETag></R>")
            case "PutObject" | "UploadPart":
                return Reply(200, {"ETag": '"e"', **ID})
            case "AbortMultipartUpload":
                self.aborted.append(key)
                return Reply(204, ID)
            case "DeleteObject":
                return Reply(204, ID)
            case "HeadObject" if "CreateMultipartUpload" not in self.operations:
                return Reply(404, ID)
            case _:
                return Reply(200, head, "x" * self.size)


class KeepingS3(FakeS3):
    """A server that keeps small objects."""

    def __init__(self, replies: Replies) -> None:
        super().__init__(replies)
        self.objects: dict[str, bytes] = {}

    def _usual(self, request: Request) -> Reply:
        key = request.path.rpartition("/")[2]
        match request.operation:
            case "ListObjects":
                after = request.query.get("start-after", [""])[0]
                found = "".join(
                    f"<Contents><Key>{each}</Key></Contents>" for each in sorted(self.objects) if each > after
                )
                return Reply(200, ID, f"<R><Name>b</Name>{found}<IsTruncated>false</IsTruncated></R>")
            case "PutObject":
                self.objects[key] = request.body
            case "DeleteObject":
                self.objects.pop(key, None)
            case "GetObject" | "HeadObject":
                return self._object(key, request.headers.get("range", ""))
        return super()._usual(request)

    def _object(self, key: str, part: str) -> Reply:
        if key not in self.objects:
            return error(404, "NoSuchKey")
        data = self.objects[key]
        head = {"ETag": '"e"', "Last-Modified": DATE, **ID}
        if not part:
            return Reply(200, head, data)
        first, last = map(int, part.removeprefix("bytes=").split("-"))
        head["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return Reply(206, head, data[first : last + 1])


@asynccontextmanager
async def on_fake_s3(
    replies: Replies | None = None,
    size: int = 3,
    uploads: tuple[str, ...] = (),
    report: FeatureReport = unreported,
    **config: Any,
) -> AsyncIterator[tuple[FakeS3, S3BlobStore]]:
    """A fake server, and a store on it that makes each request once, unless its `config` differs."""
    async with FakeS3(replies or {}, size, uploads) as server:
        given = S3Config("b", "r", "a", "s", server.url, path_style=True, **({"attempts": 1} | config))
        async with S3BlobStore(given, report=report) as store:
            yield server, store

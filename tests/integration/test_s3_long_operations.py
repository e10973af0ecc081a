"""Operations of S3 that take longer than clients wait for a byte: what they send, and what is recorded of them."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from litestar.types import ASGIApp

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.storage.memory import MemoryBlobStore
from application.blobs.changes.commit import CommitOperations
from application.blobs.changes.operations import Rules
from application.blobs.multipart.copy_part import CopyPart
from application.blobs.multipart.uploads import NewUpload
from application.ports.blob_store import Stored
from application.ports.metadata import UnitOfWork, UnitOfWorkFactory
from application.stores import Stores
from application.uploads.committer import Committer
from domain.access import EVERYTHING, Grant
from domain.blob import BlobId, ObjectKey
from domain.buckets import Bucket
from domain.errors import Unavailable
from entrypoints.http.middleware.access_log import AccessLogMiddleware
from entrypoints.http.middleware.audit import AuditMiddleware
from entrypoints.http.middleware.base.exchange import Exchange
from entrypoints.http.middleware.base.stack import MiddlewareStack
from entrypoints.http.protocol.client_pace import Pace
from entrypoints.http.s3 import responses
from entrypoints.http.s3.completions import Completions
from entrypoints.http.s3.errors import S3Error
from entrypoints.http.s3.multipart.part_copies import upload_part_copy
from entrypoints.http.s3.multipart.uploads import complete_multipart_upload
from entrypoints.http.s3.request import S3Request
from entrypoints.telemetry.audit import AuditLog
from tests.asgi import scope
from tests.integration.drive import LONG_AGO, Drive, Time
from tests.integration.test_contents import uploads

BUCKET = Bucket("films", "films/", "", LONG_AGO)
TARGET = BlobId("films/target")
BEGUN = 3  # messages: the status, the head of the document, and white space


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """White space comes at once."""
    monkeypatch.setattr(responses, "QUIET", 0.001)


class Buckets:
    """All are the same bucket."""

    async def known(self, grant: Grant, name: str) -> Bucket:
        return BUCKET


@dataclass
class Call:
    """A request about `TARGET`. `go_on` is set once its response has begun."""

    query: dict[str, str]
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    sent: list[Any] = field(default_factory=list)

    async def __call__(
        self, operation: Callable[[S3Request], Awaitable[ASGIApp]], log: AuditLog, **use_cases: Any
    ) -> None:
        cases: Any = SimpleNamespace(buckets=Buckets(), pace=Pace(), completions=Completions(), acls=False, **use_cases)

        async def respond(exchange: Exchange) -> None:
            headers = {"content-length": str(len(self.body)), **self.headers}
            request = S3Request(exchange, cases, "films", "target", self.query, headers, EVERYTHING)
            response = await operation(request)
            await response(exchange.scope, exchange.receive, exchange.send)

        middleware = [AccessLogMiddleware(), AuditMiddleware(log)]
        app: Any = MiddlewareStack(respond, respond, middleware, Pace())  # type: ignore[arg-type]
        async with asyncio.timeout(20):
            await app(scope("PUT", "/films/target", b"", {}) | {"client": None}, self._receive, self._send)

    async def _receive(self) -> Any:
        return {"type": "http.request", "body": self.body}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)
        if len(self.sent) == BEGUN:
            self.go_on.set()

    @property
    def status(self) -> int:
        found: int = self.sent[0]["status"]
        return found

    @property
    def document(self) -> str:
        return b"".join(message["body"] for message in self.sent[1:]).decode()


@dataclass(frozen=True)
class Waits(UnitOfWorkFactory):
    """Units of work that wait before they begin."""

    units: UnitOfWorkFactory
    go_on: asyncio.Event

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        await self.go_on.wait()
        async with self.units() as work:
            yield work


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def log(trail: Path) -> Any:
    log = AuditLog(str(trail), with_ids=True)
    log.open()
    yield log
    log.close()


def outcomes(trail: Path) -> set[tuple[str, int]]:
    """Return the outcomes and the statuses in the audit trail."""
    lines = [json.loads(line) for line in trail.read_text().splitlines()]
    return {(line["outcome"], line["status"]) for line in lines}


@pytest.mark.usefixtures("impatient")
async def test_a_completion_that_fails_late_is_recorded_as_failed(drive: Drive, log: AuditLog, trail: Path) -> None:
    key = (await uploads(drive).begin(EVERYTHING, NewUpload(TARGET))).key
    named = b"<Part><PartNumber>1</PartNumber><ETag>a</ETag></Part>"
    body = b"<CompleteMultipartUpload>%s</CompleteMultipartUpload>" % named
    call = Call({"uploadId": key.value}, body=body)
    late = Committer(Waits(drive.metadata, call.go_on), ObjectKey.random)
    commit = CommitOperations(late, late, Rules())
    await call(complete_multipart_upload, log, uploads=uploads(drive), commit=commit, fetch=drive.fetch)
    assert call.status == 200
    assert "<Code>InvalidPart</Code>" in call.document, "it has none"
    assert outcomes(trail) == {("failed", 400)}


class SlowStore(MemoryBlobStore):
    """A storage whose writes wait until `go_on` is set, and then succeed, or fail."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on: asyncio.Event | None = None
        self.fails = False

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        if self.go_on is not None:
            await self.go_on.wait()
        if self.fails:
            raise Unavailable("the storage is down", backend="memory")
        return await super().put(key, chunks)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fails", [False, True])
async def test_bytes_are_copied_to_a_part_while_white_space_is_sent(fails: bool, log: AuditLog, trail: Path) -> None:
    time, store = Time(), SlowStore()
    drive = Drive(MemoryMetadata(time), Stores("memory", {"memory": store}), time)
    await drive.put(b"source", BlobId("films/source"))
    key = (await uploads(drive).begin(EVERYTHING, NewUpload(TARGET))).key
    headers = {"x-amz-copy-source": "films/source", "x-amz-copy-source-range": "bytes=1-2"}
    call = Call({"uploadId": key.value, "partNumber": "1"}, headers)
    store.go_on, store.fails = call.go_on, fails
    copy = CopyPart(uploads(drive), drive.metadata.contents)
    await call(upload_part_copy, log, uploads=uploads(drive), copy_part=copy, fetch=drive.fetch)
    assert call.status == 200
    assert [message["body"] for message in call.sent[2:BEGUN]] == [b" "]
    parts = await uploads(drive).parts(EVERYTHING, key)
    if fails:
        assert "<Code>ServiceUnavailable</Code>" in call.document
        assert parts == []
    else:
        etag = hashlib.md5(b"ou", usedforsecurity=False).hexdigest()
        assert "<CopyPartResult" in call.document
        assert f'<ETag>"{etag}"</ETag>' in call.document.replace("&quot;", '"')
        assert [part.size for part in parts] == [2]
    assert outcomes(trail) == {("failed", 503) if fails else ("ok", 200)}


async def test_a_part_that_can_not_be_copied_has_a_status_of_its_own(drive: Drive, log: AuditLog) -> None:
    await drive.put(b"source", BlobId("films/source"))
    key = (await uploads(drive).begin(EVERYTHING, NewUpload(TARGET))).key
    headers = {"x-amz-copy-source": "films/source", "x-amz-copy-source-range": "bytes=1-6"}
    call = Call({"uploadId": key.value, "partNumber": "1"}, headers)
    copy = CopyPart(uploads(drive), drive.metadata.contents)
    with pytest.raises(S3Error) as raised:
        await call(upload_part_copy, log, uploads=uploads(drive), copy_part=copy, fetch=drive.fetch)
    assert (raised.value.status, call.sent) == (416, [])

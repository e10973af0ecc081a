"""Uploads: small ones in one request, large ones in a request that goes on after a failure, streams in chunks.

Large ones and streams follow the IETF draft on resumable uploads (draft-ietf-httpbis-resumable-upload-12).
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from entrypoints.client.errors import (
    AlreadyExists,
    ConnectionFailed,
    DigestMismatch,
    DrivebayError,
    Forbidden,
    NotFound,
    PreconditionFailed,
)
from entrypoints.client.flows.blobs import head, path_of
from entrypoints.client.flows.commands import CHUNK, END, Call, Flow, Pull, Reply, Span, Work, sha256
from entrypoints.client.flows.journal import UploadJournal
from entrypoints.client.flows.retrying import Attempts, Retries, is_temporary, send
from entrypoints.client.flows.sources import BytesSource, FileSource, Source
from entrypoints.client.models import META, Progress, PutResult, digest_field

SMALL = 8 << 20  # bytes of a blob that is sent in one request
PIECE = 8 << 20  # bytes of a stream that are kept in memory until the server has them
REMEDIABLE = frozenset({401, 403, 507})
"""Errors of the token, of the quota and of the disk: an upload goes on once their cause is gone."""
SMALLEST = 256 << 10  # bytes that a request is reduced to where connections break often
CHECKED = 8 << 20  # bytes that the slowest server compares with their digest in a second
BRIEF = 5.0  # seconds for what is not worth a wait, perhaps after Ctrl-C
PARTIAL = "application/partial-upload"
OFFSET, COMPLETE = "upload-offset", "upload-complete"


@dataclass(frozen=True, slots=True)
class PutOptions:
    """The properties of a blob to store, and when it may be stored."""

    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    content_encoding: str | None = None
    cache_control: str | None = None
    content_disposition: str | None = None
    expires_in: int | None = None
    expires_at: datetime | None = None
    create_only: bool = False
    if_match: str | None = None

    @property
    def is_conditional(self) -> bool:
        return self.create_only or self.if_match is not None

    def headers(self) -> dict[str, str]:
        """Return the headers of a PUT. Raises ValueError."""
        if self.create_only and self.if_match is not None:
            raise ValueError("create_only and if_match exclude each other. Give one of them.")
        if self.expires_at is not None and self.expires_at.tzinfo is None:
            raise ValueError("expires_at has no time zone. Give it one, as datetime.now(UTC) has.")
        named = {
            "content-type": self.content_type,
            "content-encoding": self.content_encoding,
            "cache-control": self.cache_control,
            "content-disposition": self.content_disposition,
            "x-expires-in": None if self.expires_in is None else str(self.expires_in),
            "x-expires-at": None if self.expires_at is None else self.expires_at.isoformat(),
            "if-none-match": "*" if self.create_only else None,
            "if-match": self.if_match,
        }
        found = {name: value for name, value in named.items() if value is not None}
        return found | {META + name: quote(value, safe="") for name, value in self.metadata.items()}


class Upload:
    """A blob on its way to the server."""

    def __init__(self, retries: Retries, blob_id: str, options: PutOptions, progress: Progress | None) -> None:
        self._retries = retries
        self._id = blob_id
        self._headers = options.headers()
        self._is_conditional = options.is_conditional
        self._progress = progress
        self._done = 0
        self._total: int | None = None

    def put(self, source: Source, journal: UploadJournal | None = None) -> Flow[PutResult]:
        """Store the bytes of a source, in one request if they are few.

        A request with a condition that was repeated would fail, because the first one has changed the blob. So such
        an upload is a resumable one of any size: its last response can be asked for again.
        """
        self._total = source.size
        digest = yield from sha256(source)
        if source.size > SMALL or self._is_conditional:
            return (yield from self._resumable(source, digest, journal))
        return (yield from self._whole(source, digest))

    def _whole(self, source: Source, digest: bytes) -> Flow[PutResult]:
        attempts = Attempts(self._retries)
        length = {"content-length": str(source.size), "repr-digest": digest_field(digest)}
        while True:
            self._at(0)
            call = Call("PUT", path_of(self._id), self._headers | length, Span(source, 0, source.size, self._sent))
            try:
                reply: Reply = yield call
                if reply.is_success:
                    return PutResult(self._id, reply.headers["etag"], source.size, digest.hex())
                raise reply.error()
            except DrivebayError as error:
                if not is_temporary(error):
                    raise
                yield from attempts.wait(error)

    def _resumable(self, source: Source, digest: bytes, journal: UploadJournal | None) -> Flow[PutResult]:
        kept = self._headers | {"id": self._id}  # the upload is bound to its blob
        path = journal.upload(digest, kept) if journal else None
        if journal and path is not None and not (yield from self._may_go_on(source, path)):
            journal.end()
            yield from self._discard(path)
            path = None
        resumed = path is not None
        while True:
            if path is None:
                path = yield from self._begin(self._declared(source, digest))
                if journal:
                    journal.begin(path, digest, kept)
            try:
                etag = yield from self._append(source, path, resumed=resumed)
                break
            except NotFound:  # it has expired since the last run
                if not resumed:
                    raise
                path, resumed = None, False
            except DrivebayError as error:
                if not is_temporary(error) and not (journal and error.status in REMEDIABLE):
                    if journal:
                        journal.end()
                    yield from self._discard(path)
                raise
        if journal:
            journal.end()
        return PutResult(self._id, etag, source.size, digest.hex())

    def _may_go_on(self, source: Source, path: str) -> Flow[bool]:
        """Return whether the upload of an earlier run is still to be completed, or has stored the current version.

        An earlier run may have ended before it got the response. Since then the blob may have been moved, deleted or
        replaced, and what refused the upload may be gone. Then the outcome of that run says nothing about this one.
        """
        try:
            found = yield from send(Call("HEAD", path), self._retries, patience=source.size / CHECKED)
            if found.headers.get(COMPLETE) != "?1":
                return True
            stored = yield from send(Call("PATCH", path, self._rest(source.size, source.size)), self._retries)
        except DrivebayError as error:
            if is_temporary(error) or error.status in REMEDIABLE:
                raise
            return False
        try:
            current = yield from head(self._retries, self._id)
        except (NotFound, Forbidden):  # or the token is for writing only
            return False
        return current.etag == stored.headers["etag"]

    def _discard(self, path: str) -> Flow[None]:
        """Let the server free the space of an upload that nothing goes on with. If that fails, the upload expires."""
        with suppress(DrivebayError):
            yield Call("DELETE", path, timeout=BRIEF)

    def _rest(self, offset: int, size: int) -> dict[str, str]:
        """Return the headers of a request with the last bytes."""
        return {"content-type": PARTIAL, OFFSET: str(offset), COMPLETE: "?1", "content-length": str(size - offset)}

    def _declared(self, source: Source, digest: bytes) -> dict[str, str]:
        # An upload of a declared length of 0 would be complete at once, and have no URL.
        length = {"upload-length": str(source.size)} if source.size else {}
        return length | {"repr-digest": digest_field(digest)}

    def _begin(self, more: Mapping[str, str]) -> Flow[str]:
        """Return the path of a new upload. One that is begun twice leaves one behind, which expires."""
        headers = {**self._headers, **more, COMPLETE: "?0"}
        reply = yield from send(Call("PUT", path_of(self._id), headers), self._retries)
        location = urlsplit(reply.headers["location"])
        return location.path + (f"?{location.query}" if location.query else "")

    def _append(self, source: Source, path: str, *, resumed: bool) -> Flow[str]:
        """Send the bytes that the server lacks, until it has all of them. Return the ETag of the blob.

        Before the last response the server reads all bytes again, to compare them with their digest. So for a time
        that grows with the size, timeouts after the last byte do not end the upload.
        """
        attempts = Attempts(self._retries)
        offset: int | None = None if resumed else 0
        durable = 0
        while True:
            try:
                if offset is None:
                    offset = yield from self._offset(path)
                    if offset > durable:
                        attempts.moved()
                    durable = offset
                self._at(offset)
                span = Span(source, offset, source.size, self._sent)
                reply: Reply = yield Call("PATCH", path, self._rest(offset, source.size), span)
                if reply.is_success:
                    return reply.headers["etag"]
                raise reply.error()
            except DrivebayError as error:
                if error.code not in ("offset_mismatch", "interrupted") and not is_temporary(error):
                    raise
                yield from attempts.wait(error, source.size / CHECKED if self._done == source.size else 0)
                offset = None

    def _offset(self, path: str) -> Flow[int]:
        reply: Reply = yield Call("HEAD", path)
        if not reply.is_success:
            raise reply.error()
        return int(reply.headers[OFFSET])

    def put_stream(self, iterator: Any) -> Flow[PutResult]:
        """Store what an iterator yields, whose length need not be known. Memory holds one chunk of `PIECE` bytes."""
        chunks = Chunks(iterator)
        piece = yield from chunks.next()
        if chunks.has_ended and not self._is_conditional:
            self._total = len(piece)
            return (yield from self._whole(BytesSource(piece), hashlib.sha256(piece).digest()))
        path = yield from self._begin({})
        try:
            return (yield from self._append_all(path, chunks, piece))
        except (GeneratorExit, ConnectionFailed):
            raise
        except BaseException:  # also Ctrl-C: the bytes that were read can't be read again
            yield from self._discard(path)
            raise

    def _append_all(self, path: str, chunks: "Chunks", piece: bytes) -> Flow[PutResult]:
        whole, offset = hashlib.sha256(), 0
        while True:
            yield Work(partial(whole.update, piece))
            reply = yield from self._append_piece(path, offset, piece, is_last=chunks.has_ended)
            offset += len(piece)
            if chunks.has_ended:
                break
            piece = yield from chunks.next()
        stored = json.loads(reply.content) if reply.content else {}
        if stored.get("sha256", whole.hexdigest()) != whole.hexdigest():
            raise DigestMismatch("The stored bytes differ from the bytes that were sent. Store the blob again.")
        return PutResult(self._id, reply.headers["etag"], offset, whole.hexdigest())

    def _append_piece(self, path: str, start: int, piece: bytes, *, is_last: bool) -> Flow[Reply]:
        """Send a chunk. The server keeps all bytes of a request or none, because each has a digest of its own.

        After a failure the requests are smaller, so that they get through where connections break often.
        """
        attempts = Attempts(self._retries)
        offset, at_once = 0, len(piece)
        while True:
            data = piece[offset : offset + at_once]
            digest = yield Work(partial(hashlib.sha256, data))
            ends = offset + len(data) == len(piece)
            self._at(start + offset)
            headers = {
                "content-type": PARTIAL,
                "content-length": str(len(data)),
                OFFSET: str(start + offset),
                COMPLETE: f"?{is_last and ends:d}",
                "content-digest": digest_field(digest.digest()),
            }
            try:
                reply: Reply = yield Call("PATCH", path, headers, Span(BytesSource(data), 0, len(data), self._sent))
                if not reply.is_success:
                    raise reply.error()
                if ends:
                    return reply
                offset += len(data)
                attempts.moved()
            except DrivebayError as error:
                if error.code not in ("offset_mismatch", "interrupted", "digest_mismatch") and not is_temporary(error):
                    raise
                yield from attempts.wait(error)
                offset = (yield from self._offset_of_piece(path, attempts)) - start
                at_once = max(at_once // 2, SMALLEST)
                if offset == len(piece) and not is_last:
                    return Reply(204, {})

    def _offset_of_piece(self, path: str, attempts: Attempts) -> Flow[int]:
        while True:
            try:
                return (yield from self._offset(path))
            except DrivebayError as error:
                if not is_temporary(error):
                    raise
                yield from attempts.wait(error)

    def _at(self, offset: int) -> None:
        self._done = offset
        if self._progress:
            self._progress(offset, self._total)

    def _sent(self, count: int) -> None:
        self._at(self._done + count)


class Chunks:
    """The bytes of an iterator, in pieces of `PIECE` bytes; the last one is smaller, and may be empty."""

    def __init__(self, iterator: Any) -> None:
        self._iterator = iterator
        self._rest = bytearray()
        self._is_exhausted = False
        self.has_ended = False

    def next(self) -> Flow[bytes]:
        """Return the next piece."""
        while len(self._rest) <= PIECE and not self._is_exhausted:
            chunk = yield Pull(self._iterator)
            if chunk is END:
                self._is_exhausted = True
            else:
                self._rest += chunk
        piece = bytes(self._rest[:PIECE])
        del self._rest[:PIECE]
        self.has_ended = self._is_exhausted and not self._rest
        return piece


def put(
    retries: Retries,
    blob_id: str,
    data: Any,
    options: PutOptions,
    progress: Progress | None = None,
    journal: UploadJournal | None = None,
) -> Flow[PutResult]:
    """Store bytes, the file at a path, or what an open file or an iterator yields."""
    upload = Upload(retries, blob_id, options, progress)
    try:
        return (yield from _put(upload, data, journal))
    except PreconditionFailed:
        if not options.create_only:
            raise
        detail = "This blob exists already, and was only to be created. Choose another id."
        raise AlreadyExists(detail, status=412) from None


def _put(upload: Upload, data: Any, journal: UploadJournal | None) -> Flow[PutResult]:
    if isinstance(data, bytes | bytearray | memoryview):
        return (yield from upload.put(BytesSource(bytes(data))))
    if isinstance(data, os.PathLike):
        source: FileSource = yield Work(partial(FileSource, Path(data)))
        try:
            return (yield from upload.put(source, journal))
        finally:
            source.close()
    return (yield from upload.put_stream(_iterator(data)))


def _iterator(data: Any) -> Any:
    if isinstance(data, str):
        raise TypeError("A text is not bytes. Pass text.encode(), or Path(name) for the file of that name.")
    if hasattr(data, "read"):
        return iter(partial(_read, data), b"")
    return aiter(data) if hasattr(data, "__aiter__") else iter(data)


def _read(file: Any) -> Any:
    data = file.read(CHUNK)
    if data is None:  # which is not the end
        raise BlockingIOError("The file has no bytes yet. Let it block: os.set_blocking(file.fileno(), True).")
    return data

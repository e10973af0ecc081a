"""Resumable uploads for HTTP: draft-ietf-httpbis-resumable-upload-12, and -05, whose interop versions are 8 and 6.

The interim response 104 can't be sent through ASGI. So a client that sends all of a blob at once never learns the URL
of an upload, and there is none: such a request is a usual one.
"""

import hashlib
import hmac
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from application.access.upload_rights import UploadRights, after_begin
from application.blobs.multipart.uploads import NewUpload
from application.blobs.resumable.finish import Progress
from application.blobs.resumable.uploads import NewBytes, ResumableUploads
from application.clock import utc_now
from application.ports.contents import MultipartUpload, Resumable
from domain.access import Grant
from domain.blob import BlobId, ObjectKey
from domain.errors import (
    AlreadyExists,
    BlobError,
    DigestMismatch,
    InconsistentLength,
    Interrupted,
    InvalidExpiry,
    OffsetMismatch,
    PreconditionFailed,
    TooLarge,
    UploadNotFound,
)
from entrypoints.http.protocol.catalogue import STATUSES
from entrypoints.http.protocol.client_pace import Meter, Pace
from entrypoints.http.protocol.fields import conditional, header_values
from entrypoints.http.protocol.fields.headers import check_framing, content_length, fields
from entrypoints.http.protocol.fields.media_types import essence
from entrypoints.http.protocol.fields.upload_fields import (
    PARTIAL,
    UploadFields,
    inconsistent_length,
    mismatching_offset,
    upload_fields,
)
from entrypoints.http.protocol.hashing import ConcurrentHashing
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.protocol.urls.upload_urls import location
from entrypoints.http.rest import descriptions, raw_form
from entrypoints.http.rest.stored import Reply, stored, validators
from entrypoints.http.rest.uploads.descriptions import described

MAX_NAME = 255  # characters of a filename
# Errors of the blob once all of its bytes are there.
REFUSED = (PreconditionFailed, AlreadyExists, DigestMismatch, InvalidExpiry)


@dataclass(frozen=True, slots=True)
class Resumption:
    """Maps requests to resumable uploads. All methods raise HttpProblem 400 and 413, and what the use cases raise."""

    uploads: ResumableUploads
    rights: UploadRights
    pace: Pace

    async def create(self, request: Any, blob_id: BlobId | None, headers: Mapping[str, str]) -> Reply:
        """Begin an upload with the bytes of the body. The rest of the request is as that of a PUT.

        Without an id, it gets that of its upload, below a prefix of the grant.
        """
        check_framing(request.scope, headers)
        raw_form.check_body(headers)
        asked, grant = upload_fields(headers), request.auth
        body = Body(request, headers, self.pace)
        length = _length(asked, body)
        if length == 0 and not await body.is_empty():  # which is found out before the empty blob is published
            raise inconsistent_length(asked)
        new = _new_upload(blob_id, headers, length)
        signer = await self.rights.signer(grant)
        try:
            progress = await self.uploads.begin(grant, new)
            key = progress.upload.key
            if body.size != 0 or (asked.is_complete and not progress.is_finished):
                progress = await self._first_bytes(after_begin(grant), key, body.new_bytes(asked, 0))
        except TooLarge as error:
            limit = asked.limit(self._max_size(grant))
            raise _problem(error, asked.headers(is_complete=False) | {"Upload-Limit": limit}) from None
        if progress.is_finished:
            return _finished(request, progress, asked)
        state = self._state(progress, asked, grant)
        headers_of_new = {**state, "Location": location(f"/v1/uploads/{key}", grant, signer)}
        if "share" in request.scope:  # its holder learns nothing of ids
            return Reply(HTTPStatus.CREATED, headers_of_new)
        shown = msgspec.json.encode(described(progress.upload, self.uploads.multipart.max_bytes))
        return Reply(HTTPStatus.CREATED, headers_of_new, shown)

    async def _first_bytes(self, grant: Grant, key: ObjectKey, new: NewBytes) -> Progress:
        try:
            return await self.uploads.append(grant, key, new)
        except Interrupted:
            raise
        except BlobError:  # of an upload whose URL the client does not learn
            with suppress(BlobError):
                await self.uploads.discard(grant, key)
            raise

    async def append(self, request: Any, key: ObjectKey) -> Reply:
        """Append the bytes of the body. The last ones are answered as the request that began the upload would be."""
        headers = fields(request.scope)
        check_framing(request.scope, headers)
        asked, grant = upload_fields(headers), request.auth
        if asked.offset is None or asked.is_complete is None:
            detail = "Send Upload-Offset, the number of bytes that the upload has, and Upload-Complete: ?0 or ?1."
            raise HttpProblem("invalid_header", detail, headers=asked.headers(is_complete=False))
        body = Body(request, headers, self.pace)
        try:
            progress = await self.uploads.append(grant, key, body.new_bytes(asked, asked.offset))
        except OffsetMismatch as error:
            current = await self.uploads.progress(grant, key)
            raise mismatching_offset(asked, error.detail, current.upload.received, asked.offset) from None
        except InconsistentLength:
            raise inconsistent_length(asked) from None
        except TooLarge as error:
            limit = {"Upload-Limit": await self.limit(request, key)}
            raise _problem(error, asked.headers(is_complete=False) | limit) from None
        except Interrupted as error:  # clients ask for the offset after a 409
            raise _problem(error, asked.headers(is_complete=False)) from None
        except REFUSED as error:
            # All bytes are there, and it is the blob that is refused.
            is_complete = body.has_ended and asked.is_complete
            raise _problem(error, asked.headers(is_complete=is_complete)) from None
        if progress.is_finished:
            return _finished(request, progress, asked)
        return Reply(HTTPStatus.NO_CONTENT, self._state(progress, asked, grant))

    async def progress(self, request: Any, key: ObjectKey) -> Reply:
        """Return how far an upload is. This ends a request that is appending to it."""
        asked, grant = upload_fields(fields(request.scope)), request.auth
        try:
            progress = await self.uploads.progress(grant, key)
        except REFUSED as error:
            raise _problem(error, asked.headers(is_complete=True)) from None
        state = {**self._state(progress, asked, grant), "Cache-Control": "no-store"}
        if progress.upload.size is not None:
            state["Upload-Length"] = str(progress.upload.size)
        return Reply(HTTPStatus.NO_CONTENT, state)

    async def limit(self, request: Any, key: ObjectKey | None = None) -> str:
        """Return the limits of a caller, and of an upload in progress."""
        grant: Grant = request.auth
        upload = None
        if key is not None:
            with suppress(UploadNotFound):
                upload = await self.uploads.multipart.find(grant, key)
        return upload_fields(fields(request.scope)).limit(self._max_size(grant, upload))

    def _state(self, progress: Progress, asked: UploadFields, grant: Grant) -> dict[str, str]:
        upload = progress.upload
        ends = upload.expires_at
        if grant.via and grant.expires_at is not None:  # with the URL
            ends = min(ends, grant.expires_at)
        limit = asked.limit(self._max_size(grant, upload), int((ends - utc_now()).total_seconds()))
        state = asked.headers(is_complete=progress.is_finished)
        return state | {"Upload-Offset": str(upload.received), "Upload-Limit": limit}

    def _max_size(self, grant: Grant, upload: MultipartUpload | None = None) -> int:
        of_upload = upload.resumable.max_bytes if upload and upload.resumable else None
        limits = (grant.max_bytes(self.uploads.multipart.max_bytes), grant.conditions.max_bytes, of_upload)
        return min(each for each in limits if each is not None)


class Body:
    """The bytes of a request, of which all are kept or none if it declares their digests (RFC 9530, section 2).

    `has_ended`: all of them have come, and are right.
    """

    def __init__(self, request: Any, headers: Mapping[str, str], pace: Pace) -> None:
        self.size = content_length(headers)
        self.has_ended = False
        self._chunks = Meter(pace).chunks(request.receive)
        self._digests = raw_form.content_digests(headers)

    def new_bytes(self, asked: UploadFields, offset: int) -> NewBytes:
        """Return these bytes to append."""
        is_last, is_whole = bool(asked.is_complete), bool(self._digests)
        return NewBytes(offset, aiter(self), self.size, asked.length, is_last=is_last, is_whole=is_whole)

    async def is_empty(self) -> bool:
        """Return whether there are no bytes. If the size is not declared, this waits for the first one."""
        if self.size is None:
            async with aclosing(aiter(self)) as chunks:
                async for chunk in chunks:
                    if chunk:
                        return False
            self.size = 0
        return self.size == 0

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        hashes = {name: hashlib.new(name) for name in self._digests}

        def update(chunk: bytes) -> None:
            for each in hashes.values():
                each.update(chunk)

        hashing = ConcurrentHashing(update)
        try:
            async for chunk in self._chunks:
                if hashes:
                    await hashing.add(chunk, len(chunk))
                yield chunk
            await hashing.finish()
        finally:
            await hashing.wait()
        for name, each in hashes.items():
            if not hmac.compare_digest(each.digest(), self._digests[name]):
                detail = "The bytes of this request do not have the Content-Digest declared. None are kept."
                raise DigestMismatch(detail)
        self.has_ended = True


def is_partial(headers: Mapping[str, str]) -> bool:
    """Return whether a PATCH appends as the draft says."""
    return essence(headers.get("content-type", "")) == PARTIAL


def complete_length_agrees(headers: Mapping[str, str]) -> None:
    """Raise HttpProblem 400 if a request with all bytes of a blob declares two different lengths."""
    asked, size = upload_fields(headers), content_length(headers)
    if None not in (asked.length, size) and asked.length != size:
        raise inconsistent_length(asked)


def whole(reply: Reply, headers: Mapping[str, str], size: int) -> Reply:
    """Return the response to a request with all bytes of a blob, of this size."""
    asked = upload_fields(headers)
    return reply.with_headers(asked.headers(is_complete=True) | {"Upload-Offset": str(size)})


def id_from_filename(grant: Grant, headers: Mapping[str, str]) -> BlobId | None:
    """Return an id below a prefix of the grant, from the filename in Content-Disposition (RFC 6266, RFC 8187).

    Folders in it are left out (RFC 6266, section 4.3). None if there is no filename. Raises INVALID_ID.
    """
    parameters = header_values.parameters(headers.get("content-disposition", "")) or {}
    name = _extended(parameters.get("filename*", "")) or parameters.get("filename", "")
    name = name.replace("\\", "/").rpartition("/")[2]
    return BlobId(f"{next(iter(grant.prefixes), '')}{name[:MAX_NAME]}") if name.strip(".") else None


def _extended(value: str) -> str:
    """Return the text of an extended value in UTF-8 (RFC 8187, section 3.2). Empty if it is malformed."""
    charset, _, rest = value.partition("'")
    _, quote, encoded = rest.partition("'")
    if charset.lower() != "utf-8" or not quote:
        return ""
    try:
        return unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        return ""


def _length(asked: UploadFields, body: Body) -> int | None:
    """Return the length of the whole, if it is declared. Raises HttpProblem 400."""
    whole_size = body.size if asked.is_complete else None
    length = whole_size if asked.length is None else asked.length
    if length is not None and ((body.size or 0) > length or whole_size not in (None, length)):
        raise inconsistent_length(asked)
    return length


def _new_upload(blob_id: BlobId | None, headers: Mapping[str, str], length: int | None) -> NewUpload:
    if is_partial(headers):  # of the request, not of the blob
        headers = {name: value for name, value in headers.items() if name != "content-type"}
    return NewUpload(
        blob_id,
        descriptions.with_rare_properties(raw_form.properties(headers), headers),
        descriptions.expiry_of(headers),
        length,
        resumable=Resumable(conditional.precondition(headers), raw_form.repr_digest(headers)),
    )


def _finished(request: Any, progress: Progress, asked: UploadFields) -> Reply:
    """Return the response of the resource that the upload is for, again if another request has had it."""
    upload = progress.upload
    state = asked.headers(is_complete=True) | {"Upload-Offset": str(upload.received)}
    if "share" in request.scope:
        return Reply(HTTPStatus.CREATED, state)
    if upload.id is None:  # a partial upload of tus, which has become a part of a blob
        return Reply(HTTPStatus.NO_CONTENT, state)
    if progress.changed is None or progress.blob is None:
        return Reply(HTTPStatus.NO_CONTENT, {**validators(upload.id, f'"{upload.etag}"'), **state})
    return stored(progress.blob, replaced=progress.changed.replaced).with_headers(state)


def _problem(error: BlobError, headers: Mapping[str, str]) -> HttpProblem:
    return HttpProblem(error.kind.value, error.detail, status=STATUSES[error.kind], headers=headers)

"""The operations of tus 1.0, as responses: create an upload, ask for its offset, append to it, terminate it."""

from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from urllib.parse import quote

from application.blobs.multipart.uploads import NewUpload
from application.blobs.resumable.finish import Progress
from application.blobs.resumable.uploads import NewBytes
from application.ports.contents import Resumable
from domain.errors import BlobError, InvalidParts, OffsetMismatch
from domain.precondition import CREATE_ONLY, Precondition
from entrypoints.http.protocol.addresses import origin
from entrypoints.http.protocol.fields import conditional
from entrypoints.http.protocol.fields.header_values import format_date
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.protocol.streaming import Headers, ShortResponse
from entrypoints.http.tus import upload_metadata
from entrypoints.http.tus.failures import Refusal, refusal_of
from entrypoints.http.tus.request import COLLECTION, PARTIAL, TusRequest
from entrypoints.http.tus.upload_metadata import UploadMetadata

Header = tuple[bytes, bytes]


class Refused(Exception):
    """A request that is refused with more than its error says."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


async def create(request: TusRequest) -> ShortResponse:
    """Create an upload, and append the bytes of the request, if it has any."""
    if request.has_bytes:
        request.require_media_type()
    checksum, concatenation = request.checksum(), request.concatenation()
    length = None if concatenation.partials else request.length()
    text = request.headers.get("upload-metadata", "")
    metadata = upload_metadata.read(text)
    resumable = Resumable(
        _precondition(request, metadata),
        metadata=text,
        is_partial=concatenation.is_partial,
        joins=concatenation.joins,
    )
    blob_id = None if concatenation.is_partial else metadata.id
    new = NewUpload(blob_id, metadata.properties, size=length, resumable=resumable)
    body = request.body(checksum) if request.has_bytes else None
    progress = await request.uploads.begin(request.grant, new, concatenation.partials)
    key = progress.upload.key
    if body is not None and not progress.is_finished:
        try:
            size = request.number("Content-Length")
            first = NewBytes(0, body, size, is_whole=checksum is not None)
            progress = await request.uploads.append(request.grant, key, first)
        except Exception:  # without a response, the client does not know the upload
            with suppress(BlobError):
                await request.uploads.discard(request.grant, key)
            raise
    location = f"{origin(request.exchange.scope)}{COLLECTION}/{key}".encode("latin-1")
    headers = [(b"location", location), *_state(progress), *_blob(progress, b"content-location")]
    return ShortResponse([*headers, (b"content-length", b"0")], HTTPStatus.CREATED)


def _precondition(request: TusRequest, metadata: UploadMetadata) -> Precondition:
    """Return the precondition of the blob: that there is none, unless the client names the version to replace."""
    header = request.headers.get("if-match")
    if header is not None and metadata.if_match not in ("", header):
        raise HttpProblem("invalid_header", "If-Match differs from the if-match in Upload-Metadata. Send one of them.")
    condition = header if header is not None else metadata.if_match
    return conditional.precondition({"if-match": condition}) if condition else CREATE_ONLY


async def describe(request: TusRequest) -> ShortResponse:
    """Return the offset, from which the client goes on, and all that it has said about the upload."""
    progress = await request.uploads.progress(request.grant, request.upload)
    upload, resumable = progress.upload, progress.upload.resumable or Resumable()
    headers = [*_state(progress), *_blob(progress, b"content-location"), (b"cache-control", b"no-store")]
    length = upload.received if progress.is_finished else upload.size
    if length is not None:
        headers.append((b"upload-length", b"%d" % length))
    elif not resumable.partials:
        headers.append((b"upload-defer-length", b"1"))
    if resumable.metadata:
        headers.append((b"upload-metadata", resumable.metadata.encode("latin-1")))
    if concatenation := PARTIAL if resumable.is_partial else resumable.joins:
        headers.append((b"upload-concat", concatenation.encode("latin-1")))
    return ShortResponse(headers)


async def append(request: TusRequest) -> ShortResponse:
    """Append the bytes of the request at its offset, and publish the upload if they are the last ones."""
    request.require_media_type()
    offset, checksum = request.number("Upload-Offset"), request.checksum()
    if offset is None:
        raise HttpProblem("invalid_header", "Send Upload-Offset, the number of bytes that the upload has.")
    new = NewBytes(
        offset,
        request.body(checksum),
        request.number("Content-Length"),
        request.number("Upload-Length"),
        is_whole=checksum is not None,
    )
    try:
        progress = await request.uploads.append(request.grant, request.upload, new)
    except OffsetMismatch as error:
        current = (await request.uploads.progress(request.grant, request.upload)).upload.received
        raise Refused(refusal_of(error)._replace(headers={"Upload-Offset": str(current)})) from error
    except InvalidParts as error:  # a final upload, or one of too many parts
        raise Refused(refusal_of(error)._replace(status=HTTPStatus.FORBIDDEN)) from error
    return ShortResponse([*_state(progress), *_blob(progress, b"location")], HTTPStatus.NO_CONTENT)


async def terminate(request: TusRequest) -> ShortResponse:
    """Discard an upload. The blob of one that has finished stays."""
    await request.uploads.discard(request.grant, request.upload)
    return ShortResponse([], HTTPStatus.NO_CONTENT)


def _state(progress: Progress) -> Iterator[Header]:
    upload = progress.upload
    yield b"upload-offset", b"%d" % upload.received
    if not progress.is_finished:
        yield b"upload-expires", format_date(upload.expires_at).encode()


def _blob(progress: Progress, name: bytes) -> Headers:
    """Return the headers that lead to the blob of a finished upload. A partial one is only a part of another's."""
    upload = progress.upload
    if not progress.is_finished or upload.id is None:
        return []
    return [(name, f"/v1/blobs/{quote(upload.id.value, safe='')}".encode()), (b"etag", f'"{upload.etag}"'.encode())]

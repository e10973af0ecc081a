"""UploadPartCopy: parts of uploads with the bytes of other objects."""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial

from litestar.types import ASGIApp

from application.blobs.fetch import OpenBlob
from application.blobs.multipart.copy_part import CopiedPart
from application.clock import utc_now
from application.ports.contents import MultipartUpload, Part
from domain.blob import Blob, BlobId, ByteRange, Segment
from domain.checksums import Checksums
from domain.errors import PreconditionFailed
from domain.precondition import Precondition
from entrypoints.http.protocol.streaming import Headers
from entrypoints.http.s3.bodies.body import Body
from entrypoints.http.s3.errors import S3Error
from entrypoints.http.s3.multipart.uploads import late_failure, part_checksum, part_number, upload_of, write_part
from entrypoints.http.s3.objects.properties import check_supported
from entrypoints.http.s3.objects.writing import copy_source, sources
from entrypoints.http.s3.request import S3Request, iso_time
from entrypoints.http.s3.responses import PatientResponse
from entrypoints.http.s3.xml import Tree

_RANGE = re.compile(r"bytes=([0-9]{1,19}+)-([0-9]{1,19}+)", re.ASCII)


async def upload_part_copy(request: S3Request) -> ASGIApp:
    """Store bytes of another object as a part. None is copied if the source has them as one object of a storage."""
    check_supported(request.headers)
    number = part_number(request)
    upload = await upload_of(request)
    source_id = await copy_source(request)
    work = partial(_copied, request, upload, number, source_id)
    return PatientResponse(work, partial(late_failure, request))


async def _copied(
    request: S3Request, upload: MultipartUpload, number: int, source_id: BlobId
) -> tuple[str, Sequence[Tree], Headers]:
    async for source in sources(request, source_id):
        wanted = _source_range(request, source)
        try:
            part = await _share_part(request, upload, number, source, wanted)
            if part is None:
                part = await _copy_part(request, upload, number, source, wanted)
        except _Replaced:
            continue
        assert part.checksums is not None
        tree: list[Tree] = [
            ("LastModified", iso_time(utc_now())),
            ("ETag", f'"{part.checksums.etag}"'),
            *part_checksum(part.checksums),
        ]
        return "CopyPartResult", tree, ()
    raise S3Error("OperationAborted")


class _Replaced(Exception):
    """The source of a copy is not the version any more that met the conditions."""


def _source_range(request: S3Request, source: Blob) -> ByteRange | None:
    text = request.headers.get("x-amz-copy-source-range")
    if text is None:
        return None
    found = _RANGE.fullmatch(text)
    if found is None or int(found[2]) < int(found[1]):
        detail = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
        detail += "zero-based offsets of the first and last bytes to copy"
        raise S3Error("InvalidArgument", detail, ArgumentName="x-amz-copy-source-range", ArgumentValue=text)
    if int(found[2]) >= source.size:
        detail = f"Range specified is not valid for source object of size: {source.size}"
        raise S3Error("InvalidRange", detail)
    return ByteRange(int(found[1]), int(found[2]) + 1)


async def _share_part(
    request: S3Request, upload: MultipartUpload, number: int, source: Blob, wanted: ByteRange | None
) -> Part | None:
    """Let the part name an object of the source, if one has exactly these bytes."""
    unchanged = Precondition(etags=frozenset([source.etag]))
    checksums = partial(_checksums_of_copy, upload.checksum_algorithm)
    new = CopiedPart(source.id, wanted, unchanged, checksums)
    try:
        return await request.use_cases.copy_part(request.grant, upload.key, number, new, source)
    except PreconditionFailed:
        raise _Replaced from None


def _checksums_of_copy(algorithm: str, source: Segment) -> Checksums | None:
    """Return the checksums that the bytes have as a part of an upload with this algorithm; None if they are unknown."""
    own = source.checksums
    if own is None or own.parts:  # then the MD5 is not that of the bytes
        return None
    if algorithm == "SHA256":
        return Checksums(own.md5, algorithm=algorithm, checksum=source.digest.sha256)
    if algorithm in ("", own.algorithm):
        return Checksums(own.md5, algorithm=algorithm, checksum=own.checksum if algorithm else b"")
    return None


async def _copy_part(
    request: S3Request, upload: MultipartUpload, number: int, source: Blob, wanted: ByteRange | None
) -> Part:
    def choose(current: Blob) -> ByteRange | None:
        if current.version != source.version:
            raise _Replaced
        return wanted

    async with request.use_cases.fetch(request.grant, source.id, choose) as opened, aclosing(_chunks(opened)) as chunks:
        headers = {"content-length": str(opened.size)}
        body = Body(headers, None, b"", chunks, compute=upload.checksum_algorithm)
        return await write_part(request, upload, number, body)


async def _chunks(opened: OpenBlob) -> AsyncGenerator[bytes]:
    async for chunk in opened:
        yield chunk

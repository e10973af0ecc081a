"""GetObject, HeadObject and GetObjectAttributes."""

from collections.abc import AsyncIterator, Iterator
from functools import partial

from litestar.types import ASGIApp

from application.blobs.multipart.parts import MAX_PARTS
from application.contents.segments import segments_of
from domain.blob import Blob, BlobId, ByteRange
from domain.checksums import Checksums
from entrypoints.http.protocol import streaming
from entrypoints.http.protocol.fields.conditional import NotModified
from entrypoints.http.protocol.fields.header_values import format_date
from entrypoints.http.protocol.streaming import BlobResponse, ShortResponse
from entrypoints.http.s3.bodies import checksums as s3_checksums
from entrypoints.http.s3.errors import S3Error
from entrypoints.http.s3.objects.object_form import (
    NumberedPart,
    ObjectForm,
    checksum_text,
    checksum_type,
    last_modified,
)
from entrypoints.http.s3.request import STANDARD, S3Request
from entrypoints.http.s3.responses import xml_response
from entrypoints.http.s3.xml import Tree

OVERRIDES = {
    f"response-{name}": name
    for name in (
        *("cache-control", "content-disposition", "content-encoding", "content-language", "content-type"),
        "expires",
    )
}
ATTRIBUTES = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")


async def get_object(request: S3Request) -> ASGIApp:
    """Return the bytes of an object, or of a part of it."""
    request.check_version()
    blob_id = await request.blob_id()
    form = await _form(request, blob_id)
    if form.numbered and form.numbered.byte_range is None:
        return _head(request, form, form.numbered.blob)  # no bytes, which no range of the object says
    fetch = partial(request.use_cases.fetch, request.grant, blob_id)
    return BlobResponse(fetch, form, request.use_cases.pace)


async def head_object(request: S3Request) -> ASGIApp:
    """Return the headers that GetObject returns."""
    request.check_version()
    blob_id = await request.blob_id()
    form = await _form(request, blob_id)
    return _head(request, form, form.numbered.blob if form.numbered else await request.stat(blob_id))


def _head(request: S3Request, form: ObjectForm, blob: Blob) -> ASGIApp:
    try:
        part = form.part(request.headers, blob)
    except NotModified:
        return streaming.not_modified(form, blob)
    return ShortResponse(form.headers(blob, part), streaming.OK if part is None else streaming.PARTIAL)


async def list_object_annotations(request: S3Request) -> ASGIApp:
    """Return that an object has no annotations. Raises NoSuchAnnotation for one by its name."""
    request.check_version()
    await request.stat()
    if "annotationName" in request.query:
        raise S3Error("NoSuchAnnotation")
    tree: list[Tree] = [("Bucket", request.bucket), ("Key", request.key), ("AnnotationCount", "0")]
    return xml_response("ListObjectAnnotationsResult", tree)


async def _form(request: S3Request, blob_id: BlobId) -> ObjectForm:
    overrides = {header: request.query[name] for name, header in OVERRIDES.items() if name in request.query}
    if overrides and request.is_anonymous:
        detail = "Request specific response headers cannot be used for anonymous GET requests."
        raise S3Error("InvalidRequest", detail)
    for name, value in overrides.items():
        if not (value.isascii() and value.isprintable()):
            raise S3Error("InvalidArgument", f"response-{name} has characters that a header can't have.")
    numbered = await _numbered_part(request, blob_id) if "partNumber" in request.query else None
    with_checksums = request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
    return ObjectForm(overrides, with_checksums, numbered, request.check_readable)


async def _numbered_part(request: S3Request, blob_id: BlobId) -> NumberedPart:
    """Look up the bytes of the part in `partNumber`. Raises InvalidPart if there is none."""
    number = request.number("partNumber", least=1, most=MAX_PARTS, default=1)
    if "range" in request.headers:
        raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    blob = await request.stat(blob_id)
    seen = 0
    async for part in _parts_of(request, blob):
        seen += 1
        if seen == number:
            return part
    raise S3Error("InvalidPart")


async def _parts_of(request: S3Request, blob: Blob) -> AsyncIterator[NumberedPart]:
    """Yield the parts that an object came in, or all of it if it came in one piece.

    Of several parts, only the last one may have no bytes. Then it is none of the segments.
    """
    content, whole = blob.content, blob.checksums
    came_in = whole.parts if whole else 0
    count = came_in or content.segments
    # The checksum of one part with bytes is that of the whole, or is not kept if that one is composite.
    of_object = None if whole is None or whole.is_composite else whole
    seen = 0
    async for segment in segments_of(content, request.use_cases.fetch.contents):
        seen += 1
        byte_range = ByteRange(segment.start, segment.stop) if segment.size else None
        yield NumberedPart(blob, byte_range, count, segment.checksums if content.segments else of_object)
    for _ in range(seen, came_in):
        yield NumberedPart(blob, None, count, s3_checksums.of_no_bytes(whole.algorithm if whole else ""))


async def get_object_attributes(request: S3Request) -> ASGIApp:
    """Return the attributes of an object that the request names."""
    request.check_version()
    wanted = [name.strip() for name in request.headers.get("x-amz-object-attributes", "").split(",")]
    if not set(wanted) <= set(ATTRIBUTES) or wanted == [""]:
        raise S3Error("InvalidArgument", "Invalid attribute name specified.")
    blob = await request.stat()
    checksums = blob.checksums
    tree: list[Tree] = []
    if "ETag" in wanted:
        tree.append(("ETag", blob.s3_etag))
    if "Checksum" in wanted and checksums is not None and checksums.algorithm:
        tree.append(("Checksum", checksum_tree(checksums)))
    if "ObjectParts" in wanted and checksums is not None and checksums.parts:
        tree.append(("ObjectParts", await _parts(request, blob, checksums)))
    if "StorageClass" in wanted:
        tree.append(("StorageClass", STANDARD))
    if "ObjectSize" in wanted:
        tree.append(("ObjectSize", blob.size))
    modified = [(b"last-modified", format_date(last_modified(blob)).encode())]
    return xml_response("GetObjectAttributesResponse", tree, headers=modified)


def checksum_tree(checksums: Checksums) -> list[Tree]:
    """Return the elements for a checksum and its type; none if there is no checksum."""
    if not checksums.algorithm:
        return []
    return [
        (f"Checksum{checksums.algorithm}", checksum_text(checksums)),
        ("ChecksumType", checksum_type(checksums)),
    ]


async def _parts(request: S3Request, blob: Blob, checksums: Checksums) -> list[Tree]:
    """Return a page of the parts."""
    after = _header_number(request, "x-amz-part-number-marker", 0)
    limit = min(_header_number(request, "x-amz-max-parts", 1000), 1000)
    tree: list[Tree] = [("PartsCount", checksums.parts)]
    shown = list[Tree]()
    number = 0
    async for part in _parts_of(request, blob):
        number += 1
        if after < number <= after + limit:
            shown.append(("Part", [*_part(number, part, checksums)]))
    tree += [
        ("PartNumberMarker", after),
        ("NextPartNumberMarker", min(after + limit, number)),
        ("MaxParts", limit),
        ("IsTruncated", after + limit < number),
    ]
    return [*tree, *shown]


def _part(number: int, part: NumberedPart, whole: Checksums) -> Iterator[Tree]:
    yield "PartNumber", number
    yield "Size", part.size
    if part.checksums is not None and part.checksums.algorithm == whole.algorithm:
        yield f"Checksum{whole.algorithm}", checksum_text(part.checksums)


def _header_number(request: S3Request, name: str, default: int) -> int:
    text = request.headers.get(name, "")
    if text == "":
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise S3Error("InvalidArgument", f"{name} is not a number.", ArgumentName=name, ArgumentValue=text)
    return int(text)

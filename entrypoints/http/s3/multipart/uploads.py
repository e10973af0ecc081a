"""Uploads of several parts. Each part becomes a segment of the object."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from itertools import pairwise

from litestar.types import ASGIApp

from application.authorize import authorize
from application.blobs.changes.operations import Put
from application.blobs.multipart.parts import MAX_PARTS
from application.blobs.multipart.uploads import NewPart, NewUpload
from application.ports.contents import MultipartUpload, Part
from domain.access import Action
from domain.blob import OBJECT_KEY, Blob, BlobId, Digest, ObjectKey
from domain.checksums import ALGORITHMS, Checksums
from domain.errors import DigestMismatch, PreconditionFailed, UploadNotFound
from entrypoints.http.protocol.streaming import Headers
from entrypoints.http.s3.bodies import checksums as s3_checksums
from entrypoints.http.s3.bodies.body import Body
from entrypoints.http.s3.errors import S3Error
from entrypoints.http.s3.failures import as_s3_error, error_document
from entrypoints.http.s3.objects.object_form import checksum_headers, checksum_text, etag
from entrypoints.http.s3.objects.properties import check_supported, sent_properties
from entrypoints.http.s3.objects.reading import checksum_tree
from entrypoints.http.s3.objects.writing import failed_condition
from entrypoints.http.s3.request import COMPLETE, MAX_DOCUMENT, S3Request, precondition
from entrypoints.http.s3.responses import PatientResponse, empty_response, xml_response
from entrypoints.http.s3.xml import Parsed, Tree

MIN_PART = 5 * 1024 * 1024  # bytes, but for the last part
TYPES = ("COMPOSITE", "FULL_OBJECT")


async def create_multipart_upload(request: S3Request) -> ASGIApp:
    """Begin an upload."""
    request.check_no_version()
    check_supported(request.headers, acls=request.use_cases.acls)
    blob_id = await request.blob_id()
    request.check_new_key()
    algorithm, is_composite = _checksum_of_upload(request.headers)
    new = NewUpload(
        blob_id,
        await sent_properties(request, request.headers.get("content-encoding", "")),
        checksum_algorithm=algorithm,
        is_composite=is_composite,
    )
    upload = await request.use_cases.uploads.begin(request.grant, new)
    headers: list[tuple[bytes, bytes]] = []
    if algorithm:
        headers = [
            (b"x-amz-checksum-algorithm", algorithm.encode()),
            (b"x-amz-checksum-type", checksum_type_of(upload).encode()),
        ]
    tree: list[Tree] = [("Bucket", request.bucket), ("Key", request.key), ("UploadId", upload.key.value)]
    return xml_response("InitiateMultipartUploadResult", tree, headers=headers)


def _checksum_of_upload(headers: Mapping[str, str]) -> tuple[str, bool]:
    """Return the algorithm, and whether the checksum is one of the parts' checksums."""
    algorithm = headers.get("x-amz-checksum-algorithm", "").upper()
    wanted = headers.get("x-amz-checksum-type", "").upper()
    if not algorithm:
        if wanted:
            detail = "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
            raise S3Error("InvalidRequest", detail)
        return "", False
    if algorithm not in ALGORITHMS:
        detail = "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
        raise S3Error("InvalidRequest", f"{detail}[{', '.join(ALGORITHMS)}]")
    combines = algorithm in s3_checksums.FULL_OBJECT
    usual = "FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE"
    chosen = wanted or usual
    allowed = {"FULL_OBJECT"} if algorithm == "CRC64NVME" else set(TYPES) if combines else {"COMPOSITE"}
    if chosen not in allowed:
        detail = f"The {chosen} checksum type cannot be used with the {algorithm.lower()} checksum algorithm."
        raise S3Error("InvalidRequest", detail)
    return algorithm, chosen == "COMPOSITE"


def checksum_type_of(upload: MultipartUpload) -> str:
    """Return the type of the checksum that the object will have, if it has one."""
    return "COMPOSITE" if upload.is_composite else "FULL_OBJECT"


async def upload_of(request: S3Request) -> MultipartUpload:
    """Return the upload in `uploadId`. Raises UPLOAD_NOT_FOUND, also for one to another key."""
    blob_id = await request.blob_id()
    upload = await request.use_cases.uploads.find(request.grant, _upload_key(request))
    if upload.id != blob_id:
        raise UploadNotFound
    return upload


def _upload_key(request: S3Request) -> ObjectKey:
    text = request.query["uploadId"]
    if not OBJECT_KEY.fullmatch(text):
        raise UploadNotFound
    return ObjectKey(text)


def part_number(request: S3Request) -> int:
    """Return the number in `partNumber`."""
    text = request.query.get("partNumber", "")
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MAX_PARTS):
        detail = f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive"
        raise S3Error("InvalidArgument", detail, ArgumentName="partNumber", ArgumentValue=text)
    return int(text)


async def upload_part(request: S3Request) -> ASGIApp:
    """Store a part."""
    check_supported(request.headers)
    number = part_number(request)
    upload = await upload_of(request)
    body = request.body(compute=upload.checksum_algorithm)
    part = await write_part(request, upload, number, body)
    assert part.checksums is not None
    headers = [(b"etag", f'"{part.checksums.etag}"'.encode())]
    headers += [each for each in checksum_headers(part.checksums) if each[0] != b"x-amz-checksum-type"]
    return empty_response(headers=headers)


async def write_part(request: S3Request, upload: MultipartUpload, number: int, body: Body) -> Part:
    """Write the bytes of a body as a part."""
    declared = None if body.sha256 is None else Digest(body.sha256)
    new = NewPart(body, body.size, declared, lambda: body.checksums, ends_others=False)
    try:
        return await request.use_cases.uploads.write(request.grant, upload.key, number, new)
    except DigestMismatch:
        raise body.sha256_mismatch() from None


def part_checksum(checksums: Checksums) -> list[Tree]:
    """Return the element for the checksum of a part, if there is one."""
    return [each for each in checksum_tree(checksums) if each[0] != "ChecksumType"]


@dataclass(frozen=True, slots=True)
class NamedPart:
    """A part as a request to complete names it: its tag, and maybe its checksum in base64, by the algorithm."""

    number: int
    etag: str
    checksums: Mapping[str, str]


async def complete_multipart_upload(request: S3Request) -> ASGIApp:
    """Publish an upload, in one transaction. Repeated after a success, it has the same response."""
    blob_id, key = await request.blob_id(), _upload_key(request)
    named = _named_parts(await request.document(COMPLETE, MAX_DOCUMENT))
    return PatientResponse(partial(_complete, request, blob_id, key, named), partial(late_failure, request))


def late_failure(request: S3Request, error: Exception) -> bytes:
    """Return the document of an error that comes after a 200. Log, metrics, traces and audit trail have its status."""
    found = as_s3_error(error)
    request.exchange.status = found.status
    return error_document(found, request.resource, request.exchange.request_id)


def _named_parts(document: Parsed | None) -> Sequence[NamedPart]:
    parts = [] if document is None else [*document.all("Part")]
    if not 1 <= len(parts) <= MAX_PARTS:
        raise S3Error("MalformedXML")
    named = [_named_part(each) for each in parts]
    if any(after.number < before.number for before, after in pairwise(named)):
        raise S3Error("InvalidPartOrder")
    return [*{part.number: part for part in named}.values()]  # of a part that is there twice, the last one counts


def _named_part(part: Parsed) -> NamedPart:
    number, tag = part.value("PartNumber") or "", part.value("ETag")
    if not (number.isascii() and number.isdigit() and len(number) < 10) or tag is None:
        raise S3Error("MalformedXML")
    found = {name: value for name in ALGORITHMS if (value := part.value(f"Checksum{name}"))}
    return NamedPart(int(number), tag.strip('"'), found)


async def _complete(
    request: S3Request, blob_id: BlobId, key: ObjectKey, named: Sequence[NamedPart]
) -> tuple[str, Sequence[Tree], Headers]:
    async with request.use_cases.completions.one():
        return await _completed(request, blob_id, key, named)


async def _completed(
    request: S3Request, blob_id: BlobId, key: ObjectKey, named: Sequence[NamedPart]
) -> tuple[str, Sequence[Tree], Headers]:
    try:
        upload = await request.use_cases.uploads.find(request.grant, key)
        if upload.id != blob_id:
            raise UploadNotFound
        whole = partial(_checksums_of_whole, request, upload, blob_id, named)
        put = Put(blob_id, key, [part.number for part in named], precondition(request.headers), whole, True)
        blob = (await request.use_cases.commit.one(request.grant, put)).blob
        assert blob is not None
    except PreconditionFailed:
        raise await failed_condition(request, blob_id) from None
    except UploadNotFound:
        blob = await _completed_before(request, blob_id, key)
        await request.use_cases.commit.commit_one.confirm()
    tree: list[Tree] = [
        ("Location", request.url),
        ("Bucket", request.bucket),
        ("Key", request.key),
        ("ETag", etag(blob)),
        *(checksum_tree(blob.checksums) if blob.checksums else ()),
    ]
    return "CompleteMultipartUploadResult", tree, ()


async def _completed_before(request: S3Request, blob_id: BlobId, key: ObjectKey) -> Blob:
    """Return the blob that this upload has become, if it is still there. Raises UPLOAD_NOT_FOUND."""
    authorize(request.grant, Action.WRITE, blob_id)
    blob = await request.use_cases.fetch.blobs.find(blob_id)
    if blob is None or blob.checksums is None or blob.checksums.upload != _mark(key, blob_id):
        raise UploadNotFound
    return blob


def _mark(key: ObjectKey, blob_id: BlobId) -> str:
    """Return the mark of a blob that an upload has become. It has no meaning on a blob that was moved to another id."""
    return hashlib.sha256(f"{key.value} {blob_id.value}".encode()).hexdigest()[: len(key.value)]


def _checksums_of_whole(
    request: S3Request, upload: MultipartUpload, blob_id: BlobId, named: Sequence[NamedPart], parts: Sequence[Part]
) -> Checksums:
    """Return the checksums of the whole, if the parts are those that the request names."""
    for wanted, part in zip(named, parts, strict=True):
        _check_part(wanted, part)
    if any(part.size < MIN_PART for part in parts[:-1]):
        small = next(part for part in parts if part.size < MIN_PART)
        raise S3Error(
            "EntityTooSmall",
            ProposedSize=str(small.size),
            MinSizeAllowed=str(MIN_PART),
            PartNumber=str(small.number),
            ETag=small.checksums.etag if small.checksums else "",
        )
    size = request.headers.get("x-amz-mp-object-size")
    if size is not None and size != str(sum(part.size for part in parts)):
        detail = "The provided 'x-amz-mp-object-size' header value does not match what was computed."
        raise S3Error("InvalidRequest", detail)
    own = [(part.size, part.checksums) for part in parts if part.checksums is not None]
    wanted_type = request.headers.get("x-amz-checksum-type", "").upper()
    algorithm, is_composite = upload.checksum_algorithm, upload.is_composite
    if wanted_type and algorithm and wanted_type != checksum_type_of(upload):
        detail = f"The upload was created using the {checksum_type_of(upload)} checksum mode. "
        raise S3Error("InvalidRequest", f"{detail}The complete request must use the same checksum mode.")
    declared = _declared_of_whole(request.headers, algorithm)
    whole = s3_checksums.of_parts(own, algorithm, is_composite, _mark(upload.key, blob_id))
    if declared not in (None, whole.checksum):
        raise s3_checksums.mismatch(algorithm)
    return whole


def _declared_of_whole(headers: Mapping[str, str], algorithm: str) -> bytes | None:
    """Return the checksum of the object that a request to complete declares, which is by the upload's `algorithm`."""
    values = ((name, value.partition("-")[0]) for name, value in headers.items())  # without the number of parts
    found = s3_checksums.declared(values)
    if found is None:
        return None
    if found[0] != algorithm:
        detail = f"Checksum Type mismatch occurred, expected checksum Type: {algorithm.lower() or 'null'}, "
        raise S3Error("InvalidRequest", f"{detail}actual checksum Type: {found[0].lower()}")
    return found[1]


def _check_part(wanted: NamedPart, part: Part) -> None:
    own = part.checksums
    if own is None or own.etag != wanted.etag:
        raise S3Error("InvalidPart", PartNumber=str(part.number), ETag=wanted.etag)
    if any(algorithm != own.algorithm or text != checksum_text(own) for algorithm, text in wanted.checksums.items()):
        raise S3Error("InvalidPart", PartNumber=str(part.number), ETag=wanted.etag)


async def abort_multipart_upload(request: S3Request) -> ASGIApp:
    """Discard an upload."""
    if "x-amz-if-match-initiated-time" in request.headers:
        raise S3Error("NotImplemented", Header="x-amz-if-match-initiated-time")
    upload = await upload_of(request)
    await request.use_cases.uploads.discard(request.grant, upload.key)
    return empty_response(HTTPStatus.NO_CONTENT)

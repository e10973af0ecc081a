"""ListParts and ListMultipartUploads."""

from collections.abc import Sequence

from litestar.types import ASGIApp

from application.blobs.multipart.parts import MAX_APPENDED
from application.ports.contents import MultipartUpload, Part
from application.ports.metadata import common_prefix
from domain.blob import OBJECT_KEY, ObjectKey
from domain.text import CONTROL_CHARACTER
from entrypoints.http.s3.buckets.buckets import owner
from entrypoints.http.s3.multipart.uploads import checksum_type_of, part_checksum, upload_of
from entrypoints.http.s3.request import STANDARD, S3Request, iso_time, url_encoded
from entrypoints.http.s3.responses import xml_response
from entrypoints.http.s3.xml import Tree

MAX_LISTED = 1000


async def list_parts(request: S3Request) -> ASGIApp:
    """Return a page of the parts of an upload."""
    bucket = await request.known_bucket()
    upload = await upload_of(request)
    after = request.number("part-number-marker", least=0, most=MAX_APPENDED, default=0)
    limit = request.number("max-parts", least=0, most=MAX_LISTED, default=MAX_LISTED)
    found = await request.use_cases.uploads.parts(request.grant, upload.key, after, limit + 1)
    shown = found[:limit]
    tree: list[Tree] = [
        ("Bucket", request.bucket),
        ("Key", request.key),
        ("UploadId", upload.key.value),
        ("Initiator", owner(bucket.owner)),
        ("Owner", owner(bucket.owner)),
        ("StorageClass", STANDARD),
        ("PartNumberMarker", after),
        ("NextPartNumberMarker", shown[-1].number if shown else after),
        ("MaxParts", limit),
        ("IsTruncated", len(found) > limit),
        ("ChecksumAlgorithm", upload.checksum_algorithm or None),
        ("ChecksumType", checksum_type_of(upload) if upload.checksum_algorithm else None),
        *(("Part", _part_tree(part, upload)) for part in shown),
    ]
    return xml_response("ListPartsResult", tree)


def _part_tree(part: Part, upload: MultipartUpload) -> list[Tree]:
    own = part.checksums
    return [
        ("PartNumber", part.number),
        ("LastModified", iso_time(part.written_at or upload.created_at)),
        ("ETag", f'"{own.etag}"' if own else '""'),
        ("Size", part.size),
        *(part_checksum(own) if own else ()),
    ]


async def list_multipart_uploads(request: S3Request) -> ASGIApp:
    """Return a page of the uploads in progress to a bucket, in the order of their keys."""
    bucket = await request.known_bucket()
    query = request.query
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    marker, upload_marker = query.get("key-marker", ""), query.get("upload-id-marker", "")
    limit = request.number("max-uploads", least=0, most=MAX_LISTED, default=MAX_LISTED)
    shown = url_encoded if query.get("encoding-type") == "url" else str
    found = await _entries(request, bucket.prefix, prefix, delimiter, (marker, upload_marker), limit + 1)
    entries = found[:limit]
    last = entries[-1] if len(found) > limit and entries else None
    tree: list[Tree] = [
        ("Bucket", request.bucket),
        ("KeyMarker", shown(marker)),
        ("UploadIdMarker", upload_marker),
        ("NextKeyMarker", None if last is None else shown(_key(bucket.prefix, last))),
        ("NextUploadIdMarker", last.key.value if isinstance(last, MultipartUpload) else None),
        ("Prefix", shown(prefix)),
        ("Delimiter", shown(delimiter) or None),
        ("EncodingType", query.get("encoding-type")),
        ("MaxUploads", limit),
        ("IsTruncated", len(found) > limit),
    ]
    for entry in entries:
        if isinstance(entry, MultipartUpload):
            tree.append(("Upload", _upload_tree(entry, shown(_key(bucket.prefix, entry)), bucket.owner)))
        else:
            tree.append(("CommonPrefixes", [("Prefix", shown(_key(bucket.prefix, entry)))]))
    return xml_response("ListMultipartUploadsResult", tree)


def _key(ids: str, entry: MultipartUpload | str) -> str:
    if isinstance(entry, str):
        return entry[len(ids) :]
    return "" if entry.id is None else entry.id.value[len(ids) :]


def _upload_tree(upload: MultipartUpload, key: str, key_id: str) -> list[Tree]:
    return [
        ("Key", key),
        ("UploadId", upload.key.value),
        ("Initiator", owner(key_id)),
        ("Owner", owner(key_id)),
        ("StorageClass", STANDARD),
        ("Initiated", iso_time(upload.created_at)),
        ("ChecksumAlgorithm", upload.checksum_algorithm or None),
        ("ChecksumType", checksum_type_of(upload) if upload.checksum_algorithm else None),
    ]


async def _entries(
    request: S3Request, ids: str, prefix: str, delimiter: str, marker: tuple[str, str], limit: int
) -> Sequence[MultipartUpload | str]:
    """Return up to `limit` uploads and common prefixes after the marker: a key, and an upload's key or nothing."""
    found: list[MultipartUpload | str] = []
    key, upload_key = marker
    if CONTROL_CHARACTER.search(prefix):  # no key has one
        return found
    control = CONTROL_CHARACTER.search(key)
    if control is not None:
        key, upload_key = key[: control.start()], ""
    if CONTROL_CHARACTER.search(delimiter):
        delimiter = ""
    # Without an upload's key, all uploads to the key of the marker are skipped. No object has an empty one: of a bucket
    # without a prefix, these are the uploads without an id.
    last = ObjectKey(upload_key) if key and OBJECT_KEY.fullmatch(upload_key) else ObjectKey("f" * 32)
    after = (ids + key, last)
    skipped = common_prefix(key, prefix, delimiter) if delimiter and key.startswith(prefix) else None
    while len(found) < limit:
        page = await request.use_cases.uploads.list(request.grant, ids + prefix, after, MAX_LISTED)
        for upload in page:
            assert upload.id is not None
            rolled_up = common_prefix(upload.id.value, ids + prefix, delimiter) if delimiter else None
            if rolled_up is None:
                found.append(upload)
            elif rolled_up not in found[-1:] and rolled_up != ids + (skipped or "\0"):
                found.append(rolled_up)
        if len(page) < MAX_LISTED:
            break
        assert page[-1].id is not None
        after = (page[-1].id.value, page[-1].key)
    return found[:limit]

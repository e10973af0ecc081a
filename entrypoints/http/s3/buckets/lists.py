"""ListObjects (both versions) and ListObjectVersions."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass

from litestar.types import ASGIApp

from application.blobs.list import ListPage, end_of
from application.ports.metadata import common_prefix
from domain.blob import NEXT, Blob
from domain.buckets import Bucket
from domain.text import CONTROL_CHARACTER
from entrypoints.http.s3.buckets.buckets import owner
from entrypoints.http.s3.errors import S3Error
from entrypoints.http.s3.objects.object_form import checksum_type, etag
from entrypoints.http.s3.request import STANDARD, S3Request, iso_time, key_of, url_encoded
from entrypoints.http.s3.responses import xml_response
from entrypoints.http.s3.xml import Tree

MAX_KEYS = 1000
EMPTY = ListPage([], [], None)


@dataclass(frozen=True, slots=True)
class ListRequest:
    """The parameters that all lists have in common. `shown` encodes a text as the client wants it."""

    bucket: Bucket
    prefix: str
    delimiter: str
    max_keys: int
    encoding: str

    def shown(self, text: str) -> str:
        return url_encoded(text) if self.encoding else text

    async def page(self, request: S3Request, start: str) -> ListPage:
        """Return the page from the key `start` on."""
        if self.max_keys == 0 or CONTROL_CHARACTER.search(self.prefix):
            return EMPTY
        # No key has control characters, so none has this delimiter.
        delimiter = "" if CONTROL_CHARACTER.search(self.delimiter) else self.delimiter
        ids = self.bucket.prefix
        # The id that is only the prefix of the bucket has no key, so it is no object.
        first = ids + (start or NEXT) if ids else start
        page = await request.use_cases.listing(request.grant, ids + self.prefix, delimiter, self.max_keys, first)
        if page.following is not None and not page.following.startswith(ids):  # after all keys of the bucket
            return ListPage(page.blobs, page.prefixes, None)
        return page

    def after(self, marker: str) -> str:
        """Return the first text after `marker`, and after all keys of its common prefix, if it has one.

        Empty if everything comes after it, and LAST if nothing does.
        """
        control = CONTROL_CHARACTER.search(marker)
        if control is not None:
            return marker[: control.start()] + NEXT
        if self.delimiter and marker.startswith(self.prefix):
            rolled_up = common_prefix(marker, self.prefix, self.delimiter)
            if rolled_up is not None:
                return end_of(rolled_up) or marker + NEXT
        return marker + NEXT if marker else ""

    def common(self, page: ListPage) -> list[Tree]:
        """Return the elements for the common prefixes."""
        return [("CommonPrefixes", [("Prefix", self.shown(key_of(self.bucket, prefix)))]) for prefix in page.prefixes]

    def head(self, prefix: str | None = None) -> list[Tree]:
        """Return the elements that repeat the request. `prefix`: its form, if it is not as for all other texts."""
        return [
            ("Name", self.bucket.name),
            ("Prefix", self.shown(self.prefix) if prefix is None else prefix),
            ("Delimiter", self.shown(self.delimiter) or None),
            ("MaxKeys", self.max_keys),
            ("EncodingType", self.encoding or None),
        ]


async def _list_request(request: S3Request) -> ListRequest:
    bucket = await request.known_bucket()
    encoding = request.query.get("encoding-type", "")
    if encoding not in ("", "url"):
        raise S3Error("InvalidArgument", "Invalid Encoding Method specified in Request", ArgumentName="encoding-type")
    return ListRequest(
        bucket,
        request.query.get("prefix", ""),
        request.query.get("delimiter", ""),
        request.number("max-keys", least=0, most=MAX_KEYS, default=MAX_KEYS),
        encoding,
    )


async def list_objects_v2(request: S3Request) -> ASGIApp:
    """List objects, with a token for the next page."""
    wanted = await _list_request(request)
    token = request.query.get("continuation-token")
    start_after = request.query.get("start-after", "")
    start = _place(token) if token else wanted.after(start_after)
    page = await wanted.page(request, start)
    following = None if page.following is None else _token(key_of(wanted.bucket, page.following))
    with_owner = request.query.get("fetch-owner", "").lower() == "true"
    tree: list[Tree] = [
        *wanted.head(),
        ("ContinuationToken", token),
        ("StartAfter", wanted.shown(start_after) if start_after else None),
        ("KeyCount", len(page.blobs) + len(page.prefixes)),
        ("NextContinuationToken", following),
        ("IsTruncated", page.following is not None),
        *(("Contents", [*_entry(wanted, blob, with_owner=with_owner)]) for blob in page.blobs),
        *wanted.common(page),
    ]
    return xml_response("ListBucketResult", tree)


async def list_objects(request: S3Request) -> ASGIApp:
    """List objects, the next page of which begins after the last key of this one."""
    wanted = await _list_request(request)
    marker = request.query.get("marker", "")
    page = await wanted.page(request, wanted.after(marker))
    last = _last(wanted, page) if page.following is not None else None
    tree: list[Tree] = [
        *wanted.head(wanted.prefix),  # which is not encoded here: botocore does not decode it
        ("Marker", wanted.shown(marker)),
        ("NextMarker", wanted.shown(last) if last is not None and wanted.delimiter else None),
        ("IsTruncated", page.following is not None),
        *(("Contents", [*_entry(wanted, blob, with_owner=True)]) for blob in page.blobs),
        *wanted.common(page),
    ]
    return xml_response("ListBucketResult", tree)


async def list_object_versions(request: S3Request) -> ASGIApp:
    """List objects as versions: each has one, `null`, for a bucket without versioning."""
    wanted = await _list_request(request)
    marker, version = request.query.get("key-marker", ""), request.query.get("version-id-marker", "")
    page = await wanted.page(request, wanted.after(marker))
    last = _last(wanted, page) if page.following is not None else None
    tree: list[Tree] = [
        *wanted.head(),
        ("KeyMarker", wanted.shown(marker)),
        ("VersionIdMarker", version),
        ("NextKeyMarker", None if last is None else wanted.shown(last)),
        ("NextVersionIdMarker", None if last is None else "null"),
        ("IsTruncated", page.following is not None),
        *(("Version", [*_version(wanted, blob)]) for blob in page.blobs),
        *wanted.common(page),
    ]
    return xml_response("ListVersionsResult", tree)


def _entry(wanted: ListRequest, blob: Blob, *, with_owner: bool) -> Iterator[Tree]:
    yield "Key", wanted.shown(key_of(wanted.bucket, blob.id.value))
    yield "LastModified", iso_time(blob.current_since)
    yield "ETag", etag(blob)
    if blob.checksums is not None and blob.checksums.algorithm:
        yield "ChecksumAlgorithm", blob.checksums.algorithm
        yield "ChecksumType", checksum_type(blob.checksums)
    yield "Size", blob.size
    yield "StorageClass", STANDARD
    if with_owner:
        yield "Owner", owner(wanted.bucket.owner)


def _version(wanted: ListRequest, blob: Blob) -> Iterator[Tree]:
    yield from _entry(wanted, blob, with_owner=True)
    yield "VersionId", "null"
    yield "IsLatest", True


def _last(wanted: ListRequest, page: ListPage) -> str:
    """Return the last key or common prefix of a page."""
    ids = [blob.id.value for blob in page.blobs[-1:]] + page.prefixes[-1:]
    return key_of(wanted.bucket, max(ids))


def _token(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def _place(token: str) -> str:
    try:
        place = base64.urlsafe_b64decode(token.encode()).decode()
    except ValueError:
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect") from None
    if CONTROL_CHARACTER.search(place.removesuffix(NEXT)):
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect")
    return place

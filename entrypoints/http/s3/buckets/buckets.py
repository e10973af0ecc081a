"""Operations on buckets, and the responses that say what a bucket does not have."""

import base64
import re
from collections.abc import Mapping
from http import HTTPStatus

from litestar.types import ASGIApp

from application.authorize import authorize
from domain.access import Action
from domain.buckets import BucketSettings
from domain.errors import BucketExists, NotGranted
from domain.text import CONTROL_CHARACTER
from entrypoints.http.s3.errors import S3Error
from entrypoints.http.s3.objects.properties import MAX_BUCKET_TAGS, canned_acl, check_supported, tags_of
from entrypoints.http.s3.request import S3Request, iso_time
from entrypoints.http.s3.responses import empty_response, xml_response
from entrypoints.http.s3.xml import Parsed, Tree

MAX_BUCKETS = 10_000
REGION = "us-east-1"
_LOCATION = re.compile(r"[A-Za-z0-9:_.-]{1,63}+")


async def list_buckets(request: S3Request) -> ASGIApp:
    """Return the buckets of which the caller may see something."""
    prefix = request.query.get("prefix", "")
    limit = request.number("max-buckets", least=1, most=MAX_BUCKETS, default=MAX_BUCKETS)
    after = _decoded(request.query.get("continuation-token", ""))
    found = await request.use_cases.buckets.list(request.grant, prefix, after, limit + 1)
    shown = [
        (
            "Bucket",
            [
                ("Name", each.name),
                ("CreationDate", iso_time(each.created_at)),
                ("BucketRegion", each.settings.location or REGION),
            ],
        )
        for each in found[:limit]
    ]
    following = _encoded(found[limit - 1].name) if len(found) > limit else None
    tree: list[Tree] = [
        ("Owner", owner(request.grant.key_id)),
        ("Buckets", shown),
        ("ContinuationToken", following),
        ("Prefix", prefix or None),
    ]
    return xml_response("ListAllMyBucketsResult", tree)


def _encoded(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _decoded(token: str) -> str:
    try:
        text = base64.urlsafe_b64decode(token.encode()).decode()
    except ValueError:
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect") from None
    if CONTROL_CHARACTER.search(text):
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect")
    return text


async def create_bucket(request: S3Request) -> ASGIApp:
    """Create a bucket. All buckets are in one place, so any location is taken, and is returned later."""
    check_supported(request.headers, acls=request.use_cases.acls)
    if request.headers.get("x-amz-bucket-object-lock-enabled", "").lower() == "true":
        raise S3Error("NotImplemented", "Object Lock is not supported here.")
    acl = canned_acl(request.headers, acls=request.use_cases.acls)
    try:
        authorize(
            request.grant, Action.WRITE, request.use_cases.buckets.prefix(request.bucket), purpose="create_bucket"
        )
    except NotGranted:
        if request.use_cases.acls and await request.use_cases.buckets.look_up(request.bucket) is not None:
            raise S3Error("BucketAlreadyExists") from None  # where lists are in use, that is no secret
        raise
    document = await request.document("CreateBucketConfiguration")
    settings = BucketSettings(acl=acl, location=_location(document), tags=_tags(document))
    try:
        await request.use_cases.buckets.create(request.grant, request.bucket, settings)
    except BucketExists as error:
        if not error.is_own:  # in the first region of S3, it is no error to create one's own bucket again
            raise
        if request.use_cases.acls and (await request.current_bucket()).settings.acl != acl:
            raise S3Error("BucketAlreadyExists") from None
    return empty_response(headers=[(b"location", f"/{request.bucket}".encode())])


def _location(document: Parsed | None) -> str:
    """Return the location that a bucket is to have, or an empty text for the first region."""
    location = "" if document is None else document.value("LocationConstraint") or ""
    if location and not _LOCATION.fullmatch(location):
        raise S3Error("InvalidLocationConstraint")
    return "" if location == REGION else location


def _tags(document: Parsed | None) -> Mapping[str, str]:
    """Return the tags that a bucket is to have. Raises InvalidTag."""
    found = None if document is None else document.find("Tags")
    return {} if found is None else tags_of(found, MAX_BUCKET_TAGS)


async def head_bucket(request: S3Request) -> ASGIApp:
    """Return whether there is such a bucket."""
    bucket = await request.current_bucket()
    return empty_response(headers=[(b"x-amz-bucket-region", (bucket.settings.location or REGION).encode())])


async def delete_bucket(request: S3Request) -> ASGIApp:
    """Delete a bucket that is empty."""
    if "x-amz-expected-bucket-owner" in request.headers:
        await request.current_bucket()
    await request.use_cases.buckets.delete(request.grant, request.bucket)
    return empty_response(HTTPStatus.NO_CONTENT)


async def get_bucket_location(request: S3Request) -> ASGIApp:
    """Return the location, whose empty text stands for the first region."""
    return xml_response("LocationConstraint", (await request.known_bucket()).settings.location)


async def get_bucket_versioning(request: S3Request) -> ASGIApp:
    """Return that versions were never kept."""
    await request.known_bucket()
    return xml_response("VersioningConfiguration", [])


async def get_ownership_controls(request: S3Request) -> ASGIApp:
    """Return that the owner of a bucket owns its objects, and whether access control lists are in use."""
    await request.known_bucket()
    ownership = "BucketOwnerPreferred" if request.use_cases.acls else "BucketOwnerEnforced"
    return xml_response("OwnershipControls", [("Rule", [("ObjectOwnership", ownership)])])


async def get_request_payment(request: S3Request) -> ASGIApp:
    """Return who pays."""
    await request.known_bucket()
    return xml_response("RequestPaymentConfiguration", [("Payer", "BucketOwner")])


def owner(key_id: str) -> list[Tree]:
    """Return the elements for an owner: a key. Buckets of the settings belong to the server."""
    name = owner_name(key_id)
    return [("ID", name), ("DisplayName", name)]


def owner_name(key_id: str) -> str:
    return key_id or "drivebay"

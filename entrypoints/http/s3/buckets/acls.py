"""Access control lists: GetBucketAcl, PutObjectAcl, and so on, and the rights that lists give.

There are only those that a canned list can say: rights for everybody, or for all valid keys. A key gets its own rights
from its operator, not from a list.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from litestar.types import ASGIApp

from application.blobs.changes.operations import Patch
from application.clock import utc_now
from domain.access import Action
from domain.acls import AUTHENTICATED_READ, PRIVATE, PUBLIC_READ, PUBLIC_READ_WRITE, opened_by_bucket
from domain.buckets import Bucket, BucketSettings
from entrypoints.http.s3.buckets.buckets import owner, owner_name
from entrypoints.http.s3.errors import S3Error
from entrypoints.http.s3.objects.properties import ACL, acl_property, canned_acl, check_acl, check_supported
from entrypoints.http.s3.request import AclRights, S3Request, id_of
from entrypoints.http.s3.responses import empty_response, xml_response
from entrypoints.http.s3.xml import Parsed, Tree

# The actions of operations that lists may allow everybody.
ACTIONS: Mapping[str, Action] = {
    **dict.fromkeys(("GetObject", "HeadObject", "GetObjectAttributes"), Action.READ),
    **dict.fromkeys(("HeadBucket", "ListObjects", "ListObjectsV2", "ListObjectVersions"), Action.LIST),
    **dict.fromkeys(("PutObject", "PostObject"), Action.WRITE),
    **dict.fromkeys(("DeleteObject", "DeleteObjects"), Action.DELETE),
}
# What they may allow to valid keys only: an upload in parts has to belong to somebody.
ACTIONS_WITH_KEY: Mapping[str, Action] = {
    **ACTIONS,
    **dict.fromkeys(
        ("CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload", "ListParts"),
        Action.WRITE,
    ),
}
GROUPS = "http://acs.amazonaws.com/groups/"
EVERYBODY = f"{GROUPS}global/AllUsers"
WITH_KEY = f"{GROUPS}global/AuthenticatedUsers"
LOG_DELIVERY = f"{GROUPS}s3/LogDelivery"
PERMISSIONS = ("FULL_CONTROL", "READ", "WRITE", "READ_ACP", "WRITE_ACP")
# What each canned list grants, besides everything to the owner.
GRANTS: Mapping[str, frozenset[tuple[str, str]]] = {
    PRIVATE: frozenset(),
    PUBLIC_READ: frozenset({(EVERYBODY, "READ")}),
    PUBLIC_READ_WRITE: frozenset({(EVERYBODY, "READ"), (EVERYBODY, "WRITE")}),
    AUTHENTICATED_READ: frozenset({(WITH_KEY, "READ")}),
}
_KEY_ID = re.compile(r"[a-z2-7]{16}")


async def with_rights(request: S3Request, operation: str, *, has_key: bool) -> S3Request:
    """Return the request with the rights that lists give its sender, if its own grant lacks what the operation needs.

    A grant by the list of an object is for that object only, and whether it holds is decided when the object is known:
    see `S3Request.check_readable`. So no version is read by the list of another one. Raises NoSuchBucket without a key.
    """
    action = (ACTIONS_WITH_KEY if has_key else ACTIONS).get(operation)
    if action is None or not request.bucket:
        return request
    if request.grant.includes(action, request.use_cases.buckets.prefix(request.bucket) + request.key, utc_now()):
        return request
    # Rights that somebody has withdrawn are gone at once, whichever replica is asked.
    bucket = await request.use_cases.buckets.look_up(request.bucket, as_it_is_now=True)
    if bucket is None:
        if has_key:
            return request
        raise S3Error("NoSuchBucket")
    ids = id_of(bucket, request.key).value if request.key else bucket.prefix
    if not (await request.use_cases.buckets.with_block(bucket, ids)).settings.heeds_acls:
        return request
    opened = opened_by_bucket(bucket.settings.acl, has_key=has_key)
    if action is not Action.READ and action not in opened:
        return request
    grant = replace(request.grant, actions=frozenset([action]), prefixes=(ids,))
    return replace(request, grant=grant, acl_rights=AclRights(has_key, lists=Action.LIST in opened))


async def get_acl(request: S3Request) -> ASGIApp:
    """Return the access control list of a bucket or an object."""
    bucket = await request.current_bucket()
    acl = bucket.settings.acl
    if request.key:
        request.check_version()
        acl = (await request.stat()).properties.acl or PRIVATE
    tree: list[Tree] = [
        ("Owner", owner(bucket.owner)),
        ("AccessControlList", [*_grants(bucket, acl if request.use_cases.acls else PRIVATE)]),
    ]
    return xml_response("AccessControlPolicy", tree)


def _grants(bucket: Bucket, acl: str) -> Iterator[Tree]:
    for group, permission in sorted(GRANTS.get(acl, ())):
        yield "Grant", [("Grantee", [("URI", group)]), ("Permission", permission)]
    yield "Grant", [("Grantee", owner(bucket.owner)), ("Permission", "FULL_CONTROL")]


async def put_acl(request: S3Request) -> ASGIApp:
    """Replace the access control list of a bucket or an object."""
    bucket = await request.current_bucket()
    acl = await _sent(request, bucket)
    await check_acl(request, acl)
    if not request.key:
        if acl != bucket.settings.acl:
            await request.use_cases.buckets.change(request.grant, request.bucket, partial(_with_acl, acl))
        return empty_response()
    request.check_version()
    blob = await request.stat()
    if acl_property(acl) != blob.properties.acl:
        await request.use_cases.commit.one(request.grant, Patch(blob.id, {"acl": acl_property(acl)}))
    return empty_response()


def _with_acl(acl: str, settings: BucketSettings) -> BucketSettings:
    return replace(settings, acl=acl)


async def _sent(request: S3Request, bucket: Bucket) -> str:
    """Return the list in the header or the body."""
    acls = request.use_cases.acls
    check_supported(request.headers, acls=acls)
    try:
        policy = await request.document("AccessControlPolicy")
    except S3Error as error:
        raise S3Error("MalformedACLError") if error.code == "MalformedXML" else error from None
    if ACL in request.headers:
        if policy is not None:
            raise S3Error("UnexpectedContent")
        return canned_acl(request.headers, acls=acls)
    if policy is None:
        detail = "Your request was missing a required header: x-amz-acl"
        raise S3Error("MissingSecurityHeader", detail, MissingHeaderName=ACL)
    return canned_of(policy, owner_name(bucket.owner), acls=acls)


def canned_of(policy: Parsed, owner_id: str, *, acls: bool) -> str:
    """Return the canned list that says the same as a document. Raises NotImplemented if there is none.

    Raises AccessControlListNotSupported where no list but a private one is allowed.
    """
    named = policy.find("Owner")
    if named is not None and named.value("ID") not in (None, owner_id):
        raise S3Error("AccessDenied", "The owner of a bucket or an object cannot be changed.")
    found = policy.find("AccessControlList")
    if found is None:
        raise S3Error("MalformedACLError")
    grants = {_grant(each, owner_id) for each in found.all("Grant")}
    owners = {("", "FULL_CONTROL")}
    for acl, others in GRANTS.items():
        if grants == owners | others:
            if acl != PRIVATE and not acls:
                raise S3Error("AccessControlListNotSupported")
            return acl
    if not acls:
        raise S3Error("AccessControlListNotSupported")
    detail = "Only lists are supported that say the same as a canned ACL. Give rights to single keys by their prefixes."
    raise S3Error("NotImplemented", detail)


def _grant(element: Parsed, owner_id: str) -> tuple[str, str]:
    """Return the address of a group, or an empty one for the owner, and the permission."""
    grantee, permission = element.find("Grantee"), element.value("Permission")
    if grantee is None or permission not in PERMISSIONS:
        raise S3Error("MalformedACLError")
    key_id, group, address = (grantee.value(name) for name in ("ID", "URI", "EmailAddress"))
    if address is not None:
        raise S3Error("UnresolvableGrantByEmailAddress")
    if key_id is not None:
        if key_id == owner_id:
            return "", permission
        if not _KEY_ID.fullmatch(key_id):
            raise S3Error("InvalidArgument", "Invalid id", ArgumentName="CanonicalUser/ID", ArgumentValue=key_id)
        return key_id, permission
    if group is None:
        raise S3Error("MalformedACLError")
    if group not in (EVERYBODY, WITH_KEY, LOG_DELIVERY):
        raise S3Error("InvalidArgument", "Invalid group uri", ArgumentName="Group/URI", ArgumentValue=group)
    return group, permission

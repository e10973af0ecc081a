"""A request to the S3 interface, taken apart: the bucket, the key, the parameters, and who sends it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, unquote_to_bytes

from application.attempts import record
from application.blobs.buckets import Buckets
from application.blobs.changes.commit import CommitOperations
from application.blobs.changes.delete import DeleteBlob, DeleteBlobs
from application.blobs.fetch import FetchBlob
from application.blobs.list import ListBlobs
from application.blobs.multipart.copy_part import CopyPart
from application.blobs.multipart.uploads import MultipartUploads
from application.blobs.store import StoreBlob
from domain.access import Action, Grant
from domain.acls import opens_object
from domain.blob import MAX_ID_BYTES, Blob, BlobId
from domain.buckets import Bucket
from domain.errors import InvalidId
from domain.precondition import ANY, Precondition
from entrypoints.http.middleware.base.exchange import Exchange
from entrypoints.http.protocol.addresses import origin
from entrypoints.http.protocol.client_pace import Meter, Pace
from entrypoints.http.protocol.fields.header_values import entity_tags
from entrypoints.http.s3.auth.credentials import Parameters
from entrypoints.http.s3.auth.signatures import SignedRequest
from entrypoints.http.s3.bodies.body import Body
from entrypoints.http.s3.completions import Completions
from entrypoints.http.s3.errors import S3Error
from entrypoints.http.s3.xml import Parsed, parse

MAX_KEY = 1024  # bytes of UTF-8 of a key that is stored here; other interfaces store longer ids
SMALL_DOCUMENT = 64 * 1024  # bytes; larger ones are parsed in a thread
MAX_DOCUMENT = 4 * 1024 * 1024  # bytes: 10,000 parts with their checksums
STANDARD = "STANDARD"
COMPLETE = "CompleteMultipartUpload"


@dataclass(frozen=True, slots=True)
class UseCases:
    """The use cases behind the operations, and the limits on slow clients. `acls`: whether ACLs are in use."""

    buckets: Buckets
    store: StoreBlob
    fetch: FetchBlob
    listing: ListBlobs
    delete: DeleteBlob
    delete_all: DeleteBlobs
    commit: CommitOperations
    uploads: MultipartUploads
    copy_part: CopyPart
    pace: Pace
    completions: Completions = field(default_factory=Completions)
    acls: bool = False


@dataclass(frozen=True, slots=True)
class AclRights:
    """Rights that a request has by access control lists, because its sender has none of its own.

    `has_key`: its signature is that of a valid key. `lists`: the bucket's list allows to list the bucket.
    """

    has_key: bool
    lists: bool


@dataclass(frozen=True, slots=True)
class S3Request:
    """A request whose credential is valid, or that needs none.

    `bucket` and `key` are texts as they were sent, empty if there is none. `query` has the value of each
    parameter, `headers` all lines of a name as one list. `signature` with its `signing_key` is None without one.
    `acl_rights`: None if the grant is that of the sender. `in_host`: the host names the bucket, and not the path.
    """

    exchange: Exchange
    use_cases: UseCases
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    grant: Grant
    signature: SignedRequest | None = None
    signing_key: bytes = field(default=b"", repr=False)
    acl_rights: AclRights | None = None
    in_host: bool = False

    @property
    def method(self) -> str:
        return self.exchange.scope["method"]

    @property
    def resource(self) -> str:
        """The path of what the request is about, for documents of errors."""
        return f"/{self.bucket}/{self.key}" if self.key else f"/{self.bucket}"

    @property
    def url(self) -> str:
        """The URL of the object, in the style of the request."""
        bucket = "" if self.in_host else f"/{self.bucket}"
        return f"{origin(self.exchange.scope)}{bucket}/{quote(self.key, safe='/')}"

    def admitted(self, grant: Grant, signature: SignedRequest, signing_key: bytes) -> "S3Request":
        """Return the request with the grant of its sender."""
        # Not by `replace`, which takes several times as long.
        return S3Request(
            self.exchange,
            self.use_cases,
            self.bucket,
            self.key,
            self.query,
            self.headers,
            grant,
            signature,
            signing_key,
            self.acl_rights,
            self.in_host,
        )

    @property
    def is_anonymous(self) -> bool:
        return not self.grant.key_id

    async def known_bucket(self) -> Bucket:
        """Return the bucket. Raises BUCKET_NOT_FOUND, and AccessDenied if its owner is not the expected one."""
        return self._expected(await self.use_cases.buckets.known(self.grant, self.bucket))

    async def current_bucket(self) -> Bucket:
        """Return the bucket with its settings as they are now. Raises what `known_bucket` does."""
        return self._expected(await self.use_cases.buckets.find(self.grant, self.bucket))

    def _expected(self, bucket: Bucket) -> Bucket:
        check_owner(bucket, self.headers.get("x-amz-expected-bucket-owner"))
        return bucket

    async def blob_id(self) -> BlobId:
        """Return the id of the blob that the request is about."""
        return id_of(await self.known_bucket(), self.key)

    def check_new_key(self) -> None:
        """Raise KeyTooLongError for a longer key than S3 allows, which another interface may have stored."""
        if len(self.key.encode()) > MAX_KEY:
            raise _too_long(self.key)

    async def stat(self, blob_id: BlobId | None = None) -> Blob:
        """Return the object, if the sender may read it."""
        blob = await self.use_cases.fetch.stat(self.grant, blob_id or await self.blob_id())
        self.check_readable(blob)
        return blob

    def check_readable(self, blob: Blob) -> None:
        """Raise AccessDenied if only access control lists could allow to read this version, and its own does not."""
        rights = self.acl_rights
        if rights is not None and not opens_object(blob.properties.acl, has_key=rights.has_key):
            record(self.grant, Action.READ.value, blob.id.value, is_granted=False)
            raise S3Error("AccessDenied")

    def body(self, *, compute: str = "") -> Body:
        """Return the body, which is decoded and verified while it is read. `compute`: a checksum to compute."""
        return Body(self.headers, self.signature, self.signing_key, self._chunks(), compute=compute)

    def _chunks(self) -> AsyncIterator[bytes]:
        # The HTTP server undoes no other coding, and would pass on its bytes.
        if self.headers.get("transfer-encoding", "chunked").strip().lower() != "chunked":
            raise S3Error("NotImplemented", "No transfer coding but chunked is read here.")
        return Meter(self.use_cases.pace).chunks(self.exchange.receive)

    async def document(self, root: str, limit: int = SMALL_DOCUMENT) -> Parsed | None:
        """Return the XML in the body, of up to `limit` bytes, or None if there is no body."""
        # A request that completes an upload has the checksum of the object in its headers, not of its own body.
        headers = {name: value for name, value in self.headers.items() if root != COMPLETE or not _is_checksum(name)}
        body = Body(headers, self.signature, self.signing_key, self._chunks())
        data = await body.read(limit)
        if len(data) > SMALL_DOCUMENT:
            return await asyncio.to_thread(parse, data, root)
        return parse(data, root) if data else None

    def check_version(self) -> None:
        """Raise NoSuchVersion for another version than the current one, whose id is `null`."""
        check_version(self.query.get("versionId"))

    def check_no_version(self) -> None:
        """Raise InvalidArgument if the query names a version: what is stored is always a new one."""
        if version := self.query.get("versionId"):
            detail = "This operation does not accept a version-id."
            raise S3Error("InvalidArgument", detail, ArgumentName="versionId", ArgumentValue=version)

    def number(self, name: str, *, least: int, most: int, default: int) -> int:
        """Return the number in a parameter, and at most `most`. Raises InvalidArgument."""
        text = self.query.get(name, "")
        if text == "":
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 12) or int(text) < least:
            detail = f"Provided {name} is not an integer of at least {least}."
            raise S3Error("InvalidArgument", detail, ArgumentName=name, ArgumentValue=text)
        return min(int(text), most)


def _is_checksum(name: str) -> bool:
    return name.startswith("x-amz-checksum-")


def check_owner(bucket: Bucket, expected: str | None) -> None:
    """Raise AccessDenied if the owner of a bucket is not the expected one, if any."""
    if expected is not None and expected != bucket.owner:
        raise S3Error("AccessDenied", "The bucket is not owned by the expected owner.")


def check_version(version: str | None) -> None:
    if version not in (None, "", "null"):
        raise S3Error("NoSuchVersion")


def id_of(bucket: Bucket, key: str) -> BlobId:
    """Return the id of the blob with this key. Raises InvalidURI, and KeyTooLongError for a key that no blob has."""
    if len(f"{bucket.prefix}{key}".encode()) > MAX_ID_BYTES:
        raise _too_long(key)
    try:
        return BlobId(bucket.prefix + key)
    except InvalidId as error:
        raise S3Error("InvalidURI", Detail=error.detail) from None


def _too_long(key: str) -> S3Error:
    return S3Error("KeyTooLongError", Size=str(len(key.encode())), MaxSizeAllowed=str(MAX_KEY))


def key_of(bucket: Bucket, blob_id: str) -> str:
    return blob_id[len(bucket.prefix) :]


def path_text(raw: bytes) -> str:
    """Decode a part of a path. Raises InvalidURI if it is not UTF-8."""
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise S3Error("InvalidURI") from None


def query_values(parameters: Parameters) -> Mapping[str, str]:
    """Return the value of each parameter, which is empty if there is none. Raises InvalidArgument for a repeated one.

    Signatures do not cover the order, so none of the values would be the one that was meant.
    """
    found = {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in parameters}
    if len(found) < len(parameters):
        names = [name.decode("utf-8", "replace") for name, _ in parameters]
        repeated = next(name for name in names if names.count(name) > 1)
        raise S3Error("InvalidArgument", "A parameter is there twice.", ArgumentName=repeated)
    return found


def url_encoded(text: str) -> str:
    """Return a text as a list with `encoding-type=url` has it."""
    return quote(text, safe="/")


def iso_time(time: datetime) -> str:
    """Return a time as documents have it: in milliseconds."""
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z"


def precondition(headers: Mapping[str, str]) -> Precondition:
    """Return the condition of a change. Dates do not count: S3 takes none."""
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if match is None and none_match is None:
        return ANY
    return Precondition(
        absent=none_match == "*",
        not_etags=frozenset() if none_match in (None, "*") else tags("If-None-Match", none_match),
        present=match == "*",
        etags=None if match in (None, "*") else tags("If-Match", match),
    )


def tags(name: str, value: str) -> frozenset[str]:
    """Return the entity tags in a header. A single one may lack its quotes, as some clients send it."""
    found = entity_tags(value)
    if found is None:
        found = entity_tags(f'"{value.strip()}"')
    if found is None:
        raise S3Error("InvalidArgument", f"{name} is not a list of entity tags.")
    return frozenset(tag.opaque for tag in found)

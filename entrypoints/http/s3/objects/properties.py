"""The descriptions of objects by their clients: the headers that S3 keeps, user metadata, and tags."""

from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote_plus

from domain.acls import AUTHENTICATED_READ, PRIVATE, PUBLIC_READ, PUBLIC_READ_WRITE
from domain.blob import Blob
from domain.errors import InvalidMetadata
from domain.properties import Properties
from entrypoints.http.s3.errors import S3Error
from entrypoints.http.s3.request import STANDARD, S3Request
from entrypoints.http.s3.xml import Parsed

DEFAULT_TYPE = "binary/octet-stream"
META = "x-amz-meta-"
MAX_METADATA = 2 * 1024  # bytes of names and values
MAX_HEADER = 1024  # characters of a header that is kept
MAX_TAGS, MAX_TAG_NAME, MAX_TAG_VALUE = 10, 128, 256
MAX_BUCKET_TAGS = 50
IN_TAGS = frozenset(" +-=._:/@")
KEPT = {
    "content-type": "content_type",
    "content-language": "content_language",
    "content-disposition": "content_disposition",
    "cache-control": "cache_control",
    "expires": "expires",
}
REFUSED = (
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-copy-source-server-side-encryption-customer-algorithm",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
    "x-amz-grant-read",
    "x-amz-grant-write",
    "x-amz-grant-full-control",
    "x-amz-grant-read-acp",
    "x-amz-grant-write-acp",
)
ACL = "x-amz-acl"
STORAGE_CLASS = "x-amz-storage-class"
_LOCK = "x-amz-object-lock-"
_DESCRIBING = (ACL, STORAGE_CLASS)
OWNER_ONLY = (PRIVATE, "bucket-owner-full-control", "bucket-owner-read")
OPENING = (PUBLIC_READ, PUBLIC_READ_WRITE, AUTHENTICATED_READ)


def check_supported(headers: Mapping[str, str], *, acls: bool = False) -> None:
    """Raise an error for headers that ask for something that Drivebay does not do. None of them is ignored.

    `acls`: whether access control lists are in use.
    """
    for name in REFUSED:
        if name in headers:
            raise S3Error("NotImplemented", f"{name} is not supported here.", Header=name)
    canned_acl(headers, acls=acls)
    if any(name.startswith(_LOCK) for name in headers):
        raise S3Error("InvalidRequest", "Bucket is missing Object Lock Configuration")
    if headers.get(STORAGE_CLASS, STANDARD) != STANDARD:
        raise S3Error("InvalidStorageClass")


def described_in_query(query: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that describe an object and that some SDKs move to the query of a presigned URL.

    Others stay where they are. S3 ignores tags there, and JavaScript's SDK puts the checksum of an empty body there.
    Raises InvalidRequest for the source of a copy, without which the copy would be an empty object.
    """
    lowered = ((name.lower(), value) for name, value in query.items())
    found = {name: value for name, value in lowered if name.startswith("x-amz-")}
    if "x-amz-copy-source" in found:
        raise S3Error("InvalidRequest", "The source of a copy is read from the header x-amz-copy-source only.")
    # As headers come, whose bytes are read as latin-1.
    return {name: value.encode().decode("latin-1") for name, value in found.items() if _describes(name)}


def _describes(name: str) -> bool:
    return name in REFUSED or name in _DESCRIBING or name.startswith((META, _LOCK))


def canned_acl(headers: Mapping[str, str], *, acls: bool) -> str:
    """Return the canned access control list in `x-amz-acl`. Raises AccessControlListNotSupported, InvalidArgument.

    Lists for the owner of the bucket count as private: there is no other owner.
    """
    name = headers.get(ACL, PRIVATE)
    if name in OWNER_ONLY:
        return PRIVATE
    if not acls:
        raise S3Error("AccessControlListNotSupported")
    if name not in OPENING:
        raise S3Error("InvalidArgument", "The canned ACL is not supported here.", ArgumentName=ACL, ArgumentValue=name)
    return name


def acl_property(acl: str) -> str:
    """Return an access control list as `Properties.acl`, which is empty for a private object."""
    return "" if acl == PRIVATE else acl


async def check_acl(request: S3Request, acl: str) -> None:
    """Raise AccessDenied for an access control list that the block of public access of the bucket does not allow."""
    if acl == PRIVATE:
        return
    bucket = await request.current_bucket()
    blocked = await request.use_cases.buckets.with_block(bucket, bucket.prefix + request.key)
    if not blocked.settings.takes_open_acls:
        raise S3Error("AccessDenied", "The bucket has a block of public access, with BlockPublicAcls.")


async def sent_properties(request: S3Request, content_encoding: str) -> Properties:
    """Return the properties in the headers of a request. `content_encoding`: the codings that the client applied."""
    headers = request.headers
    acl = canned_acl(headers, acls=request.use_cases.acls)
    await check_acl(request, acl)
    kept = {ours: _kept(name, headers[name]) for name, ours in KEPT.items() if headers.get(name, "").strip()}
    always = {
        "content_type": DEFAULT_TYPE,
        "content_encoding": _kept("content-encoding", content_encoding),
        "acl": acl_property(acl),
    }
    return new_properties(
        {**always, **kept},
        metadata_of(headers),
        tags_in(headers.get("x-amz-tagging", "")),
    )


def new_properties(kept: Mapping[str, str], metadata: Mapping[str, str], tags: Mapping[str, str]) -> Properties:
    """Return properties. Raises MetadataTooLarge and InvalidArgument."""
    size = sum(len(name) + len(value.encode()) for name, value in metadata.items())
    if size > MAX_METADATA:
        raise S3Error("MetadataTooLarge", Size=str(size), MaxSizeAllowed=str(MAX_METADATA))
    try:
        return Properties(**kept, metadata=metadata, tags=tags)
    except InvalidMetadata as error:
        raise S3Error("InvalidArgument", error.detail) from None


def _kept(name: str, value: str) -> str:
    text = value.strip()
    if len(text) > MAX_HEADER or not (text.isascii() and text.replace("\t", "").isprintable()):
        detail = f"{name} is not a text of up to {MAX_HEADER:,} visible ASCII characters."
        raise S3Error("InvalidArgument", detail, ArgumentName=name)
    return text


def metadata_of(headers: Mapping[str, str]) -> dict[str, str]:
    """Return user metadata, which is UTF-8, or latin-1 if it can't be."""
    return {
        name.removeprefix(META): _text(value)
        for name, value in headers.items()
        if name.startswith(META) and name != META
    }


def _text(value: str) -> str:
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def tags_in(header: str) -> dict[str, str]:
    """Return the tags in `x-amz-tagging`: parameters of a URL. Raises InvalidTag, and InvalidArgument."""
    pairs = [part.partition("=") for part in header.split("&") if part]
    return checked_tags((unquote_plus(name), unquote_plus(value)) for name, _, value in pairs)


def tag_set(document: Parsed | None, most: int = MAX_TAGS) -> dict[str, str]:
    """Return the tags in a Tagging document. Raises MalformedXML, and InvalidTag."""
    found = None if document is None else document.find("TagSet")
    if found is None:
        raise S3Error("MalformedXML")
    return tags_of(found, most)


def tags_of(elements: Parsed, most: int = MAX_TAGS) -> dict[str, str]:
    """Return the tags in the Tag elements. Raises InvalidTag."""
    return checked_tags(((each.exact("Key") or "", each.exact("Value") or "") for each in elements.all("Tag")), most)


def checked_tags(pairs: Iterable[tuple[str, str]], most: int = MAX_TAGS) -> dict[str, str]:
    """Return tags by name. Raises InvalidTag beyond S3's limits, and for more than `most`."""
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise S3Error("InvalidTag", "Cannot provide multiple Tags with the same key", TagKey=name)
        if not 1 <= len(name) <= MAX_TAG_NAME or not _is_tag(name) or name.lower().startswith("aws:"):
            raise S3Error("InvalidTag", "The TagKey you have provided is invalid", TagKey=name)
        if len(value) > MAX_TAG_VALUE or not _is_tag(value):
            raise S3Error("InvalidTag", "The TagValue you have provided is invalid", TagKey=name)
        found[name] = value
    if len(found) > most:
        raise S3Error("InvalidTag", f"There cannot be more than {most} tags")
    return found


def _is_tag(text: str) -> bool:
    return all(character.isalnum() or character in IN_TAGS for character in text)


def property_headers(blob: Blob, overrides: Mapping[str, str]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the headers of a response that say what was said of the object. `overrides`: by the names of headers.

    The headers of `caching_headers` are not among them.
    """
    properties = blob.properties
    kept = {
        "content-type": properties.content_type,
        "content-encoding": properties.content_encoding,
        "content-language": properties.content_language,
        "content-disposition": properties.content_disposition,
    }
    yield from _with(overrides, kept)
    for name, value in properties.metadata.items():
        yield f"{META}{name}".encode(), value.encode()
    if properties.tags:
        yield b"x-amz-tagging-count", b"%d" % len(properties.tags)


def caching_headers(blob: Blob, overrides: Mapping[str, str]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the headers that say for how long a response may be kept."""
    properties = blob.properties
    return _with(overrides, {"cache-control": properties.cache_control, "expires": properties.expires})


def _with(overrides: Mapping[str, str], kept: Mapping[str, str]) -> Iterator[tuple[bytes, bytes]]:
    for name, value in kept.items():
        if shown := overrides.get(name, value):
            yield name.encode(), shown.encode("latin-1", "replace")

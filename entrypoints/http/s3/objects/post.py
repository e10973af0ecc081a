"""PostObject: an object that comes as the file of a form, as browsers send it, with a signed policy in its fields.

Source: Amazon S3 API Reference, POST Object, and Browser-Based Uploads Using POST (AWS Signature Version 4).
"""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from urllib.parse import quote, urlencode, urlsplit

from litestar.types import ASGIApp

from application.blobs.store import IdentifiedBytes, NewBlob
from domain.access import Grant
from domain.blob import Blob, Digest
from domain.errors import DigestMismatch
from domain.properties import Properties
from entrypoints.http.protocol.client_pace import Meter
from entrypoints.http.protocol.fields.header_values import parameters
from entrypoints.http.protocol.fields.headers import check_framing
from entrypoints.http.protocol.multipart import PLAIN_CODINGS, Event, MultipartError, MultipartParser, Part
from entrypoints.http.protocol.streaming import Headers, ShortResponse
from entrypoints.http.s3 import xml
from entrypoints.http.s3.auth.post_policy import FILENAME, PostPolicy, with_filename
from entrypoints.http.s3.bodies import checksums
from entrypoints.http.s3.bodies.body import Body
from entrypoints.http.s3.errors import S3Error
from entrypoints.http.s3.objects.object_form import checksum_headers, etag
from entrypoints.http.s3.objects.properties import META, check_supported, new_properties, sent_properties, tags_of
from entrypoints.http.s3.request import S3Request, precondition
from entrypoints.http.s3.responses import XML_TYPE, empty_response

NAME = "PostObject"
FORM = "multipart/form-data"
FILE = "file"
MAX_FIELDS = 20 * 1024
"""Bytes of the fields before the file, their names and boundaries included; and so of those after it."""
# What each part has besides its headers and its content: line breaks, hyphens, colons and blanks.
_FRAME = 16
_OF_BODY = frozenset({"content-md5", "content-encoding", "x-amz-sdk-checksum-algorithm"})
_REDIRECTIONS = ("success_action_redirect", "redirect")
_IN_URL = "%/:?#[]@!$&'()*+,;=~"


class Form:
    """A form as it comes: first its fields, then the bytes of its file.

    `fields` are those before the file, by their names in lower case, with the file's name in place of `${filename}`.
    The methods raise S3Error.
    """

    def __init__(self, boundary: str, chunks: AsyncIterable[bytes]) -> None:
        self.fields: Mapping[str, str] = {}
        self._overhead = len(boundary) + _FRAME
        try:
            self._parser = MultipartParser(boundary)
        except MultipartError as error:
            raise _malformed(str(error)) from None
        self._events = self._parsed(chunks)

    async def read_fields(self) -> None:
        """Read the form up to its file."""
        fields = dict[str, str]()
        name, content, size = "", bytearray(), 0
        async for event in self._events:
            match event:
                case Part():
                    name = _name(event)
                    size += self._size(event)
                    if name in fields:
                        raise S3Error("InvalidArgument", "A form has each of its fields once.", ArgumentName=name)
                    if name == FILE:
                        size += sum(value.count(FILENAME) for value in fields.values()) * len(event.filename)
                case None:
                    fields[name] = _text(name, bytes(content))
                    content.clear()
                case chunk:
                    content += chunk
                    size += len(chunk)
            if size > MAX_FIELDS:
                raise S3Error("MaxPostPreDataLengthExceededError", MaxPostPreDataLengthAllowed=str(MAX_FIELDS))
            if isinstance(event, Part) and name == FILE:
                self.fields = with_filename(fields, event.filename)
                return
        raise S3Error("IncorrectNumberOfFilesInPostRequest")

    async def file(self) -> AsyncGenerator[bytes]:
        """Yield the bytes of the file. They end only if the form is valid to its last byte.

        Fields after the file are ignored.
        """
        is_in_file, size = True, 0
        async for event in self._events:
            match event:
                case Part():
                    size += self._size(event)
                    if _name(event) == FILE:
                        raise S3Error("IncorrectNumberOfFilesInPostRequest")
                case None:
                    is_in_file = False
                case chunk if is_in_file:
                    yield chunk
                case chunk:
                    size += len(chunk)
            if size > MAX_FIELDS:
                raise S3Error("MaxMessageLengthExceeded", "The fields after the file are too large.")

    async def _parsed(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[Event]:
        try:
            async for chunk in chunks:
                for event in self._parser.feed(chunk):
                    yield event
            self._parser.end()
        except MultipartError as error:
            raise _malformed(str(error)) from None

    def _size(self, part: Part) -> int:
        """Return the size of a part without its content, in bytes, about."""
        return self._overhead + sum(len(name) + len(value) for name, value in part.headers.items())


@dataclass(frozen=True, slots=True)
class PostRequest(S3Request):
    """A form with a policy that its `grant` has signed. `key` is that of the form."""

    form: Form = field(kw_only=True)
    policy: PostPolicy = field(kw_only=True)

    async def file(self) -> AsyncGenerator[bytes]:
        """Yield the bytes of the file. Raises S3Error as soon as the policy does not allow their number."""
        size = 0
        async for chunk in self.form.file():
            size += len(chunk)
            if self.policy.max_size is not None and size > self.policy.max_size:
                self.policy.check_size(size)
            yield chunk
        self.policy.check_size(size)


async def begin(request: S3Request) -> Form:
    """Return the form in a request, whose fields are read. Nothing in them is verified yet. Raises S3Error."""
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != FORM:
        raise S3Error("PreconditionFailed", Condition=f"Bucket POST must be of the enclosure-type {FORM}")
    check_framing(request.exchange.scope, request.headers)
    boundary = (parameters(content_type) or {}).get("boundary", "")
    form = Form(boundary, Meter(request.use_cases.pace).chunks(request.exchange.receive))
    await form.read_fields()
    return form


def of_policy(request: S3Request, form: Form, policy: PostPolicy, grant: Grant) -> PostRequest:
    """Return the request for a form, whose policy is valid."""
    return PostRequest(
        request.exchange,
        request.use_cases,
        request.bucket,
        form.fields["key"],
        request.query,
        request.headers,
        grant,
        in_host=request.in_host,
        form=form,
        policy=policy,
    )


async def post_object(request: S3Request) -> ASGIApp:
    """Store the file of a form. Only a PostRequest has one."""
    assert isinstance(request, PostRequest)
    fields = request.form.fields
    if not request.key:
        raise S3Error("InvalidArgument", "User key must have a length greater than 0.", ArgumentName="key")
    check_supported(_as_headers(fields), acls=request.use_cases.acls)
    blob_id = await request.blob_id()
    request.check_new_key()
    declared = {name: value for name, value in fields.items() if name in _OF_BODY or name.startswith(checksums.PREFIX)}
    body = Body({"transfer-encoding": "chunked", **declared}, None, b"", request.file())
    new = NewBlob(
        IdentifiedBytes(blob_id, body),
        properties=await _properties(request, body.content_encoding),
        precondition=precondition(request.headers),
        digest=None if body.sha256 is None else Digest(body.sha256),
        checksums=lambda: body.checksums,
    )
    try:
        blob = (await request.use_cases.store(request.grant, new)).blob
    except DigestMismatch:
        raise body.sha256_mismatch() from None
    return _response(request, blob)


async def _properties(request: PostRequest, content_encoding: str) -> Properties:
    """Return the properties in the fields.

    The headers of the part with the file are not read: the policy has no conditions on them.
    """
    fields = request.form.fields
    found = await sent_properties(replace(request, headers=_as_headers(fields)), content_encoding)
    metadata = {name.removeprefix(META): value for name, value in fields.items() if name.startswith(META)}
    tags = _tags(fields["tagging"]) if "tagging" in fields else found.tags
    texts = new_properties({}, metadata, tags)
    return replace(found, metadata=texts.metadata, tags=texts.tags)


def _as_headers(fields: Mapping[str, str]) -> Mapping[str, str]:
    """Return fields as the headers that say the same."""
    return {"x-amz-acl": fields.get("acl", "private"), **fields}


def _tags(text: str) -> dict[str, str]:
    tag_set = xml.parse(text.encode(), "Tagging").find("TagSet")
    if tag_set is None:
        raise S3Error("MalformedXML")
    return tags_of(tag_set)


def _response(request: PostRequest, blob: Blob) -> ASGIApp:
    fields, tag = request.form.fields, etag(blob)
    stored: Headers = [
        (b"etag", tag.encode()),
        *(checksum_headers(blob.checksums) if blob.checksums else ()),
    ]
    added = {"bucket": request.bucket, "key": request.key, "etag": tag}
    for name in _REDIRECTIONS:
        target = redirection(fields.get(name, ""), added)
        if target is not None:
            return empty_response(HTTPStatus.SEE_OTHER, [*stored, (b"location", target.encode())])
    url = request.url
    headers: Headers = [*stored, (b"location", url.encode())]
    match fields.get("success_action_status"):
        case "200":
            return empty_response(HTTPStatus.OK, headers)
        case "201":
            tree: list[xml.Tree] = [("Location", url), ("Bucket", request.bucket), ("Key", request.key), ("ETag", tag)]
            document = xml.document("PostResponse", tree, namespace="")
            length = (b"content-length", b"%d" % len(document))
            return ShortResponse([XML_TYPE, length, *headers], HTTPStatus.CREATED, document)
        case _:
            return empty_response(HTTPStatus.NO_CONTENT, headers)


def redirection(url: str, added: Mapping[str, str]) -> str | None:
    """Return a URL with added parameters, in ASCII. None unless it is one of HTTP, without control characters."""
    if url != url.strip() or not url.isprintable():
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return None
    query = urlencode(added, quote_via=quote)
    query = f"{parts.query}&{query}" if parts.query else query
    return quote(parts._replace(query=query).geturl(), safe=_IN_URL)


def _name(part: Part) -> str:
    """Return the name of a field, in lower case."""
    try:
        name = part.name.lower()
    except MultipartError as error:
        raise _malformed(str(error)) from None
    if part.coding not in PLAIN_CODINGS:
        raise _malformed("a part has a Content-Transfer-Encoding, and only bytes as they are can be read")
    return name


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise S3Error("InvalidArgument", "A field of the form is not UTF-8.", ArgumentName=name) from None


def _malformed(problem: str) -> S3Error:
    return S3Error("MalformedPOSTRequest", f"The body is not {FORM}: {problem}.")

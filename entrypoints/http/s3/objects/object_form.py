"""An object as a response: its bytes as the body, in the words of S3."""

import base64
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from application.blobs.fetch import OpenBlob
from domain.blob import Blob, ByteRange
from domain.checksums import Checksums
from entrypoints.http.protocol.fields import ranges
from entrypoints.http.protocol.fields.conditional import NotModified
from entrypoints.http.protocol.fields.header_values import format_date, http_date
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.protocol.streaming import SANDBOX, Headers, Representation
from entrypoints.http.s3.errors import S3Error
from entrypoints.http.s3.objects.properties import caching_headers, property_headers
from entrypoints.http.s3.request import tags


@dataclass(frozen=True, slots=True)
class NumberedPart:
    """One part of an object that came in parts: its bytes, the number of all parts, and the part's own checksums.

    `blob` is that version of the object. `byte_range` is None for no bytes.
    """

    blob: Blob
    byte_range: ByteRange | None
    count: int
    checksums: Checksums | None

    @property
    def size(self) -> int:
        return self.byte_range.stop - self.byte_range.start if self.byte_range else 0


class Replaced(Exception):
    """The object is not the version any more of which a part was looked up."""


@dataclass(frozen=True, slots=True)
class ObjectForm(Representation):
    """The bytes as the body. `overrides`: headers that the request wants instead of those that were stored.

    `check` raises an error for a version that the sender may not read. It sees the one whose bytes are sent.
    """

    overrides: Mapping[str, str] = field(default_factory=dict)
    with_checksums: bool = False
    numbered: NumberedPart | None = None
    check: Callable[[Blob], None] = lambda _: None

    def part(self, headers: Mapping[str, str], blob: Blob) -> ByteRange | None:
        self.check(blob)
        check_reading(headers, blob)
        if self.numbered is not None:
            if self.numbered.blob.version != blob.version:
                raise Replaced
            return self.numbered.byte_range
        if "range" not in headers or not _range_still_holds(headers, blob):
            return None
        try:
            return ranges.requested(headers["range"], blob.size)
        except HttpProblem as refused:
            raise S3Error(
                "InvalidRange",
                headers=refused.headers,
                RangeRequested=headers["range"],
                ActualObjectSize=str(blob.size),
            ) from None

    def headers(self, blob: Blob, part: ByteRange | None = None) -> Headers:
        size = self.numbered.size if self.numbered else blob.size if part is None else part.stop - part.start
        headers = [
            *property_headers(blob, self.overrides),
            (b"content-length", b"%d" % size),
            *self.validators(blob),
            (b"accept-ranges", b"bytes"),
        ]
        if part is not None:
            headers.append((b"content-range", ranges.content_range(part, blob.size).encode()))
        if self.numbered is not None and self.numbered.count:
            headers.append((b"x-amz-mp-parts-count", b"%d" % self.numbered.count))
        if self.with_checksums and blob.checksums is not None:
            shown = self.numbered.checksums if self.numbered else blob.checksums if part is None else None
            headers += checksum_headers(shown, of=blob.checksums) if shown else ()
        if blob.expires_at is not None:
            expiration = f'expiry-date="{format_date(blob.expires_at)}", rule-id="drivebay"'
            headers.append((b"x-amz-expiration", expiration.encode()))
        return headers

    def validators(self, blob: Blob) -> Headers:
        modified = format_date(last_modified(blob)).encode()
        tagged = [(b"etag", etag(blob).encode()), (b"last-modified", modified), SANDBOX]
        return [*tagged, *caching_headers(blob, self.overrides)]

    def chunks(self, opened: OpenBlob) -> AsyncIterator[bytes]:
        return aiter(opened)

    def whole(self, blob: Blob, part: ByteRange | None, data: bytes) -> tuple[Headers, bytes]:
        return self.headers(blob, part), data


def etag(blob: Blob) -> str:
    """Return the entity tag with its quotes."""
    return f'"{blob.s3_etag}"'


def last_modified(blob: Blob) -> datetime:
    """Return the time since which this version is current, in whole seconds.

    As in S3, two versions may have one. A client that needs to be sure sends the entity tag.
    """
    return blob.current_since.replace(microsecond=0)


def checksum_headers(checksums: Checksums, *, of: Checksums | None = None) -> Iterator[tuple[bytes, bytes]]:
    """Yield the headers for the checksum, if there is one. For a part, `of` are the checksums of the whole object."""
    if checksums.algorithm:
        yield f"x-amz-checksum-{checksums.algorithm.lower()}".encode(), checksum_text(checksums).encode()
        yield b"x-amz-checksum-type", checksum_type(of or checksums).encode()


def checksum_text(checksums: Checksums) -> str:
    """Return the checksum in base64; one of parts with their number."""
    text = base64.b64encode(checksums.checksum).decode()
    return f"{text}-{checksums.parts}" if checksums.is_composite else text


def checksum_type(checksums: Checksums) -> str:
    return "COMPOSITE" if checksums.is_composite else "FULL_OBJECT"


def check_reading(headers: Mapping[str, str], blob: Blob, prefix: str = "") -> None:
    """Raise PreconditionFailed or NotModified where a reading depends on that (RFC 9110, section 13.2.2).

    `prefix`: that of the headers' names, for the source of a copy.
    """
    match, none_match = headers.get(f"{prefix}if-match"), headers.get(f"{prefix}if-none-match")
    if match is not None:
        if match != "*" and blob.s3_etag not in tags("If-Match", match):
            raise S3Error("PreconditionFailed", Condition="If-Match")
    elif (since := _date(headers.get(f"{prefix}if-unmodified-since"))) and last_modified(blob) > since:
        raise S3Error("PreconditionFailed", Condition="If-Unmodified-Since")
    if none_match is not None:
        if none_match == "*" or blob.s3_etag in tags("If-None-Match", none_match):
            raise NotModified(blob)
    elif (since := _date(headers.get(f"{prefix}if-modified-since"))) and last_modified(blob) <= since:
        raise NotModified(blob)


def _range_still_holds(headers: Mapping[str, str], blob: Blob) -> bool:
    """Return whether this is the version that If-Range names. Only its tag does so surely."""
    validator = headers.get("if-range")
    return validator is None or validator == etag(blob)


def _date(value: str | None) -> datetime | None:
    return None if value is None else http_date(value)

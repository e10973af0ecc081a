"""The definition of a blob: its id, the location of its bytes, their size and digest. Values validate themselves."""

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Self

from domain.checksums import Checksums
from domain.errors import BlobError, InvalidId, Loggable, RangeNotSatisfiable
from domain.properties import Properties
from domain.text import CONTROL_CHARACTER

MAX_ID_BYTES = 2048
OBJECT_KEY = re.compile(r"[0-9a-f]{32}")
# Ids have no control characters, so no id lies between an id and the same id followed by NEXT.
NEXT = "\x01"
LAST = "\U0010ffff"  # the last character of Unicode
MICROSECOND, SECOND = timedelta(microseconds=1), timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class BlobId:
    """The name that a user gave a blob: Unicode text of 1 to 2,048 bytes in UTF-8, without control characters.

    Ids are kept and compared byte for byte: without normalisation or case folding, and `/` and `..` have no meaning.
    Any other text raises INVALID_ID. Only `value` has the text; `str` and `repr` hide it from logs.
    """

    value: str = field(repr=False)

    def __post_init__(self) -> None:
        if control := CONTROL_CHARACTER.search(self.value):
            raise _invalid_id(f"has the control character U+{ord(control[0]):04X} at position {control.start()}")
        try:
            size = len(self.value.encode())
        except UnicodeEncodeError as error:
            raise _invalid_id(f"has half of a surrogate pair at position {error.start}") from error
        if not 1 <= size <= MAX_ID_BYTES:
            raise _invalid_id(f"is {size:,} bytes long in UTF-8")


def _invalid_id(error: str) -> BlobError:
    rule = f"an id is 1 to {MAX_ID_BYTES:,} bytes of UTF-8 text without control characters"
    return InvalidId(f"The blob id {error}; {rule}.")


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey(Loggable):
    """The name of an object in a storage: 32 lower-case hexadecimal digits, random, and used once.

    Object keys are unrelated to blob ids, so no user input ever becomes a path or a command.
    """

    value: str

    def __post_init__(self) -> None:
        if not OBJECT_KEY.fullmatch(self.value):
            raise ValueError(f"{self.value!r} is not an object key of 32 lower-case hexadecimal digits")

    @classmethod
    def random(cls) -> Self:
        """Return a new key: 128 random bits from the operating system."""
        return cls(secrets.token_hex(16))

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Location:
    """The location of the bytes of one version of a blob: the name of a backend, and an object key there."""

    backend: str
    key: ObjectKey


@dataclass(frozen=True, slots=True)
class Digest:
    """The SHA-256 of a blob's bytes (FIPS 180-4)."""

    sha256: bytes

    def __post_init__(self) -> None:
        if len(self.sha256) != 32:
            raise ValueError(f"a SHA-256 has 32 bytes, not {len(self.sha256)}")

    @property
    def hex(self) -> str:
        return self.sha256.hex()


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a content: an object, and the position of its first byte in the content. `size` is in bytes.

    `checksums`: of its bytes, if they came through the S3 interface. `is_shared`: the object may have other names, and
    their number is counted.
    """

    location: Location
    start: int
    size: int
    digest: Digest
    checksums: Checksums | None = field(default=None, compare=False)
    is_shared: bool = field(default=False, compare=False)

    @property
    def stop(self) -> int:
        """The position after its last byte."""
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a version of a blob: one object, or an ordered list of segments.

    `location` is that of the object. For segments it is the key of their list, which no object has, and the backend of
    the first one. `size` is in bytes. `digest` is that of all bytes: for segments it is computed later, and None until
    then. `segments`: their number, 0 for one object. `composite`: the SHA-256 of the digests of the segments in their
    order. `is_shared`: the content may have other names (blobs, or segments and parts of uploads with the same object),
    and their number is counted.
    """

    location: Location
    size: int
    digest: Digest | None
    segments: int = 0
    composite: Digest | None = None
    is_shared: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(f"the size of a blob is not negative: {self.size}")
        if self.composite is None and (self.segments or self.digest is None):
            raise ValueError("a content has a digest, or segments with a composite one")

    @property
    def key(self) -> ObjectKey:
        """The identity of the content: the key of its object, or of the list of its segments."""
        return self.location.key

    @property
    def fingerprint(self) -> bytes:
        """A digest that never changes: of the bytes, or of the segments' digests."""
        digest = self.composite or self.digest
        assert digest is not None
        return digest.sha256


@dataclass(frozen=True, slots=True)
class Draft:
    """A version of a blob that is not published yet.

    It expires at `expires_at`, or `expires_in` after it was published; never without either. `created_at` is set if
    the version continues another one, and keeps its time. `owner`: the key whose quota counts it, if there is one.
    `checksums`: of its bytes, if they came through the S3 interface.
    """

    id: BlobId
    content: Content
    properties: Properties = field(default_factory=Properties)
    expires_at: datetime | None = field(default=None, kw_only=True)
    expires_in: timedelta | None = field(default=None, kw_only=True)
    created_at: datetime | None = field(default=None, kw_only=True)
    owner: str = field(default="", kw_only=True)
    checksums: Checksums | None = field(default=None, kw_only=True, compare=False)

    def published(self, now: datetime, replaced: "Blob | None" = None) -> "Blob":
        """Return this version as published at `now`, by the database's clock, in place of `replaced`.

        It is current since a later time than `replaced`, even if the clock has gone back.
        """
        since = now if replaced is None else max(now, replaced.current_since + MICROSECOND)
        return Blob(
            self.id,
            self.content,
            self.properties,
            self.created_at or since,
            replaced is None or _second(since) != _second(replaced.current_since),
            expires_at=self.expires_at if self.expires_in is None else since + self.expires_in,
            changed_at=since if self.created_at else None,
            owner=self.owner,
            checksums=self.checksums,
        )


@dataclass(frozen=True, slots=True)
class Blob:
    """One version of a blob: published, whole, and never changed.

    `created_at`: the time at which its bytes were published, in UTC, by the database's clock. `changed_at`: the time
    since which this version is current, if it is later, because properties or the id were changed. `sole`: no earlier
    version became current in the same second, as far as is known. `read_at`: the time at which the row was read, by the
    same clock, if known. At `expires_at`, if set, the blob ends. `owner`, `checksums`: as in `Draft`. Versions are
    distinguished by their contents and properties, not by these times.
    """

    id: BlobId
    content: Content
    properties: Properties
    created_at: datetime = field(compare=False)
    sole: bool = field(default=False, compare=False)
    read_at: datetime | None = field(default=None, compare=False)
    expires_at: datetime | None = field(default=None, kw_only=True)
    changed_at: datetime | None = field(default=None, kw_only=True, compare=False)
    owner: str = field(default="", kw_only=True, compare=False)
    checksums: Checksums | None = field(default=None, kw_only=True, compare=False)

    def __post_init__(self) -> None:
        if self.created_at.tzinfo is not UTC:
            raise ValueError(f"created_at is in UTC: {self.created_at!r}")

    @property
    def location(self) -> Location:
        """The location of its content."""
        return self.content.location

    def draft(self) -> Draft:
        """Return a draft that continues this version: with all that it has but the times since which it is current."""
        return Draft(
            self.id,
            self.content,
            self.properties,
            expires_at=self.expires_at,
            created_at=self.created_at,
            owner=self.owner,
            checksums=self.checksums,
        )

    @property
    def version(self) -> tuple[str, datetime]:
        """The identity of this version among all that the id ever had. It stays when the bytes are moved."""
        return self.etag, self.current_since

    @property
    def size(self) -> int:
        """The number of its bytes, as stored: they are never decoded."""
        return self.content.size

    @property
    def etag(self) -> str:
        """The strong validator of RFC 9110, section 8.8.3, without its quotes: never 32 hexadecimal digits only.

        A function of the bytes (or of the segments' bytes), the properties and the expiry, so it does not change when
        the bytes move to another backend, or when the digest of segments becomes known. Clients of S3 take 32
        hexadecimal digits for the MD5 of the bytes, and digits after a hyphen for a number of parts.
        """
        hashed = self.content.fingerprint + self.properties.canonical()
        if self.expires_at is not None:
            hashed += b"\0" + self.expires_at.isoformat().encode()
        return f"{hashlib.sha256(hashed).hexdigest()[:32]}-{self.content.segments or 1}"

    @property
    def s3_etag(self) -> str:
        """The entity tag that S3 clients know, without quotes: that of the checksums, a function of the bytes only.

        It is `etag` if the bytes did not come through the S3 interface.
        """
        return self.checksums.etag if self.checksums else self.etag

    @property
    def current_since(self) -> datetime:
        """The time at which this version became the current one."""
        return self.changed_at or self.created_at

    @property
    def has_expired(self) -> bool:
        """Whether the blob had ended when it was read."""
        return self.expires_at is not None and self.read_at is not None and self.expires_at <= self.read_at

    @property
    def unchanged_since(self) -> datetime:
        """The first whole second since which this has been the current version, as far as clients can see.

        Later than the `last_modified` of every earlier version, replaced or deleted. A deleted version is not
        remembered, but while it was current, the second that it shares with this one was not over.
        """
        return _second(self.current_since) + (SECOND if self.sole else 2 * SECOND)

    @property
    def has_strong_date(self) -> bool:
        """Whether `last_modified` is the date of this version and of no other (RFC 9110, section 8.8.2.2).

        True once `unchanged_since` is past. A version that is not `sole` never has a strong date: until its commit,
        the version before it may have been read with the same date.
        """
        return self.sole and self.read_at is not None and self.unchanged_since <= self.read_at

    @property
    def last_modified(self) -> datetime:
        """The date to send to clients, in whole seconds: `unchanged_since` if that is strong.

        Otherwise a date too early to satisfy any condition, and not later than the time of the reading.
        """
        if self.has_strong_date:
            return self.unchanged_since
        return _second(min(self.current_since, self.read_at or self.current_since))


def _second(time: datetime) -> datetime:
    return time.replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The bytes from `start` up to but not including `stop`: at least one byte."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(f"the range from {self.start} up to {self.stop} has no bytes")

    def within(self, size: int) -> Self:
        """Return this range of an object of `size` bytes, cut at the object's end.

        Raises RANGE_NOT_SATISFIABLE if it starts at or after the end (RFC 9110, section 14.1.1).
        """
        if self.start >= size:
            detail = f"The range starts at byte {self.start:,}, and there are only {size:,}."
            raise RangeNotSatisfiable(detail)
        return self if self.stop <= size else type(self)(self.start, size)

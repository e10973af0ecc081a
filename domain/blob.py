"""The definition of a blob: its id, the location of its bytes, their size and digest. Values validate themselves."""

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Self

from domain.errors import BlobError, InvalidId, Loggable, RangeNotSatisfiable

MAX_ID_BYTES = 1024
CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")
OBJECT_KEY = re.compile(r"[0-9a-f]{32}")
DEFAULT_CONTENT_TYPE = "application/octet-stream"
# Ids have no control characters, so no id lies between an id and the same id followed by NEXT.
NEXT = "\x01"
LAST = "\U0010ffff"  # the last character of Unicode
MICROSECOND, SECOND = timedelta(microseconds=1), timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class BlobId:
    """The name that a user gave a blob: Unicode text of 1 to 1,024 bytes in UTF-8, without control characters.

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
class Draft:
    """A version of a blob that is written and not yet published.

    `size` is in bytes. `content_encoding`: the codings that the sender applied to the bytes, such as `gzip` (RFC 9110,
    section 8.4). Size, digest and ranges refer to the bytes as stored; they are never decoded.
    """

    id: BlobId
    location: Location
    size: int
    digest: Digest
    content_type: str
    content_encoding: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(f"the size of a blob is not negative: {self.size}")

    @property
    def etag(self) -> str:
        """The strong validator of RFC 9110, section 8.8.3, without its quotes.

        A function of the bytes, the content type and the content encoding, so it does not change when the bytes move
        to another backend.
        """
        encoding = f"\0{self.content_encoding}" if self.content_encoding else ""
        return hashlib.sha256(self.digest.sha256 + f"{self.content_type}{encoding}".encode()).hexdigest()[:32]

    def published(self, now: datetime, replaced: "Blob | None" = None) -> "Blob":
        """Return this version as published at `now`, by the database's clock, in place of `replaced`.

        `created_at` is later than that of `replaced`, even if the clock has gone back.
        """
        created_at = now if replaced is None else max(now, replaced.created_at + MICROSECOND)
        sole = replaced is None or _second(created_at) != _second(replaced.created_at)
        return Blob(
            self.id,
            self.location,
            self.size,
            self.digest,
            self.content_type,
            created_at,
            sole,
            content_encoding=self.content_encoding,
        )


@dataclass(frozen=True, slots=True)
class Blob(Draft):
    """One version of a blob: published, whole, and never changed.

    `created_at`: the time of publishing, in UTC, by the database's clock. `sole`: no earlier version was published in
    the same second, as far as is known. `read_at`: the time at which the row was read, by the same clock, if known.
    Versions are distinguished by their locations, not by these times.
    """

    created_at: datetime = field(compare=False)
    sole: bool = field(default=False, compare=False)
    read_at: datetime | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        Draft.__post_init__(self)  # super() does not know the class that `slots` creates
        if self.created_at.tzinfo is not UTC:
            raise ValueError(f"created_at is in UTC: {self.created_at!r}")

    @property
    def unchanged_since(self) -> datetime:
        """The first whole second since which this has been the current version, as far as clients can see.

        Later than the `last_modified` of every earlier version, replaced or deleted. A deleted version is not
        remembered, but while it was current, the second that it shares with this one was not over.
        """
        return _second(self.created_at) + (SECOND if self.sole else 2 * SECOND)

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
        return _second(min(self.created_at, self.read_at or self.created_at))


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

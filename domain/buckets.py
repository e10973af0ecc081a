"""Buckets: names for prefixes of ids, for clients of S3."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from types import MappingProxyType

from domain.acls import PRIVATE
from domain.errors import InvalidBucketName

RESERVED = frozenset({"docs", "health", "metrics"})
"""The names of other paths at the root. `v1` and `s` are too short for a bucket."""
_DOTS = {"..", ".-", "-."}  # no names of hosts
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{2,62}+(?<![.-])")
_RESERVED_STARTS = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3")


BLOCK_ACLS, IGNORE_ACLS = "BlockPublicAcls", "IgnorePublicAcls"
BLOCKS = (BLOCK_ACLS, IGNORE_ACLS, "BlockPublicPolicy", "RestrictPublicBuckets")
"""The parts of a block of public access."""

_NO_TAGS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class CorsRule:
    """Requests that the pages of some origins may send to a bucket.

    `origins` and `headers` may have one `*` each, for any text. `exposed`: the headers of responses that the pages may
    read. `max_age`: seconds for which browsers may remember the rule, or None.
    """

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    max_age: int | None = None
    id: str = ""


@dataclass(frozen=True, slots=True)
class BucketSettings:
    """Settings of a bucket, by its users.

    `tags`: texts by names. `cors`: rules, of which the first that matches a request applies. `acl`: a canned access
    control list. `location`: the one that its creator asked for, or empty for none. It changes nothing. `blocked`: the
    parts of its block of public access, of BLOCKS, or None if it has no such block.
    """

    tags: Mapping[str, str] = field(default_factory=lambda: _NO_TAGS, hash=False)
    cors: tuple[CorsRule, ...] = ()
    acl: str = PRIVATE
    location: str = ""
    blocked: tuple[str, ...] | None = None

    @property
    def takes_open_acls(self) -> bool:
        """Whether the bucket and its objects may get access control lists that open them to others."""
        return BLOCK_ACLS not in (self.blocked or ())

    @property
    def heeds_acls(self) -> bool:
        """Whether access control lists of the bucket and its objects give rights."""
        return IGNORE_ACLS not in (self.blocked or ())


DEFAULTS = BucketSettings()


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket holds the blobs whose ids begin with `prefix`: the key of an object is the rest of its id.

    A blob whose id is only the prefix is not in the bucket, because no key is empty. `owner` is the id of the key that
    created it. `created_at` is in UTC, by the database's clock.
    """

    name: str
    prefix: str
    owner: str
    created_at: datetime
    settings: BucketSettings = DEFAULTS

    def __post_init__(self) -> None:
        if self.created_at.tzinfo is not UTC:
            raise ValueError(f"created_at is in UTC: {self.created_at!r}")


def check_bucket_name(name: str) -> None:
    """Raise INVALID_BUCKET_NAME unless S3 allows the name (Amazon S3 User Guide, Bucket naming rules)."""
    if not _NAME.fullmatch(name) or not _DOTS.isdisjoint(map("".join, pairwise(name))) or _is_address(name):
        detail = (
            "A bucket's name has 3 to 63 lower-case letters, digits, hyphens and dots. It begins and ends with a letter"
            " or a digit, and has dots only between these. It is not an IP address."
        )
        raise InvalidBucketName(detail)
    if name in RESERVED or name.startswith(_RESERVED_STARTS) or name.endswith(_RESERVED_ENDS):
        raise InvalidBucketName(f"The name {name} is reserved. Choose another one.")


def _is_address(name: str) -> bool:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True

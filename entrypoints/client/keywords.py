"""Keyword arguments that both clients take."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypedDict

DEFAULT_TIMEOUT = 60.0  # seconds


class Readable(Protocol):
    """An open file, as far as it is read."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end."""


class Put(TypedDict, total=False):
    """The properties of a blob to store, and when it may be stored.

    `create_only`: the id must not be in use. `if_match`: the ETag of the version to replace. `expires_in`: seconds.
    """

    content_type: str
    metadata: Mapping[str, str]
    content_encoding: str
    cache_control: str
    content_disposition: str
    expires_in: int
    expires_at: datetime
    create_only: bool
    if_match: str


class Sign(TypedDict, total=False):
    """The conditions of a signed URL. They are for PUT, as is `prefix` in place of an id; `filename` is for GET."""

    prefix: str
    expires_in: int
    content_type: str
    max_bytes: int
    sha256: str
    create_only: bool
    filename: str


class ShareLink(TypedDict, total=False):
    """The conditions of a link. `prefix` in place of an id, and `max_bytes` of a file, are for uploads."""

    prefix: str
    expires_in: int
    password: str
    max_uses: int
    filename: str
    max_bytes: int


def spans(
    starts: Sequence[int], ends: Sequence[int] | None = None, lengths: Sequence[int] | None = None
) -> list[tuple[int, int]]:
    """Return ranges by their starts and ends. Raises ValueError."""
    if (ends is None) == (lengths is None):
        raise ValueError("A range has an end, or a length. Give one of them.")
    if lengths is not None:
        ends = [start + length for start, length in zip(starts, lengths, strict=True)]
    return list(zip(starts, ends or [], strict=True))

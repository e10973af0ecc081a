"""Properties of a blob: everything that its sender says about the bytes."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from domain.errors import InvalidMetadata
from domain.text import CONTROL_CHARACTER

DEFAULT_CONTENT_TYPE = "application/octet-stream"
MAX_METADATA_BYTES = 8 * 1024
NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]++")  # a token of RFC 9110, section 5.6.2, in lower case
NO_METADATA: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Properties:
    """Properties of a version of a blob, named after the header fields of RFC 9110 and RFC 9111. Empty ones are absent.

    `content_encoding`: the codings that the sender applied to the bytes, such as `gzip`. `metadata`: texts of the
    user, by names in lower case that a header field may have, 8 KiB of UTF-8 in all. `tags`: the tags of S3, texts by
    names. `expires`: the header of RFC 9111, as it was sent. `acl`: the canned access control list of S3, empty for a
    private blob. Raises INVALID_METADATA for other metadata, and for control characters in tags.
    """

    content_type: str = DEFAULT_CONTENT_TYPE
    content_encoding: str = ""
    content_language: str = ""
    content_disposition: str = ""
    cache_control: str = ""
    metadata: Mapping[str, str] = field(default_factory=lambda: NO_METADATA, hash=False)
    tags: Mapping[str, str] = field(default_factory=lambda: NO_METADATA, hash=False)
    expires: str = ""
    acl: str = ""

    def __post_init__(self) -> None:
        if self.metadata:
            _check(self.metadata)
        for name, value in self.tags.items():
            _check_text("name of a tag", name)
            _check_text(f"value of the tag {name}", value)

    def canonical(self) -> bytes:
        """Return a text of these properties, which differs from that of all others."""
        text = f"{self.content_type}\0{self.content_encoding}" if self.content_encoding else self.content_type
        rare = [self.content_language, self.content_disposition, self.cache_control, sorted(self.metadata.items())]
        if self.tags or self.expires or self.acl:
            rare.append(sorted(self.tags.items()))
        if self.expires or self.acl:
            rare.append(self.expires)
        if self.acl:
            rare.append(self.acl)
        return (f"{text}\0{json.dumps(rare)}" if any(rare) else text).encode()


def _check(metadata: Mapping[str, str]) -> None:
    size = 0
    for name, value in metadata.items():
        if not NAME.fullmatch(name):
            raise InvalidMetadata(f"The name {name!r} is not a token in lower case, as a header field has it.")
        size += len(name) + _check_text(f"value of {name}", value)
    if size > MAX_METADATA_BYTES:
        detail = f"The metadata has {size:,} bytes; names and values may have {MAX_METADATA_BYTES:,} in all."
        raise InvalidMetadata(detail)


def _check_text(name: str, text: str) -> int:
    """Return the size of a text in bytes of UTF-8."""
    if control := CONTROL_CHARACTER.search(text):
        raise InvalidMetadata(f"The {name} has the control character U+{ord(control[0]):04X}. Remove it.")
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise InvalidMetadata(f"The {name} has half of a surrogate pair.") from None

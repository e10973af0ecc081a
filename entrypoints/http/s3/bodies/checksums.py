"""The checksums of S3: computed as bytes come, written in headers, and combined for uploads in parts.

Source: Amazon S3 User Guide, Checking object integrity in Amazon S3.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import Protocol

from awscrt import checksums as crt

from domain.checksums import ALGORITHMS, Checksums
from entrypoints.http.s3.errors import S3Error

PREFIX = "x-amz-checksum-"
HEADERS = {f"{PREFIX}{algorithm.lower()}": algorithm for algorithm in ALGORITHMS}
"""The algorithms, by the names of their headers in lower case."""
_NO_VALUES = frozenset({f"{PREFIX}algorithm", f"{PREFIX}mode", f"{PREFIX}type"})

_CRCS: dict[str, Callable[[bytes, int], int]] = {
    "CRC32": crt.crc32,
    "CRC32C": crt.crc32c,
    "CRC64NVME": crt.crc64nvme,
}
_COMBINED: dict[str, Callable[[int, int, int], int]] = {
    "CRC32": crt.combine_crc32,
    "CRC32C": crt.combine_crc32c,
    "CRC64NVME": crt.combine_crc64nvme,
}
FULL_OBJECT = frozenset(_COMBINED)
"""The algorithms whose results for parts combine to the result for the whole."""


class Hash(Protocol):
    """A checksum of bytes that come one after another."""

    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class Crc:
    """A cyclic redundancy check of bytes that come one after another."""

    def __init__(self, algorithm: str) -> None:
        self._compute = _CRCS[algorithm]
        self._size = ALGORITHMS[algorithm]
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._compute(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


def new_hash(algorithm: str) -> Hash:
    """Return the checksum of no bytes, by one of ALGORITHMS."""
    if algorithm in _CRCS:
        return Crc(algorithm)
    return hashlib.new(algorithm.lower(), usedforsecurity=algorithm != "SHA1")


def new_md5() -> Hash:
    """Return the MD5 of no bytes."""
    return hashlib.md5(usedforsecurity=False)


def checksum_of(algorithm: str, data: bytes) -> bytes:
    """Return the checksum of some bytes."""
    found = new_hash(algorithm)
    found.update(data)
    return found.digest()


def of_no_bytes(algorithm: str) -> Checksums:
    """Return the checksums of no bytes. `algorithm`: one of ALGORITHMS, or empty for an MD5 only."""
    return Checksums(
        new_md5().digest(), algorithm=algorithm, checksum=checksum_of(algorithm, b"") if algorithm else b""
    )


def header_of(algorithm: str) -> str:
    """Return the name of the header of an algorithm, in lower case."""
    return f"{PREFIX}{algorithm.lower()}"


def encode(checksum: bytes) -> str:
    """Return the text of a checksum in a header: base64 (RFC 4648, section 4)."""
    return base64.b64encode(checksum).decode()


def decode(text: str, size: int) -> bytes | None:
    """Return the bytes of a checksum in a header. None unless it is base64 of this many bytes."""
    try:
        decoded = base64.b64decode(text)
    except (binascii.Error, ValueError):
        return None
    # Other characters, and other unused bits, decode to the same bytes. So compare.
    return decoded if len(decoded) == size and encode(decoded) == text else None


def declared(headers: Iterable[tuple[str, str]]) -> tuple[str, bytes] | None:
    """Return algorithm and value of the checksum in some headers; None if there is none.

    Names are in lower case. Raises S3Error: InvalidRequest for several or an unknown one, BadDigest for one that is
    malformed.
    """
    found = [(name, value) for name, value in headers if name.startswith(PREFIX) and name not in _NO_VALUES]
    if not found:
        return None
    if len(found) > 1:
        raise several()
    name, value = found[0]
    if name not in HEADERS:
        raise unknown(name)
    algorithm = HEADERS[name]
    checksum = decode(value.strip(), ALGORITHMS[algorithm])
    if checksum is None:
        raise S3Error("BadDigest", f"Value for {name} header is invalid.")
    return algorithm, checksum


def several() -> S3Error:
    """Return the error for more than one checksum."""
    return S3Error("InvalidRequest", f"Expecting a single {PREFIX} header. Multiple checksum Types are not allowed.")


def unknown(name: str) -> S3Error:
    """Return the error for a header, or a trailer, of an algorithm that there is not."""
    allowed = ", ".join(HEADERS)
    return S3Error("InvalidRequest", f"{name} is not a checksum that is supported here. Use one of {allowed}.")


def mismatch(algorithm: str) -> S3Error:
    """Return the error for bytes whose checksum is not as declared."""
    return S3Error("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")


def combine(algorithm: str, parts: Iterable[tuple[int, bytes]]) -> bytes:
    """Return the checksum of all bytes, from the sizes and the checksums of their parts. `algorithm` is a CRC."""
    combine_two, size = _COMBINED[algorithm], ALGORITHMS[algorithm]
    values = ((length, int.from_bytes(checksum, "big")) for length, checksum in parts)
    return reduce(lambda value, part: combine_two(value, part[1], part[0]), values, 0).to_bytes(size, "big")


def of_parts(parts: Sequence[tuple[int, Checksums]], algorithm: str, is_composite: bool, upload_key: str) -> Checksums:
    """Return the checksums of a blob, from the sizes and the checksums of its parts in order.

    Without an algorithm, it has an MD5 only. Otherwise each part has a checksum of this algorithm, or this raises
    ValueError; and so it does for checksums that do not combine, unless the result `is_composite`.
    """
    md5 = hashlib.md5(b"".join(part.md5 for _, part in parts), usedforsecurity=False).digest()
    if not algorithm:
        return Checksums(md5, len(parts), upload=upload_key)
    if any(part.algorithm != algorithm for _, part in parts):
        raise ValueError(f"a part has no {algorithm}")
    if is_composite:
        checksum = checksum_of(algorithm, b"".join(part.checksum for _, part in parts))
    elif algorithm in FULL_OBJECT:
        checksum = combine(algorithm, ((size, part.checksum) for size, part in parts))
    else:
        raise ValueError(f"results of {algorithm} do not combine")
    return Checksums(md5, len(parts), algorithm, checksum, is_composite, upload_key)

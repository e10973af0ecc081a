"""Checksums of the bytes of one request (tus 1.0, Checksum), in the header Upload-Checksum."""

import base64
import binascii
import hashlib
import zlib
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from dataclasses import dataclass
from functools import partial
from hmac import compare_digest
from typing import Protocol

from domain.errors import DigestMismatch
from entrypoints.http.protocol.hashing import ConcurrentHashing
from entrypoints.http.protocol.problems import HttpProblem

MAX_HEADER = 256  # characters


class Hash(Protocol):
    """A checksum of bytes that come one after another."""

    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class Crc32:
    """The CRC-32 of ISO 3309, as four bytes in network order."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


ALGORITHMS: dict[str, Callable[[], Hash]] = {
    "sha1": partial(hashlib.sha1, usedforsecurity=False),
    "sha256": hashlib.sha256,
    "crc32": Crc32,
    "md5": partial(hashlib.md5, usedforsecurity=False),
}
NAMES = ",".join(ALGORITHMS)


@dataclass(frozen=True, slots=True)
class Checksum:
    """The checksum that the client declares."""

    algorithm: str
    value: bytes

    @classmethod
    def parse(cls, header: str) -> "Checksum":
        """Return the checksum in a header. Raises HttpProblem 400."""
        algorithm, _, encoded = header.strip().partition(" ")
        if algorithm not in ALGORITHMS:
            raise _invalid(f"Upload-Checksum has an algorithm that is not supported here. Use one of {NAMES}.")
        try:
            if len(header) > MAX_HEADER:
                raise ValueError(header)
            return cls(algorithm, base64.b64decode(encoded.strip(), validate=True))
        except (binascii.Error, ValueError):
            example = "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="
            raise _invalid(
                f"Upload-Checksum is not an algorithm and a checksum in base64, such as {example}."
            ) from None

    async def verified(self, chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
        """Yield the chunks, and raise DIGEST_MISMATCH at the end unless they have this checksum."""
        computed = ALGORITHMS[self.algorithm]()
        hashing = ConcurrentHashing(computed.update)
        try:
            async for chunk in chunks:
                await hashing.add(chunk, len(chunk))
                yield chunk
            await hashing.finish()
        finally:
            await hashing.wait()
        if not compare_digest(computed.digest(), self.value):
            detail = f"The bytes that arrived do not have the {self.algorithm} declared. They were discarded: send them"
            raise DigestMismatch(f"{detail} again.")


def _invalid(detail: str) -> HttpProblem:
    return HttpProblem("invalid_header", detail)

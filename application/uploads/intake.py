"""The bytes of an upload, measured and checked against their declared size and digest."""

from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass, field

from application.uploads.hashing import Hashing
from domain.blob import Digest
from domain.errors import BlobError, DigestMismatch, SizeMismatch, TooLarge


@dataclass(slots=True)
class Intake:
    """Incoming chunks, iterated once. Their `size` and `digest` are complete after the last one.

    The iteration raises TOO_LARGE at the first byte too many, and SIZE_MISMATCH and DIGEST_MISMATCH if the chunks are
    not as declared. So the storage that consumes them never finishes the object.
    """

    chunks: AsyncIterable[bytes]
    max_bytes: int
    declared_size: int | None = None
    declared_digest: Digest | None = None
    size: int = 0
    _hashing: Hashing = field(default_factory=Hashing)

    @property
    def digest(self) -> Digest:
        return Digest(self._hashing.digest())

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        if self.declared_size is not None and self.declared_size > self.max_bytes:
            raise too_large(self.max_bytes)
        try:
            async for chunk in self.chunks:
                self._count(chunk)
                await self._hashing.add(chunk)
                yield chunk
        finally:
            await self._hashing.finish()
        self._check()

    def _count(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.size > self.max_bytes:
            raise too_large(self.max_bytes)
        if self.declared_size is not None and self.size > self.declared_size:
            raise SizeMismatch(f"More bytes came than the {self.declared_size:,} declared.")

    def _check(self) -> None:
        if self.declared_size is not None and self.size < self.declared_size:
            detail = f"The body ended after {self.size:,} of the {self.declared_size:,} bytes declared. Send it again."
            raise SizeMismatch(detail)
        if self.declared_digest is not None and self.digest != self.declared_digest:
            detail = (
                f"The bytes that arrived have the SHA-256 {self.digest.hex}, not the one declared. Send them again."
            )
            raise DigestMismatch(detail)


def too_large(max_bytes: int) -> BlobError:
    return TooLarge(f"A blob may have up to {max_bytes:,} bytes here.")

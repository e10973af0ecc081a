"""Requests to store a blob that are read while it is stored: the id may come before or after the bytes."""

from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from domain.blob import BlobId


class BodyScanner(Protocol):
    """Scanner of a request body in chunks, cut anywhere. `id` is None until it has been read."""

    id: BlobId | None

    @property
    @abstractmethod
    def is_in_data(self) -> bool:
        """Whether the blob's bytes have begun. If its id is not known by then, it comes after them."""

    @abstractmethod
    def feed(self, chunk: bytes) -> bytes:
        """Return the blob's bytes in `chunk`."""

    @abstractmethod
    def end(self) -> BlobId:
        """Return the blob's id, now that the body has ended."""


@dataclass(frozen=True, slots=True)
class ScannedBlob:
    """The blob in a request body. It begins with `data`, and `body` is the rest of the request.

    Its bytes end only if the request is valid to its last byte.
    """

    scanner: BodyScanner
    data: bytes
    body: AsyncIterator[bytes]

    @property
    def id(self) -> BlobId | None:
        return self.scanner.id

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        yield self.data
        async for chunk in self.body:
            yield self.scanner.feed(chunk)
        self.scanner.end()


async def scanned_blob(scanner: BodyScanner, body: AsyncIterator[bytes]) -> ScannedBlob:
    """Read the request up to the first bytes of its blob."""
    async for chunk in body:
        data = scanner.feed(chunk)
        if scanner.is_in_data:
            return ScannedBlob(scanner, data, body)
    scanner.end()
    raise AssertionError("a body without data was accepted as complete")

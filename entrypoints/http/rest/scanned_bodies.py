"""Requests to store a blob that are read while it is stored: the id may come before the bytes, or after them."""

from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Protocol

from domain.blob import BlobId


class BodyScanner(Protocol):
    """Takes a body in chunks, cut anywhere. `id` is the blob's, once it was read, and None before."""

    id: BlobId | None

    @property
    @abstractmethod
    def is_in_data(self) -> bool:
        """Whether the blob's bytes have begun. If its id is not known by then, it comes after them."""

    @abstractmethod
    def feed(self, chunk: bytes) -> bytes:
        """Return the blob's bytes that are known by now, and were not returned before."""

    @abstractmethod
    def end(self) -> BlobId:
        """Return the blob's id, now that the body has ended."""


async def until_data(scanner: BodyScanner, body: AsyncIterator[bytes]) -> bytes:
    """Read up to the first of the blob's bytes, and return those that were read with it."""
    async for chunk in body:
        data = scanner.feed(chunk)
        if scanner.is_in_data:
            return data
    scanner.end()
    raise AssertionError("a body without data was taken for whole")


async def decoded(data: bytes, scanner: BodyScanner, body: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """Yield `data`, and the bytes that follow. Ends only if the body is right to its last byte."""
    yield data
    async for chunk in body:
        yield scanner.feed(chunk)
    scanner.end()


def id_of(scanner: BodyScanner) -> BlobId | Callable[[], BlobId]:
    """The id, or a function that returns it once all bytes were read."""
    return scanner.id or (lambda: _read_by_now(scanner))


def _read_by_now(scanner: BodyScanner) -> BlobId:
    assert scanner.id is not None, "asked for before the body has ended"
    return scanner.id

"""The bodies of requests to S3, with their progress."""

from io import BytesIO

from aiohttp import BytesIOPayload, payload_type
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Order

from adapters.storage.progress import acknowledged


class Body(BytesIO):
    """The body of a request: a file object that owns its bytes, because the client would copy other types."""

    _writer: AbstractStreamWriter | None = None
    _attempts = 0

    def begin(self, writer: AbstractStreamWriter) -> None:
        """Store the aiohttp writer of the current attempt."""
        self._writer = writer
        self._attempts += 1

    def progress(self) -> object:
        """Return a value that changes while the bytes move."""
        transport = None if self._writer is None else self._writer.transport
        return self._attempts, self.tell(), acknowledged(transport)


@payload_type(Body, order=Order.try_first)
class _BodyPayload(BytesIOPayload):
    """The payload by which aiohttp sends a Body."""

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self._value.begin(writer)  # type: ignore[attr-defined]  # a Body
        await super().write_with_length(writer, content_length)

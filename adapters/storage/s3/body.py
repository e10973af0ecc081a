"""The bodies of requests to S3, and how far they have come."""

from io import BytesIO

from aiohttp import BytesIOPayload, payload_type
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Order

from adapters.storage.progress import acknowledged


class Body(BytesIO):
    """Bytes to be sent, as a file that alone holds them: else the client would copy them.

    It gets to know the connection over which it is sent.
    """

    _writer: AbstractStreamWriter | None = None
    _attempts = 0

    def begin(self, writer: AbstractStreamWriter) -> None:
        """Note the aiohttp writer by which it is sent now."""
        self._writer = writer
        self._attempts += 1

    def moved(self) -> object:
        """A value that changes while its bytes move."""
        transport = None if self._writer is None else self._writer.transport
        return self._attempts, self.tell(), acknowledged(transport)


@payload_type(Body, order=Order.try_first)
class _BodyPayload(BytesIOPayload):
    """How aiohttp sends a Body."""

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self._value.begin(writer)  # type: ignore[attr-defined]  # it is a Body
        await super().write_with_length(writer, content_length)

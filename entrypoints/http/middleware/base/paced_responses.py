"""Bodies that exist as a whole, sent as slowly as their clients take them."""

from litestar.types import Scope, Send

from entrypoints.http.protocol.client_pace import ClientTooSlow, Meter, Pace
from entrypoints.http.protocol.streaming import cut_off

CHUNK = 8 * 1024  # bytes; the HTTP server keeps up to 20 of them for each connection: see protocol/large_responses.py
SHORT = 12 * CHUNK  # a body of which it would keep all chunks anyway


async def send_in_chunks(scope: Scope, send: Send, body: bytes, pace: Pace) -> None:
    """Send a large body in chunks, and close the connection of a client that is too slow.

    The HTTP server would copy the whole body for each connection, and keep it until the client has taken it.
    """
    meter = Meter(pace)
    try:
        for start in range(0, len(body), CHUNK):
            chunk = body[start : start + CHUNK]
            more = start + CHUNK < len(body)
            await meter.send(send, {"type": "http.response.body", "body": chunk, "more_body": more}, len(chunk))
    except ClientTooSlow:
        cut_off(scope)

"""Transfers over passive data connections: EPSV (RFC 2428) and PASV."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from aioftp.common import SSLSessionBoundContext

from adapters.storage.ftp.config import FtpConfig, Passive
from adapters.storage.ftp.control import FtpControl, abort, check_open
from adapters.storage.ftp.features import FtpFeatures
from adapters.storage.ftp.replies import DONE, GO_ON, NOT_IMPLEMENTED, PRELIMINARY, port_of
from adapters.storage.progress import acknowledged, progress_deadline, report_progress, unacknowledged
from domain.errors import BlobError, Kind

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

CHUNK = 256 * 1024
LAST = 64 * 1024  # bytes that may be unacknowledged when a data connection is closed
LOOK = 0.02  # seconds between two checks of these
# With many concurrent transfers, another process may take the port that the server has chosen.
PORT_TAKEN = "425"
PORT_ATTEMPTS = 10
UNPROVEN = 4  # divides the timeout of a command that has not worked yet, if another one can be tried
ALREADY_SENT = 1  # seconds to wait for bytes that were sent before a reply that has arrived
# The reply after any disk error in a transfer. In an upload, the disk is nearly always full.
LOCAL_ERROR = "451"
# Refusals of a transfer that say nothing about its command. 451 does: ProFTPD sends it where APPE is not permitted.
FOR_NOW = ("421", PORT_TAKEN, "426", "450", "452", "552")


class _DataProtocol(asyncio.StreamReaderProtocol):
    """A protocol that closes at EOF: TLS has no half-closed connections, and asyncio warns about attempts."""

    def eof_received(self) -> bool:
        super().eof_received()
        return False


@dataclass(frozen=True, slots=True)
class Transfer:
    """A data connection, the `code` of the first reply, and the number of bytes to `skip` without REST."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    code: str
    skip: int

    @property
    def has_begun(self) -> bool:
        """Whether another reply follows at the end."""
        return self.code.startswith(PRELIMINARY)


class FtpTransfers(FtpControl):
    """A control connection with data connections. All connections to a server share `features`."""

    def __init__(self, config: FtpConfig, context: ssl.SSLContext | None, features: FtpFeatures) -> None:
        super().__init__(config, context)
        self.features = features
        self._session: SSLSessionBoundContext | None = None
        self.is_rejected = False
        """Whether the server has refused the last transfer, and not because of its present state."""

    @asynccontextmanager
    async def _transfer(self, command: str, *accepted: str, start: int = 0) -> AsyncIterator[Transfer]:
        """Open a data connection for one command. Until `_end`, the control connection is not `in_step`.

        `accepted`: first replies other than the preliminary ones. No transfer follows them.
        """
        self.is_rejected = False
        reader, writer = await self._connect_for_data()
        transport = writer.transport  # TLS replaces it
        try:
            skip, is_unknown = await self._restart_at(start)
            code = await self._begin(command, writer, *accepted)
            self.features.rest &= not is_unknown  # only now: a fault in place of the reply ends the connection
            yield Transfer(reader, writer, code, skip)
        finally:
            abort(writer.transport)
            abort(transport)

    async def _restart_at(self, start: int) -> tuple[int, bool]:
        """Set the offset of the next transfer.

        Return the number of bytes to skip if the server can't, and whether it does not know the command.
        """
        if not start or not self.features.rest:
            return start, False
        code, _ = await self.ask(f"REST {start}", GO_ON, "4", "5")
        return 0 if code.startswith(GO_ON) else start, code.startswith(NOT_IMPLEMENTED)

    async def _begin(self, command: str, writer: asyncio.StreamWriter, *accepted: str) -> str:
        """Send the command, concurrently with the TLS handshake: servers reply before or after it."""
        handshake = asyncio.create_task(self._shake_hands(writer))
        try:
            await self._send_command(command)
            code, _ = reply = await self._reply(preliminary=True)
            self.is_rejected = not code.startswith((PRELIMINARY, DONE, *FOR_NOW))
            self._expect(reply, PRELIMINARY, *accepted)
            if code.startswith(PRELIMINARY):
                await handshake
            elif code.startswith(DONE):
                await asyncio.wait({handshake}, timeout=ALREADY_SENT)
            return code
        finally:
            handshake.cancel()
            await asyncio.gather(handshake, return_exceptions=True)

    async def _end(self, local_error: Kind = Kind.UNAVAILABLE, limit: float | None = None) -> None:
        """Wait for the final reply, for up to `limit` seconds or the usual timeout."""
        reply = await (self._reply() if limit is None else self._late_reply(limit))
        if reply[0] == LOCAL_ERROR:
            raise self._error(local_error, f"The server says: {' '.join(reply)} Is its disk full?")
        self._expect(reply, DONE)

    # Bytes

    async def _send(self, writer: asyncio.StreamWriter, chunk: bytes) -> None:
        with self._translate_errors():
            try:
                check_open(writer)
                async with self._progress_deadline(writer):
                    writer.write(chunk)
                    await writer.drain()
            except ConnectionError:
                await self._end(local_error=Kind.NO_SPACE)  # the reply has the reason
                raise

    async def _let_drain(self, writer: asyncio.StreamWriter) -> None:
        """Wait until the server has acknowledged nearly all bytes, before the timeout for its reply starts.

        After the socket is closed, progress is not visible.
        """
        if unacknowledged(writer.transport) > LAST:
            with self._translate_errors():
                async with self._progress_deadline(writer):
                    while unacknowledged(writer.transport) > LAST:  # noqa: ASYNC110 - there is no event for it
                        await asyncio.sleep(LOOK)

    def _progress_deadline(self, writer: asyncio.StreamWriter) -> AbstractAsyncContextManager[None]:
        return progress_deadline(self._config.timeout, partial(acknowledged, writer.transport))

    async def _received(self, transfer: Transfer) -> AsyncIterator[bytes]:
        """Yield the bytes after those to skip. Skipped chunks count as progress."""
        skip = transfer.skip
        while chunk := await self._receive(transfer.reader):
            report_progress()
            if rest := chunk[skip:]:
                yield rest
            skip = max(skip - len(chunk), 0)
        await self._end()

    async def _receive(self, reader: asyncio.StreamReader) -> bytes:
        with self._translate_errors():
            async with asyncio.timeout(self._config.timeout):
                return await reader.read(CHUNK)

    async def _already_received(self, reader: asyncio.StreamReader) -> bytes:
        """Return the bytes of a transfer that ended with its first reply. In most cases there are none.

        Some servers then never accept the data connection, and others reset it.
        """
        received = b""
        with self._translate_errors():
            try:
                async with asyncio.timeout(ALREADY_SENT):
                    while chunk := await reader.read(CHUNK):
                        received += chunk
            except (TimeoutError, ConnectionError):
                if received:
                    raise
        return received

    # Data connections

    async def _connect_for_data(self) -> Streams:
        """Connect by the first passive command that works, and remember it for all connections."""
        failures: list[tuple[str, BlobError]] = []
        commands = self.features.passive
        for command in commands:
            try:
                streams = await self._connect_by(command, may_take_long=command == commands[-1])
            except BlobError as error:
                self.features.passive_failed(command)
                if not self.in_step:
                    raise
                failures.append((command, error))
            else:
                self.features.passive_worked(command)
                return streams
        raise self._no_data_connection(failures)

    async def _connect_by(self, command: Passive, *, may_take_long: bool) -> Streams:
        port = await self._ask_for_port(command)
        # To the address of the control connection: the address in the reply could point to another host.
        host = self.stream.writer.get_extra_info("peername")[0]
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=CHUNK, loop=loop)
        protocol = _DataProtocol(reader, loop=loop)
        is_patient = may_take_long or command == self.features.proven
        with self._translate_errors():
            async with asyncio.timeout(self._config.timeout / (1 if is_patient else UNPROVEN)):
                transport, _ = await loop.create_connection(lambda: protocol, host, port)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _ask_for_port(self, command: Passive, attempts: int = PORT_ATTEMPTS) -> int:
        """Return the port on which the server waits for a data connection."""
        taken = (PORT_TAKEN,) if attempts > 1 else ()
        code, text = await self.ask(command.upper(), "229", "227", *taken)
        if code in taken:
            return await self._ask_for_port(command, attempts - 1)
        with self._translate_errors():
            return port_of(code, text)

    def _no_data_connection(self, failures: Sequence[tuple[str, BlobError]]) -> BlobError:
        _, first = failures[0]
        reasons = " ".join(
            f"{command.upper()}: {error.detail.removeprefix(self._prefix)}" for command, error in failures
        )
        detail = f"There is no data connection to it. {reasons} Open its passive ports, or set FTP_PASSIVE."
        return self._error(first.kind, detail)

    async def _shake_hands(self, writer: asyncio.StreamWriter) -> None:
        """Resume the TLS session of the control connection, by which servers recognise the client."""
        if self._context is None:
            return
        # Asked for once: Python 3.11 loses 5 KiB each time. In TLS 1.3, it has no id before the server's ticket.
        if self._session is None or not self._session.session.id:
            session = self.stream.writer.get_extra_info("ssl_object").session
            self._session = SSLSessionBoundContext(ssl.PROTOCOL_TLS_CLIENT, self._context, session)
        await self._secure(writer, self._session)

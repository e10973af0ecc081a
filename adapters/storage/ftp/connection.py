"""Files on an FTP server: SIZE, MDTM, REST (RFC 3659), and transfers over passive data connections (also RFC 2428)."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from aioftp.common import SSLSessionBoundContext

from adapters.storage.ftp.config import FtpConfig
from adapters.storage.ftp.dialogue import FtpDialogue, abort, check_open
from adapters.storage.progress import IS_MEASURED, acknowledged, progress_deadline, unacknowledged
from domain.errors import Kind

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

CHUNK = 256 * 1024
LAST = 64 * 1024  # bytes that may be on their way when a data connection is closed
LOOK = 0.02  # seconds between two looks at how many are
BLIND = 10  # times the timeout, for the end of a transfer whose bytes nobody can see move
# Where many transfers begin at once, a server may find that the port which it chose has been taken meanwhile.
PORT_TAKEN = "425"
PORT_ATTEMPTS = 10
NOT_IMPLEMENTED = ("500", "501", "502", "504", "522")
TIME = re.compile(r"\d{14}", re.ASCII)  # in UTC (RFC 3659, section 2.3)
# What the server says if its disk fails it in a transfer, whatever the reason. In an upload it is nearly always full.
LOCAL_ERROR = "451"


class _DataProtocol(asyncio.StreamReaderProtocol):
    """For bytes that go one way. Under TLS a half-closed connection can't be, and asyncio warns of those that try."""

    def eof_received(self) -> bool:
        super().eof_received()
        return False


class FtpConnection(FtpDialogue):
    """A connection for one command or transfer at a time. A transfer that is left early puts it out of step.

    Paths are relative to the base folder.
    """

    def __init__(
        self, config: FtpConfig, context: ssl.SSLContext | None, backend: str, task: tuple[str, object]
    ) -> None:
        super().__init__(config, context, backend, task)
        self._passive = list(config.passive)
        self._session: SSLSessionBoundContext | None = None
        self.has_begun = False
        """Whether the server has agreed to the last transfer that it was asked for."""

    # Files and folders

    async def size(self, path: str) -> int | None:
        """A file's size in bytes. None if it is not there, or denied."""
        code, text = await self.ask(f"SIZE {path}", "213", "550")
        with self._translating():
            return int(text) if code == "213" else None

    async def modified_at(self, path: str) -> datetime | None:
        """When a file was written last. None if it is not there, or the server does not tell."""
        code, text = await self.ask(f"MDTM {path}", "213", "550", *NOT_IMPLEMENTED)
        if code != "213" or not (told := TIME.match(text)):
            return None
        with self._translating():
            return datetime.strptime(f"{told[0]}+0000", "%Y%m%d%H%M%S%z").astimezone(UTC)

    async def delete(self, path: str) -> bool:
        """Remove a file. False if it is not there, or denied."""
        code, _ = await self.ask(f"DELE {path}", "250", "200", "550")
        return code != "550"

    async def may_enter(self, folder: str) -> bool:
        """Whether a folder of the base is there, and not denied."""
        self._at_base = False
        entered = await self._enter(folder)
        if entered:
            await self.ask("CDUP", "200", "250")
        self._at_base = True
        return entered

    # Transfers

    async def store(self, path: str, chunks: AsyncIterable[bytes], *, append: bool = False) -> int:
        """Write or extend a file, and return how many bytes were sent, once the server has said that it has them."""
        size = 0
        async with self._transfer(f"{'APPE' if append else 'STOR'} {path}") as (_, writer):
            async for chunk in chunks:
                await self._send(writer, chunk)
                size += len(chunk)
            await self._let_drain(writer)
            writer.close()
            await self._end(local_error=Kind.NO_SPACE, patience=1 if IS_MEASURED else BLIND)
        return size

    @asynccontextmanager
    async def retrieve(self, path: str, start: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of a file from `start` on."""
        async with self._transfer(f"RETR {path}", start) as (reader, _):
            yield self._received(reader)

    async def names(self, folder: str = "") -> list[str]:
        """The names in a folder, in no order."""
        async with self._transfer(f"NLST {folder}".rstrip()) as (reader, _):
            listing = b"".join([chunk async for chunk in self._received(reader)])
        return [line.rpartition("/")[2] for line in listing.decode(errors="replace").splitlines()]

    @asynccontextmanager
    async def _transfer(self, command: str, start: int = 0) -> AsyncIterator[Streams]:
        """A data connection for one command. Until its `_end` the connection is out of step."""
        self.has_begun = False
        reader, writer = await self._connect_for_data()
        transport = writer.transport  # TLS puts another in its place
        try:
            if start:
                await self.ask(f"REST {start}", "350")
            await self._begin(command, writer)
            yield reader, writer
        finally:
            abort(writer.transport)
            abort(transport)

    async def _begin(self, command: str, writer: asyncio.StreamWriter) -> None:
        """Give the command, and meanwhile shake hands for TLS: some servers answer before that, and some after it."""
        shaking = asyncio.create_task(self._shake_hands(writer))
        try:
            await self._say(command)
            self._expect(await self._answer(preliminary=True), "125", "150")
            self.has_begun = True
            await shaking
        except BaseException:
            shaking.cancel()
            await asyncio.gather(shaking, return_exceptions=True)
            raise

    async def _end(self, local_error: Kind = Kind.UNAVAILABLE, patience: float = 1) -> None:
        """Wait for the server's word that all went well. `patience`: for how many times the timeout."""
        answer = await self._answer(patience=patience)
        if answer[0] == LOCAL_ERROR:
            raise self._error(local_error, f"The server says: {' '.join(answer)} Is its disk full?")
        self._expect(answer, "226", "250")

    async def _send(self, writer: asyncio.StreamWriter, chunk: bytes) -> None:
        with self._translating():
            try:
                check_open(writer)
                async with self._while_it_moves(writer):
                    writer.write(chunk)
                    await writer.drain()
            except ConnectionError:
                await self._end(local_error=Kind.NO_SPACE)  # it is the server's to say why it takes no more
                raise

    async def _let_drain(self, writer: asyncio.StreamWriter) -> None:
        """Wait until the server's system has the bytes, but for the last: the time for its reply begins then.

        Nobody could see them move after the socket is closed.
        """
        if unacknowledged(writer.transport) > LAST:
            with self._translating():
                async with self._while_it_moves(writer):
                    while unacknowledged(writer.transport) > LAST:  # noqa: ASYNC110 - the kernel has no event for it
                        await asyncio.sleep(LOOK)

    def _while_it_moves(self, writer: asyncio.StreamWriter) -> AbstractAsyncContextManager[None]:
        return progress_deadline(self._config.timeout, partial(acknowledged, writer.transport))

    async def _received(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        while chunk := await self._receive(reader):
            yield chunk
        await self._end()

    async def _receive(self, reader: asyncio.StreamReader) -> bytes:
        with self._translating():
            async with asyncio.timeout(self._config.timeout):
                return await reader.read(CHUNK)

    # Data connections

    async def _connect_for_data(self) -> Streams:
        port = await self._ask_for_port()
        # To the address that was reached, and not to one that the server names: it might be anybody's.
        host = self.stream.writer.get_extra_info("peername")[0]
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=CHUNK, loop=loop)
        protocol = _DataProtocol(reader, loop=loop)
        with self._translating():
            async with asyncio.timeout(self._config.timeout):
                transport, _ = await loop.create_connection(lambda: protocol, host, port)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _ask_for_port(self, attempts: int = PORT_ATTEMPTS) -> int:
        """Where the server waits for a data connection. A command that it does not know is not used again."""
        command = self._passive[0]
        unknown = NOT_IMPLEMENTED if len(self._passive) > 1 else ()
        taken = (PORT_TAKEN,) if attempts > 1 else ()
        code, text = await self.ask(command.upper(), "229" if command == "epsv" else "227", *unknown, *taken)
        if code in taken:
            return await self._ask_for_port(attempts - 1)
        if code in unknown:
            del self._passive[0]
            return await self._ask_for_port()
        with self._translating():
            parse = self.parse_epsv_response if command == "epsv" else self.parse_pasv_response
            return parse(text)[1]

    async def _shake_hands(self, writer: asyncio.StreamWriter) -> None:
        """With the session of the control connection: from that, servers know that both are of one client."""
        if self._context is None:
            return
        session = self.stream.writer.get_extra_info("ssl_object").session
        if self._session is None:
            self._session = SSLSessionBoundContext(ssl.PROTOCOL_TLS_CLIENT, self._context, session)
        self._session.session = session
        await self._secure(writer, self._session)

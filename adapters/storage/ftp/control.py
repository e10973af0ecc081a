"""The dialogue with an FTP server: RFC 959, over TLS by RFC 4217."""

import asyncio
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

import aioftp
from aioftp.common import Code

from adapters.storage.ftp.config import FtpConfig
from adapters.storage.ftp.replies import COMPLETED, DONE, LOGGED_IN, NOT_AVAILABLE, PRELIMINARY
from adapters.storage.progress import silent_deadline
from domain.errors import BlobError, Kind, Reason, error_class

LINES = 1000  # of one reply
QUOTED = 500  # characters of a reply in an error
# By reply codes. Any other unexpected code is UNAVAILABLE.
KINDS = {"452": Kind.NO_SPACE, "552": Kind.NO_SPACE}
REASONS = {
    "430": Reason.LOGIN,
    "530": Reason.LOGIN,
    "532": Reason.DENIED,
    "550": Reason.DENIED,
    "553": Reason.DENIED,
    "502": Reason.UNSUPPORTED,
    "504": Reason.UNSUPPORTED,
}
CLOSING = "421"  # may come at any time, and is the last reply
# Some servers reject the login when there are too many connections.
TOO_MANY = (CLOSING, "530")
HINTS = {
    "430": "Are FTP_USER and FTP_PASSWORD right?",
    "530": "Are FTP_USER, FTP_PASSWORD and FTP_TLS right?",  # also the reply to AUTH without TLS support
    CLOSING: "It has too many connections, or is about to stop.",
}


class FtpControl(aioftp.BaseClient):
    """A control connection, logged in and in the base folder, for one command at a time.

    The methods raise Unavailable, TimedOut and NoSpace. After an error or a cancellation the connection is no longer
    `in_step`.
    """

    def __init__(self, config: FtpConfig, context: ssl.SSLContext | None) -> None:
        # Without aioftp's timeouts: they use asyncio.wait_for, which loses cancellations on Python 3.11.
        super().__init__(ssl=context if config.tls == "implicit" else None)
        self._config = config
        self._context = context
        self._outstanding = 0  # replies
        self._at_base = True
        self.refused = False
        """Whether the server seems to reject further connections."""
        self.opened_at = self.used_at = time.monotonic()

    @property
    def in_step(self) -> bool:
        """Whether the next reply will belong to the next command."""
        return not self._outstanding and self._at_base

    # Login and close

    async def open(self, *, make_base: bool) -> Self:
        """Connect, log in, and enter the base folder, which `make_base` creates. Closes after an error."""
        try:
            with self._translate_errors():
                async with asyncio.timeout(self._config.timeout):
                    await self.connect(self._config.host, self._config.port)
            await self._log_in()
            if self._config.base_path:
                await self._enter_base(self._config.base_path, make=make_base)
        except BaseException:
            self.disconnect()
            raise
        return self

    async def _log_in(self) -> None:
        self._outstanding += 1
        self._expect(await self._reply(), DONE)
        if self._config.tls == "explicit":
            await self.ask("AUTH TLS", *LOGGED_IN, "334")
            await self._secure(self.stream.writer, self._context)
        code, _ = await self.ask(f"USER {self._config.user}", *LOGGED_IN, "331")
        if code == "331":
            await self.ask(f"PASS {self._config.password}", *LOGGED_IN)
        if self._context is not None:
            await self.ask("PBSZ 0", *COMPLETED)
            await self.ask("PROT P", *COMPLETED)
        await self.ask("TYPE I", *COMPLETED)

    async def _enter_base(self, base: str, *, make: bool) -> None:
        if make:
            folders = [folder for folder in base.split("/") if folder]
            for count in range(len(folders)):
                await self.make_folder("/" * base.startswith("/") + "/".join(folders[: count + 1]))
        if not await self._enter(base):
            raise self._error(Kind.UNAVAILABLE, f"FTP_BASE_DIR: there is no folder {base}, or it is denied.")

    async def make_folder(self, path: str) -> None:
        """Create a folder. Does nothing if it exists or is denied."""
        await self.ask(f"MKD {path}", *COMPLETED, "521", *NOT_AVAILABLE)

    async def _enter(self, folder: str) -> bool:
        code, _ = await self.ask(f"CWD {folder}", *COMPLETED, *NOT_AVAILABLE)
        return code.startswith(COMPLETED)

    def disconnect(self) -> None:
        """Close the connection without waiting."""
        if self._stream is not None:
            if self.in_step and not self.stream.writer.is_closing():
                self.stream.writer.write(b"QUIT\r\n")
            abort(self.stream.writer.transport)

    # Commands and replies

    async def ask(self, command: str, *expected: str) -> tuple[Code, str]:
        """Send a command, and return the reply. Raises BlobError unless its code has one of the `expected` prefixes."""
        await self._send_command(command)
        reply = await self._reply()
        self._expect(reply, *expected)
        return reply

    async def settle(self) -> None:
        """Wait for the outstanding replies after a failed transfer."""
        while self._outstanding:
            await self._reply()

    async def _send_command(self, command: str) -> None:
        self._outstanding += 1
        with self._translate_errors():
            check_open(self.stream.writer)
            async with asyncio.timeout(self._config.timeout):
                # Without expected codes, this does not wait for a reply. Keeps the password out of the log.
                await self.command(command, censor_after=5 if command.startswith("PASS ") else None)

    async def _reply(self, *, preliminary: bool = False) -> tuple[Code, str]:
        """Return the final reply to a command, or with `preliminary` the first one."""
        with self._translate_errors():
            async with asyncio.timeout(self._config.timeout):
                return await self._next_reply(preliminary=preliminary)

    async def _late_reply(self, limit: float) -> tuple[Code, str]:
        """Return the final reply to a transfer that takes the server up to `limit` seconds to complete."""
        with self._translate_errors():
            async with silent_deadline(limit):
                return await self._next_reply()

    async def _next_reply(self, *, preliminary: bool = False) -> tuple[Code, str]:
        code, lines = await self.parse_response()
        while code.startswith(PRELIMINARY) and not preliminary:
            code, lines = await self.parse_response()
        if code != CLOSING and not code.startswith(PRELIMINARY):
            self._outstanding -= 1
            self.used_at = time.monotonic()
        return code, "\n".join(lines)

    def _expect(self, reply: tuple[Code, str], *expected: str) -> None:
        code, text = reply
        if code == CLOSING or not code.startswith(expected):
            self.refused = code in TOO_MANY
            detail = f"The server says: {code} {' '.join(text.split())[:QUOTED]} {HINTS.get(code, '')}"
            error = self._error(KINDS.get(code, Kind.UNAVAILABLE), detail.rstrip())
            error.reason = REASONS.get(code)
            raise error

    async def parse_response(self) -> tuple[Code, list[str]]:
        """Return a reply (RFC 959, section 4.2). Unlike the base class, this rejects malformed and endless ones."""
        code, text = await self.parse_line()
        if not re.fullmatch(r"[1-5]\d\d", code, re.ASCII):
            raise aioftp.AIOFTPException(f"{(code + text)[:80]!r} is not a reply of an FTP server")
        lines = [text[1:]]
        more = text.startswith("-")
        while more:
            following, text = await self.parse_line()
            lines.append(text[1:] if following == code else following + text)
            more = following != code or text.startswith("-")
            if len(lines) > LINES:
                raise aioftp.AIOFTPException("its reply is too long")
        return code, lines

    async def parse_line(self) -> tuple[Code, str]:
        """Return a line. Its text is informal, so its encoding does not matter."""
        line = (await self.stream.readline()).decode(errors="replace")
        if not line.endswith("\n"):
            raise ConnectionResetError("the server has closed the connection")
        return Code(line[:3]), line[3:].rstrip()

    async def _secure(self, writer: asyncio.StreamWriter, context: ssl.SSLContext | None) -> None:
        assert context is not None
        with self._translate_errors():
            await writer.start_tls(
                context, server_hostname=self._config.host, ssl_handshake_timeout=self._config.timeout
            )

    # Errors

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Translate errors of the library and the system into BlobErrors."""
        try:
            yield
        except TimeoutError as error:
            raise self._error(Kind.TIMEOUT, "The server did not respond in time.") from error
        except ssl.SSLCertVerificationError as error:
            detail = f"Its certificate is not good: {error.verify_message}. FTP_CA_FILE takes its authority's."
            raise self._error(Kind.UNAVAILABLE, detail) from error
        except (OSError, aioftp.AIOFTPException, ValueError, LookupError) as error:  # the last two: malformed replies
            raise self._error(Kind.UNAVAILABLE, f"It can't be used: {str(error) or type(error).__name__}.") from error

    def _error(self, kind: Kind, detail: str) -> BlobError:
        return error_class(kind)(f"{self._prefix}{detail}")

    @property
    def _prefix(self) -> str:
        return f"FTP server {self._config.host}:{self._config.port}: "


def check_open(writer: asyncio.StreamWriter) -> None:
    """Raise ConnectionResetError if the connection is closing: uvloop would raise RuntimeError."""
    if writer.is_closing():
        raise ConnectionResetError("the server has closed the connection")


def abort(transport: asyncio.WriteTransport) -> None:
    """Abort a connection. Does nothing if it is closed."""
    with suppress(AttributeError):  # a bug in asyncio, if the last bytes were sent after the close
        transport.abort()

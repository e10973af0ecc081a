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

LINES = 1000  # of one answer
QUOTED = 500  # characters of a reply that an error repeats
# By reply codes. Any other that was not expected is UNAVAILABLE.
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
CLOSING = "421"  # said at any time, and nothing after it
# Some servers have no word of its own for one connection too many, and refuse the login.
TOO_MANY = (CLOSING, "530")
HINTS = {
    "430": "Are FTP_USER and FTP_PASSWORD right?",
    "530": "Are FTP_USER, FTP_PASSWORD and FTP_TLS right?",  # also said to those who want TLS where there is none
    CLOSING: "It has too many connections, or is about to stop.",
}


class FtpControl(aioftp.BaseClient):
    """A connection that is logged in and stands in the base folder, for one command at a time.

    Its methods raise Unavailable, TimedOut and NoSpace. After an error or a cancellation the connection is no longer
    `in_step`.
    """

    def __init__(self, config: FtpConfig, context: ssl.SSLContext | None) -> None:
        # Without its timeouts: asyncio.wait_for, by which it has them, loses cancellations on Python 3.11.
        super().__init__(ssl=context if config.tls == "implicit" else None)
        self._config = config
        self._context = context
        self._outstanding = 0  # answers
        self._at_base = True
        self.refused = False
        """Whether it looks as if the server would have no more connections."""
        self.opened_at = self.used_at = time.monotonic()

    @property
    def in_step(self) -> bool:
        """Whether the next answer will be that to the next command."""
        return not self._outstanding and self._at_base

    # From login to parting

    async def open(self, *, make_base: bool) -> Self:
        """Connect, log in, and enter the base folder, which is made if that is wanted. If it fails, it is closed."""
        try:
            with self._translating():
                async with asyncio.timeout(self._config.timeout):
                    await self.connect(self._config.host, self._config.port)
            await self._log_in()
            if self._config.base_path:
                await self._go_to(self._config.base_path, make=make_base)
        except BaseException:
            self.part()
            raise
        return self

    async def _log_in(self) -> None:
        self._outstanding += 1
        self._expect(await self._answer(), DONE)
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

    async def _go_to(self, base: str, *, make: bool) -> None:
        if make:
            folders = [folder for folder in base.split("/") if folder]
            for count in range(len(folders)):
                await self.make_folder("/" * base.startswith("/") + "/".join(folders[: count + 1]))
        if not await self._enter(base):
            raise self._error(Kind.UNAVAILABLE, f"FTP_BASE_DIR: there is no folder {base}, or it is denied.")

    async def make_folder(self, path: str) -> None:
        """Make a folder, if it is not there and that is allowed."""
        await self.ask(f"MKD {path}", *COMPLETED, "521", *NOT_AVAILABLE)

    async def _enter(self, folder: str) -> bool:
        code, _ = await self.ask(f"CWD {folder}", *COMPLETED, *NOT_AVAILABLE)
        return code.startswith(COMPLETED)

    def part(self) -> None:
        """Close the connection, and wait for nothing."""
        if self._stream is not None:
            if self.in_step and not self.stream.writer.is_closing():
                self.stream.writer.write(b"QUIT\r\n")
            abort(self.stream.writer.transport)

    # The dialogue

    async def ask(self, command: str, *expected: str) -> tuple[Code, str]:
        """Send a command, and return the code and the text of the reply. Its code must begin like one `expected`."""
        await self._say(command)
        answer = await self._answer()
        self._expect(answer, *expected)
        return answer

    async def settle(self) -> None:
        """Wait for the answers that are outstanding after a transfer that failed."""
        while self._outstanding:
            await self._answer()

    async def _say(self, command: str) -> None:
        self._outstanding += 1
        with self._translating():
            check_open(self.stream.writer)
            async with asyncio.timeout(self._config.timeout):
                # It waits for no answer if none is expected. The password is not for the log.
                await self.command(command, censor_after=5 if command.startswith("PASS ") else None)

    async def _answer(self, *, preliminary: bool = False) -> tuple[Code, str]:
        """Return the final reply to a command; or, if that is wanted, the one that comes before a transfer."""
        with self._translating():
            async with asyncio.timeout(self._config.timeout):
                return await self._next_answer(preliminary=preliminary)

    async def _late_answer(self, limit: float) -> tuple[Code, str]:
        """Return the final reply to a transfer that takes the server up to `limit` seconds to complete."""
        with self._translating():
            async with silent_deadline(limit):
                return await self._next_answer()

    async def _next_answer(self, *, preliminary: bool = False) -> tuple[Code, str]:
        code, lines = await self.parse_response()
        while code.startswith(PRELIMINARY) and not preliminary:
            code, lines = await self.parse_response()
        if code != CLOSING and not code.startswith(PRELIMINARY):
            self._outstanding -= 1
            self.used_at = time.monotonic()
        return code, "\n".join(lines)

    def _expect(self, answer: tuple[Code, str], *expected: str) -> None:
        code, text = answer
        if code == CLOSING or not code.startswith(expected):
            self.refused = code in TOO_MANY
            detail = f"The server says: {code} {' '.join(text.split())[:QUOTED]} {HINTS.get(code, '')}"
            error = self._error(KINDS.get(code, Kind.UNAVAILABLE), detail.rstrip())
            error.reason = REASONS.get(code)
            raise error

    async def parse_response(self) -> tuple[Code, list[str]]:
        """An answer of one line or many (RFC 959, section 4.2). Unlike the library's, it gives up on nonsense."""
        code, text = await self.parse_line()
        if not re.fullmatch(r"[1-5]\d\d", code, re.ASCII):
            raise aioftp.AIOFTPException(f"{(code + text)[:80]!r} is no answer of an FTP server")
        lines = [text[1:]]
        more = text.startswith("-")
        while more:
            following, text = await self.parse_line()
            lines.append(text[1:] if following == code else following + text)
            more = following != code or text.startswith("-")
            if len(lines) > LINES:
                raise aioftp.AIOFTPException("its answer has no end")
        return code, lines

    async def parse_line(self) -> tuple[Code, str]:
        """One line, in whatever encoding: its words are for people."""
        line = (await self.stream.readline()).decode(errors="replace")
        if not line.endswith("\n"):
            raise ConnectionResetError("the server has closed the connection")
        return Code(line[:3]), line[3:].rstrip()

    async def _secure(self, writer: asyncio.StreamWriter, context: ssl.SSLContext | None) -> None:
        assert context is not None
        with self._translating():
            await writer.start_tls(
                context, server_hostname=self._config.host, ssl_handshake_timeout=self._config.timeout
            )

    # Faults

    @contextmanager
    def _translating(self) -> Iterator[None]:
        """Say what went wrong in the port's words."""
        try:
            yield
        except TimeoutError as error:
            raise self._error(Kind.TIMEOUT, "The server did not answer in time.") from error
        except ssl.SSLCertVerificationError as error:
            detail = f"Its certificate is not good: {error.verify_message}. FTP_CA_FILE takes its authority's."
            raise self._error(Kind.UNAVAILABLE, detail) from error
        except (OSError, aioftp.AIOFTPException, ValueError, LookupError) as error:  # the last two come of nonsense
            raise self._error(Kind.UNAVAILABLE, f"It can't be used: {str(error) or type(error).__name__}.") from error

    def _error(self, kind: Kind, detail: str) -> BlobError:
        return error_class(kind)(f"{self._place}{detail}")

    @property
    def _place(self) -> str:
        return f"FTP server {self._config.host}:{self._config.port}: "


def check_open(writer: asyncio.StreamWriter) -> None:
    """Raise ConnectionResetError if nothing can be written any more; uvloop would raise RuntimeError then."""
    if writer.is_closing():
        raise ConnectionResetError("the server has closed the connection")


def abort(transport: asyncio.WriteTransport) -> None:
    """Close a connection at once, whether or not it is closed already."""
    with suppress(AttributeError):  # by asyncio's fault, of one whose last bytes went out after it was closed
        transport.abort()

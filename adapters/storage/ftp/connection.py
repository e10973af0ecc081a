"""Files on an FTP server: SIZE, MDTM and REST (RFC 3659), STOR, APPE, RETR, DELE and NLST (RFC 959).

Where a server lacks a command, another one replaces it; see `FtpFeatures`.
"""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from adapters.storage.ftp.replies import (
    COMPLETED,
    DONE,
    INFORMATION,
    NOT_AVAILABLE,
    NOT_FOUND,
    NOT_IMPLEMENTED,
    facts_in,
    names_in,
    number_in,
    time_in,
    words_about,
)
from adapters.storage.ftp.transfers import FtpTransfers
from domain.errors import Kind


class FtpConnection(FtpTransfers):
    """A connection for one command or transfer at a time. After an interrupted transfer it is not `in_step`.

    Paths are relative to the base folder.
    """

    # Files and folders

    async def size(self, path: str) -> int | None:
        """Return a file's size in bytes, or None if it is absent, denied or busy."""
        _, size = await self._size_reply(path)
        return size

    async def is_absent(self, folder: str, name: str) -> bool:
        """Whether an accessible folder lacks a file. Lists the folder if the reply to SIZE is ambiguous."""
        code, size = await self._size_reply(f"{folder}/{name}")
        return size is None and (code == NOT_FOUND or name not in await self.names(folder))

    async def _size_reply(self, path: str) -> tuple[str, int | None]:
        """Return the reply code and the size."""
        if self.features.size:
            code, text = await self.ask(f"SIZE {path}", *INFORMATION, *NOT_AVAILABLE, *NOT_IMPLEMENTED)
            if not code.startswith(NOT_IMPLEMENTED):
                with self._translate_errors():
                    return code, number_in(words_about(path, text)) if code.startswith(INFORMATION) else None
            self.features.size = False
        code, text = await self.ask(f"MLST {path}", *COMPLETED, *NOT_AVAILABLE)
        with self._translate_errors():
            return code, int(facts_in(text)["size"]) if code.startswith(COMPLETED) else None

    async def modified_at(self, path: str) -> datetime | None:
        """Return the time of the last write, or None if the file is absent or the server does not report it."""
        code, text = await self.ask(f"MDTM {path}", *INFORMATION, *NOT_AVAILABLE, *NOT_IMPLEMENTED)
        with self._translate_errors():
            return time_in(words_about(path, text)) if code.startswith(INFORMATION) else None

    async def delete(self, path: str) -> bool:
        """Delete a file. Return False if it is absent, denied or busy."""
        code, _ = await self.ask(f"DELE {path}", *COMPLETED, *NOT_AVAILABLE)
        return code.startswith(COMPLETED)

    async def is_accessible(self, folder: str) -> bool:
        """Whether a folder in the base folder exists and is accessible."""
        self._at_base = False
        entered = await self._enter(folder)
        if entered:
            await self.ask("CDUP", *COMPLETED)
        self._at_base = True
        return entered

    # Transfers

    async def store(self, path: str, chunks: AsyncIterable[bytes], *, append: bool = False) -> int:
        """Write or extend a file, and return the number of bytes sent once the server has confirmed them."""
        size = 0
        async with self._transfer(f"{'APPE' if append else 'STOR'} {path}") as transfer:
            async for chunk in chunks:
                await self._send(transfer.writer, chunk)
                size += len(chunk)
            await self._let_drain(transfer.writer)
            transfer.writer.close()
            await self._end(local_error=Kind.NO_SPACE, limit=self._config.completion_limit(size))
        return size

    @asynccontextmanager
    async def retrieve(self, path: str, start: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """Read a file from the offset `start`."""
        async with self._transfer(f"RETR {path}", start=start) as transfer:
            yield self._received(transfer)

    async def names(self, folder: str = "") -> list[str]:
        """Return the names in a folder, in any order. No names if it is empty, absent or denied."""
        by_nlst = self.features.nlst
        unknown = NOT_IMPLEMENTED if by_nlst else ()
        command = f"{'NLST' if by_nlst else 'MLSD'} {folder}".rstrip()
        async with self._transfer(command, DONE, *NOT_AVAILABLE, *unknown) as transfer:
            if transfer.has_begun:
                listing = b"".join([chunk async for chunk in self._received(transfer)])
            elif transfer.code.startswith(DONE):
                listing = await self._already_received(transfer.reader)
            else:
                listing = b""
        if transfer.code.startswith(unknown):
            self.features.nlst = False
            return await self.names(folder)
        return names_in(listing, with_facts=not by_nlst)

"""Files on an FTP server: SIZE, MDTM and REST (RFC 3659), STOR, APPE, RETR, DELE and NLST (RFC 959).

Where a server lacks a command, another one replaces it; see `FtpFeatures`.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from adapters.storage.ftp.replies import (
    COMPLETED,
    DONE,
    GO_ON,
    INFORMATION,
    NOT_AVAILABLE,
    NOT_FOUND,
    NOT_IMPLEMENTED,
    facts_in,
    names_in,
    number_in,
    path_in,
    time_in,
    words_about,
)
from adapters.storage.ftp.transfers import FtpTransfers
from domain.errors import Kind


class FtpConnection(FtpTransfers):
    """A connection for one command or transfer at a time. After an interrupted transfer it is not `in_step`.

    Paths are relative to the base folder.
    """

    _home: str | None = None
    """The path of the base folder, once it was asked for."""

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
        code, text = await self.ask(f"MLST {path}", *COMPLETED, *NOT_AVAILABLE)
        self.features.size = False  # only now: the 500 may have been for a fault, and many servers lack MLST
        with self._translate_errors():
            facts = facts_in(text)
            is_file = code.startswith(COMPLETED) and facts.get("type", "file").lower() != "dir"
            return code, int(facts["size"]) if is_file else None

    async def modified_at(self, path: str) -> datetime | None:
        """Return the time of the last write, or None if the file is absent or the server does not report it."""
        code, text = await self.ask(f"MDTM {path}", *INFORMATION, *NOT_AVAILABLE, *NOT_IMPLEMENTED)
        with self._translate_errors():
            return time_in(words_about(path, text)) if code.startswith(INFORMATION) else None

    async def delete(self, path: str) -> bool:
        """Delete a file. Return False if it is absent, denied or busy."""
        code, _ = await self.ask(f"DELE {path}", *COMPLETED, *NOT_AVAILABLE)
        return code.startswith(COMPLETED)

    async def is_accessible(self, folder: str, *, follow_links: bool = True) -> bool:
        """Whether a folder in the base folder exists and is accessible.

        Without `follow_links`, a folder that the server shows to be behind a link is not.
        """
        home = await self._find_home()
        self._at_base = False
        entered = await self._enter(folder)
        found = entered and (follow_links or await self._is_at(folder))
        if entered:
            await self.ask(f"CWD {home}", *COMPLETED)  # after a link, CDUP would lead to the folder above its target
        self._at_base = True
        return found

    async def _is_at(self, folder: str) -> bool:
        """Whether the current folder is this one, and not the target of a link to another one.

        Most servers reply to PWD with a path without links. Some do not double the quotes in it.
        """
        expected = f"{(await self._find_home()).rstrip('/')}/{folder}"
        text = await self._print_folder()
        return path_in(text).rstrip("/") == expected or f'"{expected}"' in text

    async def _find_home(self) -> str:
        """Return the path of the base folder. The first call must be made there."""
        if self._home is None:
            self._home = path_in(await self._print_folder())
        return self._home

    async def _print_folder(self) -> str:
        """Return the reply to PWD, which has a path."""
        _, text = await self.ask("PWD", *COMPLETED)
        with self._translate_errors():
            path_in(text)
        return text

    async def rename(self, path: str, new_path: str) -> bool:
        """Rename a file. Return False if that is denied, or if a folder is in the way."""
        code, _ = await self.ask(f"RNFR {path}", GO_ON, *NOT_AVAILABLE)
        if not code.startswith(GO_ON):
            return False
        code, _ = await self.ask(f"RNTO {new_path}", *COMPLETED, *NOT_AVAILABLE)
        return code.startswith(COMPLETED)

    async def set_modified_at(self, path: str, time: datetime) -> bool:
        """Set the time of a file, in whole seconds. Return False if the server can't."""
        for command in ("MFMT", "MDTM"):  # the second is an older way: a time before the path
            text = f"{command} {time.astimezone(UTC):%Y%m%d%H%M%S} {path}"
            code, _ = await self.ask(text, *INFORMATION, *NOT_AVAILABLE, *NOT_IMPLEMENTED)
            if code.startswith(INFORMATION):
                return True
        return False

    async def list_into(self, folder: str, command: str, write: Callable[[bytes], object]) -> bool | None:
        """Pass what the server lists of a folder to `write`. Return None if it does not know the command.

        False if the folder is absent or denied, or shown to be behind a link. The folder is entered for it: as an
        argument, its name could be taken for options or a pattern.
        """
        home = await self._find_home() if folder else ""
        self._at_base = False
        if folder and not await self._enter(folder):
            self._at_base = True
            return False
        if folder and not await self._is_at(folder):
            self._at_base = await self._enter(home)
            return False
        accepted = (DONE, *NOT_AVAILABLE, *NOT_IMPLEMENTED)
        async with self._transfer(command, *accepted) as transfer:
            if transfer.has_begun:
                async for chunk in self._received(transfer):
                    write(chunk)
            elif transfer.code.startswith(DONE):
                write(await self._already_received(transfer.reader))
        self._at_base = not folder or await self._enter(home)
        if transfer.code.startswith(NOT_IMPLEMENTED):
            return None
        return transfer.has_begun or transfer.code.startswith(DONE)

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
        if self.features.nlst:
            listing = await self._listing(f"NLST {folder}", *NOT_IMPLEMENTED)
            if listing is not None:
                return names_in(listing, with_facts=False)
        listing = await self._listing(f"MLSD {folder}")
        assert listing is not None
        self.features.nlst = False  # only now, as with SIZE
        return names_in(listing, with_facts=True)

    async def _listing(self, command: str, *unknown: str) -> bytes | None:
        """Return what the server lists: nothing if the folder is absent or denied. None if the reply is `unknown`."""
        async with self._transfer(command.rstrip(), DONE, *NOT_AVAILABLE, *unknown) as transfer:
            if transfer.has_begun:
                return b"".join([chunk async for chunk in self._received(transfer)])
            if transfer.code.startswith(DONE):
                return await self._already_received(transfer.reader)
        return None if unknown and transfer.code.startswith(unknown) else b""

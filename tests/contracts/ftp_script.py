"""An FTP server that does as it is told: what no real one can be made to do just when a test wants it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

from adapters.storage.ftp.config import FtpConfig

HANG_UP = ""
AS_USUAL = "as usual"
SAY_NOTHING = None
Answer = str | None
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
CONFIG = FtpConfig("127.0.0.1", "somebody", "secret", tls="none")


@dataclass
class ScriptedServer:
    """Answers like a server, but for the commands that have `answers`: of each the first one first, the last for ever.

    "(greeting)" and "(end)" stand for what it says at the start of a session and at the end of a transfer. In one that
    it is to `cut` it aborts the data connection half-way. With `early_end` it says that it sends nothing itself, while
    it still receives.
    """

    answers: Mapping[str, list[Answer]]
    files: dict[str, bytes]
    cut: bool
    early_end: bool = False
    port: int = 0
    asked: list[str] = field(default_factory=list)

    @property
    def config(self) -> FtpConfig:
        return replace(CONFIG, port=self.port)

    def count(self, command: str) -> int:
        """How often it was asked that."""
        return sum(line.split(" ")[0] == command for line in self.asked)


@asynccontextmanager
async def scripted(
    answers: Mapping[str, list[Answer]] | None = None,
    files: Mapping[str, bytes] | None = None,
    cut: bool = False,
    early_end: bool = False,
) -> AsyncIterator[ScriptedServer]:
    script = ScriptedServer(answers or {}, dict(files or {}), cut, early_end)
    sessions: set[asyncio.Task[None]] = set()

    def begin(*streams: *Streams) -> None:
        sessions.add(asyncio.create_task(_Session(script, *streams).run()))

    async with await asyncio.start_server(begin, "127.0.0.1", 0) as server:
        script.port = server.sockets[0].getsockname()[1]
        yield script
        for session in sessions:
            session.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)


class _Session:
    def __init__(self, script: ScriptedServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._script = script
        self._reader = reader
        self._writer = writer
        self._passive: asyncio.Server | None = None
        self._port = 0
        self._writers = [writer]

    async def run(self) -> None:
        try:
            with suppress(ConnectionError):
                await self._serve()
        finally:
            if self._passive is not None:
                self._passive.close()
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.sleep(0)  # the transports close now

    async def _serve(self) -> None:
        line = "(greeting)"
        while line:
            self._script.asked.append(line)
            command, _, argument = line.partition(" ")
            if command in ("EPSV", "PASV"):
                await self._listen()
            answer = self._answer(command, self._usual(command, argument))
            await self._say(answer)
            if answer is not None and answer.startswith("150"):
                await self._transfer(command, argument, *await self._arrived.get())
                await self._say(self._answer("(end)", "226 Transfer complete."))
            line = (await self._reader.readline()).decode().rstrip()

    async def _listen(self) -> None:
        """Anew each time: a client that has come, and left before its transfer, is not waited for."""
        if self._passive is not None:
            self._passive.close()
        arrived = self._arrived = asyncio.Queue[Streams]()

        def arrive(*streams: *Streams) -> None:
            self._writers.append(streams[1])
            arrived.put_nowait(streams)

        self._passive = await asyncio.start_server(arrive, "127.0.0.1", 0)
        self._port = self._passive.sockets[0].getsockname()[1]

    async def _say(self, answer: Answer) -> None:
        if answer == HANG_UP:
            raise ConnectionAbortedError
        if answer is not None:
            self._writer.write(f"{answer}\r\n".encode())
            await self._writer.drain()

    def _answer(self, command: str, usual: str) -> Answer:
        answers = self._script.answers.get(command) or [AS_USUAL]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return usual if answer == AS_USUAL else answer

    def _usual(self, command: str, argument: str) -> str:
        files = self._script.files
        return {
            "(greeting)": "220 Hello",
            "USER": "331 Password?",
            "PASS": "230 Welcome",
            "EPSV": f"229 Here (|||{self._port}|)",
            "PASV": f"227 Here (127,0,0,1,{self._port // 256},{self._port % 256})",
            "SIZE": f"213 {len(files[argument])}" if argument in files else "550 Could not get file size.",
            "MDTM": "213 20231027100000" if argument in files else "550 Could not get file modification time.",
            "REST": "350 From there",
            "STOR": "150 Go on",
            "APPE": "150 Go on",
            "RETR": "150 Here it comes",
            "NLST": "150 Here it comes",
            "MKD": "257 Made",
            "CWD": "250 Changed",
            "DELE": "250 Deleted" if command == "DELE" and files.pop(argument, None) is not None else "550 No",
        }.get(command, "200 Well")

    async def _transfer(
        self, command: str, argument: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if command == "STOR" and self._script.cut:
            self._script.files[argument] = await reader.readexactly(1)
            writer.transport.abort()
        elif command in ("STOR", "APPE"):
            before = self._script.files.get(argument, b"") if command == "APPE" else b""
            begun = await reader.read(1)
            if self._script.early_end:
                writer.write_eof()
            self._script.files[argument] = before + begun + await reader.read()
        else:
            data = self._script.files.get(argument, b"")
            writer.write(data[: len(data) // 2] if self._script.cut else data)
            await writer.drain()
        writer.close()

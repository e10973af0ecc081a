"""An FTP server in memory with scripted replies, or the oddities of real servers."""

import asyncio
import posixpath
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import Thread

from adapters.storage.ftp.config import FtpConfig
from adapters.storage.ftp.control import abort

HANG_UP = ""
AS_USUAL = "as usual"
SAY_NOTHING = None
Answer = str | None
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
CONFIG = FtpConfig("127.0.0.1", "somebody", "secret", tls="none")
AT_ONCE = 64 * 1024  # bytes
LONG_AGO = datetime(2023, 10, 27, 10, tzinfo=UTC)


@dataclass
class Asked:
    """A command, with the absolute `path` of its argument."""

    server: "ScriptedServer"
    command: str
    path: str
    port: int
    """For data."""


Oddity = Callable[[Asked, str], Answer]
"""Returns another reply than the usual one, or that."""


@dataclass
class ScriptedServer:
    """Answers like a server, but for the commands that have `answers`: of each the first one first, the last for ever.

    "(greeting)" and "(end)" stand for what it says at the start of a session and at the end of a transfer. In one that
    it is to `cut` it aborts the data connection half-way. With `early_end` it says that it sends nothing itself, while
    it still receives. `pace`: seconds after each 64 KiB that it sends. `may_end`: what it waits for before it says
    anything at the end of a transfer.
    """

    answers: Mapping[str, list[Answer]]
    files: dict[str, bytes]
    cut: bool = False
    early_end: bool = False
    oddities: Sequence[Oddity] = ()
    pace: float = 0
    port: int = 0
    folders: set[str] = field(default_factory=lambda: {"", "drivebay"})
    times: dict[str, datetime] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    may_end: asyncio.Event | None = None
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when all bytes of a transfer have arrived."""

    @property
    def config(self) -> FtpConfig:
        return replace(CONFIG, port=self.port)

    def count(self, command: str) -> int:
        """Return how often a command was received."""
        return sum(line.split(" ")[0] == command for line in self.asked)

    def has_folder(self, path: str) -> bool:
        return path in self.folders or any(file.startswith(f"{path}/") for file in self.files)

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder."""
        start = f"{folder}/" if folder else ""
        inside = [path.removeprefix(start) for path in (*self.files, *self.folders) if path.startswith(start)]
        return sorted({path.partition("/")[0] for path in inside} - {""})

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        sessions: set[asyncio.Task[None]] = set()

        def begin(*streams: *Streams) -> None:
            sessions.add(asyncio.create_task(_Session(self, *streams).run()))

        async with await asyncio.start_server(begin, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield
            for session in sessions:
                session.cancel()
            await asyncio.gather(*sessions, return_exceptions=True)


@asynccontextmanager
async def scripted(
    answers: Mapping[str, list[Answer]] | None = None,
    files: Mapping[str, bytes] | None = None,
    cut: bool = False,
    early_end: bool = False,
    oddities: Sequence[Oddity] = (),
) -> AsyncIterator[ScriptedServer]:
    script = ScriptedServer(answers or {}, dict(files or {}), cut, early_end, oddities)
    async with script.serving():
        yield script


@contextmanager
def odd_server(*oddities: Oddity) -> Iterator[ScriptedServer]:
    """Run a server in a thread, so that its tasks are not among those of a test."""
    script = ScriptedServer({}, {}, oddities=oddities)
    loop = asyncio.new_event_loop()
    serving = script.serving()
    loop.run_until_complete(serving.__aenter__())
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield script
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(serving.__aexit__(None, None, None))
        while others := asyncio.all_tasks(loop):  # connections that are just being accepted
            loop.run_until_complete(asyncio.wait(others))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


class _Session:
    def __init__(self, script: ScriptedServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._script = script
        self._reader = reader
        self._writer = writer
        self._folder = ""
        self._start = 0
        self._passive: asyncio.Server | None = None
        self._port = 0
        self._writers = [writer]
        self._is_over = False

    async def run(self) -> None:
        try:
            with suppress(ConnectionError):
                await self._serve()
        finally:
            self._is_over = True
            if self._passive is not None:
                self._passive.close()
            for writer in self._writers:
                abort(writer.transport)
            await asyncio.sleep(0)  # the transports close now

    async def _serve(self) -> None:
        line = "(greeting)"
        while line:
            self._script.asked.append(line)
            command, _, argument = line.partition(" ")
            path = posixpath.join("/", self._folder, argument).strip("/")
            if command in ("EPSV", "PASV"):
                await self._listen()
            asked = Asked(self._script, command, path, self._port)
            answer = self._answer(asked, self._usual(command, path))
            await self._say(answer)
            if answer is not None and answer.startswith("1"):
                end = await self._transfer(command, path, *await self._arrived.get())
                if self._script.may_end is not None:
                    await self._script.may_end.wait()
                await self._say(self._answer(replace(asked, command="(end)"), end))
            elif command in ("NLST", "MLSD", "RETR", "STOR", "APPE") and self._passive is not None:
                self._passive.close()
            self._start = int(argument) if command == "REST" and answer and answer.startswith("3") else 0
            line = (await self._reader.readline()).decode().rstrip()

    async def _listen(self) -> None:
        """Listen again each time, because a client may have disconnected before its transfer."""
        if self._passive is not None:
            self._passive.close()
        arrived = self._arrived = asyncio.Queue[Streams]()

        def arrive(*streams: *Streams) -> None:
            if self._is_over:  # accepted before the listener was closed, and reported after
                abort(streams[1].transport)
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

    def _answer(self, asked: Asked, usual: str) -> Answer:
        answers = self._script.answers.get(asked.command) or [AS_USUAL]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer != AS_USUAL:
            return answer
        answer = usual
        for oddity in self._script.oddities:
            if answer:
                answer = oddity(asked, answer)
        return answer

    def _usual(self, command: str, path: str) -> str:
        if command in ("SIZE", "MDTM", "MLST", "RETR", "DELE"):
            return self._about_file(command, path) if path in self._script.files else "550 No such file."
        if command in ("CWD", "NLST", "MLSD"):
            return self._about_folder(command, path)
        if command in ("STOR", "APPE"):
            return "150 Go on" if self._script.has_folder(posixpath.dirname(path)) else "553 Could not create file."
        if command == "MKD":
            if self._script.has_folder(path):
                return "550 It is there."
            self._script.folders.add(path)
        return {
            "(greeting)": "220 Hello",
            "USER": "331 Password?",
            "PASS": "230 Welcome",
            "EPSV": f"229 Here (|||{self._port}|)",
            "PASV": f"227 Here (127,0,0,1,{self._port // 256},{self._port % 256})",
            "REST": "350 From there",
            "MKD": "257 Made",
            "PWD": f'257 "/{self._folder}" is here',
        }.get(command, "200 Well")

    def _about_file(self, command: str, path: str) -> str:
        size, time = len(self._script.files[path]), self._script.times.get(path, LONG_AGO)
        if command == "DELE":
            del self._script.files[path]
        return {
            "SIZE": f"213 {size}",
            "MDTM": f"213 {time:%Y%m%d%H%M%S}",
            "MLST": f"250-Here\r\n type=file;size={size};modify={time:%Y%m%d%H%M%S}; /{path}\r\n250 End",
            "RETR": "150 Here it comes",
            "DELE": "250 Deleted",
        }[command]

    def _about_folder(self, command: str, path: str) -> str:
        if not self._script.has_folder(path):
            return "550 No such folder."
        if command in ("NLST", "MLSD"):
            return "150 Here it comes"
        self._folder = path
        return "250 Changed"

    async def _transfer(
        self, command: str, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> str:
        """Return the final reply."""
        try:
            if command in ("STOR", "APPE"):
                await self._take(path, reader, writer, append=command == "APPE")
            else:
                await self._give(self._outgoing(command, path), writer)
        except ConnectionError:
            return "426 The data connection was lost."
        finally:
            writer.close()
        return "226 Transfer complete."

    async def _take(
        self, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, append: bool
    ) -> None:
        received = bytearray(self._script.files.get(path, b"") if append else b"")
        self._script.files[path] = bytes(received)
        self._script.times[path] = datetime.now(UTC)
        try:
            received += await reader.read(1)
            if self._script.cut:
                abort(writer.transport)
                return
            if self._script.early_end:
                writer.write_eof()
            while chunk := await reader.read(1 << 20):
                received += chunk
            self._script.ending.set()
        finally:
            self._script.files[path] = bytes(received)

    async def _give(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        data = data[: len(data) // 2] if self._script.cut else data
        for start in range(0, len(data), AT_ONCE):
            writer.write(data[start : start + AT_ONCE])
            await writer.drain()
            await asyncio.sleep(self._script.pace)

    def _outgoing(self, command: str, path: str) -> bytes:
        if command == "RETR":
            return self._script.files.get(path, b"")[self._start :]
        form = "{}\r\n" if command == "NLST" else "type=file; {}\r\n"
        return "".join(form.format(name) for name in self._script.names(path)).encode()

"""The contract on FTP servers of two makes, and the faults that only FTP has."""

import asyncio
import logging
import re
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvloop

from adapters.storage.ftp.config import FtpConfig
from adapters.storage.ftp.connection import FtpConnection
from adapters.storage.ftp.features import FtpFeatures
from adapters.storage.ftp.pool import FtpPool
from adapters.storage.ftp.store import FtpBlobStore
from adapters.storage.layers.timeout import TimeoutLayer
from application.ports.blob_store import BlobStore, Stored
from domain.blob import ByteRange, ObjectKey
from domain.errors import BlobError, Kind
from tests.backends.ftp import FtpServer
from tests.contracts.abilities import BackendContract
from tests.contracts.blob_store import MIB, chunked, each, keys, pattern, read, refused
from tests.contracts.ftp_script import AS_USUAL, HANG_UP, SAY_NOTHING, Asked, Oddity, ScriptedServer, scripted
from tests.faults.databases import DEADLINE

KEY = ObjectKey("ab" * 16)
PATH = f"ab/{KEY}"


def config_of(server: FtpServer, **more: Any) -> FtpConfig:
    """In a folder of its own, so that a case finds nothing of those before it.

    With far fewer connections than the server has ports for data, which it takes at random and gives up on soon.
    """
    ca_file = Path(server.certificate)
    config = FtpConfig(server.host, server.user, server.password, server.port, secrets.token_hex(8), ca_file=ca_file)
    return replace(config, **{"connections": 10, **more})


def store_on(server: ScriptedServer, **more: Any) -> FtpBlobStore:
    return FtpBlobStore(replace(server.config, **more))


async def as_user(config: FtpConfig, *commands: str) -> None:
    """Let the server do something behind the store's back."""
    ftp = await FtpConnection(config, config.tls_context(), FtpFeatures(config.passive)).open(make_base=False)
    for command in commands:
        await ftp.ask(command, "200", "250")
    ftp.disconnect()


class FtpContract(BackendContract):
    """The contract, and what a user's rights have to do with it."""

    async def test_what_is_denied_is_never_absence(self, store: BlobStore, config: FtpConfig) -> None:
        await self.put(store, b"secret", KEY)
        operations: list[Callable[[], Awaitable[object]]]
        operations = [
            partial(store.stat, KEY),
            partial(read, store, KEY),
            partial(store.delete, KEY),
            partial(keys, store),
        ]
        above = replace(config, base_path="")
        for denied in (f"{config.base_path}/ab", config.base_path):
            await as_user(above, f"SITE CHMOD 000 {denied}")
            for operation in operations:
                with refused(Kind.UNAVAILABLE):
                    await operation()
            await as_user(above, f"SITE CHMOD 755 {denied}")

    async def test_a_file_that_may_not_be_read_is_not_absent(self, store: BlobStore, config: FtpConfig) -> None:
        await self.put(store, b"secret", KEY)
        await as_user(config, f"SITE CHMOD 000 {PATH}")
        with refused(Kind.UNAVAILABLE):
            await read(store, KEY)

    async def test_the_tls_session_of_a_connection_is_asked_for_once(
        self, config: FtpConfig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Python 3.11 loses some KiB whenever it is asked for, and a server has millions of transfers."""
        asked = []
        usual: Any = ssl.SSLObject.session

        def session(tls: ssl.SSLObject) -> Any:
            asked.append(tls)
            return usual.fget(tls)

        monkeypatch.setattr(ssl.SSLObject, "session", property(session, usual.fset))
        async with FtpBlobStore(replace(config, connections=2)) as store:
            for _ in range(10):
                await self.put(store, b"bytes", ObjectKey.random())
        once_more = 1  # in TLS 1.3, before the server has sent its ticket
        assert 0 < len(asked) <= len({*map(id, asked)}) * (1 + once_more)


@pytest.mark.docker
class TestVsftpd(FtpContract):
    row = "FTP (vsftpd)"

    @pytest.fixture
    def config(self, vsftpd_server: FtpServer) -> FtpConfig:
        return config_of(vsftpd_server)

    @pytest.fixture
    async def store(self, config: FtpConfig) -> AsyncIterator[BlobStore]:
        async with FtpBlobStore(config) as store:
            await store.check()
            yield store


@pytest.mark.docker
class TestProFtpd(FtpContract):
    row = "FTP (ProFTPD)"

    @pytest.fixture
    def config(self, proftpd_server: FtpServer) -> FtpConfig:
        return config_of(proftpd_server)

    @pytest.fixture
    async def store(self, config: FtpConfig) -> AsyncIterator[BlobStore]:
        async with FtpBlobStore(config) as store:
            await store.check()
            yield store


@pytest.mark.docker
class TestOtherWaysToConnect:
    @pytest.mark.parametrize("make", ["vsftpd", "proftpd"])
    @pytest.mark.parametrize("tls", ["implicit", "none"])
    async def test_tls_from_the_start_or_not_at_all(
        self, start_ftp: Callable[..., FtpServer], make: str, tls: Any
    ) -> None:
        server = await asyncio.to_thread(start_ftp, make, tls=tls)
        async with FtpBlobStore(config_of(server, tls=tls, base_path="")) as store:
            await store.check()
            await store.put(KEY, chunked(pattern(2 * MIB)))
            assert await read(store, KEY, ByteRange(MIB, MIB + 10)) == pattern(2 * MIB)[MIB : MIB + 10]
            assert await read(store, KEY) == pattern(2 * MIB)
            assert await keys(store) == [KEY]

    async def test_each_passive_command(self, vsftpd_server: FtpServer) -> None:
        for passive in (("epsv",), ("pasv",)):
            async with FtpBlobStore(config_of(vsftpd_server, passive=passive)) as store:
                await store.check()
                await store.put(KEY, each([b"x"]))

    async def test_a_folder_in_a_folder_that_is_not_there_is_made(self, vsftpd_server: FtpServer) -> None:
        for start in ("", "/"):
            config = config_of(vsftpd_server, base_path=f"{start}{secrets.token_hex(8)}/further/down")
            async with FtpBlobStore(config) as store:
                with pytest.raises(BlobError, match="FTP_BASE_DIR: there is no folder") as caught:
                    await store.stat(KEY)  # a start would have checked: it has become lost
                assert caught.value.kind is Kind.UNAVAILABLE
                for _ in range(2):
                    await store.check()
                assert await store.put(KEY, each([b"x"])) == Stored(1)

    async def test_a_certificate_that_nobody_vouches_for_is_refused(self, vsftpd_server: FtpServer) -> None:
        async with FtpBlobStore(config_of(vsftpd_server, ca_file=None)) as store:
            with pytest.raises(BlobError, match=r"certificate is not good: self-signed certificate.*FTP_CA_FILE"):
                await store.check()
        async with FtpBlobStore(config_of(vsftpd_server, ca_file=None, verify=False)) as store:
            await store.check()

    async def test_authorities_that_are_none(self, vsftpd_server: FtpServer, tmp_path: Path) -> None:
        nonsense = tmp_path / "authorities.pem"
        nonsense.write_text("none")
        for path in (nonsense, tmp_path / "missing.pem"):
            with pytest.raises(BlobError, match=re.escape(f"FTP_CA_FILE: {path} can't be used")):
                await FtpBlobStore(config_of(vsftpd_server, ca_file=path)).__aenter__()

    @pytest.mark.parametrize("change", [{"password": "wrong"}, {"user": "nobody-there"}, {"tls": "none"}])
    async def test_a_failed_login_names_its_reason(self, vsftpd_server: FtpServer, change: dict[str, Any]) -> None:
        async with FtpBlobStore(config_of(vsftpd_server, **change)) as store:
            with pytest.raises(BlobError, match="Are FTP_USER, FTP_PASSWORD and FTP_TLS right"):
                await store.check()
            for failing in (store.stat(KEY), read(store, KEY), store.delete(KEY), store.put(KEY, each([b"x"]))):
                with refused(Kind.UNAVAILABLE):
                    await failing

    async def test_the_password_is_in_no_log(self, vsftpd_server: FtpServer, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        async with FtpBlobStore(config_of(vsftpd_server)) as store:
            await store.check()
        assert "USER drivebay" in caplog.text
        assert vsftpd_server.password not in caplog.text


@pytest.mark.docker
class TestLimits:
    @pytest.mark.parametrize("make", ["vsftpd", "proftpd"])
    async def test_a_server_that_allows_two_connections(self, start_ftp: Callable[..., FtpServer], make: str) -> None:
        server = await asyncio.to_thread(start_ftp, make, max_clients=2)
        made = [ObjectKey.random() for _ in range(20)]
        async with FtpBlobStore(config_of(server, timeout=50)) as store:
            await store.check()
            await asyncio.gather(*(store.put(key, each([key.value.encode()])) for key in made))
            assert await asyncio.gather(*(read(store, key) for key in made)) == [key.value.encode() for key in made]

    @pytest.mark.parametrize("make", ["vsftpd", "proftpd"])
    async def test_a_disk_that_is_full(self, start_ftp: Callable[..., FtpServer], make: str) -> None:
        server = await asyncio.to_thread(start_ftp, make, disk=4 * MIB)
        async with FtpBlobStore(config_of(server)) as store:
            await store.check()
            await store.put(KEY, chunked(pattern(3 * MIB)))
            for _ in range(3):
                with refused(Kind.NO_SPACE):
                    await store.put(ObjectKey.random(), chunked(pattern(16 * MIB)))
            assert await keys(store) == [KEY]
            await store.put(ObjectKey.random(), each([b"small"]))
            assert await read(store, KEY) == pattern(3 * MIB)


class TestServersThatFail:
    async def expect(self, server: ScriptedServer, kind: Kind, match: str = "", **more: Any) -> None:
        async with store_on(server, **more) as store:
            for failing in (
                lambda: store.check(),
                lambda: store.stat(KEY),
                lambda: read(store, KEY),
                lambda: store.delete(KEY),
                lambda: store.put(KEY, each([b"x"])),
                lambda: keys(store),
            ):
                with pytest.raises(BlobError, match=match or None) as caught:
                    await failing()
                assert caught.value.kind is kind

    async def test_one_that_is_not_there(self) -> None:
        await self.expect(ScriptedServer({}, {}, False, port=1), Kind.UNAVAILABLE, "127.0.0.1:1: It can't be used")

    async def test_one_that_does_not_answer(self) -> None:
        for silent in ("(greeting)", "PASS"):
            async with scripted({silent: [SAY_NOTHING]}) as server:
                await self.expect(server, Kind.TIMEOUT, "did not respond in time", timeout=0.05)

    async def test_one_that_hangs_up(self) -> None:
        for last in ("(greeting)", "USER"):
            async with scripted({last: [HANG_UP]}) as server:
                await self.expect(server, Kind.UNAVAILABLE, "closed the connection")

    @pytest.mark.parametrize("nonsense", ["HTTP/1.1 400 Bad Request", "220", "22\xe9 \xff", "220-" + "\r\nx" * 2000])
    async def test_one_that_talks_nonsense(self, nonsense: str) -> None:
        async with scripted({"(greeting)": [nonsense], "USER": [nonsense]}) as server:
            await self.expect(server, Kind.UNAVAILABLE)

    @pytest.mark.parametrize("nonsense", ["229 somewhere", "229 (|||x|)", "229 (|||0|)"])
    async def test_one_whose_ports_are_nonsense(self, nonsense: str) -> None:
        answers: dict[str, list[str | None]] = {"EPSV": [nonsense], "PASV": [nonsense]}
        async with scripted(answers, {PATH: b"x"}) as server, store_on(server) as store:
            with refused(Kind.UNAVAILABLE):
                await read(store, KEY)

    async def test_one_whose_port_is_taken_is_asked_for_another(self) -> None:
        taken: list[str | None] = ["425 Address already in use"]
        async with scripted({"EPSV": [*taken * 3, AS_USUAL]}, {PATH: b"x"}) as server, store_on(server) as store:
            assert await read(store, KEY) == b"x"
        answers = {"EPSV": taken, "PASV": taken}
        async with scripted(answers, {PATH: b"x"}) as server, store_on(server) as store:
            with refused(Kind.UNAVAILABLE):
                await read(store, KEY)

    async def test_one_that_does_not_know_a_passive_command(self) -> None:
        async with scripted({"EPSV": ["502 What?"]}, {PATH: b"x"}) as server, store_on(server) as store:
            for _ in range(3):
                assert await read(store, KEY) == b"x"
            assert (server.count("EPSV"), server.count("PASV")) == (1, 3)

    async def test_one_that_is_full_is_not_asked_for_more_connections(self) -> None:
        async with scripted({"(greeting)": ["421 Too many"]}) as server:
            await self.expect(server, Kind.UNAVAILABLE, "421 Too many", back_off=0)
            assert server.count("(greeting)") == 6
            await self.expect(server, Kind.UNAVAILABLE, "421 Too many", back_off=60)
            assert server.count("(greeting)") == 7

    async def test_one_that_is_full_again_and_again(self) -> None:
        greetings: list[str | None] = ["220 Hello", "421 Too many", "220 Hello"]
        async with (
            scripted({"(greeting)": greetings}, {PATH: pattern(1000)}) as server,
            store_on(server, back_off=0.05) as store,
            store.read(KEY),  # which holds the only connection ...
        ):
            assert await read(store, KEY) == pattern(1000)  # ... so this one waits until it may try again
        assert server.count("(greeting)") == 3

    async def test_one_that_is_full_is_asked_by_one_at_a_time(self) -> None:
        greetings: list[str | None] = ["220 Hello", "421 Too many"]
        async with (
            scripted({"(greeting)": greetings}, {PATH: b"x"}) as server,
            store_on(server, back_off=0.2, timeout=1) as store,
            store.read(KEY),
        ):
            for ended in await asyncio.gather(*(store.stat(KEY) for _ in range(20)), return_exceptions=True):
                assert isinstance(ended, BlobError)
                assert ended.kind is Kind.TIMEOUT
        assert server.count("(greeting)") <= 1 + 20 + 5  # all knocked before they knew, and then one at a time

    @pytest.mark.parametrize(
        ("says", "kind"), [("451", Kind.NO_SPACE), ("552", Kind.NO_SPACE), ("426", Kind.UNAVAILABLE)]
    )
    async def test_an_upload_that_dies_half_way(self, says: str, kind: Kind) -> None:
        async with scripted({"(end)": [says]}, cut=True) as server, store_on(server) as store:
            with refused(kind):
                await store.put(KEY, chunked(pattern(20 * MIB)))
            assert server.files == {}

    @pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
    def test_an_upload_that_dies_while_the_sender_is_waited_for(self, loop: Any) -> None:
        async def put() -> None:
            async with scripted({"(end)": ["451"]}, cut=True) as server, store_on(server) as store:

                async def slow() -> AsyncIterator[bytes]:
                    yield pattern(MIB)
                    await asyncio.sleep(0.3)  # the server cuts the connection, and the transport learns of it
                    yield pattern(MIB)

                with refused(Kind.NO_SPACE):
                    await store.put(KEY, slow())
                assert server.files == {}

        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(put())

    @pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
    def test_an_upload_whose_connection_closes_with_bytes_to_send(self, loop: Any) -> None:
        async def put() -> None:
            async with scripted({"(end)": ["451"]}, early_end=True) as server, store_on(server) as store:
                with refused(Kind.NO_SPACE):
                    await store.put(KEY, each([pattern(16 * MIB)] * 2))

        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(put())

    @pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
    def test_an_idle_connection_that_was_lost(self, loop: Any) -> None:
        async def look_twice() -> None:
            async with (
                scripted(files={PATH: b"x"}) as server,
                FtpPool(replace(server.config, max_age=0.1), "ftp") as pool,
            ):
                async with pool.connection() as ftp:
                    ftp.stream.writer.transport.abort()
                await asyncio.sleep(0.2)  # it grows too old
                async with pool.connection() as ftp:
                    assert await ftp.size(PATH) == 1
                    ftp.stream.writer.transport.abort()
                    await asyncio.sleep(0)
                    with refused(Kind.UNAVAILABLE):
                        await ftp.size(PATH)

        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(look_twice())

    async def test_an_upload_that_is_not_confirmed(self) -> None:
        for end in ("426 Failure", HANG_UP, SAY_NOTHING):
            answers = {"(end)": [end, "226 Complete"]}
            async with (
                scripted(answers) as server,
                store_on(
                    server, **({"timeout": 0.2, "completion_timeout": 0.2} if end is SAY_NOTHING else {})
                ) as store,
            ):
                with refused(Kind.TIMEOUT if end is SAY_NOTHING else Kind.UNAVAILABLE):
                    await store.put(KEY, each([b"x"]))
                assert server.files == {}
                await store.put(KEY, each([b"x"]))

    async def test_an_upload_of_which_not_all_is_kept(self) -> None:
        answers: dict[str, list[str | None]] = {"SIZE": ["550 Nothing there", "213 4", "550 Nothing there"]}
        async with scripted(answers) as server, store_on(server) as store:
            with pytest.raises(BlobError, match="keeps 4 bytes of the 5"):
                await store.put(KEY, each([b"x" * 5]))
            assert server.files == {}

    async def test_a_download_that_is_cut_short(self) -> None:
        for end in ("426 Failure", "226 Complete", HANG_UP):
            async with scripted({"(end)": [end]}, {PATH: pattern(MIB)}, cut=True) as server, store_on(server) as store:
                for part in (None, ByteRange(10, 900_000)):
                    with refused(Kind.UNAVAILABLE):
                        await read(store, KEY, part)

    async def test_a_download_that_has_more_than_it_should(self) -> None:
        answers: dict[str, list[str | None]] = {"SIZE": ["213 100"]}
        async with scripted(answers, {PATH: pattern(2 * MIB)}) as server, store_on(server) as store:
            got = b""
            with refused(Kind.UNAVAILABLE):
                async with store.read(KEY) as chunks:
                    async for chunk in chunks:
                        assert chunk
                        got += chunk
            assert got == pattern(2 * MIB)[:100]

    async def test_a_file_that_goes_while_it_is_opened(self) -> None:
        answers: dict[str, list[str | None]] = {"SIZE": ["213 5", "550 Gone"], "RETR": ["550 Gone"]}
        async with scripted(answers) as server, store_on(server) as store:
            with refused(Kind.NOT_FOUND):
                await read(store, KEY)

    async def test_a_connection_that_can_not_return_to_its_folder_is_not_used_again(self) -> None:
        async with scripted({"CWD": ["250 In", "550 Denied", AS_USUAL]}) as server, store_on(server) as store:
            with refused(Kind.UNAVAILABLE):
                await store.stat(KEY)
            with refused(Kind.NOT_FOUND):
                await store.stat(KEY)
            assert server.count("PASS") == 2

    @pytest.mark.parametrize("command", ["SIZE", "CWD"])
    async def test_a_file_that_another_server_makes_meanwhile(self, command: str) -> None:
        async with scripted(oddities=[makes(PATH, command)]) as server, store_on(server) as store:
            assert (await store.stat(KEY)).size == 1

    async def test_a_folder_that_another_server_makes_meanwhile(self) -> None:
        other = [makes(f"ab/{'ab' * 15}00", "CWD")]
        async with scripted(oddities=other) as server, store_on(server) as store:
            with refused(Kind.NOT_FOUND):
                await store.stat(KEY)
        async with scripted(oddities=other) as server, store_on(server) as store:
            await store.delete(KEY)


def makes(path: str, until: str) -> Oddity:
    """Let another client store a file after the reply to a command."""

    def oddity(asked: Asked, answer: str) -> str:
        if asked.command == until:
            asked.server.files.setdefault(path, b"x")
        return answer

    return oddity


class TestTimes:
    @pytest.mark.parametrize(
        ("answer", "time"),
        [
            ("213 20231027100000", datetime(2023, 10, 27, 10, tzinfo=UTC)),
            ("213 20231027100000.5", datetime(2023, 10, 27, 10, tzinfo=UTC)),
            *((f"{code} No", None) for code in (500, 501, 502, 504, 550)),
            ("213 Friday", None),
        ],
    )
    async def test_times_are_in_utc_or_none(self, answer: str, time: datetime | None) -> None:
        async with scripted({"MDTM": [answer]}, {PATH: b"x"}) as server, store_on(server) as store:
            assert (await store.stat(KEY)).modified_at == time
            assert await read(store, KEY) == b"x"

    @pytest.mark.parametrize("answer", ["421 Bye", "213 20231399000000", "230 Logged in"])
    async def test_a_fault_is_one(self, answer: str) -> None:
        async with scripted({"MDTM": [answer]}, {PATH: b"x"}) as server, store_on(server) as store:
            with refused(Kind.UNAVAILABLE):
                await store.stat(KEY)


class TestCancellations:
    """At every moment: none is lost, nor anything else."""

    @pytest.mark.parametrize("name", ["put", "read", "stat", "delete", "list"])
    async def test_each_is_heard(self, name: str) -> None:
        other = ObjectKey("cd" * 16)
        files = {f"cd/{other}": pattern(MIB), "": b"drivebay\r\ncd\r\n", "cd": f"{other}\r\n".encode()}
        async with scripted(files=files) as server, store_on(server, connections=2) as store:
            operation: Callable[[], Awaitable[object]] = {
                "put": lambda: store.put(KEY, chunked(pattern(MIB))),
                "read": lambda: read(store, other),
                "stat": lambda: store.stat(other),
                "delete": lambda: store.delete(KEY),
                "list": lambda: keys(store),
            }[name]
            for steps in range(500):
                task = asyncio.ensure_future(operation())
                for _ in range(steps):
                    await asyncio.sleep(0)
                if not task.cancel():
                    break
                await asyncio.wait({task})
                assert task.cancelled(), f"after {steps} steps"
                assert PATH not in server.files
            assert task.done()
            await task
            assert await asyncio.gather(*(store.stat(other) for _ in range(4))) == [Stored(MIB)] * 4


class TestConnections:
    """Which are used again."""

    async def read_twice(self, server: ScriptedServer, **more: Any) -> None:
        async with store_on(server, **more) as store:
            for _ in range(2):
                assert await read(store, KEY) == b"12345"

    @pytest.mark.parametrize(
        ("settings", "logins", "looks"),
        [({}, 1, 0), ({"max_idle": 0}, 1, 1), ({"max_age": 0}, 2, 0)],
        ids=["as they are", "asked first", "too old"],
    )
    async def test_those_that_are_in_step(self, settings: dict[str, Any], logins: int, looks: int) -> None:
        async with scripted(files={PATH: b"12345"}) as server:
            await self.read_twice(server, **settings)
            assert (server.count("PASS"), server.count("NOOP")) == (logins, looks)

    async def test_none_that_the_server_has_closed(self) -> None:
        async with scripted({"NOOP": [HANG_UP]}, {PATH: b"12345"}) as server:
            await self.read_twice(server, max_idle=0)
            assert server.count("PASS") == 2

    async def test_none_that_the_server_is_about_to_close(self) -> None:
        async with scripted({"SIZE": ["421 Bye", "213 5"]}, {PATH: b"12345"}) as server, store_on(server) as store:
            with refused(Kind.UNAVAILABLE):
                await store.stat(KEY)
            assert await store.stat(KEY) == Stored(5)
            assert server.count("PASS") == 2

    async def test_none_that_was_left_early(self) -> None:
        async with scripted(files={PATH: pattern(MIB)}) as server, store_on(server) as store:
            for _ in range(2):
                assert await read(store, KEY, ByteRange(0, 5)) == pattern(MIB)[:5]
            assert server.count("PASS") == 2

    async def test_none_is_held_while_a_sender_pauses(self) -> None:
        other = ObjectKey("cd" * 16)
        files = {f"cd/{other}": b"x"}
        async with scripted(files=files) as server, store_on(server, connections=1, timeout=DEADLINE) as store:

            async def pausing() -> AsyncIterator[bytes]:
                assert await store.stat(other) == Stored(1)
                yield b"the first"
                yield b"the second"
                yield b""
                assert await store.stat(other) == Stored(1)
                yield b"the third"

            assert await store.put(KEY, pausing()) == Stored(28)
            assert server.files[PATH] == b"the firstthe secondthe third"
            assert (server.count("STOR"), server.count("APPE")) == (1, 1)

    @pytest.mark.parametrize("reply", ["502 What?", "550 Denied.", "451 Append/Restart not permitted, try again"])
    async def test_a_server_that_does_not_append_gets_all_in_one_transfer_from_then_on(self, reply: str) -> None:
        """451 is the reply of ProFTPD, where AllowStoreRestart is off."""
        async with scripted({"APPE": [reply]}) as server, store_on(server) as store:
            with refused(Kind.UNAVAILABLE):
                await store.put(ObjectKey.random(), each([b"a", b"", b"b"]))
            assert server.files == {}
            assert await store.put(KEY, each([b"", b"a", b"", b"", b"b", b""])) == Stored(2)
            assert server.files == {PATH: b"ab"}
            assert server.count("APPE") == 1

    @pytest.mark.parametrize("reply", ["425 No port is free.", "452 It is full.", "552 It is full.", HANG_UP])
    async def test_a_server_that_does_not_append_for_once_is_asked_again(self, reply: str) -> None:
        async with scripted({"APPE": [reply, AS_USUAL]}) as server, store_on(server) as store:
            with pytest.raises(BlobError):
                await store.put(ObjectKey.random(), each([b"a", b"", b"b"]))
            assert await store.put(KEY, each([b"a", b"", b"b"])) == Stored(2)
            assert server.count("APPE") == 2

    async def test_no_more_than_allowed(self) -> None:
        files = {PATH: b"12345"}
        async with scripted(files=files) as server, store_on(server, connections=1, timeout=0.2) as store:
            async with store.read(KEY):
                with pytest.raises(BlobError, match="Too many transfers") as caught:
                    await store.stat(KEY)
                assert caught.value.kind is Kind.TIMEOUT
            assert await read(store, KEY) == b"12345"

    async def test_one_that_waits_for_its_turn_gets_it(self) -> None:
        async with scripted(files={PATH: b"12345"}) as server, store_on(server, connections=1) as store:
            async with store.read(KEY):
                waiting = asyncio.create_task(read(store, KEY))
                await asyncio.sleep(0)
            assert await waiting == b"12345"


class TestCompletion:
    """The reply after the last byte, for which a server may scan or forward the file first."""

    async def test_it_is_waited_for_longer_than_for_other_replies(self) -> None:
        async with scripted() as server, store_on(server, timeout=0.2, completion_timeout=DEADLINE) as store:
            timed = TimeoutLayer(store, 0.2)
            await store.check()
            server.may_end = asyncio.Event()
            putting = asyncio.create_task(timed.put(KEY, each([b"x"])))
            await server.ending.wait()
            await asyncio.sleep(0.5)  # longer than both deadlines
            server.may_end.set()
            assert await putting == Stored(1)

    async def test_deadlines_are_as_before_once_it_is_there(self) -> None:
        answers: dict[str, list[str | None]] = {"SIZE": ["550 Nothing there", SAY_NOTHING]}
        async with scripted(answers) as server, store_on(server, timeout=1, completion_timeout=3600) as store:
            with pytest.raises(BlobError, match=r"within 0\.2 seconds"):
                await TimeoutLayer(store, 0.2).put(KEY, each([b"x"]))

    @pytest.mark.parametrize(
        ("base", "size", "limit"),
        [(60, 0, 60), (60, 100 * MIB, 160), (60, 5 * 1024 * 1024 * MIB, 3600), (3600, 100 * MIB, 3600)],
    )
    def test_its_limit_grows_with_the_size_up_to_an_hour(self, base: float, size: int, limit: float) -> None:
        assert FtpConfig("127.0.0.1", "somebody", "secret", completion_timeout=base).completion_limit(size) == limit


class TestBaseFolder:
    async def test_it_is_made_when_that_is_asked_for(self) -> None:
        """And not because of an operation's name, which is for logs and metrics."""
        async with scripted() as server, FtpPool(replace(server.config, base_path="base"), "ftp") as pool:
            with refused(Kind.UNAVAILABLE):
                async with pool.connection():
                    pass
            assert "base" not in server.folders
            async with pool.connection(make_base=True):
                pass
            assert "base" in server.folders

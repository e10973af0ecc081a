"""The contract on an FTP server with many oddities, each oddity by itself, and what is remembered of a server."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from adapters.storage.ftp.config import Passive
from adapters.storage.ftp.store import FtpBlobStore
from adapters.storage.layers.timeout import TimeoutLayer
from application.ports.blob_store import BlobStore, Stored
from domain.blob import ByteRange, ObjectKey
from domain.errors import BlobError, Kind
from tests.contracts.abilities import BackendContract
from tests.contracts.blob_store import each, keys, pattern, read, refused
from tests.contracts.ftp_oddities import HARMLESS, VARIETIES, port, refused_port, says, silent_port
from tests.contracts.ftp_script import AS_USUAL, HANG_UP, Answer, Oddity, ScriptedServer, odd_server, scripted

KEY, OTHER, ABSENT = (ObjectKey(start * 16) for start in ("ab", "cd", "ef"))
DATA = pattern(600_000)


@pytest.fixture(scope="module")
def odd() -> Iterator[ScriptedServer]:
    with odd_server(*HARMLESS.values()) as server:
        yield server


class TestOddServer(BackendContract):
    row = "FTP (with oddities)"

    @pytest.fixture
    async def store(self, odd: ScriptedServer) -> AsyncIterator[BlobStore]:
        self.server = odd
        async with FtpBlobStore(odd.config) as store:
            await store.check()
            yield store

    async def residue(self, store: BlobStore) -> list[str]:
        return list(self.server.files)


async def live(store: BlobStore) -> None:
    """All that a store is for, twice, as most oddities are remembered."""
    await store.check()
    assert await keys(store) == []
    for key in (KEY, OTHER):
        with refused(Kind.NOT_FOUND):
            await store.stat(key)
        assert await store.put(key, each([DATA])) == Stored(len(DATA))
        assert await store.stat(key) == Stored(len(DATA))
        assert await read(store, key) == DATA
        assert await read(store, key, ByteRange(300_000, 300_010)) == DATA[300_000:300_010]
        with refused(Kind.ALREADY_EXISTS):
            await store.put(key, each([b"another"]))
        assert await keys(store) == [key]
        await store.delete(key)
        await store.delete(key)
        with refused(Kind.NOT_FOUND):
            await read(store, key)
        assert await keys(store) == []


@pytest.mark.parametrize("name", [*HARMLESS, *VARIETIES])
async def test_a_blob_lives_on_a_server_with(name: str) -> None:
    oddity = (HARMLESS | VARIETIES)[name]
    passive: tuple[Passive, ...] = ("pasv",) if name.startswith("227") else ("epsv", "pasv")
    async with scripted(oddities=[oddity]) as server, FtpBlobStore(replace(server.config, passive=passive)) as store:
        await live(store)
        assert server.files == {}


@pytest.mark.parametrize(
    ("oddity", "tried"),
    [
        (HARMLESS["EPSV is not known"], "EPSV"),
        (VARIETIES["EPSV gets 550"], "EPSV"),
        (VARIETIES["EPSV gets nonsense"], "EPSV"),
        (port("EPSV", refused_port()), "EPSV"),
        (port("EPSV", silent_port()), "EPSV"),
        (HARMLESS["REST is not known"], "REST"),
        (VARIETIES["SIZE is not known"], "SIZE"),
        (VARIETIES["NLST is not known"], "NLST"),
    ],
    ids=["unknown", "denied", "nonsense", "refused", "silent", "no REST", "no SIZE", "no NLST"],
)
async def test_a_server_is_asked_once_for_what_does_not_work(oddity: Oddity, tried: str) -> None:
    """By all connections together: each operation has its own here."""
    async with scripted(oddities=[oddity]) as server:
        async with FtpBlobStore(replace(server.config, timeout=2, max_age=0)) as store:
            await live(store)
        assert server.count("PASS") > 10
        assert server.count(tried) == 1


@pytest.mark.parametrize(("command", "instead"), [("SIZE", "MLST"), ("NLST", "MLSD")])
async def test_a_fault_is_not_taken_for_a_missing_command(command: str, instead: str) -> None:
    """vsftpd replies 500 where a process of it dies, and it has no other command for the size."""
    answers: dict[str, list[Answer]] = {
        command: [AS_USUAL, "500 OOPS: child died", AS_USUAL],
        instead: ["500 Unknown command."],
    }
    async with scripted(answers, {f"ab/{KEY}": b"x"}) as server, FtpBlobStore(server.config) as store:
        outcomes = list[Kind | None]()
        for _ in range(4):
            try:
                await (store.stat(KEY) if command == "SIZE" else store.check())
            except BlobError as error:
                outcomes.append(error.kind)
            else:
                outcomes.append(None)
    assert outcomes == [None, Kind.UNAVAILABLE, None, None]


async def test_a_fault_in_place_of_an_offset_is_not_remembered() -> None:
    answers: dict[str, list[Answer]] = {"REST": ["500 OOPS: child died", AS_USUAL], "RETR": [HANG_UP, AS_USUAL]}
    async with scripted(answers, {f"ab/{KEY}": b"12345"}) as server, FtpBlobStore(server.config) as store:
        with refused(Kind.UNAVAILABLE):
            await read(store, KEY, ByteRange(3, 5))
        assert await read(store, KEY, ByteRange(3, 5)) == b"45"
        assert server.count("REST") == 2


async def test_a_way_that_worked_and_fails_is_given_up() -> None:
    async with scripted() as server, FtpBlobStore(replace(server.config, timeout=4)) as store:
        await live(store)
        assert server.count("PASV") == 0
        server.oddities = [says("EPSV", "502 What?")]
        await live(store)
        server.oddities = [says("PASV", "502 What?")]
        await live(store)


async def test_errors_name_each_way_to_a_data_connection() -> None:
    blocked = [port("EPSV", refused_port()), says("PASV", "502 What?")]
    async with scripted(oddities=blocked) as server, FtpBlobStore(server.config) as store:
        with refused(Kind.UNAVAILABLE) as caught:
            await store.put(KEY, each([b"x"]))
    assert "EPSV: It can't be used" in caught.value.detail
    assert "PASV: The server says: 502 What?" in caught.value.detail
    assert "FTP_PASSIVE" in caught.value.detail


async def test_a_server_whose_append_replaces_gets_one_transfer_from_then_on() -> None:
    async with scripted(oddities=[VARIETIES["APPE replaces the file"]]) as server, FtpBlobStore(server.config) as store:
        await store.check()
        with refused(Kind.UNAVAILABLE):
            await store.put(KEY, each([b"a", b"", b"b"]))
        assert server.files == {}
        assert await store.put(KEY, each([b"a", b"", b"b"])) == Stored(2)
        assert server.count("APPE") == 1


async def test_bytes_may_be_skipped_for_longer_than_any_deadline() -> None:
    """Where there is no REST, a reader of the end waits for all that is before it."""
    data = pattern(600_000)
    skipping = [HARMLESS["REST is not known"]]
    async with scripted(files={f"ab/{KEY}": data}, oddities=skipping) as server:
        server.pace = 0.1
        async with FtpBlobStore(replace(server.config, timeout=0.5)) as store:
            timed = TimeoutLayer(store, 0.5)
            assert await read(timed, KEY, ByteRange(599_990, 600_000)) == data[-10:]


async def test_a_busy_file_is_not_absent() -> None:
    """450 means busy, too. Where it does, the list of the folder has the name."""
    busy = says("SIZE", "450 Busy.")
    async with scripted(files={f"ab/{KEY}": b"x"}, oddities=[busy]) as server, FtpBlobStore(server.config) as store:
        for failing in (store.stat(KEY), read(store, KEY)):
            with refused(Kind.UNAVAILABLE):
                await failing
        with refused(Kind.NOT_FOUND):
            await store.stat(ABSENT)

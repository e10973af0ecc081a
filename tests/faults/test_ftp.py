"""Objects on an FTP server, when one of the two connections of a transfer fails half-way."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from adapters.storage.ftp.config import FtpConfig
from adapters.storage.ftp.store import FtpBlobStore
from adapters.storage.layers.timeout import TimeoutLayer
from domain.blob import ObjectKey
from domain.errors import Kind
from tests.backends import ftp
from tests.backends.ftp import FtpServer
from tests.backends.run import Backends
from tests.contracts.blob_store import MIB, chunked, each, keys, pattern, read, refused
from tests.contracts.leftovers import no_task_left
from tests.contracts.metadata import outcomes
from tests.faults.databases import DEADLINE
from tests.proxy import Proxy, Way

PORTS = 12  # for data
DATA = pattern(2 * MIB)
IN_THE_DATA = 700_000  # bytes
NEW = ObjectKey("ab" * 16)
Faults = Callable[[Proxy, Proxy], Callable[[], None]]


def both(do: Callable[[Proxy], None]) -> Faults:
    def of(control: Proxy, data: Proxy) -> Callable[[], None]:
        def do_both() -> None:
            do(data)
            do(control)

        return do_both

    return of


CUTS: dict[str, Faults] = {
    "of the data": lambda control, data: data.cut,
    "of the dialogue": lambda control, data: control.cut,
    "of both": both(Proxy.cut),
    "and the server is gone": both(Proxy.go_down),
}
STALLS: dict[str, Faults] = {
    "of the data": lambda control, data: data.stall,
    "of the dialogue": lambda control, data: control.stall,
}


@pytest.fixture(scope="module")
def server(backends: Backends) -> Iterator[FtpServer]:
    """One whose ports for data are elsewhere, so that a proxy can stand in their place."""
    containers = backends.containers()
    try:
        yield ftp.start(containers, "vsftpd", ports=PORTS, elsewhere=True)
    finally:
        containers.stop()


@asynccontextmanager
async def behind_proxies(server: FtpServer, **more: Any) -> AsyncIterator[tuple[Proxy, Proxy, FtpBlobStore]]:
    """One proxy for the dialogue, and one for the data. Nothing may be left on the server when it is left.

    Each connection is asked whether it still works before it is used again: else this is left to further attempts.
    """
    url = f"ftp://{server.host}:{server.port}"
    async with no_task_left(), Proxy(url) as control, Proxy(url, server.elsewhere) as data:
        config = FtpConfig(
            server.host,
            server.user,
            server.password,
            control.port,
            secrets.token_hex(8),
            ca_file=Path(server.certificate),
            completion_timeout=more.get("timeout", 12),
            **{"connections": 2, "max_idle": 0, **more},
        )
        async with FtpBlobStore(config) as store:
            await store.check()
            yield control, data, store
            assert await keys(store) == []


async def recover(control: Proxy, data: Proxy) -> None:
    """What was held back is lost, else it would land behind a delete; and the way is free again."""
    for proxy in (control, data):
        proxy.cut()
        proxy.go_on()
        await proxy.come_back()


async def expect_recovery(store: FtpBlobStore, key: ObjectKey) -> None:
    """What a put has left under `key` can be deleted, and the store works, more often than it has connections."""
    await store.delete(key)
    assert await keys(store) == []
    for _ in range(3):
        await store.put(key := ObjectKey.random(), chunked(DATA))
        assert await read(store, key) == DATA
        await store.delete(key)


@pytest.mark.docker
class TestFtp:
    @pytest.mark.parametrize("cut", CUTS)
    async def test_a_put_that_is_cut_off(self, server: FtpServer, cut: str) -> None:
        async with behind_proxies(server) as (control, data, store):
            for count in (0, IN_THE_DATA):
                hit = data.after(count, Way.TO_SERVER, CUTS[cut](control, data))
                async with asyncio.timeout(DEADLINE):
                    with refused(Kind.UNAVAILABLE):
                        await store.put(key := ObjectKey.random(), chunked(DATA))
                assert hit.is_set()
                await recover(control, data)
                await expect_recovery(store, key)

    @pytest.mark.parametrize("stall", STALLS)
    async def test_a_put_that_stalls(self, server: FtpServer, stall: str) -> None:
        async with behind_proxies(server, timeout=2) as (control, data, store):
            hit = data.after(IN_THE_DATA, Way.TO_SERVER, STALLS[stall](control, data))
            async with asyncio.timeout(DEADLINE):
                with refused(Kind.TIMEOUT):
                    await store.put(key := ObjectKey.random(), chunked(DATA))
            assert hit.is_set()
            await recover(control, data)
            await expect_recovery(store, key)

    async def test_a_read_that_fails_half_way(self, server: FtpServer) -> None:
        async with behind_proxies(server, timeout=2) as (control, data, store):
            await store.put(key := ObjectKey.random(), chunked(DATA))
            for faults, kind in ((CUTS, Kind.UNAVAILABLE), (STALLS, Kind.TIMEOUT)):
                for fault in faults.values():
                    hit = data.after(IN_THE_DATA, Way.TO_CLIENT, fault(control, data))
                    async with asyncio.timeout(DEADLINE):
                        with refused(kind):
                            await read(store, key)
                    assert hit.is_set()
                    await recover(control, data)
                    assert await read(store, key) == DATA
            await store.delete(key)

    async def test_a_server_that_is_down_is_not_an_empty_one(self, server: FtpServer) -> None:
        async with behind_proxies(server, timeout=2) as (control, data, store):
            await store.put(key := ObjectKey.random(), each([b"x"]))
            operations: list[Callable[[], Awaitable[object]]] = [
                store.check,
                partial(store.stat, key),
                partial(read, store, key),
                partial(store.delete, key),
                partial(keys, store),
            ]
            for fault, kind in ((Proxy.go_down, Kind.UNAVAILABLE), (Proxy.stall, Kind.TIMEOUT)):
                both(fault)(control, data)()
                async with asyncio.timeout(DEADLINE):
                    ended = await asyncio.gather(*(call() for call in operations), return_exceptions=True)
                assert {getattr(error, "kind", error) for error in ended} == {kind}
                await recover(control, data)
                assert await keys(store) == [key]
            await store.delete(key)

    async def test_a_list_that_fails_half_way_is_not_a_short_one(self, server: FtpServer) -> None:
        """But for one that somebody between ends in good order: FTP does not tell how long it is."""
        async with behind_proxies(server, timeout=2) as (control, data, store):
            await store.put(key := ObjectKey.random(), each([b"x"]))
            passed = data.passed[Way.TO_CLIENT]
            assert await keys(store) == [key]
            lists = data.passed[Way.TO_CLIENT] - passed  # that of the folders, and that of one of them
            for part, fault in (
                (0.1, data.cut),
                (0.1, data.stall),
                (0.4, data.stall),
                (0.6, data.stall),
                (0.6, control.cut),
            ):
                hit = data.after(int(lists * part), Way.TO_CLIENT, fault)
                async with asyncio.timeout(DEADLINE):
                    [listed] = await outcomes(keys(store))
                assert listed in (Kind.UNAVAILABLE, Kind.TIMEOUT)
                assert hit.is_set()
                await recover(control, data)
                assert await keys(store) == [key]
            await store.delete(key)

    async def test_a_slow_connection_is_no_fault(self, server: FtpServer) -> None:
        async with behind_proxies(server, timeout=5) as (control, data, store):
            data.rate = 4 * MIB
            control.rate = 20_000
            await store.put(key := ObjectKey.random(), chunked(DATA))
            assert await read(store, key) == DATA
            data.rate = control.rate = None
            await store.delete(key)

    async def test_a_transfer_may_take_longer_than_any_timeout_while_it_moves(self, server: FtpServer) -> None:
        """Most of the time the bytes wait in buffers, and the end of the source is long past."""
        async with behind_proxies(server, timeout=3) as (_, data, store):
            timed = TimeoutLayer(store, 3)
            data.rate = 350_000  # six seconds
            await timed.put(key := ObjectKey.random(), chunked(DATA))
            data.rate = None
            assert await read(timed, key) == DATA
            await store.delete(key)

    @pytest.mark.parametrize("count", [0, IN_THE_DATA])
    async def test_a_bit_that_is_flipped_in_the_data(self, server: FtpServer, count: int) -> None:
        """TLS sees it."""
        async with behind_proxies(server, timeout=2) as (control, data, store):
            await store.put(key := ObjectKey.random(), chunked(DATA))
            for way, moving in ((Way.TO_CLIENT, read(store, key)), (Way.TO_SERVER, store.put(NEW, chunked(DATA)))):
                hit = data.after(count, way, partial(data.corrupt, way))
                async with asyncio.timeout(DEADLINE):
                    [outcome] = await outcomes(moving)
                assert outcome in (Kind.UNAVAILABLE, Kind.TIMEOUT)
                assert hit.is_set()
                await recover(control, data)
                assert await read(store, key) == DATA
            await store.delete(NEW)
            await store.delete(key)

    @pytest.mark.parametrize("way", Way)
    async def test_a_bit_that_is_flipped_in_the_dialogue(self, server: FtpServer, way: Way) -> None:
        async with behind_proxies(server, timeout=2) as (control, data, store):
            await store.put(key := ObjectKey.random(), chunked(DATA))
            for count in range(0, 250, 50):
                hit = control.after(count, way, partial(control.corrupt, way))
                async with asyncio.timeout(DEADLINE):
                    [found] = await outcomes(read(store, key))
                assert found in (DATA, Kind.UNAVAILABLE, Kind.TIMEOUT)
                assert hit.is_set()
                await recover(control, data)
            assert await keys(store) == [key]
            await store.delete(key)

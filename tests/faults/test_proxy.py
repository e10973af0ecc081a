"""The proxy itself, before a server that says everything back."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from functools import partial

import pytest

from tests.proxy import Proxy, Way

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
PATIENCE = 40  # seconds


class Echo:
    """What it `heard` on all connections, one after the other."""

    heard = b""


@pytest.fixture
async def echo() -> Echo:
    return Echo()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(100_000):
                echo.heard += data
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with (
        await asyncio.start_server(serve, "127.0.0.1", 0) as server,
        Proxy(f"echo://user:p%40@127.0.0.1:{server.sockets[0].getsockname()[1]}/path") as proxy,
    ):
        yield proxy


async def connect(proxy: Proxy) -> Streams:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def ask(streams: Streams, data: bytes) -> bytes:
    """The whole answer, or what came until the connection was cut."""
    reader, writer = streams
    writer.write(data)
    answer = b""
    try:
        while len(answer) < len(data) and (more := await asyncio.wait_for(reader.read(100_000), PATIENCE)):
            answer += more
    except ConnectionError:
        pass
    return answer


async def says_nothing(reader: asyncio.StreamReader) -> bool:
    done, _ = await asyncio.wait({reading := asyncio.create_task(reader.read(1))}, timeout=0.05)
    reading.cancel()
    await asyncio.wait({reading})
    return not done


class TestProxy:
    @pytest.fixture(autouse=True)
    async def close_all(self) -> AsyncIterator[None]:
        self.opened: list[Streams] = []
        yield
        for _, writer in self.opened:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def connect(self, proxy: Proxy) -> Streams:
        self.opened.append(await connect(proxy))
        return self.opened[-1]

    async def test_all_goes_through_and_so_does_the_end(self, proxy: Proxy) -> None:
        assert proxy.url == f"echo://user:p%40@127.0.0.1:{proxy.port}/path"
        reader, writer = client = await self.connect(proxy)
        assert await ask(client, b"x" * 5_000_000) == b"x" * 5_000_000
        writer.write_eof()
        assert await reader.read() == b""

    async def test_down_and_back(self, proxy: Proxy) -> None:
        client = await self.connect(proxy)
        assert await ask(client, b"here") == b"here"
        proxy.go_down()
        assert await ask(client, b"still?") == b""
        with pytest.raises(ConnectionRefusedError):
            await connect(proxy)
        await proxy.come_back()
        assert await ask(await self.connect(proxy), b"back") == b"back"

    async def test_cut(self, proxy: Proxy) -> None:
        clients = [await self.connect(proxy) for _ in range(2)]
        for client in clients:
            assert await ask(client, b"x") == b"x"
        assert proxy.connected == 2
        proxy.cut()
        assert [await ask(client, b"y") for client in clients] == [b"", b""]
        assert await ask(await self.connect(proxy), b"z") == b"z"

    async def test_stalled_from_the_start(self, proxy: Proxy, echo: Echo) -> None:
        proxy.stall()
        reader, writer = await self.connect(proxy)
        writer.write(b"x")
        assert await says_nothing(reader)
        assert echo.heard == b""
        proxy.go_on()
        assert await asyncio.wait_for(reader.read(1), PATIENCE) == b"x"

    @pytest.mark.parametrize("way", Way)
    async def test_stalled_one_way(self, proxy: Proxy, echo: Echo, way: Way) -> None:
        reader, writer = client = await self.connect(proxy)
        assert await ask(client, b"a") == b"a"
        proxy.stall(way)
        writer.write(b"b")
        assert await says_nothing(reader)
        assert echo.heard == (b"a" if way is Way.TO_SERVER else b"ab")
        proxy.go_on()
        assert await asyncio.wait_for(reader.read(1), PATIENCE) == b"b"

    async def test_after_so_many_bytes_to_the_server(self, proxy: Proxy, echo: Echo) -> None:
        cut = proxy.after(150_000, Way.TO_SERVER, proxy.cut)
        assert await ask(await self.connect(proxy), b"x" * 100_000) == b"x" * 100_000
        assert not cut.is_set()
        assert len(await ask(await self.connect(proxy), b"x" * 100_000)) <= 50_000
        await asyncio.wait_for(cut.wait(), PATIENCE)
        assert len(echo.heard) <= 150_000
        assert await ask(await self.connect(proxy), b"y" * 200_000) == b"y" * 200_000

    async def test_after_so_many_bytes_to_the_client(self, proxy: Proxy) -> None:
        stalled = proxy.after(3, Way.TO_CLIENT, proxy.stall)
        reader, writer = await self.connect(proxy)
        writer.write(b"12345")
        assert await asyncio.wait_for(reader.readexactly(3), PATIENCE) == b"123"
        await asyncio.wait_for(stalled.wait(), PATIENCE)
        assert await says_nothing(reader)
        proxy.go_on()
        assert await asyncio.wait_for(reader.readexactly(2), PATIENCE) == b"45"

    @pytest.mark.parametrize("pieces", [[b"one COMMIT two"], [b"one COM", b"MIT two"]])
    async def test_before_it_gets_there(self, proxy: Proxy, echo: Echo, pieces: list[bytes]) -> None:
        stalled = proxy.before(b"COMMIT", proxy.stall)
        client = await self.connect(proxy)
        assert await ask(client, b"COM") == b"COM"
        client[1].write(pieces[0])
        for piece in pieces[1:]:
            assert await asyncio.wait_for(client[0].readexactly(7), PATIENCE) == b"one COM"
            client[1].write(piece)
        await asyncio.wait_for(stalled.wait(), PATIENCE)
        assert echo.heard in (b"COMone ", b"COMone COM")
        proxy.cut()
        assert await ask(client, b"") == b""

    async def test_when_it_is_answered(self, proxy: Proxy, echo: Echo) -> None:
        cut = proxy.answering(b"COMMIT", proxy.go_down)
        client, other = await self.connect(proxy), await self.connect(proxy)
        assert await ask(client, b"one") == b"one"
        assert await ask(other, b"two") == b"two"
        assert not cut.is_set()
        assert await ask(client, b"COMMIT") == b""
        assert cut.is_set()
        assert echo.heard == b"onetwoCOMMIT"

    async def test_a_bit_that_is_flipped(self, proxy: Proxy, echo: Echo) -> None:
        client = await self.connect(proxy)
        flipped = proxy.after(2, Way.TO_SERVER, partial(proxy.corrupt, Way.TO_SERVER))
        assert await ask(client, b"1111") == b"1101"
        assert flipped.is_set()
        assert echo.heard == b"1101"
        assert await ask(client, b"1111") == b"1111"

    async def test_further_ports(self, proxy: Proxy) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port: int = free.getsockname()[1]
        async with Proxy("echo://127.0.0.1", {port: proxy.port, 0: proxy.port}) as further:
            for each in further.ports:
                client = await asyncio.open_connection("127.0.0.1", each)
                assert await ask(client, b"x") == b"x"
                client[1].close()
            further.go_down()
            for each in further.ports:
                with pytest.raises(OSError, match="Connect"):
                    await asyncio.open_connection("127.0.0.1", each)

    async def test_slow(self, proxy: Proxy) -> None:
        client = await self.connect(proxy)
        proxy.rate = 10_000
        begun = time.monotonic()
        assert await ask(client, b"x" * 3_000) == b"x" * 3_000
        assert time.monotonic() - begun > 0.2
        proxy.rate = None
        assert await ask(client, b"x" * 2_000_000) == b"x" * 2_000_000

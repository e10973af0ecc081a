"""Connections that break, servers that ask to wait, and bytes that are damaged on their way."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import drivebay
import httpx
import pytest

from entrypoints.client.flows.journal import PartialFile
from tests.benchmarks.transfers import pieces_of
from tests.contracts.blob_store import MIB
from tests.http.server import Server
from tests.http.wire import TOKEN
from tests.proxy import Proxy, Way
from tests.python_client.conftest import Clients, names_in

SIZE = int(os.environ.get("CUT_TRANSFER_MIB", "64")) * MIB
EACH = SIZE // 8  # bytes between two cuts


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[Proxy]:
    async with Proxy(server.url) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy: Proxy, clients: Clients) -> AsyncIterator[Any]:
    async with clients(proxy.url) as client:
        yield client


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of which no two MiB are alike."""
    path = tmp_path_factory.mktemp("large") / "file"
    with path.open("wb") as file:
        file.writelines(pieces_of(SIZE))
    return path


def uploads_in(server: Server, prefix: str) -> Any:
    """Return the uploads in progress."""
    with server.client() as client:
        return client.get("/v1/uploads", params={"prefix": prefix}).json()["uploads"]


class Cuts:
    """Cuts all connections each time that `EACH` bytes have passed."""

    def __init__(self, proxy: Proxy, way: Way) -> None:
        self.count = 0
        self._proxy, self._way = proxy, way
        self._arm()

    def _arm(self) -> None:
        self._proxy.after(EACH, self._way, self._cut)

    def _cut(self) -> None:
        self.count += 1
        self._proxy.cut()
        self._arm()


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def test_an_upload_goes_on_where_it_broke_off(client: Any, proxy: Proxy, prefix: str, large: Path) -> None:
    cuts = Cuts(proxy, Way.TO_SERVER)
    stored = await client.put(prefix, large, create_only=True)
    assert (stored.size, stored.sha256) == (SIZE, sha256(large))
    assert cuts.count >= 7
    # What was in the buffers of the system when a connection was cut is sent again.
    assert proxy.passed[Way.TO_SERVER] < SIZE + cuts.count * 4 * MIB
    assert (await client.head(prefix)).size == SIZE


async def test_a_stream_sends_again_only_what_was_not_kept(client: Any, proxy: Proxy, prefix: str, large: Path) -> None:
    cuts = Cuts(proxy, Way.TO_SERVER)
    with large.open("rb") as file:
        stored = await client.put(prefix, file)
    assert (stored.size, stored.sha256) == (SIZE, sha256(large))
    assert cuts.count >= 7


async def test_a_download_goes_on_where_it_broke_off(
    client: Any, server: Server, clients: Clients, proxy: Proxy, prefix: str, large: Path, tmp_path: Path
) -> None:
    async with clients(server.url) as direct:
        await direct.put(prefix, large)
    cuts = Cuts(proxy, Way.TO_CLIENT)
    await client.download(prefix, tmp_path / "file")
    assert sha256(tmp_path / "file") == sha256(large)
    # What is on its way when a connection is cut, and in the buffers of both sides, comes again.
    assert proxy.passed[Way.TO_CLIENT] < SIZE + cuts.count * 4 * 8 * MIB
    assert cuts.count >= 7
    found = hashlib.sha256()
    async with await client.get(prefix) as chunks:
        async for chunk in chunks:
            found.update(chunk)
    assert found.hexdigest() == sha256(large)
    assert cuts.count >= 15


class Stopped(BaseException):
    """As KeyboardInterrupt."""


class TestStreamsThatFail:
    """Nobody can go on with their uploads."""

    @pytest.mark.parametrize("error", [ValueError, Stopped])
    def test_in_a_program_that_blocks(self, server: Server, prefix: str, error: type[BaseException]) -> None:
        def data() -> Iterator[bytes]:
            yield bytes(9 * MIB)
            raise error

        with drivebay.Client(server.url, TOKEN) as client, pytest.raises(error):
            client.put(prefix, data())
        assert uploads_in(server, prefix) == []

    async def test_in_a_task_that_is_cancelled(self, server: Server, prefix: str) -> None:
        is_waiting = asyncio.Event()

        async def data() -> AsyncIterator[bytes]:
            yield bytes(17 * MIB)
            is_waiting.set()
            await asyncio.Event().wait()

        async with drivebay.AsyncClient(server.url, TOKEN) as client:
            task = asyncio.create_task(client.put(prefix, data()))
            await is_waiting.wait()
            assert len(await asyncio.to_thread(uploads_in, server, prefix)) == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await asyncio.to_thread(uploads_in, server, prefix) == []


class TestAnotherProcess:
    """What a run that failed has left is used by the next one."""

    async def test_goes_on_with_an_upload(
        self, proxy: Proxy, clients: Clients, prefix: str, large: Path, tmp_path: Path
    ) -> None:
        once = drivebay.Retries(attempts=1)
        proxy.after(SIZE // 2, Way.TO_SERVER, proxy.cut)
        async with clients(proxy.url, retries=once) as client:
            with pytest.raises(drivebay.ConnectionFailed):
                await client.put(prefix, large, journal=tmp_path / "journal")
        async with clients(proxy.url) as client:
            stored = await client.put(prefix, large, journal=tmp_path / "journal")
            assert proxy.passed[Way.TO_SERVER] < SIZE + 4 * MIB
            assert stored.sha256 == sha256(large)
            assert names_in(tmp_path) == []

    async def test_begins_again_if_the_bytes_are_others(
        self, server: Server, clients: Clients, prefix: str, tmp_path: Path
    ) -> None:
        path, journal = tmp_path / "file", tmp_path / "journal"
        async with Proxy(server.url) as proxy, clients(proxy.url, retries=drivebay.Retries(attempts=1)) as client:
            path.write_bytes(b"a" * 9 * MIB)
            proxy.after(5 * MIB, Way.TO_SERVER, proxy.cut)
            with pytest.raises(drivebay.ConnectionFailed):
                await client.put(prefix, path, journal=journal)
            assert journal.exists()
            path.write_bytes(b"b" * 9 * MIB)
            await client.put(prefix, path, journal=journal)
            assert await client.get_range(prefix, start=0, length=2) == b"bb"

    async def test_begins_again_if_the_blob_is_another(
        self, server: Server, clients: Clients, prefix: str, tmp_path: Path
    ) -> None:
        path, journal = tmp_path / "file", tmp_path / "journal"
        path.write_bytes(b"a" * 9 * MIB)
        async with Proxy(server.url) as proxy, clients(proxy.url, retries=drivebay.Retries(attempts=1)) as client:
            proxy.after(5 * MIB, Way.TO_SERVER, proxy.cut)
            with pytest.raises(drivebay.ConnectionFailed):
                await client.put(prefix + "a", path, journal=journal)
            stored = await client.put(prefix + "b", path, journal=journal)
            assert (await client.head(prefix + "b")).etag == stored.etag
            with pytest.raises(drivebay.NotFound):
                await client.head(prefix + "a")

    async def test_begins_again_if_the_server_has_forgotten_the_upload(
        self, server: Server, clients: Clients, prefix: str, tmp_path: Path
    ) -> None:
        path, journal = tmp_path / "file", tmp_path / "journal"
        path.write_bytes(b"a" * 9 * MIB)
        async with Proxy(server.url) as proxy, clients(proxy.url, retries=drivebay.Retries(attempts=1)) as client:
            proxy.after(5 * MIB, Way.TO_SERVER, proxy.cut)
            with pytest.raises(drivebay.ConnectionFailed):
                await client.put(prefix, path, journal=journal)
            with server.client() as other:
                [upload] = other.get("/v1/uploads", params={"prefix": prefix}).json()["uploads"]
                other.delete(f"/v1/uploads/{upload['upload']}")
            assert (await client.put(prefix, path, journal=journal)).size == 9 * MIB

    @pytest.mark.parametrize("since", ["nothing", "moved", "deleted", "replaced"])
    @pytest.mark.parametrize("condition", ["none", "create_only", "if_match"])
    async def test_whose_upload_was_stored_before_the_response_was_lost(
        self, server: Server, clients: Clients, prefix: str, tmp_path: Path, since: str, condition: str
    ) -> None:
        path, journal, options = tmp_path / "file", tmp_path / "journal", {}
        path.write_bytes(os.urandom(9 * MIB))
        async with clients(server.url) as other, Proxy(server.url) as proxy:
            if condition == "if_match":
                options = {"if_match": (await other.put(prefix + "a", b"before")).etag}
            elif condition == "create_only":
                options = {"create_only": True}
            lost = proxy.answering(b"upload-complete: ?1", proxy.cut)
            async with clients(proxy.url, retries=drivebay.Retries(attempts=1)) as client:
                with pytest.raises(drivebay.ConnectionFailed):
                    await client.put(prefix + "a", path, journal=journal, **options)
            assert (lost.is_set(), journal.exists()) == (True, True)
            first = await other.head(prefix + "a")
            assert first.size == 9 * MIB
            if since == "moved":
                await other.rename(prefix + "a", prefix + "b")
            elif since == "deleted":
                await other.delete(prefix + "a")
            elif since == "replaced":
                await other.put(prefix + "a", b"newer")
            sent = proxy.passed[Way.TO_SERVER]
            async with clients(proxy.url) as client:
                holds = {"none": True, "create_only": since != "replaced", "if_match": False}[condition]
                if since == "nothing" or holds:
                    stored = await client.put(prefix + "a", path, journal=journal, **options)
                    current = await other.head(prefix + "a")
                    assert (current.etag, current.size) == (stored.etag, 9 * MIB)
                else:
                    with pytest.raises((drivebay.PreconditionFailed, drivebay.AlreadyExists, drivebay.NotFound)):
                        await client.put(prefix + "a", path, journal=journal, **options)
                if since == "nothing":
                    assert stored.etag == first.etag
                    assert proxy.passed[Way.TO_SERVER] - sent < MIB
            assert names_in(tmp_path) == ["file"]

    async def test_forgets_why_an_earlier_upload_was_refused(
        self, server: Server, clients: Clients, prefix: str, tmp_path: Path
    ) -> None:
        path, journal = tmp_path / "file", tmp_path / "journal"
        path.write_bytes(bytes(9 * MIB))
        async with clients(server.url) as other, Proxy(server.url) as proxy:
            async with clients(proxy.url, retries=drivebay.Retries(attempts=1)) as client:
                proxy.after(5 * MIB, Way.TO_SERVER, proxy.cut)
                with pytest.raises(drivebay.ConnectionFailed):
                    await client.put(prefix, path, journal=journal, create_only=True)
                await other.put(prefix, b"faster")
                proxy.answering(b"upload-complete: ?1", proxy.cut)
                with pytest.raises(drivebay.ConnectionFailed):
                    await client.put(prefix, path, journal=journal, create_only=True)
                await other.delete(prefix)
                stored = await client.put(prefix, path, journal=journal, create_only=True)
            assert (await other.head(prefix)).etag == stored.etag

    @pytest.mark.parametrize("actions", [None, ["read"]], ids=["expired", "for reading only"])
    async def test_goes_on_with_an_upload_after_a_run_with_a_wrong_token(
        self, server: Server, clients: Clients, prefix: str, tmp_path: Path, actions: list[str] | None
    ) -> None:
        path, journal, token = tmp_path / "file", tmp_path / "journal", "expired"
        path.write_bytes(os.urandom(24 * MIB))
        if actions:
            with server.client() as admin:
                token = admin.post("/v1/keys", json={"name": "k", "actions": actions}).json()["token"]
        async with Proxy(server.url) as proxy:
            proxy.after(16 * MIB, Way.TO_SERVER, proxy.cut)
            async with clients(proxy.url, retries=drivebay.Retries(attempts=1)) as client:
                with pytest.raises(drivebay.ConnectionFailed):
                    await client.put(prefix, path, journal=journal)
            async with clients(proxy.url, token) as wrong:
                with pytest.raises((drivebay.Unauthorized, drivebay.Forbidden)):
                    await wrong.put(prefix, path, journal=journal)
            async with clients(proxy.url) as client:
                assert (await client.put(prefix, path, journal=journal)).sha256 == sha256(path)
            assert proxy.passed[Way.TO_SERVER] < 36 * MIB

    async def test_goes_on_with_an_upload_once_there_is_space(
        self, server: Server, clients: Clients, prefix: str, tmp_path: Path
    ) -> None:
        path, journal = tmp_path / "file", tmp_path / "journal"
        path.write_bytes(os.urandom(12 * MIB))
        with server.client() as admin:
            new = {"name": "k", "actions": ["read", "write", "delete"], "limits": {"quota_bytes": 20 * MIB}}
            token = admin.post("/v1/keys", json=new).json()["token"]
        async with Proxy(server.url) as proxy, clients(proxy.url, token) as client:

            def fill(done: int, _: int | None) -> None:
                if done == 8 * MIB:
                    with server.client(token) as other:
                        other.put(f"/v1/blobs/{prefix}other", content=bytes(9 * MIB)).raise_for_status()

            with pytest.raises(drivebay.NoSpace):
                await client.put(prefix, path, journal=journal, progress=fill)
            with pytest.raises(drivebay.NoSpace):
                await client.put(prefix, path, journal=journal)
            await client.delete(prefix + "other")
            await client.put(prefix, path, journal=journal)
            assert proxy.passed[Way.TO_SERVER] < 13 * MIB
            assert names_in(tmp_path) == ["file"]

    @pytest.mark.parametrize("source", ["file", "file with a journal", "stream"])
    async def test_discards_an_upload_that_nothing_goes_on_with(
        self, server: Server, clients: Clients, prefix: str, tmp_path: Path, source: str
    ) -> None:
        path, journal = tmp_path / "file", tmp_path / "journal" if "journal" in source else None
        path.write_bytes(os.urandom(9 * MIB))
        data = iter([path.read_bytes()]) if source == "stream" else path
        with server.client() as other:

            def create(done: int, _: int | None) -> None:
                if done == 8 * MIB:
                    other.put(f"/v1/blobs/{prefix}", content=b"faster")

            async with clients(server.url) as client:
                with pytest.raises(drivebay.AlreadyExists):
                    await client.put(prefix, data, journal=journal, create_only=True, progress=create)
        assert uploads_in(server, prefix) == []
        assert names_in(tmp_path) == ["file"]

    async def test_goes_on_with_a_download(
        self, server: Server, clients: Clients, prefix: str, large: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "file"
        async with clients(server.url) as direct:
            await direct.put(prefix, large)
        async with Proxy(server.url) as proxy:
            proxy.after(SIZE * 3 // 4, Way.TO_CLIENT, proxy.cut)
            async with clients(proxy.url, retries=drivebay.Retries(attempts=1)) as client:
                with pytest.raises(drivebay.ConnectionFailed):
                    await client.download(prefix, path)
            assert not path.exists()
            left = proxy.passed[Way.TO_CLIENT]
            async with clients(proxy.url) as client:
                await client.download(prefix, path)
            assert proxy.passed[Way.TO_CLIENT] - left < SIZE * 7 // 8
        assert sha256(path) == sha256(large)
        assert names_in(tmp_path) == ["file"]

    async def test_begins_again_if_the_blob_is_another_or_the_file_is_damaged(
        self, client: Any, prefix: str, tmp_path: Path
    ) -> None:
        data, path = os.urandom(20 * MIB), tmp_path / "file"
        stored = await client.put(prefix, data)
        part, state = (tmp_path / f".file.drivebay-part{end}" for end in ("", ".state"))
        for etag in (stored.etag, '"other"'):
            part.write_bytes(bytes(20 * MIB))
            state.write_text(f'{{"etag": {etag!r}, "size": {20 * MIB}, "block": {8 * MIB}}}\n0\n1\n'.replace("'", '"'))
            if etag == stored.etag:
                quoted = etag.replace('"', '\\"')
                state.write_text(f'{{"etag": "{quoted}", "size": {20 * MIB}, "block": {8 * MIB}}}\n0\n1\n')
            await client.download(prefix, path)
            assert path.read_bytes() == data


async def test_two_downloads_of_the_same_file(client: Any, prefix: str, tmp_path: Path) -> None:
    stored = await client.put(prefix, b"x" * MIB)
    other = PartialFile(tmp_path / "file", stored.etag, MIB, 8 * MIB)
    other.open()
    with pytest.raises(BlockingIOError, match="Another process"):
        await client.download(prefix, tmp_path / "file")
    other.close()
    await client.download(prefix, tmp_path / "file")
    assert names_in(tmp_path) == ["file"]


class TestOneVersion:
    async def test_a_blob_that_is_replaced_while_it_is_read(
        self, server: Server, client: Any, proxy: Proxy, prefix: str
    ) -> None:
        with server.client() as other:
            other.put(f"/v1/blobs/{prefix}", content=b"a" * 40 * MIB)
            cut = proxy.after(10 * MIB, Way.TO_CLIENT, proxy.cut)
            async with await client.get(prefix) as found:
                chunks = aiter(found)
                await anext(chunks)
                other.put(f"/v1/blobs/{prefix}", content=b"b" * 40 * MIB)
                with pytest.raises(drivebay.BlobChanged):
                    async for _ in chunks:
                        pass
        assert cut.is_set()

    async def test_a_blob_that_is_replaced_while_a_file_is_fetched(
        self, server: Server, client: Any, proxy: Proxy, prefix: str, tmp_path: Path
    ) -> None:
        with server.client() as other:
            other.put(f"/v1/blobs/{prefix}", content=b"a" * 20 * MIB)
            before = await client.head(prefix)
            other.put(f"/v1/blobs/{prefix}", content=b"b" * 20 * MIB)
        with pytest.raises(drivebay.BlobChanged):
            await client.download(prefix, tmp_path / "file", known=before)
        assert names_in(tmp_path) == []

    async def test_a_response_with_another_version(self, clients: Clients, tmp_path: Path) -> None:
        """As from a cache that confuses versions, or from a connection that two processes share."""
        headers = {"etag": '"b-1"', "content-range": "bytes 0-2/3", "content-length": "3"}
        transport = httpx.MockTransport(lambda _: httpx.Response(206, headers=headers, stream=httpx.ByteStream(b"bbb")))
        async with clients("http://127.0.0.1", transport=transport) as client:
            for if_match in ('"a-1"', '"a-1", "bb-1"'):
                with pytest.raises(drivebay.DrivebayError, match="another version"):
                    await client.get_range("a", start=0, length=3, if_match=if_match)
                with pytest.raises(drivebay.DrivebayError, match="another version"):
                    await client.get("a", if_match=if_match)
            with pytest.raises(drivebay.DrivebayError, match="another version"):
                await client.download("a", tmp_path / "file", known=drivebay.BlobMeta("a", 3, '"a-1"'))
            for right in (None, "*", '"b-1"', '"a-1", "b-1"'):
                assert await client.get_range("a", start=0, length=3, if_match=right) == b"bbb"


class TestDamage:
    async def test_a_bit_that_flips_on_the_way_to_the_server(self, client: Any, proxy: Proxy, prefix: str) -> None:
        proxy.after(5 * MIB, Way.TO_SERVER, lambda: proxy.corrupt(Way.TO_SERVER))
        with pytest.raises(drivebay.DigestMismatch):
            await client.put(prefix, os.urandom(6 * MIB))
        proxy.after(5 * MIB, Way.TO_SERVER, lambda: proxy.corrupt(Way.TO_SERVER))
        with pytest.raises(drivebay.DigestMismatch):
            await client.put(prefix, os.urandom(12 * MIB))
        with pytest.raises(drivebay.NotFound):
            await client.head(prefix)

    async def test_a_bit_that_flips_in_a_stream_is_sent_again(self, client: Any, proxy: Proxy, prefix: str) -> None:
        data = os.urandom(20 * MIB)
        proxy.after(5 * MIB, Way.TO_SERVER, lambda: proxy.corrupt(Way.TO_SERVER))
        await client.put(prefix, iter([data]))
        async with await client.get(prefix) as found:
            assert await found.read() == data

    async def test_a_bit_that_flips_on_the_way_back(
        self, server: Server, client: Any, proxy: Proxy, prefix: str, tmp_path: Path
    ) -> None:
        with server.client() as other:
            other.put(f"/v1/blobs/{prefix}", content=os.urandom(2 * MIB))
        proxy.after(MIB, Way.TO_CLIENT, lambda: proxy.corrupt(Way.TO_CLIENT))
        async with await client.get(prefix) as found:
            with pytest.raises(drivebay.DigestMismatch):
                await found.read()
        proxy.after(MIB, Way.TO_CLIENT, lambda: proxy.corrupt(Way.TO_CLIENT))
        with pytest.raises(drivebay.DigestMismatch):
            await client.download(prefix, tmp_path / "file")
        assert names_in(tmp_path) == []


class TestRepetition:
    async def test_a_lost_response_does_not_make_a_condition_fail(self, client: Any, proxy: Proxy, prefix: str) -> None:
        lost = proxy.answering(b"upload-complete: ?1", proxy.cut)
        stored = await client.put(prefix, b"x", create_only=True)
        assert lost.is_set()
        assert (await client.head(prefix)).etag == stored.etag

    async def test_a_lost_response_to_a_delete(self, client: Any, proxy: Proxy, prefix: str) -> None:
        await client.put(prefix, b"x")
        lost = proxy.answering(b"DELETE ", proxy.cut)
        await client.delete(prefix)
        assert lost.is_set()

    async def test_a_move_with_an_unknown_outcome_is_not_repeated(self, client: Any, proxy: Proxy, prefix: str) -> None:
        await client.put(prefix + "a", b"x")
        proxy.answering(b"POST /v1/move", proxy.cut)
        with pytest.raises(drivebay.ConnectionFailed) as failed:
            await client.rename(prefix + "a", prefix + "b")
        assert failed.value.was_sent
        assert (await client.head(prefix + "b")).size == 1

    async def test_nobody_listens(self, client: Any, proxy: Proxy) -> None:
        proxy.go_down()
        with pytest.raises(drivebay.ConnectionFailed) as failed:
            await client.rename("a", "b")
        assert not failed.value.was_sent

    async def test_a_server_that_asks_to_wait(self, server: Server, clients: Clients, prefix: str) -> None:
        with server.client() as admin:
            limits = {"requests_per_second": 1}
            key = admin.post("/v1/keys", json={"name": "k", "actions": ["list"], "limits": limits}).json()
        async with clients(server.url, key["token"]) as slow:
            began = asyncio.get_running_loop().time()
            for _ in range(3):
                assert [each async for each in slow.list(prefix)] == []
            assert asyncio.get_running_loop().time() - began > 1
        async with clients(server.url, key["token"], retries=drivebay.Retries(attempts=1)) as hasty:
            requests = (hasty.list_with_delimiter(prefix) for _ in range(4))
            answers = await asyncio.gather(*requests, return_exceptions=True)  # all end before the client is closed
            refused = [each for each in answers if isinstance(each, drivebay.RateLimited)]
            assert refused
            assert refused[0].retry_after == 1


async def test_a_file_that_becomes_shorter(client: Any, prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(20 * MIB))

    def shorten(done: int, _: int | None) -> None:
        if done:
            os.truncate(path, 10)

    with pytest.raises(drivebay.BadRequest, match="shorter"):
        await client.put(prefix, path, progress=shorten)

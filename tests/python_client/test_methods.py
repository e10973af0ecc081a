"""Each method of both clients."""

import asyncio
import hashlib
import io
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import drivebay
import httpx
import pytest

from entrypoints.client.flows.retrying import is_temporary
from tests.contracts.blob_store import MIB
from tests.http.server import Server
from tests.http.wire import TOKEN
from tests.owners import another_owner
from tests.python_client.conftest import Clients, names_in

STRANGE = ["..", ".", "a//b", "/a", "a/", "ü ?#%2F&+", "../../x", "https://example.com/x"]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def get(url: str, password: str = "") -> httpx.Response:
    """Fetch without the client."""
    async with httpx.AsyncClient() as http:
        return await http.get(url, auth=("", password) if password else None)


async def read(client: Any, blob_id: str) -> bytes:
    async with await client.get(blob_id) as found:
        data: bytes = await found.read()
        return data


class TestPut:
    @pytest.mark.parametrize("size", [0, 1, 8 * MIB, 8 * MIB + 1, 20 * MIB])
    async def test_bytes_files_and_streams_of_any_size(
        self, client: Any, prefix: str, tmp_path: Path, size: int
    ) -> None:
        data = os.urandom(size)
        (tmp_path / "file").write_bytes(data)
        pieces = [data[at : at + 300_000] for at in range(0, size, 300_000)]
        for kind, given in (
            ("bytes", data),
            ("path", tmp_path / "file"),
            ("open file", io.BytesIO(data)),
            ("iterator", iter(pieces)),
        ):
            seen = list[tuple[int, int | None]]()
            stored = await client.put(prefix + kind, given, progress=lambda *at, seen=seen: seen.append(at))
            assert (stored.id, stored.size, stored.sha256) == (prefix + kind, size, sha256(data))
            assert seen[-1][0] == size
            meta = await client.head(prefix + kind)
            assert (meta.size, meta.etag) == (size, stored.etag)
            assert await read(client, prefix + kind) == data

    async def test_properties(self, client: Any, prefix: str) -> None:
        later = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
        properties = {
            "content_type": "text/plain",
            "metadata": {"author": "Ada ü", "n": " 0 "},
            "content_encoding": "gzip",
            "cache_control": "no-store",
            "content_disposition": "inline; filename=a",
            "expires_at": later,
        }
        for blob_id, options in ((prefix + "a", {}), (prefix + "b", {"create_only": True})):
            await client.put(blob_id, b"x", **properties, **options)
            for meta in (await client.head(blob_id), *[each async for each in client.list(blob_id, metadata=True)]):
                shown = {name: getattr(meta, name) for name in properties}
                assert shown == {**properties, "metadata": {"author": "Ada ü", "n": " 0 "}}
        await client.put(prefix + "c", b"x", expires_in=100)
        assert (await client.head(prefix + "c")).expires_at is not None

    @pytest.mark.parametrize("data", [b"new", b"n" * (9 * MIB)], ids=["small", "large"])
    async def test_conditions(self, client: Any, prefix: str, data: bytes) -> None:
        first = await client.put(prefix, b"old", create_only=True)
        with pytest.raises(drivebay.AlreadyExists):
            await client.put(prefix, data, create_only=True)
        with pytest.raises(drivebay.AlreadyExists):
            await client.put(prefix, iter([data]), create_only=True)
        with pytest.raises(drivebay.PreconditionFailed):
            await client.put(prefix, data, if_match='"other"')
        assert await read(client, prefix) == b"old"
        await client.put(prefix, data, if_match=first.etag)
        assert await read(client, prefix) == data

    @pytest.mark.parametrize("blob_id", STRANGE)
    async def test_any_id(self, client: Any, prefix: str, blob_id: str) -> None:
        for name in (prefix + blob_id, blob_id):
            await client.put(name, name.encode())
            assert await read(client, name) == name.encode()
            await client.delete(name)

    async def test_what_cannot_be_put(self, client: Any, prefix: str, tmp_path: Path) -> None:
        with pytest.raises(TypeError, match="encode"):
            await client.put(prefix, "text")
        with pytest.raises(ValueError, match="not a file"):
            await client.put(prefix, tmp_path)
        with pytest.raises(FileNotFoundError):
            await client.put(prefix, tmp_path / "none")
        with pytest.raises(ValueError, match="empty"):
            await client.put("", b"")
        with pytest.raises(ValueError, match="UTF-8"):
            await client.put("\udcff", b"")
        with pytest.raises(ValueError, match="exclude"):
            await client.put(prefix, b"", create_only=True, if_match='"x"')
        with pytest.raises(drivebay.BadRequest) as refused:
            await client.put("a\nb", b"")
        assert refused.value.code == "invalid_id"

    async def test_a_journal_that_cannot_be_written(self, client: Any, prefix: str, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(bytes(9 * MIB))
        stored = await client.put(prefix, path, journal=path / "journal")
        assert (await client.head(prefix)).etag == stored.etag
        assert names_in(tmp_path) == ["file"]

    async def test_a_stream_that_has_no_bytes_yet(self, client: Any, prefix: str) -> None:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        os.write(writing, b"first")
        with os.fdopen(reading, "rb", buffering=0) as file, pytest.raises(BlockingIOError, match="set_blocking"):
            await client.put(prefix, file)
        os.close(writing)
        with pytest.raises(TypeError):
            await client.put(prefix, iter([b"first", None]))
        with pytest.raises(drivebay.NotFound):
            await client.head(prefix)

    async def test_an_asynchronous_iterator(self, server: Server, clients: Clients, prefix: str) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"Hello "
            yield b"World!"

        async with clients(server.url) as client:
            if isinstance(client, drivebay.AsyncClient):
                await client.put(prefix, chunks())
                assert await read(client, prefix) == b"Hello World!"
            else:
                with pytest.raises(TypeError, match="AsyncClient"):
                    await client.put(prefix, chunks())


class TestGet:
    async def test_a_blob_and_its_ranges(self, client: Any, prefix: str) -> None:
        data = bytes(range(256)) * 10_000
        stored = await client.put(prefix, data)
        async with await client.get(prefix) as whole:
            assert (whole.meta.sha256, whole.size) == (sha256(data), len(data))
            assert b"".join([chunk async for chunk in whole]) == data
        async with await client.get(prefix, start=5, end=10, if_match=stored.etag) as part:
            assert (part.size, await part.read()) == (5, data[5:10])
        async with await client.get(prefix, start=len(data) - 3) as end:
            assert (end.size, await end.read()) == (3, data[-3:])
        assert await client.get_range(prefix, start=7, length=3) == data[7:10]
        assert await client.get_range(prefix, start=7, end=7) == b""
        assert await client.get_range(prefix, start=7, end=10**9) == data[7:]
        assert await client.get_ranges(prefix, starts=[0, 100], lengths=[2, 3]) == [data[:2], data[100:103]]
        assert await client.get_ranges(prefix, starts=[], ends=[]) == []

    async def test_what_is_refused(self, client: Any, prefix: str) -> None:
        with pytest.raises(FileNotFoundError) as missing:
            await client.get(prefix)
        assert isinstance(missing.value, drivebay.NotFound)
        assert (missing.value.code, missing.value.status) == ("not_found", 404)
        assert missing.value.problem["title"] == "Not Found"
        await client.put(prefix, b"abc")
        with pytest.raises(drivebay.RangeNotSatisfiable):
            await client.get_range(prefix, start=3, length=1)
        with pytest.raises(drivebay.PreconditionFailed):
            await client.get(prefix, if_match='"other"')
        with pytest.raises(ValueError, match="range"):
            await client.get(prefix, start=3, end=2)
        with pytest.raises(ValueError, match="end, or a length"):
            await client.get_range(prefix, start=3)

    @pytest.mark.parametrize("size", [0, 5, 20 * MIB])
    async def test_into_a_file(self, client: Any, prefix: str, tmp_path: Path, size: int) -> None:
        data, path, seen = os.urandom(size), tmp_path / "file", list[tuple[int, int | None]]()
        await client.put(prefix, data)
        path.write_bytes(b"before")
        meta = await client.download(prefix, path, progress=lambda *at: seen.append(at))
        assert (path.read_bytes() == data, meta.size) == (True, size)
        assert (seen[0], max(seen)) == ((0, size), (size, size))
        assert names_in(tmp_path) == ["file"]
        with pytest.raises(IsADirectoryError):
            await client.download(prefix, tmp_path)

    @pytest.mark.parametrize("size", [0, 5, 9 * MIB])
    async def test_into_a_pipe(self, client: Any, prefix: str, tmp_path: Path, size: int) -> None:
        data, path, seen = os.urandom(size), tmp_path / "pipe", list[tuple[int, int | None]]()
        await client.put(prefix, data)
        os.mkfifo(path)
        download = asyncio.create_task(client.download(prefix, path, progress=lambda *at: seen.append(at)))
        await asyncio.sleep(0.2)  # it waits for a reader
        reader = await asyncio.create_subprocess_exec("cat", path, stdout=asyncio.subprocess.PIPE)
        try:
            assert (await asyncio.wait_for(reader.communicate(), 20))[0] == data
        finally:
            if reader.returncode is None:
                reader.kill()
        assert ((await download).size, seen[-1]) == (size, (size, size))
        assert (names_in(tmp_path), path.is_fifo()) == (["pipe"], True)
        with pytest.raises(FileExistsError, match="not a file"):
            await client.download(prefix, path, follow_symlinks=False)
        assert path.is_fifo()

    async def test_into_a_pipe_whose_reader_ends(self, client: Any, prefix: str, tmp_path: Path) -> None:
        await client.put(prefix, bytes(9 * MIB))
        os.mkfifo(path := tmp_path / "pipe")
        download = asyncio.create_task(client.download(prefix, path))
        reader = await asyncio.create_subprocess_exec("head", "-c", "10", path, stdout=asyncio.subprocess.PIPE)
        try:
            assert (await asyncio.wait_for(reader.communicate(), 20))[0] == bytes(10)
        finally:
            if reader.returncode is None:
                reader.kill()
        with pytest.raises(BrokenPipeError, match=str(path)):
            await download

    async def test_into_a_device(self, client: Any, prefix: str) -> None:
        await client.put(prefix, b"Hello")
        ours, theirs = os.openpty()
        await client.download(prefix, Path(os.ttyname(theirs)))
        assert os.read(ours, 5) == b"Hello"
        os.close(ours)
        os.close(theirs)

    async def test_into_what_a_link_points_to(self, client: Any, prefix: str, tmp_path: Path) -> None:
        await client.put(prefix, b"new")
        (tmp_path / "links").mkdir()
        link, file = tmp_path / "links" / "link", tmp_path / "file"
        link.symlink_to("../file")
        for before in (None, b"old"):  # one that leads nowhere makes the file
            if before is not None:
                file.write_bytes(before)
            await client.download(prefix, link)
            assert (link.is_symlink(), file.read_bytes()) == (True, b"new")
        file.write_bytes(b"old")
        await client.download(prefix, link, follow_symlinks=False)
        assert (link.is_symlink(), link.read_bytes(), file.read_bytes()) == (False, b"new", b"old")
        assert (names_in(tmp_path), names_in(link.parent)) == (["file", "links"], ["link"])

    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o400])
    async def test_permissions_are_kept(self, client: Any, prefix: str, tmp_path: Path, mode: int) -> None:
        await client.put(prefix, bytes(9 * MIB))
        path, part, seen = tmp_path / "file", tmp_path / ".file.drivebay-part", set[int]()
        path.write_bytes(b"before")
        path.chmod(mode)
        part.write_bytes(b"")  # of an earlier run, when there was no file yet
        part.chmod(0o644)

        def look(done: int, total: int | None) -> None:
            seen.add(part.stat().st_mode & 0o777)

        await client.download(prefix, path, progress=look)
        assert (path.stat().st_size, path.stat().st_mode & 0o777) == (9 * MIB, mode)
        assert seen == {0o600}

    async def test_the_owner_is_kept(self, client: Any, prefix: str, tmp_path: Path) -> None:
        await client.put(prefix, b"new")
        (tmp_path / "file").write_bytes(b"before")
        os.chown(tmp_path / "file", *another_owner())
        await client.download(prefix, tmp_path / "file")
        status = (tmp_path / "file").stat()
        assert (status.st_uid, status.st_gid, status.st_size) == (*another_owner(), 3)


class TestLists:
    async def test_pages(self, client: Any, prefix: str) -> None:
        names = [f"{prefix}{number:04}" for number in range(1001)]
        await client.put(names[0], b"x")
        for start in range(1, 1001, 500):
            copies = [{"copy": {"from": names[0], "to": name}} for name in names[start : start + 500]]
            await client.commit(copies)
        assert [meta.id async for meta in client.list(prefix)] == names
        assert len((await client.list_with_delimiter(prefix)).blobs) == 1001
        assert await client.delete_prefix(prefix, dry_run=True) == 1001
        assert await client.delete_prefix(prefix) == 1001
        assert [meta async for meta in client.list(prefix)] == []

    async def test_folders(self, client: Any, prefix: str) -> None:
        for name in ("a", "b/1", "b/2", "c/d/e"):
            await client.put(prefix + name, b"x")
        found = await client.list_with_delimiter(prefix)
        assert [meta.id for meta in found.blobs] == [prefix + "a"]
        assert found.prefixes == [prefix + "b/", prefix + "c/"]


class TestChanges:
    async def test_copy_rename_and_delete(self, client: Any, prefix: str) -> None:
        a, b, c = (prefix + name for name in "abc")
        stored = await client.put(a, b"x")
        assert (await client.copy(a, b)).id == b
        with pytest.raises(drivebay.AlreadyExists):
            await client.copy(a, b, overwrite=False)
        with pytest.raises(drivebay.PreconditionFailed):
            await client.rename(a, c, if_match='"other"')
        assert (await client.rename(a, c, if_match=stored.etag)).etag == stored.etag
        with pytest.raises(drivebay.NotFound):
            await client.head(a)
        with pytest.raises(drivebay.PreconditionFailed):
            await client.delete(c, if_match='"other"')
        await client.delete(c, if_match=stored.etag)
        with pytest.raises(drivebay.NotFound):
            await client.delete(c)
        assert await client.rename_prefix(b, c) == 1
        assert [meta.id async for meta in client.list(prefix)] == [c]

    async def test_a_commit_is_all_or_nothing(self, client: Any, prefix: str) -> None:
        await client.put(prefix + "a", b"x")
        await client.put(prefix + "old", b"x")
        copied = {"copy": {"from": prefix + "a", "to": prefix + "b"}}
        with pytest.raises(drivebay.NotFound) as refused:
            await client.commit([copied, {"delete": {"id": prefix + "none"}}])
        assert refused.value.problem["operation"] == 1
        found = await client.commit([copied, {"delete": {"id": prefix + "old"}}])
        assert [each and each.id for each in found] == [prefix + "b", None]


class TestAccess:
    async def test_signed_urls(self, client: Any, prefix: str) -> None:
        await client.put(prefix, b"x")
        signed = await client.sign("GET", prefix, expires_in=60, filename="a.txt")
        assert timedelta(0) < signed.expires_at - datetime.now(UTC) <= timedelta(seconds=60)
        assert (await get(signed.url)).content == b"x"
        to_put = await client.sign("PUT", prefix=prefix, max_bytes=3)
        async with httpx.AsyncClient() as http:
            assert (await http.put(to_put.url.replace("{name}", "new"), content=b"1234")).status_code == 413

    async def test_links(self, client: Any, prefix: str) -> None:
        await client.put(prefix, b"x")
        link = await client.share(prefix, password="secret", max_uses=3)
        assert (await get(link.url, "secret")).content == b"x"
        await client.revoke_share(link.share)
        assert (await get(link.url, "secret")).status_code == 404

    async def test_tokens(self, server: Server, clients: Clients, prefix: str) -> None:
        for token in (None, "wrong"):
            async with clients(server.url, token) as stranger:
                with pytest.raises(drivebay.Unauthorized) as refused:
                    await stranger.head(prefix)
                assert refused.value.code == "unauthorized"
        with server.client() as admin:
            key = admin.post("/v1/keys", json={"name": "k", "actions": ["read"]}).json()
        async with clients(server.url, key["token"]) as reader:
            with pytest.raises(PermissionError) as forbidden:
                await reader.put(prefix, b"")
            assert isinstance(forbidden.value, drivebay.Forbidden)

    @pytest.mark.parametrize("around", ["{}\r", "{}\n", " {} \r\n"])
    async def test_white_space_around_a_token(self, server: Server, clients: Clients, prefix: str, around: str) -> None:
        async with clients(server.url, around.format(TOKEN)) as client:
            assert [each async for each in client.list(prefix)] == []

    @pytest.mark.parametrize("token", ["sec\rret", "sec\x00ret", "sec\x7fret", "secrèt", "sec\u2028ret"])
    async def test_what_is_no_token(self, server: Server, clients: Clients, token: str) -> None:
        with pytest.raises(ValueError, match="characters that a token can't have") as refused:
            clients(server.url, token)
        assert token not in f"{refused.value!r} {refused.value.__cause__!r} {refused.value.__context__!r}"

    async def test_secrets_in_headers_are_not_shown(self, server: Server, clients: Clients, prefix: str) -> None:
        async with clients(server.url, None, headers={"authorization": "Bearer sec\rret"}) as client:
            for request in (client.head(prefix), client.get(prefix)):
                with pytest.raises(drivebay.BadRequest) as refused:
                    await request
                assert "ret" not in str(refused.value)
                assert not is_temporary(refused.value)

    async def test_urls_of_no_server(self, clients: Clients) -> None:
        for url in ("files.example.com", "ftp://example.com", "https://", "http://example.com\r", "http://a:b"):
            with pytest.raises(ValueError, match="not the URL of a server"):
                clients(url)


def test_the_blocking_client_is_a_context(server: Server, prefix: str) -> None:
    with drivebay.Client(server.url, "test-token-of-nobody") as client, pytest.raises(drivebay.Unauthorized):
        client.head(prefix)

"""`drivebay://`: fsspec's suite for file systems, and what goes beyond it."""

import asyncio
import gc
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import drivebay
import fsspec
import pytest
from fsspec.tests.abstract import AbstractFixtures
from fsspec.tests.abstract.copy import AbstractCopyTests
from fsspec.tests.abstract.get import AbstractGetTests
from fsspec.tests.abstract.open import AbstractOpenTests
from fsspec.tests.abstract.pipe import AbstractPipeTests
from fsspec.tests.abstract.put import AbstractPutTests

from entrypoints.client.filesystem import DrivebayFileSystem, files
from entrypoints.client.flows.blobs import json_of
from entrypoints.client.flows.commands import Call
from entrypoints.client.flows.retrying import send
from tests.contracts.blob_store import MIB
from tests.http.server import Server
from tests.http.wire import TOKEN
from tests.proxy import Proxy


@pytest.fixture
def fs(server: Server) -> Any:
    return fsspec.filesystem("drivebay", endpoint_url=server.url, token=TOKEN)


class Fixtures(AbstractFixtures):  # type: ignore[misc]
    @pytest.fixture
    def fs(self, server: Server) -> Any:
        return fsspec.filesystem("drivebay", endpoint_url=server.url, token=TOKEN)

    @pytest.fixture
    def fs_path(self, fs: Any, prefix: str) -> Iterator[str]:
        yield prefix + "suite"
        fs.client.delete_prefix(prefix)

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False


class TestCopy(AbstractCopyTests, Fixtures):  # type: ignore[misc]
    pass


class TestGet(AbstractGetTests, Fixtures):  # type: ignore[misc]
    pass


class TestOpen(AbstractOpenTests, Fixtures):  # type: ignore[misc]
    pass


class TestPipe(AbstractPipeTests, Fixtures):  # type: ignore[misc]
    pass


class TestPut(AbstractPutTests, Fixtures):  # type: ignore[misc]
    pass


def test_it_is_registered(server: Server, prefix: str) -> None:
    url, options = f"drivebay://{prefix}a", {"endpoint_url": server.url, "token": TOKEN}
    with fsspec.open(url, "wt", encoding="utf-8", **options) as file:
        file.write("ü\n")
    with fsspec.open(url, "rt", encoding="utf-8", **options) as file:
        assert file.read() == "ü\n"
    fs, path = fsspec.url_to_fs(url, **options)
    assert (type(fs), path) == (DrivebayFileSystem, f"{prefix}a")
    assert pickle.loads(pickle.dumps(fs)).cat_file(path) == "ü\n".encode()  # noqa: S301 - our own


def test_without_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRIVEBAY_URL", raising=False)
    with pytest.raises(ValueError, match="DRIVEBAY_URL"):
        DrivebayFileSystem(skip_instance_cache=True)


@pytest.mark.parametrize("size", [0, 5, 20 * MIB])
def test_files_of_any_size(fs: Any, prefix: str, size: int) -> None:
    data = os.urandom(size)
    with fs.open(prefix + "a", "wb") as file:
        for start in range(0, size, 3 * MIB):
            file.write(data[start : start + 3 * MIB])
        assert not fs.exists(prefix + "a")
    assert fs.cat_file(prefix + "a") == data
    assert (fs.cat_file(prefix + "a", 1, 4), fs.cat_file(prefix + "a", -2)) == (data[1:4], data[-2:] if size else b"")
    with fs.open(prefix + "a", "rb") as file:
        file.seek(size // 2)
        assert file.read() == data[size // 2 :]
    info = fs.info(prefix + "a")
    assert (info["size"], info["type"]) == (size, "file")


def test_a_pickled_file_is_of_one_version(fs: Any, prefix: str) -> None:
    fs.pipe_file(prefix + "a", b"first")
    with fs.open(prefix + "a", "rb") as file:
        file.seek(1)
        with pickle.loads(pickle.dumps(file)) as same:  # noqa: S301 - our own
            assert same.read() == b"irst"
        pickled = pickle.dumps(file)
    fs.pipe_file(prefix + "a", b"second version")
    with pickle.loads(pickled) as file, pytest.raises(drivebay.PreconditionFailed):  # noqa: S301 - our own
        file.read()


def test_the_end_of_a_blob_is_of_one_version(fs: Any, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fs.pipe_file(prefix + "a", b"first")
    head = fs.client.head

    def head_and_then(path: str) -> Any:
        """Return the description, and let another client replace the blob right after it."""
        found = head(path)
        fs.client.put(path, b"second version")
        return found

    monkeypatch.setattr(fs.client, "head", head_and_then)
    with pytest.raises(drivebay.PreconditionFailed):
        fs.cat_file(prefix + "a", start=-3)


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "wb"},
        {"mode": "xb"},
        {"mode": "w"},
        {"mode": "wb", "compression": "gzip"},
        {"mode": "w", "compression": "gzip"},
    ],
)
def test_an_exception_stores_nothing(fs: Any, prefix: str, options: dict[str, Any]) -> None:
    for size in (1, 9 * MIB):
        data = os.urandom(size)
        with suppress(ZeroDivisionError), fs.open(prefix + "a", **options) as file:
            file.write(data if "b" in options["mode"] else data.decode("latin-1"))
            _ = 1 / 0
        del file
        gc.collect()
        assert not fs.exists(prefix + "a")
    assert _uploads(fs, prefix) == []


@pytest.mark.parametrize("compression", [None, "gzip", "bz2", "xz", "zip"])
def test_text_and_compression(fs: Any, prefix: str, compression: str | None) -> None:
    with fs.open(prefix + "a", "w", encoding="latin-1", newline="\r\n", compression=compression) as text:
        text.write("ü\n")
        text.flush()
        text.write("b\n")
    with fs.open(prefix + "a", "rb", compression=compression) as file:
        assert file.read() == "ü\r\nb\r\n".encode("latin-1")
    with fs.open(prefix + "a", "wb", compression=compression) as file:
        assert (file.writable(), file.closed) == (True, False)
        file.writelines([b"1", b"2"])
        assert file.write(b"3") == 1
    assert file.closed
    with fs.open(prefix + "a", "rb", compression=compression) as file:
        assert file.read() == b"123"


@pytest.mark.parametrize("mode", ["xb", "x"])
def test_a_compressed_file_that_is_refused(fs: Any, prefix: str, mode: str) -> None:
    def write() -> None:
        with fs.open(prefix + "a", mode, compression="gzip") as file:
            file.write(b"1" if mode == "xb" else "1")
            fs.client.put(prefix + "a", b"faster")

    with pytest.raises(FileExistsError):
        write()
    assert fs.cat_file(prefix + "a") == b"faster"


@pytest.mark.parametrize("options", [{"encoding": "none"}, {"compression": "none"}])
def test_a_file_that_can_not_be_opened_stores_nothing(fs: Any, prefix: str, options: dict[str, str]) -> None:
    with pytest.raises((LookupError, ValueError), match="none"):
        fs.open(prefix + "a", "w", **options)
    gc.collect()
    assert not fs.exists(prefix + "a")


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_an_exception_after_fsspec_open(server: Server, fs: Any, prefix: str, compression: str | None) -> None:
    url, options = f"drivebay://{prefix}a", {"endpoint_url": server.url, "token": TOKEN, "compression": compression}
    with suppress(ZeroDivisionError), fs.transaction, fsspec.open(url, "wb", **options) as file:
        file.write(b"1")
        _ = 1 / 0
    assert not fs.exists(prefix + "a")
    assert _uploads(fs, prefix) == []
    with suppress(ZeroDivisionError), fsspec.open(url, "wb", **options) as file:
        file.write(b"1")
        _ = 1 / 0
    assert fs.exists(prefix + "a")  # fsspec closes it like any other: the README says so


def test_exclusive_files_of_two_writers(fs: Any, prefix: str) -> None:
    for size in (1, 9 * MIB):
        path = f"{prefix}{size}"
        first, second = fs.open(path, "xb"), fs.open(path, "xb")
        first.write(b"1" * size)
        second.write(b"2" * size)
        first.close()
        with pytest.raises(FileExistsError):
            second.close()
        assert fs.cat_file(path, 0, 1) == b"1"
        with pytest.raises(FileExistsError):
            fs.open(path, "xb")
    with pytest.raises(NotImplementedError, match="appended"):
        fs.open(prefix + "1", "ab")


def test_parts_grow_with_the_file(fs: Any, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, put_part, data = list[int](), fs.client.put_part, os.urandom(145)

    def put_and_note(upload: str, number: int, part: bytes) -> None:
        put_part(upload, number, part)
        sizes.append(len(part))

    monkeypatch.setattr(files, "DOUBLING", 2)
    monkeypatch.setattr(fs.client, "put_part", put_and_note)
    with fs.open(prefix + "a", "wb", block_size=10) as file:
        for start in range(0, len(data), 5):
            file.write(data[start : start + 5])
    assert (sizes, fs.cat_file(prefix + "a")) == ([10, 10, 20, 20, 40, 40, 5], data)


@pytest.mark.parametrize("refused", ["put_part", "commit"])
def test_a_file_that_is_refused_leaves_no_upload(
    fs: Any, prefix: str, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    file = fs.open(prefix + "a", "wb")
    file.write(bytes(9 * MIB))
    assert len(_uploads(fs, prefix)) == 1

    def refuse(*_: Any) -> None:
        raise drivebay.NoSpace("The quota is used up.", status=507)

    monkeypatch.setattr(fs.client, refused, refuse)
    file.write(b"more")
    with pytest.raises(drivebay.NoSpace):
        file.close()
    assert _uploads(fs, prefix) == []
    file.close()
    assert not fs.exists(prefix + "a")


def test_a_transaction_is_one_commit(fs: Any, prefix: str, tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(b"3")
    with fs.transaction:
        with fs.open(prefix + "a", "wb") as file:
            file.write(b"1")
        fs.pipe_file(prefix + "b", b"2")
        fs.pipe_file(prefix + "b", b"22")
        fs.put_file(str(tmp_path / "local"), prefix + "c")
        assert fs.find(prefix) == []
    assert {name: fs.cat_file(name) for name in fs.find(prefix)} == {
        prefix + "a": b"1",
        prefix + "b": b"22",
        prefix + "c": b"3",
    }

    with suppress(ZeroDivisionError), fs.transaction:
        fs.pipe_file(prefix + "d", b"4")
        raise ZeroDivisionError

    def too_late() -> None:
        with fs.transaction:
            fs.pipe_file(prefix + "e", b"5")
            fs.open(prefix + "f", "xb").write(b"6")
            fs.client.put(prefix + "f", b"faster")

    with pytest.raises(drivebay.PreconditionFailed):
        too_late()
    assert fs.ls(prefix, detail=False) == [prefix + name for name in "abcf"]
    assert _uploads(fs, prefix) == []
    fs.pipe_file(prefix + "g", b"7")
    assert fs.exists(prefix + "g")


def _uploads(fs: Any, prefix: str) -> Any:
    """Return the uploads in progress."""
    reply = fs.client._driver.run(send(Call("GET", f"/v1/uploads?prefix={prefix}"), drivebay.Retries()))
    return json_of(reply)["uploads"]


def test_moves_and_copies_move_no_bytes(fs: Any, prefix: str) -> None:
    for name in ("in/a", "in/sub/b"):
        fs.pipe_file(prefix + name, name.encode())
    etag = fs.ukey(prefix + "in/a")
    fs.cp_file(prefix + "in/a", prefix + "copy")
    assert fs.ukey(prefix + "copy") == etag
    fs.mv(prefix + "copy", prefix + "in/")
    assert fs.find(prefix) == [prefix + name for name in ("in/a", "in/copy", "in/sub/b")]
    with pytest.raises(IsADirectoryError):
        fs.mv(prefix + "in", prefix + "out")
    fs.mv(prefix + "in", prefix + "out", recursive=True)
    assert fs.find(prefix) == [prefix + name for name in ("out/a", "out/copy", "out/sub/b")]
    with pytest.raises(FileNotFoundError):
        fs.mv(prefix + "none", prefix + "x")
    with pytest.raises(FileNotFoundError):
        fs.cp_file(prefix + "none", prefix + "x")
    with pytest.raises(FileNotFoundError):
        fs.rm(prefix + "none", recursive=True)


def fs_with_key(server: Server, *actions: str) -> Any:
    """Return a file system with a key that allows these actions only."""
    with server.client() as admin:
        key = admin.post("/v1/keys", json={"name": "k", "actions": actions}).json()
    return fsspec.filesystem("drivebay", endpoint_url=server.url, token=key["token"])


def test_a_failure_does_not_mean_that_nothing_exists(server: Server, fs: Any, prefix: str) -> None:
    fs.pipe_file(prefix + "a/b", b"1")
    assert [fs.exists(prefix + name) for name in ("a/b", "a", "a/none", "none")] == [True, True, False, False]
    writer = fs_with_key(server, "write")
    with pytest.raises(PermissionError):
        writer.exists(prefix + "a/b")
    writer.touch(prefix + "a/b", truncate=False)
    writer.touch(prefix + "new", truncate=False)
    assert (fs.cat_file(prefix + "a/b"), fs.cat_file(prefix + "new")) == (b"1", b"")
    fs.touch(prefix + "a", truncate=False)
    assert fs.isdir(prefix + "a")
    fs.touch(prefix + "a/b")
    assert fs.cat_file(prefix + "a/b") == b""


def test_create_in_a_transaction_replaces_nothing(fs: Any, prefix: str, tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(b"new")

    def pipe() -> None:
        fs.pipe_file(prefix + "a", b"new", mode="create")

    def put() -> None:
        fs.put_file(str(tmp_path / "local"), prefix + "a", mode="create")

    def transaction(create: Callable[[], None], before: bytes = b"", after: bytes = b"") -> None:
        with fs.transaction:
            if before:
                fs.client.put(prefix + "a", before)
            create()
            if after:
                fs.client.put(prefix + "a", after)

    for create in (pipe, put):
        with pytest.raises(drivebay.PreconditionFailed):
            transaction(create, after=b"faster")
        assert fs.cat_file(prefix + "a") == b"faster"
        with pytest.raises(FileExistsError):
            transaction(create, before=b"there")
        assert fs.cat_file(prefix + "a") == b"there"
        fs.rm_file(prefix + "a")
        transaction(create)
        assert fs.cat_file(prefix + "a") == b"new"
        fs.rm_file(prefix + "a")
    assert _uploads(fs, prefix) == []


async def test_a_lost_response_to_a_delete_of_a_folder(server: Server, prefix: str) -> None:
    async with Proxy(server.url) as proxy:
        fs = fsspec.filesystem("drivebay", endpoint_url=proxy.url, token=TOKEN)
        await asyncio.to_thread(fs.pipe_file, prefix + "a/b", b"1")
        lost = proxy.answering(b'"dry_run": false', proxy.cut)
        await asyncio.to_thread(fs.rm, prefix + "a", recursive=True)
        assert lost.is_set()
        assert not await asyncio.to_thread(fs.exists, prefix + "a")
        await asyncio.to_thread(fs.client.close)


def test_deletes_of_nothing_are_errors(server: Server, fs: Any, prefix: str) -> None:
    for name in ("a", "b", "in/c"):
        fs.pipe_file(prefix + name, b"1")
    eraser = fs_with_key(server, "delete")
    for path, options in (
        (prefix + "none", {}),
        (PurePosixPath(prefix + "none"), {}),
        ([prefix + "none"], {}),
        (prefix + "none", {"recursive": True}),
        (PurePosixPath(prefix + "none"), {"recursive": True}),
        (prefix + "none*", {}),
    ):
        with pytest.raises(FileNotFoundError):
            fs.rm(path, **options)
    with pytest.raises(FileNotFoundError):
        eraser.rm(prefix + "none", recursive=True)
    eraser.rm(prefix + "a")
    fs.rm(prefix + "in")  # a folder has nothing of its own
    fs.rm([prefix + "b"])
    assert fs.find(prefix) == [prefix + "in/c"]
    eraser.rm(PurePosixPath(prefix + "in"), recursive=True)
    assert fs.find(prefix) == []


def contents(fs: Any, prefix: str) -> dict[str, bytes]:
    return {name.removeprefix(prefix): fs.cat_file(name) for name in fs.find(prefix)}


def test_a_move_of_a_pattern_leaves_what_is_new(fs: Any, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("inbox/a", "inbox/b", "inbox/sub/c"):
        fs.pipe_file(prefix + name, b"1")
    expand = fs.expand_path

    def expand_and_then(*args: Any, **options: Any) -> Any:
        """Expand, and let another client store blobs right after it."""
        found = expand(*args, **options)
        fs.pipe_file(prefix + "inbox/new", b"2")
        fs.pipe_file(prefix + "inbox/b", b"2")
        return found

    monkeypatch.setattr(fs, "expand_path", expand_and_then)
    fs.mv(prefix + "inbox/*", prefix + "done/")
    assert contents(fs, prefix) == {"done/a": b"1", "done/b": b"2", "inbox/new": b"2", "inbox/sub/c": b"1"}


def test_a_move_up_to_a_depth_leaves_what_is_deeper(fs: Any, prefix: str) -> None:
    for name in ("a/x", "a/y", "a/sub/z"):
        fs.pipe_file(prefix + name, b"1")
    fs.mv(prefix + "a", prefix + "b", recursive=True, maxdepth=1)
    assert list(contents(fs, prefix)) == ["a/sub/z", "b/x", "b/y"]
    fs.mv(prefix + "a", prefix + "c", recursive=True, maxdepth=1)
    assert list(contents(fs, prefix)) == ["a/sub/z", "b/x", "b/y"]


def test_moves_of_path_objects_keep_folders(fs: Any, prefix: str) -> None:
    for name in ("a/x/data", "a/y/data"):
        fs.pipe_file(prefix + name, name.encode())
    fs.mv(PurePosixPath(prefix + "a"), prefix + "c", recursive=True)
    assert list(contents(fs, prefix)) == ["c/x/data", "c/y/data"]
    fs.mv(prefix + "c", PurePosixPath(prefix + "b"), recursive=True)
    assert contents(fs, prefix) == {"b/x/data": b"a/x/data", "b/y/data": b"a/y/data"}


def test_moves_of_several_replace_none_of_them(fs: Any, prefix: str) -> None:
    stored = {name: name.encode() for name in ("a/data", "b/data", "c")}
    for name, data in stored.items():
        fs.pipe_file(prefix + name, data)
    for sources, targets in (
        ([prefix + "a/data", prefix + "b/data"], prefix + "d"),
        ([prefix + "a/data", prefix + "b/data"], [prefix + "d", prefix + "d"]),
        ([prefix + "a/data", prefix + "b/data"], [prefix + "b/data", prefix + "d"]),
        ([prefix + "a/data", prefix + "b/data"], [prefix + "d"]),
    ):
        with pytest.raises(ValueError, match=r"would replace another|shorter"):
            fs.mv(sources, targets)
        assert contents(fs, prefix) == stored
    fs.mv([prefix + "a/data", prefix + "c"], prefix + "d")
    fs.mv([prefix + "b/data"], [prefix + "e"])
    fs.mv(prefix + "d/*", prefix + "f", recursive=True)
    assert contents(fs, prefix) == {"e": b"b/data", "f/c": b"c", "f/data": b"a/data"}
    with pytest.raises(FileNotFoundError):
        fs.mv(prefix + "none*", prefix + "x")


@pytest.mark.parametrize(
    ("source", "target", "options"),
    [
        ("in/*", "out", {}),
        ("in/*", "out/", {"recursive": True}),
        ("in/s*", "out", {"recursive": True}),
        ("in/*", "there", {"recursive": True, "maxdepth": 1}),
        ("in", "there", {"recursive": True, "maxdepth": 2}),
        ("in/", "there", {"recursive": True, "maxdepth": 2}),
        ("in/a", "there", {"recursive": True, "maxdepth": 1}),
        (["in/a", "in/sub/c"], "there", {}),
        (["in/sub"], "there", {"recursive": True}),
    ],
)
def test_moves_go_where_copies_go(fs: Any, prefix: str, source: Any, target: str, options: dict[str, Any]) -> None:
    def prepared(root: str) -> Any:
        for name in ("in/a", "in/b", "in/sub/c", "in/sub/d/e", "there/x"):
            fs.pipe_file(root + name, name.encode())
        return root + source if isinstance(source, str) else [root + each for each in source]

    copies, moves = prefix + "copies/", prefix + "moves/"
    before = contents(fs, prepared(copies) and copies)
    fs.copy(prepared(copies), copies + target, **options)
    fs.mv(prepared(moves), moves + target, **options)
    copied = {name: data for name, data in contents(fs, copies).items() if name not in before}
    moved = {name: data for name, data in before.items() if data not in copied.values()}
    assert copied
    assert contents(fs, moves) == {**moved, **copied}


def test_checksums_are_not_computed(fs: Any, prefix: str) -> None:
    stored = fs.client.put(prefix + "a", b"x")
    assert fs.checksum(prefix + "a") == int(stored.sha256, 16)
    assert fs.modified(prefix + "a").tzinfo is not None
    assert fs.sign(prefix + "a").startswith(fs.client.url)


def test_get_keeps_permissions_and_links(fs: Any, prefix: str, tmp_path: Path) -> None:
    fs.pipe_file(prefix + "a", b"new")
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file").chmod(0o600)
    (tmp_path / "link").symlink_to("file")
    fs.get(prefix + "a", str(tmp_path / "link"))
    assert ((tmp_path / "file").read_bytes(), (tmp_path / "link").is_symlink()) == (b"new", True)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_replaced_while_it_is_read(fs: Any, prefix: str) -> None:
    fs.client.put(prefix + "a", b"a" * 20 * MIB)
    with fs.open(prefix + "a", "rb") as file:
        assert file.read(10) == b"a" * 10
        fs.client.put(prefix + "a", b"b" * 20 * MIB)
        with pytest.raises(drivebay.PreconditionFailed):
            file.read()

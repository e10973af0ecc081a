"""`drivebay sync`: what is the same is not read, and what is not is transferred, in both directions."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.blob_store import MIB
from tests.http.server import Server
from tests.proxy import Proxy, Way
from tests.python_client.command import Ended, Shell, end, interrupt, names_below

FILES = 300


def files_in(folder: Path, count: int = FILES) -> None:
    for number in range(count):
        path = folder / f"{number % 7}" / f"{number} ü.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number * 10)
        os.utime(path, (1_700_000_000, 1_700_000_000))


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names_below(folder)}


def summary(ended: Ended, code: int = 0) -> dict[str, Any]:
    assert ended.code == code, ended.errors
    last = ended.objects[-1]
    assert last["action"] == "summary"
    return {name: last[name] for name in ("transferred", "unchanged", "deleted", "hashed")}


def counts(transferred: int, unchanged: int, deleted: int = 0, hashed: int = 0) -> dict[str, int]:
    return {"transferred": transferred, "unchanged": unchanged, "deleted": deleted, "hashed": hashed}


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Shell:
    return Shell(tmp_path, server.url)


async def test_a_second_run_reads_only_lists(server: Server, tmp_path: Path, prefix: str) -> None:
    files_in(tmp_path / "up")
    target = f"drivebay://{prefix}"
    async with Proxy(server.url) as proxy:
        shell = Shell(tmp_path, proxy.url)

        async def sync(*arguments: str) -> Ended:
            return await end(await shell.start("sync", *arguments, "--json"))

        assert summary(await sync("up", target)) == counts(FILES, 0)
        written = [proxy.before(verb, lambda: None) for verb in (b"PUT /", b"PATCH /", b"POST /", b"DELETE /")]
        read = proxy.before(b"GET /v1/blobs/", lambda: None)
        assert summary(await sync("up", target)) == counts(0, FILES)
        assert not any(event.is_set() for event in [*written, read])
        assert summary(await sync(target, "down")) == counts(FILES, 0)
        assert read.is_set()
        read = proxy.before(b"GET /v1/blobs/", lambda: None)
        assert summary(await sync(target, "down")) == counts(0, FILES)
        assert not read.is_set()
    assert contents(tmp_path / "down") == contents(tmp_path / "up")


def test_what_has_changed(shell: Shell, prefix: str) -> None:
    folder, target = shell.home / "up", f"drivebay://{prefix}"
    files_in(folder, 20)
    shell.run("sync", "up", target)
    before = (folder / "1" / "1 ü.txt").stat()
    (folder / "1" / "1 ü.txt").write_bytes(b"x" * before.st_size)
    os.utime(folder / "1" / "1 ü.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    (folder / "2" / "2 ü.txt").unlink()
    (folder / "new").write_bytes(b"")
    (folder / "3" / "3 ü.txt").touch()
    planned = shell.run("sync", "up", target, "--delete", "--dry-run")
    assert planned.code == 0
    assert set(planned.errors.splitlines()[:-1]) == {"would put 1/1 ü.txt", "would put new", "would delete 2/2 ü.txt"}
    assert summary(shell.run("sync", "up", target, "--delete", "--json"))["transferred"] == 2
    assert shell.run("sync", target, "down").code == 0
    assert contents(shell.home / "down") == contents(folder)
    (shell.home / "down" / "more").mkdir()
    (shell.home / "down" / "more" / "file").write_bytes(b"x")
    assert summary(shell.run("sync", target, "down", "--json"))["deleted"] == 0
    assert summary(shell.run("sync", target, "down", "--delete", "--json"))["deleted"] == 1
    assert not (shell.home / "down" / "more").exists()


def test_what_is_left_out(shell: Shell, prefix: str) -> None:
    folder, target = shell.home / "up", f"drivebay://{prefix}"
    for name in ("a.jpg", "a.tmp", ".git/x", "sub/.git/y", "sub/b.jpg", "sub/c.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / ".a.jpg.drivebay-part").write_bytes(b"x")
    shell.run("sync", "up", target, "--exclude", ".git", "--exclude", "*.tmp", "--exclude", "sub/*.txt")
    assert shell.run("ls", "-r", prefix).out.split()[2::3] == [f"{prefix}a.jpg", f"{prefix}sub/b.jpg"]
    shell.run("put", "-", prefix + "kept.tmp", given=b"x")
    shell.run("sync", "up", target, "--include", "*.txt", "--delete")
    ids = {each["id"] for each in shell.run("ls", "-r", prefix, "--json").objects}
    assert ids == {prefix + name for name in ("a.jpg", "sub/b.jpg", "sub/c.txt", "kept.tmp")}


def test_a_blob_whose_digest_the_server_lacks(shell: Shell, server: Server, prefix: str) -> None:
    (shell.home / "up").mkdir()
    (shell.home / "up" / "big").write_bytes(data := os.urandom(9 * MIB))
    os.utime(shell.home / "up" / "big", (1_700_000_000, 1_700_000_000))
    with server.client() as client:  # in two requests, so that its digest is computed later
        headers = {"Upload-Complete": "?0"}
        begun = client.put(f"/v1/blobs/{prefix}big", content=data[:100], headers=headers)
        headers = {"Upload-Complete": "?1", "Upload-Offset": "100", "Content-Type": "application/partial-upload"}
        assert client.patch(begun.headers["Location"], content=data[100:], headers=headers).status_code == 201
    target = f"drivebay://{prefix}"
    assert shell.run("sync", target, "down").code == 0
    assert summary(shell.run("sync", target, "down", "--json"))["transferred"] == 0
    assert shell.run("sync", "up", target).code == 0
    assert summary(shell.run("sync", "up", target, "--json")) == counts(0, 1)


def test_ids_that_are_no_paths_and_links_that_lead_out(shell: Shell, server: Server, prefix: str) -> None:
    names = ["ok/file", "../out", "/abs", "a//b", "x/", "ok/./b", "link/file", "link/new/file", "ok/file/below"]
    with server.client() as client:
        for name in names:
            client.post("/v1/blobs", json={"id": prefix + name, "data": "eA=="})
    (shell.home / "outside").mkdir()
    (shell.home / "down").mkdir()
    (shell.home / "down" / "link").symlink_to(shell.home / "outside")
    synced = shell.run("sync", f"drivebay://{prefix}", "down", "--delete")
    assert synced.code == 1
    assert len([line for line in synced.errors.splitlines() if line.startswith("drivebay: ")]) >= 7
    assert "Nothing is deleted" in synced.errors
    assert [name for name in names_below(shell.home / "down") if not name.startswith("ok/file")] == []
    assert [*(shell.home / "outside").iterdir()] == []
    assert sorted(each.name for each in shell.home.iterdir()) == [".cache", "down", "outside"]


def key_for(server: Server, *prefixes: str) -> str:
    """Return the token of a key for the blobs with these prefixes."""
    with server.client() as admin:
        new = {"name": "k", "actions": ["read", "list", "write", "delete"], "prefixes": prefixes}
        token: str = admin.post("/v1/keys", json=new).json()["token"]
        return token


class TestKeysForAPart:
    """A key that shows only some blobs deletes nothing because of those that it does not show."""

    @pytest.fixture
    def shell(self, shell: Shell, prefix: str) -> Shell:
        files_in(shell.home / "up", 20)
        assert shell.run("sync", "up", f"drivebay://{prefix}").code == 0
        return shell

    @pytest.mark.parametrize("more", [[], ["--dry-run"]], ids=str)
    def test_delete_nothing_below_the_folder(self, shell: Shell, server: Server, prefix: str, more: list[str]) -> None:
        before = contents(shell.home / "up")
        (shell.home / "up" / "2" / "2 ü.txt").write_bytes(b"changed")
        token = key_for(server, f"{prefix}2/", f"{prefix}3/")
        synced = shell.run("sync", f"drivebay://{prefix}", "up", "--delete", *more, DRIVEBAY_TOKEN=token)
        assert (synced.code, "shows only some" in synced.errors) == (1, True)
        assert "Nothing is deleted" in synced.errors
        # The rest is done as without --delete.
        assert contents(shell.home / "up") == (before | {"2/2 ü.txt": b"changed"} if more else before)
        assert shell.run("sync", f"drivebay://{prefix}", "up", DRIVEBAY_TOKEN=token).code == 0

    def test_delete_where_they_show_all(self, shell: Shell, server: Server, prefix: str) -> None:
        (shell.home / "up" / "more").write_bytes(b"x")
        for token in (key_for(server, "elsewhere/", prefix), key_for(server, prefix[:-1])):
            (shell.home / "up" / "more").write_bytes(b"x")
            synced = shell.run("sync", f"drivebay://{prefix}", "up", "--delete", "--json", DRIVEBAY_TOKEN=token)
            assert summary(synced)["deleted"] == 1

    def test_delete_on_the_server_only_what_they_show(self, shell: Shell, server: Server, prefix: str) -> None:
        token = key_for(server, f"{prefix}2/")
        for folder in ("2", "3"):
            for path in (shell.home / "up" / folder).iterdir():
                path.unlink()
        synced = shell.run("sync", "up", f"drivebay://{prefix}", "--delete", DRIVEBAY_TOKEN=token)
        assert synced.code == 1  # the other files may not be stored
        left = {each["id"] for each in shell.run("ls", "-r", prefix, "--json").objects}
        assert {each for each in left if each.startswith(f"{prefix}2/")} == set()
        assert len(left) == 20 - len(range(2, 20, 7))


def test_what_is_no_file_is_neither_sent_nor_deleted(shell: Shell, prefix: str) -> None:
    folder = shell.home / "up"
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "file").write_bytes(b"x")
    for name in ("pipe", "more"):
        shell.run("put", "-", prefix + name, given=b"old")
    synced = shell.run("sync", "up", f"drivebay://{prefix}", "--delete", "--json")
    assert (synced.code, summary(synced)) == (0, counts(1, 0, deleted=1, hashed=0))
    assert {each["id"] for each in shell.run("ls", "-r", prefix, "--json").objects} == {
        f"{prefix}pipe",
        f"{prefix}file",
    }


def test_what_is_in_the_place_of_a_file(shell: Shell, prefix: str) -> None:
    folder = shell.home / "down"
    folder.mkdir()
    for name in ("private", "linked", "pipe"):
        shell.run("put", "-", prefix + name, given=b"new")
    (folder / "private").write_bytes(b"old")
    (folder / "private").chmod(0o600)
    (shell.home / "outside").write_bytes(b"kept")
    (folder / "linked").symlink_to("../outside")
    os.mkfifo(folder / "pipe")
    synced = shell.run("sync", f"drivebay://{prefix}", "down")
    assert (synced.code, "pipe is not a file, and is not replaced" in synced.errors) == (1, True)
    assert (folder / "pipe").is_fifo()
    assert ((folder / "private").read_bytes(), (folder / "private").stat().st_mode & 0o777) == (b"new", 0o600)
    assert ((folder / "linked").read_bytes(), (folder / "linked").is_symlink()) == (b"new", False)
    assert (shell.home / "outside").read_bytes() == b"kept"


async def test_a_file_that_appears_meanwhile_is_not_replaced(server: Server, tmp_path: Path, prefix: str) -> None:
    """As another name of the same file does, on a disk that takes no notice of case."""
    with server.client() as client:
        for name in "ab":
            client.put(f"/v1/blobs/{prefix}{name}", content=b"blob")
    async with Proxy(server.url) as proxy:
        shell = Shell(tmp_path, proxy.url)
        created = proxy.before(b"GET /v1/blobs/", (tmp_path / "down" / "b").touch)
        synced = await end(await shell.start("sync", f"drivebay://{prefix}", "down", "--parallel", "1"))
        assert created.is_set()
    assert (synced.code, "takes for the same" in synced.errors) == (1, True)
    assert contents(tmp_path / "down") == {"a": b"blob", "b": b""}


async def test_files_that_change_meanwhile_are_neither_replaced_nor_deleted(
    server: Server, tmp_path: Path, prefix: str
) -> None:
    down = tmp_path / "down"
    down.mkdir()
    for name in ("a", "extra", "linked"):
        (down / name).write_bytes(b"old")
    (down / "other link").hardlink_to(down / "linked")
    with server.client() as client:
        client.put(f"/v1/blobs/{prefix}a", content=b"blob")

    def edit() -> None:
        for name in ("a", "extra"):
            (down / name).write_bytes(b"edited")

    async with Proxy(server.url) as proxy:
        shell = Shell(tmp_path, proxy.url)
        edited = proxy.before(b"GET /v1/blobs/", edit)
        synced = await end(await shell.start("sync", f"drivebay://{prefix}", "down", "--delete"))
        assert edited.is_set()
        assert (synced.code, synced.errors.count("has changed since it was listed")) == (1, 2)
        assert {name: (down / name).read_bytes() for name in ("a", "extra")} == {"a": b"edited", "extra": b"edited"}
        assert not (down / "linked").exists()
        assert not (down / "other link").exists()
        again = await end(await shell.start("sync", f"drivebay://{prefix}", "down", "--delete"))
    assert (again.code, contents(down)) == (0, {"a": b"blob"})


def test_a_blob_for_a_folder_is_no_file(shell: Shell, server: Server, prefix: str) -> None:
    with server.client() as client:
        client.put(f"/v1/blobs/{prefix}x/", content=b"")
        client.put(f"/v1/blobs/{prefix}x/a", content=b"a")
    assert summary(shell.run("sync", f"drivebay://{prefix}", "down", "--json")) == counts(1, 0)
    assert summary(shell.run("sync", "down", f"drivebay://{prefix}", "--delete", "--json")) == counts(0, 1)
    assert [each["id"] for each in shell.run("ls", "-r", prefix, "--json").objects] == [f"{prefix}x/", f"{prefix}x/a"]


def test_a_plan_creates_no_folder(shell: Shell, prefix: str) -> None:
    shell.run("put", "-", prefix + "a", given=b"a")
    planned = shell.run("sync", f"drivebay://{prefix}", "down", "--dry-run")
    assert (planned.code, planned.errors.splitlines()[0]) == (0, "would get a")
    assert not (shell.home / "down").exists()


def test_files_that_cannot_be_sent(shell: Shell, prefix: str) -> None:
    folder = shell.home / "up"
    folder.mkdir()
    (folder / "good").write_bytes(b"x")
    (folder / "dangling").symlink_to("nothing")
    (folder / "below").symlink_to("good/x")
    (folder / "loop").symlink_to("loop")
    (folder / os.fsdecode(b"\xff")).write_bytes(b"x")
    (folder / "line\nbreak").write_bytes(b"x")
    synced = shell.run("sync", "up", f"drivebay://{prefix}")
    assert synced.code == 1
    for why in ("below", "dangling", "loop", "not UTF-8", "control character"):
        assert why in synced.errors
    assert shell.run("ls", prefix).out.split()[2:] == [prefix + "good"]


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["a", "b"], "drivebay sync photos drivebay://photos/"),
        (["drivebay://a", "drivebay://b"], "drivebay sync photos drivebay://photos/"),
        (["none", "drivebay://a"], "There is no folder none"),
        (["drivebay://a", "file"], "is a file"),
    ],
)
def test_wrong_use(shell: Shell, arguments: list[str], advice: str) -> None:
    (shell.home / "file").write_bytes(b"")
    wrong = shell.run("sync", *arguments)
    assert (wrong.code, advice in wrong.errors) == (2, True)


async def test_it_goes_on_after_an_interruption(server: Server, tmp_path: Path, prefix: str) -> None:
    files_in(tmp_path / "up", 100)
    (tmp_path / "up" / "big").write_bytes(os.urandom(16 * MIB))
    async with Proxy(server.url) as proxy:
        shell = Shell(tmp_path, proxy.url)
        half = proxy.after(8 * MIB, Way.TO_SERVER, lambda: proxy.stall(Way.TO_SERVER))
        process = await shell.start("sync", "up", f"drivebay://{prefix}", "--json")
        await half.wait()
        assert (await interrupt(process)).code == 130
        proxy.go_on()
        sent = proxy.passed[Way.TO_SERVER]
        again = await end(await shell.start("sync", "up", f"drivebay://{prefix}", "--json"))
        done = summary(again)
        assert done["transferred"] + done["unchanged"] == 101
        assert proxy.passed[Way.TO_SERVER] - sent < 12 * MIB
        third = await end(await shell.start("sync", "up", f"drivebay://{prefix}", "--json"))
        assert summary(third) == counts(0, 101)

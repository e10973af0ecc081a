"""`drivebay put`, `get`, `cat`, `ls`, `stat`, `rm`, `cp`, `mv`, `sign` and `share`, with their exit codes."""

import asyncio
import hashlib
import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.contracts.blob_store import MIB
from tests.http.server import DRIVEBAY, Server
from tests.http.wire import TOKEN
from tests.proxy import Proxy, Way
from tests.python_client.command import Shell, end, interrupt, names_below

NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Shell:
    return Shell(tmp_path, server.url)


def test_files_there_and_back(shell: Shell, prefix: str) -> None:
    (shell.home / "a b.txt").write_bytes(b"Hello")
    (shell.home / "big").write_bytes(data := os.urandom(9 * MIB))
    put = shell.run("put", "a b.txt", "big", prefix, "--meta", "author=Ada", "--expires", "1h", "--json")
    assert (put.code, put.errors) == (0, "")
    by_id = {each["id"]: each for each in put.objects}
    assert by_id[prefix + "big"]["sha256"] == hashlib.sha256(data).hexdigest()
    shown = shell.run("stat", f"{prefix}a b.txt")
    assert [line.split()[-1] for line in shown.out.splitlines() if "author" in line or "type" in line] == [
        "text/plain",
        "Ada",
    ]
    [stat] = shell.run("stat", f"{prefix}big", "--json").objects
    assert (stat["size"], stat["etag"], "expires_at" in stat) == (9 * MIB, by_id[prefix + "big"]["etag"], True)
    (shell.home / "back").mkdir()
    got = shell.run("get", f"{prefix}a b.txt", f"{prefix}big", "back")
    assert (got.code, got.out) == (0, "")
    assert f"{prefix}big -> back/big, 9.0 MiB" in got.errors
    assert names_below(shell.home) == ["a b.txt", "back/a b.txt", "back/big", "big"]
    assert (shell.home / "back" / "big").read_bytes() == data
    listed = shell.run("ls", prefix)
    assert [line.split(maxsplit=2)[2] for line in listed.out.splitlines()] == [f"{prefix}a b.txt", f"{prefix}big"]
    assert shell.run("ls", prefix.rstrip("/"), "--json").objects == [{"prefix": prefix}]
    assert [each["metadata"] for each in shell.run("ls", "-r", prefix, "--json").objects] == [{"author": "Ada"}] * 2


def test_standard_input_and_output(shell: Shell, prefix: str) -> None:
    assert shell.run("put", "-", prefix + "a", given=b"from a pipe").code == 0
    assert shell.run("cat", prefix + "a").out == "from a pipe"
    assert shell.run("cat", prefix + "a", prefix + "a", "--range", "5-8").out == "a pia pi"
    assert shell.run("get", prefix + "a", "-").out == "from a pipe"
    shell.run("put", "-", prefix + "-", given=b"a hyphen")
    assert (shell.run("get", prefix + "-").out, names_below(shell.home)) == ("", ["-"])
    (shell.home / "-").unlink()
    given = os.urandom(9 * MIB)
    [stored] = shell.run("put", "-", prefix + "b", "--json", given=given).objects
    assert stored["sha256"] == hashlib.sha256(given).hexdigest()
    bash = f"drivebay put <(echo substituted) {prefix}c; drivebay cat {prefix}b | head -c 3 >head; echo $PIPESTATUS"
    variables = shell.environment | {"PATH": f"{Path(DRIVEBAY).parent}:{os.environ['PATH']}"}
    ran = subprocess.run(["bash", "-c", bash], cwd=shell.home, env=variables, capture_output=True, check=True)
    assert ((shell.home / "head").read_bytes(), ran.stdout) == (given[:3], b"141\n"), ran.stderr
    assert b"Traceback" not in ran.stderr
    assert shell.run("cat", prefix + "c").out == "substituted\n"
    bash = f"drivebay get {prefix}b >(cat >out) && wait $!"
    subprocess.run(["bash", "-c", bash], cwd=shell.home, env=variables, capture_output=True, timeout=60, check=True)
    assert (shell.home / "out").read_bytes() == given


def test_changes_on_the_server(shell: Shell, prefix: str) -> None:
    shell.run("put", "-", prefix + "in/a", given=b"x")
    assert shell.run("cp", prefix + "in/a", prefix + "in/b", "--create-only").code == 0
    taken = shell.run("cp", prefix + "in/a", prefix + "in/b", "--create-only")
    assert (taken.code, "exists already" in taken.errors) == (5, True)
    assert shell.run("mv", prefix + "in/b", prefix + "out/").code == 0
    assert shell.run("cp", "-r", prefix + "in/", prefix + "copy/").errors == "copied: 1\n"
    assert shell.run("mv", "-r", prefix + "copy/", prefix + "moved/").errors == "moved: 1\n"
    ids = [each["id"] for each in shell.run("ls", "-r", prefix, "--json").objects]
    assert ids == [prefix + name for name in ("in/a", "moved/a", "out/b")]
    assert shell.run("rm", "-r", "--dry-run", prefix).errors == "to be deleted: 3\n"
    assert shell.run("rm", prefix + "in/a", prefix + "moved/a").code == 0
    assert shell.run("rm", "-r", prefix).errors == "deleted: 1\n"
    assert shell.run("ls", prefix).out == ""


def test_links(shell: Shell, server: Server, prefix: str) -> None:
    shell.run("put", "-", prefix + "a", given=b"x")
    signed = shell.run("sign", "GET", prefix + "a", "--expires", "1m", "--filename", "a.txt")
    assert signed.errors.startswith("It is valid until ")
    assert httpx.get(signed.out.strip()).content == b"x"
    [shared] = shell.run("share", prefix + "a", "--password", "secret", "--json").objects
    assert httpx.get(shared["url"], auth=("", "secret")).content == b"x"
    assert shell.run("share", "--revoke", shared["share"]).code == 0
    assert httpx.get(shared["url"], auth=("", "secret")).status_code == 404
    uploads = shell.run("share", "--prefix", prefix, "--max-bytes", "1K")
    assert uploads.out.startswith(f"{server.url}/s/")


def test_progress_on_a_terminal(shell: Shell, prefix: str) -> None:
    path, blob_id = "a\\[/b] big", f"{prefix}:smile:[/b]"  # which mean something in the markup of the library
    (shell.home / path).parent.mkdir()
    (shell.home / path).write_bytes(os.urandom(64 * MIB))
    ours, theirs = os.openpty()
    variables = shell.environment | {"COLUMNS": "100", "TERM": "xterm"}
    command = [DRIVEBAY, "put", path, blob_id]
    with subprocess.Popen(command, cwd=shell.home, env=variables, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # EIO, once the other side is closed
            while data := os.read(ours, 65536):
                shown += data
    os.close(ours)
    assert process.returncode == 0
    assert re.search(rb"big .*67\.1 MB|big .*64\.0 MiB|big .*/64\.0", shown), shown
    assert b"B/s" in shown
    assert b"a\\[/b] big \x1b" in shown
    assert f"{path} -> {blob_id}, 64.0 MiB".encode() in shown


class TestExitCodes:
    def test_of_what_is_missing_refused_or_in_use(self, shell: Shell, server: Server, prefix: str) -> None:
        (shell.home / "file").write_bytes(b"x")
        missing = shell.run("cat", prefix + "none")
        assert (missing.code, missing.out) == (4, "")
        assert missing.errors == "drivebay: There is no blob with this id.\n"
        assert shell.run("rm", prefix + "none").code == 4
        assert shell.run("rm", "-f", prefix + "none").code == 0
        assert shell.run("put", "file", prefix + "a").code == 0
        assert shell.run("put", "file", prefix + "a", "--create-only").code == 5
        assert shell.run("rm", prefix + "a", "--if-match", '"x"').code == 5
        both = shell.run("put", "none", "file", prefix)
        assert (both.code, both.errors.count("\n")) == (1, 2)
        assert "No such file" in both.errors
        stranger = shell.run("ls", DRIVEBAY_TOKEN="wrong")
        assert (stranger.code, "DRIVEBAY_TOKEN" in stranger.errors) == (1, True)

    @pytest.mark.parametrize(
        ("arguments", "advice"),
        [
            (["put", ".", "a/"], "drivebay sync . drivebay://a/"),
            (["put", "-"], "drivebay put - "),
            (["put", "a", "b", "c"], "slash: c/"),
            (["put", "a", "b", "--meta", "c"], "--meta author=Ada"),
            (["get", "a", "b", "c"], "mkdir c"),
            (["get", "a/"], "drivebay get 'a/' file"),
            (["get", "a/..", "."], "Add a path"),
            (["cat", "a", "--range", "3-1"], "Write 0-99"),
            (["rm", "a", "--dry-run"], "--recursive"),
            (["rm", "-r", ""], "all blobs"),
            (["share"], "--prefix"),
            (["ls", "--profile", "work"], "no profile 'work'"),
        ],
        ids=" ".join,
    )
    def test_wrong_use(self, shell: Shell, arguments: list[str], advice: str) -> None:
        wrong = shell.run(*arguments)
        assert (wrong.code, wrong.out) == (2, "")
        assert advice in wrong.errors

    def test_files_of_the_same_name(self, shell: Shell, prefix: str) -> None:
        for folder in ("2023", "2024"):
            (shell.home / folder).mkdir()
            (shell.home / folder / "report").write_text(folder)
        wrong = shell.run("put", "2023/report", "2024/report", prefix)
        assert (wrong.code, "same name" in wrong.errors) == (2, True)
        assert shell.run("ls", "-r", prefix).out == ""

    def test_a_file_in_the_place_of_an_id(self, shell: Shell, prefix: str) -> None:
        (shell.home / prefix).mkdir()
        files = [f"{prefix}a.txt", f"{prefix}b.txt"]
        for name in files:
            (shell.home / name).write_text(name)
        wrong = shell.run("put", *files)
        assert wrong.code == 2
        assert f"drivebay put {files[0]} {files[1]} folder/" in wrong.errors
        assert f"drivebay put - {files[1]} <{files[0]}" in wrong.errors
        assert shell.run("ls", "-r", prefix).out == ""
        assert shell.run("put", *files, prefix).code == 0
        assert shell.run("put", files[0], files[0]).code == 0  # the path is the id
        assert shell.run("put", "-", files[1], given=b"x").code == 0
        assert shell.run("cat", *files).out == f"{files[0]}x"

    async def test_of_no_server(self, shell: Shell) -> None:
        process = await shell.start("ls", "x")
        assert (await end(process)).code == 0
        shell.environment["DRIVEBAY_URL"] = NOBODY
        ended = await end(await shell.start("ls", "x"))
        assert ended.code == 3
        assert "Is the server running" in ended.errors


class TestProfiles:
    def test_a_file_with_some(self, server: Server, tmp_path: Path) -> None:
        folder = tmp_path / ".config" / "drivebay"
        folder.mkdir(parents=True)
        (tmp_path / "token").write_text(f"{TOKEN}\n")
        (folder / "config.toml").write_text(
            f'[profiles.default]\nurl = "{NOBODY}"\ntoken = "{TOKEN}"\n\n'
            f'[profiles.work]\nurl = "{server.url}"\ntoken_file = "{tmp_path}/token"\n'
        )
        shell = Shell(tmp_path, None)
        first = shell.run("ls", "x", "--profile", "work")
        assert (first.code, "chmod 600" in first.errors) == (0, True)
        (folder / "config.toml").chmod(0o600)
        for chosen in (
            shell.run("ls", "x", DRIVEBAY_PROFILE="work"),
            shell.run("ls", "x", DRIVEBAY_URL=server.url, DRIVEBAY_TOKEN=TOKEN),
        ):
            assert (chosen.code, chosen.errors) == (0, "")
        # The token of a profile is not for another URL.
        assert "DRIVEBAY_TOKEN" in shell.run("ls", "x", DRIVEBAY_URL=server.url).errors

    def test_a_token_with_a_line_break(self, server: Server, tmp_path: Path) -> None:
        shell = Shell(tmp_path, server.url)
        for end_of_line in ("\r", "\r\n", "\n"):
            assert shell.run("ls", "x", DRIVEBAY_TOKEN=f"{TOKEN}{end_of_line}").code == 0
        (tmp_path / "token").write_bytes(f"{TOKEN}\r\n".encode())
        assert shell.run("ls", "x", DRIVEBAY_TOKEN=" \n", DRIVEBAY_TOKEN_FILE=str(tmp_path / "token")).code == 0
        wrong = shell.run("ls", "x", DRIVEBAY_TOKEN="secret\rsecret")
        assert (wrong.code, "secret" in wrong.out + wrong.errors) == (2, False)
        assert "can't have" in wrong.errors

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            (None, "No server is configured"),
            ("[profiles.work]\nurl='http://x'", "add --profile work"),
            ("[profiles.default]\ntoken='x'", "needs a url"),
            ("[profiles.default]\nurl='http://x'\ntokens='x'", "unknown member 'tokens'"),
            ("[profiles.default]\nurl=1", "quotes"),
            ("[profiles.default]\nurl='x'", "not the URL of a server"),
            ("[profiles]\nurl='x'", "is a table"),
            ("[", "can't be read"),
        ],
    )
    def test_what_is_wrong(self, tmp_path: Path, text: str | None, why: str) -> None:
        if text is not None:
            (tmp_path / "drivebay").mkdir()
            (tmp_path / "drivebay" / "config.toml").write_text(text)
        wrong = Shell(tmp_path, None, XDG_CONFIG_HOME=str(tmp_path)).run("ls")
        assert (wrong.code, why in wrong.errors) == (2, True), wrong.errors


class TestInterrupted:
    """Ctrl-C leaves nothing half-written, and the same command goes on."""

    async def test_put(self, server: Server, tmp_path: Path, prefix: str) -> None:
        (tmp_path / "big").write_bytes(os.urandom(24 * MIB))
        async with Proxy(server.url) as proxy:
            shell = Shell(tmp_path, proxy.url)
            half = proxy.after(12 * MIB, Way.TO_SERVER, lambda: proxy.stall(Way.TO_SERVER))
            process = await shell.start("put", "big", prefix + "big")
            await half.wait()
            stopped = await interrupt(process)
            assert (stopped.code, "run the same command again" in stopped.errors) == (130, True)
            proxy.go_on()
            sent = proxy.passed[Way.TO_SERVER]
            assert (await end(await shell.start("put", "big", prefix + "big"))).code == 0
            assert proxy.passed[Way.TO_SERVER] - sent < 16 * MIB
        assert [name for name in names_below(tmp_path) if name != "big"] == []

    async def test_get(self, server: Server, tmp_path: Path, prefix: str) -> None:
        data = os.urandom(40 * MIB)
        with server.client() as client:
            await asyncio.to_thread(client.put, f"/v1/blobs/{prefix}big", content=data)
        async with Proxy(server.url) as proxy:
            shell = Shell(tmp_path, proxy.url)
            most = proxy.after(34 * MIB, Way.TO_CLIENT, lambda: proxy.stall(Way.TO_CLIENT))
            process = await shell.start("get", prefix + "big")
            await most.wait()
            stopped = await interrupt(process)
            assert (stopped.code, "run the same command again" in stopped.errors) == (130, True)
            assert not (tmp_path / "big").exists()
            proxy.go_on()
            received = proxy.passed[Way.TO_CLIENT]
            assert (await end(await shell.start("get", prefix + "big"))).code == 0
            assert proxy.passed[Way.TO_CLIENT] - received < 33 * MIB
        assert names_below(tmp_path) == ["big"]
        assert (tmp_path / "big").read_bytes() == data

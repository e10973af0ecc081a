"""`drivebay keys` and `drivebay sign`: the results, the errors, the exit codes; and the master key."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.check.command import CommandResult, check, drivebay
from tests.check.output import prepare
from tests.http.server import Server

pytestmark = pytest.mark.timeout(300)

UNKNOWN = "ab2cd3ef4gh5ij6k"
TOKEN = r"dby_([a-z2-7]{16})_([a-z2-7]{52})"
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
MEMORY = {"STORAGE": "memory"}
OTHER = {"MASTER_KEY": "another-master-key-of-the-tests-0"}
THERE_IS_NONE = "drivebay: There is no such key, or it was revoked.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with tables and a master key."""
    prepare(tmp_path)
    return tmp_path


def outside(folder: Path) -> dict[str, str]:
    """Return settings with which nothing is kept in the data folder."""
    return {
        "DATABASE_URL": f"sqlite:///{folder / 'rows' / 'rows.db'}",
        "STORAGE": "database",
        "AUTH_BEARER_TOKEN": "token",
    }


def keys(folder: Path, *arguments: str, settings: Mapping[str, Any] | None = None) -> CommandResult:
    return drivebay(folder, "keys", *arguments, settings=settings)


def lines(folder: Path, *arguments: str, settings: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the objects that a command writes, one a line."""
    done = keys(folder, *arguments, "--json", settings=settings)
    assert (done.code, done.errors) == (0, "")
    return [json.loads(line) for line in done.out.splitlines()]


def create(folder: Path, *arguments: str, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Create a key for reading, unless the arguments name other actions."""
    options = ["--name", "ci", "--allow", "read", *arguments]
    [made] = lines(folder, "create", *options, settings=settings)
    return made


def sign(folder: Path, *arguments: str, settings: Mapping[str, Any] | None = None) -> CommandResult:
    return drivebay(folder, "sign", *arguments, settings=settings)


def refused(ended: CommandResult, code: int, why: str) -> None:
    """Require that a command was refused, and wrote nothing else."""
    assert (ended.code, ended.out) == (code, ""), ended
    assert why in ended.errors


class TestCreate:
    def test_the_token_is_all_of_the_output(self, folder: Path) -> None:
        made = keys(folder, "create", "--name", "ci ☺", "--allow", "read, list", "--prefix", "a/", "--prefix", "é")
        assert made.code == 0
        found = re.fullmatch(f"{TOKEN}\n", made.out)
        assert found is not None
        assert re.fullmatch(
            rf"key      {found[1]}\n"
            r"name     ci ☺\n"
            r"allows   read,list on 'a/', 'é'\n"
            rf"created  {TIME}\n"
            r"expires  never\n"
            r"secret   number 1\n"
            r"used     never\n"
            r"The token is shown only now:\n",
            made.errors,
        )

    def test_as_json(self, folder: Path) -> None:
        made = create(folder, "--prefix", "films/", "--expires", "90d")
        assert re.fullmatch(TOKEN, made["token"])
        assert made["token"] == f"dby_{made['key']}_{made['secret']}"
        expires_at = datetime.fromisoformat(made["expires_at"])
        assert abs(expires_at - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=1)
        assert (made["name"], made["actions"], made["prefixes"]) == ("ci", ["read"], ["films/"])
        assert "prefixes" not in create(folder)

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            (["--name", "", "--allow", "read"], "A key has a name of 1 to 100 printable characters."),
            (["--name", "a\nb", "--allow", "read"], "printable"),
            (["--name", "ci", "--allow", "read", "--expires", "0s"], "The time of expiry is in the past."),
            (["--name", "ci", "--allow", "read", "--prefix", ""], "leave the prefixes out"),
            (["--name", "ci", "--allow", "read", "--prefix", "a\tb"], "control character"),
            (["--name", "ci", "--allow", "read", "--prefix", "\udcff"], "surrogate"),
            (["--name", "ci", "--allow", "read", "--prefix", "x" * 2049], "2,049 bytes"),
            (["--name", "ci", "--allow", "read", *["--prefix", "a"] * 101], "up to 100 prefixes"),
        ],
    )
    def test_what_is_not_a_key(self, folder: Path, arguments: Sequence[str], why: str) -> None:
        refused(keys(folder, "create", *arguments), 1, why)
        assert lines(folder, "list") == []

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            (["--allow", "read"], "Missing option '--name'"),
            (["--name", "ci"], "Missing option '--allow'"),
            (["--name", "ci", "--allow", "read,fly"], "'fly' is not an action. Allowed: read, write, delete, list,"),
            (["--name", "ci", "--allow", ""], "'' is not an action."),
            (["--name", "ci", "--allow", "READ"], "'READ' is not an action."),
            *(
                (["--name", "ci", "--allow", "read", "--expires", wrong], f"{wrong!r} is not a time. Write 90s, 15m,")
                for wrong in ("", "d", "1w", "-1d", "1.5h", "1 d", "1D", "1d2h", "١d", "1" * 10)
            ),
            (["--name", "ci", "--allow", "read", "--expires", "999999999d"], "--expires"),
        ],
    )
    def test_a_wrong_call(self, folder: Path, arguments: Sequence[str], why: str) -> None:
        refused(keys(folder, "create", *arguments), 2, why)

    @pytest.mark.parametrize(("written", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("2h", 7200)])
    def test_durations(self, folder: Path, written: str, seconds: int) -> None:
        made = create(folder, "--expires", written)
        lifetime = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
        assert abs(lifetime.total_seconds() - seconds) <= 5


class TestKeys:
    def test_a_list(self, folder: Path) -> None:
        assert keys(folder, "list") == CommandResult(0, "", "")
        made = [create(folder, "--name", name) for name in ("b", "a", "c", "a")]
        listed = lines(folder, "list")
        assert [each["name"] for each in listed] == ["a", "a", "b", "c"]
        shown = [{name: each[name] for name in each if name not in ("token", "secret")} for each in made]
        assert sorted(listed, key=lambda each: each["key"]) == sorted(shown, key=lambda each: each["key"])
        assert listed[:2] == sorted(listed[:2], key=lambda each: each["key"])
        text = keys(folder, "list")
        assert text.out.splitlines()[-1] == f"{made[2]['key']}  c  read on all blobs  never expires  never used"
        for each in made:
            assert each["secret"] not in text.out + json.dumps(listed)

    def test_a_key(self, folder: Path) -> None:
        made = create(folder, "--allow", "read,write,delete,list,admin", "--prefix", "a'b")
        [shown] = lines(folder, "show", made["key"])
        assert shown == {name: made[name] for name in made if name not in ("token", "secret")}
        text = keys(folder, "show", made["key"])
        assert (text.code, text.errors) == (0, "")
        assert 'allows   read,write,delete,list,admin on "a\'b"\n' in text.out
        assert made["secret"] not in text.out

    def test_a_revoked_key(self, folder: Path) -> None:
        made, other = create(folder), create(folder)
        assert keys(folder, "revoke", made["key"]) == CommandResult(0, "", f"{made['key']} is revoked.\n")
        for command in ("show", "revoke", "rotate"):
            assert keys(folder, command, made["key"]) == CommandResult(1, "", THERE_IS_NONE)
        assert [each["key"] for each in lines(folder, "list")] == [other["key"]]

    @pytest.mark.parametrize("command", ["show", "revoke", "rotate"])
    @pytest.mark.parametrize("key", [UNKNOWN, "x", "é" * 100, "\udcff", "%", ""])
    def test_an_unknown_key(self, folder: Path, command: str, key: str) -> None:
        assert keys(folder, command, key) == CommandResult(1, "", THERE_IS_NONE)

    def test_a_rotated_key(self, folder: Path) -> None:
        made = create(folder)
        rotated = keys(folder, "rotate", made["key"])
        assert re.fullmatch(f"{TOKEN}\n", rotated.out)
        assert rotated.out.strip() != made["token"]
        assert re.search(rf"secret   number 2\n         number 1 until {TIME}\n", rotated.errors)
        [again] = lines(folder, "rotate", made["key"], "--overlap", "0")
        assert (again["generation"], again["key"], again["created_at"]) == (3, made["key"], made["created_at"])
        assert len({made["token"], rotated.out.strip(), again["token"]}) == 3
        [by_default] = lines(folder, "rotate", made["key"])
        overlap = datetime.fromisoformat(by_default["former_until"]) - datetime.now(UTC)
        assert timedelta(minutes=59) < overlap <= timedelta(hours=1)

    @pytest.mark.parametrize(("overlap", "code", "why"), [("8d", 1, "0 to 604800 seconds"), ("x", 2, "not a time")])
    def test_an_overlap_that_is_wrong(self, folder: Path, overlap: str, code: int, why: str) -> None:
        made = create(folder)
        refused(keys(folder, "rotate", made["key"], "--overlap", overlap), code, why)
        assert lines(folder, "show", made["key"])[0]["generation"] == 1


COMMANDS = {
    "create": ["keys", "create", "--name", "ci", "--allow", "read"],
    "list": ["keys", "list"],
    "show": ["keys", "show", UNKNOWN],
    "revoke": ["keys", "revoke", UNKNOWN],
    "rotate": ["keys", "rotate", UNKNOWN],
    "sign": ["sign", "GET", "a"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
class TestWithoutADatabase:
    def test_in_memory(self, tmp_path: Path, command: Sequence[str]) -> None:
        refused(drivebay(tmp_path, *command, settings=MEMORY), 2, "drivebay: STORAGE: keys in memory end with the")
        assert not [*tmp_path.iterdir()]

    def test_without_tables(self, tmp_path: Path, command: Sequence[str]) -> None:
        ended = drivebay(tmp_path, *command)
        refused(ended, 2, "drivebay: DATABASE_URL: ")
        assert "drivebay migrations upgrade" in ended.errors

    def test_that_is_down(self, tmp_path: Path, command: Sequence[str]) -> None:
        settings = {"DATABASE_URL": "postgresql://u:hidden@127.0.0.1:1/d"}
        ended = drivebay(tmp_path, *command, settings=settings)
        refused(ended, 2, "can't be reached")
        assert "hidden" not in ended.errors

    def test_with_wrong_settings(self, tmp_path: Path, command: Sequence[str]) -> None:
        refused(drivebay(tmp_path, *command, settings={"MASTER_KEY": "x" * 31}), 2, "drivebay: MASTER_KEY: ")


class TestMasterKey:
    def test_the_upgrade_of_the_tables_makes_it(self, tmp_path: Path) -> None:
        prepare(tmp_path)
        path = tmp_path / "data" / "master-key"
        assert path.stat().st_mode & 0o777 == 0o600
        secret = path.read_text()
        assert re.fullmatch("[A-Za-z0-9_-]{43}\n", secret)
        made = create(tmp_path)
        prepare(tmp_path)
        assert path.read_text() == secret
        again = {"MASTER_KEY": secret.strip()}
        assert lines(tmp_path, "rotate", made["key"], settings=again)[0]["former_until"], "it is the same"

    def test_one_that_is_set_is_not_kept(self, tmp_path: Path) -> None:
        prepare(tmp_path, OTHER)
        create(tmp_path, settings=OTHER)
        assert not (tmp_path / "data" / "master-key").exists()

    def test_without_a_data_folder_it_has_to_be_set(self, tmp_path: Path) -> None:
        settings = outside(tmp_path)
        (tmp_path / "rows").mkdir()
        prepare(tmp_path, settings)
        assert [path.name for path in tmp_path.iterdir()] == ["rows"]
        assert not [*(tmp_path / "rows").glob("*master*")]
        for command in ("create", "sign"):
            ended = drivebay(tmp_path, *COMMANDS[command], settings=settings)
            refused(ended, 1, "This server has no keys. Its operator has to set MASTER_KEY, to the same secret on all")
        assert keys(tmp_path, "list", settings=settings) == CommandResult(0, "", "")
        create(tmp_path, settings=settings | OTHER)
        assert [path.name for path in tmp_path.iterdir()] == ["rows"]

    def test_one_that_is_kept_counts_when_a_token_is_set(self, tmp_path: Path) -> None:
        """The token that the first start has made was the only other thing in the data folder."""
        (tmp_path / "rows").mkdir()
        settings = {name: text for name, text in outside(tmp_path).items() if name != "AUTH_BEARER_TOKEN"}
        prepare(tmp_path, settings)
        key = create(tmp_path, settings=settings)["key"]
        assert {path.name for path in (tmp_path / "data").iterdir()} == {"token", "master-key"}
        with_token = outside(tmp_path)
        assert check(tmp_path, with_token).states["keys"] == "ok"
        assert drivebay(tmp_path, "sign", "GET", "a", "--key", key, settings=with_token).code == 0
        create(tmp_path, settings=with_token)

    @pytest.mark.docker
    def test_with_another_database_it_has_to_be_set(self, tmp_path: Path, postgresql_url: str) -> None:
        settings = {"DATABASE_URL": postgresql_url, "STORAGE": "database", "AUTH_BEARER_TOKEN": "token"}
        prepare(tmp_path, settings)
        refused(drivebay(tmp_path, *COMMANDS["create"], settings=settings), 1, "has to set MASTER_KEY")
        assert not [*tmp_path.iterdir()]
        made = create(tmp_path, settings=settings | OTHER)
        assert lines(tmp_path, "list", settings=settings)[0]["key"] == made["key"]
        for command in ("show", "revoke", "rotate"):
            for unknown in (UNKNOWN, "\udcff", "x" * 16):
                assert keys(tmp_path, command, unknown, settings=settings) == CommandResult(1, "", THERE_IS_NONE)

    def test_no_second_one_is_made_in_another_folder(self, folder: Path) -> None:
        key = create(folder)["key"]
        other = folder / "other"
        other.mkdir()
        settings = {"DATABASE_URL": f"sqlite:///{folder / 'data' / 'drivebay.db'}", "AUTH_BEARER_TOKEN": "token"}
        assert [each["key"] for each in lines(other, "list", settings=settings)] == [key]
        for command in (COMMANDS["create"], ["keys", "rotate", key], COMMANDS["sign"]):
            ended = drivebay(other, *command, settings=settings)
            refused(ended, 2, f"there is no file {other / 'data' / 'master-key'}. Set MASTER_KEY to the one of the")
        assert not (other / "data" / "master-key").exists()
        assert [(each["key"], each["generation"]) for each in lines(folder, "list")] == [(key, 1)]
        create(other, settings=settings | {"DATA_DIR": str(folder / "data")})
        create(other, settings=settings | OTHER)

    def test_the_first_key_makes_it(self, folder: Path) -> None:
        path = folder / "data" / "master-key"
        path.unlink()
        assert lines(folder, "list") == []
        assert not path.exists()
        create(folder)
        create(folder)
        assert path.exists()

    def test_a_kept_one_that_is_too_short(self, folder: Path) -> None:
        (folder / "data" / "master-key").write_text("short")
        for command in COMMANDS.values():
            ended = drivebay(folder, *command)
            refused(ended, 2, f"DATA_DIR: {folder / 'data' / 'master-key'} can't be used: ")

    def test_it_is_shown_by_no_command(self, folder: Path) -> None:
        secret = (folder / "data" / "master-key").read_text().strip()
        key = create(folder)["key"]
        ended = [
            keys(folder, "show", key),
            keys(folder, "rotate", key),
            sign(folder, "GET", "a"),
            check(folder),
            drivebay(folder, "settings"),
            drivebay(folder, "settings", settings={"MASTER_KEY": secret}),
        ]
        assert all(each.code == 0 for each in ended)
        assert secret not in "".join(each.out + each.errors for each in ended)


class TestSign:
    def test_the_url_is_all_of_the_output(self, folder: Path) -> None:
        signed = sign(folder, "GET", "films/a ☺.mp4", "--filename", "a&b.mp4")
        assert signed.code == 0
        assert re.fullmatch(f"It is valid until {TIME}.\n", signed.errors)
        [url] = signed.out.splitlines()
        assert url.startswith("http://127.0.0.1:8000/v1/blobs/films%2Fa%20%E2%98%BA.mp4?alt=media&filename=a%26b.mp4&")
        query = parse_qs(urlsplit(url).query)
        assert [*query] == ["alt", "filename", "key", "expires", "signature"]
        lifetime = int(query["expires"][0]) - datetime.now(UTC).timestamp()
        assert 3500 < lifetime <= 3600

    def test_where_clients_reach_the_server(self, folder: Path) -> None:
        url = sign(folder, "get", "a", "--url", "https://files.example.com/").out
        assert url.startswith("https://files.example.com/v1/blobs/a?")
        assert sign(folder, "GET", "a", settings={"PORT": "81", "HOST": "::1"}).out.startswith("http://[::1]:81/v1/")

    def test_with_a_key(self, folder: Path) -> None:
        key = create(folder, "--allow", "write", "--prefix", "in/", "--expires", "10m")["key"]
        options = ["--key", key, "--prefix", "--content-type", "a/b", "--max-bytes", "5", "--create-only"]
        signed = sign(folder, "PUT", "in/", "--expires", "1d", *options, "--sha256", "0a" * 32)
        assert signed.code == 0
        query = parse_qs(urlsplit(signed.out.strip()).query)
        assert query["key"] == [key]
        names = ("content_type", "max_bytes", "sha256", "create_only", "prefix")
        assert [query[name] for name in names] == [["a/b"], ["5"], ["0a" * 32], ["true"], ["in/"]]
        assert int(query["expires"][0]) - datetime.now(UTC).timestamp() <= 600, "it ends with the key"
        for arguments in (["GET", "in/a"], ["DELETE", "in/a"], ["PUT", "a"], ["PUT", "i", "--prefix"]):
            refused(sign(folder, *arguments, "--key", key), 1, "The credentials do not allow this action")

    @pytest.mark.parametrize(
        ("arguments", "code", "why"),
        [
            (["GET", "a", "--expires", "8d"], 1, "1 to 604800 seconds"),
            (["GET", "a", "--expires", "0"], 1, "1 to 604800 seconds"),
            (["GET", "a", "--expires", "999999999d"], 1, "1 to 604800 seconds"),
            (["GET", ""], 1, "The blob id is 0 bytes long"),
            (["GET", "a\tb"], 1, "control character"),
            (["GET", "\udcff"], 1, "surrogate"),
            (["GET", "a/", "--prefix"], 1, "A URL for a prefix is for PUT."),
            (["PUT", "", "--prefix"], 1, "The empty prefix stands for all ids."),
            (["GET", "a", "--create-only"], 1, "are for PUT"),
            (["PUT", "a", "--filename", "b"], 1, "filename is for GET"),
            (["GET", "a", "--filename", "b\n"], 1, "no control characters"),
            (["PUT", "a", "--sha256", "xyz"], 1, "64 hexadecimal digits"),
            (["PUT", "a", "--max-bytes", str(2**63)], 1, "max_bytes is a number of bytes"),
            (["PUT", "a", "--max-bytes", str(2**70)], 1, "max_bytes is a number of bytes"),
            (["GET", "a", "--key", UNKNOWN], 1, "There is no such key"),
            (["GET", "a", "--key", "\udcff"], 1, "There is no such key"),
            (["POST", "a"], 2, "'POST' is not one of"),
            (["GET"], 2, "Missing argument 'ID'"),
            (["GET", "a", "--expires", "soon"], 2, "'soon' is not a time"),
            (["PUT", "a", "--max-bytes", "-1"], 2, "is not in the range"),
        ],
    )
    def test_what_is_refused(self, folder: Path, arguments: Sequence[str], code: int, why: str) -> None:
        refused(sign(folder, *arguments), code, why)

    def test_a_key_that_can_not_sign(self, folder: Path) -> None:
        key = create(folder)["key"]
        assert sign(folder, "GET", "a", "--key", key).code == 0
        assert sign(folder, "GET", "a", "--key", key, settings=OTHER) == CommandResult(1, "", THERE_IS_NONE)
        keys(folder, "revoke", key)
        assert sign(folder, "GET", "a", "--key", key) == CommandResult(1, "", THERE_IS_NONE)

    def test_a_server_takes_what_the_commands_make(self, folder: Path) -> None:
        with Server(folder) as server, server.anybody() as client:
            made = create(folder, "--allow", "read,write", "--prefix", "films/")
            headers = {"Authorization": f"Bearer {made['token']}", "Content-Type": "text/plain"}
            assert client.put("/v1/blobs/films%2Fa", content=b"film", headers=headers).status_code == 201
            assert client.put("/v1/blobs/music%2Fa", content=b"song", headers=headers).status_code == 403
            [rotated] = lines(folder, "rotate", made["key"], "--overlap", "1h")
            for token in (made["token"], rotated["token"]):
                found = client.get("/v1/blobs/films%2Fa?alt=media", headers={"Authorization": f"Bearer {token}"})
                assert (found.status_code, found.content) == (200, b"film")
            url = sign(folder, "GET", "films/a", "--key", made["key"], "--url", server.url).out.strip()
            assert client.get(url).content == b"film"
            assert client.delete(url).status_code == 401
            keys(folder, "revoke", made["key"])
            server.wait_until(lambda: client.get(url).status_code == 401)


class TestCheck:
    def test_no_keys_yet(self, folder: Path) -> None:
        checked = check(folder)
        assert (checked.code, checked.states["keys"], checked.parts["keys"]["detail"]) == (0, "ok", "none yet")

    def test_in_memory(self, tmp_path: Path) -> None:
        checked = check(tmp_path, {"STORAGE": "memory", "AUTH_BEARER_TOKEN": "token"})
        assert (checked.code, checked.parts["keys"]["state"]) == (0, "ok")
        assert checked.parts["keys"]["detail"] == "in memory: they end with the server"

    def test_keys_of_this_master_key(self, folder: Path) -> None:
        for _ in range(2):
            create(folder)
        checked = check(folder)
        assert (checked.code, checked.states["keys"]) == (0, "ok")
        assert checked.parts["keys"]["detail"] == "2, all of this server's master key"

    def test_keys_of_another_master_key(self, folder: Path) -> None:
        made = [create(folder)["key"] for _ in range(6)]
        own = create(folder, settings=OTHER)["key"]
        checked = check(folder, OTHER)
        assert (checked.code, checked.states["keys"]) == (1, "failed")
        shown = ", ".join(sorted(made)[:5])
        assert checked.parts["keys"]["detail"] == f"6 of 7 were made with another master key: {shown}, ..."
        assert "Set MASTER_KEY" in checked.parts["keys"]["to_do"]
        assert "drivebay keys rotate" in checked.parts["keys"]["to_do"]
        assert check(folder).parts["keys"]["detail"] == f"1 of 7 were made with another master key: {own}"
        for key in made:
            assert keys(folder, "rotate", key, settings=OTHER).code == 0
        assert check(folder, OTHER).states["keys"] == "ok"

    def test_keys_without_a_master_key(self, tmp_path: Path) -> None:
        settings = outside(tmp_path)
        (tmp_path / "rows").mkdir()
        prepare(tmp_path, settings)
        checked = check(tmp_path, settings)
        assert (checked.code, checked.states["keys"]) == (0, "ok")
        assert checked.parts["keys"]["detail"] == "none, and no master key to make any"
        assert "set MASTER_KEY" in checked.parts["keys"]["to_do"]
        key = create(tmp_path, settings=settings | OTHER)["key"]
        checked = check(tmp_path, settings)
        assert (checked.code, checked.states["keys"]) == (1, "failed")
        assert checked.parts["keys"]["detail"].endswith(f"were made with a master key, and there is none here: {key}")

    @pytest.mark.parametrize(("content", "why"), [("", "has no master-key in it"), ("short", "at least 32 characters")])
    def test_a_master_key_that_can_not_be_used(self, folder: Path, content: str, why: str) -> None:
        (folder / "data" / "master-key").write_text(content)
        checked = check(folder)
        assert (checked.code, checked.states["keys"]) == (1, "failed")
        assert why in checked.parts["keys"]["detail"]
        assert checked.parts["keys"]["to_do"] == "Let this user read it, or set MASTER_KEY."
        assert check(folder, OTHER).code == 0

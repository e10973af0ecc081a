"""The help teaches: each command is named, and has examples and its exit codes; and `drivebay settings`."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from entrypoints.cli.blobs.group import COMMANDS
from entrypoints.cli.entry import FOR_USERS
from entrypoints.cli.main import main
from entrypoints.config.loading import load
from entrypoints.config.settings import SECRETS

README = (Path(__file__).parents[2] / "README.md").read_text()


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(main, arguments)


def commands(group: click.Group, *above: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*above, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)


ALL = dict(commands(main))


def test_all_commands_are_there() -> None:
    names = {" ".join(name) for name in ALL}
    assert names == {
        *("serve", "check", "verify", "adopt", "move", "move-metadata", "import", "export", "settings"),
        *("put", "get", "cat", "ls", "stat", "rm", "cp", "mv", "sync", "sign", "share", "completion"),
        *("migrations", "migrations status", "migrations upgrade", "migrations sql"),
        *("keys", "keys create", "keys list", "keys show", "keys revoke", "keys rotate"),
    }


@pytest.mark.parametrize("name", ALL, ids=" ".join)
def test_each_teaches(name: tuple[str, ...]) -> None:
    result = run(*name, "--help")
    assert result.exit_code == 0
    group = run(*name[:-1], "--help")
    texts = result.output + group.output if len(name) > 1 else result.output
    assert f"  drivebay {' '.join(name)}" in texts.partition("Examples:")[2]
    if name not in (("migrations",), ("migrations", "sql")):
        assert re.search(r"(It|Every command) exits with\n +0  if ", texts)
    assert max(map(len, result.output.splitlines())) <= 100
    assert re.search(rf"^  {name[-1]} +[A-Z].*\.$", group.output, re.MULTILINE), "its short help is whole"


@pytest.mark.parametrize("name", [name for name in ALL if len(name) == 1], ids=" ".join)
def test_the_readme_and_the_first_help_name_it(name: tuple[str, ...]) -> None:
    assert f"drivebay {name[0]}" in README
    assert f"drivebay {name[0]}" in run("--help").output


def test_examples_are_calls_that_exist() -> None:
    texts = [run("--help").output, *(run(*name, "--help").output for name in ALL), README]
    calls = {call for text in texts for call in re.findall(r"drivebay (?!import )([a-z]+(?: [a-z]+)?)", text)}
    assert len(calls) > 6
    for call in calls:
        first, _, second = call.partition(" ")
        assert (first,) in ALL, call
        assert first not in ("migrations", "keys") or not second or (first, second) in ALL, call


def test_the_commands_for_users_start_without_the_server() -> None:
    assert {command.name for command in COMMANDS} == FOR_USERS
    script = "import sys, entrypoints.cli.blobs.group; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert {"litestar", "sqlalchemy", "entrypoints.config"}.isdisjoint(loaded.stdout.split())


def test_alone_it_prints_the_help() -> None:
    assert run().output.startswith("Usage: ")
    assert "Commands:" in run().output


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["tape"], "No such command 'tape'"),
        (["check", "--tape"], "No such option"),
        (["migrations", "x"], "No such com"),
        (["keys", "x"], "No such com"),
    ],
)
def test_what_is_unknown(arguments: list[str], why: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert why in result.stderr


class TestSettings:
    def test_each_has_its_value_and_where_it_is_from(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / ".env").write_text("S3_BUCKET_NAME=films\nPORT=81\nOTEL_EXPORTER_OTLP_ENDPOINT=http://hidden@h:1")
        (tmp_path / "password").write_text("hidden")
        secrets = {"SECRET_KEY": "hidden", "FTP_PASSWORD_FILE": "password", "DATABASE_URL": "mariadb://u:hidden@h/n"}
        result = run("settings", PORT="82", **secrets)
        assert result.exit_code == 0
        lines = dict(line.split(maxsplit=1) for line in result.output.splitlines())
        example = (Path(__file__).parents[2] / ".env.example").read_text()
        assert lines.keys() == set(re.findall(r"^# ([A-Z0-9_]+)=", example, re.MULTILINE))
        shown = {name: re.sub(" +", " ", line) for name, line in lines.items()}
        assert shown["PORT"] == "82 PORT in the environment"
        assert shown["S3_BUCKET"] == "films S3_BUCKET_NAME in .env"
        assert shown["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://...@h:1 OTEL_EXPORTER_OTLP_ENDPOINT in .env"
        assert shown["HOST"] == "127.0.0.1 default"
        assert shown["S3_SECRET_KEY"] == "default"
        assert shown["AUTH_BEARER_TOKEN"] == "(set) SECRET_KEY in the environment"
        assert shown["FTP_PASSWORD"] == "(set) FTP_PASSWORD_FILE in the environment"
        assert shown["DATABASE_URL"] == "mariadb://u:...@h/n DATABASE_URL in the environment"
        assert "hidden" not in result.output
        assert not SECRETS - {"DATABASE_URL"} & {name for name in shown if shown[name][0] not in "(d"}

    @pytest.mark.parametrize("name", sorted(SECRETS - {"DATABASE_URL"}))
    def test_no_secret_is_taken_for_a_url(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.chdir(tmp_path)
        others = {"DB_HOST": "h", "DB_USER": "u", "DB_NAME": "n"} if name == "DB_PASSWORD" else {}
        if name.startswith("S3_"):
            others = {"S3_ACCESS_KEY" if "SECRET" in name else "S3_SECRET_KEY": "other"}
        result = run("settings", **others | {name: f"hidden://{'x' * 32}@hidden"})
        assert result.exit_code == 0
        assert "hidden" not in result.output

    def test_a_database_in_parts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        result = run("settings", DB_USER="u", DB_PASSWORD="hidden", DB_HOST="h", DB_NAME="n")
        [line] = [line for line in result.output.splitlines() if line.startswith("DATABASE_URL")]
        assert line.split()[1] == "postgresql://u:...@h:5432/n"
        assert line.endswith("DB_NAME in the environment")
        assert "hidden" not in result.output

    def test_a_value_with_commas_can_be_set_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        given = {
            "S3_API_BUCKETS": "films=media/a=b/, all-blobs=",
            "S3_API_PUBLIC": "films",
            "FTP_PASSIVE": "pasv, epsv",
        }
        lines = [line.split() for line in run("settings", **given).stdout.splitlines()]
        shown = {name: value for name, value, *_ in lines if name in given}
        assert shown == {name: value.replace(" ", "") for name, value in given.items()}
        assert load(shown, tmp_path / "none") == load(given, tmp_path / "none")

    def test_a_name_that_is_close_to_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / ".env").write_text("S3_BUKET=hidden\n")
        result = run("settings")
        hint = "S3_BUKET in .env is not a setting, and has no effect. Did you mean S3_BUCKET or S3_BUCKET_NAME?"
        assert (result.exit_code, result.stderr.splitlines()) == (0, [f"drivebay: {hint}"])
        wrong = run("settings", STORAGE="s3")
        assert (wrong.exit_code, wrong.stderr.splitlines()[1:]) == (2, [f"drivebay: {hint}"])

    def test_what_is_wrong(self) -> None:
        result = run("settings", PORT="x", WORKERS="0")
        assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (2, "", 2)

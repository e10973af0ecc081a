"""Completion in shells, from the parser and from the server."""

from pathlib import Path

import pytest

from tests.http.server import Server
from tests.python_client.command import Shell


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Shell:
    return Shell(tmp_path, server.url)


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(shell: Shell, name: str) -> None:
    script = shell.run("completion", name)
    assert (script.code, script.errors) == (0, "")
    assert f"_DRIVEBAY_COMPLETE={name}_complete" in script.out


def complete(shell: Shell, line: str, count: int, **environment: str) -> list[str]:
    words = {"_DRIVEBAY_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(count)}
    completed = shell.run(given=b"", **(words | environment))
    assert (completed.code, completed.errors) == (0, "")
    return completed.out.split()


def test_what_is_completed(shell: Shell, prefix: str) -> None:
    for name in ("film.mp4", "folder/a"):
        shell.run("put", "-", prefix + name, given=b"x")
    assert complete(shell, "drivebay sy", 1) == ["plain,sync"]
    assert complete(shell, "drivebay put --cont", 2) == ["plain,--content-type"]
    assert complete(shell, "drivebay put f", 2) == ["file,f"]
    assert complete(shell, f"drivebay cat {prefix}f", 2) == [f"plain,{prefix}folder/", f"plain,{prefix}film.mp4"]
    assert complete(shell, "drivebay cat f", 2, DRIVEBAY_URL="http://127.0.0.1:1") == []

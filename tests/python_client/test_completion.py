"""Completion in shells, from the parser and from the server."""

import os
import subprocess
import tty
from contextlib import suppress
from pathlib import Path
from typing import Any

import drivebay
import pytest

from tests.http.server import DRIVEBAY, Server
from tests.http.wire import TOKEN
from tests.python_client.command import Shell

HOSTILE = ("a `touch pwned`;$(touch pwned) &*{a,b}~#\\d", "'it's 'so'", '"!hey!",:"')


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Shell:
    return Shell(tmp_path, server.url)


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(shell: Shell, name: str) -> None:
    script = shell.run("completion", name)
    assert (script.code, script.errors) == (0, "")
    assert f"_DRIVEBAY_COMPLETE={name}_complete" in script.out


def test_fish_takes_ids_with_commas(shell: Shell) -> None:
    assert 'string split --max 1 ","' in shell.run("completion", "fish").out


def complete(shell: Shell, line: str, **environment: str) -> list[str]:
    text = line.rpartition(" ")[2]
    words = {"_DRIVEBAY_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_TEXT": text}
    completed = shell.run(given=b"", **(words | environment))
    assert (completed.code, completed.errors) == (0, "")
    return completed.out.split()


def test_what_is_completed(shell: Shell, prefix: str) -> None:
    for name in ("film.mp4", "folder/a"):
        shell.run("put", "-", prefix + name, given=b"x")
    assert complete(shell, "drivebay sy") == ["plain,sync"]
    assert complete(shell, "drivebay put --cont") == ["plain,--content-type"]
    assert complete(shell, "drivebay put f") == ["file,f"]
    assert complete(shell, f"drivebay cat {prefix}f") == [f"plain,{prefix}folder/", f"plain,{prefix}film.mp4"]
    assert complete(shell, "drivebay cat f", DRIVEBAY_URL="http://127.0.0.1:1") == []


class Bash:
    """bash in a terminal. Its `drivebay` completes words, and does nothing but write its arguments to a file."""

    def __init__(self, shell: Shell) -> None:
        self._home = shell.home
        path = f"{Path(DRIVEBAY).parent}:{os.environ['PATH']}"
        self._environment = shell.environment | {"PATH": path, "LC_ALL": "C.UTF-8"}
        script = shell.run("completion", "bash").out
        (self._home / "bashrc").write_text(f"{script}\ndrivebay() {{ printf '%s\\n' \"$@\" >>ran; }}\n")

    def type(self, *lines: str) -> list[str]:
        """Type lines, and return the arguments of all calls."""
        ours, theirs = os.openpty()
        tty.setraw(theirs)
        (self._home / "ran").unlink(missing_ok=True)
        command = ["bash", "--noprofile", "--rcfile", "bashrc", "-i"]
        where: dict[str, Any] = {"cwd": self._home, "env": self._environment, "start_new_session": True}
        with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, **where) as process:
            os.close(theirs)
            os.write(ours, "".join(f"{line}\n" for line in [*lines, "exit"]).encode())
            shown = b""
            with suppress(OSError):  # EIO, once the other side is closed
                while data := os.read(ours, 65536):
                    shown += data
        os.close(ours)
        assert process.returncode == 0, shown
        assert (self._home / "ran").exists(), shown
        return (self._home / "ran").read_text().splitlines()


@pytest.fixture
def bash(shell: Shell, server: Server, prefix: str) -> Bash:
    ids = [
        "old/a b",
        "old/a c",
        "old/x",
        "n:one two",
        "n:one three",
        *(f"{n}/{each}" for n, each in enumerate(HOSTILE)),
    ]
    with drivebay.Client(server.url, TOKEN) as client:
        for each in ids:
            client.put(prefix + each, b"x")
    return Bash(shell)


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_an_id_is_one_word_in_bash_and_runs_nothing(bash: Bash, shell: Shell, prefix: str, quote: str) -> None:
    starts = [f"{prefix}{number}/" for number in range(len(HOSTILE))]
    assert bash.type(*(f"drivebay rm {quote}{start}\t" for start in starts)) == [
        word for start, rest in zip(starts, HOSTILE, strict=True) for word in ("rm", start + rest)
    ]
    assert not (shell.home / "pwned").exists()


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("PREFIXold/a\\ \tc", "old/a c"),
        ('"PREFIXold/a\tc"', "old/a c"),
        ("PREFIXold/'a \tc'", "old/a c"),
        ("PREFIXn:\tw\t", "n:one two"),
        ("'PREFIXn:one th\t", "n:one three"),
    ],
)
def test_words_that_are_begun_in_bash(bash: Bash, prefix: str, typed: str, found: str) -> None:
    assert bash.type("drivebay rm " + typed.replace("PREFIX", prefix)) == ["rm", prefix + found]

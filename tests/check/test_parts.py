"""What `drivebay check` prints where all is well, and for each fault, with what to do."""

import json
import os
import pty
import re
import sqlite3
import subprocess
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.sql.tables import time_of
from tests.backends.run import Backends
from tests.check.command import check, drivebay, drivebay_apart, environment
from tests.check.output import SECRET, fault, prepare, steps
from tests.http.combinations import DIAGONAL, Combination
from tests.http.server import DRIVEBAY, Server

pytestmark = pytest.mark.timeout(300)

DATABASE_STEPS = ["connect", "read", "write", "change", "delete"]
STORAGE_STEPS = ["reach", "note", "write", "read", "range", "stat", "list", "delete", "forget"]
S3_NOWHERE = {"S3_BUCKET": "b", "S3_ACCESS_KEY": "a", "S3_SECRET_KEY": SECRET, "S3_ENDPOINT": "http://127.0.0.1:1"}
FTP_NOWHERE = {"FTP_HOST": "127.0.0.1", "FTP_PORT": "1", "FTP_USER": "u", "FTP_PASSWORD": SECRET}


def nothing_is_left(folder: Path, settings: Mapping[str, Any]) -> bool:
    verified = drivebay(folder, "verify", "--json", settings=settings)
    assert verified.code == 0
    summary = json.loads(verified.out.splitlines()[-1])["summary"]
    left = [(each["objects"], each["uploads"], each["garbage"]) for each in summary["storages"]]
    return set(left) == {(0, 0, 0)}


class TestAllIsWell:
    @pytest.mark.parametrize("combination", [each.param for each in DIAGONAL])
    def test_beside_a_server(self, tmp_path: Path, backends: Backends, combination: Combination) -> None:
        with combination.settings(backends) as settings, Server(tmp_path, **settings) as server:
            settings = {"AUTH_BEARER_TOKEN": SECRET, **settings}
            result = check(tmp_path, settings)
            assert (result.code, result.errors) == (0, ""), result.out
            assert set(result.states.values()) == {"ok"}
            assert steps(result, "database") == DATABASE_STEPS
            storages = {part for part in result.parts if part.startswith("storage ")}
            assert storages >= {f"storage {combination.storage}", "storage database"}
            for part in storages:
                assert steps(result, part) == STORAGE_STEPS
                role = "for new blobs" if part == f"storage {combination.storage}" else "for older blobs"
                assert result.parts[part]["detail"].startswith(role)
            server.wait_until(lambda: nothing_is_left(tmp_path, settings))  # of the server's own markers either
            assert {line["level"] for line in server.log()} <= {"info"}
            password = settings.get("DATABASE_URL", ":no password@").rpartition("@")[0].rpartition(":")[2]
            for secret in (SECRET, password, settings.get("S3_SECRET_KEY", SECRET)):
                assert secret not in result.out

    def test_read_only(self, tmp_path: Path) -> None:
        drivebay(tmp_path, "migrations", "upgrade")
        result = check(tmp_path, {"READ_ONLY": "true"})
        assert (result.code, set(result.states.values())) == (0, {"ok"}), result.out
        assert (steps(result, "database"), steps(result, "storage fs")) == (["connect", "read"], ["reach"])
        assert "nothing was written" in result.parts["storage fs"]["to_do"]

    def test_in_memory(self, tmp_path: Path) -> None:
        result = check(tmp_path, {"STORAGE": "memory", "AUTH_BEARER_TOKEN": "t"})
        assert (result.code, [*result.states]) == (0, ["settings", "token", "database", "keys", "storage memory"])
        assert not [*tmp_path.iterdir()]

    def test_with_a_name_that_is_close_to_a_setting(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("STORGE=fs\n")
        result = check(tmp_path, {"STORAGE": "memory", "AUTH_BEARER_TOKEN": "t"})
        assert (result.code, result.states["settings"]) == (0, "ok")
        hint = "STORGE in .env is not a setting, and has no effect. Did you mean STORAGE?"
        assert result.parts["settings"]["to_do"] == hint

    def test_as_a_table(self, tmp_path: Path) -> None:
        prepare(tmp_path)
        result = drivebay_apart(tmp_path, "check")
        assert (result.code, result.errors) == (0, "")
        *lines, last = result.out.splitlines()
        assert last == "All of it works."
        assert {line[:27] for line in lines if line[0] != " "} == {
            f"{part:16}  {'ok':7}  "
            for part in ("settings", "data folder", "token", "database", "keys", "storage database", "storage fs")
        }
        durations = [line for line in lines if line[0] == " "]
        assert all(line.startswith(" " * 27) and " ms, " in line for line in durations)
        assert len(durations) == 3

    def test_on_a_terminal_lines_are_broken_where_it_ends(self, tmp_path: Path) -> None:
        prepare(tmp_path)
        ours, its = pty.openpty()
        try:
            settings = environment({"COLUMNS": "70", "TERM": "xterm"})
            ended = subprocess.run(
                [DRIVEBAY, "check"], cwd=tmp_path, env=settings, stdout=its, timeout=100, check=False
            )
            drawn = os.read(ours, 100_000).decode()
        finally:
            os.close(its)
            os.close(ours)
        assert ended.returncode == 0
        lines = re.sub(r"\x1b\[[0-9;]*m", "", drawn).splitlines()
        assert lines[-1] == "All of it works."
        assert 60 < max(map(len, lines)) <= 70
        assert all(line.startswith(" " * 27) for line in lines[:-1] if line[0] == " ")
        assert "\x1b[32mok" in drawn

    def test_clocks_that_differ(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        prepare(tmp_path)
        for seconds, difference in ((3600, "3600.0 s ahead"), (-3600, "3600.0 s behind")):
            shift = timedelta(seconds=seconds)
            monkeypatch.setattr("adapters.sql.schema.time_of", lambda now, shift=shift: time_of(now) + shift)
            found = check(tmp_path).parts["database"]
            assert (found["state"], found["detail"].endswith(f", its clock {difference}")) == ("ok", True), found
            assert found["to_do"].startswith("Let both machines set their clocks by NTP")


class TestNotYet:
    def test_where_nothing_is_made_nothing_is_made(self, tmp_path: Path) -> None:
        result = check(tmp_path)
        assert result.code == 3
        assert result.states == {
            "settings": "ok",
            **dict.fromkeys(["data folder", "token", "database", "storage database", "storage fs"], "not yet"),
        }
        assert all("drivebay" in each["to_do"] or "database" in each["to_do"] for each in [*result.parts.values()][1:])
        assert not [*tmp_path.iterdir()]
        assert json.loads(result.out.splitlines()[-1]) == {"summary": {"ok": 1, "not yet": 5, "failed": 0}}

    def test_older_tables_stay_as_they_are(self, tmp_path: Path) -> None:
        prepare(tmp_path)
        with sqlite3.connect(tmp_path / "data" / "drivebay.db") as database:
            database.execute("UPDATE alembic_version SET version_num = '0003'")
        database.close()
        result = check(tmp_path)
        assert (result.code, result.states["database"], result.states["storage fs"]) == (3, "not yet", "not yet")
        assert "tables of revision 0003, which is not the newest" in result.parts["database"]["detail"]
        assert "drivebay migrations upgrade" in result.parts["database"]["to_do"]
        assert steps(result, "storage fs") == ["reach"], "no probe is written that can't be noted"
        assert "revision 0003" in drivebay(tmp_path, "migrations", "status").out


class TestWhatIsWrong:
    def test_settings_are_reported_all_at_once(self, tmp_path: Path) -> None:
        result = drivebay(tmp_path, "check", settings={"PORT": "x", "STORAGE": "tape", "WORKERS": "0"})
        assert (result.code, result.out, len(result.errors.splitlines())) == (2, "", 3)

    def test_folders(self, tmp_path: Path) -> None:
        result = check(tmp_path, {"DATA_DIR": "/no/such"})
        assert (result.code, result.states["data folder"]) == (1, "failed")
        assert result.parts["data folder"]["detail"] == "There is no folder /no."
        assert result.parts["data folder"]["to_do"] == "Create it, or set DATA_DIR."
        result = check(tmp_path, {"DATA_DIR": "/sys/x"})
        assert result.parts["data folder"]["detail"].startswith("The folder /sys takes no file: ")
        assert result.parts["data folder"]["to_do"] == "Let this user write there, or set DATA_DIR to another."
        result = check(tmp_path, {"DATABASE_URL": "sqlite:////sys/x.db"})
        assert result.parts["database"]["detail"].startswith("The folder /sys takes no file: ")
        assert result.parts["database"]["to_do"].endswith("DATABASE_URL to another.")

    def test_a_folder_for_blobs_that_takes_none(self, tmp_path: Path) -> None:
        prepare(tmp_path)
        detail, to_do = fault(check(tmp_path, {"FS_BASE_PATH": "/sys/x"}), "storage fs", "reach")
        assert detail.startswith("for new blobs, in /sys/x: can't reach: The folder /sys/x can't be used: ")
        assert to_do == "Let the user that runs this read, write and delete in the folder, or set FS_BASE_PATH."

    def test_a_token_that_can_not_be_read(self, tmp_path: Path) -> None:
        prepare(tmp_path)
        (tmp_path / "data" / "token").write_text("")
        result = check(tmp_path)
        assert (result.code, result.states["token"]) == (1, "failed")
        assert result.parts["token"]["to_do"] == "Let this user read it, or set AUTH_BEARER_TOKEN."

    def test_a_database_of_a_newer_drivebay(self, tmp_path: Path) -> None:
        prepare(tmp_path)
        with sqlite3.connect(tmp_path / "data" / "drivebay.db") as database:
            database.execute("UPDATE alembic_version SET version_num = '0099'")
        database.close()
        detail, _ = fault(check(tmp_path), "database", "connect")
        assert "Install the newer one." in detail

    @pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
    def test_a_database_that_is_down(self, tmp_path: Path, kind: str) -> None:
        result = check(tmp_path, {"DATABASE_URL": f"{kind}://u:{SECRET}@127.0.0.1:1/d"})
        detail, to_do = fault(result, "database", "connect")
        assert "can't be reached" in detail
        assert to_do == "Check DATABASE_URL."
        assert result.states["storage database"] == "not yet"

    def test_servers_for_older_blobs_that_are_down(self, tmp_path: Path) -> None:
        prepare(tmp_path)
        result = check(tmp_path, S3_NOWHERE | FTP_NOWHERE)
        for part, setting in (("storage s3", "S3_ENDPOINT"), ("storage ftp", "FTP_HOST")):
            detail, to_do = fault(result, part, "reach")
            assert detail.startswith("for older blobs, ")
            assert setting in to_do
            assert to_do.endswith("Until then older blobs on it can't be read; new ones don't go there.")
        assert (result.states["storage fs"], result.errors) == ("ok", "")

    def test_as_a_table(self, tmp_path: Path) -> None:
        prepare(tmp_path)
        result = drivebay(tmp_path, "check", settings=S3_NOWHERE | {"STORAGE": "s3"})
        assert result.code == 1
        line, durations, to_do, last = result.out.splitlines()[-4:]
        assert line.startswith("storage s3        failed   for new blobs, in the bucket b at http://127.0.0.1:1: can't")
        assert durations.strip().startswith("reach ")
        assert to_do.strip().endswith("this machine reaches it; check S3_ENDPOINT and S3_REGION.")
        assert last == "7 parts: 1 failed."

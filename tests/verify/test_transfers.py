"""`drivebay import` and `drivebay export`: how they are called, what they do next to a server, and after a kill."""

import errno
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from shutil import copytree
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from adapters.storage.s3.config import S3Config
from entrypoints.cli.main import main
from tests.backends import ceph, ftp
from tests.backends.ftp import FtpServer
from tests.check.command import drivebay, environment
from tests.http.server import Server
from tests.verify.command import PATIENCE, CommandResult, verify

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).parents[2]
SIZES = {"a.txt": 3, "b/c.jpg": 1_500_000, "b/d": 0, "e/f/g.tar.gz": 100_000, "h": 1_000_000, "i": 1}
WHEN = 1_600_000_000_123_456  # microseconds
LEFT_ALONE = "1 there already with other content was left alone"


def fill(folder: Path) -> dict[str, bytes]:
    """Make files, and return their bytes."""
    there = {path: os.urandom(size) for path, size in SIZES.items()}
    for number, (path, data) in enumerate(there.items()):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        changed = (WHEN + number) * 1000
        os.utime(file, ns=(changed, changed))
    return there


def files(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files in a folder, hidden ones too."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def times(folder: Path) -> dict[str, int]:
    return {path: (folder / path).stat().st_mtime_ns // 1000 for path in files(folder)}


def run(folder: Path, *arguments: str, **settings: str) -> CommandResult:
    outcome = drivebay(folder, *arguments, settings=settings)
    return CommandResult(outcome.code, outcome.out, outcome.errors)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with empty tables, which takes a second."""
    folder = tmp_path_factory.mktemp("tables")
    assert drivebay(folder, "migrations", "upgrade").code == 0
    return folder


@pytest.fixture
def place(tables: Path, tmp_path: Path) -> Path:
    """A folder with empty tables of its own."""
    copytree(tables / "data", tmp_path / "data")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["import"], "Missing argument 'SOURCE'"),
        (["export"], "Missing argument 'TARGET'"),
        (["import", "nothing"], "drivebay: There is no folder nothing, or it can't be used: No such file"),
        (["export", "nothing/below"], "drivebay: There is no folder nothing/below"),
        (["import", "http://host/x"], "drivebay: The URL of the tree can't be used. Give a folder, s3://"),
        (["import", "ftp://host:x/"], "drivebay: The URL of the tree can't be read. Give a folder, s3://"),
        (["import", "s3://bucket/a?b"], "drivebay: The URL of the tree has a ? or #."),
        (["import", "ftp://ada@host/"], "Write this line into ~/.netrc: machine host login ada password PASSWORD\n"),
        (["import", ".", "--existing", "merge"], "'merge' is not one of 'fail', 'skip', 'replace'"),
        (["import", ".", "--rate", "1K"], "'1K' is no rate. Give bytes a second, at least 64K"),
        (["export", ".", "--concurrency", "0"], "0 is not in the range"),
        (["export", ".", "--link"], "No such option"),
    ],
)
def test_a_wrong_call_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], error: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner(env={"HOME": str(tmp_path)}).invoke(main, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert error in result.stderr


@pytest.mark.parametrize("is_above", [False, True])
@pytest.mark.parametrize("command", ["import", "export"])
def test_a_folder_that_is_denied_is_no_fault_of_ours(
    place: Path, monkeypatch: pytest.MonkeyPatch, command: str, is_above: bool
) -> None:
    """As another user would see it: the folder can't be read, or not even a folder above it."""
    (place / "photos").mkdir()

    def denied(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.chdir(place)
    monkeypatch.setattr("adapters.trees.folder.os.scandir", denied)
    if is_above:
        is_dir, isdir = Path.is_dir, os.path.isdir
        monkeypatch.setattr(Path, "is_dir", lambda path: denied() if path.name == "photos" else is_dir(path))
        monkeypatch.setattr(os.path, "isdir", lambda path: Path(path).name != "photos" and isdir(path))
    result = drivebay(place, command, "photos")
    assert (result.code, result.out) == (2, "")
    assert result.errors.startswith("drivebay: ")
    assert "Permission denied" in result.errors


@pytest.mark.parametrize("base", ["data/blobs", "elsewhere"])
def test_the_files_of_the_server_are_left_alone(place: Path, base: str) -> None:
    """They are the token, the master key, the settings, the database, the audit trail, and the objects of all blobs."""
    there = fill(place / "photos")
    (place / "data" / "ours").write_text("a file that happens to be there")
    written = ["data/token", "data/master-key", ".env", "audit"]
    for path in written:
        (place / path).write_text("# a secret of the server, long enough")
    (place / "photos" / "link").symlink_to(place / "data" / "token")
    settings = {"FS_BASE_PATH": base, "AUDIT_LOG": "audit"}
    outcome = run(place, "import", ".", "--json", **settings)
    assert (outcome.code, outcome.summary["files"]) == (1, len(there) + 1)
    found = {fault["path"] for fault in outcome.faults} - {"data/drivebay.db-wal", "data/drivebay.db-shm"}
    assert found == {*written, "data/drivebay.db", "photos/link", base}
    for command in ("import", "export"):
        refused = run(place, command, base, **settings)
        assert (refused.code, refused.out) == (2, "")
        assert "Give another folder." in refused.errors
    (place / ".env").unlink()
    (place / "data" / "master-key").unlink()
    hostile = [*written, "data/drivebay.db", "data/drivebay.db-journal", f"{base}/abc/object"]
    for path in hostile:
        (place / "hostile" / path).parent.mkdir(parents=True, exist_ok=True)
        (place / "hostile" / path).write_text("x" * 40)
    assert run(place, "import", "hostile", **settings).code == 0
    outcome = run(place, "export", ".", "--existing", "replace", "--json", **settings)
    assert {(fault["fault"], fault["path"]) for fault in outcome.faults} == {("conflict", path) for path in hostile}
    assert [path for path in written if (place / path).exists()] == ["data/token", "audit"]
    assert (place / "data" / "token").read_text() == (place / "audit").read_text() != "x" * 40


def test_without_tables_it_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    outcome = run(tmp_path, "import", "photos")
    assert (outcome.code, outcome.out) == (2, "")
    assert not (tmp_path / "data").exists()


def test_it_imports_and_exports_next_to_a_server(tmp_path: Path) -> None:
    there = fill(tmp_path / "photos")
    (tmp_path / "photos" / "link").symlink_to("b")
    with Server(tmp_path) as server, server.client() as client:
        dry = run(tmp_path, "import", "photos", "--prefix", "p/", "--exclude", "link", "--dry-run")
        assert (dry.code, dry.out) == (0, "6 files of 2,600,004 bytes would be imported.\n")
        assert client.get("/v1/blobs").json()["blobs"] == []
        outcome = run(tmp_path, "import", "photos", "--prefix", "p/", "--json", "--verify")
        assert outcome.code == 1
        [fault] = outcome.faults
        assert (fault["fault"], fault["path"]) == ("unreadable", "link")
        assert (outcome.summary["files"], outcome.summary["bytes"], outcome.summary["complete"]) == (
            6,
            2_600_004,
            False,
        )
        for path, data in there.items():
            got = client.get(f"/v1/blobs/p/{path}?alt=media")
            assert got.content == data
            types = {"a.txt": "text/plain", "b/c.jpg": "image/jpeg"}
            assert got.headers["Content-Type"].partition(";")[0] == types.get(path, "application/octet-stream")
            number = list(there).index(path)
            assert got.headers["X-Meta-mtime"] == f"1600000000.{123_456 + number}"
        again = run(tmp_path, "import", "photos", "--prefix", "p/", "--exclude", "link")
        assert (again.code, again.out) == (0, "0 files of 0 bytes were imported.\n6 were there already.\n")

        assert client.put("/v1/blobs/p/new", content=b"new").status_code == 201
        created = datetime.fromisoformat(client.get("/v1/blobs/p/new").json()["created_at"])
        dry = run(tmp_path, "export", "out", "--prefix", "p/", "--dry-run")
        assert (dry.code, dry.out) == (2, "")  # there is no folder yet
        (tmp_path / "out").mkdir()
        dry = run(tmp_path, "export", "out", "--prefix", "p/", "--dry-run")
        assert (dry.code, dry.out) == (0, "7 files of 2,600,007 bytes would be exported.\n")
        assert files(tmp_path / "out") == {}
        outcome = run(tmp_path, "export", "out", "--prefix", "p/", "--verify")
        assert (outcome.code, outcome.out) == (0, "7 files of 2,600,007 bytes were exported.\n")
        assert files(tmp_path / "out") == there | {"new": b"new"}
        kept = times(tmp_path / "out")
        assert abs(kept.pop("new") / 1e6 - created.astimezone(UTC).timestamp()) <= 1
        assert kept == {path: WHEN + number for number, path in enumerate(there)}
        again = run(tmp_path, "export", "out", "--prefix", "p/")
        assert (again.code, again.out) == (0, "0 files of 0 bytes were exported.\n7 were there already.\n")


def test_what_exists_and_differs(place: Path) -> None:
    there = fill(place / "photos")
    assert run(place, "import", "photos").code == 0
    (place / "photos" / "a.txt").write_bytes(b"abcd")
    for rule, code, out in (
        ("fail", 1, "exists: a.txt: Another blob has this id. Use --existing skip or --existing replace.\n"),
        (
            "skip",
            0,
            f"0 files of 0 bytes were imported.\n5 were there already.\n{LEFT_ALONE}",
        ),
        ("replace", 0, "1 file of 4 bytes was imported.\n5 were there already.\n"),
    ):
        outcome = run(place, "import", "photos", "--existing", rule)
        assert (outcome.code, outcome.out[: len(out)]) == (code, out)
    (place / "out").mkdir()
    (place / "out" / "a.txt").write_bytes(b"more")
    for rule, code, out in (
        ("fail", 1, "exists: a.txt: Another file has this path. Use --existing skip or --existing replace.\n"),
        (
            "skip",
            0,
            f"0 files of 0 bytes were exported.\n5 were there already.\n{LEFT_ALONE}",
        ),
        ("replace", 0, "1 file of 4 bytes was exported.\n5 were there already.\n"),
    ):
        outcome = run(place, "export", "out", "--existing", rule)
        assert (outcome.code, outcome.out[: len(out)]) == (code, out)
    assert files(place / "out") == there | {"a.txt": b"abcd"}


def test_hostile_names(place: Path) -> None:
    """Names of files that are no ids, and ids that are no paths: each is reported, and the rest goes on."""
    (place / "in").mkdir()
    for name in (b"good", b"tab\t", b"esc\x1b[2J", b"\xff"):
        (place / "in" / os.fsdecode(name)).write_bytes(b"x")
    outcome = run(place, "import", "in", "--json")
    assert (outcome.code, outcome.summary["files"]) == (1, 1)
    assert sorted((each["fault"], each["path"]) for each in outcome.faults) == [
        *(("invalid", "esc\x1b[2J"), ("invalid", "tab\t"), ("unreadable", "\\udcff")),
    ]
    assert "\x1b" not in run(place, "import", "in").out
    hostile = ["../outside", "/etc/outside", "a//b", "a/../../outside", "./here", "good/below", "dots/..", "x" * 300]
    with Server(place) as server, server.client() as client:
        for blob_id in (*hostile, "sub/fine", "empty/"):
            data = b"" if blob_id == "empty/" else b"y"
            assert client.put(f"/v1/blobs/{quote(blob_id, safe='')}", content=data).status_code == 201
    (place / "out").mkdir()
    (place / "sub").mkdir()
    (place / "out" / "linked").symlink_to(place / "sub")
    outcome = run(place, "export", "out", "--json")
    assert (outcome.code, outcome.summary["files"]) == (1, 3)
    assert {each["path"]: each["fault"] for each in outcome.faults} == dict.fromkeys(hostile, "invalid") | {
        "good/below": "conflict"
    }
    assert files(place / "out") == {"good": b"x", "sub/fine": b"y"}
    assert (place / "out" / "empty").is_dir()
    assert not list(place.rglob("outside"))


def die(folder: Path, point: str, *arguments: str, by: str = "KILL") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.verify.dying", by, point, *arguments]
    settings = environment({"PYTHONPATH": str(ROOT)})
    return subprocess.run(
        command, cwd=folder, env=settings, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


@pytest.mark.parametrize(
    ("point", "done"),
    [("read:before#4", None), ("publish:before#2", 1), ("publish:after#3", 3), ("link:after#2", 1)],
)
def test_an_import_goes_on_after_a_kill(place: Path, point: str, done: int | None) -> None:
    there = fill(place / "photos")
    command = ["import", "photos", "--prefix", "p/", "--concurrency", "1"]
    command += ["--link"] if point.startswith("link") else []
    killed = die(place, point, *command)
    assert (killed.returncode, killed.stdout) == (-9, ""), killed.stderr
    outcome = run(place, *command, "--json")
    assert (outcome.code, outcome.summary["complete"]) == (0, True)
    assert outcome.summary["files"] + outcome.summary["skipped"]["unchanged"] == len(there)
    assert done is None or outcome.summary["skipped"]["unchanged"] == done
    assert run(place, *command, "--json").summary["skipped"]["unchanged"] == len(there)
    assert run(place, "export", "out", "--prefix", "p/").code == 0
    assert files(place / "out") == there
    checked = verify(place, "--deep", "--json")
    assert (checked.code, checked.faults) == (0, [])


@pytest.mark.parametrize(
    ("point", "done"),
    [("write:before#2", None), ("write:after#3", None), ("finish:before#3", 2), ("finish:after#4", 4)],
)
def test_an_export_goes_on_after_a_kill(place: Path, point: str, done: int | None) -> None:
    there = fill(place / "photos")
    assert run(place, "import", "photos").code == 0
    command = ["export", "out", "--concurrency", "1"]
    killed = die(place, point, *command)
    assert (killed.returncode, killed.stdout) == (-9, ""), killed.stderr
    seen = {path: data for path, data in files(place / "out").items() if not path.endswith(".drivebay-part")}
    assert seen == {path: there[path] for path in seen}, "a file is there that is not whole"
    assert done is None or len(seen) == done
    outcome = run(place, *command, "--json")
    assert (outcome.code, outcome.summary["files"]) == (0, len(there) - len(seen))
    assert files(place / "out") == there, "something is left over"


@pytest.mark.parametrize("point", ["read:before#3", "write:before#2"])
def test_ctrl_c_says_how_to_go_on(place: Path, point: str) -> None:
    there = fill(place / "photos")
    command = ["import", "photos"]
    if point.startswith("write"):
        assert run(place, *command).code == 0
        command = ["export", "out"]
    ended = die(place, point, *command, "--concurrency", "1", "--rate", "500K", by="INT")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.splitlines()[-1].endswith(f" {command[0]}ed. Run the same command to continue.")
    if command[0] == "export":
        assert not [path for path in files(place / "out") if path.endswith(".drivebay-part")]
    assert run(place, *command).code == 0
    assert run(place, *command, "--json").summary["skipped"]["unchanged"] == len(there)


def test_files_are_linked(place: Path) -> None:
    there = fill(place / "photos")
    outcome = run(place, "import", "photos", "--link", "--verify")
    assert (outcome.code, outcome.out) == (0, "6 files of 2,600,004 bytes were imported.\n")
    for path in there:
        (place / "photos" / path).unlink()
    assert run(place, "export", "out").code == 0
    assert files(place / "out") == there
    checked = verify(place, "--deep", "--json")
    assert (checked.code, checked.faults) == (0, [])
    outcome = run(place, "import", "out", "--link", STORAGE="database")
    assert outcome.code == 2
    assert "--link: blobs can share the bytes of files only with STORAGE=fs" in outcome.errors


@pytest.mark.docker
@pytest.mark.parametrize("storage", ["fs", "database", "s3", "ftp"])
def test_there_and_back_on_each_storage(
    place: Path, storage: str, s3_server: S3Config, vsftpd_server: FtpServer
) -> None:
    """From a folder to a storage, to a bucket and an FTP server, and back from both into a folder."""
    there = fill(place / "photos")
    (place / ".netrc").write_text(f"machine {vsftpd_server.host} login {vsftpd_server.user} password of-the-tests")
    with ceph.bucket(s3_server) as bucket:
        settings = ceph.settings(bucket) | ftp.settings(vsftpd_server) | {"STORAGE": storage}
        settings |= {"FTP_BASE_DIR": f"blobs-{storage}-{os.urandom(8).hex()}", "HOME": str(place)}
        login = f"{vsftpd_server.user}@{vsftpd_server.host}:{vsftpd_server.port}"
        on_ftp = f"ftp://{login}/tree-{os.urandom(8).hex()}"
        in_bucket = f"s3://{bucket.bucket}/below"
        for command in (
            *(["import", "photos", "--prefix", "1/"], ["export", in_bucket, "--prefix", "1/"]),
            *(["import", in_bucket, "--prefix", "2/"], ["export", on_ftp, "--prefix", "2/"]),
            *(["import", on_ftp, "--prefix", "3/"], ["export", "out", "--prefix", "3/"]),
        ):
            outcome = run(place, *command, "--json", **settings)
            assert (outcome.code, outcome.summary["files"]) == (0, len(there)), outcome
            again = run(place, *command, "--json", **settings)
            assert (again.code, again.summary["files"], again.summary["skipped"]["unchanged"]) == (0, 0, len(there))
    assert files(place / "out") == there
    assert times(place / "out") == dict.fromkeys(there, WHEN // 1000000 * 1000000)

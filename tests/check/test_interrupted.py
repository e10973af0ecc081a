"""Commands that are interrupted while they start, and a check while its probe is there."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from adapters.storage.s3.config import S3Config
from tests import markers
from tests.backends import ceph
from tests.check.command import PATIENCE, check, drivebay, environment
from tests.http.forking import ROOT
from tests.http.server import DRIVEBAY, Server
from tests.proxy import Proxy

pytestmark = pytest.mark.timeout(300)
# Runs the command line, and interrupts it when it is about to import the module that is named first.
INTERRUPTED = """
import os, signal, sys

class Interrupting:
    module = sys.argv.pop(1)

    def find_spec(self, name, *_):
        if name == self.module:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from entrypoints.cli.entry import main
main()
"""


async def objects(bucket: S3Config) -> list[str]:
    async with ceph.client(bucket) as s3:
        return [found["Key"] for found in (await s3.list_objects_v2(Bucket=bucket.bucket)).get("Contents", [])]


def rows(folder: Path) -> int:
    with sqlite3.connect(folder / "data" / "drivebay.db") as database:
        counted: int = database.execute(
            "SELECT (SELECT count(*) FROM uploads) + (SELECT count(*) FROM unused_objects)"
        ).fetchone()[0]
    database.close()
    return counted


async def end_while_the_probe_is_there(folder: Path, bucket: S3Config, number: signal.Signals) -> int:
    """Send the signal when the probe is about to be read. Returns the exit code."""
    async with Proxy(bucket.endpoint) as proxy:
        settings = ceph.settings(bucket) | {"S3_ENDPOINT": proxy.url}
        reading = proxy.before(f"GET /{bucket.bucket}/".encode(), proxy.stall)
        process = await asyncio.create_subprocess_exec(
            DRIVEBAY, "check", cwd=folder, env=environment(settings), stdout=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(PATIENCE):
            await reading.wait()
            assert (len(await objects(bucket)), rows(folder)) == (1, 1)
            process.send_signal(number)
            proxy.go_on()
            return await process.wait()


@pytest.mark.parametrize(
    ("module", "arguments"),
    [("entrypoints.cli.main", ["import", "x"]), ("entrypoints.cli.blobs.group", ["ls"])],
    ids=["of the server", "of the client"],
)
def test_ctrl_c_while_modules_are_imported_shows_no_traceback(module: str, arguments: list[str]) -> None:
    command = [sys.executable, "-c", INTERRUPTED, module, *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.docker
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_by_an_operator(tmp_path: Path, s3_server: S3Config, number: signal.Signals) -> None:
    assert drivebay(tmp_path, "migrations", "upgrade").code == 0
    with ceph.bucket(s3_server) as bucket:
        assert asyncio.run(end_while_the_probe_is_there(tmp_path, bucket, number)) == 3
        assert (asyncio.run(objects(bucket)), rows(tmp_path)) == ([], 0)


@pytest.mark.docker
def test_by_a_kill(tmp_path: Path, s3_server: S3Config) -> None:
    assert drivebay(tmp_path, "migrations", "upgrade").code == 0
    with ceph.bucket(s3_server) as bucket:
        assert asyncio.run(end_while_the_probe_is_there(tmp_path, bucket, signal.SIGKILL)) == -signal.SIGKILL
        assert (len(asyncio.run(objects(bucket))), rows(tmp_path)) == (1, 1)
        database_file = tmp_path / "data" / "drivebay.db"
        with sqlite3.connect(database_file) as database:
            database.execute("UPDATE uploads SET expires_at = 0")
        database.close()
        settings: dict[str, Any] = {**ceph.settings(bucket)}
        with Server(tmp_path, **settings) as server:
            server.wait_until(lambda: not {*asyncio.run(objects(bucket))} - markers.in_file(database_file))
        assert check(tmp_path, ceph.settings(bucket)).code == 0

"""The files of the workers' metrics on a disk that is full: metrics are lost, and nothing else."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.faults.test_small_disks import on_a_disk
from tests.http.server import DRIVEBAY, PATIENCE, Server
from tests.telemetry.scrape import scrape

PAGE = 4096  # bytes
SIGBUS = -7


def on_small(folder: Path, size: int) -> list[str]:
    return [*on_a_disk(folder, size), DRIVEBAY, "serve"]


def test_workers_serve_without_metrics_when_there_is_no_space_for_them(tmp_path: Path) -> None:
    command = on_small(tmp_path, 4 * PAGE)
    with Server(tmp_path, command, WORKERS="2", TMPDIR=str(tmp_path / "small")) as server:
        server.wait_until_all_serve()
        workers = server.workers()
        for number in range(20):
            with server.client() as client:  # a connection each, so that both workers are met
                assert client.put(f"/v1/blobs/{number}", content=b"x").status_code == 201
        assert scrape(server).value("drivebay_disk_free_bytes") > 0
        assert server.workers() == workers
        warnings = [line for line in server.log() if line["level"] == "warning"]
        expected = "metrics are not counted because TMPDIR has no free space"
        assert [line["event"] for line in warnings] == [expected] * 2


NOWHERE = "import tempfile; tempfile.tempdir = '/no/such'; from entrypoints.cli.main import main; main()"


def test_a_server_starts_without_metrics_where_no_folder_can_be_made(tmp_path: Path) -> None:
    with Server(tmp_path, [sys.executable, "-c", NOWHERE, "serve"], WORKERS="2") as server, server.client() as client:
        assert client.put("/v1/blobs/a", content=b"x").status_code == 201
        assert httpx.get(f"{server.url}/metrics", timeout=PATIENCE).status_code == 404
        assert "no metrics, as their folder can't be made in TMPDIR" in server.errors()


GROW = """
import itertools
from entrypoints.telemetry.prometheus import reserved_files
metrics = {kind}("small/counter_1.db")
try:
    for number in itertools.count():
        metrics.write_value(f"{number:0500}", 1.0, 0.0)
except OSError as fault:
    print(number, fault.errno)
    metrics.write_value(f"{0:0500}", 2.0, 0.0)
"""


@pytest.mark.parametrize(("kind", "code"), [("reserved_files.ReservedDict", 0), ("reserved_files.MmapedDict", SIGBUS)])
def test_a_file_grows_as_far_as_there_is_space(tmp_path: Path, kind: str, code: int) -> None:
    """That of the library shows what ours prevents."""
    script = GROW.replace("{kind}", kind)
    done = subprocess.run([*on_a_disk(tmp_path, 50 * PAGE), sys.executable, "-c", script], cwd=tmp_path, timeout=60)
    assert done.returncode == code

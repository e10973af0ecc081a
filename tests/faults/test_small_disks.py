"""A server whose disk is full: what is new is refused, what was stored is read, and a delete makes room."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.contracts.blob_store import MIB, pattern
from tests.faults.leftovers import SHORT_LEASES
from tests.http.server import Server

UNSHARE = ["unshare", "--map-root-user", "--mount"]
DISK = 8 * MIB
DATA = pattern(MIB)


@pytest.fixture
def client(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    size, settings = request.param
    command = [*on_a_disk(tmp_path, size), *SHORT_LEASES]
    server = Server(tmp_path, command=command, **{"MIN_FREE_BYTES": "0"} | settings)
    with server, server.client() as client:
        yield client


def on_a_disk(folder: Path, size: int) -> list[str]:
    """What a command begins with that is to find a small disk of its own at `small`, below its folder."""
    (folder / "small").mkdir()
    mount = f'mount -t tmpfs -o size={size} none small && exec "$@"'
    begin = [*UNSHARE, "sh", "-c", mount, "sh"]
    if subprocess.run([*begin, "true"], cwd=folder, capture_output=True, timeout=20, check=False).returncode:
        # Where all must run, it is missing; elsewhere, not everybody may.
        (pytest.fail if os.environ.get("CI") else pytest.skip)("nobody may mount here: needs user namespaces, or root")
    return begin


def put(client: httpx.Client, blob_id: str, data: bytes = DATA) -> httpx.Response:
    return client.put(f"/v1/blobs/{blob_id}", content=data)


def fill(client: httpx.Client, data: bytes = DATA) -> list[str]:
    """Store until nothing more is taken, and return what was."""
    stored: list[str] = []
    while (answer := put(client, blob_id := f"{len(stored):01000}", data)).status_code == 201:
        stored.append(blob_id)
        assert len(stored) * len(data) <= 4 * DISK
    assert (answer.status_code, answer.json()["code"]) == (507, "no_space")
    assert "Retry-After" not in answer.headers
    return stored


def expect_to_be_read(client: httpx.Client, stored: list[str], data: bytes = DATA) -> None:
    for blob_id in stored:
        assert client.get(f"/v1/blobs/{blob_id}?alt=media").content == data
    listed = client.get("/v1/blobs?limit=1000").json()["blobs"]
    assert [blob["id"] for blob in listed] == stored[:1000]


@pytest.mark.parametrize("client", [(DISK, {"FS_BASE_PATH": "small/blobs"})], indirect=True, ids=["files"])
def test_a_disk_for_files(client: httpx.Client) -> None:
    stored = fill(client)
    assert len(stored) >= DISK // MIB - 2
    for _ in range(3):
        assert put(client, "one-more").status_code == 507
        assert put(client, stored[0], DATA[1:]).status_code == 507
        expect_to_be_read(client, stored)
    assert client.delete(f"/v1/blobs/{stored.pop()}").status_code == 204
    for _ in range(200):  # until the reaper has made room
        if put(client, "again").status_code == 201:
            break
    expect_to_be_read(client, [*stored, "again"])


@pytest.mark.parametrize(
    "client", [(3 * MIB, {"DATABASE_URL": "sqlite:///small/rows.db"})], indirect=True, ids=["SQLite"]
)
def test_a_disk_for_the_rows(client: httpx.Client) -> None:
    stored = fill(client, b"x")
    assert len(stored) > 50
    refused = 0
    for number in range(1000):
        # A checkpoint lets the log be written from its start again, so another row may fit.
        taken = put(client, blob_id := f"more-{number:04}", b"x").status_code == 201
        refused = 0 if taken else refused + 1
        stored += [blob_id] if taken else []
        if refused == 3:
            break
    assert refused == 3
    expect_to_be_read(client, stored, b"x")
    full = {"status": "degraded", "reasons": {"database": "no_space"}}
    assert any((ready := client.get("/health/ready")).status_code == 200 and ready.json() == full for _ in range(200))


FLOOR = 12 * MIB  # more than SQLite's log has


@pytest.mark.parametrize(
    "settings",
    [{"FS_BASE_PATH": "small/blobs"}, {"STORAGE": "database", "DATABASE_URL": "sqlite:///small/rows.db"}],
    ids=["files", "SQLite"],
)
def test_some_room_is_left(tmp_path: Path, settings: dict[str, str]) -> None:
    server = Server(
        tmp_path,
        [*on_a_disk(tmp_path, 4 * DISK), *SHORT_LEASES],
        0,
        **{"MIN_FREE_BYTES": str(FLOOR), "READERS_GRACE": "0"} | settings,
    )
    with server, server.client() as client:
        stored = fill(client)
        small = Path(f"/proc/{server.workers()[0]}/root{tmp_path}/small")
        assert FLOOR / 2 < free(small) < FLOOR + 3 * MIB
        assert put(client, "small", b"x").status_code == 507
        assert put(client, "in the midst of it", pattern(2 * FLOOR)).status_code == 507
        assert free(small) > FLOOR / 2
        ready = client.get("/health/ready")
        assert (ready.status_code, ready.json()) == (200, {"status": "degraded", "reasons": {"storage": "no_space"}})
        assert "MIN_FREE_BYTES" in server.errors()
        expect_to_be_read(client, stored)
        for blob_id in stored[4:]:
            assert client.delete(f"/v1/blobs/{blob_id}").status_code == 204
        server.wait_until(lambda: put(client, "again").status_code == 201)
        expect_to_be_read(client, [*stored[:4], "again"])
        # This one may have had the first room that the reaper made, of which there is more to come.
        server.wait_until(lambda: client.get("/health/ready").json() == {"status": "ok"})


def free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize

"""The check at the start of `serve`: each operation of a write is tried once on the active storage."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from application.checks.storage import PROBE
from entrypoints.composition import lifecycle
from entrypoints.composition.container import Container
from entrypoints.config.loading import load
from entrypoints.errors import StartError
from tests.faults.fake_s3 import ID, KeepingS3, Replies, Reply, error, without_conditions
from tests.http.server import DRIVEBAY, Server
from tests.http.wire import TOKEN

RAW = {"Accept": "application/octet-stream"}
DENIED = error(403, "AccessDenied")
BARE: Replies = {"PutObject": without_conditions, "ListMultipartUploads": error(501, "NotImplemented")}
CONDITIONS, LISTS = "conditional writes (If-None-Match)", "ListMultipartUploads"
RIGHTS = r"Let the owner of S3_ACCESS_KEY do s3:PutObject"


def on(server: KeepingS3, folder: Path) -> dict[str, Any]:
    keys = {"S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "s", "S3_FORCE_PATH_STYLE": "true", "STORAGE_ATTEMPTS": "1"}
    common = {"AUTH_BEARER_TOKEN": TOKEN, "DATA_DIR": f"{folder}/data", "STORAGE": "s3", "S3_BUCKET": "b"}
    (folder / "data").mkdir(exist_ok=True)
    return common | keys | {"S3_ENDPOINT": server.url}


def container(given: dict[str, Any]) -> Container:
    return Container(settings=load(given, Path("no such file")))


async def test_a_server_without_optional_features_starts(tmp_path: Path) -> None:
    async with KeepingS3(BARE) as server:
        started = await lifecycle.check_start(container(on(server, tmp_path)))
        assert [(backend, feature.name) for backend, feature in started.missing_features] == [
            ("s3", CONDITIONS),
            ("s3", LISTS),
        ]
        assert len(server.objects) == 2, "the probe is there still, or a marker is not"
        assert PROBE not in server.objects.values()


@pytest.mark.parametrize(
    ("operation", "reply", "step", "advice"),
    [
        ("ListObjects", error(403, "SignatureDoesNotMatch"), "be used", "Check the secret key"),
        ("ListObjects", error(404, "NoSuchBucket"), "be used", "Create it, or set the name of another"),
        ("PutObject", DENIED, "write", RIGHTS),
        ("PutObject", error(501, "NotImplemented"), "write", "The server lacks what Drivebay needs to write"),
        ("PutObject", error(400, "InvalidRequest"), "write", "gives no reason that Drivebay knows"),
        ("GetObject", DENIED, "read", RIGHTS),
        ("HeadObject", DENIED, "stat", RIGHTS),
        ("ListMultipartUploads", DENIED, "list", RIGHTS),
        ("DeleteObject", DENIED, "delete", RIGHTS),
        ("DeleteObject", Reply(204, ID), "delete", "does not keep its word"),
    ],
)
async def test_a_server_that_fails_a_step_is_refused(
    tmp_path: Path, operation: str, reply: Reply, step: str, advice: str
) -> None:
    async with KeepingS3({operation: reply}) as server:
        with pytest.raises(StartError, match=rf"^S3_BUCKET, .*can't {step}: .*{advice}"):
            await lifecycle.check_start(container(on(server, tmp_path)))


async def test_replicas_start_at_once(tmp_path: Path) -> None:
    async with KeepingS3({}) as server:
        given = on(server, tmp_path)
        await lifecycle.check_start(container(given))  # the tables are there, and the markers
        await asyncio.gather(*(lifecycle.check_start(container(given)) for _ in range(4)))
        assert len(server.objects) == 2


async def test_serve_exits_with_the_advice(tmp_path: Path) -> None:
    async with KeepingS3({"PutObject": DENIED}) as server:
        code, errors = await serve(tmp_path, on(server, tmp_path))
    assert code == 2
    assert "can't write: " in errors
    assert "Let the owner of S3_ACCESS_KEY do s3:PutObject" in errors


async def test_a_missing_feature_is_logged_once_and_named_by_check(tmp_path: Path) -> None:
    async with KeepingS3(BARE) as fake:
        given = on(fake, tmp_path)
        lines = await asyncio.to_thread(_log_of_a_server, tmp_path, given | {"WORKERS": "2"})
        found = [line["feature"] for line in lines if line["event"] == "the server lacks a feature"]
        assert sorted(found) == sorted([CONDITIONS, LISTS])
        checking = await asyncio.create_subprocess_exec(
            DRIVEBAY, "check", "--json", cwd=tmp_path, env=_environment(given), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await checking.communicate()
    assert checking.returncode == 0, out
    parts = {part["part"]: part for part in map(json.loads, out.splitlines()) if "part" in part}
    assert parts["storage s3"]["state"] == "ok"
    assert CONDITIONS in parts["storage s3"]["to_do"]
    assert LISTS in parts["storage s3"]["to_do"]


def _log_of_a_server(folder: Path, given: dict[str, Any]) -> list[dict[str, Any]]:
    with Server(folder, **given) as server:
        with server.client() as client:
            for number in range(8):
                assert client.put(f"/v1/blobs/{number}", content=b"x").status_code == 201
                assert client.get(f"/v1/blobs/{number}", headers=RAW).content == b"x"
        return server.log()


def test_a_full_disk_serves_reads(tmp_path: Path) -> None:
    with Server(tmp_path) as server, server.client() as client:
        assert client.put("/v1/blobs/a", content=b"x").status_code == 201
    with Server(tmp_path, MIN_FREE_BYTES=str(2**62)) as server, server.client() as client:
        assert client.get("/v1/blobs/a", headers=RAW).content == b"x"
        assert client.put("/v1/blobs/b", content=b"x").status_code == 507
        assert "no new blobs are taken until there is space" in {line["event"] for line in server.log()}


def test_deletes_free_space_after_a_start_on_a_full_disk(tmp_path: Path) -> None:
    with Server(tmp_path) as server, server.client() as client:
        assert client.put("/v1/blobs/a", content=b"x").status_code == 201
    with Server(tmp_path, MIN_FREE_BYTES=str(2**62), READERS_GRACE="0") as server, server.client() as client:
        assert client.delete("/v1/blobs/a").status_code == 204
        server.wait_until_left(0)
        assert client.put("/v1/blobs/b", content=b"x").status_code == 507


async def serve(folder: Path, given: dict[str, Any]) -> tuple[int | None, str]:
    """Run `drivebay serve` until it gives up."""
    process = await asyncio.create_subprocess_exec(
        DRIVEBAY, "serve", "--port", "1", cwd=folder, env=_environment(given), stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    return process.returncode, errors.decode()


def _environment(given: dict[str, Any]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], **given}

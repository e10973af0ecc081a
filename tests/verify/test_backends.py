"""Faults planted on each backend behind Drivebay's back: found, reported, and repaired where that is possible."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.blob import ObjectKey
from tests.backends.run import Backends
from tests.http.combinations import DIAGONAL, Combination
from tests.http.server import Server
from tests.verify.command import CommandResult, verify_here
from tests.verify.tampering import Settings, keys_of_blobs, objects_of

IDS = ["whole", "ganz ☺", "empty", "missing", "cut", "flipped"]
DATA = {name: b"" if name == "empty" else f"the bytes of {name}".encode() for name in IDS}


@pytest.fixture(params=[each.param for each in [*DIAGONAL, Combination("SQLite", "database")]])
def settings(request: pytest.FixtureRequest, backends: Backends, tmp_path: Path) -> Iterator[Settings]:
    """Those of a server that has stored `DATA`, one of them twice."""
    with request.param.settings(backends) as settings:
        with Server(tmp_path, **settings) as server, server.client() as client:
            for name in ["whole", *IDS]:
                assert client.put(f"/v1/blobs/{name}", content=DATA[name]).status_code in (200, 201)
        yield settings


def faults(result: CommandResult) -> set[tuple[str, str, bool]]:
    found = {(each["fault"], each["key"], each["repaired"]) for each in result.faults}
    assert len(found) == len(result.faults)
    return found


@pytest.mark.timeout(600)
def test_planted_faults(settings: Settings, tmp_path: Path) -> None:
    storage = settings["STORAGE"]
    result = verify_here(tmp_path, "--json", "--deep", settings=settings)
    assert (result.code, result.faults, result.errors) == (0, [], "")
    seen = result.storages[storage]
    assert (seen["blobs"], seen["bytes"], seen["objects"]) == (len(IDS), sum(map(len, DATA.values())), len(IDS) + 1)
    assert (seen["uploads"], seen["garbage"]) == (0, 1)

    keys = keys_of_blobs(settings, tmp_path)
    orphan = ObjectKey.random().value
    flipped = DATA["flipped"][:-1] + b"X"

    async def plant() -> None:
        objects = objects_of(settings, tmp_path)
        await objects.remove(keys["missing"])
        await objects.write(keys["cut"], DATA["cut"][:-1])
        await objects.write(keys["flipped"], flipped)
        await objects.write(orphan, b"nobody's")

    asyncio.run(plant())
    wrong = {("missing", keys["missing"], False), ("damaged", keys["cut"], False), ("orphan", orphan, False)}

    result = verify_here(tmp_path, "--json", "--deep", settings=settings)
    assert (result.code, faults(result)) == (1, {*wrong, ("damaged", keys["flipped"], False)})
    [missing] = [each for each in result.faults if each["fault"] == "missing"]
    assert (missing["id"], missing["size"], missing["storage"]) == ("missing", len(DATA["missing"]), storage)

    # The orphan is too young, and nobody said that rows may go.
    result = verify_here(tmp_path, "--json", "--repair", settings=settings)
    assert (result.code, faults(result)) == (1, wrong)

    result = verify_here(tmp_path, "--repair", "--older-than", "0", "--drop-missing", settings=settings)
    assert result.code == 1
    lines = result.out.splitlines()
    assert f"orphan: {storage} {orphan}: No blob, no upload and no garbage names this object. It is removed." in lines
    assert sum(line.startswith(f"missing: missing ({storage} {keys['missing']}): ") for line in lines) == 1
    assert "  1 missing (1 removed), 1 damaged, 1 orphan (1 removed)" in lines
    assert lines[-1] == "1 fault."
    assert keys_of_blobs(settings, tmp_path) == {name: key for name, key in keys.items() if name != "missing"}

    async def mend() -> None:
        objects = objects_of(settings, tmp_path)
        for name in ("cut", "flipped"):
            await objects.write(keys[name], DATA[name])

    asyncio.run(mend())
    result = verify_here(tmp_path, "--deep", settings=settings)
    assert (result.code, result.out.splitlines()[-1]) == (0, "Nothing is wrong.")

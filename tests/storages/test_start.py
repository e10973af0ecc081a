"""A wrong storage is refused at the start, on each kind that has markers."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from adapters.storage.backends import BACKENDS
from entrypoints.composition import lifecycle
from entrypoints.composition.container import Container
from entrypoints.config.loading import load
from entrypoints.errors import StartError
from tests.backends import ceph
from tests.backends.run import Backends
from tests.check.command import check
from tests.http.combinations import Combination

Given = dict[str, Any]
KINDS = [Combination("SQLite", storage) for storage in ("fs", "s3", "ftp")]


@pytest.fixture(params=[each.param for each in KINDS])
def places(request: pytest.FixtureRequest, backends: Backends, tmp_path: Path) -> Iterator[tuple[Given, Given]]:
    """The settings of a server, and the same with another folder, bucket, or folder on the FTP server."""
    combination: Combination = request.param
    with ExitStack() as stack:
        given = stack.enter_context(combination.settings(backends))
        other: Given = {"FS_BASE_PATH": f"{tmp_path}/data/other", "FTP_BASE_DIR": f"{given.get('FTP_BASE_DIR')}-2"}
        if combination.storage == "s3":
            other = ceph.settings(stack.enter_context(ceph.bucket(backends.address(ceph.start))))
        (tmp_path / "data").mkdir()
        common = {"AUTH_BEARER_TOKEN": "of-nobody", "DATA_DIR": f"{tmp_path}/data"}
        yield given | common, given | other | common


NOT_THE_ONE = r"is not the one that this database knows: its marker is missing"
NO_FOLDER = r"There is no folder|there is no folder|No such file or directory"


async def start(given: Given) -> None:
    async with lifecycle.opened(Container(settings=load(given, Path("no such file")))):
        pass


@pytest.mark.timeout(300)
async def test_another_place_is_refused(places: tuple[Given, Given], tmp_path: Path) -> None:
    right, wrong = places
    await start(right)
    with pytest.raises(StartError, match=rf"{NOT_THE_ONE}|{NO_FOLDER}"):
        await start(wrong)
    assert not (tmp_path / "data" / "other").exists(), "nothing is made where nothing belongs"
    await start(wrong | {"DATABASE_URL": f"sqlite:///{tmp_path}/data/another.db"})
    with pytest.raises(StartError, match=NOT_THE_ONE) as refused:
        await start(wrong)
    assert str(refused.value).startswith(BACKENDS[right["STORAGE"]].settings)
    await start(right)


@pytest.mark.timeout(300)
def test_the_check_finds_it(places: tuple[Given, Given], tmp_path: Path) -> None:
    right, wrong = places
    asyncio.run(start(right))
    part = f"storage {right['STORAGE']}"
    result = check(tmp_path, wrong).parts[part]
    assert result["state"] == "failed"
    assert re.search(rf"{NOT_THE_ONE}|{NO_FOLDER}", result["detail"]), result
    made = (tmp_path / "data" / "other").exists()
    assert not made or right["STORAGE"] != "fs", "the check makes a folder where nothing belongs"
    assert check(tmp_path, right).parts[part]["state"] == "ok"

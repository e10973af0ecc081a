"""SQLite's group commit under its contract, and the contract under groups that are broken on purpose."""

from collections.abc import AsyncIterator
from inspect import signature
from pathlib import Path

import pytest

from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from tests.contracts import broken_group_commit, group_commit
from tests.contracts.broken_group_commit import Broken
from tests.contracts.group_commit import GroupCommitContract
from tests.contracts.proof import CAUGHT, Case, arguments_of, broken, cases, cases_of


class TestSqlite(GroupCommitContract):
    @pytest.fixture
    async def database(self, tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
        async with SqliteDatabase(SqliteConfig(tmp_path / "rows.db")) as database:
            yield database


@pytest.mark.parametrize(("make", "case"), broken(broken_group_commit))
async def test_a_broken_one_is_caught(
    make: type[Broken], case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "PATIENCE", 2)
    fixtures = {"monkeypatch": monkeypatch} if "monkeypatch" in signature(case).parameters else {}
    with pytest.raises(CAUGHT):
        await run(make, case, tmp_path, fixtures)


async def run(make: type[Broken], case: Case, folder: Path, fixtures: dict[str, pytest.MonkeyPatch]) -> None:
    for number, arguments in enumerate(arguments_of(case)):
        async with make(SqliteConfig(folder / f"{number}.db", timeout=1)) as database:
            await case(TestSqlite(), database, **arguments, **fixtures)


def test_each_case_catches_one() -> None:
    assert cases_of(GroupCommitContract) == {case.id for case in cases(broken_group_commit)}

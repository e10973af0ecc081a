"""Copied tables equal the tables that migrations make."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from adapters.sql import migrations
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from tests import migrated


@pytest.mark.asyncio
async def test_copied_tables_are_those_of_a_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def made(upgrade: Callable[..., None]) -> tuple[list[tuple[str, str, str]], list[str]]:
        monkeypatch.setattr(migrations, "upgrade", upgrade)
        path = tmp_path / f"{upgrade.__module__}.db"
        async with SqliteDatabase(SqliteConfig(path)):
            pass
        with closing(sqlite3.connect(path)) as connection:
            return migrated.schema(connection), [*connection.iterdump()]

    assert migrations.upgrade is migrated.upgrade
    assert await made(migrated.upgrade) == await made(migrated.MIGRATE)

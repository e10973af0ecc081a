"""What an observer gets from a database."""

import asyncio
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.sql.observed import ObservedDatabase
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from application.ports.observer import Operation, Unobserved
from domain.errors import Kind, NotFound, Unavailable
from tests.contracts.blob_store import refused


class Recorder(Unobserved):
    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.in_use: list[int] = []

    def ended(self, operation: Operation) -> None:
        self.operations.append(operation)

    def connections(self, backend: str, change: int) -> None:
        self.in_use.append(change)


def nothing(connection: Connection) -> None:
    connection.execute(sa.text("SELECT 1"))


def refusing(_: Connection) -> None:
    raise NotFound("not there")


def failing(_: Connection) -> None:
    raise Unavailable("not now")


async def test_what_became_of_each_transaction(tmp_path: Path) -> None:
    recorder = Recorder()
    inner = SqliteDatabase(SqliteConfig(tmp_path / "a.db", timeout=0.2), recorder)
    async with ObservedDatabase(inner, "sqlite", recorder) as database:
        await database.read(nothing)
        async with database.transaction() as transaction:
            await transaction.run(nothing)
            await transaction.commit()
        for function, kind in ((refusing, Kind.NOT_FOUND), (failing, Kind.UNAVAILABLE)):
            with refused(kind):
                async with database.transaction() as transaction:
                    await transaction.run(function)
        async with database.transaction():
            assert sum(recorder.in_use) == 1
            with refused(Kind.TIMEOUT):
                await asyncio.create_task(enter(database))
    assert [(each.name, each.outcome, each.fault) for each in recorder.operations] == [
        ("read", "", ""),
        ("connect", "", ""),
        ("transaction", "committed", ""),
        ("connect", "", ""),
        ("transaction", "rolled_back", ""),
        ("connect", "", ""),
        ("transaction", "failed", "unavailable"),
        ("connect", "", ""),
        ("connect", "", "timeout"),
        ("transaction", "failed", "timeout"),
        ("transaction", "rolled_back", ""),
    ]
    assert sum(recorder.in_use) == 0


async def enter(database: ObservedDatabase) -> None:
    async with database.transaction():
        pass

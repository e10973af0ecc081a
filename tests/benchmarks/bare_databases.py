"""The databases' drivers with rows as large as those of the database store, in one transaction an object."""

import asyncio
import sqlite3
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiomysql
import asyncpg
from sqlalchemy import make_url

from adapters.storage.database import CHUNK
from tests.benchmarks.clients import Client, in_shares

TABLE = "CREATE TABLE bare (name VARCHAR(40), seq INTEGER, data {}, PRIMARY KEY (name, seq))"
INSERT = "INSERT INTO bare VALUES ({}, {}, {})"
SELECT = "SELECT data FROM bare WHERE name = {} AND seq = {}"
DELETE = "DELETE FROM bare WHERE name = {}"


class BareRows(Client):
    """One connection, and so one object at a time."""

    async def put(self, names: Sequence[str], data: bytes, at_once: int = 1) -> None:
        await in_shares(names, lambda name: self._insert(name, _rows(data)), 1)

    async def get(self, names: Sequence[str], at_once: int = 1) -> None:
        await in_shares(names, self._select, 1)

    @abstractmethod
    async def _insert(self, name: str, rows: Iterator[tuple[int, bytes]]) -> None: ...

    @abstractmethod
    async def _select(self, name: str) -> None: ...


class BareSqlite(BareRows):
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def _insert(self, name: str, rows: Iterator[tuple[int, bytes]]) -> None:
        def insert() -> None:
            with self._connection:
                for seq, data in rows:
                    self._connection.execute(INSERT.format("?", "?", "?"), (name, seq, data))

        await asyncio.to_thread(insert)

    async def _select(self, name: str) -> None:
        def select() -> None:
            seq = 0
            while self._connection.execute(SELECT.format("?", "?"), (name, seq)).fetchone():
                seq += 1

        await asyncio.to_thread(select)

    async def delete(self, names: Sequence[str]) -> None:
        with self._connection:
            self._connection.executemany(DELETE.format("?"), [(name,) for name in names])


class BarePostgresql(BareRows):
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def _insert(self, name: str, rows: Iterator[tuple[int, bytes]]) -> None:
        async with self._connection.transaction():
            for seq, data in rows:
                await self._connection.execute(INSERT.format("$1", "$2", "$3"), name, seq, data)

    async def _select(self, name: str) -> None:
        seq = 0
        while await self._connection.fetchval(SELECT.format("$1", "$2"), name, seq):
            seq += 1

    async def delete(self, names: Sequence[str]) -> None:
        for name in names:
            await self._connection.execute(DELETE.format("$1"), name)


class BareMariadb(BareRows):
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def _insert(self, name: str, rows: Iterator[tuple[int, bytes]]) -> None:
        async with self._connection.cursor() as cursor:
            for seq, data in rows:
                await cursor.execute(INSERT.format("%s", "%s", "%s"), (name, seq, data))
        await self._connection.commit()

    async def _select(self, name: str) -> None:
        seq = 0
        async with self._connection.cursor() as cursor:
            while await cursor.execute(SELECT.format("%s", "%s"), (name, seq)):
                seq += 1

    async def delete(self, names: Sequence[str]) -> None:
        async with self._connection.cursor() as cursor:
            for name in names:
                await cursor.execute(DELETE.format("%s"), (name,))
        await self._connection.commit()


@asynccontextmanager
async def bare_sqlite(path: Path) -> AsyncIterator[Client]:
    with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(TABLE.format("BLOB"))
        yield BareSqlite(connection)


@asynccontextmanager
async def bare_postgresql(url: str) -> AsyncIterator[Client]:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(TABLE.format("BYTEA"))
        # As that of the store: bytes that are said not to be worth compressing.
        await connection.execute("ALTER TABLE bare ALTER data SET STORAGE EXTERNAL")
        yield BarePostgresql(connection)
    finally:
        await connection.close()


@asynccontextmanager
async def bare_mariadb(url: str) -> AsyncIterator[Client]:
    at = make_url(url)
    connection = await aiomysql.connect(
        host=at.host, port=at.port, user=at.username, password=at.password, db=at.database
    )
    try:
        async with connection.cursor() as cursor:
            await cursor.execute(TABLE.format("MEDIUMBLOB"))
        yield BareMariadb(connection)
    finally:
        await connection.ensure_closed()


def _rows(data: bytes) -> Iterator[tuple[int, bytes]]:
    for seq, start in enumerate(range(0, len(data), CHUNK)):
        yield seq, data[start : start + CHUNK]
